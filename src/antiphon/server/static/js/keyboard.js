/** Keys that work anywhere on the page, unless what has the focus needs them itself. */

const INTERACTIVE = "button, a[href], input, textarea, select, summary, [contenteditable]";
const TYPING = "input, textarea, select, [contenteditable]";

/** Enter starts, Space mutes, Escape hangs up; in the text field Escape leaves the field. */
export function bindKeys({ start, toggleMute, hangUp, inCall }) {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const target = event.target instanceof Element ? event.target : document.body;
    const run = action(event.key, target);
    if (run) {
      event.preventDefault();
      run();
    }
  });

  function action(key, target) {
    if (key === "Escape") {
      if (target.closest(TYPING)) return () => target.blur();
      return inCall() ? hangUp : null;
    }
    if (target.closest(INTERACTIVE)) return null;
    if (key === "Enter") return inCall() ? null : start;
    if (key === " ") return inCall() ? toggleMute : null;
    return null;
  }
}
