// A table of pandas: its first rows, each cell a text; what comes back are the cells that were changed.
// @ts-check
import { el, plain } from "../dom.js";
import { marker } from "./marks.js";

/** @typedef {import("./schema.js").Json} Json */
/** @typedef {import("./inputs.js").Control} Control */

/** A table's first rows, each cell a text; what comes back are the cells that were changed. @param {import("./schema.js").Sheet} value @param {() => void} changed @param {string} label @returns {Control} */
export function table(value, changed, label) {
  const { columns, types, index, rows, total } = value.$table;
  const node = el("div", "nbf-records");
  const scroll = el("div", "nbf-scroll nbf-sheet");
  const grid = el("table", "nbf-grid");
  const head = el("tr");
  head.append(el("th"));
  columns.forEach((name, place) => {
    const cell = el("th", "", name);
    cell.title = types[place];
    head.append(cell);
  });
  grid.append(head);
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
    grid.append(row);
  });
  scroll.append(grid);
  const more = [total[0] > rows.length && `the first ${rows.length} of ${total[0].toLocaleString()} rows`, total[1] > columns.length && `the first ${columns.length} of ${total[1]} columns`];
  node.append(scroll, el("div", "nbf-muted", more.filter(Boolean).join(", ")));
  const said = marker(scroll, scroll);
  return {
    node,
    read: () => /** @type {Json} */ (/** @type {unknown} */ (cells.size ? { $table: value.$table, $cells: Object.fromEntries(cells) } : { $table: value.$table })),
    fail: (path, message) => {
      const input = grid.querySelectorAll("tr")[Number(path[0]) + 1]?.querySelectorAll("input")[Number(path[1])];
      if (input) {
        input.setAttribute("aria-invalid", "true");
        input.title = plain(message);
      }
      said(message);
      if (input) scroll.removeAttribute("aria-invalid");
    },
  };
}
