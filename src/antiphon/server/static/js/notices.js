/** Messages above the page that say what is wrong and what to do; one of each kind at most. */

export class Notices {
  #container;

  constructor(container) {
    this.#container = container;
  }

  /**
   * Show a notice, in place of the one of its kind.
   * `tone` is info, warning or error; `actions` are [label, run] pairs.
   */
  show(kind, { tone = "info", title, text = "", actions = [], dismiss = true }) {
    const notice = document.createElement("div");
    notice.className = "notice";
    notice.dataset.kind = kind;
    notice.dataset.tone = tone;
    notice.setAttribute("role", tone === "info" ? "status" : "alert");
    const words = document.createElement("div");
    words.className = "notice-words";
    const strong = document.createElement("strong");
    strong.textContent = title;
    const paragraph = document.createElement("p");
    paragraph.textContent = text;
    words.append(strong, paragraph);
    notice.append(words);
    for (const [label, run] of actions) notice.append(button(label, "notice-action", run));
    if (dismiss) {
      const close = button("×", "notice-close", () => this.clear(kind));
      close.setAttribute("aria-label", "Dismiss");
      notice.append(close);
    }
    const shown = this.#find(kind);
    if (shown) shown.replaceWith(notice);
    else this.#container.append(notice);
  }

  /** Change the words of a notice that is shown, without announcing it again. */
  amend(kind, text) {
    const paragraph = this.#find(kind)?.querySelector("p");
    if (paragraph) paragraph.textContent = text;
  }

  clear(kind) {
    this.#find(kind)?.remove();
  }

  #find(kind) {
    return this.#container.querySelector(`[data-kind="${kind}"]`);
  }
}

function button(label, className, run) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = className;
  made.textContent = label;
  made.addEventListener("click", run);
  return made;
}
