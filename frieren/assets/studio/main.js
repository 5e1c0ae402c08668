// The studio: a clip comes in, its cue sheet is spotted, takes are rendered, heard, corrected and saved.

import * as api from "./api.js";
import { download, wire } from "./download.js";
import { Inspector } from "./inspector.js";
import { listen } from "./keys.js";
import { Marks } from "./marks.js";
import { Player } from "./player.js";
import { Project, cuesOf, sheetOf } from "./project.js";
import { Settings } from "./settings.js";
import { melPicture, outline } from "./spectrum.js";
import { paintStrip, pictures } from "./strip.js";
import { Takes, told } from "./takes.js";
import { Timeline, paintMel, paintMotion, paintWave, stamp } from "./timeline.js";

const ORIGINAL = "original";
const LARGEST = 400 * 2 ** 20; // bytes of a clip whose own sound is decoded here
const $ = (id) => document.getElementById(id);
const at = (id, kind, does) => $(id).addEventListener(kind, does);

const project = new Project({ sheet: null, takes: [], active: null, likeliest: [] });
const player = new Player($("video"));
const timeline = new Timeline($("timeline"));
const takes = new Takes($("takes"), project, timeline);
const settings = new Settings($("settings"), $("mix"));
let marks, inspector, titles = new Map();
let clip = null; // {file, url, seconds, fps, original: {buffer, outline} or null}
let looking = null; // what ends the work on the clip that is being looked at
const mels = new WeakMap(); // buffer -> its picture

const say = (text) => ($("status").textContent = text);
const fault = (error) => {
  if (error.name === "AbortError") return say("Cancelled.");
  say(error.message);
  if (!(error instanceof api.Refusal)) console.error(error);
};

// -- the clip --

async function open(file) {
  looking?.abort();
  takes.pending.forEach((each) => each.cancel());
  player.pause();
  if (clip) URL.revokeObjectURL(clip.url);
  clip = { file, url: URL.createObjectURL(file), seconds: 1, fps: 25, original: null };
  looking = new AbortController();
  const { signal } = looking;
  project.reset({ sheet: null, takes: [], active: null, likeliest: [] });
  settings.fresh();
  $("welcome").hidden = true;
  $("desk").hidden = $("clip-name").hidden = $("open").hidden = false;
  $("clip-name").textContent = file.name;
  document.title = `${file.name} – frieren studio`;
  await shown();
  if (!signal.aborted) await render();
}

/** Show the picture and the clip's own sound; how long it is the service measures more exactly later. */
async function shown() {
  const video = $("video");
  $("no-picture").hidden = true;
  video.src = clip.url;
  await new Promise((resolve) => {
    video.onloadedmetadata = resolve;
    video.onerror = () => {
      $("no-picture").hidden = false;
      resolve();
    };
  });
  if (!(video.videoWidth > 0)) $("no-picture").hidden = false;
  measured({ seconds: Number.isFinite(video.duration) ? video.duration : 1, fps: 25 });
  timeline.remove($("strip"));
  const found = pictures(clip.url, clip.seconds, () => timeline.draw($("strip")));
  timeline.add($("strip"), paintStrip(found));
  await heard();
}

/** Decode the clip's own sound, if it has one and this browser can. */
async function heard() {
  const { file } = clip;
  timeline.remove($("original").querySelector("canvas"));
  const buffer = file.size < LARGEST ? await player.decode(await file.arrayBuffer()).catch(() => null) : null;
  if (buffer) {
    clip.original = { buffer, outline: outline(buffer) };
    timeline.add($("original").querySelector("canvas"), paintWave(clip.original.outline, () => project.state.active === ORIGINAL));
  }
  $("original").hidden = !buffer;
  settings.hasOriginal(Boolean(buffer));
  timeline.lay();
}

function measured({ seconds, fps }) {
  Object.assign(clip, { seconds, fps: fps || 25 });
  player.seconds = seconds;
  timeline.frame = 1 / clip.fps;
  timeline.setSeconds(seconds);
  time();
}

