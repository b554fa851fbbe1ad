// The controls that are one value: a text, a number, a date, a choice, yes or no, JSON.
//
// Rule 1: a control that nobody touched gives back the very value that it was made with.
// Rule 2: what the page finds wrong with a value is said at once, and is a courtesy: see `flaw`.
// @ts-check
import { el, plain } from "../dom.js";
import { marker, segments } from "./marks.js";
import { brief, equal, flaw, inexact, isObject, jsonProblem, own, tooLarge } from "./schema.js";

/** @typedef {import("./schema.js").Json} Json */
/** @typedef {import("./schema.js").Maybe} Maybe */
/** @typedef {import("./schema.js").Schema} Schema */
/** @typedef {Array<string | number>} Path */
/** @typedef {(message: string) => void} Said marks a problem; "" takes the mark away */
/**
 * `problem` says what is missing and marks it; "" is nothing.
 * @typedef {{node: HTMLElement, read: () => Maybe, fail: (path: Path, message: string) => void, problem?: () => string}} Control
 */

const DATES = new Map([["date", "date"], ["time", "time"], ["date-time", "datetime-local"]]);
const LONG = 60; // characters of a text that gets a line of its own

/** A control that is one input. @param {HTMLElement} input @param {Maybe} value @param {() => Maybe} read what was typed @param {() => void} changed @param {string} label @param {() => string} [check] what is wrong with what was typed @returns {Control} */
export function single(input, value, read, changed, label, check) {
  const node = el("div", "nbf-control");
  input.setAttribute("aria-label", label);
  node.append(input);
  const said = marker(input, input);
  let isTouched = false;
  let told = "";
  const touched = () => {
    isTouched = true;
    const found = check ? check() : "";
    if (found || told) said(found);
    told = found;
    changed();
  };
  input.addEventListener("input", touched);
  input.addEventListener("change", touched);
  return { node, read: () => (isTouched ? read() : value), fail: (_, message) => said((told = message)) };
}

/** @param {Maybe} value @returns {Control} */
export function readOnly(value) {
  const opaque = isObject(value) ? own(value, "$opaque") : undefined;
  const shown = typeof opaque === "string" ? opaque : brief(value);
  return { node: el("div", "nbf-readonly", `${shown} (edit it in code)`), read: () => value, fail: () => {} };
}

/** @param {Maybe} value @param {() => void} changed @param {string} label @returns {Control} */
export function checkbox(value, changed, label) {
  const input = el("input");
  input.type = "checkbox";
  input.checked = Boolean(value);
  return single(input, value, () => input.checked, changed, label);
}

/** Yes, no, or not set: a box could not say that. @param {Maybe} value @param {() => void} changed @param {string} label @param {boolean} nullable @param {boolean} [isRequired] @returns {Control} */
export function yesNo(value, changed, label, nullable, isRequired) {
  /** @type {Array<{value: Maybe, text: string}>} */
  const ways = [{ value: true, text: "Yes" }, { value: false, text: "No" }];
  if (nullable || (value === undefined && !isRequired)) ways.push({ value: nullable ? null : undefined, text: "Not set" });
  return picked(ways, value, changed, label, (way) => (way === undefined || way === null ? value === way || (!isRequired && value === undefined) : way === value));
}

/** @param {Array<{value: Maybe, text: string}>} ways @param {Maybe} value @param {() => void} changed @param {string} label @param {(way: Maybe) => boolean} isChosen @returns {Control} */
function picked(ways, value, changed, label, isChosen) {
  let now = value;
  const group = segments(ways, isChosen, label, (way) => {
    now = way;
    said("");
    changed();
  }, true);
  const node = el("div", "nbf-control");
  node.append(group);
  const said = marker(group, group);
  return { node, read: () => now, fail: (_, message) => said(message) };
}

