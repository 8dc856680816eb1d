/** How long each stage of each reply took: one bar a turn, a table of stages inside. */

const KEPT = 50;
const SCALE_STEPS_MS = [300, 500, 800, 1200, 2000, 3000, 5000, 10_000, 20_000, 60_000];

/** What the stages are called; others are shown under their own name. */
const STAGES = {
  vad: "Voice stopped",
  transcript: "Transcript",
  end_of_turn: "Turn decided",
  llm_first_token: "First word",
  tts_first_audio: "First audio made",
  first_audio_out: "First audio out",
  turn_detector: "Words judged",
};
const COLOURS = Object.fromEntries(Object.keys(STAGES).map((name, index) => [name, index + 1]));

export class Latency {
  #list;
  #empty;
  #summary;
  #rows = new Map();
  #totals = [];
  #scale = SCALE_STEPS_MS[0];
  #count = 0;
  #prefix = 0;

  constructor({ list, empty, summary }) {
    this.#list = list;
    this.#empty = empty;
    this.#summary = summary;
  }

  beginConnection() {
    this.#prefix += 1;
  }

  clear() {
    this.#list.replaceChildren();
    this.#rows.clear();
    this.#totals = [];
    this.#scale = SCALE_STEPS_MS[0];
    this.#count = 0;
    this.#empty.hidden = false;
    this.#summary.textContent = "";
  }

  /** Show one turn; the same turn again replaces what was shown. */
  show({ turn, stages, total_ms: total, interrupted }) {
    if (!Array.isArray(stages)) return;
    const sound = stages.filter((stage) => Number.isFinite(stage.start_ms) && Number.isFinite(stage.end_ms));
    const end = Number.isFinite(total) ? total : Math.max(0, ...sound.map((stage) => stage.end_ms));
    const key = `${this.#prefix}:${turn}`;
    const known = this.#rows.get(key);
    const number = known?.number ?? (this.#count += 1);
    const item = this.#draw({ number, stages: sound, end, interrupted });
    for (const open of this.#list.querySelectorAll("details[open]")) open.open = false;
    item.querySelector("details").open = true;
    if (known) known.item.replaceWith(item);
    else this.#list.prepend(item);
    this.#rows.set(key, { number, item, end });
    this.#forgetOldest();
    this.#empty.hidden = true;
    this.#rescale();
  }

  #forgetOldest() {
    if (this.#rows.size <= KEPT) return;
    const [key, row] = this.#rows.entries().next().value;
    row.item.remove();
    this.#rows.delete(key);
  }

  #rescale() {
    this.#totals = [...this.#rows.values()].map((row) => row.end).sort((a, b) => a - b);
    const longest = this.#totals.at(-1);
    this.#scale = SCALE_STEPS_MS.find((step) => step >= longest) ?? longest;
    this.#list.style.setProperty("--scale", String(this.#scale));
    for (const cell of this.#list.querySelectorAll(".scale")) cell.textContent = `0 – ${this.#scale} ms`;
    const middle = this.#totals[Math.floor((this.#totals.length - 1) / 2)];
    this.#summary.textContent = `median ${Math.round(middle)} ms`;
  }

  #draw({ number, stages, end, interrupted }) {
    const item = document.createElement("li");
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    const bar = make("span", "bar");
    bar.setAttribute("aria-hidden", "true");
    let reached = 0;
    for (const stage of [...stages].sort((a, b) => a.end_ms - b.end_ms)) {
      const start = Math.max(reached, stage.start_ms);
      if (stage.end_ms <= start) continue;
      const part = segment(stage, start, stage.end_ms);
      part.title = `${label(stage.name)}: ${Math.round(stage.end_ms - stage.start_ms)} ms`;
      bar.append(part);
      reached = stage.end_ms;
    }
    const title = make("span", "turn-number", `Turn ${number}`);
    if (interrupted) {
      const mark = make("span", "cut");
      mark.title = "interrupted";
      mark.append(make("span", "sr-only", ", interrupted"));
      title.append(mark);
    }
    summary.append(title, bar, make("span", "total", `${Math.round(end)} ms`));
    details.append(summary, table(stages, number));
    item.append(details);
    return item;
  }
}

function table(stages, number) {
  const drawn = make("table", "stages");
  const caption = make("caption", "sr-only", `Stages of turn ${number}, in milliseconds after the end of speech`);
  const head = document.createElement("thead");
  const titles = document.createElement("tr");
  for (const [title, className] of [["Stage", ""], ["", "scale"], ["Took", ""]]) {
    const cell = make("th", className, title);
    cell.scope = "col";
    titles.append(cell);
  }
  head.append(titles);
  const body = document.createElement("tbody");
  for (const stage of stages) {
    const row = document.createElement("tr");
    const name = make("th", "", label(stage.name));
    name.scope = "row";
    const lane = make("td", "lane");
    const bar = make("span", "bar");
    bar.append(segment(stage, stage.start_ms, stage.end_ms));
    lane.append(bar, make("span", "sr-only", `${Math.round(stage.start_ms)} to ${Math.round(stage.end_ms)} ms`));
    row.append(name, lane, make("td", "ms", `${Math.round(stage.end_ms - stage.start_ms)} ms`));
    row.title = `${label(stage.name)}: from ${Math.round(stage.start_ms)} to ${Math.round(stage.end_ms)} ms`;
    body.append(row);
  }
  drawn.append(caption, head, body);
  return drawn;
}

function segment(stage, start, end) {
  const part = make("span", "segment");
  part.dataset.colour = String(COLOURS[stage.name] ?? 7);
  part.style.setProperty("--from", String(Math.max(0, start)));
  part.style.setProperty("--to", String(Math.max(0, end)));
  return part;
}

function label(name) {
  const words = String(name).replaceAll("_", " ");
  return STAGES[name] ?? words.charAt(0).toUpperCase() + words.slice(1);
}

function make(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
