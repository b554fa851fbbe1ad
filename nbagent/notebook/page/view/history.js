// The history as a tree of branches: what made each checkpoint, and what one can do from there.
//
// Rule 1: a row is drawn anew only where it changed, and the tools stay while somebody types in
//         them: a run that goes on takes nobody's words or place away.
// Rule 2: only the rows in sight are on the page, however long the history is.
// @ts-check
import { action, arrange, button, el, keepingFocus, keyOf, line, moment, plain, sign, svg, textInput, worded } from "../dom.js";
import { comparePart } from "./compare.js";

/** @typedef {import("./said.js").History} History */
/** @typedef {import("./said.js").Checkpoint} Checkpoint */
/** @typedef {{path: string[], x: number}} Lanes the lines that pass a row, and where its dot is */
/**
 * What can be done from a checkpoint.
 * @typedef {{
 *   look: (id: number) => void, fork: (id: number) => void, branch: (id: number) => void, open: (thread: string) => void,
 * }} Acts
 */

const LANE = 14; // pixels between two branches
const ROW = 26; // pixels between two checkpoints
const FIRST = 200; // checkpoints that are asked for at first
const MORE = 500; // and then each time
const TOOLS = 34; // pixels of the tools below the chosen row
const NOTE = 22; // and of a note
const AROUND = 400; // pixels beyond what is seen in which rows are kept ready
const KINDS = new Map([["input", "input"], ["edit", "edited by you"], ["fork", "branch"]]);

/**
 * A lane for each checkpoint: 0 for the line that leads to the latest, more for older branches.
 * @param {Array<{id: number, parent: number | null}>} rows newest first
 * @returns {Map<number, number>}
 */
export function lanes(rows) {
  const byId = new Map(rows.map((row) => [row.id, row]));
  /** @type {Map<number, number>} */
  const found = new Map();
  let lane = 0;
  for (const row of rows) {
    if (found.has(row.id)) continue;
    for (let at = byId.get(row.id); at && !found.has(at.id); at = byId.get(at.parent ?? NaN)) found.set(at.id, lane);
    lane++;
  }
  return found;
}

/**
 * What each row's picture shows of the lanes.
 * @param {Array<{id: number, parent: number | null}>} rows newest first @param {Map<number, number>} lane
 * @returns {Map<number, Lanes>}
 */
export function lines(rows, lane) {
  const ids = new Set(rows.map((row) => row.id));
  /** Lanes that are open downwards, and the checkpoint that each leads to. @type {Map<number, number>} */
  const open = new Map();
  /** @type {Map<number, Lanes>} */
  const found = new Map();
  for (const row of rows) {
    const own = lane.get(row.id) || 0;
    const x = 8 + own * LANE;
    const path = [];
    for (const [other, end] of [...open]) {
      const from = 8 + other * LANE;
      if (other === own) path.push(`M${from} 0V${ROW / 2}`);
      else if (end === row.id) path.push(`M${from} 0C${from} ${ROW / 2} ${x} 4 ${x} ${ROW / 2}`);
      else path.push(`M${from} 0V${ROW}`);
      if (other === own || end === row.id) open.delete(other);
    }
    if (row.parent !== null && ids.has(row.parent)) {
      open.set(own, row.parent);
      path.push(`M${x} ${ROW / 2}V${ROW}`);
    }
    found.set(row.id, { path, x });
  }
  return found;
}

/** What a checkpoint is called. @param {Checkpoint} row */
export function title(row) {
  if (row.kind !== "step") return KINDS.get(row.kind) || row.kind;
  return row.ran.length ? row.ran.join(", ") : "step";
}

/**
 * Which rows are to be on the page: the first, the one after the last, and how much room the others take.
 * @param {number[]} tops where each row begins, and at the end of them all of it @param {number} from @param {number} to pixels that are seen
 */
export function windowOf(tops, from, to) {
  const count = tops.length - 1;
  let first = 0;
  for (let low = 0, high = count; low < high; ) {
    const middle = (low + high) >> 1;
    if (tops[middle + 1] < from) low = middle + 1;
    else high = middle;
    first = low;
  }
  let end = first;
  while (end < count && tops[end] < to) end++;
  return { first, end, before: tops[first] ?? 0, after: (tops[count] ?? 0) - (tops[end] ?? 0) };
}

