// What counts at this moment: what is said, asked, failed or done, and below it what each node did.
//
// Rule 1: nothing that needs a person is behind a click: questions, failures and the result stand
//         first, in one place.
// Rule 2: a part is drawn anew only where it changed; the form's element is never moved while it
//         is shown, so that nobody loses what is being typed.
// @ts-check
import { action, arrange, button, clock, el, keepingFocus, line, sign, statusMark } from "../dom.js";
import { card, printed } from "./card.js";
import { failureCard } from "./failure.js";
import { streamsPart } from "./stream.js";
import { oneLine, tree } from "./values.js";

/** @typedef {import("./said.js").Now} Now */
/** @typedef {import("./said.js").Past} Past */
/** @typedef {import("./said.js").NodeState} NodeState */
/** @typedef {import("./said.js").Told} Told */

const LINES = 40; // nodes that have a line of their own
const DONE = 12; // and of those that are done, unless a person asks for all
const CARDS = 6; // failures that have a card of their own

/**
 * @param {{
 *   now: () => Now, past: () => Past | null, checkpoint: () => number | null, ask: import("./said.js").Ask,
 *   open: (thread: string) => void, command: (name: string) => void, pick: (name: string) => void, picked: () => string | null,
 * }} given
 */
export function nowPart({ now, past, checkpoint, ask, open, command, pick, picked }) {
  const node = el("div", "nba-nowpane");
  const streams = streamsPart();
  const main = el("div", "nba-block");
  const form = el("div", "nba-formplace");
  const chosen = el("div", "nba-block");
  const lines = el("div", "nba-lines");
  node.append(main, form, streams.node, chosen, lines);
  let isEditing = false;
  let isUnfolded = false;
  /** What the kernel knows of failures: node -> what. @type {Map<string, {said: string, told: Told | null}>} */
  const told = new Map();
  /** @type {{node: string, at: number | null, rows: import("./said.js").Row[]}} */
  let reads = { node: "", at: null, rows: [] };
  /** @type {Map<string, string>} */
  const drawn = new Map();

  /** Draw a part if what it says has changed. @param {HTMLElement} place @param {string} key @param {unknown} said @param {() => HTMLElement[]} draw */
  function once(place, key, said, draw) {
    const text = JSON.stringify(said);
    if (drawn.get(key) === text) return;
    drawn.set(key, text);
    const unfolded = place.querySelector(".nba-trace[open]") !== null;
    keepingFocus(place, () => place.replaceChildren(...draw()));
    const trace = place.querySelector(".nba-trace");
    if (unfolded && trace instanceof HTMLDetailsElement) trace.open = true;
  }

  /** What failed, with the facts that the kernel has. @param {string[]} failed */
  function learn(failed) {
    for (const name of failed) {
      const said = JSON.stringify(now().nodes[name].failure);
      if (told.get(name)?.said === said) continue;
      told.set(name, { said, told: null });
      void ask("failure", { node: name }).then((found) => {
        if (told.get(name)?.said !== said) return;
        told.set(name, { said, told: found });
        showMain();
      });
    }
  }

  function showMain() {
    const { status, nodes, error } = now();
    const failed = status === "failed" ? failedOf(now()) : [];
    if (status !== "failed") isEditing = false;
    learn(failed.slice(0, CARDS));
    const facts = failed.map((name) => [name, nodes[name].failure, nodes[name].duration, told.get(name)?.told ?? null]);
    const values = status === "done" ? results(now()) : [];
    once(main, "main", [status, error, facts, values, isEditing, now().next, past()?.checkpoint ?? null], () => {
      const at = past();
      if (at) return [stepBlock(at)];
      if (status === "failed") return failures(failed, error);
      if (status === "paused" || status === "stopped") return [restBlock(now())];
      if (status === "done") return [resultBlock(values)];
      if (status === "new") return [el("div", "nba-soft nba-empty", "It has not been started yet.")];
      return [];
    });
  }

  /** @param {string[]} failed @param {string} error */
  function failures(failed, error) {
    const retry = () => command("resume");
    const edit = () => {
      isEditing = !isEditing;
      showMain();
      if (isEditing) unfoldForm(form);
    };
    const cards = failed.slice(0, CARDS).map((name) => failureCard(name, now().nodes[name], told.get(name)?.told ?? null, { retry, edit, isEditing, isOne: failed.length === 1 }));
    if (failed.length > 1) {
      const all = action("Retry all", "retrying", retry, { kind: isEditing ? "" : "go", tip: "Run what has not finished again (r)", key: "retry" });
      const more = failed.length > CARDS ? `, ${CARDS} of them are shown` : "";
      cards.unshift(line("nba-row", el("span", "nba-soft", `${failed.length} nodes failed${more}`), el("span", "nba-grow"), all));
    }
    if (cards.length) return cards;
    const box = el("section", "nba-card nba-on nba-t-red nba-failed");
    const again = line("nba-row", action("Retry", "retrying", retry, { kind: "go", tip: "Go on from the last checkpoint (r)", key: "retry" }));
    const body = line("nba-card-body", el("div", "nba-mono nba-cause", error), again);
    box.append(line("nba-card-head", statusMark("failed")), body);
    return [box];
  }

  function showPicked() {
    const name = picked();
    const all = past() ?? now();
    const state = name ? all.nodes[name] : undefined;
    const read = name && reads.node === name && reads.at === checkpoint() ? reads.rows : [];
    const said = name ? text(name) : "";
    once(chosen, "picked", [name, state, read, said.length], () => {
      if (!name || !state) return [];
      return [card(name, state, { reads: read, said, open, close: () => pick(name) })];
    });
  }

  /** What a node has said, where it has ended. @param {string} name */
  function text(name) {
    return Object.values(streams.all()).filter((one) => one.node === name && one.ended && one.prose).map((one) => one.text).join("\n\n");
  }

  function showLines() {
    const all = past() ?? now();
    const at = Date.now() / 1000;
    const { open: opened } = past() ? { open: new Set() } : streams.show(at);
    streams.node.hidden = past() !== null || !opened.size;
    const streaming = new Set(Object.entries(streams.all()).filter(([key]) => opened.has(key)).map(([, one]) => one.node));
    const carded = new Set(all === now() && now().status === "failed" ? failedOf(now()).slice(0, CARDS) : []);
    const due = Object.entries(all.nodes).filter(([name, one]) => isTold(one) && !(streaming.has(name) && one.total <= 1) && name !== picked() && !carded.has(name));
    due.sort(([, a], [, b]) => urgency(a) - urgency(b) || b.step - a.step || b.since - a.since);
    const done = due.filter(([, one]) => urgency(one) === 2);
    const folded = !isUnfolded && done.length > DONE ? done.splice(DONE - 4) : [];
    if (folded.length) due.splice(due.length - folded.length, folded.length);
    const rows = due.slice(0, LINES).map(([name, one]) => [name, one.status, one.finished, one.total, one.runs, one.step, one.duration, one.writes.length, one.warning, one.attempt, one.printed.length, one.cached, picked()]);
    once(lines, "lines", [rows, due.length, folded.length], () => [
      ...due.slice(0, LINES).flatMap(([name, one]) => lineOf(name, one)),
      ...(folded.length ? [foldedLine(folded)] : []),
      ...(due.length > LINES ? [line("", el("span", "nba-soft", `… ${due.length - LINES} more`))] : []),
    ]);
    lines.hidden = !due.length;
    tickLines(at);
  }

  /** @param {Array<[string, NodeState]>} done */
  function foldedLine(done) {
    const times = done.map(([, one]) => one.duration ?? 0);
    const took = Math.max(...times) ? `, ${clock(Math.min(...times))} to ${clock(Math.max(...times))}` : "";
    const all = button(`${done.length} more done${took}`, "nba-lnk", () => {
      isUnfolded = true;
      showLines();
    });
    all.dataset.key = "more done";
    return line("", all);
  }

  /** @param {string} name @param {NodeState} one */
  function lineOf(name, one) {
    const row = line("nba-line", statusMark(one.status === "done" && one.cached ? "cached" : one.status, ""));
    const head = button("", "nba-plainkey", () => pick(name), `Look at ${name}`);
    head.dataset.key = `line ${name}`;
    head.append(el("b", "nba-cut", name));
    if (one.total > 1) head.append(el("span", "nba-meta", ` ${one.finished}/${one.total}`));
    head.setAttribute("aria-label", `${name}, ${one.status}`);
    row.append(head, el("span", "nba-soft nba-cut nba-grow", summary(one)));
    const time = el("span", "nba-meta nba-num", [one.step ? `step ${one.step}` : "", one.duration !== null ? clock(one.duration) : ""].filter(Boolean).join(" · "));
    time.dataset.node = one.status === "running" || one.status === "retrying" ? name : "";
    row.append(time);
    /** @type {HTMLElement[]} */
    const made = [row];
    if (one.warning) made.push(line("nba-note nba-warning nba-t-amber", sign("lost"), el("span", "nba-grow", one.warning)));
    if (one.printed && !picked() && (one.status === "running" || one.status === "failed")) made.push(printed(name, one.printed));
    return made;
  }

  /** @param {number} at */
  function tickLines(at) {
    for (const time of lines.querySelectorAll("[data-node]")) {
      const one = time instanceof HTMLElement && time.dataset.node ? now().nodes[time.dataset.node] : undefined;
      if (!one) continue;
      const left = one.status === "retrying" ? one.retry_at - at : 0;
      time.textContent = left > 0 ? `again in ${clock(left)}, attempt ${one.attempt}` : one.since ? clock(Math.max(0, at - one.since)) : "";
    }
  }

  function show() {
    showMain();
    showPicked();
    showLines();
  }

  return {
    node,
    form,
    show,
    streams,
    /** The question, the failure: what a tab beside `Now` should say. @param {Now} state @returns {[string, string]} text and tone */
    mark(state) {
      if (state.status === "waiting") {
        const count = state.questions.length || 1;
        return [`${count} ${count === 1 ? "question" : "questions"}`, "nba-t-amber"];
      }
      return ["", { running: "nba-t-blue", failed: "nba-t-red" }[state.status] ?? ""];
    },
    tick() {
      const at = Date.now() / 1000;
      streams.tick(at);
      tickLines(at);
    },
    /** What the picked node read, once the kernel has said it. */
    async learn() {
      const [name, at] = [picked(), checkpoint()];
      const state = name === null ? undefined : (past() ?? now()).nodes[name];
      if (!name || !state) return showPicked();
      const found = await ask("reads", { node: name, checkpoint: at, has_ended: at !== null || state.status === "done" });
      if (!found || picked() !== name || checkpoint() !== at) return;
      reads = { node: name, at, rows: found.reads };
      showPicked();
    },
    forget() {
      streams.forget();
      told.clear();
      drawn.clear();
    },
  };
}

