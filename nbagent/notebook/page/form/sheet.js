// A list of records as a sheet: cells to type in, rows to add, remove, move, and paste.
//
// Rule 1: a row that nobody touched goes back as it came.
// Rule 2: a long list is made page by page, so that it costs what is looked at.
// @ts-check
import { el } from "../dom.js";
import { mark, marker, press } from "./marks.js";
import { pasted } from "./paste.js";
import { blank, columnsOf, equal, isObject, own, resolve, unwrapNull } from "./schema.js";

/** @typedef {import("./schema.js").Json} Json */
/** @typedef {import("./schema.js").JsonObject} JsonObject */
/** @typedef {import("./schema.js").Schema} Schema */
/** @typedef {import("./schema.js").Defs} Defs */
/** @typedef {import("./inputs.js").Control} Control */
/** @typedef {{base: JsonObject, row: HTMLElement | null, cells: Map<string, {control: Control, cell: HTMLElement}>, isTouched: boolean, isNew: boolean}} Line */

const PAGE = 50; // rows that are made at once
const OFF = /^(on|enabled|active|include|included|keep|use|selected)$/i; // what a row is switched off by

/**
 * @param {Schema} items @param {Json[]} value @param {Defs} defs @param {() => void} changed @param {string} label
 * @param {(schema: Schema, value: import("./schema.js").Maybe, defs: Defs, changed: () => void, label: string, tight: boolean) => Control} make a cell's control
 * @returns {Control}
 */
