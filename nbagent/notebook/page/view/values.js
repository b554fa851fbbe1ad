// Values, and what changed in them, as the kernel's previews say it.
//
// Rule 1: a value is text on this page, whatever it holds; what can be drawn is an image by a data
//         URL, or a document of its own in a sandbox that runs nothing.
// @ts-check
import { button, el } from "../dom.js";

/** @typedef {(path: Array<string | number>, offset: number) => Promise<any>} More */

const LONG = 500; // characters of a text before it folds

/**
 * A value's preview as a small tree. `more` fetches what the preview left out.
 * @param {any} value @param {boolean} [open] @param {Array<string | number>} [path] @param {More} [more]
 * @returns {HTMLElement}
 */
export function tree(value, open, path = [], more) {
  if (value.kind === "table" && value.rows) return table(value, open);
  if (value.kind === "image") return image(value);
  if (value.kind === "html") return page(value);
  if (!value.items) return leaf(value, path, more);
  if (value.items.length === 0) return el("span", "nba-v nba-muted", value.kind === "list" ? "[ ]" : "{ }");
  const leaves = value.items.every((/** @type {any} */ [, item]) => ["text", "atom"].includes(item.kind));
  const inline = value.items.map((/** @type {any} */ [, item]) => item.text).join(", ");
  if (value.kind === "list" && leaves && !value.more && inline.length < 70 && !inline.includes("\n")) {
    return el("span", "nba-v", `[${inline}]`);
  }
  const box = /** @type {HTMLDetailsElement} */ (el("details", "nba-tree"));
  box.open = Boolean(open);
  box.append(el("summary", "nba-muted", `${value.type} · ${value.text}`));
  const rows = el("div", "nba-rows");
  fill(rows, value, path, more);
  box.append(rows);
  return box;
}

/** @param {HTMLElement} rows @param {any} value @param {Array<string | number>} path @param {More} [more] */
function fill(rows, value, path, more) {
  for (const [key, item] of value.items) {
    const row = el("div", "nba-row");
    row.append(el("span", "nba-key", String(key)), tree(item, false, [...path, key], more));
    rows.append(row);
  }
  if (!value.more) return;
  const left = `… ${value.more.toLocaleString()} more`;
  if (!more || !path.length) {
    rows.append(el("div", "nba-muted", left));
    return;
  }
  const shown = (value.offset || 0) + value.items.length;
  const next = button(left, "nba-link", async () => {
    next.disabled = true;
    const found = await more(path, shown);
    next.remove();
    if (found && found.items) fill(rows, found, path, more);
  });
  rows.append(next);
}

/** @param {any} value @param {Array<string | number>} path @param {More} [more] */
function leaf(value, path, more) {
  const text = String(value.text);
  if (text.length <= LONG && text.split("\n").length <= 8 && !value.cut) return el("span", `nba-v nba-${value.kind}`, text);
  const box = el("details", "nba-long");
  const whole = el("pre", "", text);
  box.append(el("summary", "", `${text.slice(0, 160).replace(/\s+/g, " ")}…`), whole);
  if (value.cut && more && path.length) {
    const next = button("Show more of it", "nba-link", async () => {
      next.disabled = true;
      const found = await more(path, 0);
      if (found) whole.textContent = found.text;
      next.remove();
    });
    box.append(next);
  }
  return box;
}

/** @param {any} value */
function image(value) {
  const box = el("figure", "nba-figure");
  const made = /** @type {HTMLImageElement} */ (el("img"));
  if (/^data:image\/(png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=]*$/.test(value.src)) made.src = value.src;
  made.alt = `${value.type}, ${value.text}`;
  box.append(made, el("figcaption", "nba-muted", `${value.type} · ${value.text}`));
  return box;
}

/** @param {any} value */
function page(value) {
  const box = el("details", "nba-tree");
  const frame = /** @type {HTMLIFrameElement} */ (el("iframe", "nba-frame"));
  frame.setAttribute("sandbox", ""); // no scripts, no forms, no navigation, an origin of its own
  frame.title = `${value.type} as it shows itself`;
  frame.srcdoc = `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">${value.html}`;
  box.append(el("summary", "nba-muted", `${value.type} · ${value.text}`), frame);
  return box;
}

/** @param {any} value @param {boolean} [open] @returns {HTMLElement} */
function table(value, open) {
  const box = /** @type {HTMLDetailsElement} */ (el("details", "nba-tree"));
  box.open = Boolean(open);
  box.append(el("summary", "nba-muted", `${value.type} · ${value.text}`), cells(value.columns, value.rows));
  const missing = [value.more && `${value.more.toLocaleString()} more rows`, value.more_columns && `${value.more_columns} more columns`];
  const note = missing.filter(Boolean).join(", ");
  if (note) box.append(el("div", "nba-muted", `… ${note}`));
  return box;
}

/** A table; a cell may be a text, or `[before, after]` where it changed. @param {string[]} columns @param {any[][]} rows */
function cells(columns, rows) {
  const scroll = el("div", "nba-scroll");
  scroll.tabIndex = 0;
  const made = el("table", "nba-table");
  const head = el("tr");
  for (const column of columns) head.append(el("th", "", column));
  made.append(head);
  for (const line of rows) {
    const row = el("tr");
    for (const cell of line) {
      if (!Array.isArray(cell)) {
        row.append(el("td", "", cell));
        continue;
      }
      const both = el("td", "nba-cell");
      if (cell[0]) both.append(el("del", "", cell[0]), " ");
      if (cell[1]) both.append(el("ins", "", cell[1]));
      row.append(both);
    }
    made.append(row);
  }
  scroll.append(made);
  return scroll;
}

/** @type {Record<string, string>} */
const SIGNS = { added: "+", grown: "+", removed: "−", changed: "~" };

/** One changed field. @param {any} change @returns {HTMLElement} */
export function changeRow(change) {
  const row = el("div", `nba-change nba-${change.kind}`);
  row.append(el("span", "nba-sign", SIGNS[change.kind] || "~"), el("span", "nba-key", change.field));
  const body = el("div", "nba-body");
  for (const part of change.parts) body.append(partRow(part));
  if (change.more) body.append(el("div", "nba-muted", `… and ${change.more.toLocaleString()} more`));
  row.append(body);
  row.setAttribute("aria-label", `${change.field} ${change.kind}`);
  return row;
}

/** One difference inside a field: its path, and what was there and is there. @param {any} part */
function partRow(part) {
  const row = el("div", "nba-part");
  if (part.path) row.append(el("span", "nba-path", part.path));
  if (part.words) {
    const text = el("div", "nba-words");
    for (const [op, words] of part.words) {
      text.append(el({ "-": "del", "+": "ins", "…": "i" }[/** @type {string} */ (op)] || "span", "", words));
    }
    row.append(text);
  } else if (part.table) {
    row.append(el("div", "nba-muted", part.table.text), cells(part.table.columns, part.table.rows));
  } else {
    for (const [name, value] of [["nba-minus", part.before], ["nba-plus", part.after]]) {
      if (!value) continue;
      const side = el("div", name);
      side.append(tree(value));
      row.append(side);
    }
  }
  return row;
}
