// The controls of a form, one for each kind of schema.
//
// Rule 1: a control is `{node, read, fail}`: its element, its value, and how it marks a problem.
// Rule 2: text from the state is only ever set with textContent or as a control's value.
// Rule 3: a control that nobody touched gives back the very value that it was made with.
// Rule 4: of many entries only some are made, and the others when a person asks for them.
// @ts-check
import { el, plain } from "../dom.js";
import { fieldRow } from "./field.js";
import { checkbox, choice, json, number, readOnly, text, yesNo } from "./inputs.js";
import { marker, press } from "./marks.js";
import { blank, choices, columnsOf, equal, fitting, isObject, isSheet, missing, own, resolve, unset, unwrapNull } from "./schema.js";
import { records } from "./sheet.js";
import { table } from "./table.js";

/** @typedef {import("./schema.js").Json} Json */
/** @typedef {import("./schema.js").Maybe} Maybe */
/** @typedef {import("./schema.js").Schema} Schema */
/** @typedef {import("./schema.js").Defs} Defs */
/** @typedef {import("./inputs.js").Control} Control */

const PAGE = 50; // entries that are made at once

/**
 * The control that fits a schema.
 * @param {Schema | undefined} raw @param {Maybe} value @param {Defs} defs @param {() => void} changed @param {string} label @param {boolean} [tight] @param {boolean} [isRequired]
 * @returns {Control}
 */
export function control(raw, value, defs, changed, label, tight, isRequired) {
  const { schema, nullable } = unwrapNull(resolve(raw, defs), defs);
  if (isSheet(value)) return table(value, changed, label);
  if (schema.readOnly || (isObject(value) && Object.hasOwn(value, "$opaque"))) return readOnly(value);
  if (schema.const !== undefined && equal(schema.const, value)) {
    return { node: el("div", "nbf-readonly", String(value)), read: () => value, fail: () => {} };
  }
  if (schema.type === "boolean" && !tight) return yesNo(value, changed, label, nullable, isRequired);
  if (nullable && tight && !choices(schema).length) return emptiable(schema, value, defs, changed, label);
  if (nullable) return optional(schema, value, defs, changed, label, tight);
  if (choices(schema).length > 1) return union(schema, value, defs, changed, label, tight);
  if (schema.enum || schema.const !== undefined) return choice(schema.enum || [schema.const ?? null], value, changed, label, tight);
  if (schema.type === "boolean") return checkbox(value, changed, label);
  if (schema.type === "integer" || schema.type === "number") return number(schema, value, changed, label);
  if (schema.type === "string") return text(schema, value, changed, label, tight);
  const items = value ?? [];
  if (schema.type === "array" && !schema.prefixItems && Array.isArray(items) && columnsOf(schema.items, items, defs).length) {
    return records(schema.items ?? {}, items, defs, changed, label, control);
  }
  if (schema.type === "array" && schema.items && Object.keys(schema.items).length && !schema.prefixItems && Array.isArray(items)) {
    return list(schema.items, items, defs, changed, label);
  }
  const whole = value ?? unset(schema, defs);
  if (schema.type === "object" && schema.properties && isObject(whole)) return object(schema, whole, defs, changed, label);
  if (schema.type === "object" && typeof schema.additionalProperties === "object" && isObject(value) && !tight) {
    return mapping(schema.additionalProperties, value, defs, changed, label);
  }
  return json(value, changed, label);
}

/** The control for an answer. @param {Schema} raw @param {Maybe} value @param {Defs} defs @param {() => void} changed @returns {Control} */
export function answerControl(raw, value, defs, changed) {
  return control(raw, value, defs, changed, "answer", false, true);
}

/** In a cell: what is empty is not set. @param {Schema} schema @param {Maybe} value @param {Defs} defs @param {() => void} changed @param {string} label @returns {Control} */
function emptiable(schema, value, defs, changed, label) {
  if (schema.enum || schema.type === "boolean") return choice([...(schema.enum ?? [true, false]), null], value ?? null, changed, label, true);
  if (schema.type === "integer" || schema.type === "number") return number(schema, value, changed, label, true);
  const inner = control(schema, value, defs, changed, label, true);
  const isSame = value === null || value === undefined;
  return { ...inner, read: () => (inner.read() === "" && isSame ? value : inner.read()) };
}

