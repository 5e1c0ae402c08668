// The timeline: what of it is seen, what is drawn there, the playhead and the marked region.

const MOST = 600; // pixels of a second, at most
const STILL = 4; // pixels that a press may move and still be a click
const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300]; // s between two numbers of the ruler

export const stamp = (time, digits = 3) => {
  const rounded = Math.round(time * 10 ** digits) / 10 ** digits;
  const rest = rounded % 60;
  return `${Math.floor(rounded / 60)}:${rest.toFixed(digits).padStart(digits ? digits + 3 : 2, "0")}`;
};

/** A colour of the page's style sheet. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export class Timeline extends EventTarget {
  constructor(root) {
    super();
    const part = (id) => root.querySelector(`#${id}`);
    this.scroller = part("scroller");
    this.lanes = part("lanes");
    this.playhead = part("playhead");
    this.regionBox = part("region");
    this.seconds = 1;
    this.scale = 0; // pixels of a second; 0: all is seen
    this.region = null; // [from, to]
    this.painters = new Map(); // canvas -> what paints it
    this.add(part("ruler"), (context, view) => paintRuler(context, view));
    this.#edges();
    new ResizeObserver(() => this.lay()).observe(this.scroller);
    this.scroller.addEventListener("scroll", () => this.draw());
    this.scroller.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.lanes.addEventListener("pointerdown", (event) => this.#press(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Let `paint(context, view)` draw a canvas, now and whenever what is seen changes. */
  add(canvas, paint) {
    this.painters.set(canvas, paint);
    this.draw(canvas);
  }

  remove(canvas) {
    this.painters.delete(canvas);
  }

  /** Pixels of the heads at the left, and of what is seen beside them. */
  #sizes() {
    const head = parseFloat(getComputedStyle(this.lanes).getPropertyValue("--head")) || 0;
    return { head, width: Math.max(50, this.scroller.clientWidth - head) };
  }

  /** Find sizes anew. */
  lay() {
    const { width } = this.#sizes();
    this.width = Math.max(width, Math.round(this.seconds * this.scale));
    this.lanes.style.setProperty("--width", `${this.width}px`);
    this.lanes.style.setProperty("--seen", `${width}px`);
    this.showRegion();
    this.draw();
  }

  setSeconds(seconds) {
    this.seconds = seconds;
    this.lay();
  }

  /** Show more or less time, with a time staying where it is. */
  zoom(factor, around) {
    const { width } = this.#sizes();
    const before = this.width / this.seconds;
    const scale = Math.min(MOST, Math.max(width / this.seconds, before * factor));
    const at = around * before - this.scroller.scrollLeft;
    this.scale = scale <= width / this.seconds ? 0 : scale;
    this.lay();
    this.scroller.scrollLeft = around * (this.width / this.seconds) - at;
  }

  fit() {
    this.scale = 0;
    this.lay();
  }

  /** Time at a place of the window. */
  timeAt(clientX) {
    const { head } = this.#sizes();
    const x = clientX - this.lanes.getBoundingClientRect().left - head;
    return Math.min(this.seconds, Math.max(0, (x / this.width) * this.seconds));
  }

  /** Paint a canvas, or all of them. */
  draw(only = null) {
    if (!this.width) return;
    const { width } = this.#sizes();
    const scale = this.width / this.seconds;
    const left = this.scroller.scrollLeft;
    for (const [canvas, paint] of this.painters) {
      if (only && canvas !== only) continue;
      const height = canvas.parentElement.clientHeight;
      const density = window.devicePixelRatio || 1;
      const wanted = [Math.round(width * density), Math.round(height * density)];
      if (canvas.width !== wanted[0] || canvas.height !== wanted[1]) [canvas.width, canvas.height] = wanted;
      const context = canvas.getContext("2d");
      context.setTransform(density, 0, 0, density, 0, 0);
      context.clearRect(0, 0, width, height);
      const view = { width, height, scale, from: left / scale, to: (left + width) / scale, seconds: this.seconds };
      paint(context, { ...view, x: (time) => time * scale - left });
    }
  }

  /** Put the playhead at a time; while it plays, what is seen goes with it. */
  showTime(time, follow) {
    const { head, width } = this.#sizes();
    const x = (time / this.seconds) * this.width;
    this.playhead.style.transform = `translateX(${head + x}px)`;
    const left = this.scroller.scrollLeft;
    if (follow && (x < left || x > left + width)) this.scroller.scrollLeft = x - width * 0.1;
  }

  setRegion(region) {
    const ordered = region && [Math.min(...region), Math.max(...region)];
    this.region = ordered && ordered[1] - ordered[0] >= 0.1 ? ordered : null;
    this.showRegion();
    this.dispatchEvent(new Event("region"));
  }

  showRegion() {
    this.regionBox.hidden = !this.region;
    if (!this.region) return;
    const [from, to] = this.region;
    const place = (time) => `calc(var(--head) + ${(time / this.seconds) * this.width}px)`;
    this.regionBox.style.left = place(from);
    this.regionBox.style.width = `${((to - from) / this.seconds) * this.width}px`;
    [...this.regionBox.children].forEach((edge, side) => {
      edge.setAttribute("aria-valuenow", this.region[side].toFixed(3));
      edge.setAttribute("aria-valuemax", this.seconds.toFixed(3));
      edge.setAttribute("aria-valuetext", `${this.region[side].toFixed(2)} seconds`);
    });
  }

  #edges() {
    ["Region begins", "Region ends"].forEach((label, side) => {
      const edge = document.createElement("div");
      edge.tabIndex = 0;
      Object.entries({ role: "slider", "aria-label": label, "aria-valuemin": "0" }).forEach((each) => edge.setAttribute(...each));
      const set = (time) => {
        const next = [...this.region];
        next[side] = side ? Math.max(time, next[0] + 0.1) : Math.min(time, next[1] - 0.1);
        this.setRegion(next.map((each) => Math.min(this.seconds, Math.max(0, each))));
      };
      edge.addEventListener("pointerdown", (event) => {
        event.stopPropagation();
        dragged(event, (move) => set(this.timeAt(move.clientX)));
      });
      edge.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (!step) return;
        event.preventDefault();
        event.stopPropagation();
        set(this.region[side] + step * (event.shiftKey ? 0.2 : 0.02));
      });
      this.regionBox.append(edge);
    });
  }

  #wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY / 300), this.timeAt(event.clientX));
  }

  /** A press on ruler or pictures goes there and drags the playhead; one on a sound goes there, or marks a region. */
  #press(event) {
    const lane = event.target.closest(".lane");
    if (event.button !== 0 || !event.target.closest(".body") || event.target.closest("[tabindex], button")) return;
    const begin = event.clientX;
    const seek = (at) => this.dispatchEvent(new CustomEvent("seek", { detail: this.timeAt(at.clientX) }));
    const scrubs = lane.matches(".ruler, .strip");
    const marks = lane.matches(".wave, .mel");
    if (scrubs && !(lane.matches(".strip") && event.pointerType === "touch")) seek(event);
    let moved = false;
    dragged(
      event,
      (move) => {
        moved ||= Math.abs(move.clientX - begin) > STILL;
        if (moved && scrubs) seek(move);
        if (moved && marks) this.setRegion([this.timeAt(begin), this.timeAt(move.clientX)]);
      },
      (end) => {
        if (!moved && end.type === "pointerup") seek(end);
      },
    );
  }
}

