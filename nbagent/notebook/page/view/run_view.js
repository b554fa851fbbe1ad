// The live view of a thread. It shows what the kernel's RunModel says, sends buttons back, and
// asks the kernel for what lies in the past.
//
// Rule 1: text from the state is only ever set with textContent.
// Rule 2: a patch draws only what it names; the graph is drawn once.
// Rule 3: each part is a file of its own that owns its state; here they are put together.
// @ts-check
import { action, el, isTyping, plain } from "../dom.js";
import { dress, hasUnsent, listen, pictureBehind, present } from "../widget.js";
import { changesPart } from "./changes.js";
import { chatPart } from "./chat.js";
import { footPart } from "./foot.js";
import { headPart } from "./head.js";
import { historyPart } from "./history.js";
import { kernelLine, reconnect } from "./kernel.js";
import { nodesPart } from "./nodes.js";
import { nowPart } from "./now.js";
import { railPart } from "./rail.js";
import { embedded, placePart } from "./places.js";
import { shownThread } from "./shown.js";
import { statePart } from "./state.js";
import { tabsPart } from "./tabs.js";
import { timelinePart } from "./timeline.js";

const TICK = 250; // milliseconds between two looks at the clock
const SUMS = 5000; // milliseconds between two questions for tokens and cost

/** @param {import("../widget.js").Context} context */
function render({ model, el: root }) {
  dress(root, "nba-root", "region");
  root.tabIndex = 0;
  const picture = pictureBehind(root, model.get("uid"));
  const kernel = kernelLine(model, { patch, complain: (text) => head.complain(text), lost });
  const shown = shownThread({ ...model.get("snapshot") }, kernel.ask);
  /** @param {string} thread */
  const open = (thread) => kernel.command("open", { thread });

  const head = headPart({
    command: press,
    rename: (title) => kernel.ask("rename", { title }),
    open,
    fork: () => kernel.command("fork", { checkpoint: 0 }),
    help: () => help,
  });
  const rail = railPart({ go: (index) => look({ index }), live });
  const nodes = nodesPart({ drawing: model.get("drawing"), label: `graph ${shown.now().graph}`, shown: shown.all, picked, unfold: () => place.unfold() });
  const nowPane = nowPart({
    now: shown.now, past: shown.past, checkpoint: shown.checkpoint, ask: kernel.ask, open, command: press,
    pick: (name) => (nodes.picked() === name ? nodes.unpick() : nodes.pick(name), picked(nodes.picked())),
    picked: nodes.picked,
  });
  const chat = chatPart({ ask: /** @type {any} */ (kernel.ask), checkpoint: shown.checkpoint, found: (has) => tabs.reveal(chat.node, has) });
  const changes = changesPart({ against: () => tabs.show(history.node) });
  const state = statePart(kernel.ask);
  const timeline = timelinePart({ ask: kernel.ask, now: shown.now, pick: lookAtBar });
  const history = historyPart({
    ask: kernel.ask,
    checkpoint: shown.checkpoint,
    now: shown.now,
    isUnder: () => Boolean(shown.now().parent),
    acts: { look: (checkpoint) => look({ checkpoint }), fork: (checkpoint) => kernel.command("fork", { checkpoint }), branch, open },
  });
  const body = el("div", "nba-main");
  const tabs = tabsPart([
    { name: "Now", key: "1", panel: nowPane.node, refill: () => nowPane.show() },
    { name: "Chat", key: "6", panel: chat.node, refill: () => kernel.isGone() || void chat.refill() },
    { name: "Changes", key: "2", panel: changes.node, refill: () => changes.show(shown.all()) },
    { name: "State", key: "3", panel: state.node, refill: () => state.show(shown.all().values, null, shown.checkpoint(), shown.all().step) },
    { name: "Timeline", key: "4", panel: timeline.node, refill: () => kernel.isGone() || timeline.refill() },
    { name: "History", key: "5", panel: history.node, refill: () => kernel.isGone() || history.refill() },
  ], { turned: (tab) => { place.turn(tab.name); showCause(); } });
  const place = placePart(body, { drawing: () => nodes.drawing(), now: shown.now });
  const help = [head.help, rail.help, "g graph", "/ search", "? keys", "+ − 0 zoom", tabs.help].join(" · ");
  const foot = footPart(help);
  const causeLine = el("div", "nba-causeline");
  causeLine.hidden = true;
  body.append(...nodes.nodes, tabs.node);
  root.append(...head.nodes, rail.node, causeLine, body, foot.node);
  const form = embedded(model, nowPane.form, () => place.turn(tabs.open().name));
  let summedAt = -Infinity;
  let status = "";
  let hasChat = false;

  /** A button. What stands typed in the form is not passed over in silence. @param {string} name */
  function press(name) {
    const act = () => kernel.command(name);
    if (!["resume", "step"].includes(name) || !hasUnsent(root)) return act();
    head.complain("What was typed into the form is not saved. Save it there, or", action("Go on without it", "", act));
  }

  /** A node was picked in the graph. @param {string | null} name */
  function picked(name) {
    if (name) tabs.show(nowPane.node);
    void nowPane.learn();
  }

  function showHead() {
    const [now, past, isGone] = [shown.now(), shown.past(), kernel.isGone()];
    root.setAttribute("aria-label", plain(`agent ${now.graph}, thread ${now.thread}. Keys: ${help}`));
    root.classList.toggle("nba-stale", isGone);
    head.show(now, past, isGone);
    rail.show(now, past, isGone);
    const talks = Object.values(now.values).some(isTalk);
    if (talks !== hasChat) tabs.reveal(chat.node, (hasChat = talks));
    tabs.mark(nowPane.node, ...nowPane.mark(now));
    foot.show(now.code);
    showCause();
    if (status === now.status) return;
    const isNew = status !== "";
    status = now.status;
    place.turn(tabs.open().name);
    if (isNew && ["waiting", "failed", "done", "running"].includes(status) && !past) tabs.offer(nowPane.node);
    summedAt = -Infinity;
    sum();
  }

  /** On other tabs the cause of a failure is one line that leads to Now. */
  function showCause() {
    const now = shown.now();
    const isAway = now.status === "failed" && tabs.open().panel !== nowPane.node;
    causeLine.hidden = !isAway;
    if (!isAway) return;
    const failed = Object.keys(now.nodes).find((name) => now.nodes[name].failure);
    const failure = failed ? now.nodes[failed].failure : null;
    const said = failure ? `${failed}: ${failure.type}: ${failure.message}` : now.error;
    causeLine.replaceChildren(action(said.split("\n")[0].slice(0, 300), "failed", () => tabs.show(nowPane.node), { kind: "quiet", tip: "What failed, and the ways to go on" }));
  }

  /** Tokens and cost, from the spans that are stored. */
  async function sum() {
    if (kernel.isGone() || shown.now().status === "new" || performance.now() - summedAt < SUMS) return;
    summedAt = performance.now();
    const found = await kernel.ask("sums");
    if (!found) return;
    if (performance.now() - summedAt > SUMS / 10) summedAt = performance.now() + SUMS; // it is dear: less often
    head.sum(found);
    head.tick(shown.now());
  }

  function showAll() {
    showHead();
    nodes.show(null);
    nowPane.show();
    changes.show(shown.all());
    state.show(shown.all().values, null, shown.checkpoint(), shown.all().step);
    history.show();
  }

  /** @param {import("./shown.js").Place} place */
  async function look(place) {
    if (!(await shown.look(place))) return;
    showAll();
    void nowPane.learn();
  }

  function live() {
    shown.live();
    showAll();
    void nowPane.learn();
  }

  /** @param {import("./said.js").Bar} row */
  function lookAtBar(row) {
    nodes.pick(row.node);
    if (row.step && row.status !== "running") void look({ step: row.step });
  }

  /** @param {number} checkpoint */
  function branch(checkpoint) {
    shown.live();
    kernel.command("branch", { checkpoint });
    showAll();
  }

  /** @param {import("./said.js").Patch} said */
  function patch(said) {
    const isAnother = Boolean(said.thread) && said.thread !== shown.now().thread;
    shown.take(said);
    if (isAnother) forget();
    if (said.streams) nowPane.streams.take(said.streams, Boolean(said.whole));
    if (said.whole) return showAll();
    showHead();
    if (shown.past()) return;
    const names = new Set(Object.keys(said.nodes || {}));
    if (said.nodes || said.taken) nodes.show(names);
    if (!nowPane.node.hidden) nowPane.show();
    const picked = nodes.picked();
    if (picked && names.has(picked) && shown.now().nodes[picked]?.status !== "running") void nowPane.learn();
    if (said.changes && !changes.node.hidden) changes.show(shown.all());
    if (said.values && !state.node.hidden) state.show(shown.all().values, new Set(Object.keys(said.values)), null, shown.now().step);
    if ((said.count || said.status) && tabs.open().panel !== nowPane.node) tabs.refill();
  }

  /** It is about another thread from now on. */
  function forget() {
    shown.live();
    nodes.unpick();
    nowPane.forget();
    history.forget();
    tabs.refill();
  }

  function lost() {
    showHead();
    sayLost();
  }

  /** @param {string} [before] */
  function sayLost(before = "") {
    const now = shown.now();
    const kept = now.store ? ` The thread is safe in ${now.store.replace(/^sqlite:\/\/\//, "")}, at step ${now.step}.` : " The thread is in its store.";
    const said = `${before}\nThe kernel of this view is gone.${kept} Run the cell that defines the graph again, then`.trim();
    if (!model.widget_manager?.kernel) return head.complain(`${said}: %agent show ${now.thread}`, undefined, "amber");
    const again = action("Show it in the new kernel", "link", () => reconnect(model, now, root, sayLost), { kind: "go" });
    head.complain(said, again, "amber");
  }

  const keys = new Map([...head.keys, ...rail.keys, ...tabs.keys, ["/", search], ["g", () => place.toggle()]]);
  const ended = new AbortController();
  root.addEventListener("keydown", (event) => {
    if (isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = keys.get(event.key);
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }, { signal: ended.signal });

  function search() {
    tabs.show(state.node);
    state.focus();
  }

  const deafen = listen(model, {
    "msg:custom": kernel.receive,
    "change:snapshot": () => {
      const snapshot = model.get("snapshot");
      shown.replace({ ...snapshot });
      nowPane.streams.take(snapshot.streams ?? {}, true);
      showAll();
    },
    "change:drawing": () => {
      nodes.redraw(model.get("drawing"));
      nodes.show(null);
      place.turn(tabs.open().name);
    },
    comm_live_update: kernel.lose, // said once, when the kernel goes
  });
  const leave = present(model);
  nowPane.streams.take(shown.now().streams ?? {}, true);
  tabs.reveal(chat.node, false);
  tabs.start();
  showAll();
  kernel.hello();
  const timer = setInterval(() => {
    const now = shown.now();
    // Saved while it ran: such a widget knows nothing, and what stands behind it knows the end.
    picture.prefer(!kernel.isHeard() && now.status === "new");
    if (now.status === "waiting") head.tick(now);
    if (now.status !== "running" || kernel.isGone()) return;
    head.tick(now);
    kernel.listen();
    void sum();
    if (shown.past()) return;
    const moving = Object.keys(now.nodes).filter((name) => ["running", "retrying"].includes(now.nodes[name].status));
    if (moving.length && moving.length < 50) nodes.show(new Set(moving));
    nowPane.tick();
    if (!timeline.node.hidden) tabs.refill();
  }, TICK);
  return () => {
    clearInterval(timer);
    tabs.end();
    nodes.end();
    history.end();
    deafen();
    form.end();
    picture.show();
    kernel.end();
    ended.abort();
    leave();
  };
}

/** Might this value be the messages of a chat? The kernel looks closer. @param {import("./said.js").Preview} value */
function isTalk({ kind, items }) {
  const first = kind === "list" ? items?.[0]?.[1] : undefined;
  const names = new Set(first?.items?.map(([name]) => name));
  return (names.has("role") || names.has("type")) && names.has("content");
}

export default { render };
