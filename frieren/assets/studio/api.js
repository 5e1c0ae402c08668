// The service: models, cue sheets, jobs, their events and results. Every refusal is a Refusal with its reason.

export class Refusal extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

const PAUSE = 1000; // ms before a broken stream is taken up again
const ENDED = ["done", "failed", "cancelled"];
let token = sessionStorage.getItem("token");
let askToken = async () => null;

/** What asks a person for the token of the service; it gives null where there is none. */
export function onToken(ask) {
  askToken = ask;
}

async function call(path, options = {}) {
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The service does not answer. Is it still running?");
  }
  if (answer.status === 401 && (token = await askToken())) {
    sessionStorage.setItem("token", token);
    return call(path, options);
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Refusal(told.detail || `${answer.status} ${answer.statusText}`, answer.status);
  }
  return answer;
}

const json = async (path, options) => (await call(path, options)).json();

export const models = () => json("/v1/models");
export const categories = () => json("/v1/categories");
export const warnings = async (id) => (await json(`/v1/jobs/${id}`)).result?.warnings ?? [];
export const cancel = (id) => json(`/v1/jobs/${id}`, { method: "DELETE" });
export const result = async (id) => (await file(id, "result")).blob;

/** What the service has of a job, its "result" or "record": {blob, name}. */
export async function file(id, what) {
  const answer = await call(`/v1/jobs/${id}/${what}`);
  const said = answer.headers.get("Content-Disposition") ?? "";
  const plain = /filename="([^"]+)"/.exec(said)?.[1];
  const coded = /filename\*=utf-8''([^;]+)/i.exec(said)?.[1];
  return { blob: await answer.blob(), name: coded ? decodeURIComponent(coded) : (plain ?? what) };
}

/** Queue a job of a clip. */
export function submit(clip, options, signal) {
  const body = new FormData();
  body.append("video", clip, clip.name);
  body.append("options", JSON.stringify(options));
  return json("/v1/jobs", { method: "POST", body, signal });
}

/** What is seen of a clip: {video, cues, likeliest}; `onProgress` is called with a share from 0 to 1. */
export async function spot(clip, onProgress, signal) {
  const body = new FormData();
  body.append("video", clip, clip.name);
  const answer = await call("/v1/cues", { method: "POST", body, signal, headers: { Accept: "text/event-stream" } });
  for await (const { event, data } of events(answer.body)) {
    if (event === "progress") onProgress(data.total ? Math.min(1, data.done / data.total) : 0);
    if (event === "error") throw new Refusal(data.detail);
    if (event === "sight") return data;
  }
  throw new Refusal("The service ended the connection. Is it still running?");
}

/** Follow a job to its end, whatever happens to connections; `onEvent` gets what its events hold. */
export async function follow(id, onEvent, signal) {
  let last = "0";
  for (;;) {
    try {
      const answer = await call(`/v1/jobs/${id}/events`, { signal, headers: { "Last-Event-ID": last } });
      for await (const { number, data } of events(answer.body)) {
        last = number;
        onEvent(data);
        if (ENDED.includes(data.state)) return data;
      }
    } catch (error) {
      if (error.name === "AbortError" || error.status) throw error;
    }
    await new Promise((after) => setTimeout(after, PAUSE));
  }
}

/** The events of a stream of server-sent events: {event, number, data}. */
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split(/\r?\n\r?\n/);
    text = blocks.pop();
    for (const block of blocks) {
      const found = { event: "message", number: "0", data: "" };
      for (const line of block.split(/\r?\n/)) {
        const at = line.indexOf(":");
        const name = line.slice(0, at);
        const rest = line.slice(at + 1).replace(/^ /, "");
        if (name === "event") found.event = rest;
        if (name === "id") found.number = rest;
        if (name === "data") found.data += rest;
      }
      if (found.data) yield { ...found, data: JSON.parse(found.data) };
    }
  }
}
