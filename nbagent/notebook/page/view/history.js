// The history as a tree of branches: what made each checkpoint, and what one can do from there.
// @ts-check
import { button, el, moment, svg, worded } from "../dom.js";

const LANE = 14; // pixels between two branches
const ROW = 26; // pixels between two checkpoints
const KINDS = /** @type {Record<string, string>} */ ({ input: "input", edit: "corrected", fork: "branch" });

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
    for (let at = /** @type {any} */ (row); at && !found.has(at.id); at = byId.get(at.parent)) found.set(at.id, lane);
    lane++;
  }
  return found;
}

/** @param {any} row */
function title(row) {
  if (row.kind !== "step") return KINDS[row.kind] || row.kind;
  return row.ran.length ? row.ran.join(", ") : "step";
}

/**
 * @param {HTMLElement} root @param {any} data @param {{shown: number, against: number, isUnder: boolean}} at
 * @param {{look: (id: number) => void, fork: (id: number) => void, branch: (id: number) => void, compare: (id: number) => void, annotate: (id: number, text: string) => void, open: (thread: string) => void, older: () => void}} acts
 */
export function drawHistory(root, data, at, acts) {
  root.replaceChildren();
  if (!data.rows.length) {
    root.append(el("div", "nba-muted nba-empty", "No checkpoint yet: the first one is written when the run starts."));
    return;
  }
  if (data.parent) {
    const from = el("div", "nba-muted");
    from.append("a branch of ", button(data.parent, "nba-link", () => acts.open(data.parent)));
    root.append(from);
  }
  const chosen = data.rows.find((/** @type {any} */ row) => row.id === at.shown);
  if (chosen) root.append(tools(chosen, at, acts));
  const lane = lanes(data.rows);
  const width = LANE * (1 + Math.max(...lane.values())) + 8;
  const list = el("ol", "nba-history");
  const ids = new Set(data.rows.map((/** @type {any} */ row) => row.id));
  /** @type {Map<number, number>} */
  const children = new Map();
  for (const row of data.rows) {
    const item = el("li", row.id === at.shown ? "nba-look" : "");
    const line = el("div", "nba-history-row");
    const own = lane.get(row.id) || 0;
    const picture = svg("svg", { width, height: ROW, class: "nba-lanes", "aria-hidden": "true" });
    for (const [other, end] of children) {
      if (end !== row.id && other !== own) picture.append(svg("path", { d: `M${8 + other * LANE} 0V${ROW}` }));
    }
    if (children.has(own)) picture.append(svg("path", { d: `M${8 + own * LANE} 0V${ROW / 2}` }));
    for (const [other, end] of [...children]) {
      if (end === row.id && other !== own) {
        picture.append(svg("path", { d: `M${8 + other * LANE} 0C${8 + other * LANE} ${ROW / 2} ${8 + own * LANE} 4 ${8 + own * LANE} ${ROW / 2}` }));
        children.delete(other);
      }
    }
    children.delete(own);
    if (row.parent !== null && ids.has(row.parent)) {
      children.set(own, row.parent);
      picture.append(svg("path", { d: `M${8 + own * LANE} ${ROW / 2}V${ROW}` }));
    }
    picture.append(svg("circle", { cx: 8 + own * LANE, cy: ROW / 2, r: 4, class: `nba-dot nba-dot-${row.kind}${own ? " nba-dot-old" : ""}` }));
    const look = button("", "nba-history-look", () => acts.look(row.id), `Look at checkpoint ${row.id}`);
    look.append(el("span", "nba-history-step", String(row.step)), el("span", "nba-history-title", title(row)));
    if (row.updated.length) look.append(el("span", "nba-muted nba-history-fields", row.updated.join(", ")));
    look.append(el("span", "nba-muted nba-history-time", moment(row.at)));
    look.setAttribute("aria-label", `checkpoint ${row.id}, super-step ${row.step}, ${title(row)}`);
    if (row.id === at.shown) look.setAttribute("aria-current", "true");
    line.append(picture, look);
    item.append(line);
    const said = [row.note && `${row.note}${row.actor ? ` — ${row.actor}` : ""}`, data.notes[row.id]].filter(Boolean);
    for (const text of said) item.append(el("div", "nba-history-note", text));
    for (const fork of data.forks.filter((/** @type {any} */ one) => one.from === row.id)) {
      const open = button(`↳ ${fork.title || fork.thread} · ${worded(fork.status)}`, "nba-link nba-history-fork", () => acts.open(fork.thread));
      item.append(open);
    }
    list.append(item);
  }
  root.append(list);
  if (data.more) root.append(button(`… ${data.more.toLocaleString()} earlier`, "nba-link", acts.older));
}

/** @param {any} row @param {any} at @param {any} acts */
function tools(row, at, acts) {
  const box = el("div", "nba-history-tools");
  const note = /** @type {HTMLInputElement} */ (el("input", "nba-input"));
  note.placeholder = "Note for this checkpoint, then Enter";
  note.setAttribute("aria-label", "note");
  note.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Enter" && note.value.trim()) acts.annotate(row.id, note.value.trim());
  });
  box.append(
    el("span", "nba-muted", `Checkpoint ${row.id}`),
    button("Fork from here", "nba-button", () => acts.fork(row.id), "A new thread that begins at this checkpoint; this one stays as it is"),
    ...(at.isUnder ? [] : [button("Resume from here", "nba-button", () => acts.branch(row.id), "Go on from this checkpoint in a new branch of this thread")]),
    button(at.against === row.id ? "Compared with this" : "Compare with this", "nba-button", () => acts.compare(row.id), "Show what differs between this checkpoint and the next one that you look at"),
    note,
  );
  return box;
}