/** @param {Schema} schema @param {Maybe} value @param {Defs} defs @param {() => void} changed @param {string} label @param {boolean} [tight] @returns {Control} */
function optional(schema, value, defs, changed, label, tight) {
  const node = el("div", "nbf-optional");
  /** @type {Control | null} */
  let inner = null;
  const add = press("Set a value", "nbf-small", () => fill(blank(schema, defs)));
  const clear = press("Not set", "nbf-small", () => fill(null));
  /** @param {Maybe} now @param {boolean} [first] */
  function fill(now, first) {
    inner = now === null || now === undefined ? null : control(schema, now, defs, changed, label, tight);
    node.replaceChildren(...(inner ? [inner.node, clear] : [el("span", "nbf-void", "Not set"), add]));
    if (!first) changed();
  }
  fill(value, true);
  return { node, read: () => (inner ? inner.read() : null), fail: (path, message) => inner && inner.fail(path, message) };
}

/** @param {Schema} schema @param {import("./schema.js").JsonObject} value @param {Defs} defs @param {() => void} changed @param {string} label @returns {Control} */
function object(schema, value, defs, changed, label) {
  const node = el("fieldset", "nbf-object");
  node.setAttribute("aria-label", label);
  /** @type {Map<string, Control>} */
  const inner = new Map();
  for (const [name, one] of Object.entries(schema.properties ?? {})) {
    const isRequired = (schema.required ?? []).includes(name);
    const made = control(one, own(value, name), defs, changed, `${label} ${name}`, false, isRequired);
    inner.set(name, made);
    const row = fieldRow(name, unwrapNull(resolve(one, defs), defs).schema, made, { isRequired }).row;
    delete row.dataset.field; // a field of the state is another thing
    node.append(row);
  }
  return {
    node,
    read: () => filled(value, inner),
    fail: (path, message) => (inner.get(String(path[0] ?? missing(message))) || [...inner.values()][0])?.fail(path.slice(1), message),
  };
}

/** An object with what its controls hold; a value that is not there, and that nobody gave, is left out. @param {import("./schema.js").JsonObject} value @param {Map<string, Control>} controls */
function filled(value, controls) {
  const read = [...controls].map(([name, one]) => /** @type {[string, Maybe]} */ ([name, one.read()]));
  return /** @type {Json} */ (Object.fromEntries([...Object.entries(value), ...read]));
}

/** Rows that can be added, removed and moved. @param {Schema} items @param {Json[]} value @param {Defs} defs @param {() => void} changed @param {string} label @returns {Control} */
function list(items, value, defs, changed, label) {
  const node = el("div", "nbf-list");
  const rows = el("div");
  /** @typedef {{value: Maybe, row: HTMLElement | null, inner: Control | null, isTouched: boolean}} Line */
  /** @type {Line[]} */
  let lines = value.map(entry);
  let isOther = false; // entries came, went or moved
  let shown = 0;
  const further = press("", "nbf-small", () => put(shown + PAGE));
  const more = press("Add", "nbf-quiet nbf-small", () => {
    lines.push(entry(blank(items, defs)));
    shown = lines.length;
    others();
  }, "Add an entry", "plus");

  /** @param {Maybe} now @returns {Line} */
  function entry(now) {
    return { value: now, row: null, inner: null, isTouched: false };
  }
  /** @param {Line} item */
  function drawn(item) {
    if (item.row) return item.row;
    item.inner = control(items, item.value, defs, () => {
      item.isTouched = true;
      changed();
    }, `${label} item`);
    const act = el("span", "nbf-acts");
    act.append(
      press("↑", "nbf-icon", () => move(item, -1), "Move up"),
      press("↓", "nbf-icon", () => move(item, 1), "Move down"),
      press("×", "nbf-icon", () => drop(item), "Remove"),
    );
    item.row = el("div", "nbf-item");
    item.row.append(item.inner.node, act);
    return item.row;
  }
  /** @param {number} count */
  function put(count) {
    shown = Math.min(Math.max(count, PAGE), lines.length);
    rows.replaceChildren(...lines.slice(0, shown).map(drawn));
    further.hidden = shown >= lines.length;
    further.textContent = `Show ${Math.min(PAGE, lines.length - shown)} more of ${lines.length.toLocaleString()}`;
  }
  function others() {
    isOther = true;
    put(shown);
    changed();
  }
  /** @param {Line} item @param {number} by */
  function move(item, by) {
    const at = lines.indexOf(item);
    if (at + by < 0 || at + by >= lines.length) return;
    lines.splice(at, 1);
    lines.splice(at + by, 0, item);
    others();
  }
  /** @param {Line} item */
  function drop(item) {
    lines = lines.filter((one) => one !== item);
    others();
  }
  put(PAGE);
  node.append(rows, further, more);
  const said = marker(node, more);
  return {
    node,
    read: () =>
      isOther || lines.some((item) => item.isTouched) ? lines.map((item) => (item.isTouched && item.inner ? item.inner.read() : item.value) ?? null) : value,
    fail(path, message) {
      const at = Number(path[0]);
      if (lines[at] && at >= shown) put(at + 1);
      const inner = lines[at]?.inner;
      if (inner) inner.fail(path.slice(1), message);
      else said(message);
    },
  };
}

