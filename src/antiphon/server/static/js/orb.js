/** The assistant's state as a shape that moves with the voices. */

const WORDS = {
  idle: "Not in a call",
  connecting: "Connecting…",
  reconnecting: "Reconnecting…",
  waiting: "Ready for you",
  listening: "Listening",
  thinking: "Thinking…",
  speaking: "Speaking",
  paused: "Paused",
  ended: "Call ended",
};

export class Orb {
  #root;
  #label;
  #bars;
  #level = 0;
  #bands = [0, 0, 0, 0, 0];
  #calm = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(root, label) {
    this.#root = root;
    this.#label = label;
    this.#bars = [...root.querySelectorAll(".bars rect")];
  }

  /** One of the states above; others are shown as listening under their own name. */
  show(state, note = "") {
    this.#root.dataset.state = state in WORDS ? state : "listening";
    this.#label.textContent = (WORDS[state] ?? state) + (note ? ` – ${note}` : "");
  }

  /** Move with the caller's level (0 to 1) and the bands of the assistant's voice. */
  move(callerLevel, voiceBands) {
    if (this.#calm.matches) return;
    this.#level += (callerLevel - this.#level) * (callerLevel > this.#level ? 0.5 : 0.15);
    this.#root.style.setProperty("--level", this.#level.toFixed(3));
    this.#bands = this.#bands.map((band, index) => band + ((voiceBands[index] ?? 0) - band) * 0.4);
    // The lowest band in the middle, the higher ones around it.
    const order = [3, 1, 0, 2, 4];
    const overall = Math.max(...this.#bands);
    this.#bars.forEach((bar, index) => {
      const height = 0.2 + 0.65 * this.#bands[order[index]] + 0.4 * overall * (1 - Math.abs(index - 2) / 3);
      bar.style.transform = `scaleY(${height.toFixed(3)})`;
    });
  }
}
