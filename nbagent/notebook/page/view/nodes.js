// The graph beside the pane: its marks, the node that is picked, and the spine that it folds to.
// @ts-check
import { action, el } from "../dom.js";
import { drawGraph } from "./graph.js";
import { panPart } from "./pan.js";

/** @typedef {import("./said.js").Shown} Shown */

/** What is looked at first: what has failed, asks or runs. */
const FIRST = ["failed", "waiting", "running", "retrying"];

/**
 * @param {{drawing: import("./graph.js").Drawing, label: string, shown: () => Shown, picked: (name: string | null) => void, unfold: () => void}} given
 */
export function nodesPart({ drawing, label, shown, picked: tell, unfold }) {
  const pan = panPart();
  const spine = el("div", "nba-spine");
  spine.append(action("", "graph", unfold, { kind: "quiet", tip: "Show the graph (g)" }), el("span", "", "graph"));
  /** @type {string | null} */
  let picked = null;
  let graph = drawGraph(drawing, label, toggle);
  let led = "";
  pan.show(graph);

  /** @param {string} name */
  function toggle(name) {
    picked = picked === name ? null : name;
    show(null);
    tell(picked);
  }

  /** @param {Set<string> | null} changed the nodes to draw; null: all */
  function show(changed) {
    const { nodes, taken } = shown();
    const lit = new Set(taken.map((edge) => edge.join("\n")));
    for (const [key, { group, loop }] of graph.wires) {
      group.classList.toggle("nba-hot", lit.has(key));
      const count = shown().loops?.[key];
      if (count && pan.node.isConnected) loop(count);
    }
    const now = Date.now() / 1000;
    const due = new Set([...(changed ?? graph.boxes.keys())].map((name) => graph.boxes.get(name)));
    for (const box of due) box?.mark(nodes, picked, now);
    const lead = FIRST.map((status) => Object.keys(nodes).find((name) => nodes[name].status === status)).find(Boolean) ?? "";
    if (lead === led) return;
    led = lead;
    const at = graph.boxes.get(lead);
    if (at) pan.reveal(at.box);
  }

  pan.pane.addEventListener("keydown", (event) => {
    const act = { "+": () => pan.zoom(1.25), "-": () => pan.zoom(1 / 1.25), 0: pan.fit }[event.key] ?? walk(event);
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });

  /** An arrow from a node leads along an edge, or to the node beside it. @param {KeyboardEvent} event */
  function walk(event) {
    const way = { ArrowDown: [0, 1], ArrowUp: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
    const own = [...graph.boxes.values()].find((one) => one.group === document.activeElement);
    if (!way || !own) return null;
    const names = own.box.members?.length ? own.box.members : [own.box.name];
    const linked = new Set([...graph.wires.keys()].flatMap((key) => {
      const [source, target] = key.split("\n");
      return names.includes(source) ? [target] : names.includes(target) ? [source] : [];
    }));
    const ahead = [...graph.boxes].filter(([name, { box }]) => {
      const along = (box.x - own.box.x) * way[0] + (box.y - own.box.y) * way[1];
      return along > 1 && (way[1] === 0 ? Math.abs(box.y - own.box.y) < 30 : linked.has(name));
    });
    ahead.sort(([, a], [, b]) => far(a.box, own.box) - far(b.box, own.box));
    const next = ahead[0]?.[1].group;
    return () => next instanceof SVGElement && next.focus();
  }

  return {
    nodes: [spine, pan.node],
    show,
    picked: () => picked,
    drawing: () => graph,
    /** @param {string} name */
    pick(name) {
      if (!graph.boxes.has(name)) return;
      picked = name;
      show(null);
    },
    unpick() {
      picked = null;
      show(null);
    },
    /** @param {import("./graph.js").Drawing} drawing */
    redraw(drawing) {
      graph = drawGraph(drawing, label, toggle);
      led = "";
      pan.show(graph);
    },
    end: pan.end,
  };
}

/** @param {import("./graph.js").Box} a @param {import("./graph.js").Box} b */
function far(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y);
}
