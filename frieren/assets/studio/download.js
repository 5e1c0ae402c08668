// Files of a take: what it is asked to be is asked of the service, with the take's own seed, marks and settings.

import * as api from "./api.js";
import { told } from "./takes.js";

const SOUNDS = ["wav", "flac"];

/** A take's options as the service takes them: the sound alone, unless something else is asked for. */
export function wire(options, exported = { format: "wav" }) {
  const { cues, redo, ...rest } = options;
  return { ...rest, ...exported, redo, ...(cues ? { cues } : {}) };
}

/** Save a take as a file, or with `exported` null its record. */
export async function download(clip, take, exported, say) {
  if (!exported) return keep(take.id, "record");
  const { format, fresh, old, loudness } = exported;
  const mixed = old !== null && !SOUNDS.includes(format);
  // Alone, a sound is as loud as is aimed at and the fader adds; mixed, the two faders are the levels of the mix.
  const mixing = mixed ? { loudness, keep_original: true, levels: [fresh, old] } : { loudness: alone(loudness, fresh) };
  const options = wire(take.options, { format, ...mixing });
  if (JSON.stringify(options) === JSON.stringify(wire(take.options))) return keep(take.id, "result");
  const job = await api.submit(clip, options);
  const end = await api.follow(job.id, (event) => {
    const { text, share } = told(event);
    say(`Saving: ${text.toLowerCase()} ${Math.round(100 * share)} %`);
  });
  if (end.state !== "done") throw new api.Refusal(end.error ?? "Cancelled.");
  return keep(job.id, "result");
}

const alone = (loudness, fresh) => (loudness === null ? null : Math.max(-70, Math.min(0, loudness + fresh)));

/** Let the browser save what the service has of a job. */
async function keep(id, what) {
  const { blob, name } = await api.file(id, what);
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
