// The controls of a form, one for each kind of schema.
//
// Rule 1: a control is `{node, read, fail}`: its element, its value, and how it marks a problem.
// Rule 2: text from the state is only ever set with textContent or as a control's value.
// @ts-check
import { button, el } from "../dom.js";
import { blank, brief, choices, equal, fitting, isFlat, jsonProblem, resolve, unwrapNull } from "./schema.js";

/** @typedef {{node: HTMLElement, read: () => any, fail: (path: any[], message: string) => void}} Control */

let ids = 0;

/**
 * The control that fits a schema.
 * @param {any} raw @param {any} value @param {any} defs @param {() => void} changed @param {string} label @param {boolean} [tight]
 * @returns {Control}
 */
export function control(raw, value, defs, changed, label, tight) {
  const { schema, nullable } = unwrapNull(resolve(raw, defs), defs);
  if (value && typeof value === "object" && "$table" in value) return sheet(value, changed, label);
  if (schema.readOnly || (value && typeof value === "object" && "$opaque" in value)) return readOnly(value);
  if ("const" in schema && equal(schema.const, value)) {
    return { node: el("div", "nbf-readonly", String(value)), read: () => value, fail: () => {} };
  }
  if (nullable) return optional(schema, value, defs, changed, label, tight);
  if (choices(schema).length > 1) return union(schema, value, defs, changed, label, tight);
  if (schema.enum || "const" in schema) return choice(schema.enum || [schema.const], value, changed, label, tight);
  if (schema.type === "boolean") return checkbox(value, changed, label);
  if (schema.type === "integer" || schema.type === "number") return number(schema, value, changed, label);
  if (schema.type === "string") return text(schema, value, changed, label, tight);
  if (schema.type === "array" && schema.items && !schema.prefixItems && Array.isArray(value ?? [])) {
    return isFlat(schema.items, defs)
      ? grid(schema, value ?? [], defs, changed, label)
      : list(schema, value ?? [], defs, changed, label);
  }
  if (schema.type === "object" && schema.properties && (value === undefined || value === null || typeof value === "object")) {
    return object(schema, value ?? blank(schema, defs), defs, changed, label);
  }
  if (schema.type === "object" && typeof schema.additionalProperties === "object" && (value ?? null) !== null && !tight) {
    return mapping(schema, value, defs, changed, label);
  }
  return json(value, changed, label);
}

