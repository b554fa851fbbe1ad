// The graph, and below it the card of one node: the picked one, or else one that has failed.
// @ts-check
import { el, keepingFocus } from "../dom.js";
import { card } from "./card.js";
import { drawGraph, markNode } from "./graph.js";

/** @typedef {import("./said.js").Shown} Shown */

/** The node that asks for attention. @param {Shown["nodes"]} nodes */
export function worst(nodes) {
  return Object.keys(nodes).find((name) => nodes[name].failure || nodes[name].warning);
}

/**
 * @param {{
 *   drawing: import("./graph.js").Drawing, shown: () => Shown, checkpoint: () => number | null,
 *   ask: import("./said.js").Ask, open: (thread: string) => void,
 * }} given `checkpoint` is null where `shown` is how it stands now
 */
export function nodesPart({ drawing, shown, checkpoint, ask, open }) {
  const node = el("div", "nba-left");
  const holder = el("div", "nba-holder");
  /** @type {string | null} */
  let picked = null;
  /** @type {{node: string, at: number | null, rows: import("./said.js").Row[]}} */
  let reads = { node: "", at: null, rows: [] };
  let carded = "";
  let graph = drawGraph(drawing, toggle);
  node.append(graph.root, holder);

  /** @param {string} name */
  function toggle(name) {
    picked = picked === name ? null : name;
    show(null);
    learn();
  }

  /** What the picked node read, once the kernel has said it. */
  async function learn() {
    const name = picked;
    const at = checkpoint();
    const state = name === null ? undefined : shown().nodes[name];
    if (!name || !state) return;
    const ended = at !== null || state.status === "done";
    const found = await ask("reads", { node: name, checkpoint: at, has_ended: ended });
    if (!found || picked !== name || checkpoint() !== at) return;
    reads = { node: name, at, rows: found.reads };
    show(null);
  }

  /** @param {Set<string> | null} changed the nodes to draw; null: all */
  function show(changed) {
    const { nodes, taken } = shown();
    const lit = new Set(taken.map((edge) => edge.join("\n")));
    for (const { key, group } of graph.wires) group.classList.toggle("nba-taken", lit.has(key));
    for (const name of changed || graph.boxes.keys()) {
      const box = graph.boxes.get(name);
      if (box && nodes[name]) markNode(box, name, nodes[name], picked === name);
    }
    const name = picked ?? worst(nodes) ?? "";
    if (changed && name === carded && !changed.has(name)) return;
    carded = name;
    keepingFocus(holder, () => fill(name));
  }

  /** @param {string} name */
  function fill(name) {
    const state = name ? shown().nodes[name] : undefined;
    const unfolded = holder.querySelector(".nba-trace[open]") !== null;
    holder.replaceChildren();
    if (!state) return;
    const read = reads.node === name && reads.at === checkpoint() ? reads.rows : [];
    const close = picked ? () => toggle(name) : undefined;
    holder.append(card(name, state, { reads: read, open, close }));
    const trace = holder.querySelector(".nba-trace");
    if (unfolded && trace instanceof HTMLDetailsElement) trace.open = true;
  }

  return {
    node,
    show,
    learn,
    /** A node has said something new. @param {Set<string>} names */
    heard(names) {
      show(names);
      if (picked && names.has(picked) && shown().nodes[picked]?.status !== "running") learn();
    },
    /** @param {string} name */
    pick(name) {
      if (!graph.boxes.has(name)) return;
      picked = name;
      show(null);
    },
    unpick() {
      picked = null;
    },
    /** @param {import("./graph.js").Drawing} drawing */
    redraw(drawing) {
      graph = drawGraph(drawing, toggle);
      node.replaceChildren(graph.root, holder);
    },
  };
}
