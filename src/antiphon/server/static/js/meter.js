/** Loudness of a media stream, for the eye. */

const FLOOR_DB = -60;
const CEILING_DB = -10;

/** Measures one stream on a shared audio context. */
export class Meter {
  #source;
  #analyser;
  #samples;
  #bands;

  constructor(context, stream) {
    this.#analyser = context.createAnalyser();
    this.#analyser.fftSize = 1024;
    this.#analyser.smoothingTimeConstant = 0.6;
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#bands = new Uint8Array(this.#analyser.frequencyBinCount);
    this.#source = context.createMediaStreamSource(stream);
    this.#source.connect(this.#analyser);
  }

  /** 0 (silence) to 1 (loud), even to the ear. */
  level() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let sum = 0;
    for (const sample of this.#samples) sum += sample * sample;
    const db = 10 * Math.log10(sum / this.#samples.length + 1e-12);
    return Math.min(1, Math.max(0, (db - FLOOR_DB) / (CEILING_DB - FLOOR_DB)));
  }

  /** The same for five bands of speech, low to high. */
  bands() {
    this.#analyser.getByteFrequencyData(this.#bands);
    const edges = [2, 6, 12, 22, 40, 80];
    return edges.slice(1).map((end, index) => {
      const start = edges[index];
      let sum = 0;
      for (let bin = start; bin < end; bin += 1) sum += this.#bands[bin];
      return sum / (end - start) / 255;
    });
  }

  close() {
    this.#source.disconnect();
  }
}

/** Calls `draw` before each frame while running; a hidden page draws nothing. */
export class Animation {
  #draw;
  #frame = 0;

  constructor(draw) {
    this.#draw = draw;
  }

  start() {
    if (this.#frame) return;
    const step = (time) => {
      this.#frame = requestAnimationFrame(step);
      this.#draw(time);
    };
    this.#frame = requestAnimationFrame(step);
  }

  stop() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
  }
}
