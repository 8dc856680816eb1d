/** One call: a WebRTC connection with a data channel, made again with a new token whenever it breaks. */

import { RequestFailed, getToken, postOffer } from "./api.js";

const CONNECT_DEADLINE_MS = 15_000;
const GATHER_DEADLINE_MS = 3_000;
const PING_EVERY_MS = 2_000;
const PONG_WITHIN_MS = 6_000;
const DISCONNECTED_FOR_MS = 3_000;
const BACK_OFF_MS = [500, 1_000, 2_000, 4_000, 8_000, 10_000];
const MAX_ATTEMPTS = 30;
/** Refusals that trying again does not change. */
const FINAL_CODES = new Set(["unknown_agent", "agent_not_started", "invalid_offer", "invalid_request"]);

/**
 * Emits `status` ({state, attempt, retryAt, message, unreachable, reason, again}), `message` (the parsed data message) and `stream`
 * (the assistant's voice). States: idle, connecting, connected, reconnecting, ended, failed.
 */
export class Connection extends EventTarget {
  #agent = "";
  #iceServers;
  #track = null;
  #link = null;
  #wanted = false;
  #wake = null;
  #unsent = [];
  state = "idle";

  constructor(iceServers) {
    super();
    this.#iceServers = iceServers;
    addEventListener("online", () => this.retryNow());
    addEventListener("pagehide", () => this.#link?.close());
  }

  /** Whether a call is under way, be it connected or trying to. */
  get active() {
    return this.#wanted;
  }

  /** Call an agent; `track` is the microphone, or null to listen and type only. */
  start(agent, track) {
    if (this.#wanted) return;
    this.#agent = agent;
    this.#track = track;
    this.#wanted = true;
    this.#run();
  }

  /** Hang up. */
  stop() {
    if (!this.#wanted) return;
    this.#wanted = false;
    this.#unsent = [];
    this.#link?.close();
    this.retryNow();
    this.#report("idle");
  }

  /** Use another microphone, without a new connection. */
  async useMicrophone(track) {
    this.#track = track;
    await this.#link?.replaceTrack(track);
  }

  /** Send typed text, now or once connected. */
  sendText(text) {
    const message = { type: "text", text };
    if (!this.#link?.send(message)) this.#unsent.push(message);
  }

  /** Do not wait for the next attempt. */
  retryNow() {
    this.#wake?.();
  }

  async #run() {
    let attempt = 0;
    let connectedBefore = false;
    while (this.#wanted) {
      this.#report(connectedBefore || attempt ? "reconnecting" : "connecting", { attempt });
      const link = (this.#link = new Link(this.#iceServers, {
        onMessage: (message) => this.#receive(message),
        onStream: (stream) => this.dispatchEvent(new CustomEvent("stream", { detail: stream })),
      }));
      let failure = null;
      try {
        await link.open(this.#agent, this.#track);
        if (!this.#wanted) break;
        this.#report("connected", { again: connectedBefore });
        connectedBefore = true;
        attempt = 0;
        for (const message of this.#unsent.splice(0)) link.send(message);
        await link.lost;
      } catch (error) {
        failure = error;
      } finally {
        link.close();
      }
      if (!this.#wanted) break;
      attempt += 1;
      if (failure instanceof RequestFailed && FINAL_CODES.has(failure.code)) return this.#fail(failure.message);
      if (attempt > MAX_ATTEMPTS) return this.#fail("The server does not answer.");
      await this.#pause(attempt, failure);
    }
  }

  #receive(message) {
    if (message.type === "ended" && this.#wanted) {
      this.#wanted = false;
      this.#link?.close();
      this.#report("ended", { reason: message.reason ?? "" });
    }
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  #fail(message) {
    this.#wanted = false;
    this.#unsent = [];
    this.#report("failed", { message });
  }

  async #pause(attempt, failure) {
    const backOff = BACK_OFF_MS[Math.min(attempt - 1, BACK_OFF_MS.length - 1)];
    // Spread out, so that the pages of a server that restarts do not all come at once.
    const wait = Math.max(backOff * (0.75 + Math.random() / 2), (failure?.retryAfter ?? 0) * 1000);
    this.#report("reconnecting", {
      attempt,
      retryAt: performance.now() + wait,
      message: failure?.message ?? "",
      unreachable: failure?.code === "unreachable",
    });
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, wait);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = null;
  }

