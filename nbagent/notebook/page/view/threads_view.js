// Many threads as a table that moves: counts, filter, order; a click opens one below.
//
// Rule 1: rows are drawn anew only where they changed; at most some hundreds are on the page.
// @ts-check
import { arrange, button, clock, el, icon, moment, plain, textInput, toned, worded } from "../dom.js";
import { dress, listen, pictureBehind, present, viewId } from "../widget.js";

/** @typedef {{thread: string, graph: string, status: string, step: number, created: number, updated: number, error: string}} Row times are Unix seconds */
/** @typedef {{by: string, down: boolean}} Order */

const MOST = 300; // rows on the page; the filter finds the others
const URGENT = ["running", "waiting", "failed", "refused", "paused", "stopped", "queued", "done"];

/** What each column is called, and what it is ordered by. @type {Array<{key: string, label: string, rank: (row: Row) => string | number}>} */
const COLUMNS = [
  { key: "thread", label: "Thread", rank: (row) => row.thread },
  { key: "graph", label: "Graph", rank: (row) => row.graph },
  { key: "status", label: "Status", rank: (row) => URGENT.indexOf(row.status) },
  { key: "step", label: "Super-step", rank: (row) => row.step },
  { key: "took", label: "Time", rank: (row) => row.updated - row.created },
  { key: "updated", label: "Last change", rank: (row) => row.updated },
  { key: "error", label: "Error", rank: (row) => row.error },
];

/** How many there are of each status, the urgent ones first. @param {Array<{status: string}>} rows @returns {Array<[string, number]>} */
export function counts(rows) {
  /** @type {Map<string, number>} */
  const found = new Map();
  for (const row of rows) found.set(row.status, (found.get(row.status) || 0) + 1);
  return [...found].sort(([a], [b]) => URGENT.indexOf(a) - URGENT.indexOf(b));
}

/**
 * The rows to show, in order.
 * @param {Row[]} rows @param {string} text @param {string} status "" is all @param {Order} order
 */
export function selected(rows, text, status, order) {
  const word = text.trim().toLowerCase();
  const found = rows.filter((row) => {
    if (status && row.status !== status) return false;
    return !word || [row.thread, row.graph, row.status, row.error].some((cell) => String(cell || "").toLowerCase().includes(word));
  });
  const rank = COLUMNS.find((column) => column.key === order.by)?.rank ?? (() => 0);
  return found.sort((a, b) => {
    const [x, y] = [rank(a), rank(b)];
    const way = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true });
    return order.down ? -way : way;
  });
}

/** What stands below the table. @param {number} all @param {number} found @param {number} shown */
export function footnote(all, found, shown) {
  if (!all) return "No threads yet: %agent run GRAPH starts one.";
  if (!found) return "No thread fits the filter.";
  return found > shown ? `… and ${(found - shown).toLocaleString()} more: filter to see them.` : "";
}

/** The counts as chips to filter by, and as a bar. @param {{changed: () => void}} acts */
function countsPart({ changed }) {
  const chips = el("span", "nba-chips");
  const bar = el("div", "nba-progress");
  bar.setAttribute("aria-hidden", "true");
  let status = "";
  return {
    chips,
    bar,
    status: () => status,
    /** @param {Row[]} rows */
    show(rows) {
      const found = counts(rows);
      chips.replaceChildren(...found.map(([name, count]) => {
        const made = button(`${icon(name)} ${count} ${name}`.trim(), `nba-pill nba-chip ${toned(name)}`, () => {
          status = status === name ? "" : name;
          changed();
        });
        made.setAttribute("aria-pressed", String(status === name));
        return made;
      }));
      bar.replaceChildren(...[...found].reverse().map(([name, count]) => {
        const part = el("span", toned(name));
        part.style.flexGrow = String(count);
        return part;
      }));
    },
  };
}