/** Spot the clip; its sheet is the state's then. */
async function look(stop) {
  const pending = { id: "look", text: "Looking at the clip", share: 0, cancel: () => stop.abort() };
  takes.add(pending);
  say("Looking at the clip…");
  try {
    const seen = await api.spot(clip.file, (share) => {
      pending.share = share;
      takes.draw();
    }, stop.signal);
    measured(seen.video);
    const sheet = sheetOf(seen.cues, seen.video.seconds);
    project.reset({ ...project.state, sheet, likeliest: seen.likeliest.map((each) => each.name) });
    timeline.remove($("motion"));
    timeline.add($("motion"), paintMotion(sheet.motion));
    const notes = seen.video.notes.join(" ");
    say(notes || `${sheet.strikes.length} hits, ${sheet.sounds.length || "no"} known sound${sheet.sounds.length === 1 ? "" : "s"}.`);
  } catch (error) {
    fault(error);
    stop.abort(); // without a sheet nothing is rendered
  } finally {
    takes.remove(pending);
  }
}

// -- takes --

/** What the next take would be made with. */
const next = () => {
  const options = settings.options();
  const withCues = settings.model?.condition === "cues" && project.state.sheet;
  return { ...options, cues: withCues ? cuesOf(project.state.sheet) : null };
};

const activeTake = () => project.state.takes.find((each) => each.id === project.state.active);

/** Make a take, and hear it where the last one is heard. */
async function render(given = null) {
  if (!clip || takes.pending.some((each) => each.id === "look")) return;
  const of = clip;
  if (!given && settings.model?.condition === "cues" && !project.state.sheet) {
    if (looking.signal.aborted) looking = new AbortController(); // it was cancelled, or failed, and is tried again
    await look(looking);
    if (looking.signal.aborted || clip !== of) return;
  }
  const { options, sheet } = given ?? { options: next(), sheet: project.state.sheet };
  const stop = new AbortController();
  let job = null;
  const pending = { id: `p${Math.random()}`, text: "Sending", share: 0 };
  pending.cancel = () => {
    if (job) api.cancel(job.id).catch(fault);
    stop.abort();
  };
  takes.add(pending);
  say("Rendering…");
  try {
    job = await api.submit(of.file, wire(options), stop.signal);
    if (clip === of && !project.state.sheet) measured(job.video);
    const end = await api.follow(job.id, (event) => {
      Object.assign(pending, told(event));
      takes.draw();
    }, stop.signal);
    if (end.state !== "done") throw new api.Refusal(end.error ?? "Cancelled.");
    const buffer = await player.decode(await (await api.result(job.id)).arrayBuffer());
    if (clip !== of) return;
    const take = { id: job.id, options, sheet, buffer, outline: outline(buffer) };
    settings.take(options);
    project.change({ takes: [...project.state.takes, take], active: take.id });
    const warnings = await api.warnings(job.id);
    say([`Take ${project.state.takes.length} is ready.`, ...warnings].join(" "));
  } catch (error) {
    fault(error);
  } finally {
    takes.remove(pending);
  }
}

function another() {
  const seeds = [...project.state.takes.map((each) => each.options.seed), settings.options().seed];
  const seed = Math.max(...seeds) + (project.state.takes.length ? 1 : 0);
  return render({ options: { ...next(), seed, redo: [] }, sheet: project.state.sheet });
}

function redoRegion() {
  const take = activeTake();
  if (!timeline.region) return say("Mark a region first: drag over a sound, or press I and O.");
  if (!take) return say("Choose a take first; the original cannot be made again.");
  const [from, to] = timeline.region.map((time) => Math.round(time * 1000) / 1000);
  const seed = Math.max(take.options.seed, ...take.options.redo.map((each) => each.seed)) + 1;
  return render({ options: { ...take.options, redo: [...take.options.redo, { from, to, seed }] }, sheet: take.sheet });
}

