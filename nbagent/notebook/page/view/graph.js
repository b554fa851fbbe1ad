// The graph: drawn once, then only its classes and counts change.
//
// Rule 1: a name is never smaller than 11 pixels: what does not fit is panned.
// Rule 2: what stands in the count's place fits there: the layout left the room for it.
// @ts-check
import { clock, plain, sign, signOf, svg, toned } from "../dom.js";
import { drawStack } from "./stack.js";

export const LEAST = 11 / 12; // how small the graph may be drawn: its names are 12 pixels
export const MOST = 4; // and how large
const LONGEST = 26; // characters of a name in its box

/** @typedef {import("./said.js").NodeState} NodeState */
/** @typedef {{name: string, kind: string, x: number, y: number, w: number, h: number, members?: string[]}} Box */
/** @typedef {{source: string, target: string, kind: string, path: string, arrow: string, label: string, x: number, y: number}} Wire */
/** @typedef {{width: number, height: number, boxes: Box[], wires: Wire[]}} Drawing */
/** @typedef {{mark: (nodes: Record<string, NodeState>, picked: string | null, now: number) => void, group: Element, box: Box}} NodeBox */
/** @typedef {{group: Element, line: SVGPathElement, loop: (count: number) => void}} DrawnWire */
/** @typedef {{root: SVGElement, boxes: Map<string, NodeBox>, wires: Map<string, DrawnWire>, width: number, height: number}} Graph */

/** What stands right of a node's name. @param {NodeState} node @param {number} now Unix seconds */
export function counted(node, now) {
  if (node.status === "failed" && node.attempt > 1) return `${node.attempt}×`;
  if (node.total > 1) return `${node.finished}/${node.total}`;
  if (node.status === "retrying" && node.retry_at > now) return clock(node.retry_at - now);
  if (node.status === "running" && node.since) return clock(Math.max(0, now - node.since));
  return node.runs > 1 ? `${node.runs}×` : "";
}

/** A name as its box has room for it. @param {string} name */
export function fitted(name) {
  return name.length > LONGEST ? `${name.slice(0, LONGEST - 9)}…${name.slice(-8)}` : name;
}

/** @param {Drawing} drawing @param {string} label @param {(name: string) => void} pick @returns {Graph} */
export function drawGraph(drawing, label, pick) {
  const width = drawing.width + 16;
  const height = drawing.height + 16;
  const root = svg("svg", { role: "group", "aria-label": plain(label), class: "nba-g", viewBox: `-8 -8 ${width} ${height}`, width, height });
  /** @type {Map<string, NodeBox>} */
  const boxes = new Map();
  /** @type {Map<string, DrawnWire>} */
  const wires = new Map();
  for (const wire of drawing.wires) {
    const drawn = drawWire(wire);
    wires.set(`${wire.source}\n${wire.target}`, drawn);
    root.append(drawn.group);
  }
  for (const box of drawing.boxes) {
    if (box.kind === "area") {
      const drawn = drawArea(box);
      press(drawn.group, () => pick(box.name));
      boxes.set(box.name, drawn);
      root.prepend(drawn.group);
    } else if (box.kind === "start" || box.kind === "end") root.append(drawEnd(box));
    else {
      const drawn = box.kind === "stack" ? drawStack(box, box.members ?? []) : drawNode(box);
      press(drawn.group, () => pick(box.name));
      for (const name of box.kind === "stack" ? [box.name, ...(box.members ?? [])] : [box.name]) boxes.set(name, drawn);
      root.append(drawn.group);
    }
  }
  return { root: /** @type {SVGElement} */ (root), boxes, wires, width, height };
}

