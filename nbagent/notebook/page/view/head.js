// What stands over the graph: whose run it is, how it stands, the buttons, and what must be said.
// @ts-check
import { button, clock, el, keyOf, plain, textInput, toned, worded } from "../dom.js";
import { enabled } from "./said.js";
import { folded } from "./values.js";

/** @typedef {import("./said.js").Now} Now */
/** @typedef {import("./said.js").Past} Past */

/** Name, key, label and tip of each button. */
const BUTTONS = [
  { name: "pause", key: "p", label: "Pause", tip: "Pause on the next super-step boundary (p)" },
  { name: "step", key: "s", label: "Step", tip: "Run one super-step, then pause (s)" },
  { name: "resume", key: "r", label: "Resume", tip: "Go on from the last checkpoint (r)" },
  { name: "stop", key: "x", label: "Stop", tip: "Stop now; unfinished nodes run again at resume (x)" },
];

/**
 * What must be said about a thread, each with its class, and with a command where it offers one.
 * @param {Now} now @param {Past | null} past @param {boolean} isGone @returns {Array<[string, string, string?]>}
 */
export function notices(now, past, isGone) {
  /** @type {Array<[string, string, string?]>} */
  const said = [];
  if (past) {
    const note = past.note ? ` “${past.note}”` : "";
    said.push(["nba-notice nba-looking", `You look at checkpoint ${past.checkpoint}, after super-step ${past.step}.${note}`]);
  }
  if (now.notice) said.push(["nba-notice", now.notice]);
  if (now.error) said.push(["nba-error", now.error]);
  if (isGone) return said;
  if (now.turn > 1) {
    const again = now.status === "running" ? undefined : "afresh";
    said.push(["nba-notice nba-turn", `This is turn ${now.turn} of the thread, on top of what turn ${now.turn - 1} left. `, again]);
  }
  if (now.status === "waiting") {
    said.push(["nba-notice", "It waits for an answer; nothing runs. The form is below."]);
  } else if (now.status === "paused" || now.status === "stopped") {
    const next = now.next.length ? ` Next: ${now.next.join(", ")}.` : "";
    said.push(["nba-notice", `It is ${now.status}.${next} Fields can be corrected below.`]);
  }
  return said;
}

/** How far a run is, and how long it took. @param {Now} now @param {number} at Unix seconds */
export function progress(now, at) {
  if (now.status === "new") return "not started";
  const end = now.ended || (now.status === "running" ? at : 0);
  const took = now.started && end ? ` · ${clock(Math.max(0, end - now.started))}` : "";
  return `super-step ${now.step}${took}`;
}

/**
 * @param {{command: (name: string) => void, rename: (title: string) => void, open: (thread: string) => void}} acts
 */
export function headPart({ command, rename, open }) {
  const header = el("div", "nba-header");
  const title = titlePart({ rename, open });
  const pill = el("span", "nba-pill");
  pill.setAttribute("role", "status");
  const facts = el("span", "nba-muted nba-facts");
  const buttons = el("span", "nba-buttons");
  const controls = new Map(BUTTONS.map(({ name, label, tip }) => [name, button(label, "nba-button", () => command(name), tip)]));
  buttons.append(...controls.values());
  header.append(title.node, title.pencil, pill, facts, buttons);
  const note = el("div", "nba-error");
  note.setAttribute("role", "alert");
  note.hidden = true;
  const message = el("div", "nba-message");
  let said = "";

  /** @param {Now} now */
  function tick(now) {
    facts.textContent = progress(now, Date.now() / 1000);
  }

  return {
    nodes: [header, note, message],
    keys: new Map(BUTTONS.map(({ name, key }) => [key, () => controls.get(name)?.click()])),
    help: BUTTONS.map(({ name, key }) => `${key} ${name}`).join(" · "),
    tick,
    /** @param {Now} now @param {Past | null} past @param {boolean} isGone */
    show(now, past, isGone) {
      title.show(now, isGone);
      const word = worded(now.status);
      if (pill.textContent !== word) {
        pill.className = `nba-pill ${toned(now.status)}`;
        pill.textContent = word;
      }
      const can = enabled(now.status);
      for (const [name, one] of controls) one.disabled = isGone || !can[name];
      tick(now);
      const due = notices(now, past, isGone);
      if (said === JSON.stringify(due)) return;
      said = JSON.stringify(due);
      message.replaceChildren(...due.map(([className, text, act]) => {
        const line = el("div", className);
        line.append(folded(text));
        if (act) line.append(button("Start afresh", "nba-link", () => command(act), "The same input again, without what the thread holds; the history keeps it"));
        return line;
      }));
    },
    /** A sentence until the next command; "" takes it away. @param {string} text @param {HTMLElement} [act] */
    complain(text, act) {
      note.hidden = !text;
      note.replaceChildren(folded(text), ...(act ? [" ", act] : []));
    },
  };
}

/**
 * The title, and its pencil. It is drawn anew only when it changes, so that a new one can be typed.
 * @param {{rename: (title: string) => void, open: (thread: string) => void}} acts
 */
function titlePart({ rename, open }) {
  const node = el("span", "nba-title");
  const pencil = button("✎", "nba-link nba-rename", edit, "Give the thread a title");
  /** @type {Now | null} */
  let now = null;
  let drawn = "";

  function draw() {
    if (!now) return;
    const { parent } = now;
    node.replaceChildren();
    if (parent) node.append(button(`${parent} ›`, "nba-link", () => open(parent), "Back to the thread above"), " ");
    node.append(plain(`${now.graph} · ${now.title || now.thread}`));
    node.title = plain(now.thread);
  }

  function edit() {
    const input = textInput("nba-input", "title", now?.thread);
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
    pencil,
    /** @param {Now} state @param {boolean} isGone */
    show(state, isGone) {
      now = state;
      pencil.hidden = isGone;
      const named = JSON.stringify([state.parent, state.graph, state.title, state.thread]);
      if (named !== drawn) draw();
      drawn = named;
    },
  };
}
