/** The conversation as it is spoken. */

const NEAR_END_PX = 60;

export class Transcript {
  #list;
  #scroll;
  #empty;
  #toLatest;
  #announce;
  #entries = new Map();
  #prefix = 0;

  constructor({ list, scroll, empty, toLatest, announce }) {
    this.#list = list;
    this.#scroll = scroll;
    this.#empty = empty;
    this.#toLatest = toLatest;
    this.#announce = announce;
    toLatest.addEventListener("click", () => this.#follow(true));
    scroll.addEventListener("scroll", () => {
      if (this.#atEnd()) toLatest.hidden = true;
    });
  }

  /** Ids are the server's and count from the start in each connection. */
  beginConnection() {
    this.#prefix += 1;
  }

  clear() {
    this.#list.replaceChildren();
    this.#entries.clear();
    this.#empty.hidden = false;
    this.#toLatest.hidden = true;
  }

  /** Show a transcript message; the same id again updates it in place. */
  speech({ id, role, text, final, interrupted, backchannel }) {
    const key = `${this.#prefix}:${role}:${id}`;
    let entry = this.#entries.get(key);
    if (!entry) {
      if (!text) return;
      entry = this.#speechEntry(role);
      this.#entries.set(key, entry);
      this.#append(entry.item);
    }
    const follow = this.#atEnd();
    const wasFinal = entry.item.dataset.final === "true";
    entry.text.textContent = text;
    entry.item.dataset.final = String(Boolean(final));
    entry.item.dataset.interrupted = String(Boolean(interrupted));
    entry.item.dataset.backchannel = String(Boolean(backchannel));
    entry.mark.textContent = backchannel ? "while listening" : "interrupted";
    entry.mark.hidden = !interrupted && !backchannel;
    if (final && !wasFinal) {
      this.#announce(`${role === "user" ? "You" : "Assistant"}: ${text}${interrupted ? " (interrupted)" : ""}`);
    }
    if (follow) this.#follow();
  }

  /** Show that the assistant used a tool. */
  tool({ name, arguments: given, result, ok }) {
    const item = element("li", "tool");
    item.dataset.ok = String(ok !== false);
    const details = element("details");
    const summary = element("summary");
    summary.append(element("span", "tool-name", name), element("span", "tool-outcome", ok === false ? "failed" : "done"));
    const body = element("dl");
    for (const [key, value] of Object.entries(given ?? {})) {
      body.append(element("dt", "", key), element("dd", "", plain(value)));
    }
    body.append(element("dt", "", "result"), element("dd", "", plain(result)));
    details.append(summary, body);
    item.append(details);
    this.#append(item);
  }

  /** Show a line that nobody said. */
  note(text, kind = "note") {
    this.#append(element("li", kind, text));
    this.#announce(text);
  }

  #speechEntry(role) {
    const item = element("li", `speech ${role === "user" ? "user" : "assistant"}`);
    const text = element("span", "words");
    const mark = element("span", "mark");
    mark.hidden = true;
    const bubble = element("p", "bubble");
    bubble.append(text, mark);
    item.append(element("span", "speaker", role === "user" ? "You" : "Assistant"), bubble);
    return { item, text, mark };
  }

  #append(item) {
    const follow = this.#atEnd();
    this.#empty.hidden = true;
    this.#list.append(item);
    this.#follow(follow);
    if (!follow) this.#toLatest.hidden = false;
  }

  #atEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroll;
    return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
  }

  #follow(yes = true) {
    if (!yes) return;
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#toLatest.hidden = true;
  }
}

function element(tag, className = "", text = undefined) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function plain(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}