/** One of several types: a choice of the type, and the control that fits it. @param {Schema} schema @param {Maybe} value @param {Defs} defs @param {() => void} changed @param {string} label @param {boolean} [tight] @returns {Control} */
function union(schema, value, defs, changed, label, tight) {
  const options = choices(schema).map((one) => resolve(one, defs));
  const node = el("div", "nbf-union");
  const select = el("select");
  select.setAttribute("aria-label", `type of ${label}`);
  options.forEach((one, place) => select.append(new Option(plain(one.title || one.format || one.type || `choice ${place + 1}`), String(place))));
  const place = el("div");
  /** @type {Control} */
  let inner;
  /** @param {number} which @param {Maybe} now */
  function fill(which, now) {
    const one = options[which];
    inner = one.type === "null"
      ? { node: el("span", "nbf-muted", "none"), read: () => null, fail: () => {} }
      : control(one, now, defs, changed, label, tight);
    place.replaceChildren(inner.node);
  }
  const first = Math.max(0, fitting(value, options, defs));
  select.value = String(first);
  fill(first, value);
  select.addEventListener("change", () => {
    fill(Number(select.value), blank(options[Number(select.value)], defs));
    changed();
  });
  node.append(select, place);
  return { node, read: () => inner.read(), fail: (path, message) => inner.fail(path, message) };
}

/** Names that a person chooses, each with a value. @param {Schema} entry @param {import("./schema.js").JsonObject} value @param {Defs} defs @param {() => void} changed @param {string} label @returns {Control} */
function mapping(entry, value, defs, changed, label) {
  const node = el("div", "nbf-list");
  const body = el("div");
  /** @typedef {{key: string, value: Json, row: HTMLElement | null, name: HTMLInputElement | null, inner: Control | null, isTouched: boolean}} Line */
  /** @type {Line[]} */
  let lines = Object.entries(value).map(([key, now]) => line(key, now));
  let isOther = false; // entries came or went
  let shown = 0;
  const further = press("", "nbf-small", () => put(shown + PAGE));
  const more = press("+ Add an entry", "nbf-quiet nbf-small", () => {
    lines.push(line("", blank(entry, defs)));
    shown = lines.length;
    others();
  });

  /** @param {string} key @param {Json} now @returns {Line} */
  function line(key, now) {
    return { key, value: now, row: null, name: null, inner: null, isTouched: false };
  }
  /** @param {Line} one */
  function drawn(one) {
    if (one.row) return one.row;
    const touched = () => {
      one.isTouched = true;
      changed();
    };
    const name = el("input", "nbf-text nbf-key");
    name.value = one.key;
    name.setAttribute("aria-label", `${label} name`);
    name.addEventListener("input", touched);
    one.name = name;
    one.inner = control(entry, one.value, defs, touched, `${label} ${one.key}`);
    one.row = el("div", "nbf-item");
    one.row.append(name, one.inner.node, press("×", "nbf-icon", () => {
      lines = lines.filter((other) => other !== one);
      others();
    }, `Remove ${one.key || "this entry"}`));
    return one.row;
  }
  /** @param {number} count */
  function put(count) {
    shown = Math.min(Math.max(count, PAGE), lines.length);
    body.replaceChildren(...lines.slice(0, shown).map(drawn));
    further.hidden = shown >= lines.length;
    further.textContent = `Show ${Math.min(PAGE, lines.length - shown)} more of ${lines.length.toLocaleString()}`;
  }
  function others() {
    isOther = true;
    put(shown);
    changed();
  }
  /** @param {Line} one */
  const keyOf = (one) => one.name?.value ?? one.key;
  put(PAGE);
  node.append(body, further, more);
  const said = marker(node, more);
  return {
    node,
    read: () => {
      if (!isOther && !lines.some((one) => one.isTouched)) return value;
      const names = new Set();
      for (const one of lines) {
        if (names.has(keyOf(one))) throw new Error(`the name “${keyOf(one)}” stands twice`);
        names.add(keyOf(one));
      }
      return Object.fromEntries(lines.map((one) => [keyOf(one), (one.isTouched && one.inner ? one.inner.read() : one.value) ?? null]));
    },
    fail: (path, message) => {
      const at = lines.findIndex((one) => keyOf(one) === String(path[0]));
      if (at >= shown) put(at + 1);
      const inner = lines[at]?.inner;
      if (inner) inner.fail(path.slice(1), message);
      else said(message);
    },
  };
}
