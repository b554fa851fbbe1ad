// What every part of a form is made of: signs, buttons, and how a problem is marked.
// @ts-check
import { button, el, plain, svg } from "../dom.js";
import { SIGNS } from "../signs.js";

let ids = 0; // for the page as a whole: an element's id must be its own

/** An id that no other element of the page has. */
export function ownId() {
  return `nbf-${++ids}`;
}

/** @param {string} name of `signs.js` @param {string} [className] */
export function mark(name, className = "") {
  const made = svg("svg", { class: `nbf-i ${className}`.trim(), viewBox: "0 0 16 16", "aria-hidden": "true" });
  for (const [d, more] of SIGNS[name] ?? []) made.append(svg("path", { d, ...more }));
  return made;
}

/** A button in the form's own look. @param {string} label @param {string} className @param {() => void} act @param {string} [tip] @param {string} [sign] */
export function press(label, className, act, tip, sign) {
  const made = button(sign && /^[^a-z]?$/i.test(label) ? "" : label, `nbf-button ${className}`, act, tip);
  if (sign) made.prepend(mark(sign));
  return made;
}

/** Mark an input, with the words below it. @param {HTMLElement} input @param {HTMLElement} after */
export function marker(input, after) {
  const note = el("div", "nbf-problem");
  note.id = ownId();
  note.hidden = true;
  note.setAttribute("role", "alert");
  after.after(note);
  return (/** @type {string} */ message) => {
    note.replaceChildren(...(message ? [mark("failed"), el("span", "", message)] : []));
    note.hidden = !message;
    if (message) {
      input.setAttribute("aria-invalid", "true");
      input.setAttribute("aria-describedby", note.id);
    } else {
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
    }
  };
}

/**
 * Some ways, of which one is chosen.
 * @template T
 * @param {Array<{value: T, text: string, sign?: string}>} ways @param {(value: T) => boolean} isChosen
 * @param {string} label @param {(value: T) => void} chosen @param {boolean} [isSmall]
 */
export function segments(ways, isChosen, label, chosen, isSmall) {
  const group = el("div", `nbf-seg${isSmall ? " nbf-sm" : ""}`);
  group.setAttribute("role", "radiogroup");
  group.setAttribute("aria-label", label);
  const name = ownId();
  for (const way of ways) {
    const row = el("label", "nbf-radio");
    const input = el("input");
    input.type = "radio";
    input.name = name;
    input.checked = isChosen(way.value);
    input.addEventListener("change", () => chosen(way.value));
    row.append(input, ...(way.sign ? [mark(way.sign)] : []), el("span", "", way.text));
    group.append(row);
  }
  return group;
}

/** A summary that folds something to a line. @param {string} className @param {...(Node | string)} parts */
export function folding(className, ...parts) {
  const node = el("details", className);
  const summary = el("summary");
  summary.append(mark("tw", "nbf-tw"), ...parts.map((part) => (typeof part === "string" ? plain(part) : part)));
  node.append(summary);
  return node;
}
