// What stands over the graph: how the run stands, whose it is, its figures, and what can be done.
//
// Rule 1: only what applies is shown: buttons of a status, and figures that are not zero.
// @ts-check
import { action, arrange, button, clock, el, keyOf, line, money, plain, short, sign, signOf, textInput, toned } from "../dom.js";
import { menuPart } from "./menu.js";
import { enabled } from "./said.js";
import { folded } from "./values.js";

/** @typedef {import("./said.js").Now} Now */
/** @typedef {import("./said.js").Past} Past */
/** @typedef {import("./said.js").Sums} Sums */

/** Name, key, label, sign and tip of each button. */
const BUTTONS = [
  { name: "pause", key: "p", label: "Pause", signed: "paused", tip: "Pause at the next step boundary (p)" },
  { name: "resume", key: "r", label: "Resume", signed: "next", tip: "Go on from the last checkpoint (r)" },
  { name: "step", key: "s", label: "Step", signed: "tw", tip: "Run one step, then pause (s)" },
  { name: "stop", key: "x", label: "Stop", signed: "stopped", tip: "Stop now; unfinished nodes run again (x)" },
];

/**
 * What must be said about a thread below its header, each with its tone, and with a command where it offers one.
 * @param {Now} now @param {boolean} isGone @returns {Array<[string, string, string?]>}
 */
export function notices(now, isGone) {
  /** @type {Array<[string, string, string?]>} */
  const said = [];
  if (now.notice) said.push(["waiting", now.notice]);
  if (isGone) return said;
  if (now.turn > 1) {
    const again = now.status === "running" ? undefined : "afresh";
    said.push(["running", `This is turn ${now.turn} of the thread, on top of what turn ${now.turn - 1} left.`, again]);
  }
  return said;
}

/**
 * The figures of a run: what each is called, and how much it is. Three kinds of time are never added up.
 * @param {Now} now @param {Sums | null} sums @param {number} at Unix seconds @returns {Array<[string, string, string, string]>} before, figure, after, how soon it goes
 */
export function figures(now, sums, at) {
  /** @type {Array<[string, string, string, string]>} */
  const found = [];
  if (now.status === "new") return found;
  found.push(["step ", String(now.step), "", ""]);
  const working = now.working + (now.busy_since ? Math.max(0, at - now.busy_since) : 0);
  if (working >= 0.05) found.push(["", clock(working), " working", ""]);
  const waited = now.waited + (now.status === "waiting" && now.ended ? Math.max(0, at - now.ended) : 0);
  if (waited >= 1) found.push(["", clock(waited), " waiting for you", ""]);
  if (sums?.tokens) found.push(["", short(sums.tokens), " tokens", "nba-opt2"]);
  if (sums?.cost) found.push(["", money(sums.cost), "", ""]);
  return found;
}

/**
 * @param {{command: (name: string) => void, rename: (title: string) => void, open: (thread: string) => void, fork: () => void, help: () => string}} acts
 */