  #report(state, detail = {}) {
    this.state = state;
    this.dispatchEvent(new CustomEvent("status", { detail: { state, ...detail } }));
  }
}

/** One WebRTC connection, from its token to its end. */
class Link {
  #peer;
  #channel;
  #sender;
  #onMessage;
  #lose;
  #timers = new Set();
  #closed = false;
  #heardAt = 0;

  constructor(iceServers, { onMessage, onStream }) {
    this.#onMessage = onMessage;
    this.lost = new Promise((resolve) => (this.#lose = resolve));
    this.#peer = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    this.#channel = this.#peer.createDataChannel("antiphon");
    // Both ways even without a microphone, so that one can be added to the call later.
    this.#sender = this.#peer.addTransceiver("audio", { direction: "sendrecv" }).sender;
    this.#peer.addEventListener("track", (event) => onStream(event.streams[0] ?? new MediaStream([event.track])));
    this.#peer.addEventListener("connectionstatechange", () => this.#stateChanged());
    this.#channel.addEventListener("message", (event) => this.#received(event.data));
    this.#channel.addEventListener("close", () => this.#lose());
  }

  /** Resolves when messages can be sent. */
  async open(agent, track) {
    const opened = new Promise((resolve) => this.#channel.addEventListener("open", resolve, { once: true }));
    if (track) await this.#sender.replaceTrack(track);
    const [{ token }] = await Promise.all([getToken(agent), this.#gather()]);
    this.#check();
    const answer = await postOffer(token, this.#peer.localDescription);
    this.#check();
    await this.#peer.setRemoteDescription(answer);
    const late = new Promise((resolve) => this.#after(CONNECT_DEADLINE_MS, () => resolve("late")));
    const outcome = await Promise.race([opened, this.lost.then(() => "lost"), late]);
    if (outcome === "lost" || outcome === "late") throw new Error("The server cannot be reached by WebRTC.");
    this.#watch();
  }

  /** Returns whether the message could be sent. */
  send(message) {
    if (this.#channel.readyState !== "open") return false;
    this.#channel.send(JSON.stringify(message));
    return true;
  }

  async replaceTrack(track) {
    await this.#sender.replaceTrack(track);
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.send({ type: "bye" });
    this.#peer.close();
    this.#lose();
  }

  async #gather() {
    await this.#peer.setLocalDescription();
    if (this.#peer.iceGatheringState === "complete") return;
    await new Promise((resolve) => {
      this.#peer.addEventListener("icegatheringstatechange", () => {
        if (this.#peer.iceGatheringState === "complete") resolve();
      });
      this.#after(GATHER_DEADLINE_MS, resolve);
    });
  }

  #check() {
    if (this.#closed) throw new Error("closed");
  }

  #stateChanged() {
    const state = this.#peer.connectionState;
    if (state === "failed" || state === "closed") this.#lose();
    if (state === "disconnected") {
      this.#after(DISCONNECTED_FOR_MS, () => {
        if (this.#peer.connectionState === "disconnected") this.#lose();
      });
    }
  }

  #watch() {
    this.#heardAt = performance.now();
    const beat = () => {
      if (performance.now() - this.#heardAt > PONG_WITHIN_MS + PING_EVERY_MS) return this.#lose();
      this.send({ type: "ping" });
      this.#after(PING_EVERY_MS, beat);
    };
    beat();
  }

  #received(data) {
    this.#heardAt = performance.now();
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (message?.type && message.type !== "pong") this.#onMessage(message);
  }

  #after(milliseconds, run) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (!this.#closed) run();
    }, milliseconds);
    this.#timers.add(timer);
  }
}
