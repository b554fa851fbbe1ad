// How the view shares its width: graph and pane, the spine that the graph folds to, and the form's
// place inside the view.
//
// Rule 1: each tab remembers whether its graph is folded; Timeline and History fold it at first.
// Rule 2: where the page can show a widget inside another, the form stands in the view.
// @ts-check

/** @typedef {import("../widget.js").Model} Model */

const FULL = new Set(["Timeline", "History"]);
const SHARE = 5 / 12; // of the width, that a graph has at first
const ROOM = 700; // pixels from which a graph may take more of it than the pane

/** @param {HTMLElement} body @param {{drawing: () => import("./graph.js").Graph, now: () => import("./said.js").Now}} given */
export function placePart(body, { drawing, now }) {
  /** @type {Map<string, boolean>} */
  const folded = new Map();
  let tab = "Now";

  /** @param {string} name */
  function turn(name) {
    tab = name;
    const isFull = folded.get(name) ?? FULL.has(name);
    const isForm = name === "Now" && now().status === "waiting";
    body.classList.toggle("nba-full", isFull);
    body.classList.toggle("nba-form", !isFull && isForm && !folded.has(name));
    body.classList.toggle("nba-wide", !isFull && !isForm && body.clientWidth > ROOM && drawing().width > body.clientWidth * SHARE - 20);
    body.classList.toggle("nba-two", !isFull && !isForm && drawing().width < 170 && drawing().height < 260);
  }

  return {
    turn,
    toggle() {
      folded.set(tab, !(folded.get(tab) ?? FULL.has(tab)));
      turn(tab);
    },
    unfold() {
      folded.set(tab, false);
      turn(tab);
    },
  };
}

/**
 * Show the form's widget in its place, where the page can.
 * @param {Model} model @param {HTMLElement} place @param {() => void} shown
 */
export function embedded(model, place, shown) {
  const manager = model.widget_manager;
  const id = String(model.get("form") || "").replace(/^IPY_MODEL_/, "");
  let isOver = false;
  /** @type {{remove?: () => void, dispose?: () => void} | null} */
  let made = null;
  if (manager && id) {
    void (async () => {
      const view = await manager.create_view(await manager.get_model(id));
      if (isOver) return view.remove?.();
      made = view;
      place.append(view.el);
      shown();
    })().catch(() => {}); // the kernel is gone: what stands in the picture is all there is
  }
  return {
    end() {
      isOver = true;
      made?.remove?.();
    },
  };
}