export function headPart({ command, rename, open, fork, help }) {
  const header = el("div", "nba-head nba-header");
  const title = titlePart({ rename, open });
  const mark = el("span", "nba-st nba-pill");
  mark.setAttribute("role", "status");
  const facts = el("span", "nba-facts");
  const buttons = el("span", "nba-acts nba-buttons");
  const controls = new Map(BUTTONS.map(({ name, label, signed, tip }) => [name, action(label, signed, () => command(name), { tip, key: name })]));
  const again = menuPart(() => action("Run again…", "retrying", () => {}, { tip: "The same input once more", key: "again" }), () => [
    { label: "On top of this, as the next turn", act: () => command("again") },
    { label: "Afresh, without what the thread holds", act: () => command("afresh") },
  ]);
  const more = menuPart(() => action("", "more", () => {}, { kind: "quiet", tip: "More", key: "more" }), () => [
    { label: "Rename", act: () => title.edit() },
    { label: "Fork this thread", act: fork },
    { label: "Keys", act: () => complain(help()) },
  ]);
  const note = el("div", "nba-note nba-t-red nba-s-failed");
  note.setAttribute("role", "alert");
  note.hidden = true;
  const message = el("div", "nba-message");
  header.append(mark, title.node, facts, buttons);
  let said = "";
  let stands = "";
  /** @param {string} name */
  const isPossible = (name) => enabled(stands)[name];
  /** @type {Sums | null} */
  let sums = null;
  let figured = "";

  /** @param {Now} now */
  function tick(now) {
    const found = figures(now, sums, Date.now() / 1000);
    const told = JSON.stringify(found);
    if (told === figured) return;
    figured = told;
    facts.replaceChildren(...found.map(([before, figure, after, soon]) => {
      const one = el("span", soon);
      one.append(before, el("b", "", figure), after);
      return one;
    }));
  }

  /** A sentence until the next command; "" takes it away. @param {string} text @param {HTMLElement} [act] @param {string} [tone] */
  function complain(text, act, tone = "red") {
    note.className = `nba-note nba-t-${tone}`;
    note.hidden = !text;
    const told = el("span", "nba-grow");
    told.append(folded(text));
    note.replaceChildren(...(text ? [sign("lost"), told, ...(act ? [act] : [])] : []));
  }

  return {
    nodes: [header, note, message],
    keys: new Map([
      ...BUTTONS.map(({ name, key }) => /** @type {[string, () => void]} */ ([key, () => isPossible(name) && command(name)])),
      /** @type {[string, () => void]} */ (["?", () => complain(note.hidden ? help() : "")]),
    ]),
    help: BUTTONS.map(({ name, key }) => `${key} ${name}`).join(" · "),
    tick,
    complain,
    /** @param {Sums | null} found */
    sum(found) {
      sums = found;
    },
    /** @param {Now} now @param {Past | null} past @param {boolean} isGone */
    show(now, past, isGone) {
      title.show(now, isGone);
      const status = isGone ? "lost" : now.status;
      const word = isGone ? "kernel gone" : now.status === "new" ? "ready" : now.status;
      if (mark.dataset.said !== word) {
        mark.dataset.said = word;
        mark.className = `nba-st nba-pill ${toned(status)}`;
        mark.replaceChildren(sign(signOf(status)), plain(word));
      }
      stands = isGone ? "" : now.status;
      const can = enabled(now.status);
      const shown = isGone ? [] : BUTTONS.filter(({ name }) => can[name] && now.status !== "failed");
      const wanted = shown.map(({ name }) => /** @type {HTMLElement} */ (controls.get(name)));
      controls.get("resume")?.classList.toggle("nba-go", now.status === "paused" || now.status === "stopped");
      if (now.status === "done" && !isGone) wanted.push(again);
      arrange(buttons, isGone ? wanted : [...wanted, more]);
      tick(now);
      const due = notices(now, isGone);
      if (said === JSON.stringify(due)) return;
      said = JSON.stringify(due);
      message.replaceChildren(...due.map(([tone, text, act]) => {
        const told = el("span", "nba-grow");
        told.append(folded(text));
        const one = line(`nba-note nba-notice ${toned(tone)}${tone === "running" ? " nba-turn" : ""}`, sign(signOf(tone)), told);
        if (act) one.append(button("Start afresh", "nba-lnk", () => command(act), "The same input again, without what the thread holds; the history keeps it"));
        return one;
      }));
    },
  };
}

/**
 * The graph and the title, and a pencil. It is drawn anew only when it changes, so that a new one can be typed.
 * @param {{rename: (title: string) => void, open: (thread: string) => void}} acts
 */
function titlePart({ rename, open }) {
  const node = el("span", "nba-name nba-title");
  const pencil = action("", "pen", edit, { kind: "quiet", tip: "Give the thread a title", key: "rename" });
  pencil.classList.add("nba-rename");
  /** @type {Now | null} */
  let now = null;
  let drawn = "";
  let isGone = false;

  function draw() {
    if (!now) return;
    const { parent } = now;
    node.replaceChildren();
    if (parent) node.append(button(`${parent} ›`, "nba-lnk", () => open(parent), "Back to the thread above"));
    node.append(el("span", "", now.graph), el("span", "nba-soft nba-slash", " / "), el("span", "nba-cut", now.title || now.thread));
    if (now.title) node.append(el("span", "nba-meta nba-opt nba-opt2", now.thread));
    node.title = plain(now.thread);
    if (!isGone) node.append(pencil);
  }

  function edit() {
    const input = textInput("nba-input", "title", now?.thread);
    input.type = "text";
    input.value = now?.title ?? "";
    input.addEventListener("keydown", (event) => {
      const key = keyOf(event);
      if (key === "Enter") rename(input.value.trim());
      if (key === "Escape") draw();
    });
    input.addEventListener("blur", draw);
    node.replaceChildren(input);
    input.focus();
  }

  return {
    node,
    edit,
    /** @param {Now} state @param {boolean} gone */
    show(state, gone) {
      now = state;
      const named = JSON.stringify([state.parent, state.graph, state.title, state.thread, gone]);
      isGone = gone;
      if (named !== drawn) draw();
      drawn = named;
    },
  };
}