/** Open the fields of a form that stands folded. @param {HTMLElement} place */
function unfoldForm(place) {
  const folds = place.querySelector("details.nbf-others");
  if (folds instanceof HTMLDetailsElement) folds.open = true;
  const first = place.querySelector("input, textarea, select");
  if (first instanceof HTMLElement) first.focus({ preventScroll: true });
}

/** The nodes that have failed. @param {Now} now */
function failedOf({ nodes }) {
  return Object.keys(nodes).filter((name) => nodes[name].status === "failed" || (nodes[name].failure && nodes[name].status !== "done"));
}

/** @param {NodeState} one */
function isTold(one) {
  return one.now || !["idle", "skipped", "queued"].includes(one.status) || Boolean(one.printed && one.runs);
}

/** @param {NodeState} one */
function urgency(one) {
  return { failed: 0, waiting: 0, retrying: 1, running: 1 }[one.status] ?? 2;
}

/** What a node wrote, in a line. @param {NodeState} one */
export function summary(one) {
  if (one.failure && one.status !== "done") return `${one.failure.type}: ${oneLine(one.failure.message)}`;
  if (one.status === "cancelled") return "stopped; it runs again";
  if (one.status === "waiting") return "asks";
  return one.writes.map(([field, value]) => `${field}: ${brief(value)}`).join(" · ");
}

