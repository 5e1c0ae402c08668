// The two forms: what the next take is made with, and how loud things are heard and saved.

const OFF = -31; // the fader's lowest place

export class Settings extends EventTarget {
  constructor(form, mix) {
    super();
    Object.assign(this, { form, mix, models: [], redo: [] });
    this.fields = form.elements;
    for (const each of [form, mix]) each.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => this.#changed());
    mix.addEventListener("input", () => {
      this.#faders();
      this.dispatchEvent(new Event("levels"));
      this.dispatchEvent(new Event("change"));
    });
    this.#faders();
  }

  setModels(models) {
    this.models = models;
    this.fields.model.replaceChildren(...models.map(({ name }) => new Option(name.split(/[\\/]/).pop(), name)));
    this.#changed();
  }

  get model() {
    return this.models.find((each) => each.name === this.fields.model.value);
  }

  /** What the next take is made with, but its marks. */
  options() {
    const { seed, steps, guidance } = this.fields;
    const number = (field) => (field.value === "" || !field.validity.valid ? null : field.valueAsNumber);
    return {
      model: this.fields.model.value,
      seed: number(seed) ?? 0,
      steps: number(steps),
      guidance: number(guidance),
      loudness: this.levels().loudness,
      redo: this.redo,
    };
  }

  /** Take over what a take was made with. */
  take(options) {
    this.fields.model.value = options.model;
    for (const name of ["seed", "steps", "guidance"]) this.fields[name].value = options[name] ?? "";
    this.redo = options.redo;
    this.#changed();
  }

  /** A new clip: nothing is redone, and the seed begins again. */
  fresh() {
    this.redo = [];
    this.fields.seed.value = 0;
    this.#changed();
  }

  #changed() {
    const { model } = this;
    if (model) {
      this.fields.steps.placeholder = model.steps;
      this.fields.guidance.placeholder = model.guidance;
    }
    const chips = this.form.querySelector("#redone");
    chips.hidden = !this.redo.length;
    chips.replaceChildren(
      ...this.redo.map((each) => {
        const text = `redone ${each.from.toFixed(2)}–${each.to.toFixed(2)} s`;
        const chip = Object.assign(document.createElement("button"), { type: "button", className: "chip", textContent: `${text} ×` });
        chip.setAttribute("aria-label", `Leave out: ${text}`);
        chip.addEventListener("click", () => {
          this.redo = this.redo.filter((other) => other !== each);
          this.#changed();
        });
        return chip;
      }),
    );
    this.dispatchEvent(new Event("change"));
  }

  /** Levels in dB: of the new sound, of the clip's own (null: off), and the loudness that is aimed at (null: none). */
  levels() {
    const { elements } = this.mix;
    const old = elements["old-level"];
    const off = old.disabled || old.valueAsNumber <= OFF;
    const loudness = elements.loudness.value;
    return {
      fresh: elements["new-level"].valueAsNumber,
      old: off ? null : old.valueAsNumber,
      loudness: loudness === "" ? null : Number(loudness),
    };
  }

  /** Options of the file that is saved. */
  exported() {
    const { fresh, old, loudness } = this.levels();
    return { format: this.mix.elements.format.value, fresh, old, loudness };
  }

  hasOriginal(is) {
    this.mix.elements["old-level"].disabled = !is;
    this.#faders();
  }

  #faders() {
    for (const fader of this.mix.querySelectorAll(".fader")) {
      const [input, output] = [fader.querySelector("input"), fader.querySelector("output")];
      const off = input.id === "old-level" && (input.disabled || input.valueAsNumber <= OFF);
      const text = off ? "off" : `${input.valueAsNumber > 0 ? "+" : ""}${input.value} dB`.replace("-", "−");
      output.textContent = text;
      input.setAttribute("aria-valuetext", text);
    }
  }
}
