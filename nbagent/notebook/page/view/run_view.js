// The live view of a thread. It draws what the kernel's RunModel says, sends buttons back, and
// asks the kernel for what lies in the past.
//
// Rule 1: text from the state is only ever set with textContent.
// Rule 2: a patch draws only what it names; the graph is drawn once.
// Rule 3: `past` is a checkpoint that the person looks at; without one, the view shows now.
// @ts-check
import { button, clock, el, isTyping, toned, worded } from "../dom.js";
import { card } from "./card.js";
import { drawGraph, markNode } from "./graph.js";
import { drawHistory } from "./history.js";
import { replayStrip, statePanel } from "./state.js";
import { drawTimeline } from "./timeline.js";
import { changeRow } from "./values.js";

const QUIET = 3000; // milliseconds without a word from a run that is running
const PATIENCE = 30000; // milliseconds that an answer may take: the kernel may be busy
const TABS = ["Changes", "State", "Timeline", "History"];
const KEYS = "p pause · s step · r resume · x stop · ← → look at another super-step · Esc now · / search · 1–4 tabs";

/** Which buttons make sense in a status. @param {string} status */
export function enabled(status) {
  const running = status === "running";
  const resumable = status === "paused" || status === "stopped" || status === "failed";
  return { pause: running, step: resumable, resume: resumable, stop: running };
}

