// The cue sheet on the timeline: sounds as spans, hits as stems. Every mark can be reached, moved and removed by keys.

import { markOf, newHit, newSound, withMark, without } from "./project.js";
import { dragged } from "./timeline.js";

const ROW = 24; // pixels of a row of sounds
const SOFTEST = 0.18; // share of the lane that a hit of strength 0 takes
const LIFTED = 5; // pixels before a drag means strength, too

export class Marks extends EventTarget {
  constructor(root, project, timeline, titleOf) {
    super();
    Object.assign(this, { project, timeline, titleOf });
    this.sounds = root.querySelector("#sounds");
    this.hits = root.querySelector("#hits");
    this.selected = null;
    this.elements = new Map();
    this.hits.addEventListener("dblclick", (event) => event.target.closest(".hit") || this.addHit(timeline.timeAt(event.clientX)));
    this.sounds.addEventListener("dblclick", (event) => {
      if (!event.target.closest(".sound")) this.addSound(timeline.timeAt(event.clientX), null);
    });
  }

  get sheet() {
    return this.project.state.sheet;
  }

  get mark() {
    return this.selected && this.sheet && markOf(this.sheet, this.selected);
  }

  select(id) {
    if (this.selected === id) return;
    this.selected = id;
    this.draw();
    this.dispatchEvent(new Event("select"));
  }

  change(id, values, merge = null) {
    this.project.change({ sheet: withMark(this.sheet, id, values) }, { merge: merge && `${merge} ${id}` });
  }

  addHit(time) {
    if (!this.sheet) return;
    const hit = newHit(Math.min(time, this.sheet.seconds - 0.001));
    this.project.change({ sheet: { ...this.sheet, strikes: [...this.sheet.strikes, hit] } });
    this.#focus(hit.id);
  }

  /** Add a sound: in a region, from a time on, or the first one throughout. */
  addSound(time, region, name = null) {
    if (!this.sheet) return;
    const { seconds, sounds } = this.sheet;
    const [from, to] = region ?? (sounds.length ? [time, Math.min(time + 1, seconds)] : [0, seconds]);
    const begin = Math.max(0, Math.min(from, this.sheet.seconds - 0.2));
    const sound = newSound(name ?? this.sheet.sounds[0]?.name ?? this.project.state.likeliest[0] ?? "dog", begin, Math.max(to, begin + 0.2));
    this.project.change({ sheet: { ...this.sheet, sounds: [...this.sheet.sounds, sound] } });
    this.#focus(sound.id);
    this.dispatchEvent(new Event("name"));
  }

  remove(id) {
    const ids = this.#inOrder();
    const next = ids[ids.indexOf(id) + 1] ?? ids[ids.indexOf(id) - 1] ?? null;
    this.selected = null;
    this.project.change({ sheet: without(this.sheet, id) });
    this.dispatchEvent(new Event("select"));
    if (next) this.elements.get(next)?.focus({ preventScroll: true });
  }

