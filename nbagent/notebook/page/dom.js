// The few helpers that every widget uses, and how a status is shown.
//
// Rule 1: text is only ever set with textContent; nothing here takes HTML.
// Rule 2: no text turns the direction of what stands around it: `plain` marks what would.
// @ts-check
import look from "../../graph/look.json" with { type: "json" };
import { SIGNS } from "./signs.js";

const SVG = "http://www.w3.org/2000/svg";
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

/** @type {Map<string, {icon: string, tone: string, sign?: string}>} */
const STATUSES = new Map(Object.entries(look.statuses));

/** A sign beside the colour, so that a status does not depend on colour alone. @param {string} status */
export function icon(status) {
  return STATUSES.get(status)?.icon ?? "";
}

/** A status with its sign, as a pill says it. @param {string} status */
export function worded(status) {
  return `${icon(status)} ${status}`.trim();
}

/** A sign, drawn. @param {string} name of `signs.js`, or "" @param {string} [className] */
export function sign(name, className = "") {
  const made = svg("svg", { class: `nba-i ${className}`.trim(), viewBox: "0 0 16 16", "aria-hidden": "true" });
  for (const [d, more] of SIGNS[name] ?? []) made.append(svg("path", { d, ...more }));
  return made;
}

/** The name of a status's sign; "" has none. @param {string} status */
export function signOf(status) {
  return STATUSES.get(status)?.sign ?? "";
}

/** A status as it is told everywhere: sign, word and colour. @param {string} status @param {string} [word] "" is the sign alone */
export function statusMark(status, word = status) {
  const made = el("span", `nba-st ${toned(status)}`);
  if (signOf(status)) made.append(sign(signOf(status)));
  made.append(word ? plain(word) : hidden(status));
  return made;
}

/** Words for those who hear the page. @param {string} text */
export function hidden(text) {
  return el("span", "nba-hidden", text);
}

/** The classes that colour what has a status. @param {string} status */
export function toned(status) {
  return `nba-s-${status} nba-t-${STATUSES.get(status)?.tone ?? "plain"}`;
}

/** A text to be shown: controls as their pictures, and marks that turn the direction of text as �. @param {string} text */
export function plain(text) {
  return text.replace(HIDDEN, (sign) => (sign < " " ? String.fromCharCode(0x2400 + sign.charCodeAt(0)) : "\ufffd"));
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {string} [className] @param {string} [text]
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = plain(text);
  return made;
}

/** @param {string} tag @param {Record<string, string|number>} attributes @param {string} [text] */
export function svg(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  if (text !== undefined) made.textContent = plain(text);
  return made;
}

/** @param {string} label @param {string} className @param {() => void} act @param {string} [tip] */
export function button(label, className, act, tip) {
  const made = el("button", className, label);
  made.type = "button";
  if (tip) {
    made.title = plain(tip);
    if (!/[a-z]/i.test(label)) made.setAttribute("aria-label", plain(tip));
  }
  made.addEventListener("click", act);
  return made;
}

/**
 * A button with a sign before its word.
 * @param {string} label @param {string} signed "" for none @param {() => void} act
 * @param {{kind?: "" | "quiet" | "go", tip?: string, key?: string}} [more] a label that is not to be seen is the tip alone
 */
export function action(label, signed, act, { kind = "", tip = "", key = "" } = {}) {
  const made = button("", `nba-btn${kind ? ` nba-${kind}` : ""}`, act, tip);
  if (signed) made.append(sign(signed));
  if (label) {
    made.append(plain(label));
    made.removeAttribute("aria-label");
  }
  if (key) made.dataset.key = key;
  return made;
}

/** A line of parts. @param {string} className @param {...(Node | string)} parts */
export function line(className, ...parts) {
  const made = el("div", className);
  made.append(...parts.map((part) => (typeof part === "string" ? plain(part) : part)));
  return made;
}

/** A number as people say it: 10.7k, 1.2M. @param {number} count */
export function short(count) {
  if (count < 1000) return String(Math.round(count));
  const [size, unit] = count < 1e6 ? [count / 1e3, "k"] : [count / 1e6, "M"];
  return `${size < 100 ? size.toFixed(1) : Math.round(size)}${unit}`;
}

/** An amount of money. @param {number} cost */
export function money(cost) {
  return `$${cost >= 1 ? cost.toFixed(2) : cost.toFixed(3)}`;
}

/** How long ago. @param {number} at @param {number} now Unix seconds */
export function ago(at, now) {
  const seconds = Math.max(0, now - at);
  if (seconds < 5) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return seconds < 172800 ? "yesterday" : `${Math.floor(seconds / 86400)} days ago`;
}

/** A line to type in; its keys are its own. @param {string} className @param {string} label @param {string} [hint] */
export function textInput(className, label, hint) {
  const made = el("input", className);
  made.setAttribute("aria-label", label);
  if (hint) made.placeholder = plain(hint);
  made.addEventListener("keydown", (event) => event.stopPropagation());
  return made;
}

/** The key that was pressed, "" while it only builds a character (an input method's Enter). @param {KeyboardEvent} event */
export function keyOf(event) {
  return event.isComposing || event.keyCode === 229 ? "" : event.key;
}

/** Is this a place where keys mean text? @param {EventTarget | null} target */
export function isTyping(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

/** Make these the children, in this order; one that is in its place already is not touched. @param {Element} parent @param {Element[]} children */
export function arrange(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let place = parent.firstElementChild;
  for (const child of children) {
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
}

/** Draw anew, and give the keyboard back its place: what has the same `data-key`. @param {HTMLElement} root @param {() => void} draw */
export function keepingFocus(root, draw) {
  const held = root.contains(document.activeElement) ? document.activeElement : null;
  draw();
  if (!(held instanceof HTMLElement) || held === document.activeElement || !held.dataset.key) return;
  const again = root.querySelector(`[data-key="${CSS.escape(held.dataset.key)}"]`);
  if (again instanceof HTMLElement) again.focus({ preventScroll: true });
}

/** Seconds as people say them. @param {number} seconds */
export function clock(seconds) {
  if (!(seconds >= 0)) return "";
  if (seconds < 0.0995) return `${(seconds * 1000).toFixed(0)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return Math.floor(seconds % 60) ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

/** A moment for a list: the time, with the day where it is not today. @param {number} at Unix seconds */
export function moment(at) {
  const when = new Date(at * 1000);
  const time = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return when.toDateString() === new Date().toDateString() ? time : `${when.toLocaleDateString()} ${time}`;
}
