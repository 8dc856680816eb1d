/** The caller's microphone and the assistant's voice: opening, muting, playing, measuring. */

import { Meter } from "./meter.js";
import { openMicrophone } from "./microphone.js";

/** Emits `microphonelost` when the microphone goes away by itself, and `blocked` when the browser will not play. */
export class CallAudio extends EventTarget {
  #element;
  #context = null;
  #stream = null;
  #microphone = null;
  #voice = null;
  #muted = false;

  constructor(element) {
    super();
    this.#element = element;
  }

  /** Call this in a click or key press, which is when browsers allow a page to make sound. */
  unlock() {
    this.#context ??= new AudioContext();
    this.#context.resume();
  }

  /** The microphone's track, opened when it is not open yet. */
  async openTrack() {
    this.#stream ??= await openMicrophone();
    const [track] = this.#stream.getAudioTracks();
    track.enabled = !this.#muted;
    track.addEventListener("ended", () => {
      this.closeMicrophone();
      this.dispatchEvent(new Event("microphonelost"));
    });
    this.#microphone ??= new Meter(this.#context, this.#stream);
    return track;
  }

  get hasMicrophone() {
    return this.#stream !== null;
  }

  get muted() {
    return this.#muted;
  }

  set muted(muted) {
    this.#muted = muted;
    for (const track of this.#stream?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  /** Play the assistant's voice. */
  async play(stream) {
    this.#voice?.close();
    this.#voice = new Meter(this.#context, stream);
    this.#element.srcObject = stream;
    try {
      await this.#element.play();
    } catch (error) {
      if (error.name === "NotAllowedError") this.dispatchEvent(new Event("blocked"));
    }
  }

  /** Loudness of the caller now, 0 to 1. */
  callerLevel() {
    return this.#muted ? 0 : (this.#microphone?.level() ?? 0);
  }

  /** The assistant's voice in five bands. */
  voiceBands() {
    return this.#voice?.bands() ?? [];
  }

  closeMicrophone() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#microphone?.close();
    this.#stream = this.#microphone = null;
  }

  close() {
    this.closeMicrophone();
    this.#voice?.close();
    this.#voice = null;
    this.#element.srcObject = null;
  }
}
