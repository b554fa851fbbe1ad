// Where the time went: a tree of steps, nodes, tasks, attempts and spans, a bar for each.
//
// Rule 1: working, waiting for a person and backing off are three kinds of time, never added up.
// Rule 2: a parent shows the sum of what is under it; it is a tree for those who hear it.
// @ts-check
import { clock, el, keepingFocus, line, money, plain, short, sign, toned } from "../dom.js";
import { axis, ticks } from "./axis.js";

/** @typedef {import("./said.js").Bar} Bar */
/** @typedef {import("./said.js").Sums} Sums */
/** @typedef {{bar: Bar, depth: number, children: Branch[], label: string, meta: string, key: string, isGroup?: boolean, backing?: number}} Branch */

const ROWS = 400; // the last rows that are drawn
const MANY = 4; // tasks of one node in one step that stand unfolded
const CUTS = 4; // cuts that are drawn

/** Rows in the order to show: what is inside a row below it, one deeper. @param {Bar[]} rows @returns {Array<Bar & {depth: number}>} */
export function nested(rows) {
  /** @type {Array<Bar & {depth: number}>} */
  const found = [];
  /** @param {Branch} one @param {number} depth */
  const add = (one, depth) => {
    found.push({ ...one.bar, depth });
    for (const inner of one.children) add(inner, depth + 1);
  };
  for (const top of trees(rows)) add(top, 0);
  return found;
}

/** Each row with what is inside it. @param {Bar[]} rows @returns {Branch[]} */
export function trees(rows) {
  /** @type {Map<string, Branch>} */
  const byId = new Map();
  /** @type {Map<string, Branch>} */
  const byTask = new Map();
  const all = rows.filter((row) => row.kind !== "run").map((bar) => {
    const key = [bar.thread, bar.task, bar.step, bar.attempt, bar.kind, bar.id].join("/");
    const made = /** @type {Branch} */ ({ bar, depth: 0, children: [], label: bar.kind === "node" || bar.kind === "attempt" ? bar.node : bar.name, meta: "", key });
    if (bar.id) byId.set(String(bar.id), made);
    if (bar.kind === "node") byTask.set([bar.thread, bar.task, bar.step].join("/"), made);
    return made;
  });
  const tops = [];
  for (const one of all) {
    const { bar } = one;
    const above = (bar.parent ? byId.get(String(bar.parent)) : undefined) ?? (bar.kind === "node" ? undefined : byTask.get([bar.thread, bar.task, bar.step].join("/")));
    if (above && above !== one) above.children.push(one);
    else if (bar.kind === "node") tops.push(one);
  }
  return tops;
}

/** Attempts stand beside the node that went on from them; each says how long it was waited after it. @param {Branch[]} tops @returns {Branch[]} */
function withAttempts(tops) {
  return tops.flatMap((one) => {
    const failed = one.children.filter((inner) => inner.bar.kind === "attempt");
    const rest = withAttempts(one.children.filter((inner) => inner.bar.kind !== "attempt"));
    const ends = [...failed, one];
    const shown = failed.map((inner, place) => ({ ...inner, label: one.label, meta: `attempt ${inner.bar.attempt}`, backing: Math.max(0, ends[place + 1].bar.start - inner.bar.start - inner.bar.duration) }));
    return [...shown, { ...one, children: rest, meta: failed.length ? `attempt ${one.bar.attempt}` : one.meta }];
  });
}

/** Several tasks of one node in one step are one row with them inside. @param {Branch[]} tops @returns {Branch[]} */
function grouped(tops) {
  /** @type {Map<string, Branch[]>} */
  const groups = new Map();
  for (const one of tops) {
    const key = `${one.bar.step}/${one.bar.kind === "node" || one.bar.kind === "attempt" ? one.bar.node : one.key}`;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups].flatMap(([key, all]) => {
    const tasks = all.filter((one) => one.bar.kind === "node");
    if (tasks.length < 2) return all;
    const start = Math.min(...all.map((one) => one.bar.start));
    const end = Math.max(...all.map((one) => one.bar.start + one.bar.duration));
    const status = all.some((one) => one.bar.status === "running") ? "running" : tasks.some((one) => one.bar.status === "error") ? "error" : "ok";
    const bar = { ...tasks[0].bar, start, duration: end - start, status, tokens: null, cost: null };
    return [{ bar, depth: 0, children: all.map((one, place) => ({ ...one, label: `${one.label} #${place + 1}` })), label: tasks[0].bar.node, meta: `${tasks.length} tasks`, key: `group ${key}`, isGroup: true }];
  });
}