/** @typedef {{lanes: Lanes, width: number, isShown: boolean, isNow: boolean, mark: "" | "A" | "B", notes: string[], forks: import("./said.js").Fork[], height: number}} RowAt */

/** One checkpoint, drawn. @param {Checkpoint} row @param {RowAt} at @param {Acts} acts */
function drawRow(row, at, acts) {
  const item = el("li", `${at.isShown ? "nba-sel nba-look" : ""}${at.mark === "A" ? " nba-vs" : ""}`.trim());
  item.style.gridTemplateColumns = `${at.width}px minmax(0, 1fr)`;
  const picture = svg("svg", { width: at.width, height: ROW, class: "nba-lanes", "aria-hidden": "true" });
  for (const d of at.lanes.path) picture.append(svg("path", { d }));
  const [x, y] = [at.lanes.x, ROW / 2];
  if (row.kind === "edit") picture.append(svg("rect", { class: "nba-hu", x: x - 3.5, y: y - 3.5, width: 7, height: 7 }));
  else picture.append(svg("circle", { class: at.isNow ? "nba-cur" : row.kind === "step" ? "nba-in" : "", cx: x, cy: y, r: at.isNow ? 5 : row.kind === "step" ? 3.5 : 4 }));
  const look = button("", "nba-it nba-history-look", () => acts.look(row.id), `Look at checkpoint ${row.id}`);
  look.dataset.key = `look ${row.id}`;
  look.append(el("span", "nba-s nba-history-step", row.kind === "step" || row.kind === "input" ? String(row.step) : ""), el("b", "nba-history-title nba-cut", title(row)));
  look.append(el("span", "nba-soft nba-cut nba-grow nba-history-fields", row.updated.join(", ")));
  if (at.mark) look.append(el("span", `nba-ab${at.mark === "B" ? " nba-b" : ""}`, at.mark));
  look.append(el("span", "nba-meta nba-history-time", at.isNow ? "now" : moment(row.at)));
  look.setAttribute("aria-label", plain(`checkpoint ${row.id}, step ${row.step}, ${title(row)}${at.mark ? `, ${at.mark} of the comparison` : ""}`));
  if (at.isShown) look.setAttribute("aria-current", "true");
  item.append(picture, look);
  const rest = at.lanes.path.length ? through(at.lanes, at.width, at.height - ROW) : null;
  if (at.height > ROW && rest) item.append(rest);
  const below = el("div", "nba-below");
  below.append(...at.notes.map((text) => line("nba-history-note nba-soft", sign("note"), text)));
  for (const fork of at.forks) {
    const open = button(`↳ ${fork.title || fork.thread} · ${worded(fork.status)}`, "nba-lnk nba-link nba-history-fork", () => acts.open(fork.thread));
    open.dataset.key = `fork ${fork.thread}`;
    below.append(open);
  }
  if (at.height > ROW) item.append(below);
  return item;
}

/** The lanes go on beside what stands below a row. @param {Lanes} lanes @param {number} width @param {number} height */
function through(lanes, width, height) {
  const made = svg("svg", { width, height, class: "nba-lanes", "aria-hidden": "true" });
  for (const d of lanes.path) {
    const end = /([\d.]+)(?: \d+)?V26$/.exec(d);
    if (end) made.append(svg("path", { d: `M${end[1]} 0V${height}` }));
  }
  return made;
}

/**
 * What can be done from one checkpoint, and a note to keep beside it. What was typed stays with the
 * checkpoint that it was typed for.
 * @param {Acts & {compare: (id: number) => void, annotate: (id: number, text: string) => Promise<boolean>}} acts
 */
