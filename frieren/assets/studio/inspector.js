// The line below the timeline: the selected mark in numbers, and what it is, from the list of categories.

const MOST = 60; // categories that are listed

export class Inspector {
  constructor(root, marks, categories, likeliest) {
    Object.assign(this, { root, marks, categories, likeliest });
    const part = (id) => root.querySelector(`#${id}`);
    this.kind = part("mark-kind");
    this.what = part("what");
    this.choices = part("choices");
    this.inputs = { from: part("mark-from"), to: part("mark-to"), strength: part("mark-strength") };
    for (const [name, input] of Object.entries(this.inputs)) {
      input.addEventListener("change", () => this.#set(name, input.valueAsNumber));
      input.addEventListener("keydown", (event) => event.key === "Enter" && this.#set(name, input.valueAsNumber));
    }
    root.addEventListener("submit", (event) => event.preventDefault());
    part("delete-mark").addEventListener("click", () => marks.mark && marks.remove(marks.mark.id));
    this.what.addEventListener("input", () => this.#list(this.what.value));
    this.what.addEventListener("focus", () => this.what.select());
    this.what.addEventListener("click", () => this.#list(""));
    this.what.addEventListener("blur", () => this.close());
    this.what.addEventListener("keydown", (event) => this.#key(event));
    this.choices.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // the focus stays in the field
      if (event.target.dataset.name) this.#choose(event.target.dataset.name);
    });
    marks.addEventListener("select", () => this.draw());
    marks.addEventListener("name", () => {
      this.what.focus();
      this.#list("");
    });
  }

  get isOpen() {
    return !this.choices.hidden;
  }

  draw() {
    const { mark } = this.marks;
    this.root.hidden = !mark;
    if (!mark) return this.close();
    const isHit = "time" in mark;
    this.kind.textContent = isHit ? "Hit" : "Sound";
    for (const id of ["what-label", "to-label"]) this.root.querySelector(`#${id}`).hidden = isHit;
    this.root.querySelector("#strength-label").hidden = !isHit;
    this.root.querySelector("#from-label span").textContent = isHit ? "At" : "From";
    const values = isHit ? { from: mark.time, strength: mark.strength } : { from: mark.from, to: mark.to };
    for (const [name, value] of Object.entries(values)) {
      if (document.activeElement !== this.inputs[name]) this.inputs[name].value = Number(value.toFixed(3));
    }
    if (!isHit && !this.isOpen) this.what.value = this.marks.titleOf(mark.name);
  }

  #set(name, value) {
    const { mark } = this.marks;
    if (!mark || Number.isNaN(value)) return;
    this.marks.change(mark.id, { ["time" in mark && name === "from" ? "time" : name]: value });
  }

  /** Categories that a text fits, by name, title or alias; of an empty one those that are likely come first. */
  #found(text) {
    const wanted = text.trim().toLowerCase();
    const likely = this.likeliest();
    const rank = ({ name, title, aliases }) => {
      if (!wanted) return likely.includes(name) ? likely.indexOf(name) : 50;
      if (title.toLowerCase().startsWith(wanted) || name.startsWith(wanted)) return 0;
      if (title.toLowerCase().includes(wanted)) return 1;
      return aliases.some((each) => each.includes(wanted)) ? 2 : Infinity;
    };
    return this.categories
      .map((each) => ({ each, place: rank(each) }))
      .filter(({ place }) => place < Infinity)
      .sort((a, b) => a.place - b.place || a.each.title.localeCompare(b.each.title))
      .map(({ each }) => each);
  }

  #list(text) {
    const found = this.#found(text).slice(0, text ? MOST : this.categories.length);
    this.choices.replaceChildren(
      ...found.map(({ name, title, aliases }, at) => {
        const item = document.createElement("li");
        Object.assign(item, { id: `choice-${at}`, role: "option", textContent: title });
        item.dataset.name = name;
        item.setAttribute("aria-selected", "false");
        const hit = text && aliases.find((each) => each.includes(text.trim().toLowerCase()));
        if (hit && !title.toLowerCase().includes(text.trim().toLowerCase())) {
          item.append(Object.assign(document.createElement("small"), { textContent: ` ${hit}` }));
        }
        return item;
      }),
    );
    this.choices.hidden = !found.length;
    this.what.setAttribute("aria-expanded", String(!this.choices.hidden));
    this.#point(text && found.length ? 0 : -1);
  }

  #point(at) {
    this.at = at;
    [...this.choices.children].forEach((item, index) => item.setAttribute("aria-selected", String(index === at)));
    const item = this.choices.children[at];
    if (item) {
      item.scrollIntoView({ block: "nearest" });
      this.what.setAttribute("aria-activedescendant", item.id);
    } else this.what.removeAttribute("aria-activedescendant");
  }

  /** In the list Enter chooses; where it is closed Enter is not taken, and renders. */
  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      if (!this.isOpen) this.#list("");
      const count = this.choices.children.length;
      this.#point((this.at + step + count) % count);
      event.preventDefault();
    } else if (event.key === "Enter" && this.isOpen && this.choices.children[this.at]) {
      this.#choose(this.choices.children[this.at].dataset.name);
      event.stopPropagation();
      event.preventDefault();
    } else if (event.key === "Escape" && this.isOpen) {
      this.close();
      event.stopPropagation();
    }
  }

  #choose(name) {
    const { mark } = this.marks;
    this.close();
    if (mark) this.marks.change(mark.id, { name, certainty: 1 });
    this.what.value = this.marks.titleOf(name);
  }

  close() {
    this.choices.hidden = true;
    this.what.setAttribute("aria-expanded", "false");
    this.what.removeAttribute("aria-activedescendant");
    if (this.marks.mark && "name" in this.marks.mark) this.what.value = this.marks.titleOf(this.marks.mark.name);
  }
}
