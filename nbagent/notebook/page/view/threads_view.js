// Many threads as an inbox: what waits for a person first, with its question, then what failed, by
// its cause, what runs, and what is done; a click opens one below.
//
// Rule 1: the kernel groups, counts and cuts; the page shows some hundreds of rows at the most.
// Rule 2: rows are drawn anew only where they changed.
// @ts-check
import { action, ago, arrange, button, clock, el, hidden, line, money, plain, sign, signOf, statusMark, textInput, toned } from "../dom.js";
import { dress, listen, pictureBehind, present, viewId } from "../widget.js";

/** @typedef {{thread: string, graph: string, status: string, step: number, created: number, updated: number, error: string}} Row times are Unix seconds */
/** @typedef {{name: string, count: number, shown: number, causes: number, oldest: number}} Group */
/** @typedef {{rows: Row[], groups: Group[], counts: Record<string, number>, all: number}} Inbox */
/** @typedef {{title: string, why: string, more: string, working: number, cost: number}} Details */

const TYPED = 150; // milliseconds after the last key before it is searched
const MORE = 200; // more rows of a group, each time
const FRESH = 2000; // milliseconds between two looks at how long ago things were

/** What each group is called, and its sign. @type {Record<string, [string, string]>} */
const NAMES = { waiting: ["Waiting for you", "waiting"], failed: ["Failed", "failed"], running: ["Running", "running"], paused: ["Paused", "paused"], queued: ["Queued", "queued"], done: ["Done", "done"] };

/** The filters above the rows: what each shows, and how many. @param {Inbox} inbox @returns {Array<[string, string, number]>} group, word, count */
export function filters({ counts, all }) {
  /** @type {Array<[string, string, number]>} */
  const found = [["", "All", all], ["waiting", "Needs you", counts.waiting], ["failed", "Failed", counts.failed], ["running", "Running", counts.running], ["paused", "Paused", counts.paused], ["queued", "Queued", counts.queued], ["done", "Done", counts.done]];
  return found.filter(([name, , count]) => !name || count);
}

/** What a group's head says behind its name. @param {Group} group @param {number} now */
export function told({ name, count, shown, causes, oldest }, now) {
  const said = [count.toLocaleString()];
  if (name === "waiting" && count > 1 && oldest) said.push(`the oldest since ${ago(oldest, now)}`);
  if (name === "failed" && count > 1) said.push(causes === 1 ? "one cause" : `${causes} causes`);
  if (shown < count) said.push(name === "done" ? `the last ${shown} shown` : `${shown} shown`);
  return said.join(", ");
}

/** Which rows stand in which group. @param {Inbox} inbox @returns {Array<[Group, Row[]]>} */
export function grouped({ groups, rows }) {
  let at = 0;
  return groups.map((group) => [group, rows.slice(at, (at += group.shown))]);
}

