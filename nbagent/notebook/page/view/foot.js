// The line of Python that does what was done by mouse, or what the main button would do.
// @ts-check
import { action, el, plain } from "../dom.js";

/** @param {string} tip what the keys do */
export function footPart(tip) {
  const node = el("div", "nba-foot");
  const code = el("code", "nba-code");
  let line = "";
  const copy = action("Copy", "copy", () => navigator.clipboard?.writeText(line), { kind: "quiet", tip: "Copy this line of Python" });
  node.append(el("span", "nba-meta", "In Python"), code, copy);
  node.title = tip;
  return {
    node,
    /** @param {string} now "" hides it */
    show(now) {
      node.hidden = !now;
      if (line !== now) code.textContent = plain(now);
      line = now;
    },
  };
}
