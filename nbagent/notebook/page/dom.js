// The few helpers that every widget uses, and the words and signs for a status.
//
// Rule 1: text is only ever set with textContent; nothing here takes HTML.
// @ts-check
import look from "../../graph/look.json" with { type: "json" };

const SVG = "http://www.w3.org/2000/svg";

/** @type {Map<string, {icon: string, tone: string}>} */
const STATUSES = new Map(Object.entries(look.statuses));

/** A sign beside the colour, so that a status does not depend on colour alone. @param {string} status */
export function icon(status) {
  return STATUSES.get(status)?.icon ?? "";
}

/** A status with its sign, as a pill says it. @param {string} status */
export function worded(status) {
  return `${icon(status)} ${status}`.trim();
}

/** The classes that colour what has a status. @param {string} status */
export function toned(status) {
  return `nba-s-${status} nba-t-${STATUSES.get(status)?.tone ?? "plain"}`;
}

/**
 * @param {string} tag @param {string} [className] @param {string} [text]
 * @returns {HTMLElement}
 */
export function el(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** @param {string} tag @param {Record<string, string|number>} attributes @param {string} [text] */
export function svg(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  if (text !== undefined) made.textContent = text;
  return made;
}

/** @param {string} label @param {string} className @param {() => void} act @param {string} [tip] */
export function button(label, className, act, tip) {
  const made = /** @type {HTMLButtonElement} */ (el("button", className, label));
  made.type = "button";
  if (tip) {
    made.title = tip;
    if (!/[a-z]/i.test(label)) made.setAttribute("aria-label", tip);
  }
  made.addEventListener("click", act);
  return made;
}

/** Seconds as people say them. @param {number} seconds */
export function clock(seconds) {
  if (!(seconds >= 0)) return "";
  if (seconds < 0.0995) return `${(seconds * 1000).toFixed(0)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

/** A moment for a list: the time, with the day where it is not today. @param {number} at Unix seconds */
export function moment(at) {
  const when = new Date(at * 1000);
  const time = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return when.toDateString() === new Date().toDateString() ? time : `${when.toLocaleDateString()} ${time}`;
}

/** Is this a place where keys mean text? @param {EventTarget | null} target */
export function isTyping(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}
