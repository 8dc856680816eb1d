/** Messages above the page that say what is wrong and what to do; one of each kind at most. */

export class Notices {
  #container;

  constructor(container) {
    this.#container = container;
    // The conversation beside it shrinks by as much, so that its text field stays in view.
    const measure = () => document.documentElement.style.setProperty("--notices", `${container.offsetHeight + 16}px`);
    new ResizeObserver(() => {
      if (container.childElementCount) measure();
      else document.documentElement.style.removeProperty("--notices");
    }).observe(container);
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
    // Read out with the notice when it appears; a countdown in it is not read out each second.
    paragraph.setAttribute("aria-live", "off");
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

  /** The title of the notice of a kind, or undefined when there is none. */
  title(kind) {
    return this.#find(kind)?.querySelector("strong").textContent;
  }

  /** Change the words of a notice that is shown. */
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