/** Follow a pointer from its press to its end. */
export function dragged(press, onMove, onEnd = () => {}) {
  const target = press.currentTarget;
  target.setPointerCapture?.(press.pointerId);
  const end = (event) => {
    ["pointermove", "pointerup", "pointercancel"].forEach((name, at) => target.removeEventListener(name, at ? end : onMove));
    onEnd(event);
  };
  ["pointermove", "pointerup", "pointercancel"].forEach((name, at) => target.addEventListener(name, at ? end : onMove));
}

function paintRuler(context, { width, height, scale, from, to, x }) {
  const step = STEPS.find((each) => each * scale > 64) ?? 600;
  const digits = step < 0.1 ? 2 : step < 1 ? 1 : 0;
  context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  context.textBaseline = "middle";
  const fine = step / (String(step).includes("2") ? 4 : 5);
  for (let at = Math.floor(from / fine); at * fine <= to; at++) {
    const numbered = Math.abs((at * fine) / step - Math.round((at * fine) / step)) < 1e-6;
    context.fillStyle = colour(numbered ? "soft" : "line");
    context.fillRect(Math.round(x(at * fine)), numbered ? height - 8 : height - 4, 1, 8);
    if (!numbered) continue;
    const text = stamp(at * fine, digits);
    const wide = context.measureText(text).width;
    const place = x(at * fine) + 4;
    if (place + wide < width) context.fillText(text, place, height / 2 - 1);
  }
}