/** @param {Schema} schema @param {Maybe} value @param {() => void} changed @param {string} label @param {boolean} [mayBeEmpty] @returns {Control} */
export function number(schema, value, changed, label, mayBeEmpty) {
  const input = el("input", "nbf-number");
  input.type = "number";
  const whole = schema.type === "integer";
  input.step = whole ? "1" : "any";
  if (schema.minimum !== undefined) input.min = String(schema.minimum);
  if (schema.maximum !== undefined) input.max = String(schema.maximum);
  input.value = value === undefined || value === null ? "" : String(value);
  const number = () => (input.value === "" ? null : Number(input.value));
  const read = () => {
    if (whole && inexact(input.value)) throw new Error(tooLarge(input.value));
    return number();
  };
  return single(input, value, read, changed, label, () => {
    const now = number();
    if (now === null && mayBeEmpty && !input.validity.badInput) return "";
    if (now === null || Number.isNaN(now)) return "a number is needed";
    if (whole && inexact(input.value)) return tooLarge(input.value);
    if (whole && !Number.isInteger(now)) return "a whole number is needed";
    return flaw(schema, now);
  });
}

/** @param {Schema} schema @param {Maybe} value @param {() => void} changed @param {string} label @param {boolean} [tight] @returns {Control} */
export function text(schema, value, changed, label, tight) {
  const now = value === undefined || value === null ? "" : String(value);
  const kind = DATES.get(schema.format || "");
  const isLong = !tight && (schema.format === "textarea" || now.length > LONG);
  if (!kind && (isLong || /[\n\r]/.test(now))) {
    const area = el("textarea");
    area.value = now;
    area.rows = tight ? 2 : Math.min(14, Math.max(2, now.split("\n").length + 1));
    return single(area, value, () => area.value, changed, label, () => flaw(schema, area.value));
  }
  const input = el("input", kind ? "nbf-date" : "nbf-text");
  input.type = kind || "text";
  if (kind === "datetime-local") input.step = "any";
  input.value = kind === "datetime-local" ? now.replace(/(Z|[+-]\d\d:\d\d)$/, "") : now;
  if (kind && now && !input.value) return json(value, changed, label); // a form of date that browsers do not know
  const zone = kind === "datetime-local" ? (/(Z|[+-]\d\d:\d\d)$/.exec(now) || [""])[0] : "";
  if (tight) input.title = plain(now);
  return single(input, value, () => (kind && input.value ? input.value + zone : input.value), changed, label, () =>
    kind ? (input.value ? "" : "a date is needed") : flaw(schema, input.value),
  );
}

/** @param {Json[]} options @param {Maybe} value @param {() => void} changed @param {string} label @param {boolean} [tight] @returns {Control} */
export function choice(options, value, changed, label, tight) {
  if (options.length <= 3 && !tight) {
    return picked(options.map((option) => ({ value: option, text: String(option) })), value, changed, label, (way) => equal(way, value));
  }
  const select = el("select");
  const isNone = options.includes(null);
  if (!isNone && (value === undefined || value === null)) select.append(new Option("choose…", ""));
  options.forEach((option, place) => select.append(new Option(option === null && isNone ? "—" : plain(String(option)), String(place), false, equal(option, value))));
  return single(select, value, () => (select.value === "" ? null : options[Number(select.value)]), changed, label);
}

/** @param {Maybe} value @param {() => void} changed @param {string} label @returns {Control} */
export function json(value, changed, label) {
  const area = el("textarea", "nbf-json");
  area.value = value === undefined ? "" : JSON.stringify(value, null, 2);
  area.rows = Math.min(14, Math.max(2, area.value.split("\n").length));
  area.spellcheck = false;
  area.placeholder = "JSON";
  const problem = () => (area.value.trim() ? jsonProblem(area.value) : "");
  const read = () => {
    if (!area.value.trim()) return undefined;
    const found = problem();
    if (found) throw new Error(found);
    return JSON.parse(area.value);
  };
  return single(area, value, read, changed, label, problem);
}
