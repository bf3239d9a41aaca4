// Audio between the sound card's rate and the call's 8 kHz, on the audio thread.
//
// "microphone" posts 20 ms frames of 16-bit audio with their level; "loudspeaker"
// plays what it is sent, reports marks once they have been played, and can be
// cleared. Both resample with the same windowed-sinc filter.

const CALL_HZ = 8000;
const FRAME = 160; // 20 ms
const ZEROS = 16; // zero crossings of the sinc on each side: 2 ms, -70 dB beyond the band
const START_MS = 40; // audio held before playing begins: two frames ride out the network
const HOLD_MS = 60; // less than that is played after this long: it was a short sound

const gcd = (a, b) => (b ? gcd(b, a % b) : a);

class Resampler {
  constructor(fromHz, toHz) {
    const common = gcd(fromHz, toHz);
    this.up = toHz / common;
    this.down = fromHz / common;
    this.half = Math.ceil(ZEROS * Math.max(1, fromHz / toHz));
    this.taps = 2 * this.half;
    this.filter = new Float32Array(this.up * this.taps);
    const cutoff = 0.95 * Math.min(1, toHz / fromHz);
    for (let phase = 0; phase < this.up; phase++) this.design(phase, cutoff);
    this.reset();
  }

  design(phase, cutoff) {
    const row = this.filter.subarray(phase * this.taps, (phase + 1) * this.taps);
    let sum = 0;
    for (let tap = 0; tap < this.taps; tap++) {
      const at = tap - this.half + 1 - phase / this.up; // in input samples
      const x = Math.PI * cutoff * at;
      const sinc = Math.abs(x) < 1e-9 ? 1 : Math.sin(x) / x;
      const window = Math.abs(at) > this.half ? 0 : 0.5 + 0.5 * Math.cos((Math.PI * at) / this.half);
      row[tap] = sinc * window;
      sum += row[tap];
    }
    for (let tap = 0; tap < this.taps; tap++) row[tap] /= sum;
  }

  reset() {
    this.history = new Float32Array(this.taps - 1);
    this.at = 0; // first input sample of the next output, in the history and what follows it
    this.phase = 0;
  }

  push(input) {
    const data = new Float32Array(this.history.length + input.length);
    data.set(this.history);
    data.set(input, this.history.length);
    const output = [];
    while (this.at + this.taps <= data.length) {
      const row = this.phase * this.taps;
      let sum = 0;
      for (let tap = 0; tap < this.taps; tap++) sum += this.filter[row + tap] * data[this.at + tap];
      output.push(sum);
      this.phase += this.down;
      this.at += Math.floor(this.phase / this.up);
      this.phase %= this.up;
    }
    // Going far down, the next output may begin beyond what has come.
    const used = Math.min(this.at, data.length);
    this.history = data.slice(used);
    this.at -= used;
    return output;
  }
}

class Microphone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate, CALL_HZ);
    this.frame = new Int16Array(FRAME);
    this.filled = 0;
    this.muted = false;
    this.port.onmessage = ({ data }) => { if ("muted" in data) this.muted = data.muted; };
  }

  process([input]) {
    const samples = input[0] ?? new Float32Array(128); // an unplugged device is silence
    for (const sample of this.resampler.push(samples)) {
      const value = this.muted ? 0 : Math.max(-1, Math.min(1, sample));
      this.frame[this.filled++] = Math.round(value * 32767);
      if (this.filled === FRAME) this.send();
    }
    return true;
  }

  send() {
    let power = 0;
    for (const sample of this.frame) power += sample * sample;
    const pcm = this.frame.slice().buffer;
    this.port.postMessage({ pcm, power: power / FRAME / 32768 ** 2 }, [pcm]);
    this.filled = 0;
  }
}

class Loudspeaker extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(CALL_HZ, sampleRate);
    this.queue = []; // arrays of samples, and the names of marks between them
    this.offset = 0; // samples of the first array that have been played
    this.queued = 0;
    this.waited = 0;
    this.playing = false;
    this.last = 0;
    this.power = 0;
    this.measured = 0;
    this.port.onmessage = ({ data }) => this.told(data);
  }

  told({ pcm, mark, clear }) {
    if (clear) this.clear();
    if (mark !== undefined) this.queue.push(mark);
    if (pcm === undefined) return;
    const samples = Float32Array.from(new Int16Array(pcm), (sample) => sample / 32768);
    const audio = Float32Array.from(this.resampler.push(samples));
    if (audio.length) this.queue.push(audio);
    this.queued += audio.length;
  }

  clear() {
    this.queue = [];
    this.offset = this.queued = this.waited = 0;
    this.playing = false;
    this.resampler.reset();
  }

  process(_, [output]) {
    const out = output[0];
    this.marks();
    if (!this.playing && this.queued) {
      this.waited += out.length;
      const ms = (samples) => (samples * 1000) / sampleRate;
      this.playing = ms(this.queued) >= START_MS || ms(this.waited) >= HOLD_MS;
    }
    for (let at = 0; at < out.length; at++) out[at] = this.next();
    for (const channel of output.slice(1)) channel.set(out);
    this.measure(out);
    return true;
  }

  // One sample. Where there is none the last one fades: a cut is not a click.
  next() {
    if (this.playing && this.queued) {
      this.last = this.queue[0][this.offset++];
      this.queued--;
      if (this.offset === this.queue[0].length) {
        this.queue.shift();
        this.offset = 0;
        this.marks();
      }
    } else {
      this.playing = false;
      this.waited = this.queued ? this.waited : 0;
      this.last *= 0.98;
    }
    return this.last;
  }

  // A mark is reached when everything before it has been played.
  marks() {
    while (this.queue.length && typeof this.queue[0] === "string") {
      this.port.postMessage({ mark: this.queue.shift() });
    }
  }

  measure(out) {
    for (const sample of out) this.power += sample * sample;
    this.measured += out.length;
    if (this.measured * 20 >= sampleRate) { // every 50 ms
      this.port.postMessage({ power: this.power / this.measured, queued: this.queued });
      this.power = this.measured = 0;
    }
  }
}

registerProcessor("microphone", Microphone);
registerProcessor("loudspeaker", Loudspeaker);
