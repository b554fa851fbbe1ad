// The frame around a graph that may be larger than its pane: pan, zoom, and an overview below it.
// @ts-check
import { action, el, svg } from "../dom.js";
import { LEAST, MOST } from "./graph.js";

const MAP = 96; // pixels of the overview's longer side

/** How large a graph is drawn, after zooming by a factor. @param {number} scale @param {number} factor */
export function zoomed(scale, factor) {
  return Math.min(MOST, Math.max(LEAST, scale * factor));
}

export function panPart() {
  const node = el("div", "nba-pic");
  const pane = el("div", "nba-graph");
  const tools = el("div", "nba-tools");
  tools.setAttribute("role", "toolbar");
  tools.setAttribute("aria-label", "graph");
  const over = el("div", "nba-over");
  const map = svg("svg", { class: "nba-map", role: "img", "aria-label": "overview" });
  const frame = svg("rect", { class: "nba-view", rx: 2 });
  over.append(map, el("span", "nba-meta", "Overview: drag the frame, or the graph itself. Names stay at 11 px or more; what is larger than the pane is panned."));
  over.hidden = true;
  tools.append(
    action("", "plus", () => zoom(1.25), { tip: "Zoom in (+)" }),
    action("", "minus", () => zoom(1 / 1.25), { tip: "Zoom out (−)" }),
    action("", "fit", fit, { tip: "Fit (0)" }),
  );
  node.append(pane, tools, over);
  /** @type {import("./graph.js").Graph | null} */
  let graph = null;
  let scale = 1;
  let wasHeld = false; // a person has moved it: it follows nobody any more

  function size() {
    if (!graph) return;
    graph.root.setAttribute("width", String(graph.width * scale));
    graph.root.setAttribute("height", String(graph.height * scale));
    overview();
  }

  /** @param {number} factor @param {{clientX: number, clientY: number}} [at] */
  function zoom(factor, at) {
    const box = pane.getBoundingClientRect();
    const [x, y] = at ? [at.clientX - box.left, at.clientY - box.top] : [box.width / 2, box.height / 2];
    const [left, top] = [(pane.scrollLeft + x) / scale, (pane.scrollTop + y) / scale];
    scale = zoomed(scale, factor);
    size();
    pane.scrollLeft = left * scale - x;
    pane.scrollTop = top * scale - y;
    wasHeld = true;
  }

  function fit() {
    if (!graph) return;
    const room = Math.min((pane.clientWidth - 16) / graph.width, (pane.clientHeight - 16) / graph.height);
    scale = Math.min(1, Math.max(LEAST, room));
    wasHeld = false;
    size();
  }

  function overview() {
    if (!graph) return;
    const isLarger = pane.scrollWidth > pane.clientWidth + 2 || pane.scrollHeight > pane.clientHeight + 2;
    over.hidden = !isLarger;
    if (isLarger) where();
  }

  function where() {
    if (!graph || over.hidden) return;
    const by = 1 / scale;
    for (const [key, value] of Object.entries({ x: pane.scrollLeft * by, y: pane.scrollTop * by, width: Math.min(graph.width, pane.clientWidth * by), height: Math.min(graph.height, pane.clientHeight * by) })) frame.setAttribute(key, String(value));
  }

  pane.addEventListener("scroll", where, { passive: true });
  pane.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 300), event);
  }, { passive: false });
  dragged(pane, (dx, dy) => {
    pane.scrollLeft -= dx;
    pane.scrollTop -= dy;
    wasHeld = true;
  });
  dragged(map, (dx, dy) => {
    if (!graph) return;
    const by = (scale * Math.max(graph.width, graph.height)) / MAP;
    pane.scrollLeft += dx * by;
    pane.scrollTop += dy * by;
    wasHeld = true;
  });
  const watched = new ResizeObserver(overview);
  watched.observe(pane);

  return {
    node,
    pane,
    zoom,
    fit,
    /** @param {import("./graph.js").Graph} drawn */
    show(drawn) {
      graph = drawn;
      scale = 1;
      wasHeld = false;
      pane.replaceChildren(drawn.root);
      const longer = Math.max(drawn.width, drawn.height);
      map.setAttribute("viewBox", `0 0 ${drawn.width} ${drawn.height}`);
      map.setAttribute("width", String(Math.max(24, (MAP * drawn.width) / longer)));
      map.setAttribute("height", String(Math.max(24, (MAP * drawn.height) / longer)));
      const all = new Set([...drawn.boxes.values()].map((one) => one.box));
      map.replaceChildren(...[...all].map((box) => svg("rect", { class: "nba-node", x: box.x - box.w / 2 + 8, y: box.y - box.h / 2 + 8, width: box.w, height: box.h, rx: 1 })), frame);
      size();
    },
    /** Bring a box into sight, unless a person has moved the graph. @param {import("./graph.js").Box} box */
    reveal(box) {
      if (wasHeld) return;
      const [x, y] = [(box.x + 8) * scale, (box.y + 8) * scale];
      const half = (box.h * scale) / 2;
      if (pane.scrollWidth > pane.clientWidth) pane.scrollLeft = x - pane.clientWidth / 2;
      if (y - half < pane.scrollTop || y + half > pane.scrollTop + pane.clientHeight) pane.scrollTop = y - pane.clientHeight / 2;
    },
    end: () => watched.disconnect(),
  };
}

/** @param {Element} target @param {(dx: number, dy: number) => void} moved */
function dragged(target, moved) {
  /** @type {{x: number, y: number} | null} */
  let from = null;
  target.addEventListener("pointerdown", (event) => {
    const pointer = /** @type {PointerEvent} */ (event);
    if (pointer.pointerType === "touch" || pointer.button || !(event.target instanceof Element) || event.target.closest("[role=button]")) return;
    from = { x: pointer.clientX, y: pointer.clientY };
    target.setPointerCapture(pointer.pointerId);
  });
  target.addEventListener("pointermove", (event) => {
    if (!from) return;
    const pointer = /** @type {PointerEvent} */ (event);
    moved(pointer.clientX - from.x, pointer.clientY - from.y);
    from = { x: pointer.clientX, y: pointer.clientY };
  });
  for (const end of ["pointerup", "pointercancel"]) target.addEventListener(end, () => (from = null));
}
