// Many threads as a table that moves: counts, filter, order; a click opens one below.
//
// Rule 1: rows are drawn anew only where they changed; at most some hundreds are on the page.
// @ts-check
import { button, clock, el, icon, moment, toned, worded } from "../dom.js";

const MOST = 300; // rows on the page; the filter finds the others
const ORDER = ["running", "waiting", "failed", "paused", "stopped", "queued", "done"];
const COLUMNS = /** @type {Array<[string, string]>} */ ([
  ["thread", "Thread"], ["graph", "Graph"], ["status", "Status"], ["step", "Super-step"], ["took", "Time"], ["updated", "Last change"], ["error", "Error"],
]);

/** How many there are of each status, the urgent ones first. @param {any[]} rows @returns {Array<[string, number]>} */
export function counts(rows) {
  /** @type {Record<string, number>} */
  const found = {};
  for (const row of rows) found[row.status] = (found[row.status] || 0) + 1;
  return Object.entries(found).sort(([a], [b]) => ORDER.indexOf(a) - ORDER.indexOf(b));
}

/**
 * The rows to show, in order.
 * @param {any[]} rows @param {string} text @param {string} status "" is all @param {{by: string, down: boolean}} order
 */
export function selected(rows, text, status, order) {
  const word = text.trim().toLowerCase();
  const found = rows.filter((row) => {
    if (status && row.status !== status) return false;
    return !word || [row.thread, row.graph, row.status, row.error].some((cell) => String(cell || "").toLowerCase().includes(word));
  });
  const rank = (/** @type {any} */ row) => (order.by === "status" ? ORDER.indexOf(row.status) : order.by === "took" ? row.updated - row.created : row[order.by]);
  return found.sort((a, b) => {
    const [x, y] = [rank(a), rank(b)];
    const way = typeof x === "string" ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
    return order.down ? -way : way;
  });
}

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el: root }) {
  /** @type {any[]} */
  let rows = model.get("rows");
  const order = { by: model.get("order") || "updated", down: !model.get("order") };
  let status = "";
  let opened = "";
  root.classList.add("nba-root");
  root.setAttribute("data-lm-suppress-shortcuts", "true");
  root.setAttribute("role", "region");
  root.setAttribute("aria-label", "threads");
  const hide = document.createElement("style");
  hide.textContent = `[data-nbagent-static="${CSS.escape(model.get("uid"))}"]{display:none}`;
  document.head.append(hide);

  const header = el("div", "nba-header");
  const title = el("span", "nba-title", model.get("title"));
  const chips = el("span", "nba-chips");
  const find = /** @type {HTMLInputElement} */ (el("input", "nba-input"));
  find.type = "search";
  find.placeholder = "Filter";
  find.setAttribute("aria-label", "filter the threads");
  find.addEventListener("input", show);
  find.addEventListener("keydown", (event) => event.stopPropagation());
  header.append(title, chips, find, button("Refresh", "nba-button", () => tell({ type: "refresh" }), "Read the store again"));
  const bar = el("div", "nba-progress");
  bar.setAttribute("aria-hidden", "true");
  const note = el("div", "nba-error");
  note.setAttribute("role", "alert");
  note.hidden = true;
  const scroll = el("div", "nba-threads");
  scroll.tabIndex = 0;
  const table = el("table");
  const head = el("tr");
  for (const [key, label] of COLUMNS) {
    const cell = el("th");
    cell.setAttribute("scope", "col");
    cell.dataset.key = key;
    cell.append(button(label, "nba-sort", () => {
      order.down = order.by === key ? !order.down : false;
      order.by = key;
      show();
    }));
    head.append(cell);
  }
  const top = el("thead");
  top.append(head);
  const body = el("tbody");
  table.append(top, body);
  scroll.append(table);
  const more = el("div", "nba-muted nba-more");
  root.append(header, bar, note, scroll, more);

  /** @param {object} content */
  function tell(content) {
    note.hidden = true;
    try {
      model.send(content);
    } catch (error) {
      lost();
    }
  }
  function lost() {
    note.hidden = false;
    note.textContent = "The kernel of this table is gone: run the cell again.";
    hide.remove();
  }

  function showCounts() {
    const found = counts(rows);
    chips.replaceChildren(...found.map(([name, count]) => {
      const made = button(`${icon(name)} ${count} ${name}`.trim(), `nba-pill nba-chip ${toned(name)}`, () => {
        status = status === name ? "" : name;
        show();
      });
      made.setAttribute("aria-pressed", String(status === name));
      return made;
    }));
    bar.replaceChildren(...[...found].reverse().map(([name, count]) => {
      const part = el("span", toned(name));
      part.style.flexGrow = String(count);
      return part;
    }));
  }

  /** @type {Map<string, {row: HTMLElement, said: string}>} */
  const drawn = new Map();
  function show() {
    showCounts();
    const found = selected(rows, find.value, status, order);
    const now = Date.now() / 1000;
    const lines = found.slice(0, MOST).map((row) => {
      const took = row.created ? clock((row.status === "running" ? now : row.updated) - row.created) : "";
      const said = JSON.stringify([row, took, row.thread === opened]);
      const known = drawn.get(row.thread);
      if (known && known.said === said) return known.row;
      const line = el("tr", row.thread === opened ? "nba-open" : "");
      const name = el("td");
      name.append(button(row.thread, "nba-link", () => {
        opened = row.thread;
        tell({ type: "open", thread: row.thread });
        show();
      }, `Open ${row.thread} below`));
      const pill = el("td");
      pill.append(el("span", `nba-pill ${toned(row.status)}`, worded(row.status)));
      const error = el("td", "nba-thread-error", row.error);
      error.title = row.error;
      line.append(name, el("td", "", row.graph), pill, el("td", "nba-number", String(row.step)), el("td", "nba-number", took), el("td", "nba-number", row.updated ? moment(row.updated) : ""), error);
      drawn.set(row.thread, { row: line, said });
      return line;
    });
    const same = lines.length === body.children.length && lines.every((line, place) => body.children[place] === line);
    if (!same) body.replaceChildren(...lines);
    for (const cell of head.children) {
      const own = /** @type {HTMLElement} */ (cell).dataset.key === order.by;
      cell.setAttribute("aria-sort", own ? (order.down ? "descending" : "ascending") : "none");
    }
    const left = found.length - lines.length;
    more.textContent = !rows.length ? "No threads yet: %agent run GRAPH starts one." : !found.length ? "No thread fits the filter." : left > 0 ? `… and ${left.toLocaleString()} more: filter to see them.` : "";
  }

  const receive = (/** @type {any} */ content) => {
    if (content.type === "rows") {
      rows = content.rows;
      show();
    } else if (content.type === "error") {
      note.hidden = false;
      note.textContent = content.text;
    }
  };
  model.on("msg:custom", receive);
  model.on("comm_live_update", lost);
  show();
  tell({ type: "refresh" });
  const timer = setInterval(() => rows.some((row) => row.status === "running") && show(), 1000);
  return () => {
    clearInterval(timer);
    hide.remove();
    model.off("msg:custom", receive);
    model.off("comm_live_update", lost);
  };
}

export default { render };