/** What a row and all inside it took. @param {Branch} one @param {"tokens" | "cost"} what @returns {number} */
function summed(one, what) {
  return (one.bar[what] || 0) + one.children.reduce((sum, inner) => sum + summed(inner, what), 0);
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
  /** @type {Map<string, boolean>} what a person has folded or unfolded */
  const folds = new Map();
  /** @type {import("./said.js").Answers["timeline"] | null} */
  let data = null;
  let asked = 0;

  function draw() {
    if (!data) return;
    const at = Date.now() / 1000;
    const rows = [...data.rows, ...underWay(now(), at)];
    const scroll = node.scrollTop;
    const { sums, waits } = data;
    keepingFocus(node, () => node.replaceChildren(...chart(rows, sums, waits ?? [], at)));
    node.scrollTop = scroll;
  }

  /** @param {Bar[]} rows @param {Sums} sums @param {Array<[number, number, number]>} waits @param {number} at */
  function chart(rows, sums, waits, at) {
    if (!rows.length) return [el("div", "nba-soft nba-muted nba-empty", "Nothing has run yet. Each attempt of a node becomes a bar here.")];
    const on = axis(rows, at);
    const tops = grouped(withAttempts(trees(rows))).sort((a, b) => a.bar.step - b.bar.step || a.bar.start - b.bar.start);
    const isLarge = rows.length > 120;
    /** @type {Array<Branch | {wait: [number, number, number]}>} */
    const flat = [];
    let left = [...waits];
    /** @param {Branch} one @param {number} depth */
    const add = (one, depth) => {
      flat.push({ ...one, depth });
      if (one.children.length && isOpen(one)) for (const inner of one.isGroup ? one.children : grouped(one.children)) add(inner, depth + 1);
    };
    /** @param {Branch} one */
    const isOpen = (one) => folds.get(one.key) ?? (one.isGroup ? one.children.length <= MANY : !isLarge);
    for (const [place, top] of tops.entries()) {
      add(top, 0);
      const next = tops[place + 1];
      if (next && next.bar.step === top.bar.step) continue;
      const due = left.filter(([from]) => !next || from < next.bar.start);
      left = left.filter((wait) => !due.includes(wait));
      flat.push(...due.map((wait) => ({ wait })));
    }
    const shown = flat.slice(-ROWS);
    const box = el("div", "nba-tl nba-timeline");
    box.setAttribute("role", "tree");
    box.setAttribute("aria-label", "timeline");
    const marks = ticks(on);
    box.style.setProperty("--grid", marks.map(({ at: x }) => `linear-gradient(var(--line),var(--line)) ${x * 100}% 0/1px 100% no-repeat`).join(",") || "none");
    box.append(headRow(marks));
    let step = -1;
    for (const one of shown) {
      if ("wait" in one) {
        box.append(waitRow(one.wait, on));
        continue;
      }
      const isFirst = one.depth === 0 && one.bar.step !== step;
      if (one.depth === 0) step = one.bar.step;
      box.append(rowOf(one, on, isFirst, one.children.length ? isOpen(one) : null));
    }
    const first = box.querySelector("[role=treeitem]");
    if (first instanceof HTMLElement) first.tabIndex = 0;
    const parts = [sumsOf(sums, now()), box];
    if (flat.length > shown.length) parts.push(el("div", "nba-meta", `The last ${shown.length} of ${flat.length} rows are shown.`));
    const said = ["Bars are time at work."];
    if (waits.length) said.push("Hatched amber is time that you took.");
    if (on.cuts.length) said.push(`The axis is shortened where nothing ran: ${on.cuts.map((cut) => clock(cut.seconds)).slice(0, 4).join(", ")}${on.cuts.length > 4 ? ", …" : ""}.`);
    if (sums?.backing) said.push("Dotted is waiting between attempts.");
    parts.push(el("div", "nba-meta", said.join(" ")));
    return parts;
  }

  /** @param {Branch} one @param {ReturnType<typeof axis>} on @param {boolean} isFirst @param {boolean | null} isOpen null: it has nothing inside */
  function rowOf(one, on, isFirst, isOpen) {
    const { bar } = one;
    const status = bar.status === "running" ? "running" : bar.status === "ok" || bar.status === "done" ? "done" : "failed";
    const row = el("div", `nba-r nba-bar-row${isFirst ? " nba-sec nba-bar-first" : ""}`);
    row.style.setProperty("--d", String(one.depth));
    const name = el("span", `nba-nm ${toned(status)}`);
    const isSpan = bar.kind === "span";
    const signed = isOpen !== null ? (isOpen ? "down" : "tw") : isSpan ? kindSign(bar) : { running: "run", done: "done", failed: "failed" }[status];
    const text = el("span", "nba-cut nba-bar-name", one.label);
    if (one.meta) text.append(" ", el("span", "nba-meta", one.meta));
    name.append(el("span", "nba-s nba-num", isFirst ? String(bar.step) : ""), sign(signed), text);
    const track = trackOf(on);
    const kind = status === "failed" ? "fail nba-hatch" : status === "running" ? "work" : "ok";
    track.append(stretch(on, bar.start, bar.start + bar.duration, `nba-k-${kind}${isSpan ? " nba-thin" : ""}`, bar.error ?? ""));
    if (one.backing) track.append(stretch(on, bar.start + bar.duration, bar.start + bar.duration + one.backing, "nba-k-wait nba-open", `waits ${clock(one.backing)}`));
    const [tokens, cost] = [summed(one, "tokens"), summed(one, "cost")];
    row.append(name, track, el("span", "nba-num nba-soft", clock(bar.duration)), el("span", "nba-num nba-soft nba-tok", tokens ? short(tokens) : ""), el("span", "nba-num nba-soft", cost ? money(cost) : ""));
    const said = [one.label, one.meta, `step ${bar.step}`, clock(bar.duration), bar.attempt > 1 ? `attempt ${bar.attempt}` : "", tokens ? `${tokens} tokens` : "", cost ? `cost ${cost}` : "", status === "failed" ? `failed${bar.error ? `: ${bar.error}` : ""}` : status].filter(Boolean).join(", ");
    row.title = plain(said.slice(0, 400));
    treeItem(row, said.slice(0, 400), one.key, one.depth);
    if (isOpen !== null) row.setAttribute("aria-expanded", String(isOpen));
    const turn = (/** @type {boolean} */ open) => {
      folds.set(one.key, open);
      draw();
    };
    row.addEventListener("click", (event) => {
      const isKnob = event.target instanceof Element && event.target.closest(".nba-i") !== null;
      if (isOpen !== null && (isKnob || one.isGroup)) turn(!isOpen);
      else pick(bar);
    });
    row.addEventListener("keydown", (event) => {
      if (event.key === "ArrowRight" && isOpen === false) turn(true);
      else if (event.key === "ArrowLeft" && isOpen) turn(false);
      else if (event.key === "Enter" || event.key === " ") pick(bar);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    return row;
  }

  node.addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1, ArrowLeft: 0, ArrowRight: 0 }[event.key];
    const items = /** @type {HTMLElement[]} */ ([...node.querySelectorAll("[role=treeitem]")]);
    const own = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    if (by === undefined || own < 0) return;
    event.preventDefault();
    event.stopPropagation();
    const next = items[own + by];
    if (!by || !next) return;
    items[own].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });

  return {
    node,
    async refill() {
      const own = ++asked;
      const found = await ask("timeline");
      if (!found || own !== asked) return;
      data = found;
      draw();
    },
  };
}

