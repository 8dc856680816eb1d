/** A call as the page sees it: what each button does, and what each message from the server changes. */

import { Connection } from "./connection.js";
import { MicrophoneUnavailable, explain } from "./microphone.js";

const STATUS_WORDS = {
  idle: "Ready",
  waiting: "Allow the microphone…",
  connecting: "Connecting…",
  connected: "Connected",
  reconnecting: "Reconnecting…",
  ended: "Call ended",
  failed: "Call failed",
};

/** Ties the connection, the audio and the parts of the page together. */
export class Call {
  #audio;
  #connection;
  #parts;
  #view;
  #agent = "";
  #starting = false;
  #countdown = 0;

  /**
   * @param parts transcript, latency, notices, orb.
   * @param view called with {phase, status, inCall, microphone, muted} after each change.
   */
  constructor(iceServers, audio, parts, view) {
    this.#audio = audio;
    this.#parts = parts;
    this.#view = view;
    this.#connection = new Connection(iceServers);
    this.#connection.addEventListener("status", (event) => this.#statusChanged(event.detail));
    this.#connection.addEventListener("message", (event) => this.#received(event.detail));
    this.#connection.addEventListener("stream", (event) => this.#audio.play(event.detail));
    audio.addEventListener("microphonelost", () => this.#microphoneLost());
    audio.addEventListener("blocked", () => this.#playbackBlocked());
  }

  get active() {
    return this.#starting || this.#connection.active;
  }

  /** Call an agent, by voice when there is a microphone, else by text. */
  async start(agent) {
    if (this.active) return;
    this.#starting = true;
    this.#agent = agent;
    this.#audio.unlock();
    const { transcript, latency, notices, orb } = this.#parts;
    transcript.clear();
    latency.clear();
    for (const kind of ["server", "call", "microphone"]) notices.clear(kind);
    orb.show("connecting");
    this.#show("waiting");
    const track = await this.#openMicrophone();
    if (!this.#starting) return this.#audio.close(); // hung up meanwhile
    this.#starting = false;
    this.#connection.start(this.#agent, track);
  }

  hangUp() {
    if (!this.active) return;
    this.#starting = false;
    this.#connection.stop();
    this.#finish("idle");
    this.#parts.notices.clear("server");
    this.#parts.notices.clear("microphone");
    this.#parts.orb.show("idle");
  }

  toggleMute() {
    if (!this.active || !this.#audio.hasMicrophone) return;
    this.#audio.muted = !this.#audio.muted;
    this.#show(this.#connection.state);
  }

  /** Send typed text; starts a call first if need be. */
  say(agent, text) {
    if (!this.active) this.start(agent);
    this.#connection.sendText(text);
  }

  async #openMicrophone() {
    try {
      const track = await this.#audio.openTrack();
      this.#parts.notices.clear("microphone");
      return track;
    } catch (error) {
      this.#explainMicrophone(error instanceof MicrophoneUnavailable ? error.kind : "failed");
      return null;
    }
  }

  #explainMicrophone(kind) {
    const { title, text, retry } = explain(kind);
    const again = async () => {
      const track = await this.#openMicrophone();
      if (track) await this.#connection.useMicrophone(track);
      this.#show(this.#connection.state);
    };
    const actions = retry ? [["Try again", again]] : [];
    this.#parts.notices.show("microphone", { tone: "warning", title, text, actions });
  }

  async #microphoneLost() {
    await this.#connection.useMicrophone(null);
    if (this.active) this.#explainMicrophone("lost");
    this.#show(this.#connection.state);
  }

  #playbackBlocked() {
    const allow = () => {
      this.#audio.unlock();
      document.querySelector("audio").play();
      this.#parts.notices.clear("playback");
    };
    this.#parts.notices.show("playback", {
      tone: "warning",
      title: "Your browser blocks sound on this page",
      text: "Turn it on to hear the assistant.",
      actions: [["Turn on sound", allow]],
    });
  }

  #statusChanged(detail) {
    const { transcript, latency, notices, orb } = this.#parts;
    clearInterval(this.#countdown);
    switch (detail.state) {
      case "connecting":
        orb.show("connecting");
        break;
      case "connected":
        notices.clear("server");
        transcript.beginConnection();
        latency.beginConnection();
        if (detail.again) transcript.note("Connected again. The assistant begins a new conversation.");
        orb.show("listening");
        break;
      case "reconnecting":
        orb.show("reconnecting");
        this.#explainReconnecting(detail);
        break;
      case "ended":
        transcript.note(endingWords(detail.reason), "note end");
        orb.show("ended");
        return this.#finish("ended");
      case "failed":
        notices.clear("server");
        notices.show("call", { tone: "error", title: "The call could not be made", text: detail.message });
        orb.show("idle");
        return this.#finish("failed");
      default:
        return;
    }
    this.#show(detail.state);
  }

  #explainReconnecting({ retryAt, message, unreachable }) {
    const { notices } = this.#parts;
    if (retryAt === undefined) return notices.amend("server", "Trying again…");
    const words = () => {
      const seconds = Math.ceil((retryAt - performance.now()) / 1000);
      return `${message} ${seconds > 0 ? `Trying again in ${seconds} s…` : "Trying again…"}`.trim();
    };
    const title = unreachable ? "The server is gone" : "The connection was lost";
    if (notices.title("server") !== title) {
      const actions = [["Try now", () => this.#connection.retryNow()]];
      notices.show("server", { tone: "warning", title, text: words(), actions, dismiss: false });
    }
    notices.amend("server", words());
    this.#countdown = setInterval(() => notices.amend("server", words()), 500);
  }

  #received(message) {
    const { transcript, latency, notices, orb } = this.#parts;
    switch (message.type) {
      case "state":
        if (this.#connection.state === "connected" && message.agent) {
          const agent = message.agent === "idle" ? "waiting" : message.agent;
          orb.show(agent, message.user === "speaking" && agent === "listening" ? "you are speaking" : "");
        }
        break;
      case "transcript":
        transcript.speech(message);
        break;
      case "latency":
        latency.show(message);
        break;
      case "tool":
        transcript.tool(message);
        break;
      case "text":
        transcript.speech({ id: crypto.randomUUID?.() ?? String(performance.now()), role: "assistant", final: true, ...message });
        break;
      case "error":
        notices.show("call", { tone: "error", title: "Something went wrong", text: message.message ?? "" });
        break;
    }
  }

  #finish(phase) {
    clearInterval(this.#countdown);
    this.#audio.muted = false;
    this.#audio.close();
    this.#show(phase);
  }

  #show(phase) {
    this.#view({
      phase,
      status: STATUS_WORDS[phase] ?? phase,
      inCall: this.active,
      microphone: this.#audio.hasMicrophone,
      muted: this.#audio.muted,
    });
  }
}

const ENDINGS = {
  user_initiated: "Call ended by the assistant.",
  shutdown: "Call ended: the assistant was shut down.",
  error: "Call ended: the assistant failed.",
};

function endingWords(reason) {
  if (!reason) return ENDINGS.user_initiated;
  return ENDINGS[reason] ?? `Call ended by the assistant: ${reason.replaceAll("_", " ")}.`;
}
