// What the last step changed, or what differs between two checkpoints: a block a field.
//
// Rule 1: rows are told by what they are; what is the same folds to a count.
// Rule 2: empty text, an empty list and what is not set are seen as such.
// @ts-check
import { action, button, el, line, sign } from "../dom.js";
import { oneLine, tree } from "./values.js";

/** @typedef {import("./said.js").Now | import("./said.js").Past} Shown */
/** @typedef {import("./said.js").Change} Change */
/** @typedef {import("./said.js").Part} Part */

/** What the changes are of, and what is said where there are none. @param {Shown} shown @returns {[string, string]} */
export function headed(shown) {
  if ("compared" in shown && shown.compared) return [`Checkpoint ${shown.compared[0]} → ${shown.compared[1]}`, "The two are equal."];
  if (shown.changed_in) return [`Changed in step ${shown.changed_in}`, "Nothing."];
  const isSet = "kind" in shown && shown.kind !== "step";
  return [isSet ? `Set by the ${shown.kind}` : "Changes", "What each step changes appears here."];
}

/** @param {{against: () => void}} acts */
export function changesPart({ against }) {
  const node = el("div");
  let said = "";
  let by = "";
  /** @type {Shown | null} */
  let last = null;

  /** @param {Shown} shown */
  function show(shown) {
    last = shown;
    const [heading, empty] = headed(shown);
    const nodes = [...new Set(shown.changes.flatMap((change) => change.by ?? []))];
    if (!nodes.includes(by)) by = "";
    const told = JSON.stringify([heading, shown.changes, by]);
    if (told === said) return;
    said = told;
    const count = shown.changes.length;
    const head = line("nba-row nba-changes-head", el("h4", "", heading), el("span", "nba-meta", count ? `${count} ${count === 1 ? "field" : "fields"}` : ""), el("span", "nba-grow"));
    if (nodes.length > 1) head.append(...["", ...nodes.slice(0, 6)].map((name) => filter(name)));
    head.append(action("Against…", "fork", against, { kind: "quiet", tip: "Compare with another checkpoint", key: "against" }));
    const due = shown.changes.filter((change) => !by || change.by?.includes(by));
    node.replaceChildren(head, ...due.map(changeBlock));
    if (!count) node.append(el("div", "nba-soft nba-muted nba-empty", empty));
  }

  /** @param {string} name */
  function filter(name) {
    const made = button(name || "all", "nba-chip nba-filter", () => {
      by = name;
      if (last) show(last);
    }, name ? `Only what ${name} wrote` : "All of it");
    made.setAttribute("aria-pressed", String(by === name));
    made.dataset.key = `by ${name}`;
    return made;
  }

  return { node, show };
}

/** One changed field. @param {Change} change @returns {HTMLElement} */
export function changeBlock(change) {
  const block = el("section", `nba-chg nba-${change.kind}`);
  block.setAttribute("aria-label", `${change.field} ${change.kind}`);
  const head = el("header");
  head.append(el("b", "", change.field), el("code", "nba-meta", change.type ?? ""));
  const counts = el("span", "nba-cnt");
  for (const text of change.counts ?? []) counts.append(el("span", { "+": "nba-p", "−": "nba-m" }[text[0]] ?? "nba-c", text));
  head.append(counts, el("span", "nba-grow"));
  if (change.by?.length) head.append(el("span", "nba-chip", `by ${change.by.join(", ")}`));
  block.append(head);
  for (const part of change.parts) block.append(partBlock(part));
  if (change.more) block.append(el("div", "nba-soft", `… and ${change.more.toLocaleString()} more`));
  return block;
}

/** @type {Record<"-" | "+" | "=" | "…", "del" | "ins" | "span" | "i">} */
const WORDS = { "-": "del", "+": "ins", "=": "span", "…": "i" };

/** One difference inside a field: its path, and what was there and is there. @param {Part} part */
function partBlock(part) {
  if (part.records) return recordsTable(part.records);
  if (part.table) return frameTable(part.table);
  const made = el("div", "nba-part");
  if (part.path) made.append(el("code", "nba-path", part.path));
  if (part.words) {
    const text = el("div", "nba-prose nba-words");
    for (const [op, words] of part.words) text.append(el(WORDS[op], op === "…" ? "nba-meta" : "", words));
    made.append(text);
    return made;
  }
  const row = line("nba-row nba-sides");
  row.append(part.before ? side("del", part.before) : el("span", "nba-void", "not set"), sign("next", "nba-soft"));
  row.append(part.after ? side("ins", part.after) : el("span", "nba-void", "removed"));
  made.append(row);
  return made;
}