/** @param {import("../widget.js").Context} context */
function render({ model, el: root }) {
  dress(root, "nba-root", "region");
  root.tabIndex = 0;
  root.setAttribute("aria-label", "threads");
  const picture = pictureBehind(root, model.get("uid"));
  const view = viewId();
  /** @type {Inbox} */
  let inbox = model.get("inbox");
  /** @type {Record<string, Details>} */
  const details = {};
  /** @type {Map<string, string>} what was known of a row when its details were asked for */
  const asked = new Map();
  /** @type {Map<string, {node: HTMLElement, said: string}>} */
  let drawn = new Map();
  /** @type {Record<string, number>} */
  let more = {};
  let only = "";
  let opened = "";
  let timer = 0;

  const find = textInput("nba-input nba-find", "filter the threads", "Search (/)");
  find.type = "search";
  find.addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(look, TYPED);
  });
  const chips = el("span", "nba-row nba-filters");
  const note = el("div", "nba-note nba-t-red");
  note.setAttribute("role", "alert");
  const [title, place] = [el("b", "nba-title"), el("span", "nba-meta nba-mono")];
  const [first, ...rest] = String(model.get("title")).split(" in ");
  title.textContent = plain(first);
  place.textContent = plain(rest.join(" in "));
  const header = line("nba-head nba-header", title, place, chips, el("span", "nba-grow"), find, action("", "retrying", () => tell({ type: "refresh" }), { kind: "quiet", tip: "Refresh: read the store again" }));
  const table = el("div", "nba-threads");
  table.setAttribute("role", "table");
  table.setAttribute("aria-label", "threads");
  table.tabIndex = 0;
  const empty = el("div", "nba-soft nba-empty");
  root.append(header, note, table, empty);
  complain("");

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

  function look() {
    tell({ type: "look", text: find.value, only, more });
  }

  /** @param {string} thread */
  function open(thread) {
    opened = thread;
    tell({ type: "open", thread });
    show();
  }

  /** @param {string} group @param {string} word @param {number} count */
  function chip(group, word, count) {
    const signed = group ? signOf(NAMES[group][1]) : "";
    const made = action(`${word} `, signed, () => {
      only = only === group ? "" : group;
      more = {};
      look();
      show();
    }, { kind: only === group ? "" : "quiet", key: `only ${group}` });
    made.append(el("b", "", count.toLocaleString()));
    made.setAttribute("aria-pressed", String(only === group));
    return made;
  }

  /** @param {Group} group @param {Row[]} rows */
  function headOf(group, rows) {
    const [word, status] = NAMES[group.name] ?? [group.name, "queued"];
    const mark = statusMark(status, word);
    const head = line(`nba-grp ${toned(status)}`, mark, el("span", "nba-meta", told(group, Date.now() / 1000)), el("span", "nba-grow"));
    head.setAttribute("role", "row");
    head.setAttribute("aria-label", word);
    if (group.name === "failed" && rows.length > 1) {
      const all = action(rows.length === 2 ? "Retry both" : `Retry all ${rows.length}`, "retrying", () => tell({ type: "command", name: "retry", threads: rows.map((row) => row.thread) }), { kind: "quiet", key: "retry all" });
      head.append(all);
    }
    if (group.shown < group.count) {
      const all = button(group.count - group.shown > MORE ? `Show ${MORE} more` : "Show all", "nba-lnk", () => {
        more = { ...more, [group.name]: (more[group.name] ?? 0) + MORE };
        look();
      });
      all.dataset.key = `more ${group.name}`;
      head.append(all);
    }
    head.replaceChildren(...[...head.children].map(celled));
    return head;
  }

  /** A part of a group's head as a cell. @param {Element} child @param {number} place */
  function celled(child, place) {
    const isPlain = child.tagName === "SPAN";
    const cell = isPlain ? child : el("span");
    if (!isPlain) cell.append(child);
    cell.setAttribute("role", place ? "cell" : "rowheader");
    return cell;
  }

  /** @param {Row} row @param {Details | undefined} known @param {string} before the cause of the row before */
  function draw(row, known, before) {
    const made = el("div", `nba-th${row.thread === opened ? " nba-open" : ""}`);
    made.setAttribute("role", "row");
    const name = button("", "nba-plainkey nba-tt-name", () => open(row.thread), `Open ${row.thread} below`);
    name.dataset.key = `open ${row.thread}`;
    name.append(el("b", "nba-cut", known?.title || row.thread));
    if (known?.title) name.append(hidden(` ${row.thread}`));
    const whose = el("span", "nba-tt");
    whose.append(name, el("span", "nba-cut nba-meta nba-mono", `${row.graph} / ${row.thread}`));
    const why = el("span", "nba-why");
    const cause = known?.why || (row.status === "failed" || row.status === "refused" ? row.error : "");
    why.append(el("span", `nba-cut${row.status === "failed" ? " nba-bad nba-mono nba-thread-error" : ""}`, cause));
    const beside = row.status === "failed" && row.error && row.error === before ? "the same cause as above" : known?.more ?? "";
    if (beside) why.append(el("span", "nba-cut nba-meta", beside));
    why.title = plain(`${cause}\n${known?.more ?? ""}`.trim());
    const acts = el("span");
    const [word, act] = row.status === "waiting" ? ["Answer", () => open(row.thread)] : row.status === "failed" ? ["Retry", () => tell({ type: "command", name: "retry", threads: [row.thread] })] : row.status === "running" ? ["Pause", () => tell({ type: "command", name: "pause", threads: [row.thread] })] : ["", () => {}];
    if (word) {
      const key = button(word, "nba-btn", act, `${word}: ${row.thread}`);
      key.dataset.key = `act ${row.thread}`;
      acts.append(key);
    }
    const status = el("span");
    status.append(statusMark(row.status));
    const changed = el("span", "nba-num nba-soft nba-o1", row.updated ? ago(row.updated, Date.now() / 1000) : "");
    changed.dataset.at = String(row.updated || "");
    made.append(status, whose, why, el("span", "nba-num nba-soft nba-o2", String(row.step)), el("span", "nba-num nba-soft nba-o1", known?.working ? clock(known.working) : ""), el("span", "nba-num nba-soft nba-o2", known?.cost ? money(known.cost) : ""), changed, acts);
    for (const cell of made.children) cell.setAttribute("role", "cell");
    made.addEventListener("click", (event) => {
      if (event.target instanceof Element && !event.target.closest("button")) open(row.thread);
    });
    return made;
  }

  function show() {
    chips.replaceChildren(...filters(inbox).map((one) => chip(...one)));
    const before = drawn;
    drawn = new Map();
    /** @type {HTMLElement[]} */
    const all = inbox.rows.length ? [titles()] : [];
    for (const [group, rows] of grouped(inbox)) {
      keep(`group ${group.name}`, [group, rows.length === group.count ? rows.map((row) => row.thread) : 0, Math.floor(Date.now() / 60000)], () => headOf(group, rows));
      let cause = "";
      for (const row of rows) {
        const known = details[row.thread];
        const last = cause;
        keep(row.thread, [row, known, row.thread === opened, last === row.error], () => draw(row, known, last));
        cause = row.error;
      }
    }
    arrange(table, all);
    const looked = find.value.trim() || only;
    empty.hidden = inbox.rows.length > 0;
    empty.textContent = looked ? "No thread fits the filter." : "No threads yet: %agent run GRAPH starts one.";
    learn();

    /** @param {string} key @param {unknown} what @param {() => HTMLElement} made */
    function keep(key, what, made) {
      const said = JSON.stringify(what);
      const known = before.get(key);
      const one = known?.said === said ? known : { node: made(), said };
      drawn.set(key, one);
      all.push(one.node);
    }
  }

  const titleRow = line("nba-th nba-hd", ...["status", "thread", "question, cause or what it does"].map((text) => el("span", "", text)), el("span", "nba-num nba-o2", "step"), el("span", "nba-num nba-o1", "working"), el("span", "nba-num nba-o2", "cost"), el("span", "nba-num nba-o1", "changed"), hidden("action"));
  titleRow.setAttribute("role", "row");
  for (const cell of titleRow.children) cell.setAttribute("role", "columnheader");
  const titles = () => titleRow;

  /** Ask what the rows say beside their status, where that is not known as they stand now. */
  function learn() {
    const due = inbox.rows.filter((row) => asked.get(row.thread) !== `${row.status} ${row.updated}`).slice(0, 40);
    if (!due.length) return;
    for (const row of due) asked.set(row.thread, `${row.status} ${row.updated}`);
    try {
      model.send({ type: "details", threads: due.map((row) => row.thread), view });
    } catch {
      lost();
    }
  }

  root.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target === find) return;
    event.preventDefault();
    event.stopPropagation();
    find.focus();
  });
  const deafen = listen(model, {
    "msg:custom": (content) => {
      if (content.type === "error" && (content.view ?? view) === view) complain(content.text);
      if (content.type === "details") Object.assign(details, content.details);
      if (content.type === "rows") inbox = content.inbox;
      if (content.type === "rows" || content.type === "details") show();
    },
    comm_live_update: lost,
  });
  const leave = present(model);
  show();
  tell({ type: "refresh" });
  const ticking = setInterval(() => {
    for (const cell of table.querySelectorAll("[data-at]")) if (cell instanceof HTMLElement && cell.dataset.at) cell.textContent = ago(Number(cell.dataset.at), Date.now() / 1000);
  }, FRESH);
  return () => {
    clearInterval(ticking);
    clearTimeout(timer);
    picture.show();
    deafen();
    leave();
  };
}

export default { render };