function use(take) {
  settings.take(take.options);
  project.change({ sheet: take.sheet ?? project.state.sheet });
  say(`Marks and settings are those of take ${project.state.takes.indexOf(take) + 1}.`);
}

function drop(take) {
  const left = project.state.takes.filter((each) => each !== take);
  const active = project.state.active === take.id ? (left.at(-1)?.id ?? null) : project.state.active;
  project.change({ takes: left, active });
}

const hear = (index) => {
  if (index === 0 && clip?.original) project.change({ active: ORIGINAL }, { undoable: false });
  const take = project.state.takes[index - 1];
  if (take) project.change({ active: take.id }, { undoable: false });
};

// -- what is seen and heard follows the state --

function levels() {
  const { active } = project.state;
  const { fresh, old, loudness } = settings.levels();
  const take = activeTake();
  const both = [loudness, take?.options.loudness];
  const change = both.every((each) => typeof each === "number") ? both[0] - both[1] : 0;
  const factor = (decibels) => (decibels === null ? 0 : 10 ** (decibels / 20));
  if (active === ORIGINAL) player.setLevels({ [ORIGINAL]: 1 });
  else player.setLevels({ [ORIGINAL]: factor(old), [active]: factor(fresh + change) });
}

function draw() {
  const { takes: all, active, sheet } = project.state;
  const buffers = Object.fromEntries(all.map((each) => [each.id, each.buffer]));
  if (clip?.original) buffers[ORIGINAL] = clip.original.buffer;
  player.setTracks(buffers);
  levels();
  takes.draw();
  marks?.draw();
  inspector?.draw();
  $("original").classList.toggle("active", active === ORIGINAL);
  $("original").querySelector(".number").setAttribute("aria-pressed", String(active === ORIGINAL));
  if (clip?.original) timeline.draw($("original").querySelector("canvas"));
  const buffer = activeTake()?.buffer ?? (active === ORIGINAL ? clip.original.buffer : null);
  if (buffer && !mels.has(buffer)) mels.set(buffer, melPicture(buffer));
  timeline.add($("mel"), buffer ? paintMel(mels.get(buffer)) : () => {});
  $("timeline").classList.toggle("unseen", !sheet);
  $("undo").disabled = !project.past.length;
  $("redo-step").disabled = !project.future.length;
  $("download").disabled = $("record").disabled = !activeTake();
  edited();
}

/** Whether another take would differ from the last one: the button says so. */
function edited() {
  const last = project.state.takes.at(-1);
  const differs = !last || JSON.stringify(wire(next())) !== JSON.stringify(wire(last.options));
  $("render").classList.toggle("main", differs);
  $("render").classList.toggle("plain", !differs);
}

function time() {
  timeline.showTime(player.time, player.playing);
  $("clock").firstChild.textContent = stamp(player.time);
  $("clock").lastChild.textContent = ` / ${stamp(player.seconds, 1)}`;
}

function loopPressed() {
  const on = $("loop").getAttribute("aria-pressed") !== "true";
  $("loop").setAttribute("aria-pressed", String(on));
  player.setLoop(on ? (timeline.region ?? [0, player.seconds]) : null);
}

function region() {
  $("region-tools").hidden = !timeline.region;
  if (timeline.region) {
    const [from, to] = timeline.region;
    $("region-times").textContent = `${stamp(from, 2)} – ${stamp(to, 2)} · ${(to - from).toFixed(2)} s`;
  }
  if ($("loop").getAttribute("aria-pressed") === "true") player.setLoop(timeline.region ?? [0, player.seconds]);
}

function save(what) {
  const take = activeTake();
  if (!take) return;
  const button = $(what);
  button.disabled = true;
  download(clip.file, take, what === "record" ? null : settings.exported(), (text) => say(text))
    .then(() => say("Saved."))
    .catch(fault)
    .finally(() => (button.disabled = false));
}