/** @param {HTMLElement} row @param {string} said @param {string} key @param {number} depth */
function treeItem(row, said, key, depth) {
  row.setAttribute("role", "treeitem");
  row.setAttribute("aria-level", String(depth + 1));
  row.setAttribute("aria-label", plain(said));
  row.tabIndex = -1;
  row.dataset.key = key;
}

/** @param {Bar} bar */
function kindSign(bar) {
  const kind = `${bar.span_kind ?? ""} ${bar.name}`;
  return /llm|chat|model/i.test(kind) ? "bot" : /tool|effect/i.test(kind) ? "tool" : "clock";
}

/** @param {ReturnType<typeof axis>} on */
function trackOf(on) {
  const track = el("span", "nba-tr nba-track");
  for (const cut of [...on.cuts].sort((a, b) => b.seconds - a.seconds).slice(0, CUTS)) {
    const mark = el("i", "nba-cutmark");
    mark.style.left = `${cut.from * 100}%`;
    mark.style.width = `${cut.length * 100}%`;
    track.append(mark);
  }
  return track;
}

/** @param {ReturnType<typeof axis>} on @param {number} from @param {number} to @param {string} kind @param {string} title */
function stretch(on, from, to, kind, title) {
  const [left, right] = [on.place(from), on.place(to)];
  const made = el("u", kind);
  made.style.left = `${left * 100}%`;
  made.style.width = `${Math.max(0, right - left) * 100}%`;
  if (title) made.title = plain(title.slice(0, 300));
  return made;
}

