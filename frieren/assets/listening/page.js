// The listening test: shows one sound after another, keeps the answers in this browser, and saves them as a file.
//
// study.js holds window.STUDY: what is asked, and the opaque names of the files. Which system made a file is nowhere
// in this folder. The order is drawn from the study's and the rater's name, so that a rater finds it again.
"use strict";

(() => {
  const STUDY = window.STUDY;
  const FORMAT = "frieren-listening-answers-1";
  const MISSED = 0.5;  // seconds of a sound that may be missing from what the browser says it has played

  const $ = (id) => document.getElementById(id);
  const element = (name, text, attributes = {}) => {
    const made = Object.assign(document.createElement(name), { textContent: text });
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  // ---- order -----------------------------------------------------------------------------------------------------

  /** A generator of numbers in 0..1 from a text: FNV-1a for the seed, mulberry32 for the numbers. */
  function randomFrom(text) {
    let seed = 2166136261;
    for (const letter of text) seed = Math.imul(seed ^ letter.codePointAt(0), 16777619);
    return () => {
      seed = (seed + 0x6d2b79f5) | 0;
      let bits = Math.imul(seed ^ (seed >>> 15), seed | 1);
      bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
      return ((bits ^ (bits >>> 14)) >>> 0) / 4294967296;
    };
  }

  /** A random order of a list (Fisher and Yates). */
  function shuffled(list, random) {
    const result = [...list];
    for (let last = result.length - 1; last > 0; last--) {
      const other = Math.floor(random() * (last + 1));
      [result[last], result[other]] = [result[other], result[last]];
    }
    return result;
  }

  /** The same trials, but the next one is of another video wherever a later one can be moved up. */
  function apart(trials) {
    const result = [...trials];
    for (let at = 1; at < result.length; at++) {
      const item = result[at - 1].item;
      const other = result.findIndex((trial, index) => index >= at && trial.item !== item);
      if (other > at) result.splice(at, 0, ...result.splice(other, 1));
    }
    return result;
  }

  /** What a rater hears: one question after the other, its trials in random order. */
  function orderFor(rater) {
    const random = randomFrom(`${STUDY.study}/${rater}`);
    const items = shuffled(STUDY.items.map((_, item) => item), random).slice(0, STUDY.perRater ?? undefined);
    return STUDY.questions.flatMap(({ name }) => {
      const trials = items.flatMap((item) => STUDY.items[item][name].map((id) => ({ item, id })));
      return apart(shuffled(trials, random)).map(({ id }) => id);
    });
  }

  // ---- state -----------------------------------------------------------------------------------------------------

  const STORE = `frieren-listening/${STUDY.study}`;
  let state = null;  // what is kept: rater, order, answers, at (position in steps), comment, started
  let steps = [];    // the same for everybody but for the order: an introduction, its trials, and so on, the end
  let seen = 0;      // when the current trial was shown, in ms

  /** Reading and writing what survives a reload; some browsers forbid it, and then the file is all there is. */
  const store = {
    get(key) { try { return localStorage.getItem(key); } catch { return null; } },
    set(key, value) { try { localStorage.setItem(key, value); } catch { /* see above */ } },
    remove(key) { try { localStorage.removeItem(key); } catch { /* see above */ } },
  };

  function keep() {
    store.set(STORE, state.rater);
    store.set(`${STORE}/${state.rater}`, JSON.stringify(state));
  }

  function begin(rater) {
    const kept = store.get(`${STORE}/${rater}`);
    state = kept ? JSON.parse(kept)
      : { rater, order: orderFor(rater), answers: {}, at: 0, comment: "", started: new Date().toISOString() };
    const questionOf = new Map(STUDY.questions.flatMap((question) =>
      STUDY.items.flatMap((item) => item[question.name].map((id) => [id, question]))));
    steps = STUDY.questions.flatMap((question) => [
      { view: "intro", question },
      ...state.order.filter((id) => questionOf.get(id) === question).map((id) => ({ view: "trial", question, id })),
    ]);
    steps.push({ view: "end" });
    keep();
    show(state.at);
  }

  const step = () => steps[state.at];
  const answered = () => Object.keys(state.answers).length;

  // ---- views -----------------------------------------------------------------------------------------------------

  function open(view) {
    for (const id of ["welcome", "intro", "trial", "end"]) $(id).hidden = id !== view;
    document.querySelector("footer").hidden = view === "welcome";
    $(view).querySelector("h2").focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }

  function show(at) {
    $("screen").replaceChildren();  // also silences what is playing
    media = null;
    state.at = at;
    keep();
    const { view, question, id } = step();
    ({ intro: showIntro, trial: showTrial, end: showEnd })[view](question, id);
    document.querySelectorAll(".back").forEach((button) => { button.style.visibility = at ? "visible" : "hidden"; });
    showProgress();
    $("saved").textContent = "";
    open(view);
  }

  function showProgress() {
    $("progress").value = answered() / state.order.length;
    $("where").textContent = `${state.rater} · ${answered()} of ${state.order.length} rated`;
  }

  function showIntro(question) {
    const number = STUDY.questions.indexOf(question) + 1;
    $("intro-part").textContent = `Part ${number} of ${STUDY.questions.length}`;
    $("intro-title").textContent = question.title;
    $("intro-ask").textContent = question.ask;
    $("intro-attend").textContent = question.attend;
    $("intro-ignore").textContent = question.ignore;
    $("intro-scale").replaceChildren(...question.labels.map((label, index) => {
      const row = element("div", ""), term = element("dt", "");
      term.append(element("b", index + 1), element("span", label));
      row.append(term, element("dd", question.meanings[index]));
      return row;
    }).reverse());
  }

  function showEnd() {
    const left = state.order.length - answered();
    $("end-title").textContent = left ? "Nearly done" : "Thank you";
    $("end-text").textContent = left
      ? `${left} of ${state.order.length} sounds have no score. You may go back to them, or save what you have.`
      : "That was the last sound. Save your answers, and send the file to whoever asked you to take part.";
    $("comment").value = state.comment;
  }

  // ---- a trial ---------------------------------------------------------------------------------------------------

  let media = null;     // the audio or video element of the current trial
  let heard = false;    // to its end, without leaps
  let broken = false;   // the browser cannot play it

  function showTrial(question, id) {
    heard = id in state.answers;
    broken = false;
    seen = performance.now();
    $("ask").textContent = question.ask;
    $("stage").className = question.picture ? "picture" : "sound";
    $("scores").replaceChildren(...question.labels.map((label, index) => {
      const button = element("button", "", { type: "button", "aria-keyshortcuts": index + 1 });
      button.append(element("b", index + 1), element("span", label), element("small", question.meanings[index]));
      button.addEventListener("click", (event) => {
        rate(index + 1);
        if (event.detail) $("ask").focus({ preventScroll: true });  // after a mouse click, Space plays again
      });
      return button;
    }));
    media = player(id, question.picture);
    $("screen").replaceChildren(media);
    const next = steps[state.at + 1];
    if (next.view === "trial") player(next.id, next.question.picture);  // has it loaded by then
    showPlayed();
    showScores();
  }

  function player(id, picture) {
    const made = document.createElement(picture ? "video" : "audio");
    made.preload = "auto";
    made.playsInline = made.disablePictureInPicture = true;
    made.src = `media/${id}`;
    made.plays = 0;
    made.addEventListener("play", () => { if (made.currentTime < 0.1) made.plays += 1; });
    for (const event of ["play", "pause", "ended", "timeupdate", "loadeddata"]) made.addEventListener(event, onMedia);
    made.addEventListener("error", (event) => {
      if (event.target !== media) return;  // the next trial's, loaded ahead
      broken = true;
      showScores();
    });
    return made;
  }

  function onMedia(event) {
    if (event.target !== media) return;
    if (event.type === "ended") heard = heard || playedSeconds() >= media.duration - MISSED;
    showPlayed();
    if (["play", "pause", "ended"].includes(event.type)) showScores();
  }

  function playedSeconds() {
    let seconds = 0;
    for (let part = 0; part < media.played.length; part++) seconds += media.played.end(part) - media.played.start(part);
    return seconds;
  }

  const playing = () => Boolean(media && !media.paused && !media.ended);

  function toggle() {
    if (playing()) media.pause();
    else if (media) media.play().catch(() => { broken = Boolean(media?.error); showScores(); });
  }

  function showPlayed() {
    const share = media.duration ? media.currentTime / media.duration : 0;
    $("played").firstElementChild.style.width = `${100 * share}%`;
    $("stage").classList.toggle("playing", playing());
    $("play-name").textContent = playing() ? "Pause" : media.ended || heard ? "Play again" : "Play";
  }

  function showScores() {
    const score = state.answers[step().id]?.score;
    [...$("scores").children].forEach((button, index) => {
      button.setAttribute("aria-pressed", String(score === index + 1));
      button.setAttribute("aria-disabled", String(!heard));
    });
    $("trial").querySelector(".next").setAttribute("aria-disabled", String(!score && !broken));
    const text = broken ? "This browser cannot play this file. Go on to the next, and say so at the end."
      : score ? "Noted. Change it, or go on."
      : heard ? "Your score, please."
      : playing() ? "Listen to the end …"
      : "Listen to the end, then give your score.";
    say(text, heard && !score);
  }

  function say(text, call) {
    $("status").textContent = text;
    $("status").classList.toggle("call", Boolean(call));
  }

  function rate(score) {
    if (!heard) return say("Please listen to the end first.", true);
    state.answers[step().id] = {
      score,
      plays: (state.answers[step().id]?.plays ?? 0) + media.plays,
      seconds: Math.round((performance.now() - seen) / 100) / 10,
      at: new Date().toISOString(),
    };
    media.plays = 0;
    keep();
    showScores();
    showProgress();
  }

  function next() {
    if (step().view === "trial" && !(step().id in state.answers) && !broken) {
      return say(heard ? "Please give a score first." : "Please listen to the end first.", true);
    }
    if (step().view !== "end") show(state.at + 1);
  }

  function back() {
    if (state.at > 0) show(state.at - 1);
  }

  // ---- the file --------------------------------------------------------------------------------------------------

  function save() {
    const body = {
      format: FORMAT, study: STUDY.study, title: STUDY.title, rater: state.rater,
      order: state.order, answers: state.answers, complete: answered() === state.order.length,
      comment: state.comment, started: state.started, saved: new Date().toISOString(), agent: navigator.userAgent,
    };
    const url = URL.createObjectURL(new Blob([JSON.stringify(body, null, 1) + "\n"], { type: "application/json" }));
    const name = `answers_${STUDY.study.slice(0, 6)}_${state.rater}.json`;
    element("a", "", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    $("saved").textContent = `Saved as ${name}, where this browser puts downloads.`;
  }

  // ---- wiring ----------------------------------------------------------------------------------------------------

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea")) return;
    if (!state) return;
    const { view } = step();
    const onButton = event.target.matches("button");  // Space and Enter belong to it
    const act = event.key === "ArrowRight" ? next
      : event.key === "ArrowLeft" ? back
      : event.key === "Enter" && !onButton ? (view === "end" ? save : next)
      : event.key === " " && !onButton && view === "trial" ? toggle
      : view === "trial" && /^[1-5]$/.test(event.key) ? () => rate(Number(event.key))
      : null;
    if (!act) return;
    event.preventDefault();
    if (!event.repeat) act();
  });

  document.querySelectorAll(".next").forEach((button) => button.addEventListener("click", next));
  document.querySelectorAll(".back").forEach((button) => button.addEventListener("click", back));
  $("play").addEventListener("click", (event) => {
    toggle();
    if (event.detail) $("ask").focus({ preventScroll: true });
  });
  $("save").addEventListener("click", save);
  $("save-now").addEventListener("click", save);
  $("comment").addEventListener("input", (event) => { state.comment = event.target.value; keep(); });
  $("leave").addEventListener("click", () => { store.remove(STORE); location.reload(); });
  $("welcome").addEventListener("submit", (event) => {
    event.preventDefault();
    noise.pause();
    begin($("rater").value);
  });

  const noise = new Audio("media/level.flac");
  $("level").addEventListener("click", () => { noise.currentTime = 0; noise.play(); });

  document.title = $("title").textContent = STUDY.title;
  const sounds = orderFor("").length, parts = STUDY.questions.length;
  $("outline").textContent =
    `You will hear ${STUDY.perRater ? "about " : ""}${sounds} short sounds in ${parts === 1 ? "one part" : `${parts} parts`} `
    + "and give each a score from 1 to 5. There are no right answers: your ear counts.";

  const known = new URLSearchParams(location.search).get("rater");
  const last = store.get(STORE);
  if (last && (!known || known === last)) begin(last);
  else {
    if (known) $("rater").value = known;
    open("welcome");
    if (!known) $("rater").focus();
  }
})();
