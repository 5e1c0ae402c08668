// The takes as tracks, and those that are still being made.

import { paintWave } from "./timeline.js";

const STAGES = { encode: "Looking", sample: "Sampling", redo: "Redoing", decode: "Decoding", vocode: "Vocoding", write: "Writing" };

/** What a job's event says, for a person, and a share of its stage. */
export function told(event) {
  if (event.stage) {
    const share = event.total ? event.done / event.total : 0;
    return { text: STAGES[event.stage] ?? event.stage, share };
  }
  return { text: event.state === "queued" ? "Waiting" : "Beginning", share: 0 };
}

const made = (kind, className, text = "") => Object.assign(document.createElement(kind), { className, textContent: text });

/** What a take differs by, in a few words. */
export function caption({ options }, takes) {
  const redone = options.redo.reduce((sum, each) => sum + each.to - each.from, 0);
  const parts = redone ? [`${redone.toFixed(1)} s redone`] : [];
  if (takes.some((each) => each.options.model !== options.model)) parts.push(options.model.split(/[\\/]/).pop());
  if (options.steps) parts.push(`${options.steps} steps`);
  if (options.guidance !== null) parts.push(`guidance ${options.guidance}`);
  return parts.join(" · ");
}

export class Takes extends EventTarget {
  constructor(root, project, timeline) {
    super();
    Object.assign(this, { root, project, timeline });
    this.pending = [];
    this.rows = new Map(); // id -> row
  }

  add(pending) {
    this.pending = [...this.pending, pending];
    this.draw();
  }

  remove(pending) {
    this.pending = this.pending.filter((each) => each !== pending);
    this.draw();
  }

  draw() {
    const { takes, active } = this.project.state;
    const wanted = new Set([...takes, ...this.pending].map((each) => each.id));
    for (const [id, row] of this.rows) {
      if (wanted.has(id)) continue;
      const canvas = row.querySelector("canvas");
      if (canvas) this.timeline.remove(canvas);
      row.remove();
      this.rows.delete(id);
    }
    takes.forEach((take, index) => {
      const row = this.rows.get(take.id) ?? this.#row(take);
      if (this.root.children[index] !== row) this.root.insertBefore(row, this.root.children[index] ?? null);
      const number = row.querySelector(".number");
      number.textContent = index + 1;
      const text = caption(take, takes);
      row.querySelector("small").textContent = text;
      number.setAttribute("aria-label", `Take ${index + 1}, seed ${take.options.seed} ${text}`);
      number.setAttribute("aria-pressed", String(take.id === active));
      number.title = index < 9 ? `Hear it (${index + 1})` : "Hear it";
      row.classList.toggle("active", take.id === active);
      this.timeline.draw(row.querySelector("canvas"));
    });
    this.pending.forEach((each) => {
      const row = this.rows.get(each.id) ?? this.#waiting(each);
      this.root.append(row);
      row.querySelector(".stage").textContent = each.text;
      row.querySelector("progress").value = each.share;
    });
  }

  #row(take) {
    const row = made("div", "lane wave take");
    const head = made("div", "head");
    const number = Object.assign(made("button", "number"), { type: "button" });
    number.addEventListener("click", () => this.#ask("hear", take));
    const what = made("span", "caption");
    what.append(made("b", "", `seed ${take.options.seed}`), made("small", ""));
    const use = Object.assign(made("button", "quiet", "Use"), { type: "button", title: "Take its marks and settings" });
    use.setAttribute("aria-label", "Take its marks and settings");
    use.addEventListener("click", () => this.#ask("use", take));
    const drop = Object.assign(made("button", "quiet", "×"), { type: "button", title: "Remove this take" });
    drop.setAttribute("aria-label", "Remove this take");
    drop.addEventListener("click", () => this.#ask("drop", take));
    const tools = made("span", "actions");
    tools.append(use, drop);
    head.append(number, what, tools);
    const body = made("div", "body");
    const canvas = document.createElement("canvas");
    body.append(canvas);
    row.append(head, body);
    this.rows.set(take.id, row);
    this.root.append(row);
    this.timeline.add(canvas, paintWave(take.outline, () => this.project.state.active === take.id));
    return row;
  }

  #waiting(pending) {
    const row = made("div", "lane take pending");
    const head = made("div", "head");
    head.append(made("span", "number", "…"), made("span", "caption stage"));
    const body = made("div", "body");
    const bar = Object.assign(document.createElement("progress"), { max: 1, value: 0 });
    bar.setAttribute("aria-label", "Progress of the next take");
    const stop = Object.assign(made("button", "quiet", "Cancel"), { type: "button" });
    stop.addEventListener("click", () => pending.cancel());
    body.append(bar, stop);
    row.append(head, body);
    this.rows.set(pending.id, row);
    return row;
  }

  #ask(what, take) {
    this.dispatchEvent(new CustomEvent(what, { detail: take }));
  }
}