export function records(items, value, defs, changed, label, make) {
  const columns = columnsOf(items, value, defs);
  const row = resolve(items, defs);
  const node = el("div", "nbf-records");
  const tools = el("div", "nbf-tools");
  const counted = el("span", "nbf-meta");
  const scroll = el("div", "nbf-scroll nbf-sheet");
  const table = el("table", "nbf-grid");
  const body = el("tbody");
  const more = press("", "nbf-small", () => fill(shown + PAGE));
  const off = columns.find(([name, inner]) => OFF.test(name) && resolve(inner, defs).type === "boolean")?.[0];
  let shown = 0;
  /** @type {Line[]} */
  let lines = value.map((one) => line(isObject(one) ? one : {}, false));
  let isOther = false; // rows came, went or moved

  tools.append(counted, el("span", "nbf-grow"), press("Add row", "nbf-quiet", add, "", "plus"), press("Paste JSON or CSV", "nbf-quiet", () => openPaste(""), "", "table"));
  table.append(head(), body);
  scroll.append(table);
  const paste = el("div", "nbf-paste");
  paste.hidden = true;
  node.append(tools, paste, scroll, more);
  const left = el("div", "nbf-hint");
  left.setAttribute("role", "status");
  node.append(left);
  const said = marker(scroll, more);

  /** @param {JsonObject} base @param {boolean} isNew @returns {Line} */
  function line(base, isNew) {
    return { base, row: null, cells: new Map(), isTouched: false, isNew };
  }

  function head() {
    const top = el("thead");
    const names = el("tr");
    names.append(el("th"));
    for (const [name, inner] of columns) {
      const cell = el("th", isNumber(inner) ? "nbf-num" : "", name);
      if ((row.required || []).includes(name)) cell.append(el("span", "nbf-meta", " required"));
      const { description } = resolve(inner, defs);
      if (description) cell.title = description;
      names.append(cell);
    }
    names.append(el("th"));
    top.append(names);
    return top;
  }

  /** @param {Schema} inner */
  function isNumber(inner) {
    return /integer|number/.test(unwrapNull(resolve(inner, defs), defs).schema.type || "");
  }

  /** The row of a line, made when it is first looked at. @param {Line} one @param {number} place */
  function drawn(one, place) {
    if (one.row) return one.row;
    const made = el("tr", one.isNew ? "nbf-new" : "");
    const grip = press("", "nbf-icon nbf-grip", () => {}, `Move row ${place + 1}: Alt+Up, Alt+Down`, "grip");
    grip.addEventListener("pointerdown", (event) => drag(event, one, grip));
    made.append(boxed(grip));
    for (const [name, inner] of columns) {
      const cell = el("td", `nbf-t-${unwrapNull(resolve(inner, defs), defs).schema.type || "any"}`);
      const control = make(inner, own(one.base, name), defs, () => touched(one, name), `${label} ${place + 1} ${name}`, true);
      one.cells.set(name, { control, cell });
      cell.append(control.node);
      made.append(cell);
    }
    made.append(boxed(press("", "nbf-icon", () => drop(one), "Remove this row", "x")));
    made.addEventListener("keydown", (event) => {
      const by = event.altKey ? { ArrowUp: -1, ArrowDown: 1 }[event.key] : undefined;
      if (!by) return;
      event.preventDefault();
      const held = document.activeElement;
      move(one, lines.indexOf(one) + by);
      if (held instanceof HTMLElement) held.focus();
    });
    made.addEventListener("paste", (event) => {
      const text = event.clipboardData?.getData("text/plain") ?? "";
      if (!/[\t\n]/.test(text.trim())) return;
      event.preventDefault();
      openPaste(text);
    });
    one.row = made;
    marked(one);
    return made;
  }

  /** @param {HTMLElement} inside */
  function boxed(inside) {
    const cell = el("td", "nbf-pad");
    cell.append(inside);
    return cell;
  }

  /** @param {Line} one @param {string} name */
  function touched(one, name) {
    one.isTouched = true;
    const { control, cell } = /** @type {{control: Control, cell: HTMLElement}} */ (one.cells.get(name));
    cell.classList.toggle("nbf-ed", !one.isNew && !equal(valueOf(control), own(one.base, name)));
    marked(one);
    tell();
    changed();
  }

  /** @param {Control} control */
  function valueOf(control) {
    try {
      return control.read();
    } catch {
      return NaN; // nothing that it was before
    }
  }

  /** @param {Line} one */
  function marked(one) {
    if (!off || !one.row) return;
    const cell = one.cells.get(off);
    one.row.classList.toggle("nbf-off", (cell ? valueOf(cell.control) : own(one.base, off)) === false);
  }

  /** Show so many rows. @param {number} count */
  function fill(count) {
    shown = Math.min(Math.max(count, PAGE), lines.length);
    const rows = lines.slice(0, shown).map(drawn);
    rows.forEach((made, place) => body.children[place] !== made && body.insertBefore(made, body.children[place] ?? null));
    while (body.children.length > shown) body.lastElementChild?.remove();
    more.hidden = shown >= lines.length;
    more.textContent = `Show ${Math.min(PAGE, lines.length - shown)} more of ${lines.length.toLocaleString()} rows`;
    tell();
  }

  function tell() {
    const edited = lines.filter((one) => one.isTouched && !one.isNew).length;
    const fresh = lines.filter((one) => one.isNew).length;
    const gone = value.length - (lines.length - fresh);
    const parts = [`${lines.length.toLocaleString()} ${lines.length === 1 ? "row" : "rows"}`, edited && `${edited} edited`, fresh && `${fresh} new`, gone && `${gone} removed`];
    counted.textContent = parts.filter(Boolean).join(", ");
  }

  function others() {
    isOther = true;
    said("");
    fill(shown);
    changed();
  }

  function add() {
    const one = line(/** @type {JsonObject} */ (row.properties ? blank(items, defs) : {}), true);
    lines.push(one);
    shown = lines.length;
    others();
    one.row?.querySelector("input")?.focus();
  }

  /** @param {Line} one */
  function drop(one) {
    lines = lines.filter((other) => other !== one);
    others();
  }

  /** @param {Line} one @param {number} to */
  function move(one, to) {
    if (to < 0 || to >= lines.length || lines[to] === one) return;
    lines = lines.filter((other) => other !== one);
    lines.splice(to, 0, one);
    others();
  }

  /** @param {PointerEvent} event @param {Line} one @param {HTMLElement} grip */
  function drag(event, one, grip) {
    event.preventDefault();
    grip.setPointerCapture(event.pointerId);
    const over = (/** @type {PointerEvent} */ now) => {
      const place = [...body.children].findIndex((other) => now.clientY < other.getBoundingClientRect().bottom);
      move(one, place < 0 ? shown - 1 : place);
    };
    grip.addEventListener("pointermove", over);
    grip.addEventListener("lostpointercapture", () => grip.removeEventListener("pointermove", over), { once: true });
  }

  /** @param {string} text */
  function openPaste(text) {
    const area = el("textarea", "nbf-json");
    area.setAttribute("aria-label", `rows for ${label}`);
    area.placeholder = columns.length ? `JSON, or CSV with the columns ${columns.map(([name]) => name).join(", ")}` : "JSON or CSV";
    area.value = text;
    area.rows = 5;
    const problem = el("div", "nbf-problem");
    problem.setAttribute("role", "alert");
    const take = (/** @type {boolean} */ isInstead) => () => {
      const found = pasted(area.value, columns, defs);
      if (found.problem) return problem.replaceChildren(mark("failed"), el("span", "", found.problem));
      const made = found.rows.map((one) => line({ .../** @type {JsonObject} */ (row.properties ? blank(items, defs) : {}), ...one }, true));
      lines = isInstead ? made : [...lines, ...made];
      shown = lines.length;
      paste.hidden = true;
      paste.replaceChildren();
      fill(Math.min(shown, PAGE));
      others();
      left.textContent = found.left.length ? `Left out, since there are no such columns: ${found.left.join(", ")}` : "";
    };
    const acts = el("div", "nbf-row");
    acts.append(
      press("Add these rows", "", take(false)),
      press("Replace all rows", "", take(true)),
      press("Cancel", "nbf-quiet", () => (paste.hidden = true)),
    );
    paste.replaceChildren(area, problem, acts);
    paste.hidden = false;
    area.focus();
  }

  fill(PAGE);
  return {
    node,
    read: () => (isOther || lines.some((one) => one.isTouched) ? lines.map(filled) : value),
    fail: (path, message) => {
      const place = Number(path[0]);
      if (lines[place] && place >= shown) fill(place + 1);
      const cell = lines[place]?.cells.get(String(path[1]));
      if (cell) cell.control.fail(path.slice(2), message);
      else said(Number.isNaN(place) ? message : `row ${place + 1}: ${message}`);
    },
  };

  /** @param {Line} one @returns {Json} */
  function filled(one) {
    if (!one.isTouched) return one.base;
    const read = [...one.cells].map(([name, { control }]) => /** @type {[string, import("./schema.js").Maybe]} */ ([name, control.read()]));
    const given = read.filter(([, now]) => now !== undefined);
    return /** @type {Json} */ (Object.fromEntries([...Object.entries(one.base), ...given]));
  }
}