/** A patch taken in: parts of `nodes` and `values` replace what they name. @param {any} state @param {any} patch */
export function merged(state, patch) {
  const made = { ...state, ...patch };
  for (const name of ["nodes", "values"]) {
    if (!patch[name] || patch.whole) continue;
    made[name] = { ...state[name], ...patch[name] };
    for (const [key, value] of Object.entries(patch[name])) if (value === null) delete made[name][key];
  }
  return made;
}

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el: root }) {
  /** @type {any} */
  let state = { ...model.get("snapshot") };
  /** @type {any} */
  let past = null;
  /** @type {string | null} */
  let picked = null;
  let tab = "Changes";
  let gone = false;
  let heard = Date.now();
  /** @type {any} */
  let history = null;
  let against = 0;
  let titled = "";
  /** @type {{node: string, at: number, rows: any[]}} */
  let reads = { node: "", at: 0, rows: [] };
  root.classList.add("nba-root");
  root.setAttribute("data-lm-suppress-shortcuts", "true");
  root.tabIndex = 0;
  root.setAttribute("role", "region");

  const hide = document.createElement("style");
  hide.textContent = `[data-nbagent-static="${CSS.escape(model.get("uid"))}"]{display:none}`;
  document.head.append(hide);

  // ------------------------------------------------------------------------------ talking

  /** @type {Map<number, (answer: any) => void>} */
  const waiting = new Map();
  let asked = 0;
  /** Ask the kernel; null when it has no answer, and then the reason is shown. @param {string} what @param {object} [args] @returns {Promise<any>} */
  function ask(what, args = {}) {
    const id = ++asked;
    return new Promise((resolve) => {
      waiting.set(id, resolve);
      setTimeout(() => waiting.delete(id) && resolve(null), PATIENCE);
      tell({ type: "ask", id, what, ...args });
    });
  }

  /** @param {object} content */
  function tell(content) {
    try {
      model.send(content);
    } catch (error) {
      lost();
    }
  }

  /** @param {string} text */
  function complain(text) {
    note.hidden = !text;
    note.textContent = text;
  }

  /** @param {string} name @param {object} [args] */
  function command(name, args = {}) {
    complain("");
    tell({ type: "command", name, ...args });
  }

  // ------------------------------------------------------------------------------ the page

  const header = el("div", "nba-header");
  const title = el("span", "nba-title");
  const pill = el("span", "nba-pill");
  pill.setAttribute("role", "status");
  const facts = el("span", "nba-muted nba-facts");
  const buttons = el("span", "nba-buttons");
  /** @type {Record<string, HTMLButtonElement>} */
  const controls = {};
  for (const [name, label, tip] of [
    ["pause", "Pause", "Pause on the next super-step boundary (p)"],
    ["step", "Step", "Run one super-step, then pause (s)"],
    ["resume", "Resume", "Go on from the last checkpoint (r)"],
    ["stop", "Stop", "Stop now; unfinished nodes run again at resume (x)"],
  ]) {
    controls[name] = button(label, "nba-button", () => command(name), tip);
    buttons.append(controls[name]);
  }
  const pencil = button("✎", "nba-link nba-rename", rename, "Give the thread a title");
  header.append(title, pencil, pill, facts, buttons);
  const note = el("div", "nba-error");
  note.setAttribute("role", "alert");
  note.hidden = true;
  const message = el("div", "nba-message");
  const strip = replayStrip({ go: look, live });
  const body = el("div", "nba-main");
  const left = el("div", "nba-left");
  const right = el("div", "nba-right");
  const tabs = el("div", "nba-tabs");
  tabs.setAttribute("role", "tablist");
  const panels = /** @type {Record<string, HTMLElement>} */ ({});
  const statePart = statePanel(ask);
  for (const [index, name] of TABS.entries()) {
    const made = button(name, "nba-tab", () => turn(name), `${name} (${index + 1})`);
    made.setAttribute("role", "tab");
    made.dataset.tab = name;
    tabs.append(made);
    panels[name] = name === "State" ? statePart.node : el("div");
    panels[name].setAttribute("role", "tabpanel");
    panels[name].setAttribute("aria-label", name);
    panels[name].classList.add("nba-panel");
    panels[name].tabIndex = 0;
    right.append(panels[name]);
  }
  right.prepend(tabs);
  const holder = el("div", "nba-holder");
  /** @type {ReturnType<typeof drawGraph>} */
  let graph;
  function redrawGraph() {
    graph = drawGraph(model.get("drawing"), (name) => {
      picked = picked === name ? null : name;
      showNodes(null);
      if (picked) showReads(picked);
    });
    left.replaceChildren(graph.root, holder);
  }
  redrawGraph();
  const foot = el("div", "nba-foot");
  const code = el("code", "nba-code");
  const copy = button("Copy", "nba-link", () => navigator.clipboard && navigator.clipboard.writeText(code.textContent || ""), "Copy this line of Python");
  foot.append(el("span", "nba-muted", "In Python:"), code, copy);
  body.append(left, right);
  root.append(header, note, message, strip.node, body, foot);
  foot.title = KEYS;

  // ------------------------------------------------------------------------------ drawing

  const shown = () => past || state;

  function tick() {
    const end = state.ended || (state.status === "running" ? Date.now() / 1000 : 0);
    const took = state.started && end ? ` · ${clock(Math.max(0, end - state.started))}` : "";
    facts.textContent = state.status === "new" ? "not started" : `super-step ${state.step}${took}`;
  }

  function showHead() {
    const named = [state.parent, state.graph, state.title, state.thread, gone].join("\n");
    if (named !== titled) showTitle();
    titled = named;
    root.setAttribute("aria-label", `agent ${state.graph}, thread ${state.thread}. Keys: ${KEYS}`);
    const look = `nba-pill ${toned(state.status)}`;
    const word = worded(state.status);
    if (pill.textContent !== word) {
      pill.className = look;
      pill.textContent = word;
    }
    const can = /** @type {Record<string, boolean>} */ (enabled(state.status));
    for (const [name, one] of Object.entries(controls)) one.disabled = gone || !can[name];
    tick();
    message.replaceChildren();
    if (past) {
      const said = `You look at checkpoint ${past.checkpoint}, after super-step ${past.step}.${past.note ? ` “${past.note}”` : ""}`;
      message.append(el("div", "nba-notice nba-looking", said));
    }
    if (state.notice) message.append(el("div", "nba-notice", state.notice));
    if (state.error) message.append(el("div", "nba-error", state.error));
    if (!gone && state.status === "waiting") {
      message.append(el("div", "nba-notice", "It waits for an answer; nothing runs. The form is below."));
    } else if (!gone && (state.status === "paused" || state.status === "stopped")) {
      const next = state.next.length ? ` Next: ${state.next.join(", ")}.` : "";
      message.append(el("div", "nba-notice", `It is ${state.status}.${next} Fields can be corrected below.`));
    }
    const where = past ? `super-step ${past.step} · ${past.index + 1} of ${past.total}` : `${state.count} checkpoints`;
    strip.show(gone ? 0 : past ? past.total : state.count, past ? past.index : null, where);
    foot.hidden = !state.code;
    if (code.textContent !== state.code) code.textContent = state.code;
  }

  function showTitle() {
    title.replaceChildren();
    if (state.parent) title.append(button(`${state.parent} ›`, "nba-link", () => command("open", { thread: state.parent }), "Back to the thread above"), " ");
    title.append(`${state.graph} · ${state.title || state.thread}`);
    title.title = state.thread;
    pencil.hidden = gone;
  }

  function rename() {
    const input = /** @type {HTMLInputElement} */ (el("input", "nba-input"));
    input.value = state.title;
    input.placeholder = state.thread;
    input.setAttribute("aria-label", "title");
    input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter") ask("rename", { title: input.value.trim() });
      if (event.key === "Enter" || event.key === "Escape") titled = "";
      if (event.key === "Escape") showHead();
    });
    input.addEventListener("blur", () => {
      titled = "";
      showHead();
    });
    title.replaceChildren(input);
    input.focus();
  }

  /** @param {Set<string> | null} changed the nodes to draw; null: all */
  function showNodes(changed) {
    const { nodes, taken } = shown();
    const lit = new Set(taken.map((/** @type {string[]} */ edge) => edge.join("\n")));
    for (const { key, group } of graph.wires) group.classList.toggle("nba-taken", lit.has(key));
    for (const name of changed || graph.boxes.keys()) {
      const box = graph.boxes.get(name);
      if (box && nodes[name]) markNode(box, name, nodes[name], picked === name);
    }
    const worst = () => Object.keys(nodes).find((name) => nodes[name].failure || nodes[name].warning);
    const name = picked ?? worst();
    const own = holder.dataset.node || "";
    if (changed && name === own && !changed.has(own)) return;
    holder.dataset.node = name || "";
    const unfolded = holder.querySelector("details[open] > pre") !== null;
    const read = reads.node === name && reads.at === (past ? past.checkpoint : 0) ? reads.rows : [];
    const made = name && nodes[name]
      ? [card(name, { ...nodes[name], reads: read }, { open: (thread) => command("open", { thread }), close: picked ? () => { picked = null; showNodes(null); } : undefined })]
      : [];
    holder.replaceChildren(...made);
    const trace = holder.querySelector("details:has(> pre)");
    if (unfolded && trace instanceof HTMLDetailsElement) trace.open = true;
  }

  /** What the node read, once the kernel has said it. @param {string} name */
  async function showReads(name) {
    const checkpoint = past ? past.checkpoint : 0;
    const node = shown().nodes[name];
    const ended = Boolean(past) || node.status === "done";
    const found = await ask("reads", { node: name, checkpoint: checkpoint || null, has_ended: ended });
    if (!found || picked !== name) return;
    reads = { node: name, at: checkpoint, rows: found.reads };
    showNodes(null);
  }

  function showChanges() {
    const { changes, changed_in: step, compared } = shown();
    const heading = compared
      ? `Checkpoint ${compared[0]} → ${compared[1]}`
      : step ? `Changed in super-step ${step}` : past && past.kind !== "step" ? `Set by the ${past.kind}` : "Changes";
    panels.Changes.replaceChildren(el("h4", "", heading));
    for (const change of changes) panels.Changes.append(changeRow(change));
    if (changes.length) return;
    const said = compared ? "The two are equal." : step ? "Nothing." : "What each super-step changes appears here.";
    panels.Changes.append(el("div", "nba-muted nba-empty", said));
  }

  /** @param {string} name */
  function turn(name) {
    tab = name;
    for (const made of tabs.querySelectorAll("button")) {
      const own = made.dataset.tab === name;
      made.setAttribute("aria-selected", String(own));
      made.tabIndex = own ? 0 : -1;
    }
    for (const [key, panel] of Object.entries(panels)) panel.hidden = key !== name;
    refill();
  }

  let filling = 0;
  let due = false;
  /** Fetch what the open tab shows of the past, at most twice a second. */
  async function refill() {
    if (gone || (tab !== "Timeline" && tab !== "History")) return;
    if (filling) {
      due = true;
      return;
    }
    filling = window.setTimeout(() => {
      filling = 0;
      if (due) refill();
      due = false;
    }, 500);
    if (tab === "Timeline") {
      const found = await ask("timeline");
      if (found && tab === "Timeline") {
        drawTimeline(panels.Timeline, [...found.rows, ...under(found.rows)], Date.now() / 1000, (row) => {
          picked = graph.boxes.has(row.node) ? row.node : picked;
          showNodes(null);
          if (row.step && row.status !== "running") look(null, { step: row.step });
        });
      }
    } else {
      history = (await ask("history", { limit: history ? Math.max(200, history.rows.length) : 200 })) || history;
      if (history) showHistory();
    }
  }

  /** Bars for the nodes that run at this moment. @param {any[]} rows */
  function under(rows) {
    const now = Date.now() / 1000;
    const live = Object.entries(state.nodes).filter(([, node]) => node.status === "running");
    return live.map(([name, node]) => ({
      thread: state.thread, step: state.step, node: name, task: `${name} now`, attempt: node.attempt, kind: "node", name,
      start: node.since, duration: Math.max(0, now - node.since), status: "running", id: rows.length,
    }));
  }

  function showHistory() {
    const at = { shown: past ? past.checkpoint : history.rows.length ? history.latest : 0, against, isUnder: Boolean(state.parent) };
    drawHistory(panels.History, history, at, {
      look: (id) => look(null, { checkpoint: id }),
      fork: (id) => command("fork", { checkpoint: id }),
      branch: (id) => {
        past = null;
        command("branch", { checkpoint: id });
        showAll();
      },
      compare: (id) => {
        against = against === id ? 0 : id;
        showHistory();
      },
      annotate: async (id, text) => {
        await ask("annotate", { checkpoint: id, text });
        refill();
      },
      open: (thread) => command("open", { thread }),
      older: async () => {
        history = (await ask("history", { limit: history.rows.length + 500 })) || history;
        showHistory();
      },
    });
  }

  let looking = 0;
  /** Show a checkpoint of the past. @param {number | null} index @param {object} [args] */
  async function look(index, args) {
    const own = ++looking;
    const found = await ask("at", args || { index });
    if (!found || own !== looking) return;
    past = found.is_latest && state.status !== "running" && !against ? null : { ...found };
    if (against && past && against !== past.checkpoint) {
      const both = await ask("compare", { a: against, b: past.checkpoint });
      if (both && own === looking) Object.assign(past, { changes: both.changes, compared: [against, past.checkpoint] });
      if (tab === "History") turn("Changes");
      against = 0;
    }
    showAll();
    if (picked) showReads(picked);
  }

  function live() {
    looking++;
    past = null;
    showAll();
    if (picked) showReads(picked);
  }

  function showAll() {
    showHead();
    showNodes(null);
    showChanges();
    statePart.show(shown().values, null, past ? past.checkpoint : null);
    if (history && tab === "History") showHistory();
  }

  // ------------------------------------------------------------------------------ the kernel

  /** @param {any} content */
  function receive(content) {
    heard = Date.now();
    if (content.type === "patch") {
      const { patch } = content;
      if (patch.thread && patch.thread !== state.thread) another();
      state = merged(state, patch);
      if (patch.whole) return showAll();
      showHead();
      if (past) return;
      if (patch.nodes || patch.taken) showNodes(new Set(Object.keys(patch.nodes || {})));
      if (picked && patch.nodes?.[picked] && patch.nodes[picked].status !== "running") showReads(picked);
      if (patch.changes) showChanges();
      if (patch.values) statePart.show(state.values, new Set(Object.keys(patch.values)), null);
      if (patch.count || patch.status) refill();
    } else if (content.type === "reply") {
      const resolve = waiting.get(content.id);
      waiting.delete(content.id);
      if (content.error) complain(content.error);
      if (resolve) resolve(content.data ?? null);
    } else if (content.type === "error") complain(content.text);
  }

  function lost() {
    if (gone) return;
    gone = true;
    showHead();
    const kernel = model.widget_manager?.kernel;
    const said = "The kernel of this view is gone; the thread is in its store. Run the cell that defines the graph again, then";
    if (!kernel) return complain(`${said}: %agent show ${state.thread}`);
    complain(`${said} `);
    note.append(button("Show it in the new kernel", "nba-button", reconnect));
  }

  /** Ask the new kernel for a view of the thread, and put it in the place of this one. */
  function reconnect() {
    const manager = model.widget_manager;
    const link = manager.kernel.createComm("nbagent");
    const answered = (/** @type {string} */ text) => {
      gone = false;
      lost();
      note.prepend(el("div", "", text));
    };
    link.onClose = () => answered("nbagent is not loaded in the new kernel yet.");
    link.onMsg = async (/** @type {any} */ message) => {
      const { error, model_id: id } = message.content.data;
      if (error) return answered(error);
      const view = await manager.create_view(await manager.get_model(id));
      (root.closest(".widget-vbox") || root).replaceWith(view.el);
    };
    link.open({ thread: state.thread, store: state.store, uid: model.get("uid") });
  }

  const whole = () => {
    state = { ...model.get("snapshot") };
    showAll();
  };
  /** It is about another thread from now on. */
  const another = () => {
    past = picked = history = null;
    against = 0;
    looking++;
    refill();
  };
  model.on("msg:custom", receive);
  model.on("change:snapshot", whole);
  model.on("change:drawing", redrawGraph);
  model.on("comm_live_update", lost); // said once, when the kernel goes
  root.addEventListener("keydown", (event) => {
    if (isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = /** @type {Record<string, () => void>} */ ({
      p: () => controls.pause.click(), s: () => controls.step.click(), r: () => controls.resume.click(), x: () => controls.stop.click(),
      ArrowLeft: () => strip.move(-1), ArrowRight: () => strip.move(1), Escape: live,
      "/": () => { turn("State"); statePart.search.focus(); },
      1: () => turn(TABS[0]), 2: () => turn(TABS[1]), 3: () => turn(TABS[2]), 4: () => turn(TABS[3]),
    });
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });
  tabs.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.stopPropagation();
    turn(TABS[(TABS.indexOf(tab) + by + TABS.length) % TABS.length]);
    /** @type {HTMLElement | null} */ (tabs.querySelector("[aria-selected=true]"))?.focus();
  });
  turn(tab);
  whole();
  tell({ type: "hello" });
  const timer = setInterval(() => {
    if (state.status !== "running" || gone) return;
    tick();
    if (Date.now() - heard > QUIET) {
      heard = Date.now(); // a message may be lost on a busy page: ask how it stands
      tell({ type: "hello" });
    }
    const retrying = Object.keys(state.nodes).filter((name) => state.nodes[name].status === "retrying");
    if (retrying.length && !past) showNodes(new Set(retrying));
    if (tab === "Timeline") refill();
  }, 250);
  return () => {
    clearInterval(timer);
    hide.remove();
    model.off("msg:custom", receive);
    model.off("change:snapshot", whole);
    model.off("change:drawing", redrawGraph);
    model.off("comm_live_update", lost);
  };
}

export default { render };