/** Height of a sample: what is soft is drawn larger than it is, so that it can be seen. */
const tall = (sample) => Math.min(1, Math.max(0, sample)) ** 0.8;

/** Outlines of a sound, as a painter of a canvas. */
export const paintWave = (outline, isActive) => (context, { height, from, to, scale, x }) => {
  const { rate, low, high } = outline;
  const middle = height / 2;
  const reach = middle - 3;
  context.fillStyle = colour(isActive() ? "accent" : "wave");
  const each = Math.max(1, Math.floor(rate / scale));
  const first = Math.max(0, Math.floor((from * rate) / each) * each);
  const bar = Math.max(1, (each / rate) * scale);
  for (let at = first; at < Math.min(low.length, to * rate + each); at += each) {
    let [bottom, top] = [low[at], high[at]];
    for (let k = at + 1; k < at + each && k < low.length; k++) {
      bottom = Math.min(bottom, low[k]);
      top = Math.max(top, high[k]);
    }
    const above = tall(top) * reach;
    const below = tall(-bottom) * reach;
    context.fillRect(x(at / rate), middle - above - 0.5, bar, above + below + 1);
  }
};

/** A mel picture, as a painter; its colours go from the ground to the accent and on to the ink. */
export const paintMel = (picture) => (context, { height, seconds, x }) => {
  const key = colour("mel");
  if (picture.key !== key) {
    picture.image = coloured(picture, key.split(","));
    picture.key = key;
  }
  context.imageSmoothingEnabled = true;
  context.drawImage(picture.image, x(0), 0, x(seconds) - x(0), height);
};

function coloured({ columns, bands, values }, stops) {
  const ramp = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const gradient = ramp.createLinearGradient(0, 0, 256, 0);
  stops.forEach((each, at) => gradient.addColorStop(at / (stops.length - 1), each.trim()));
  ramp.canvas.width = 256;
  ramp.fillStyle = gradient;
  ramp.fillRect(0, 0, 256, 1);
  const colours = ramp.getImageData(0, 0, 256, 1).data;
  const canvas = Object.assign(document.createElement("canvas"), { width: columns, height: bands });
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, bands);
  for (let column = 0; column < columns; column++) {
    for (let band = 0; band < bands; band++) {
      const at = 4 * ((bands - 1 - band) * columns + column);
      image.data.set(colours.subarray(4 * values[column * bands + band], 4 * values[column * bands + band] + 4), at);
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** How much moves, as a painter of the area behind the hits. */
export const paintMotion = ({ rate, values }) => (context, { height, from, to, scale, x }) => {
  if (!values.length) return;
  const each = Math.max(1, Math.floor(rate / scale));
  context.beginPath();
  const first = Math.max(0, Math.floor(from * rate) - each);
  const last = Math.min(values.length - 1, Math.ceil(to * rate) + each);
  context.moveTo(x(first / rate), height);
  for (let at = first; at <= last; at += each) context.lineTo(x(at / rate), height - values[at] * (height - 4));
  context.lineTo(x(last / rate), height);
  context.fillStyle = colour("motion");
  context.fill();
};
