// Plays all tracks at once, in step to the sample, and lets one be heard: to switch takes is to turn gains. The audio
// clock leads, the picture follows.

const LEAD = 0.06; // s between the press and the sound, in which the browser gets ready
const TURN = 0.004; // s, time constant of a gain: too short to be heard as a fade, too long to click
const FAR = 0.2; // s by which the picture may be off before it jumps; less is caught up with by its speed

export class Player extends EventTarget {
  constructor(video) {
    super();
    this.video = video;
    this.context = null;
    this.tracks = new Map(); // id -> {buffer, gain, source, level}
    this.seconds = 0;
    this.offset = 0; // where it stands, or where it began to play
    this.started = null; // of the audio clock; null while it stands
    this.waking = false; // whether it waits for the browser's sound
    this.loop = null; // [from, to]
  }

  get playing() {
    return this.started !== null;
  }

  /** Whether it plays, or will as soon as the browser lets it. */
  get wanted() {
    return this.playing || this.waking;
  }

  /** Position in seconds, as it is heard now. */
  get time() {
    if (!this.playing) return this.offset;
    const { currentTime, outputLatency = 0 } = this.context;
    const at = this.offset + Math.max(0, currentTime - outputLatency - this.started);
    if (!this.loop || at < this.loop[1]) return Math.min(at, this.seconds);
    const [from, to] = this.loop;
    return from + ((at - from) % (to - from));
  }

  #ready() {
    this.context ??= new AudioContext({ latencyHint: "interactive" });
    return this.context;
  }

  /** The samples of a sound file, as long as the clip. */
  async decode(bytes) {
    const found = await this.#ready().decodeAudioData(bytes);
    const length = Math.max(1, Math.round(this.seconds * found.sampleRate));
    const buffer = new AudioBuffer({ length, numberOfChannels: found.numberOfChannels, sampleRate: found.sampleRate });
    for (let channel = 0; channel < found.numberOfChannels; channel++) {
      buffer.copyToChannel(found.getChannelData(channel).subarray(0, length), channel);
    }
    return buffer;
  }

  /** Play these tracks, {id: buffer}; those that are new join where the others are. */
  setTracks(buffers) {
    for (const [id, track] of this.tracks) {
      if (buffers[id] === track.buffer) continue;
      this.#silence(track);
      this.tracks.delete(id);
    }
    for (const [id, buffer] of Object.entries(buffers)) {
      if (this.tracks.has(id)) continue;
      const track = { buffer, gain: null, source: null, level: 0 };
      this.tracks.set(id, track);
      if (this.playing) {
        const begin = this.context.currentTime + LEAD;
        this.#sound(track, begin, this.#at(begin));
      }
    }
  }

  /** How loud each track is, {id: factor}; one that is not named is silent. */
  setLevels(levels) {
    for (const [id, track] of this.tracks) {
      track.level = levels[id] ?? 0;
      track.gain?.gain.setTargetAtTime(track.level, this.context.currentTime, TURN);
    }
  }

  async play() {
    if (this.wanted) return;
    this.waking = true;
    this.dispatchEvent(new Event("state"));
    await this.#ready().resume();
    if (!this.waking) return; // it was told to stop meanwhile
    this.waking = false;
    if (this.offset >= this.seconds - 0.01) this.offset = 0;
    if (this.loop && (this.offset < this.loop[0] || this.offset >= this.loop[1] - 0.01)) this.offset = this.loop[0];
    this.started = this.context.currentTime + LEAD;
    for (const track of this.tracks.values()) this.#sound(track, this.started, this.offset);
    this.video.currentTime = this.offset;
    this.video.play().catch(() => {}); // a picture that cannot be shown does not stop the sound
    this.#follow();
    this.dispatchEvent(new Event("state"));
  }

  pause() {
    if (this.waking) {
      this.waking = false;
      this.dispatchEvent(new Event("state"));
    }
    if (this.playing) this.#halt(this.time);
  }

  /** Go to a time, playing or not. */
  seek(time) {
    const playing = this.playing;
    if (playing) this.#halt(this.time);
    this.offset = Math.min(Math.max(0, time), this.seconds);
    this.video.currentTime = this.offset;
    this.dispatchEvent(new Event("time"));
    if (playing) this.play();
  }

  /** Play a region again and again, or null: play on. */
  setLoop(loop) {
    if (String(loop) === String(this.loop)) return;
    const playing = this.playing;
    if (playing) this.#halt(this.time);
    this.loop = loop;
    if (playing) this.play();
  }

  #at(clock) {
    const at = this.offset + clock - this.started;
    if (!this.loop || at < this.loop[1]) return at;
    return this.loop[0] + ((at - this.loop[0]) % (this.loop[1] - this.loop[0]));
  }

  #sound(track, begin, offset) {
    const { context } = this;
    track.gain = new GainNode(context, { gain: track.level });
    track.source = new AudioBufferSourceNode(context, { buffer: track.buffer });
    if (this.loop) Object.assign(track.source, { loop: true, loopStart: this.loop[0], loopEnd: this.loop[1] });
    track.source.connect(track.gain).connect(context.destination);
    track.source.start(begin, Math.min(offset, track.buffer.duration));
  }

  #silence(track) {
    track.source?.stop();
    track.source?.disconnect();
    track.gain?.disconnect();
    track.source = track.gain = null;
  }

  #halt(time) {
    for (const track of this.tracks.values()) this.#silence(track);
    this.offset = time;
    this.started = null;
    this.video.pause();
    this.video.playbackRate = 1;
    this.video.currentTime = time;
    this.dispatchEvent(new Event("state"));
    this.dispatchEvent(new Event("time"));
  }

  #follow() {
    const { time, video } = this;
    if (!this.playing) return;
    if (time >= this.seconds && !this.loop) {
      this.#halt(this.seconds);
      return;
    }
    const late = time - video.currentTime;
    if (Math.abs(late) > FAR && !video.seeking) {
      video.currentTime = time;
      if (video.paused) video.play().catch(() => {});
    } else {
      video.playbackRate = 1 + Math.min(0.08, Math.max(-0.08, Math.abs(late) < 0.015 ? 0 : late));
    }
    this.dispatchEvent(new Event("time"));
    requestAnimationFrame(() => this.#follow());
  }
}
