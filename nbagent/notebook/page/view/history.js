// The history as a tree of branches: what made each checkpoint, and what one can do from there.
//
// Rule 1: a row is drawn anew only where it changed, and the tools stay while somebody types in
//         them: a run that goes on takes nobody's words or place away.
// @ts-check
import { arrange, button, el, keepingFocus, keyOf, moment, plain, svg, textInput, worded } from "../dom.js";

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
const MORE = 500; // and then with each click
const KINDS = new Map([["input", "input"], ["edit", "corrected"], ["fork", "branch"]]);

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

/** One checkpoint, drawn. @param {Checkpoint} row @param {{lanes: Lanes, width: number, isShown: boolean, notes: string[], forks: import("./said.js").Fork[]}} at @param {Acts} acts */
function drawRow(row, at, acts) {
  const item = el("li", at.isShown ? "nba-look" : "");
  const line = el("div", "nba-history-row");
  const picture = svg("svg", { width: at.width, height: ROW, class: "nba-lanes", "aria-hidden": "true" });
  for (const d of at.lanes.path) picture.append(svg("path", { d }));
  const old = at.lanes.x > 8 ? " nba-dot-old" : "";
  picture.append(svg("circle", { cx: at.lanes.x, cy: ROW / 2, r: 4, class: `nba-dot nba-dot-${row.kind}${old}` }));
  const look = button("", "nba-history-look", () => acts.look(row.id), `Look at checkpoint ${row.id}`);
  look.dataset.key = `look ${row.id}`;
  look.append(el("span", "nba-history-step", String(row.step)), el("span", "nba-history-title", title(row)));
  if (row.updated.length) look.append(el("span", "nba-muted nba-history-fields", row.updated.join(", ")));
  look.append(el("span", "nba-muted nba-history-time", moment(row.at)));
  look.setAttribute("aria-label", plain(`checkpoint ${row.id}, super-step ${row.step}, ${title(row)}`));
  if (at.isShown) look.setAttribute("aria-current", "true");
  line.append(picture, look);
  item.append(line, ...at.notes.map((text) => el("div", "nba-history-note", text)));
  for (const fork of at.forks) {
    const open = button(`↳ ${fork.title || fork.thread} · ${worded(fork.status)}`, "nba-link nba-history-fork", () => acts.open(fork.thread));
    open.dataset.key = `fork ${fork.thread}`;
    item.append(open);
  }
  return item;
}

/**
 * What can be done from one checkpoint, and a note to keep beside it. What was typed stays with the
 * checkpoint that it was typed for.
 * @param {Acts & {compare: (id: number) => void, annotate: (id: number, text: string) => Promise<boolean>}} acts
 */
function toolsPart(acts) {
  const node = el("div", "nba-history-tools");
  const label = el("span", "nba-muted");
  /** @type {Map<number, string>} */
  const drafts = new Map();
  let id = 0;
  const fork = button("Fork from here", "nba-button", () => acts.fork(id), "A new thread that begins at this checkpoint; this one stays as it is");
  const branch = button("Resume from here", "nba-button", () => acts.branch(id), "Go on from this checkpoint in a new branch of this thread");
  const compare = button("Compare with this", "nba-button", () => acts.compare(id), "Show what differs between this checkpoint and the next one that you look at");
  const note = textInput("nba-input", "note", "Note for this checkpoint, then Enter");
  node.append(label, fork, branch, compare, note);
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
    /** @param {number} checkpoint @param {{against: number, isUnder: boolean}} at */
    show(checkpoint, { against, isUnder }) {
      if (id !== checkpoint) note.value = drafts.get(checkpoint) ?? "";
      id = checkpoint;
      label.textContent = `Checkpoint ${id}`;
      branch.hidden = isUnder;
      compare.textContent = against === id ? "Compared with this" : "Compare with this";
    },
  };
}

/**
 * @param {{
 *   ask: import("./said.js").Ask, acts: Acts, checkpoint: () => number | null, isUnder: () => boolean,
 * }} given `checkpoint` is the one that is looked at, null for now; `isUnder` where another thread runs this one
 */
export function historyPart({ ask, acts, checkpoint, isUnder }) {
  const node = el("div");
  const list = el("ol", "nba-history");
  /** @type {History | null} */
  let data = null;
  let against = 0;
  let asked = 0;
  /** @type {Map<number, {item: HTMLElement, said: string}>} */
  let drawn = new Map();
  const tools = toolsPart({
    ...acts,
    compare(id) {
      against = against === id ? 0 : id;
      show();
    },
    async annotate(id, text) {
      const kept = await ask("annotate", { checkpoint: id, text });
      if (kept) refill();
      return kept !== null;
    },
  });

  function show() {
    if (!data) return;
    const { rows, parent, more } = data;
    if (!rows.length) {
      node.replaceChildren(el("div", "nba-muted nba-empty", "No checkpoint yet: the first one is written when the run starts."));
      return;
    }
    const chosen = checkpoint() ?? (tools.held() || data.latest);
    const isKnown = rows.some((row) => row.id === chosen);
    if (isKnown) tools.show(chosen, { against, isUnder: isUnder() });
    const from = el("div", "nba-muted");
    if (parent) from.append("a branch of ", button(parent, "nba-link", () => acts.open(parent)));
    const older = button(`… ${more.toLocaleString()} earlier`, "nba-link", () => refill(rows.length + MORE));
    older.dataset.key = "older";
    keepingFocus(node, () => {
      showRows(chosen);
      arrange(node, [...(parent ? [from] : []), ...(isKnown ? [tools.node] : []), list, ...(more ? [older] : [])]);
    });
  }

  /** @param {number} chosen */
  function showRows(chosen) {
    if (!data) return;
    const { rows, notes, forks } = data;
    const lane = lanes(rows);
    const pictures = lines(rows, lane);
    const width = LANE * (1 + Math.max(0, ...new Set(lane.values()))) + 8;
    const before = drawn;
    drawn = new Map(rows.map((row) => {
      const at = {
        lanes: pictures.get(row.id) || { path: [], x: 8 },
        width,
        isShown: row.id === chosen,
        notes: [row.note && `${row.note}${row.actor ? ` — ${row.actor}` : ""}`, notes[row.id]].filter(Boolean),
        forks: forks.filter((one) => one.from === row.id),
      };
      const said = JSON.stringify([row, at]);
      const known = before.get(row.id);
      return [row.id, known?.said === said ? known : { item: drawRow(row, at, acts), said }];
    }));
    arrange(list, [...drawn.values()].map((one) => one.item));
  }

  /** @param {number} [limit] */
  async function refill(limit) {
    const own = ++asked;
    const found = await ask("history", { limit: limit ?? Math.max(FIRST, data ? data.rows.length : 0) });
    if (!found || own !== asked) return;
    data = found;
    show();
  }

  return {
    node,
    show,
    refill: () => refill(),
    /** The checkpoint that the next one is compared with; 0 for none. */
    against: () => against,
    compared() {
      against = 0;
    },
    /** It is about another thread from now on. */
    forget() {
      data = null;
      against = 0;
      asked++;
      tools.forget();
    },
  };
}