function toolsPart(acts) {
  const node = el("div", "nba-more nba-history-tools");
  const label = el("span", "nba-hidden nba-muted");
  /** @type {Map<number, string>} */
  const drafts = new Map();
  let id = 0;
  const branch = action("Go on from here", "next", () => acts.branch(id), { tip: "In a new branch of this thread", key: "branch" });
  const fork = action("Fork", "fork", () => acts.fork(id), { tip: "Fork from here: a new thread that begins at this checkpoint; this one stays as it is", key: "fork" });
  const compare = action("Compare…", "", () => acts.compare(id), { tip: "Show what differs between this checkpoint and another", key: "compare" });
  const note = textInput("nba-input nba-note-input", "note", "Note, then Enter");
  note.type = "text";
  note.dataset.key = "note";
  node.append(label, branch, fork, compare, note);
  note.addEventListener("input", () => {
    if (note.value) drafts.set(id, note.value);
    else drafts.delete(id);
  });
  note.addEventListener("keydown", async (event) => {
    const [own, text] = [id, note.value.trim()];
    if (keyOf(event) !== "Enter" || !text || !(await acts.annotate(own, text))) return;
    drafts.delete(own);
    if (id === own && note.value.trim() === text) note.value = "";
  });
  return {
    node,
    /** The checkpoint that somebody is at work on. */
    held: () => (node.contains(document.activeElement) || drafts.has(id) ? id : 0),
    forget() {
      drafts.clear();
      note.value = "";
      id = 0;
    },
    /** @param {number} checkpoint @param {{isCompared: boolean, isUnder: boolean}} at */
    show(checkpoint, { isCompared, isUnder }) {
      if (id !== checkpoint) note.value = drafts.get(checkpoint) ?? "";
      id = checkpoint;
      label.textContent = `Checkpoint ${id}`;
      branch.hidden = isUnder;
      compare.setAttribute("aria-pressed", String(isCompared));
    },
  };
}

/**
 * @param {{
 *   ask: import("./said.js").Ask, acts: Acts, checkpoint: () => number | null, isUnder: () => boolean, now: () => import("./said.js").Now,
 * }} given `checkpoint` is the one that is looked at, null for now; `isUnder` where another thread runs this one
 */
