// The live view of a thread. It shows what the kernel's RunModel says, sends buttons back, and
// asks the kernel for what lies in the past.
//
// Rule 1: text from the state is only ever set with textContent.
// Rule 2: a patch draws only what it names; the graph is drawn once.
// Rule 3: each part is a file of its own that owns its state; here they are put together.
// @ts-check
import { button, el, isTyping, plain } from "../dom.js";
import { dress, hasUnsent, listen, pictureBehind, present } from "../widget.js";
import { changesPart } from "./changes.js";
import { footPart } from "./foot.js";
import { headPart } from "./head.js";
import { historyPart } from "./history.js";
import { kernelLine, reconnect } from "./kernel.js";
import { nodesPart } from "./nodes.js";
import { shownThread } from "./shown.js";
import { sliderPart } from "./slider.js";
import { statePart } from "./state.js";
import { tabsPart } from "./tabs.js";
import { timelinePart } from "./timeline.js";

const TICK = 250; // milliseconds between two looks at the clock

/** @param {import("../widget.js").Context} context */
function render({ model, el: root }) {
  dress(root, "nba-root", "region");
  root.tabIndex = 0;
  const picture = pictureBehind(root, model.get("uid"));
  const kernel = kernelLine(model, { patch, complain: (text) => head.complain(text), lost });
  const shown = shownThread({ ...model.get("snapshot") }, kernel.ask);
  /** @param {string} thread */
  const open = (thread) => kernel.command("open", { thread });

  const head = headPart({ command: press, rename: (title) => kernel.ask("rename", { title }), open });
  const slider = sliderPart({ go: (index) => look({ index }), live });
  const nodes = nodesPart({ drawing: model.get("drawing"), shown: shown.all, checkpoint: shown.checkpoint, ask: kernel.ask, open });
  const changes = changesPart();
  const state = statePart(kernel.ask);
  const timeline = timelinePart({ ask: kernel.ask, now: shown.now, pick: lookAtBar });
  const history = historyPart({
    ask: kernel.ask,
    checkpoint: shown.checkpoint,
    isUnder: () => Boolean(shown.now().parent),
    acts: { look: (checkpoint) => look({ checkpoint }), fork: (checkpoint) => kernel.command("fork", { checkpoint }), branch, open },
  });
  const tabs = tabsPart([
    { name: "Changes", key: "1", panel: changes.node, refill: () => changes.show(shown.all()) },
    { name: "State", key: "2", panel: state.node, refill: () => state.show(shown.all().values, null, shown.checkpoint(), shown.all().step) },
    { name: "Timeline", key: "3", panel: timeline.node, refill: () => kernel.isGone() || timeline.refill() },
    { name: "History", key: "4", panel: history.node, refill: () => kernel.isGone() || history.refill() },
  ]);
  const help = [head.help, slider.help, "/ search", tabs.help].join(" · ");
  const foot = footPart(help);
  const body = el("div", "nba-main");
  body.append(nodes.node, tabs.node);
  root.append(...head.nodes, slider.node, body, foot.node);

  /** A button. What stands typed in the form is not passed over in silence. @param {string} name */
  function press(name) {
    const act = () => kernel.command(name);
    if (!["resume", "step"].includes(name) || !hasUnsent(root)) return act();
    head.complain("What was typed into the form below is not saved. Save it there, or", button("Go on without it", "nba-button", act));
  }

  function showHead() {
    const [now, past, isGone] = [shown.now(), shown.past(), kernel.isGone()];
    root.setAttribute("aria-label", plain(`agent ${now.graph}, thread ${now.thread}. Keys: ${help}`));
    head.show(now, past, isGone);
    const where = past ? `super-step ${past.step} · ${past.index + 1} of ${past.total}` : `${now.count} checkpoints`;
    slider.show(isGone ? 0 : past ? past.total : now.count, past ? past.index : null, where);
    foot.show(now.code);
  }

  function showAll() {
    showHead();
    nodes.show(null);
    changes.show(shown.all());
    state.show(shown.all().values, null, shown.checkpoint(), shown.all().step);
    history.show();
  }

  /** @param {import("./shown.js").Place} place */
  async function look(place) {
    const against = history.against();
    if (!(await shown.look(place, against))) return;
    if (shown.past()?.compared) {
      history.compared();
      tabs.show(changes.node);
    }
    showAll();
    nodes.learn();
  }

  function live() {
    shown.live();
    showAll();
    nodes.learn();
  }

  /** @param {import("./said.js").Bar} row */
  function lookAtBar(row) {
    nodes.pick(row.node);
    if (row.step && row.status !== "running") look({ step: row.step });
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
    if (said.whole) return showAll();
    showHead();
    if (shown.past()) return;
    if (said.nodes || said.taken) nodes.heard(new Set(Object.keys(said.nodes || {})));
    if (said.changes) changes.show(shown.all());
    if (said.values) state.show(shown.all().values, new Set(Object.keys(said.values)), null, shown.now().step);
    if (said.count || said.status) tabs.refill();
  }

  /** It is about another thread from now on. */
  function forget() {
    shown.live();
    nodes.unpick();
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
    const said = `${before}\nThe kernel of this view is gone; the thread is in its store. Run the cell that defines the graph again, then`.trim();
    if (!model.widget_manager?.kernel) return head.complain(`${said}: %agent show ${now.thread}`);
    head.complain(said, button("Show it in the new kernel", "nba-button", () => reconnect(model, now, root, sayLost)));
  }

  const keys = new Map([...head.keys, ...slider.keys, ...tabs.keys, ["/", search]]);
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
      shown.replace({ ...model.get("snapshot") });
      showAll();
    },
    "change:drawing": () => {
      nodes.redraw(model.get("drawing"));
      nodes.show(null);
    },
    comm_live_update: kernel.lose, // said once, when the kernel goes
  });
  const leave = present(model);
  showAll();
  kernel.hello();
  const timer = setInterval(() => {
    const now = shown.now();
    // Saved while it ran: such a widget knows nothing, and what stands behind it knows the end.
    picture.prefer(!kernel.isHeard() && now.status === "new");
    if (now.status !== "running" || kernel.isGone()) return;
    head.tick(now);
    kernel.listen();
    const retrying = Object.keys(now.nodes).filter((name) => now.nodes[name].status === "retrying");
    if (retrying.length && !shown.past()) nodes.show(new Set(retrying));
    if (!timeline.node.hidden) tabs.refill();
  }, TICK);
  return () => {
    clearInterval(timer);
    tabs.end();
    deafen();
    picture.show();
    kernel.end();
    ended.abort();
    leave();
  };
}

export default { render };