/** @param {import("./said.js").Preview} value */
function brief(value) {
  if (value.items) return String(value.items.length + (value.more ?? 0));
  return oneLine(value.kind === "table" ? value.text : String(value.text));
}

/** The fields that count when all is done: those that the last step wrote. @param {Now} now @returns {import("./said.js").Row[]} */
export function results(now) {
  const named = now.changes.map((change) => change.field).filter((field) => Object.hasOwn(now.values, field));
  return (named.length ? named : Object.keys(now.values)).slice(0, 12).map((field) => [field, now.values[field]]);
}

/** @param {import("./said.js").Row[]} rows */
function resultBlock(rows) {
  const box = el("section", "nba-framed nba-result");
  box.setAttribute("aria-label", "result");
  const body = el("div", "nba-framed-body");
  for (const [field, value] of rows) body.append(line("nba-row nba-pair", el("span", "nba-key", field), tree(value, true)));
  if (!rows.length) body.append(el("div", "nba-soft", "It is done, and wrote nothing."));
  const head = el("header");
  head.append(statusMark("done"), el("b", "", "result"));
  box.append(head, body);
  return box;
}

/** @param {Now} now */
function restBlock(now) {
  const box = el("div", "nba-big");
  box.append(statusMark(now.status), el("span", "nba-soft", `${now.next.length ? `Next: ${now.next.join(", ")}. ` : ""}Nothing runs; fields can be corrected here before it goes on.`));
  return box;
}

/** @param {Past} past */
function stepBlock(past) {
  const note = past.note ? ` “${past.note}”` : "";
  return line("nba-row", sign("clock", "nba-soft"), el("span", "nba-soft", `As it stood after step ${past.step}.${note}`));
}
