// The form in which a person answers a question and corrects the state.
//
// Rule 1: a control is `{node, read, fail}`: its element, its value, and how it marks a problem.
// Rule 2: what the page checks is a courtesy; the kernel decides, and what was typed is never lost.
// Rule 3: text from the state is only ever set with textContent or as a control's value.
// @ts-check

/** @typedef {{node: HTMLElement, read: () => any, fail: (path: any[], message: string) => void}} Control */

const SHOWN = 8; // changes of one field that are listed
let ids = 0;

/** @param {string} tag @param {string} [className] @param {string} [text] @returns {HTMLElement} */
function el(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** The schema behind a `$ref`, and one level of a lone `allOf`. @param {any} schema @param {any} defs */
export function resolve(schema, defs) {
  for (let hops = 0; schema && schema.$ref && hops < 20; hops++) {
    const name = schema.$ref.split("/").pop();
    const { $ref, ...rest } = schema;
    schema = { ...(defs[name] || {}), ...rest };
  }
  return schema && schema.allOf && schema.allOf.length === 1
    ? { ...resolve(schema.allOf[0], defs), ...schema, allOf: undefined }
    : schema || {};
}

/** `anyOf: [X, null]` as X and a flag. @param {any} schema @param {any} defs */
export function unwrapNull(schema, defs) {
  const choices = schema.anyOf;
  if (Array.isArray(choices) && choices.length === 2) {
    const rest = choices.filter((one) => one.type !== "null");
    if (rest.length === 1) return { schema: resolve({ ...rest[0], title: schema.title }, defs), nullable: true };
  }
  return { schema, nullable: false };
}

/** A first value for a schema: what a new row of a list holds. @param {any} raw @param {any} defs @returns {any} */
export function blank(raw, defs) {
  const schema = resolve(raw, defs);
  if ("default" in schema) return schema.default;
  if ("const" in schema) return schema.const;
  if (schema.enum) return schema.enum[0];
  if (schema.type === "object") {
    const made = /** @type {Record<string, any>} */ ({});
    for (const [name, inner] of Object.entries(schema.properties || {})) made[name] = blank(inner, defs);
    return made;
  }
  return { string: "", integer: 0, number: 0, boolean: false, array: [] }[/** @type {string} */ (schema.type)] ?? null;
}

/** Same JSON? @param {any} a @param {any} b */
export function equal(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** One line for a value. @param {any} value */
export function brief(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text === undefined ? "nothing" : text.length > 90 ? `${text.slice(0, 87)}…` : text || "(empty)";
}

/**
 * What differs, leaf by leaf: `[path, before, after]`, with undefined for what is not there.
 * @param {any} a @param {any} b @param {string} path @returns {Array<[string, any, any]>}
 */
export function differences(a, b, path) {
  if (equal(a, b)) return [];
  const both = a && b && typeof a === "object" && typeof b === "object" && Array.isArray(a) === Array.isArray(b);
  if (!both) return [[path, a, b]];
  if (Array.isArray(a) && a.length !== b.length) {
    const gone = a.filter((one) => !b.some((/** @type {any} */ other) => equal(one, other)));
    const come = b.filter((/** @type {any} */ one) => !a.some((other) => equal(one, other)));
    return [
      ...gone.map((one) => /** @type {[string, any, any]} */ ([path, one, undefined])),
      ...come.map((/** @type {any} */ one) => /** @type {[string, any, any]} */ ([path, undefined, one])),
    ];
  }
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  return keys.flatMap((key) => differences(a[key], b[key], Array.isArray(a) ? `${path}[${key}]` : `${path}.${key}`));
}

/** Where JSON.parse stumbled, in words. @param {string} text @returns {string} "" when it parses */
export function jsonProblem(text) {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    const said = String(/** @type {Error} */ (error).message);
    const at = /position (\d+)/.exec(said);
    if (!at) return said;
    const before = text.slice(0, Number(at[1])).split("\n");
    return `line ${before.length}, column ${before[before.length - 1].length + 1}: ${said.split(" in JSON")[0]}`;
  }
}

/** Is every property one plain value, so that a list of them is a grid? @param {any} raw @param {any} defs */
export function isFlat(raw, defs) {
  const schema = resolve(raw, defs);
  if (schema.type !== "object" || !schema.properties) return false;
  return Object.values(schema.properties).every((inner) => {
    const { schema: one } = unwrapNull(resolve(inner, defs), defs);
    return one.enum || ["string", "integer", "number", "boolean"].includes(one.type);
  });
}

/**
 * The control that fits a schema.
 * @param {any} raw @param {any} value @param {any} defs @param {() => void} changed @param {string} label @param {boolean} [tight]
 * @returns {Control}
 */
export function control(raw, value, defs, changed, label, tight) {
  const { schema, nullable } = unwrapNull(resolve(raw, defs), defs);
  if (schema.readOnly || (value && typeof value === "object" && "$opaque" in value)) return readOnly(value);
  if (nullable) return optional(schema, value, defs, changed, label, tight);
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
  const add = button("Set a value", "nbf-small", () => fill(blank(schema, defs)));
  const clear = button("Clear", "nbf-small", () => fill(null));
  /** @param {any} now @param {boolean} [first] */
  function fill(now, first) {
    inner = now === null || now === undefined ? null : control(schema, now, defs, changed, label, tight);
    node.replaceChildren(...(inner ? [inner.node, clear] : [el("span", "nbf-muted", "none"), add]));
    if (!first) changed();
  }
  fill(value, true);
  return { node, read: () => (inner ? inner.read() : null), fail: (path, message) => inner && inner.fail(path, message) };
}

/** @param {string} label @param {string} className @param {() => void} act @param {string} [tip] */
function button(label, className, act, tip) {
  const made = /** @type {HTMLButtonElement} */ (el("button", `nbf-button ${className}`, label));
  made.type = "button";
  if (tip) {
    made.title = tip;
    made.setAttribute("aria-label", tip);
  }
  made.addEventListener("click", act);
  return made;
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
      button("↑", "nbf-icon", () => move(item, -1), "Move up"),
      button("↓", "nbf-icon", () => move(item, 1), "Move down"),
      button("×", "nbf-icon", () => drop(item), "Remove"),
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
  node.append(rows, button("+ Add", "nbf-small", () => {
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
    last.append(button("×", "nbf-icon", () => {
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
  node.append(scroll, button("+ Add a row", "nbf-small", () => {
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

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el: root }) {
  root.classList.add("nbf-root");
  root.setAttribute("data-lm-suppress-shortcuts", "true");
  root.addEventListener("keydown", (event) => event.stopPropagation());

  /** @type {Record<string, Control>} */
  let fields = {};
  /** @type {Record<string, Control>} */
  let answers = {};
  /** @type {Set<string>} */
  let touchedAnswers = new Set();
  let redraw = () => {};

  function build() {
    const { schema, values, questions, editing, finished, open } = model.get("form");
    fields = {};
    answers = {};
    touchedAnswers = new Set();
    root.replaceChildren();
    root.hidden = !open;
    if (finished) {
      root.append(el("div", "nbf-finished", finished));
      return;
    }
    if (!open) return;
    const defs = schema.$defs || {};
    const shown = new Set(questions.flatMap((/** @type {any} */ question) => question.show));
    /** @param {string} name */
    const field = (name) => {
      const row = el("div", "nbf-field");
      fields[name] = control(schema.properties[name], values[name], defs, () => redraw(), name);
      row.append(el("span", "nbf-name", name), fields[name].node);
      row.dataset.field = name;
      return row;
    };
    for (const question of questions) {
      const box = el("section", "nbf-question");
      box.append(el("div", "nbf-asks", question.question), el("div", "nbf-muted", `asked by ${question.node}`));
      for (const name of question.show) if (schema.properties[name] && !fields[name]) box.append(field(name));
      for (const [name, value] of Object.entries(question.beside || {})) {
        const row = el("div", "nbf-field");
        row.append(el("span", "nbf-name", name), el("div", "nbf-readonly", brief(value)));
        box.append(row);
      }
      const wanted = question.schema || { type: "string" };
      const row = el("div", "nbf-field nbf-answer");
      const id = question.id;
      answers[id] = control(wanted, undefined, wanted.$defs || {}, () => {
        touchedAnswers.add(id);
        redraw();
      }, "answer");
      row.append(el("span", "nbf-name", "Your answer"), answers[id].node);
      box.append(row);
      root.append(box);
    }
    const others = Object.keys(schema.properties).filter((name) => !shown.has(name));
    if (others.length) {
      const more = /** @type {HTMLDetailsElement} */ (el("details", "nbf-others"));
      more.append(el("summary", "", questions.length ? "Correct other fields" : "Correct the state"));
      for (const name of others) more.append(field(name));
      root.append(more);
    }
    const changes = el("div", "nbf-changes");
    const note = /** @type {HTMLInputElement} */ (el("input", "nbf-text"));
    note.placeholder = "Why? (kept in the history, optional)";
    note.setAttribute("aria-label", "note");
    const status = el("div", "nbf-status");
    status.setAttribute("role", "status");
    const foot = el("div", "nbf-foot");
    const send = button(questions.length ? "Answer and resume" : "Save and resume", "nbf-primary", () => submit(true));
    const save = button("Save changes", "", () => submit(false));
    const reset = button("Reset", "", build);
    foot.append(send, save, reset, status);
    root.append(changes, note, foot);

    /** @param {boolean} strict @returns {Record<string, any> | null} */
    function edits(strict) {
      /** @type {Record<string, any>} */
      const made = {};
      for (const [name, one] of Object.entries(fields)) {
        try {
          const now = one.read();
          const empty = values[name] === undefined && (now === "" || now === null || now === undefined || equal(now, []));
          if (!empty && !equal(now, values[name])) made[name] = now;
        } catch (error) {
          if (!strict) continue;
          one.fail([], String(/** @type {Error} */ (error).message));
          return null;
        }
      }
      return made;
    }

    redraw = () => {
      const now = edits(false) || {};
      const names = Object.keys(now);
      changes.replaceChildren();
      changes.hidden = note.hidden = !names.length;
      if (names.length) changes.append(el("div", "nbf-muted", "You are about to change"));
      for (const name of names) {
        const found = differences(values[name], now[name], name);
        for (const [path, before, after] of found.slice(0, SHOWN)) {
          const row = el("div", "nbf-diff");
          row.append(el("b", "", path));
          if (before !== undefined) row.append(el("del", "", brief(before)));
          row.append(el("span", "", after === undefined ? "removed" : before === undefined ? "added" : "→"));
          if (after !== undefined) row.append(el("ins", "", brief(after)));
          changes.append(row);
        }
        if (found.length > SHOWN) changes.append(el("div", "nbf-muted", `… and ${found.length - SHOWN} more in ${name}`));
      }
      for (const row of root.querySelectorAll("[data-field]")) {
        const name = /** @type {HTMLElement} */ (row).dataset.field || "";
        row.classList.toggle("nbf-changed", name in now);
      }
      save.disabled = !names.length;
      save.hidden = reset.hidden = !names.length && !touchedAnswers.size;
      send.hidden = !questions.length && !names.length;
      send.disabled = questions.length > 0 && !touchedAnswers.size;
    };
    redraw();

    /** @param {boolean} resume */
    function submit(resume) {
      const now = edits(true);
      if (now === null) return focusFirst();
      /** @type {Record<string, any>} */
      const given = {};
      if (resume) {
        for (const id of touchedAnswers) {
          try {
            given[id] = answers[id].read();
          } catch (error) {
            answers[id].fail([], String(/** @type {Error} */ (error).message));
            return focusFirst();
          }
        }
      }
      status.className = "nbf-status";
      status.textContent = "Saving…";
      const payload = { type: "submit", answers: given, edits: now, note: note.value, checkpoint: model.get("form").checkpoint, resume };
      try {
        model.send(payload);
      } catch (error) {
        status.textContent = "The kernel is gone: nothing was saved. Run the graph's cell again, then %agent resume.";
      }
    }

    function focusFirst() {
      const first = /** @type {HTMLElement | null} */ (root.querySelector("[aria-invalid=true]"));
      if (!first) return;
      for (let up = first.parentElement; up; up = up.parentElement) if (up instanceof HTMLDetailsElement) up.open = true;
      first.focus();
    }

    answered = (content) => {
      status.textContent = content.message || "";
      status.className = content.ok ? "nbf-status" : "nbf-status nbf-problem";
      for (const { path, message } of content.errors || []) {
        const place = path[0] === "answer" ? answers[[...touchedAnswers][0]] : fields[path[0]];
        if (place) place.fail(path.slice(1), message);
      }
      focusFirst();
    };
    if (editing && !questions.length) {
      const more = root.querySelector("details.nbf-others");
      if (more instanceof HTMLDetailsElement && model.get("form").expanded) more.open = true;
    }
  }

  /** @type {(content: any) => void} */
  let answered = () => {};
  const receive = (/** @type {any} */ content) => content.type === "answer" && answered(content);
  model.on("msg:custom", receive);
  model.on("change:form", build);
  build();
  return () => {
    model.off("msg:custom", receive);
    model.off("change:form", build);
  };
}

export default { render };
