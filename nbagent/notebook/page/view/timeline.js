// Where the time went: a bar for every attempt of a node, its child spans below it.
//
// Rule 1: stretches in which nothing ran (a person was asked, the kernel was dead) are cut short,
//         and say how long they were.
// @ts-check
import { clock, el, keepingFocus, plain, toned } from "../dom.js";

/** @typedef {import("./said.js").Bar} Bar */

const GAP = 0.12; // of all the working time: a pause longer than this is cut to it
const ROWS = 400; // the last rows that are drawn

/**
 * Where each moment lies on the axis, from 0 to 1, with long pauses cut short.
 * @param {Array<{start: number, duration: number}>} rows @param {number} now
 */
export function axis(rows, now) {
  const busy = rows.map((row) => [row.start, row.start + Math.max(0, row.duration)]).sort((a, b) => a[0] - b[0]);
  /** @type {number[][]} */
  const stretches = [];
  for (const [start, end] of busy) {
    const last = stretches[stretches.length - 1];
    if (last && start <= last[1]) last[1] = Math.max(last[1], end);
    else stretches.push([start, Math.min(end, Math.max(now, end))]);
  }
  const worked = stretches.reduce((sum, [start, end]) => sum + end - start, 0) || 1e-6;
  const most = worked * GAP;
  /** @type {Array<{from: number, to: number, at: number, length: number}>} */
  const pieces = [];
  /** @type {Array<{at: number, seconds: number}>} */
  const cuts = [];
  let at = 0;
  stretches.forEach(([start, end], index) => {
    if (index) {
      const gap = start - stretches[index - 1][1];
      const length = Math.min(gap, most);
      if (gap > most) cuts.push({ at: at + length / 2, seconds: gap });
      pieces.push({ from: stretches[index - 1][1], to: start, at, length });
      at += length;
    }
    pieces.push({ from: start, to: end, at, length: end - start });
    at += end - start;
  });
  const total = at || 1;
  /** @param {number} moment */
  const place = (moment) => {
    const piece = pieces.find((one) => moment <= one.to) || pieces[pieces.length - 1];
    if (!piece) return 0;
    const part = piece.to > piece.from ? Math.min(1, Math.max(0, (moment - piece.from) / (piece.to - piece.from))) : 0;
    return (piece.at + part * piece.length) / total;
  };
  return { place, cuts: cuts.map((cut) => ({ at: cut.at / total, seconds: cut.seconds })), worked };
}

/** Rows in the order to show: a task's spans below it. @param {Bar[]} rows */
export function nested(rows) {
  /** @type {Array<Bar & {depth: number}>} */
  const found = [];
  const tasks = rows.filter((row) => row.kind === "node");
  const others = rows.filter((row) => row.kind === "span" || row.kind === "attempt");
  const known = new Set(others.map((row) => row.id));
  /** @param {Bar} row @param {number} depth */
  const add = (row, depth) => {
    found.push({ ...row, depth });
    for (const inner of others) if (inner.parent && inner.parent === row.id) add(inner, depth + 1);
  };
  for (const task of tasks) {
    found.push({ ...task, depth: 0 });
    for (const row of others) {
      const own = row.thread === task.thread && row.task === task.task && row.step === task.step;
      if (own && (!row.parent || !known.has(row.parent))) add(row, 1);
    }
  }
  return found;
}

/**
 * @param {HTMLElement} root @param {Bar[]} given @param {number} now Unix seconds
 * @param {(row: Bar) => void} pick
 */
function drawTimeline(root, given, now, pick) {
  const all = nested(given);
  const rows = all.slice(-ROWS);
  if (!rows.length) {
    root.replaceChildren(el("div", "nba-muted nba-empty", "Nothing has run yet. Each attempt of a node becomes a bar here."));
    return;
  }
  const { place, cuts, worked } = axis(rows, now);
  const head = el("div", "nba-muted", `${clock(worked)} of work · ${all.length} bars`);
  if (all.length > rows.length) head.append(`, the last ${rows.length} are shown`);
  const chart = el("div", "nba-timeline");
  let step = -1;
  for (const row of rows) {
    const line = el("button", "nba-bar-row");
    line.setAttribute("type", "button");
    const first = row.depth === 0 && row.step !== step;
    if (row.depth === 0) step = row.step;
    const name = el("span", "nba-bar-name", row.depth ? row.name : row.node);
    name.style.paddingLeft = `${row.depth * 12}px`;
    const track = el("span", "nba-track");
    const from = place(row.start);
    const to = place(row.start + row.duration);
    const status = row.status === "ok" || row.status === "done" ? "done" : row.status === "running" ? "running" : "failed";
    const bar = el("span", `nba-bar ${toned(status)} nba-bar-${row.kind}`);
    bar.style.left = `${from * 100}%`;
    bar.style.width = `max(3px, ${(to - from) * 100}%)`;
    const tokens = row.tokens ? `, ${row.tokens} tokens` : "";
    const cost = row.cost ? `, cost ${row.cost}` : "";
    const said = `${row.name}, super-step ${row.step}, ${clock(row.duration)}${row.attempt > 1 ? `, attempt ${row.attempt}` : ""}${tokens}${cost}${row.error ? `: ${row.error}` : ""}`;
    line.title = plain(said);
    line.setAttribute("aria-label", plain(said));
    line.dataset.key = [row.thread, row.task, row.step, row.attempt, row.kind, row.id].join("/");
    track.append(bar);
    for (const cut of cuts) {
      const mark = el("span", "nba-cut");
      mark.style.left = `${cut.at * 100}%`;
      mark.title = `${clock(cut.seconds)} in which nothing ran`;
      track.append(mark);
    }
    line.append(el("span", "nba-bar-step", first ? String(row.step) : ""), name, track, el("span", "nba-bar-time", clock(row.duration)));
    if (first) line.classList.add("nba-bar-first");
    line.addEventListener("click", () => pick(row));
    chart.append(line);
  }
  root.replaceChildren(head, chart);
  if (cuts.length) {
    const pauses = cuts.map((cut) => clock(cut.seconds)).slice(0, 4).join(", ");
    root.append(el("div", "nba-muted", `The dotted lines stand for pauses of ${pauses}${cuts.length > 4 ? ", …" : ""}.`));
  }
}

/** Bars for the nodes that run at this moment. @param {import("./said.js").Now} state @param {number} now Unix seconds @returns {Bar[]} */
export function underWay(state, now) {
  const live = Object.entries(state.nodes).filter(([, node]) => node.status === "running");
  return live.map(([name, node]) => ({
    thread: state.thread, step: state.step, node: name, task: `${name} now`, attempt: node.attempt, kind: "node", name,
    start: node.since, duration: Math.max(0, now - node.since), status: "running", id: `${name} now`,
  }));
}

/**
 * @param {{ask: import("./said.js").Ask, now: () => import("./said.js").Now, pick: (row: Bar) => void}} given
 */
export function timelinePart({ ask, now, pick }) {
  const node = el("div");
  let asked = 0;
  return {
    node,
    async refill() {
      const own = ++asked;
      const found = await ask("timeline");
      if (!found || own !== asked) return;
      const at = Date.now() / 1000;
      keepingFocus(node, () => drawTimeline(node, [...found.rows, ...underWay(now(), at)], at, pick));
    },
  };
}
