// A sound's outlines and its mel picture, computed once, drawn often.

const SIZE = 1024; // samples of a window, at 16 kHz; as the models' own front end
const RATE = 16000;
const BANDS = 80;
const COLUMNS = 6000; // of a picture, at most
const OUTLINES = 200; // a second

/** Lowest and highest sample of each 1/200 s: {rate, low, high}; the channels together. */
export function outline(buffer) {
  const step = buffer.sampleRate / OUTLINES;
  const count = Math.ceil(buffer.length / step);
  const low = new Float32Array(count);
  const high = new Float32Array(count);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const samples = buffer.getChannelData(channel);
    for (let index = 0; index < count; index++) {
      const end = Math.min(samples.length, Math.ceil((index + 1) * step));
      for (let at = Math.floor(index * step); at < end; at++) {
        if (samples[at] < low[index]) low[index] = samples[at];
        if (samples[at] > high[index]) high[index] = samples[at];
      }
    }
  }
  return { rate: OUTLINES, low, high };
}

/** The log-mel picture: {columns, bands, values}, values 0 (silence) to 255, a column after another, low bands first. */
export function melPicture(buffer) {
  const samples = buffer.getChannelData(0);
  const size = 2 ** Math.round(Math.log2((SIZE * buffer.sampleRate) / RATE));
  const columns = Math.max(1, Math.min(COLUMNS, Math.round(buffer.duration * 125)));
  const bands = filters(size, buffer.sampleRate);
  const values = new Uint8Array(columns * BANDS);
  const real = new Float32Array(size);
  const imaginary = new Float32Array(size);
  const window = Float32Array.from({ length: size }, (_, at) => 0.5 - 0.5 * Math.cos((2 * Math.PI * at) / size));
  for (let column = 0; column < columns; column++) {
    const begin = Math.round(((column + 0.5) / columns) * samples.length - size / 2);
    for (let at = 0; at < size; at++) real[at] = (samples[begin + at] ?? 0) * window[at];
    imaginary.fill(0);
    transform(real, imaginary);
    for (let band = 0; band < BANDS; band++) {
      let sum = 1e-9;
      const { first, weights } = bands[band];
      for (let k = 0; k < weights.length; k++) sum += weights[k] * Math.hypot(real[first + k], imaginary[first + k]);
      const decibels = 20 * Math.log10((2 * sum) / size);
      values[column * BANDS + band] = Math.max(0, Math.min(255, ((decibels + 96) / 78) * 255));
    }
  }
  return { columns, bands: BANDS, values };
}

/** Triangles that are evenly spaced in mels up to 8 kHz: the first bin of each, and its weights. */
function filters(size, rate) {
  const mel = (hertz) => 2595 * Math.log10(1 + hertz / 700);
  const hertz = (value) => 700 * (10 ** (value / 2595) - 1);
  const top = mel(Math.min(RATE, rate) / 2);
  const edges = Array.from({ length: BANDS + 2 }, (_, at) => (hertz((at * top) / (BANDS + 1)) * size) / rate);
  return Array.from({ length: BANDS }, (_, band) => {
    const [from, middle, to] = edges.slice(band, band + 3);
    const first = Math.max(0, Math.floor(from));
    const weights = [];
    for (let k = first; k <= Math.min(size / 2, Math.ceil(to)); k++) {
      weights.push(Math.max(0, Math.min((k - from) / (middle - from), (to - k) / (to - middle))));
    }
    const sum = weights.reduce((a, b) => a + b, 0);
    if (sum === 0) weights.fill(1 / weights.length); // a band that is narrower than a bin
    return { first, weights: sum > 1 ? weights.map((each) => each / sum) : weights };
  });
}

/** The discrete Fourier transform in place, of a length that is a power of two. */
function transform(real, imaginary) {
  const size = real.length;
  for (let i = 1, j = 0; i < size; i++) {
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let span = 2; span <= size; span <<= 1) {
    const half = span >> 1;
    for (let k = 0; k < half; k++) {
      const cosine = Math.cos((-2 * Math.PI * k) / span);
      const sine = Math.sin((-2 * Math.PI * k) / span);
      for (let at = k; at < size; at += span) {
        const a = real[at + half] * cosine - imaginary[at + half] * sine;
        const b = real[at + half] * sine + imaginary[at + half] * cosine;
        real[at + half] = real[at] - a;
        imaginary[at + half] = imaginary[at] - b;
        real[at] += a;
        imaginary[at] += b;
      }
    }
  }
}
