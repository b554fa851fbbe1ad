// The controls of a form, one for each kind of schema.
//
// Rule 1: a control is `{node, read, fail}`: its element, its value, and how it marks a problem.
// Rule 2: text from the state is only ever set with textContent or as a control's value.
// Rule 3: a control that nobody touched gives back the very value that it was made with.
// @ts-check
import { button, el, plain } from "../dom.js";
import { blank, brief, choices, equal, fitting, inexact, isFlat, isObject, isSheet, jsonProblem, missing, own, resolve, tooLarge, unset, unwrapNull } from "./schema.js";

/** @typedef {import("./schema.js").Json} Json */
/** @typedef {import("./schema.js").Maybe} Maybe */
/** @typedef {import("./schema.js").Schema} Schema */
/** @typedef {import("./schema.js").Defs} Defs */
/** @typedef {Array<string | number>} Path */
/** @typedef {{node: HTMLElement, read: () => Maybe, fail: (path: Path, message: string) => void}} Control */
/** @typedef {(message: string) => void} Said marks a problem; "" takes the mark away */

let ids = 0; // for the page as a whole: an element's id must be its own

/**
 * The control that fits a schema.
 * @param {Schema | undefined} raw @param {Maybe} value @param {Defs} defs @param {() => void} changed @param {string} label @param {boolean} [tight]
 * @returns {Control}
 */
export function control(raw, value, defs, changed, label, tight) {
  const { schema, nullable } = unwrapNull(resolve(raw, defs), defs);
  if (isSheet(value)) return sheet(value, changed, label);
  if (schema.readOnly || (isObject(value) && Object.hasOwn(value, "$opaque"))) return readOnly(value);
  if (schema.const !== undefined && equal(schema.const, value)) {
    return { node: el("div", "nbf-readonly", String(value)), read: () => value, fail: () => {} };
  }
  if (schema.type === "boolean" && !tight && (nullable || value === undefined || value === null)) {
    return yesNo(value, changed, label, nullable);
  }
  if (nullable) return optional(schema, value, defs, changed, label, tight);
  if (choices(schema).length > 1) return union(schema, value, defs, changed, label, tight);
  if (schema.enum || schema.const !== undefined) return choice(schema.enum || [schema.const ?? null], value, changed, label, tight);
  if (schema.type === "boolean") return checkbox(value, changed, label);
  if (schema.type === "integer" || schema.type === "number") return number(schema, value, changed, label);
  if (schema.type === "string") return text(schema, value, changed, label, tight);
  const items = value ?? [];
  if (schema.type === "array" && schema.items && !schema.prefixItems && Array.isArray(items)) {
    return isFlat(schema.items, defs)
      ? grid(schema.items, items, defs, changed, label)
      : list(schema.items, items, defs, changed, label);
  }
  const whole = value ?? unset(schema, defs);
  if (schema.type === "object" && schema.properties && isObject(whole)) return object(schema.properties, whole, defs, changed, label);
  if (schema.type === "object" && typeof schema.additionalProperties === "object" && isObject(value) && !tight) {
    return mapping(schema.additionalProperties, value, defs, changed, label);
  }
  return json(value, changed, label);
}

/** The control for an answer, where yes and no are one click each. @param {Schema} raw @param {Maybe} value @param {Defs} defs @param {() => void} changed @returns {Control} */
export function answerControl(raw, value, defs, changed) {
  const { schema, nullable } = unwrapNull(resolve(raw, defs), defs);
  return schema.type === "boolean" ? yesNo(value, changed, "answer", nullable) : control(raw, value, defs, changed, "answer");
}

