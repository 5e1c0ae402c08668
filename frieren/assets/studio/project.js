// What a person works on: the cue sheet, the takes, which one is heard, and the settings of the next one; with undo.
// Every state is a plain object that is never changed, so that the past is a list of states.

const MOST = 200; // states that can be gone back to

export class Project extends EventTarget {
  constructor(state) {
    super();
    this.state = state;
    this.past = [];
    this.future = [];
    this.merging = null;
  }

  /** Put some values into the state. Changes in a row with the same `merge` are one step for undo; a drag is one. */
  change(values, { merge = null, undoable = true } = {}) {
    if (undoable && !(merge && merge === this.merging)) {
      this.past = [...this.past, this.state].slice(-MOST);
      this.future = [];
    }
    if (undoable) this.merging = merge;
    this.state = { ...this.state, ...values };
    this.dispatchEvent(new Event("change"));
  }

  /** Begin anew: there is no past. */
  reset(state) {
    Object.assign(this, { state, past: [], future: [], merging: null });
    this.dispatchEvent(new Event("change"));
  }

  /** End a row of changes that are one step. */
  settle() {
    this.merging = null;
  }

  undo() {
    this.#move(this.past, this.future);
  }

  again() {
    this.#move(this.future, this.past);
  }

  #move(from, to) {
    if (!from.length) return;
    to.push(this.state);
    this.state = from.pop();
    this.merging = null;
    this.dispatchEvent(new Event("change"));
  }
}

let last = 0;
const named = (mark) => ({ ...mark, id: `m${++last}` });

/** A cue sheet of the service, as the page holds it: every mark has an id, every sound an end. */
export function sheetOf(cues, seconds) {
  return {
    seconds,
    sounds: cues.sounds.map((each) => named({ ...each, from: each.from ?? 0, to: each.to ?? seconds })),
    strikes: cues.strikes.map(named),
    motion: cues.motion,
  };
}

/** The same as the service takes it. */
export function cuesOf(sheet) {
  const rounded = (value) => Math.round(value * 1e4) / 1e4;
  return {
    version: 1,
    seconds: sheet.seconds,
    sounds: sheet.sounds.map(({ name, from, to, certainty }) => ({ name, from: rounded(from), to: rounded(to), certainty })),
    strikes: sheet.strikes.map(({ time, strength, certainty }) => ({ time: rounded(time), strength, certainty })),
    motion: sheet.motion,
  };
}

export const newHit = (time) => named({ time, strength: 0.8, certainty: 1 });
export const newSound = (name, from, to) => named({ name, from, to, certainty: 1 });

/** A sheet with some values of one mark changed, which stays within the clip; the other marks are the same objects. */
export function withMark(sheet, id, values) {
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const moved = (mark) => {
    if (mark.id !== id) return mark;
    const next = { ...mark, ...values };
    if ("time" in next) {
      return { ...next, time: clamp(next.time, 0, sheet.seconds - 0.001), strength: clamp(next.strength, 0, 1) };
    }
    const from = clamp(next.from, 0, sheet.seconds - 0.04);
    return { ...next, from, to: clamp(next.to, from + 0.04, sheet.seconds) };
  };
  return { ...sheet, sounds: sheet.sounds.map(moved), strikes: sheet.strikes.map(moved) };
}

export const without = (sheet, id) => ({
  ...sheet,
  sounds: sheet.sounds.filter((each) => each.id !== id),
  strikes: sheet.strikes.filter((each) => each.id !== id),
});

export const markOf = (sheet, id) => [...sheet.sounds, ...sheet.strikes].find((each) => each.id === id);
