// Values, and what changed in them, as the kernel's previews say it.
//
// Rule 1: a value is text on this page, whatever it holds; what can be drawn is an image by a data
//         URL, or a document of its own in a sandbox that runs nothing.
// @ts-check
import { button, el, plain } from "../dom.js";

/** @typedef {import("./said.js").Preview} Preview */
/** @typedef {Array<string | number>} Path */
/** @typedef {(path: Path, offset: number) => Promise<Preview | null>} More */

const LONG = 500; // characters of a text before it folds

/**
 * A value's preview as a small tree. `more` fetches what the preview left out.
 * @param {Preview} value @param {boolean} [open] @param {Path} [path] @param {More} [more]
 * @returns {HTMLElement}
 */
export function tree(value, open, path = [], more) {
  if (value.kind === "table" && value.rows) return table(value, value.rows, open);
  if (value.kind === "image") return image(value);
  if (value.kind === "html") return page(value);
  if (!value.items) return leaf(value, Boolean(open), path, more);
  if (value.items.length === 0) return el("span", "nba-v nba-soft nba-muted", value.kind === "list" ? "[ ]" : "{ }");
  const leaves = value.items.every(([, item]) => ["text", "atom"].includes(item.kind));
  const inline = value.items.map(([, item]) => item.text).join(", ");
  if (value.kind === "list" && leaves && !value.more && inline.length < 70 && !inline.includes("\n")) {
    return el("span", "nba-v", `[${inline}]`);
  }
  const box = el("details", "nba-tree");
  box.open = Boolean(open);
  box.append(el("summary", "nba-soft nba-muted", `${value.type} · ${value.text}`));
  const rows = el("div", "nba-rows");
  fill(rows, value, path, more);
  box.append(rows);
  return box;
}

/** @param {HTMLElement} rows @param {Preview} value @param {Path} path @param {More} [more] */
function fill(rows, value, path, more) {
  const items = value.items || [];
  for (const [key, item] of items) {
    const row = el("div", "nba-row nba-pair");
    row.append(el("span", "nba-key", String(key)), tree(item, false, [...path, key], more));
    rows.append(row);
  }
  if (!value.more) return;
  const left = `… ${value.more.toLocaleString()} more`;
  if (!more || !path.length) {
    rows.append(el("div", "nba-soft nba-muted", left));
    return;
  }
  const shown = (value.offset || 0) + items.length;
  const next = button(left, "nba-lnk nba-link", async () => {
    next.disabled = true;
    const found = await more(path, shown);
    next.remove();
    if (found && found.items) fill(rows, found, path, more);
  });
  rows.append(next);
}

/** @param {Preview} value @param {boolean} open @param {Path} path @param {More} [more] */
function leaf(value, open, path, more) {
  const text = String(value.text);
  if (!isLong(text) && !value.cut) return el("span", `nba-v nba-${value.kind}`, text);
  const { box, whole } = fold(text);
  box.open = open;
  if (value.cut && more && path.length) {
    const next = button("Show more of it", "nba-lnk nba-link", async () => {
      next.disabled = true;
      const found = await more(path, 0);
      if (found) whole.textContent = plain(found.text);
      next.remove();
    });
    box.append(next);
  }
  return box;
}

/** A text in one line. @param {string} text */
export function oneLine(text) {
  return text.length > 300 ? `${text.slice(0, 300).replace(/\s+/g, " ")}…` : text.replace(/\s+/g, " ");
}

/** @param {string} text */
function isLong(text) {
  return text.length > LONG || text.split("\n").length > 8;
}

/** @param {string} text */
function fold(text) {
  const box = el("details", "nba-long");
  const whole = el("pre", "", text);
  whole.tabIndex = 0;
  box.append(el("summary", "", `${text.slice(0, 160).replace(/\s+/g, " ")}…`), whole);
  return { box, whole };
}

/** A text as it is, or, where it is long, its beginning and the whole of it on demand. @param {string} text @returns {HTMLElement} */
export function folded(text) {
  return isLong(text) ? fold(text).box : el("span", "", text);
}

/** @param {Preview} value */
function image(value) {
  const box = el("figure", "nba-figure");
  const made = el("img");
  if (value.src && /^data:image\/(png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=]*$/.test(value.src)) made.src = value.src;
  made.alt = `${value.type}, ${value.text}`;
  box.append(made, el("figcaption", "nba-soft nba-muted", `${value.type} · ${value.text}`));
  return box;
}

/** @param {Preview} value */
function page(value) {
  const box = el("details", "nba-tree");
  const frame = el("iframe", "nba-frame");
  frame.setAttribute("sandbox", ""); // no scripts, no forms, no navigation, an origin of its own
  frame.title = `${value.type} as it shows itself`;
  frame.srcdoc = `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">${value.html}`;
  box.append(el("summary", "nba-soft nba-muted", `${value.type} · ${value.text}`), frame);
  return box;
}

/** @param {Preview} value @param {string[][]} rows @param {boolean} [open] */
function table(value, rows, open) {
  const box = el("details", "nba-tree");
  box.open = Boolean(open);
  box.append(el("summary", "nba-soft nba-muted", `${value.type} · ${value.text}`), cells(value.columns || [], rows));
  const missing = [value.more && `${value.more.toLocaleString()} more rows`, value.more_columns && `${value.more_columns} more columns`];
  const note = missing.filter(Boolean).join(", ");
  if (note) box.append(el("div", "nba-soft nba-muted", `… ${note}`));
  return box;
}

/** A table; a cell may be a text, or `[before, after]` where it changed. @param {string[]} columns @param {import("./said.js").Cell[][]} rows */
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