/** The table. @param {Order} order @param {{open: (thread: string) => void, changed: () => void}} acts */
function tablePart(order, { open, changed }) {
  const node = el("div", "nba-threads");
  node.tabIndex = 0;
  const heads = COLUMNS.map(({ key, label }) => {
    const cell = el("th");
    cell.setAttribute("scope", "col");
    cell.append(button(label, "nba-sort", () => {
      order = { by: key, down: order.by === key ? !order.down : false };
      changed();
    }));
    return { key, cell };
  });
  const head = el("tr");
  head.append(...heads.map(({ cell }) => cell));
  const top = el("thead");
  top.append(head);
  const body = el("tbody");
  const table = el("table");
  table.append(top, body);
  node.append(table);
  let opened = "";
  /** @type {Map<string, {line: HTMLElement, said: string}>} */
  let drawn = new Map();

  /** @param {Row} row @param {string} took */
  function draw(row, took) {
    const line = el("tr", row.thread === opened ? "nba-open" : "");
    const name = el("td");
    name.append(button(row.thread, "nba-link", () => {
      opened = row.thread;
      open(row.thread);
      changed();
    }, `Open ${row.thread} below`));
    const pill = el("td");
    pill.append(el("span", `nba-pill ${toned(row.status)}`, worded(row.status)));
    const error = el("td", "nba-thread-error", row.error);
    error.title = plain(row.error);
    line.append(name, el("td", "", row.graph), pill, el("td", "nba-number", String(row.step)), el("td", "nba-number", took), el("td", "nba-number", row.updated ? moment(row.updated) : ""), error);
    return line;
  }

  return {
    node,
    order: () => order,
    /** @param {Row[]} rows @param {number} now Unix seconds */
    show(rows, now) {
      const before = drawn;
      drawn = new Map(rows.map((row) => {
        const took = row.created ? clock((row.status === "running" ? now : row.updated) - row.created) : "";
        const said = JSON.stringify([row, took, row.thread === opened]);
        const known = before.get(row.thread);
        return [row.thread, known?.said === said ? known : { line: draw(row, took), said }];
      }));
      arrange(body, [...drawn.values()].map((one) => one.line));
      for (const { key, cell } of heads) {
        cell.setAttribute("aria-sort", key === order.by ? (order.down ? "descending" : "ascending") : "none");
      }
    },
  };
}

/** @param {import("../widget.js").Context} context */
function render({ model, el: root }) {
  dress(root, "nba-root", "region");
  root.setAttribute("aria-label", "threads");
  const picture = pictureBehind(root, model.get("uid"));
  const view = viewId();
  /** @type {Row[]} */
  let rows = model.get("rows");
  const find = textInput("nba-input", "filter the threads", "Filter");
  find.type = "search";
  find.addEventListener("input", show);
  const { chips, bar, ...chosen } = countsPart({ changed: show });
  const first = { by: model.get("order") || "updated", down: !model.get("order") };
  const table = tablePart(first, { open: (thread) => tell({ type: "open", thread }), changed: show });
  const note = el("div", "nba-error");
  note.setAttribute("role", "alert");
  complain("");
  const more = el("div", "nba-muted nba-more");
  const header = el("div", "nba-header");
  header.append(el("span", "nba-title", model.get("title")), chips, find, button("Refresh", "nba-button", () => tell({ type: "refresh" }), "Read the store again"));
  root.append(header, bar, note, table.node, more);

  /** @param {string} text */
  function complain(text) {
    note.hidden = !text;
    note.textContent = plain(text);
  }

  /** @param {object} content */
  function tell(content) {
    complain("");
    try {
      model.send({ ...content, view });
    } catch {
      lost();
    }
  }

  function lost() {
    complain("The kernel of this table is gone: run the cell again.");
    picture.show();
  }

  function show() {
    chosen.show(rows);
    const found = selected(rows, find.value, chosen.status(), table.order());
    const shown = found.slice(0, MOST);
    table.show(shown, Date.now() / 1000);
    more.textContent = footnote(rows.length, found.length, shown.length);
  }

  const deafen = listen(model, {
    "msg:custom": (content) => {
      if (content.type === "error" && (content.view ?? view) === view) complain(content.text);
      if (content.type !== "rows") return;
      rows = content.rows;
      show();
    },
    comm_live_update: lost,
  });
  const leave = present(model);
  show();
  tell({ type: "refresh" });
  const timer = setInterval(() => rows.some((row) => row.status === "running") && show(), 1000);
  return () => {
    clearInterval(timer);
    picture.show();
    deafen();
    leave();
  };
}

export default { render };