/** @param {ReturnType<typeof ticks>} marks */
function headRow(marks) {
  const row = el("div", "nba-r nba-headrow");
  row.setAttribute("aria-hidden", "true");
  const on = el("span", "nba-ax nba-tr");
  for (const { seconds, at, isNamed } of marks) {
    if (!isNamed) continue;
    const name = el("span", "", seconds ? clock(seconds).replace(/\.0 s$/, " s") : "0 s");
    name.style.left = `${at * 100}%`;
    on.append(name);
  }
  row.append(el("span", "", "step and node"), on, el("span", "nba-num", "time"), el("span", "nba-num nba-tok", "tokens"), el("span", "nba-num", "cost"));
  return row;
}

/** A person's time. @param {[number, number, number]} wait from, to, questions @param {ReturnType<typeof axis>} on */
function waitRow([from, to, count], on) {
  const row = el("div", "nba-r nba-waitrow");
  row.style.setProperty("--d", "1");
  const name = el("span", "nba-nm nba-t-amber");
  const text = el("span", "nba-cut", "you");
  if (count) text.append(" ", el("span", "nba-meta", `${count} ${count === 1 ? "question" : "questions"}`));
  name.append(el("span", "nba-s nba-num"), sign("user"), text);
  const track = trackOf(on);
  const said = `you, ${clock(to - from)}`;
  const end = el("em", "", said);
  end.style.left = `${on.place(to) * 100}%`;
  track.append(stretch(on, from, to, "nba-k-human nba-hatch", said), end);
  row.append(name, track, el("span", "nba-num nba-soft", clock(to - from)), el("span", "nba-num nba-tok"), el("span", "nba-num"));
  treeItem(row, `waiting for you, ${clock(to - from)}`, `wait ${from}`, 1);
  return row;
}

/** The figures above the bars. @param {Sums | undefined} sums @param {import("./said.js").Now} now */
function sumsOf(sums, now) {
  const node = el("div", "nba-sums");
  if (!sums) return node;
  const live = now.status === "waiting" && now.ended ? Math.max(0, Date.now() / 1000 - now.ended) : 0;
  /** @type {Array<[string, string, string]>} */
  const kinds = [[clock(sums.working), "working", "nba-sw nba-k-ok"], [sums.waited + live >= 1 ? clock(sums.waited + live) : "", "waiting for you", "nba-sw nba-k-human nba-hatch"], [sums.backing >= 0.05 ? clock(sums.backing) : "", "backing off", "nba-sw nba-k-wait nba-dots"], [sums.tokens ? short(sums.tokens) : "", "tokens", ""]];
  for (const [figure, word, mark] of kinds) {
    if (!figure) continue;
    const said = line("", ...(mark ? [el("i", mark)] : []), word);
    const one = el("div", "nba-sum");
    const under = el("span");
    under.append(...said.childNodes);
    one.append(el("b", "", figure), under);
    node.append(one);
  }
  if (sums.cost) {
    const share = sums.by_node.slice(0, 3).map(([name, cost]) => `${name} ${Math.round((100 * cost) / sums.cost)}%`);
    const under = el("span", "", share.join(" · ") || "cost");
    const one = el("div", "nba-sum");
    one.append(el("b", "", money(sums.cost)), under);
    node.append(one);
  }
  return node;
}
