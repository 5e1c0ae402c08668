// The clip's pictures along the timeline: taken once, one after another, by a second player that nobody sees.

const COUNT = 24;
const HEIGHT = 96; // pixels of a picture
const PATIENCE = 4000; // ms that a player may take for one

/** Takes pictures of a clip and calls `onPicture` after each; gives the list that they go to, {time, image}. */
export function pictures(url, seconds, onPicture) {
  const found = [];
  take(url, seconds, found, onPicture).catch(() => {}); // a clip that cannot be shown has no strip
  return found;
}

async function take(url, seconds, found, onPicture) {
  const video = Object.assign(document.createElement("video"), { muted: true, preload: "auto", src: url });
  await happens(video, "loadeddata");
  const width = Math.round((HEIGHT * video.videoWidth) / video.videoHeight);
  const count = Math.max(1, Math.min(COUNT, Math.round(seconds * 10)));
  for (const index of order(count)) {
    const time = ((index + 0.5) / count) * seconds;
    video.currentTime = time;
    await happens(video, "seeked");
    const image = Object.assign(document.createElement("canvas"), { width, height: HEIGHT });
    image.getContext("2d").drawImage(video, 0, 0, width, HEIGHT);
    found.push({ time, image });
    onPicture();
  }
  video.removeAttribute("src");
}

/** Numbers from 0 on, coarse first, so that a strip is whole early. */
function* order(count) {
  const seen = new Set();
  for (let step = 8; step >= 1; step /= 2) {
    for (let index = 0; index < count; index += step) if (!seen.has(index)) yield seen.add(index) && index;
  }
}

function happens(target, name) {
  return new Promise((resolve, reject) => {
    target.addEventListener(name, resolve, { once: true });
    target.addEventListener("error", reject, { once: true });
    setTimeout(reject, PATIENCE);
  });
}

/** The strip, as a painter: side by side, each place has the picture that is nearest in time. */
export const paintStrip = (found) => (context, { width, height, scale, from, seconds, x }) => {
  if (!found.length) return;
  const wide = (height * found[0].image.width) / found[0].image.height;
  const first = Math.floor((from * scale) / wide);
  for (let place = first; x((place * wide) / scale) < width; place++) {
    const begin = (place * wide) / scale;
    if (begin >= seconds) return;
    const middle = Math.min(seconds, begin + wide / scale / 2);
    const nearest = found.reduce((a, b) => (Math.abs(b.time - middle) < Math.abs(a.time - middle) ? b : a));
    const shown = Math.min(wide, (seconds - begin) * scale);
    const share = (shown / wide) * nearest.image.width;
    context.drawImage(nearest.image, 0, 0, share, nearest.image.height, x(begin), 0, shown - 1, height);
  }
};