/** Mark an input, with the words below it. @param {HTMLElement} input @param {HTMLElement} after */
function marker(input, after) {
  const note = el("div", "nbf-problem");
  note.id = `nbf-${++ids}`;
  note.hidden = true;
  after.after(note);
  return (/** @type {string} */ message) => {
    note.textContent = message;
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

/** @param {HTMLElement} input @param {() => any} read @param {() => void} changed @param {string} label @param {(said: (m: string) => void) => void} [check] @returns {Control} */
function single(input, read, changed, label, check) {
  const node = el("div", "nbf-control");
  input.setAttribute("aria-label", label);
  node.append(input);
  const said = marker(input, input);
  const touched = () => {
    said("");
    if (check) check(said);
    changed();
  };
  input.addEventListener("input", touched);
  input.addEventListener("change", touched);
  return { node, read, fail: (_, message) => said(message) };
}

/** @param {any} value @returns {Control} */
function readOnly(value) {
  const shown = value && value.$opaque ? value.$opaque : brief(value);
  return { node: el("div", "nbf-readonly", `${shown} (edit it in code)`), read: () => value, fail: () => {} };
}

/** @param {any} value @param {() => void} changed @param {string} label @returns {Control} */
function checkbox(value, changed, label) {
  const input = /** @type {HTMLInputElement} */ (el("input"));
  input.type = "checkbox";
  input.checked = Boolean(value);
  return single(input, () => input.checked, changed, label);
}

/** @param {any} schema @param {any} value @param {() => void} changed @param {string} label @returns {Control} */
function number(schema, value, changed, label) {
  const input = /** @type {HTMLInputElement} */ (el("input", "nbf-number"));
  input.type = "number";
  input.step = schema.type === "integer" ? "1" : "any";
  if (schema.minimum !== undefined) input.min = schema.minimum;
  if (schema.maximum !== undefined) input.max = schema.maximum;
  input.value = value === undefined || value === null ? "" : String(value);
  const whole = schema.type === "integer";
  const read = () => (input.value === "" ? null : Number(input.value));
  return single(input, read, changed, label, (said) => {
    const now = read();
    if (now === null || Number.isNaN(now)) said("a number is needed");
    else if (whole && !Number.isInteger(now)) said("a whole number is needed");
    else if (schema.minimum !== undefined && now < schema.minimum) said(`not below ${schema.minimum}`);
    else if (schema.maximum !== undefined && now > schema.maximum) said(`not above ${schema.maximum}`);
  });
}

/** @param {any} schema @param {any} value @param {() => void} changed @param {string} label @param {boolean} [tight] @returns {Control} */
function text(schema, value, changed, label, tight) {
  const now = value === undefined || value === null ? "" : String(value);
  const kinds = /** @type {Record<string, string>} */ ({ date: "date", time: "time", "date-time": "datetime-local" });
  const kind = kinds[schema.format];
  if (!kind && !tight && (schema.format === "textarea" || now.includes("\n") || now.length > 60)) {
    const area = /** @type {HTMLTextAreaElement} */ (el("textarea"));
    area.value = now;
    area.rows = Math.min(14, Math.max(3, now.split("\n").length + 1));
    return single(area, () => area.value, changed, label);
  }
  const input = /** @type {HTMLInputElement} */ (el("input", kind ? "nbf-date" : "nbf-text"));
  input.type = kind || "text";
  if (kind === "datetime-local") input.step = "any";
  input.value = kind === "datetime-local" ? now.replace(/(Z|[+-]\d\d:\d\d)$/, "") : now;
  if (kind && now && !input.value) return json(value, changed, label); // a form of date that browsers do not know
  const zone = kind === "datetime-local" ? (/(Z|[+-]\d\d:\d\d)$/.exec(now) || [""])[0] : "";
  if (tight) input.title = now;
  return single(input, () => (kind && input.value ? input.value + zone : input.value), changed, label, (said) => {
    if (kind && !input.value) said("a date is needed");
  });
}

/** @param {any[]} options @param {any} value @param {() => void} changed @param {string} label @param {boolean} [tight] @returns {Control} */
function choice(options, value, changed, label, tight) {
  if (options.length <= 3 && !tight) {
    const group = el("div", "nbf-radios");
    group.setAttribute("role", "radiogroup");
    group.setAttribute("aria-label", label);
    const name = `nbf-${++ids}`;
    /** @type {any} */
    let now = value;
    for (const option of options) {
      const row = el("label", "nbf-radio");
      const input = /** @type {HTMLInputElement} */ (el("input"));
      input.type = "radio";
      input.name = name;
      input.checked = equal(option, value);
      input.addEventListener("change", () => {
        now = option;
        said("");
        changed();
      });
      row.append(input, el("span", "", String(option)));
      group.append(row);
    }
    const node = el("div", "nbf-control");
    node.append(group);
    const said = marker(group, group);
    return { node, read: () => now, fail: (_, message) => said(message) };
  }
  const select = /** @type {HTMLSelectElement} */ (el("select"));
  if (value === undefined || value === null) select.append(new Option("choose…", ""));
  options.forEach((option, place) => select.append(new Option(String(option), String(place), false, equal(option, value))));
  return single(select, () => (select.value === "" ? null : options[Number(select.value)]), changed, label);
}

/** @param {any} value @param {() => void} changed @param {string} label @returns {Control} */
function json(value, changed, label) {
  const area = /** @type {HTMLTextAreaElement} */ (el("textarea", "nbf-json"));
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
  return single(area, read, changed, label, (said) => said(area.value.trim() ? jsonProblem(area.value) : ""));
}

/** @param {any} schema @param {any} value @param {any} defs @param {() => void} changed @param {string} label @param {boolean} [tight] @returns {Control} */
function optional(schema, value, defs, changed, label, tight) {
  const node = el("div", "nbf-optional");
  /** @type {Control | null} */
  let inner = null;
  const add = press("Set a value", "nbf-small", () => fill(blank(schema, defs)));
  const clear = press("Clear", "nbf-small", () => fill(null));
  /** @param {any} now @param {boolean} [first] */
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

/** @param {any} schema @param {any} value @param {any} defs @param {() => void} changed @param {string} label @returns {Control} */
function object(schema, value, defs, changed, label) {
  const node = el("fieldset", "nbf-object");
  node.setAttribute("aria-label", label);
  /** @type {Record<string, Control>} */
  const inner = {};
  for (const [name, one] of Object.entries(schema.properties)) {
    const row = el("div", "nbf-field");
    inner[name] = control(one, value[name], defs, changed, `${label} ${name}`);
    row.append(el("span", "nbf-name", name), inner[name].node);
    node.append(row);
  }
  return {
    node,
    read: () => {
      const made = { ...value };
      for (const [name, one] of Object.entries(inner)) made[name] = one.read();
      return made;
    },
    fail: (path, message) => (inner[path[0]] || Object.values(inner)[0]).fail(path.slice(1), message),
  };
}

/** Rows that can be added, removed and moved. @param {any} schema @param {any[]} value @param {any} defs @param {() => void} changed @param {string} label @returns {Control} */
function list(schema, value, defs, changed, label) {
  const node = el("div", "nbf-list");
  const rows = el("div");
  /** @type {Array<{row: HTMLElement, inner: Control}>} */
  let items = [];
  const put = () => rows.replaceChildren(...items.map((item) => item.row));
  /** @param {any} now */
  function add(now) {
    const inner = control(schema.items, now, defs, changed, `${label} item`);
    const row = el("div", "nbf-item");
    const item = { row, inner };
    const act = el("span", "nbf-acts");
    act.append(
      press("↑", "nbf-icon", () => move(item, -1), "Move up"),
      press("↓", "nbf-icon", () => move(item, 1), "Move down"),
      press("×", "nbf-icon", () => drop(item), "Remove"),
    );
    row.append(inner.node, act);
    items.push(item);
  }
  /** @param {any} item @param {number} by */
  function move(item, by) {
    const at = items.indexOf(item);
    if (at + by < 0 || at + by >= items.length) return;
    items.splice(at, 1);
    items.splice(at + by, 0, item);
    put();
    changed();
  }
  /** @param {any} item */
  function drop(item) {
    items = items.filter((one) => one !== item);
    put();
    changed();
  }
  value.forEach(add);
  put();
  node.append(rows, press("+ Add", "nbf-small", () => {
    add(blank(schema.items, defs));
    put();
    changed();
  }));
  const said = marker(node, node.lastElementChild ? /** @type {HTMLElement} */ (node.lastElementChild) : rows);
  return {
    node,
    read: () => items.map((item) => item.inner.read()),
    fail: (path, message) => (items[path[0]] ? items[path[0]].inner.fail(path.slice(1), message) : said(message)),
  };
}

/** A list of flat objects as a table. @param {any} schema @param {any[]} value @param {any} defs @param {() => void} changed @param {string} label @returns {Control} */
function grid(schema, value, defs, changed, label) {
  const columns = Object.entries(resolve(schema.items, defs).properties);
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
  /** @type {Array<{row: HTMLElement, cells: Record<string, Control>, base: any}>} */
  let rows = [];
  /** @param {any} base */
  function add(base) {
    const row = el("tr");
    /** @type {Record<string, Control>} */
    const cells = {};
    for (const [name, inner] of columns) {
      const cell = el("td", `nbf-t-${resolve(inner, defs).type || "any"}`);
      cells[name] = control(inner, base[name], defs, changed, `${label} ${rows.length + 1} ${name}`, true);
      cell.append(cells[name].node);
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
  node.append(scroll, press("+ Add a row", "nbf-small", () => {
    add(blank(schema.items, defs));
    changed();
  }));
  const said = marker(node, /** @type {HTMLElement} */ (node.lastElementChild));
  return {
    node,
    read: () => rows.map(({ cells, base }) => {
      const made = { ...base };
      for (const [name, one] of Object.entries(cells)) made[name] = one.read();
      return made;
    }),
    fail: (path, message) => {
      const row = rows[path[0]];
      const cell = row && row.cells[path[1]];
      if (cell) cell.fail(path.slice(2), message);
      else said(message);
    },
  };
}

/** One of several types: a choice of the type, and the control that fits it. @param {any} schema @param {any} value @param {any} defs @param {() => void} changed @param {string} label @param {boolean} [tight] @returns {Control} */
function union(schema, value, defs, changed, label, tight) {
  const options = choices(schema).map((one) => resolve(one, defs));
  const node = el("div", "nbf-union");
  const select = /** @type {HTMLSelectElement} */ (el("select"));
  select.setAttribute("aria-label", `type of ${label}`);
  options.forEach((one, place) => select.append(new Option(one.title || one.format || one.type || `choice ${place + 1}`, String(place))));
  const place = el("div");
  /** @type {Control} */
  let inner;
  /** @param {number} which @param {any} now */
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

/** Names that a person chooses, each with a value. @param {any} schema @param {any} value @param {any} defs @param {() => void} changed @param {string} label @returns {Control} */
function mapping(schema, value, defs, changed, label) {
  const node = el("div", "nbf-list");
  const body = el("div");
  /** @type {Array<{row: HTMLElement, name: HTMLInputElement, inner: Control}>} */
  let rows = [];
  /** @param {string} key @param {any} now */
  function add(key, now) {
    const row = el("div", "nbf-item");
    const name = /** @type {HTMLInputElement} */ (el("input", "nbf-text nbf-key"));
    name.value = key;
    name.setAttribute("aria-label", `${label} name`);
    name.addEventListener("input", changed);
    const made = { row, name, inner: control(schema.additionalProperties, now, defs, changed, `${label} ${key}`) };
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
    add("", blank(schema.additionalProperties, defs));
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
      return Object.fromEntries(rows.map((one) => [one.name.value, one.inner.read()]));
    },
    fail: (path, message) => {
      const row = rows.find((one) => one.name.value === String(path[0]));
      if (row) row.inner.fail(path.slice(1), message);
      else said(message);
    },
  };
}

/** A table's first rows, each cell a text; what comes back are the cells that were changed. @param {any} value @param {() => void} changed @param {string} label @returns {Control} */
function sheet(value, changed, label) {
  const { columns, types, index, rows, total } = value.$table;
  const node = el("div", "nbf-gridbox");
  const scroll = el("div", "nbf-scroll nbf-sheet");
  const table = el("table", "nbf-grid");
  const head = el("tr");
  head.append(el("th"));
  columns.forEach((/** @type {string} */ name, /** @type {number} */ place) => {
    const cell = el("th", "", name);
    cell.title = types[place];
    head.append(cell);
  });
  table.append(head);
  /** @type {Map<string, [number, number, string]>} */
  const cells = new Map(Object.entries(value.$cells || {}));
  rows.forEach((/** @type {string[]} */ line, /** @type {number} */ r) => {
    const row = el("tr");
    row.append(el("th", "", index[r]));
    line.forEach((was, c) => {
      const cell = el("td", /int|float/.test(types[c]) ? "nbf-t-number" : "");
      const input = /** @type {HTMLInputElement} */ (el("input", "nbf-text"));
      const key = `${r},${c}`;
      input.value = cells.has(key) ? /** @type {any} */ (cells.get(key))[2] : was;
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
    read: () => (cells.size ? { $table: value.$table, $cells: Object.fromEntries(cells) } : { $table: value.$table }),
    fail: (path, message) => {
      const input = table.querySelectorAll("tr")[path[0] + 1]?.querySelectorAll("input")[path[1]];
      if (input) {
        input.setAttribute("aria-invalid", "true");
        input.title = message;
      }
      said(message);
      if (input) scroll.removeAttribute("aria-invalid");
    },
  };
}