export function historyPart({ ask, acts, checkpoint, isUnder }) {
  const node = el("div");
  const split = el("div", "nba-split");
  const left = el("div", "nba-historypane");
  const list = el("ol", "nba-hist nba-history");
  list.setAttribute("aria-label", "history, newest first");
  /** @type {History | null} */
  let data = null;
  let asked = 0;
  let isAsking = false;
  /** The checkpoints that are compared; `b` waits for `a`. @type {{a: number, b: number} | null} */
  let pair = null;
  /** @type {Map<number, {item: HTMLElement, said: string}>} */
  let drawn = new Map();
  const comparison = comparePart({ ask, done: () => compare(null), swap: () => pair && compare({ a: pair.b, b: pair.a }) });
  split.append(left);
  const tools = toolsPart({
    ...acts,
    compare: (id) => compare(pair?.b === id && !pair.a ? null : { a: 0, b: id }),
    async annotate(id, text) {
      const kept = await ask("annotate", { checkpoint: id, text });
      if (kept) refill();
      return kept !== null;
    },
  });
  /** @type {Acts} */
  const chosen = {
    ...acts,
    look(id) {
      if (pair && id !== pair.b) compare({ a: id, b: pair.b });
      else acts.look(id);
    },
  };

  /** @param {{a: number, b: number} | null} next */
  function compare(next) {
    pair = next;
    const names = new Map(data?.rows.map((row) => [row.id, `step ${row.step}`]));
    void comparison.show(pair, (id) => names.get(id) ?? `checkpoint ${id}`);
    show();
  }

  /** @type {{rows: Checkpoint[], lane: Map<number, number>, pictures: Map<number, Lanes>, width: number} | null} */
  let laid = null;

  /** The lanes of these rows; they are made anew only for other rows. @param {Checkpoint[]} rows */
  function layOut(rows) {
    if (laid?.rows === rows) return laid;
    const lane = lanes(rows);
    let most = 0;
    for (const one of lane.values()) most = Math.max(most, one);
    laid = { rows, lane, pictures: lines(rows, lane), width: LANE * (1 + most) + 8 };
    return laid;
  }

  function show() {
    if (!data) return;
    const { rows, parent, more } = data;
    if (!rows.length) {
      node.replaceChildren(el("div", "nba-soft nba-muted nba-empty", "No checkpoint yet: the first one is written when the run starts."));
      return;
    }
    const at = pair?.b ?? checkpoint() ?? (tools.held() || data.latest);
    const isKnown = rows.some((row) => row.id === at);
    if (isKnown) tools.show(at, { isCompared: pair !== null, isUnder: isUnder() });
    const from = el("div", "nba-soft");
    if (parent) from.append("a branch of ", button(parent, "nba-lnk nba-link", () => acts.open(parent)));
    const older = button(`… ${more.toLocaleString()} earlier`, "nba-lnk nba-link", () => void earlier());
    older.dataset.key = "older";
    keepingFocus(node, () => {
      showRows(at, isKnown);
      arrange(left, [...(parent ? [from] : []), list, ...(more ? [older] : [])]);
      arrange(split, [left, ...(pair ? [comparison.node] : [])]);
      arrange(node, [split]);
    });
  }

  /** @param {number} chosenId @param {boolean} isKnown */
  function showRows(chosenId, isKnown) {
    if (!data) return;
    const { rows, notes, forks, latest } = data;
    const { pictures, width } = layOut(rows);
    /** @type {Map<number, import("./said.js").Fork[]>} */
    const forked = new Map();
    for (const one of forks) forked.set(one.from, [...(forked.get(one.from) ?? []), one]);
    const tops = [0];
    const below = rows.map((row) => {
      const said = [row.note && `${row.note}${row.actor ? ` — ${row.actor}` : ""}`, notes[row.id]].filter(Boolean);
      const own = forked.get(row.id) ?? [];
      const height = ROW + NOTE * (said.length + own.length) + (isKnown && row.id === chosenId ? TOOLS : 0);
      tops.push(tops[tops.length - 1] + height);
      return { said, own, height };
    });
    const seen = windowOf(tops, node.scrollTop - AROUND, node.scrollTop + (node.clientHeight || 700) + AROUND);
    const before = drawn;
    drawn = new Map(rows.slice(seen.first, seen.end).map((row, place) => {
      const { said: own, own: forksHere, height } = below[seen.first + place];
      /** @type {RowAt} */
      const at = {
        lanes: pictures.get(row.id) || { path: [], x: 8 },
        width,
        isShown: row.id === chosenId,
        isNow: row.id === latest,
        mark: pair?.b === row.id ? "B" : pair?.a === row.id ? "A" : "",
        notes: own,
        forks: forksHere,
        height,
      };
      const said = JSON.stringify([row, at]);
      const known = before.get(row.id);
      return [row.id, known?.said === said ? known : { item: drawRow(row, at, chosen), said }];
    }));
    list.style.paddingBlock = `${seen.before}px ${seen.after}px`;
    arrange(list, [...drawn.values()].map((one) => one.item));
    const host = drawn.get(chosenId)?.item.querySelector(".nba-below");
    if (host && isKnown && tools.node.parentElement !== host) host.prepend(tools.node);
  }

  let isDue = false;
  node.addEventListener("scroll", () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      show();
      if (data?.more && node.scrollTop + node.clientHeight > node.scrollHeight - AROUND) void earlier();
    });
  }, { passive: true });

  /** The rows before the last that is known. */
  async function earlier() {
    if (!data || isAsking) return;
    isAsking = true;
    const own = asked;
    const found = await ask("history", { limit: MORE, before: data.rows[data.rows.length - 1].id });
    isAsking = false;
    if (!found || !data || own !== asked) return;
    data = { ...data, rows: [...data.rows, ...found.rows], more: found.more };
    show();
  }

  async function refill() {
    const own = ++asked;
    const known = data?.rows[0]?.id;
    const found = await ask("history", known ? { limit: 5000, since: known } : { limit: FIRST });
    if (!found || own !== asked) return;
    if (!data) data = found;
    else data = { ...found, rows: found.rows.length ? [...found.rows, ...data.rows] : data.rows, more: data.more };
    show();
  }

  return {
    node,
    show,
    refill: () => void refill(),
    end() {
      asked++;
    },
    /** It is about another thread from now on. */
    forget() {
      data = null;
      pair = null;
      laid = null;
      asked++;
      tools.forget();
    },
  };
}