const actions = {
  play: () => (player.wanted ? player.pause() : player.play()),
  seek: (to) => player.seek(to),
  step: (by) => player.seek(player.time + by),
  frame: () => timeline.frame,
  position: () => player.time,
  end: () => player.seek(player.seconds),
  hear,
  render: () => render(),
  another,
  redoRegion,
  loop: loopPressed,
  addHit: () => marks?.addHit(player.time),
  addSound: () => marks?.addSound(player.time, timeline.region),
  regionFrom: (to) => timeline.setRegion([to, Math.max(timeline.region?.[1] ?? 0, to + 0.5)].map((each) => Math.min(each, player.seconds))),
  regionTo: (to) => timeline.setRegion([Math.min(timeline.region?.[0] ?? to - 0.5, to - 0.1), to].map((each) => Math.max(each, 0))),
  zoom: (factor) => timeline.zoom(factor, player.time),
  fit: () => timeline.fit(),
  undo: () => project.undo(),
  again: () => project.again(),
  help: () => $("keys").showModal(),
  escape: () => {
    const running = takes.pending.at(-1);
    if (running) running.cancel();
    else if (timeline.region) timeline.setRegion(null);
    else marks?.select(null);
  },
  ready: () => clip !== null,
};

function wireUp() {
  at("pick", "click", () => $("file").click());
  at("open", "click", () => $("file").click());
  at("file", "change", () => $("file").files[0] && open($("file").files[0]).catch(fault));
  at("example", "click", async () => {
    const blob = await (await fetch("example.mp4")).blob();
    open(new File([blob], "example.mp4", { type: "video/mp4" })).catch(fault);
  });
  for (const [id, does] of Object.entries({
    play: actions.play, video: actions.play, back: () => actions.step(-timeline.frame), forth: () => actions.step(timeline.frame),
    loop: loopPressed, render: actions.render, another, "redo-region": redoRegion, "clear-region": () => timeline.setRegion(null),
    "zoom-in": () => actions.zoom(1.6), "zoom-out": () => actions.zoom(1 / 1.6), "zoom-fit": actions.fit,
    "add-hit": actions.addHit, "add-sound": actions.addSound, undo: actions.undo, "redo-step": actions.again,
    help: actions.help, download: () => save("download"), record: () => save("record"),
  })) at(id, "click", does);
  $("original").querySelector(".number").addEventListener("click", () => hear(0));
  takes.addEventListener("hear", ({ detail }) => project.change({ active: detail.id }, { undoable: false }));
  takes.addEventListener("use", ({ detail }) => use(detail));
  takes.addEventListener("drop", ({ detail }) => drop(detail));
  timeline.addEventListener("seek", ({ detail }) => player.seek(detail));
  timeline.addEventListener("region", region);
  player.addEventListener("time", time);
  player.addEventListener("state", () => {
    $("play").setAttribute("aria-label", player.wanted ? "Pause" : "Play");
  });
  project.addEventListener("change", draw);
  settings.addEventListener("levels", levels);
  settings.addEventListener("change", edited);
  const dropping = (is) => (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", is);
  };
  document.addEventListener("dragover", dropping(true));
  document.addEventListener("dragleave", dropping(false));
  document.addEventListener("drop", (event) => {
    dropping(false)(event);
    const [file] = event.dataTransfer.files;
    if (file) open(file).catch(fault);
  });
  // After a click a button lets go of the focus, so that Space plays.
  document.addEventListener("click", (event) => event.detail && event.target.closest("button")?.blur());
  listen(document, actions);
}

api.onToken(
  () =>
    new Promise((resolve) => {
      $("token").showModal();
      $("token").addEventListener("close", () => resolve($("token-text").value || null), { once: true });
    }),
);

wireUp();
try {
  const [models, categories] = await Promise.all([api.models(), api.categories()]);
  settings.setModels(models);
  titles = new Map(categories.map((each) => [each.name, each.title]));
  const titleOf = (name) => titles.get(name) ?? name;
  marks = new Marks($("timeline"), project, timeline, titleOf);
  inspector = new Inspector($("inspector"), marks, categories, () => project.state.likeliest);
  document.body.dataset.ready = "";
} catch (error) {
  fault(error);
}