/** @param {Element} group @param {() => void} act */
function press(group, act) {
  group.setAttribute("tabindex", "0");
  group.setAttribute("role", "button");
  group.addEventListener("click", act);
  group.addEventListener("keydown", (event) => {
    const key = /** @type {KeyboardEvent} */ (event).key;
    if (key !== "Enter" && key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });
}

/** @param {Wire} wire @returns {DrawnWire} */
function drawWire(wire) {
  const group = svg("g", { class: `nba-e${wire.kind === "branch" || wire.kind === "each" ? " nba-br" : ""}` });
  const line = /** @type {SVGPathElement} */ (svg("path", { d: wire.path, class: "nba-ln" }));
  group.append(line, svg("path", { d: wire.arrow, class: "nba-tip" }));
  if (wire.label) group.append(svg("text", { x: wire.x, y: wire.y + 3.5, "text-anchor": "middle" }, fitted(wire.label)));
  /** @type {Element | null} */
  let chip = null;
  return {
    group,
    line,
    loop(count) {
      const text = `${count}×`;
      if (chip?.textContent === text || !count) return;
      const at = line.getPointAtLength(line.getTotalLength() / 2);
      const w = 11 + 7.1 * text.length;
      const made = svg("g", { class: "nba-loop" });
      made.append(svg("rect", { x: at.x - w / 2, y: at.y - 9, width: w, height: 18, rx: 9 }), svg("text", { x: at.x, y: at.y + 4, "text-anchor": "middle" }, text));
      chip?.remove();
      group.append(made);
      chip = made;
    },
  };
}

/** @param {Box} box */
function drawEnd(box) {
  const group = svg("g", { class: "nba-term" });
  group.append(svg("rect", { x: box.x - 26, y: box.y - 10, width: 52, height: 20, rx: 10 }), svg("text", { x: box.x, y: box.y + 4, "text-anchor": "middle" }, box.kind.toUpperCase()));
  return group;
}

/** A graph that is open inside this one. @param {Box} box @returns {NodeBox} */
function drawArea(box) {
  const group = svg("g", { class: "nba-sub nba-box" });
  const [x, y] = [box.x - box.w / 2, box.y - box.h / 2];
  const text = svg("text", { x: x + 12, y: y + 18 });
  const told = svg("tspan", { dx: 6 }, "subgraph, open in place");
  text.append(svg("tspan", { class: "nba-b" }, fitted(box.name)), told);
  group.append(svg("rect", { class: "nba-area", x, y, width: box.w, height: box.h, rx: 8 }), text);
  return {
    group,
    box: { ...box, members: undefined },
    mark(nodes, picked) {
      const node = nodes[box.name];
      if (!node) return;
      const word = node.cached && node.status === "done" ? "done, from the cache" : node.status;
      const said = `node ${box.name}, ${word}${node.total > 1 ? ` ${node.finished}/${node.total}` : ""}`;
      group.classList.toggle("nba-picked", picked === box.name);
      if (group.getAttribute("aria-label") !== plain(said)) group.setAttribute("aria-label", plain(said));
      const short = box.w < 240 ? node.status : `subgraph, open in place · ${node.status}`;
      if (told.textContent !== short) told.textContent = short;
    },
  };
}

/** @param {Box} box @returns {NodeBox} */
function drawNode(box) {
  const [x, y] = [box.x - box.w / 2, box.y - box.h / 2];
  const group = svg("g", { class: "nba-n nba-box nba-s-idle nba-t-plain" });
  const title = svg("title", {});
  const name = svg("text", { class: "nba-lab", x: box.x, y: box.y + 4, "text-anchor": "middle" }, fitted(box.name.split("/").at(-1) ?? ""));
  const count = svg("text", { class: "nba-m", x: x + box.w - 9, y: box.y + 4, "text-anchor": "end" });
  group.append(title, svg("rect", { class: "nba-box", x, y, width: box.w, height: box.h, rx: 6 }), name, count);
  /** @type {Element | null} */
  let mark = null;
  let marked = "";
  let told = "";
  return {
    group,
    box,
    mark(nodes, picked, now) {
      const node = nodes[box.name];
      if (!node) return;
      const shown = node.cached && node.status === "done" ? "cached" : node.status;
      const classes = `nba-n nba-box ${toned(shown)}${picked === box.name ? " nba-picked" : ""}${node.now ? " nba-now" : ""}${node.inner_threads.length ? " nba-inner" : ""}`;
      if (group.getAttribute("class") !== classes) group.setAttribute("class", classes);
      const signed = signOf(shown);
      if (signed !== marked) {
        marked = signed;
        mark?.remove();
        mark = signed ? sign(signed) : null;
        if (mark) {
          for (const [key, value] of Object.entries({ x: x + 9, y: box.y - 7, width: 14, height: 14 })) mark.setAttribute(key, String(value));
          group.append(mark);
        }
        name.setAttribute("x", String(mark ? x + 28 : box.x));
        name.setAttribute("text-anchor", mark ? "start" : "middle");
      }
      const text = counted(node, now);
      if (count.textContent !== text) count.textContent = text;
      const word = shown === "cached" ? "done, from the cache" : node.status;
      const many = node.total > 1 ? ` ${node.finished}/${node.total}` : "";
      const said = `node ${box.name}, ${word}${many}`;
      if (said === told) return;
      told = said;
      title.textContent = plain(`${box.name}: ${word}${node.runs > 1 ? `, ${node.runs} runs` : ""}`);
      group.setAttribute("aria-label", plain(said));
    },
  };
}