/** @param {"del" | "ins"} tag @param {import("./said.js").Preview} value */
function side(tag, value) {
  const empty = emptiness(value);
  if (empty) return el("span", "nba-void", empty);
  if (!value.items && value.kind !== "table" && value.kind !== "image" && value.kind !== "html" && value.text.length < 200) return el(tag, `nba-${tag === "del" ? "minus" : "plus"}`, oneLine(String(value.text)));
  const made = el("div", `nba-side-value nba-${tag === "del" ? "minus" : "plus"}`);
  made.append(tree(value));
  return made;
}

/** What is empty, in words. @param {import("./said.js").Preview} value */
export function emptiness(value) {
  if (value.kind === "text" && value.text === "") return "empty text";
  if (value.items && !value.items.length) return value.kind === "list" ? "empty list" : "empty dict";
  return "";
}

/** @param {string | null} text */
function cell(text) {
  if (text === null) return el("span", "nba-void", "not set");
  return text === "" ? el("span", "nba-void", "empty text") : el("span", "", text);
}

/** @param {string[]} columns @param {boolean} hasLabels */
function headOf(columns, hasLabels) {
  const row = el("tr");
  row.append(el("th"));
  for (const [place, column] of columns.entries()) row.append(el("th", hasLabels && !place ? "nba-label" : "", column));
  const head = el("thead");
  head.append(row);
  return head;
}

/** A row of a table of differences. @param {string} op @param {Array<import("./said.js").RecordCell>} cells */
function rowOf(op, cells) {
  const row = el("tr", { "+": "nba-add", "-": "nba-rem", "~": "nba-mod" }[op] ?? "");
  row.append(el("td", "nba-sg", op === "-" ? "−" : op));
  for (const one of cells) {
    const isBoth = Array.isArray(one);
    const made = el("td", `nba-cell${isBoth && op === "~" ? " nba-hit" : ""}${String(isBoth ? one[1] : one).length > 24 ? " nba-wrap" : ""}`);
    if (isBoth && op === "~") {
      const [was, is] = [el("del"), el("ins")];
      was.append(cell(one[0]));
      is.append(cell(one[1]));
      made.append(was, is);
    } else made.append(cell(isBoth ? (op === "+" ? one[1] : one[0]) : one));
    row.append(made);
  }
  return row;
}

/** @param {number} count @param {number} columns */
function foldOf(count, columns) {
  const row = el("tr", "nba-fold");
  const text = el("td", "", `${count.toLocaleString()} ${count === 1 ? "row" : "rows"} the same`);
  text.colSpan = columns;
  row.append(el("td", "nba-sg", "…"), text);
  return row;
}

/** @param {HTMLElement[]} rows @param {HTMLElement} head */
function tableOf(rows, head) {
  const scroll = el("div", "nba-scroll");
  scroll.tabIndex = 0;
  const table = el("table", "nba-dt");
  const body = el("tbody");
  body.append(...rows);
  table.append(head, body);
  scroll.append(table);
  return scroll;
}

/** @param {NonNullable<Part["records"]>} told */
function recordsTable(told) {
  const rows = told.rows.map(([op, cells]) => (typeof cells === "number" ? foldOf(cells, told.columns.length) : rowOf(op, cells)));
  const table = tableOf(rows, headOf(told.columns, false));
  if (told.more) table.append(el("div", "nba-soft", `… ${told.more} more`));
  return table;
}

/** @param {NonNullable<Part["table"]>} told */
function frameTable(told) {
  const rows = told.rows.map((cells) => {
    const pairs = cells.filter((one) => Array.isArray(one));
    const isAll = pairs.length === cells.length - 1;
    const op = isAll && pairs.every((one) => one[0] === "") ? "+" : isAll && pairs.every((one) => one[1] === "") ? "-" : "~";
    return rowOf(op, cells);
  });
  if (told.same) rows.push(foldOf(told.same, told.columns.length));
  return tableOf(rows, headOf(told.columns, true));
}
