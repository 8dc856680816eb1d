/** The page: finds its elements, loads the server's configuration, and ties everything together. */

import { getConfig } from "./api.js";
import { CallAudio } from "./audio.js";
import { Call } from "./call.js";
import { bindKeys } from "./keyboard.js";
import { Latency } from "./latency.js";
import { Animation } from "./meter.js";
import { Notices } from "./notices.js";
import { Orb } from "./orb.js";
import { bindTheme } from "./theme-toggle.js";
import { Transcript } from "./transcript.js";

const $ = (id) => document.getElementById(id);
const CONFIG_RETRY_MS = 3_000;

const notices = new Notices($("notices"));
const audio = new CallAudio($("voice"));
const orb = new Orb($("orb"), $("agent-state"));
const announce = (text) => {
  $("announcer").textContent = text;
};
const transcript = new Transcript({
  list: $("transcript"),
  scroll: $("transcript-scroll"),
  empty: $("transcript-empty"),
  toLatest: $("to-latest"),
  announce,
});
const latency = new Latency({ list: $("latency"), empty: $("latency-empty"), summary: $("latency-summary") });

let call = null;
let agents = [];
let startedAt = 0;
let wasInCall = false;

bindTheme($("theme"));
boot();

async function boot() {
  const config = await loadConfig();
  agents = config.agents;
  $("version").textContent = `Antiphon ${config.version}`;
  call = new Call(config.ice_servers, audio, { transcript, latency, notices, orb }, show);
  listAgents();
  bindControls();
  show({ phase: "idle", status: "Ready", inCall: false, microphone: false, muted: false });
  if (!agents.length) {
    $("call").disabled = true;
    notices.show("call", {
      tone: "error",
      title: "This server offers no assistant",
      text: "Start it with one, then load this page again.",
      dismiss: false,
    });
  }
}

async function loadConfig() {
  for (;;) {
    try {
      const config = await getConfig();
      notices.clear("server");
      return config;
    } catch (error) {
      setStatus("failed", "Server not reachable");
      notices.show("server", {
        tone: "error",
        title: "The server is gone",
        text: `${error.message} Trying again every ${CONFIG_RETRY_MS / 1000} s…`,
        dismiss: false,
      });
      await new Promise((resolve) => setTimeout(resolve, CONFIG_RETRY_MS));
    }
  }
}

function listAgents() {
  const select = $("agent");
  for (const agent of agents) select.append(new Option(agent.title, agent.name));
  const asked = new URLSearchParams(location.search).get("agent");
  const chosen = agents.find((agent) => agent.name === asked) ?? agents.find((agent) => agent.title === asked);
  if (chosen) select.value = chosen.name;
  select.addEventListener("change", showAgent);
  showAgent();
}

function chosenAgent() {
  return agents.find((agent) => agent.name === $("agent").value);
}

function showAgent() {
  const agent = chosenAgent();
  $("agent-title").textContent = agent?.title ?? "No assistant";
  $("agent-description").textContent = agent?.description ?? "";
  const chips = (agent?.examples ?? []).map((example) => {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.className = "chip";
    chip.textContent = example;
    chip.addEventListener("click", () => say(example));
    return chip;
  });
  $("chips").replaceChildren(...chips);
  $("chips").hidden = !chips.length;
}

function bindControls() {
  $("call").addEventListener("click", () => (call.active ? call.hangUp() : start()));
  $("mute").addEventListener("click", () => call.toggleMute());
  $("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = $("text").value.trim();
    if (!text) return;
    $("text").value = "";
    $("send").disabled = true;
    say(text);
  });
  $("text").addEventListener("input", () => {
    $("send").disabled = !$("text").value.trim() || !agents.length;
  });
  bindKeys({
    start,
    toggleMute: () => call.toggleMute(),
    hangUp: () => call.hangUp(),
    inCall: () => call.active,
  });
}

function start() {
  const agent = chosenAgent();
  if (agent) call.start(agent.name);
}

function say(text) {
  const agent = chosenAgent();
  if (agent) call.say(agent.name, text);
}

function tickClock() {
  const seconds = Math.floor((performance.now() - startedAt) / 1000);
  $("clock-text").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
let clockTimer = 0;

let meterShownAt = 0;
const animation = new Animation((time) => {
  const level = audio.callerLevel();
  orb.move(level, audio.voiceBands());
  $("meter").style.setProperty("--fill", level.toFixed(3));
  // Often enough for who asks, seldom enough not to flood a screen reader.
  if (time - meterShownAt > 250) {
    meterShownAt = time;
    $("meter").setAttribute("aria-valuenow", String(Math.round(level * 100)));
  }
});

function setStatus(kind, text) {
  $("status").dataset.kind = kind;
  if ($("status-text").textContent !== text) $("status-text").textContent = text;
}

function show({ phase, status, inCall, microphone, muted }) {
  setStatus(phase, status);
  const button = $("call");
  const hadFocus = document.activeElement === button || document.activeElement === document.body;
  button.disabled = false;
  button.dataset.action = inCall ? "end" : "start";
  $("call-label").textContent = inCall ? "End call" : phase === "ended" || phase === "failed" ? "Start again" : "Start talking";
  $("call-key").hidden = inCall;
  $("chooser").hidden = inCall || agents.length < 2;

  const mute = $("mute");
  mute.hidden = !(inCall && microphone);
  mute.setAttribute("aria-pressed", String(muted));
  $("mute-label").textContent = muted ? "Unmute" : "Mute";
  $("level").hidden = mute.hidden;
  $("level").dataset.muted = String(muted);
  // Space must mute and not hang up, so the focus does not stay on the button that has just become "End call".
  if (phase === "connected" && hadFocus) (mute.hidden ? $("text") : mute).focus({ preventScroll: true });
  if (!inCall && wasInCall && document.activeElement === document.body) button.focus({ preventScroll: true });
  wasInCall = inCall;

  if (phase === "connected" && $("clock").hidden) {
    startedAt = performance.now();
    $("clock-text").textContent = "0:00";
    $("clock").hidden = false;
    clockTimer = setInterval(tickClock, 500);
  }
  if (!inCall) {
    clearInterval(clockTimer);
    $("clock").hidden = true;
    animation.stop();
  } else {
    animation.start();
  }
}
