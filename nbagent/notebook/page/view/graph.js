// The graph: drawn once, then only its classes and labels change; pan and zoom for large ones.
// @ts-check
import { button, el, icon, svg, toned } from "../dom.js";

const TALL = 420; // pixels that a graph may take at first
const LETTER = 6.8; // pixels that a letter of a label takes, about
const DEEPEST = 8; // times that one may zoom in

/** @typedef {{group: Element, label: Element, title: Element, width: number}} NodeBox */
/** @typedef {{x: number, y: number, k: number}} View the corner of what is seen, and how much larger it is */
/**
 * @typedef {{
 *   width: number, height: number,
 *   boxes: Array<{name: string, kind: string, x: number, y: number, w: number, h: number}>,
 *   wires: Array<{source: string, target: string, kind: string, path: string, arrow: string, label: string, x: number, y: number}>,
 * }} Drawing
 */

/**
 * The picture of a graph, in a frame with pan and zoom.
 * @param {Drawing} drawing @param {(name: string) => void} pick
 */
export function drawGraph(drawing, pick) {
  const width = drawing.width + 16;
  const height = drawing.height + 16;
  const root = svg("svg", { role: "group", "aria-label": "graph", class: "nba-graph" });
  /** @type {Map<string, NodeBox>} */
  const boxes = new Map();
  /** @type {Array<{key: string, group: Element}>} */
  const wires = [];
  for (const wire of drawing.wires) {
    const group = svg("g", { class: `nba-wire nba-wire-${wire.kind}` });
    group.append(svg("path", { d: wire.path, class: "nba-line" }), svg("path", { d: wire.arrow, class: "nba-tip" }));
    if (wire.label) group.append(svg("text", { x: wire.x, y: wire.y + 3.5, class: "nba-wire-label" }, wire.label));
    wires.push({ key: `${wire.source}\n${wire.target}`, group });
    root.append(group);
  }
  for (const box of drawing.boxes) {
    const plain = box.kind !== "node";
    const group = svg("g", { class: plain ? "nba-box nba-terminal" : `nba-box ${toned("idle")}` });
    const shape = { x: box.x - box.w / 2, y: box.y - box.h / 2, width: box.w, height: box.h, rx: plain ? box.h / 2 : 5 };
    const label = svg("text", { x: box.x, y: box.y + (plain ? 3.5 : 4) }, plain ? box.kind.toUpperCase() : box.name);
    const title = svg("title", {});
    group.append(title, svg("rect", shape), label);
    if (!plain) {
      group.setAttribute("tabindex", "0");
      group.setAttribute("role", "button");
      group.addEventListener("click", () => pick(box.name));
      group.addEventListener("keydown", (event) => {
        const key = /** @type {KeyboardEvent} */ (event).key;
        if (key === "Enter" || key === " ") {
          event.preventDefault();
          event.stopPropagation();
          pick(box.name);
        }
      });
      boxes.set(box.name, { group, label, title, width: box.w });
    }
    root.append(group);
  }
  return { root: frame(root, width, height), boxes, wires };
}

/** Marks one node. @param {NodeBox} box @param {string} name @param {import("./said.js").NodeState} node @param {boolean} picked */
export function markNode(box, name, node, picked) {
  const shown = node.cached && node.status === "done" ? "cached" : node.status;
  const names = `nba-box ${toned(shown)}${picked ? " nba-picked" : ""}${node.now ? " nba-now" : ""}${node.inner_threads.length ? " nba-inner" : ""}`;
  if (box.group.getAttribute("class") !== names) box.group.setAttribute("class", names);
  const count = node.total > 1 ? ` ${node.finished}/${node.total}` : "";
  const text = `${icon(shown)} ${name}${count}`.trim();
  if (box.label.textContent === text && box.title.textContent) return;
  box.label.textContent = text;
  const wide = text.length * LETTER; // icon and count may need more room than the name had
  const size = wide > box.width - 6 ? Math.max(7.5, (12 * (box.width - 6)) / wide) : 12;
  box.label.setAttribute("style", size < 12 ? `font-size: ${size.toFixed(1)}px` : "");
  const word = node.cached && node.status === "done" ? "done, from the cache" : node.status;
  box.title.textContent = `${name}: ${word}${node.runs > 1 ? `, ${node.runs} runs` : ""}`;
  box.group.setAttribute("aria-label", `node ${name}, ${word}${count}`);
}

/** What a picture shows of its whole. @param {View} view @param {number} w @param {number} h */
export function viewBox(view, w, h) {
  return `${view.x - 8} ${view.y - 8} ${w / view.k} ${h / view.k}`;
}

/** The view after zooming by `factor` around a point of the picture. @param {View} view @param {number} factor @param {number} x @param {number} y */
export function zoomed(view, factor, x, y) {
  const k = Math.min(DEEPEST, Math.max(0.5, view.k * factor));
  return { x: x - ((x - view.x) * view.k) / k, y: y - ((y - view.y) * view.k) / k, k };
}

/** @param {SVGElement} root @param {number} width @param {number} height */
function frame(root, width, height) {
  const holder = el("div", "nba-frame-graph");
  let view = { x: 0, y: 0, k: 1 };
  root.setAttribute("width", String(width));
  root.setAttribute("height", String(Math.min(height, TALL)));
  const show = () => root.setAttribute("viewBox", viewBox(view, width, height));
  /** @param {number} factor @param {{clientX: number, clientY: number}} [at] */
  const zoom = (factor, at) => {
    const box = root.getBoundingClientRect();
    const scale = Math.min(box.width / (width / view.k), box.height / (height / view.k)) || 1;
    const x = at ? view.x + (at.clientX - box.left - (box.width - (width / view.k) * scale) / 2) / scale : view.x + width / view.k / 2;
    const y = at ? view.y + (at.clientY - box.top - (box.height - (height / view.k) * scale) / 2) / scale : view.y + height / view.k / 2;
    view = zoomed(view, factor, x, y);
    show();
  };
  root.addEventListener("wheel", (event) => {
    const wheel = /** @type {WheelEvent} */ (event);
    if (!wheel.ctrlKey && !wheel.metaKey) return; // the page scrolls
    wheel.preventDefault();
    zoom(Math.exp(-wheel.deltaY / 300), wheel);
  }, { passive: false });
  /** @type {{x: number, y: number, from: View} | null} */
  let drag = null;
  root.addEventListener("pointerdown", (event) => {
    const pointer = /** @type {PointerEvent} */ (event);
    if (!(event.target instanceof Element) || event.target.closest("[role=button]")) return;
    drag = { x: pointer.clientX, y: pointer.clientY, from: view };
    root.setPointerCapture(pointer.pointerId);
  });
  root.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const pointer = /** @type {PointerEvent} */ (event);
    const box = root.getBoundingClientRect();
    const scale = Math.max(width / view.k / box.width, height / view.k / box.height);
    view = { ...view, x: drag.from.x - (pointer.clientX - drag.x) * scale, y: drag.from.y - (pointer.clientY - drag.y) * scale };
    show();
  });
  for (const end of ["pointerup", "pointercancel"]) root.addEventListener(end, () => (drag = null));
  const tools = el("div", "nba-zoom");
  tools.append(
    button("+", "nba-button", () => zoom(1.4), "Zoom in (or Ctrl and the wheel)"),
    button("−", "nba-button", () => zoom(1 / 1.4), "Zoom out"),
    button("⤢", "nba-button", () => {
      view = { x: 0, y: 0, k: 1 };
      show();
    }, "Show the whole graph"),
  );
  show();
  holder.append(root, tools);
  return holder;
}