/** Mark an input, with the words below it. @param {HTMLElement} input @param {HTMLElement} after */
function marker(input, after) {
  const note = el("div", "nbf-problem");
  note.id = `nbf-${++ids}`;
  note.hidden = true;
  after.after(note);
  return (/** @type {string} */ message) => {
    note.textContent = plain(message);
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

/** A control that is one input. @param {HTMLElement} input @param {Maybe} value @param {() => Maybe} read what was typed @param {() => void} changed @param {string} label @param {(said: Said) => void} [check] @returns {Control} */
function single(input, value, read, changed, label, check) {
  const node = el("div", "nbf-control");
  input.setAttribute("aria-label", label);
  node.append(input);
  const said = marker(input, input);
  let isTouched = false;
  const touched = () => {
    isTouched = true;
    said("");
    if (check) check(said);
    changed();
  };
  input.addEventListener("input", touched);
  input.addEventListener("change", touched);
  return { node, read: () => (isTouched ? read() : value), fail: (_, message) => said(message) };
}

/** @param {Maybe} value @returns {Control} */
function readOnly(value) {
  const opaque = isObject(value) ? own(value, "$opaque") : undefined;
  const shown = typeof opaque === "string" ? opaque : brief(value);
  return { node: el("div", "nbf-readonly", `${shown} (edit it in code)`), read: () => value, fail: () => {} };
}

/** @param {Maybe} value @param {() => void} changed @param {string} label @returns {Control} */
function checkbox(value, changed, label) {
  const input = el("input");
  input.type = "checkbox";
  input.checked = Boolean(value);
  return single(input, value, () => input.checked, changed, label);
}

/** Yes, no, or neither yet: a box could not say that. @param {Maybe} value @param {() => void} changed @param {string} label @param {boolean} nullable @returns {Control} */
function yesNo(value, changed, label, nullable) {
  return choice([true, false, ...(nullable ? [null] : [])], value, changed, label, false, SAID);
}

const SAID = new Map(/** @type {Array<[Json, string]>} */ ([[true, "yes"], [false, "no"], [null, "none"]]));

/** @param {Schema} schema @param {Maybe} value @param {() => void} changed @param {string} label @returns {Control} */
function number(schema, value, changed, label) {
  const input = el("input", "nbf-number");
  input.type = "number";
  input.step = schema.type === "integer" ? "1" : "any";
  if (schema.minimum !== undefined) input.min = String(schema.minimum);
  if (schema.maximum !== undefined) input.max = String(schema.maximum);
  input.value = value === undefined || value === null ? "" : String(value);
  const whole = schema.type === "integer";
  const number = () => (input.value === "" ? null : Number(input.value));
  const read = () => {
    if (whole && inexact(input.value)) throw new Error(tooLarge(input.value));
    return number();
  };
  return single(input, value, read, changed, label, (said) => {
    const now = number();
    if (now === null || Number.isNaN(now)) said("a number is needed");
    else if (whole && inexact(input.value)) said(tooLarge(input.value));
    else if (whole && !Number.isInteger(now)) said("a whole number is needed");
    else if (schema.minimum !== undefined && now < schema.minimum) said(`not below ${schema.minimum}`);
    else if (schema.maximum !== undefined && now > schema.maximum) said(`not above ${schema.maximum}`);
  });
}

const DATES = new Map([["date", "date"], ["time", "time"], ["date-time", "datetime-local"]]);

/** @param {Schema} schema @param {Maybe} value @param {() => void} changed @param {string} label @param {boolean} [tight] @returns {Control} */
function text(schema, value, changed, label, tight) {
  const now = value === undefined || value === null ? "" : String(value);
  const kind = DATES.get(schema.format || "");
  const isLong = !tight && (schema.format === "textarea" || now.length > 60);
  if (!kind && (isLong || /[\n\r]/.test(now))) {
    const area = el("textarea");
    area.value = now;
    area.rows = tight ? 2 : Math.min(14, Math.max(3, now.split("\n").length + 1));
    return single(area, value, () => area.value, changed, label);
  }
  const input = el("input", kind ? "nbf-date" : "nbf-text");
  input.type = kind || "text";
  if (kind === "datetime-local") input.step = "any";
  input.value = kind === "datetime-local" ? now.replace(/(Z|[+-]\d\d:\d\d)$/, "") : now;
  if (kind && now && !input.value) return json(value, changed, label); // a form of date that browsers do not know
  const zone = kind === "datetime-local" ? (/(Z|[+-]\d\d:\d\d)$/.exec(now) || [""])[0] : "";
  if (tight) input.title = plain(now);
  return single(input, value, () => (kind && input.value ? input.value + zone : input.value), changed, label, (said) => {
    if (kind && !input.value) said("a date is needed");
  });
}

/** @param {Json[]} options @param {Maybe} value @param {() => void} changed @param {string} label @param {boolean} [tight] @param {Map<Json, string>} [names] @returns {Control} */
function choice(options, value, changed, label, tight, names) {
  if (options.length <= 3 && !tight) {
    const group = el("div", "nbf-radios");
    group.setAttribute("role", "radiogroup");
    group.setAttribute("aria-label", label);
    const name = `nbf-${++ids}`;
    let now = value;
    for (const option of options) {
      const row = el("label", "nbf-radio");
      const input = el("input");
      input.type = "radio";
      input.name = name;
      input.checked = equal(option, value);
      input.addEventListener("change", () => {
        now = option;
        said("");
        changed();
      });
      row.append(input, el("span", "", names?.get(option) ?? String(option)));
      group.append(row);
    }
    const node = el("div", "nbf-control");
    node.append(group);
    const said = marker(group, group);
    return { node, read: () => now, fail: (_, message) => said(message) };
  }
  const select = el("select");
  if (value === undefined || value === null) select.append(new Option("choose…", ""));
  options.forEach((option, place) => select.append(new Option(plain(String(option)), String(place), false, equal(option, value))));
  return single(select, value, () => (select.value === "" ? null : options[Number(select.value)]), changed, label);
}

/** @param {Maybe} value @param {() => void} changed @param {string} label @returns {Control} */
function json(value, changed, label) {
  const area = el("textarea", "nbf-json");
  area.value = value === undefined ? "" : JSON.stringify(value, null, 2);
  area.rows = Math.min(14, Math.max(2, area.value.split("\n").length));
  area.spellcheck = false;
  area.placeholder = "JSON";
  const read = () => {
    if (!area.value.trim()) return undefined;
    const problem = jsonProblem(area.value);
    if (problem) throw new Error(problem);
    return JSON.parse(area.value);
  };
  return single(area, value, read, changed, label, (said) => said(area.value.trim() ? jsonProblem(area.value) : ""));
}

/** @param {Schema} schema @param {Maybe} value @param {Defs} defs @param {() => void} changed @param {string} label @param {boolean} [tight] @returns {Control} */
function optional(schema, value, defs, changed, label, tight) {
  const node = el("div", "nbf-optional");
  /** @type {Control | null} */
  let inner = null;
  const add = press("Set a value", "nbf-small", () => fill(blank(schema, defs)));
  const clear = press("Clear", "nbf-small", () => fill(null));
  /** @param {Maybe} now @param {boolean} [first] */
  function fill(now, first) {
    inner = now === null || now === undefined ? null : control(schema, now, defs, changed, label, tight);
    node.replaceChildren(...(inner ? [inner.node, clear] : [el("span", "nbf-muted", "none"), add]));
    if (!first) changed();
  }
  fill(value, true);
  return { node, read: () => (inner ? inner.read() : null), fail: (path, message) => inner && inner.fail(path, message) };
}

/** A button in the form's own look. @param {string} label @param {string} className @param {() => void} act @param {string} [tip] */
export function press(label, className, act, tip) {
  return button(label, `nbf-button ${className}`, act, tip);
}

/** @param {Record<string, Schema>} properties @param {import("./schema.js").JsonObject} value @param {Defs} defs @param {() => void} changed @param {string} label @returns {Control} */
function object(properties, value, defs, changed, label) {
  const node = el("fieldset", "nbf-object");
  node.setAttribute("aria-label", label);
  /** @type {Map<string, Control>} */
  const inner = new Map();
  for (const [name, one] of Object.entries(properties)) {
    const row = el("div", "nbf-field");
    const made = control(one, own(value, name), defs, changed, `${label} ${name}`);
    inner.set(name, made);
    row.append(el("span", "nbf-name", name), made.node);
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
  /** @typedef {{row: HTMLElement, inner: Control}} Line */
  /** @type {Line[]} */
  let lines = [];
  const put = () => rows.replaceChildren(...lines.map((item) => item.row));
  /** @param {Maybe} now */
  function add(now) {
    const inner = control(items, now, defs, changed, `${label} item`);
    const row = el("div", "nbf-item");
    const item = { row, inner };
    const act = el("span", "nbf-acts");
    act.append(
      press("↑", "nbf-icon", () => move(item, -1), "Move up"),
      press("↓", "nbf-icon", () => move(item, 1), "Move down"),
      press("×", "nbf-icon", () => drop(item), "Remove"),
    );
    row.append(inner.node, act);
    lines.push(item);
  }
  /** @param {Line} item @param {number} by */
  function move(item, by) {
    const at = lines.indexOf(item);
    if (at + by < 0 || at + by >= lines.length) return;
    lines.splice(at, 1);
    lines.splice(at + by, 0, item);
    put();
    changed();
  }
  /** @param {Line} item */
  function drop(item) {
    lines = lines.filter((one) => one !== item);
    put();
    changed();
  }
  value.forEach(add);
  put();
  const more = press("+ Add", "nbf-small", () => {
    add(blank(items, defs));
    put();
    changed();
  });
  node.append(rows, more);
  const said = marker(node, more);
  return {
    node,
    read: () => lines.map((item) => item.inner.read() ?? null),
    fail: (path, message) => (lines[Number(path[0])] ? lines[Number(path[0])].inner.fail(path.slice(1), message) : said(message)),
  };
}

/** A list of flat objects as a table. @param {Schema} items @param {Json[]} value @param {Defs} defs @param {() => void} changed @param {string} label @returns {Control} */
function grid(items, value, defs, changed, label) {
  const columns = Object.entries(resolve(items, defs).properties || {});
  const node = el("div", "nbf-gridbox");
  const scroll = el("div", "nbf-scroll");
  const table = el("table", "nbf-grid");
  const head = el("tr");
  for (const [name] of columns) head.append(el("th", "", name));
  head.append(el("th"));
  const body = el("tbody");
  const top = el("thead");
  top.append(head);
  table.append(top, body);
  /** @type {Array<{row: HTMLElement, cells: Map<string, Control>, base: import("./schema.js").JsonObject}>} */
  let rows = [];
  /** @param {Json} given */
  function add(given) {
    const base = isObject(given) ? given : {};
    const row = el("tr");
    /** @type {Map<string, Control>} */
    const cells = new Map();
    for (const [name, inner] of columns) {
      const cell = el("td", `nbf-t-${resolve(inner, defs).type || "any"}`);
      const made = control(inner, own(base, name), defs, changed, `${label} ${rows.length + 1} ${name}`, true);
      cells.set(name, made);
      cell.append(made.node);
      row.append(cell);
    }
    const made = { row, cells, base };
    const last = el("td");
    last.append(press("×", "nbf-icon", () => {
      rows = rows.filter((one) => one !== made);
      row.remove();
      changed();
    }, "Remove this row"));
    row.append(last);
    rows.push(made);
    body.append(row);
  }
  value.forEach(add);
  scroll.append(table);
  const more = press("+ Add a row", "nbf-small", () => {
    add(blank(items, defs));
    changed();
  });
  node.append(scroll, more);
  const said = marker(node, more);
  return {
    node,
    read: () => rows.map(({ cells, base }) => filled(base, cells)),
    fail: (path, message) => {
      const cell = rows[Number(path[0])]?.cells.get(String(path[1]));
      if (cell) cell.fail(path.slice(2), message);
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
  /** @type {Array<{row: HTMLElement, name: HTMLInputElement, inner: Control}>} */
  let rows = [];
  /** @param {string} key @param {Json} now */
  function add(key, now) {
    const row = el("div", "nbf-item");
    const name = el("input", "nbf-text nbf-key");
    name.value = key;
    name.setAttribute("aria-label", `${label} name`);
    name.addEventListener("input", changed);
    const made = { row, name, inner: control(entry, now, defs, changed, `${label} ${key}`) };
    row.append(name, made.inner.node, press("×", "nbf-icon", () => {
      rows = rows.filter((one) => one !== made);
      row.remove();
      changed();
    }, `Remove ${key || "this entry"}`));
    rows.push(made);
    body.append(row);
  }
  for (const [key, now] of Object.entries(value)) add(key, now);
  const more = press("+ Add an entry", "nbf-small", () => {
    add("", blank(entry, defs));
    changed();
  });
  node.append(body, more);
  const said = marker(node, more);
  return {
    node,
    read: () => {
      const names = rows.map((one) => one.name.value);
      const twice = names.find((name, place) => names.indexOf(name) !== place);
      if (twice !== undefined) throw new Error(`the name “${twice}” stands twice`);
      return Object.fromEntries(rows.map((one) => [one.name.value, one.inner.read() ?? null]));
    },
    fail: (path, message) => {
      const row = rows.find((one) => one.name.value === String(path[0]));
      if (row) row.inner.fail(path.slice(1), message);
      else said(message);
    },
  };
}

/** A table's first rows, each cell a text; what comes back are the cells that were changed. @param {import("./schema.js").Sheet} value @param {() => void} changed @param {string} label @returns {Control} */
function sheet(value, changed, label) {
  const { columns, types, index, rows, total } = value.$table;
  const node = el("div", "nbf-gridbox");
  const scroll = el("div", "nbf-scroll nbf-sheet");
  const table = el("table", "nbf-grid");
  const head = el("tr");
  head.append(el("th"));
  columns.forEach((name, place) => {
    const cell = el("th", "", name);
    cell.title = types[place];
    head.append(cell);
  });
  table.append(head);
  /** @type {Map<string, [number, number, string]>} */
  const cells = new Map(Object.entries(value.$cells || {}));
  rows.forEach((line, r) => {
    const row = el("tr");
    row.append(el("th", "", index[r]));
    line.forEach((was, c) => {
      const cell = el("td", /int|float/.test(types[c]) ? "nbf-t-number" : "");
      const input = el("input", "nbf-text");
      const key = `${r},${c}`;
      input.value = cells.get(key)?.[2] ?? was;
      input.setAttribute("aria-label", `${label}, row ${index[r]}, ${columns[c]}`);
      input.classList.toggle("nbf-edited", cells.has(key));
      input.addEventListener("input", () => {
        if (input.value === was) cells.delete(key);
        else cells.set(key, [r, c, input.value]);
        input.classList.toggle("nbf-edited", cells.has(key));
        input.removeAttribute("aria-invalid");
        input.title = "";
        changed();
      });
      cell.append(input);
      row.append(cell);
    });
    table.append(row);
  });
  scroll.append(table);
  const more = [total[0] > rows.length && `the first ${rows.length} of ${total[0].toLocaleString()} rows`, total[1] > columns.length && `the first ${columns.length} of ${total[1]} columns`];
  node.append(scroll, el("div", "nbf-muted", more.filter(Boolean).join(", ")));
  const said = marker(scroll, scroll);
  return {
    node,
    read: () => /** @type {Json} */ (/** @type {unknown} */ (cells.size ? { $table: value.$table, $cells: Object.fromEntries(cells) } : { $table: value.$table })),
    fail: (path, message) => {
      const input = table.querySelectorAll("tr")[Number(path[0]) + 1]?.querySelectorAll("input")[Number(path[1])];
      if (input) {
        input.setAttribute("aria-invalid", "true");
        input.title = plain(message);
      }
      said(message);
      if (input) scroll.removeAttribute("aria-invalid");
    },
  };
}