  #inOrder() {
    const { sounds, strikes } = this.sheet;
    const from = (mark) => mark.time ?? mark.from;
    return [...sounds, ...strikes].sort((a, b) => from(a) - from(b)).map((mark) => mark.id);
  }

  #focus(id) {
    this.select(id);
    this.elements.get(id)?.focus({ preventScroll: true });
  }

  /** Bring the elements in line with the sheet; those of marks that stay, stay. */
  draw() {
    const { sheet } = this;
    const marks = sheet ? [...sheet.sounds, ...sheet.strikes] : [];
    const ids = new Set(marks.map((mark) => mark.id));
    for (const [id, element] of this.elements) {
      if (ids.has(id)) continue;
      element.remove();
      this.elements.delete(id);
    }
    if (this.selected && !ids.has(this.selected)) {
      this.selected = null;
      this.dispatchEvent(new Event("select"));
    }
    if (!sheet) return;
    this.#drawSounds(sheet);
    this.#drawHits(sheet);
  }

  #drawSounds({ sounds, seconds }) {
    const ends = []; // of the last sound in each row
    for (const sound of [...sounds].sort((a, b) => a.from - b.from)) {
      const free = ends.findIndex((end) => end <= sound.from + 1e-6);
      const row = free < 0 ? ends.length : free;
      ends[row] = sound.to;
      const element = this.#element(sound, "sound", this.sounds);
      element.style.left = `${(sound.from / seconds) * 100}%`;
      element.style.width = `${((sound.to - sound.from) / seconds) * 100}%`;
      element.style.top = `${row * ROW + 2}px`;
      element.style.setProperty("--sure", (0.35 + 0.65 * sound.certainty).toFixed(2));
      const title = this.titleOf(sound.name);
      element.firstChild.textContent = title;
      element.title = `${title}, ${sound.from.toFixed(2)}–${sound.to.toFixed(2)} s`;
      element.setAttribute("aria-label", `${title}, ${sound.from.toFixed(2)} to ${sound.to.toFixed(2)} seconds`);
      element.setAttribute("aria-pressed", String(sound.id === this.selected));
    }
    this.sounds.style.height = `${Math.max(1, ends.length) * ROW + 4}px`;
    this.sounds.classList.toggle("empty", !sounds.length);
  }

  #drawHits({ strikes, seconds }) {
    for (const hit of strikes) {
      const element = this.#element(hit, "hit", this.hits);
      element.style.left = `${(hit.time / seconds) * 100}%`;
      element.style.height = `${(SOFTEST + (1 - SOFTEST) * hit.strength) * 100}%`;
      element.style.setProperty("--sure", (0.45 + 0.55 * hit.certainty).toFixed(2));
      const text = `${hit.time.toFixed(3)} seconds, strength ${hit.strength.toFixed(2)}`;
      element.title = `${hit.time.toFixed(3)} s, strength ${hit.strength.toFixed(2)}`;
      const values = { "aria-valuemin": "0", "aria-valuemax": seconds.toFixed(3), "aria-valuenow": hit.time.toFixed(3) };
      Object.entries({ ...values, "aria-valuetext": text }).forEach((each) => element.setAttribute(...each));
      element.classList.toggle("selected", hit.id === this.selected);
    }
  }

  #element(mark, kind, lane) {
    const known = this.elements.get(mark.id);
    if (known) return known;
    const element = document.createElement("div");
    element.className = kind;
    element.tabIndex = 0;
    element.dataset.id = mark.id;
    if (kind === "hit") {
      element.setAttribute("role", "slider");
      element.setAttribute("aria-label", "Hit");
    } else {
      element.setAttribute("role", "button");
      element.append(document.createElement("span"), ...["left", "right"].map(edge));
    }
    element.addEventListener("focus", () => this.select(mark.id));
    element.addEventListener("pointerdown", (event) => this.#drag(event, mark.id));
    element.addEventListener("keydown", (event) => this.#key(event, mark.id));
    this.elements.set(mark.id, element);
    lane.append(element);
    return element;
  }

  #drag(press, id) {
    if (press.button !== 0) return;
    press.stopPropagation();
    const begin = markOf(this.sheet, id);
    const element = this.elements.get(id);
    element.focus({ preventScroll: true });
    const side = press.target.dataset?.side;
    const at = this.timeline.timeAt(press.clientX);
    const reach = this.hits.clientHeight * (1 - SOFTEST);
    const move = (event) => {
      const by = this.timeline.timeAt(event.clientX) - at;
      if ("time" in begin) {
        const up = press.clientY - event.clientY;
        const strength = begin.strength + (Math.abs(up) < LIFTED ? 0 : (up - Math.sign(up) * LIFTED) / reach);
        this.change(id, { time: begin.time + by, strength: Math.round(strength * 100) / 100 }, "drag");
      } else if (side) {
        const edge = side === "left" ? { from: begin.from + by } : { to: begin.to + by };
        this.change(id, edge, "drag");
      } else {
        const shift = Math.min(this.sheet.seconds - begin.to, Math.max(-begin.from, by));
        this.change(id, { from: begin.from + shift, to: begin.to + shift }, "drag");
      }
    };
    element.classList.add("dragging");
    dragged({ currentTarget: element, pointerId: press.pointerId }, move, () => {
      element.classList.remove("dragging");
      this.project.settle();
    });
  }

  #key(event, id) {
    const mark = markOf(this.sheet, id);
    const frame = this.timeline.frame * (event.shiftKey ? 10 : 1);
    const along = { ArrowLeft: -frame, ArrowRight: frame }[event.key];
    const up = { ArrowUp: 0.05, ArrowDown: -0.05 }[event.key];
    if (event.ctrlKey || event.metaKey) return;
    if (event.key === "Delete" || event.key === "Backspace") this.remove(id);
    else if (along && "time" in mark) this.change(id, { time: mark.time + along }, "key");
    else if (along && event.altKey) this.change(id, { to: mark.to + along }, "key");
    else if (along) {
      const shift = Math.min(this.sheet.seconds - mark.to, Math.max(-mark.from, along));
      this.change(id, { from: mark.from + shift, to: mark.to + shift }, "key");
    } else if (up && "time" in mark) this.change(id, { strength: Math.round((mark.strength + up) * 100) / 100 }, "key");
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

function edge(side) {
  const element = document.createElement("i");
  element.dataset.side = side;
  return element;
}
