// Many siblings of one shape: one stack with a square for each, and their counts in words.
// @ts-check
import { clock, plain, sign, signOf, svg, toned } from "../dom.js";

/** @typedef {import("./said.js").NodeState} NodeState */

const SIDE = 13; // pixels from one square to the next
const ACROSS = 20; // squares in a row
export const SQUARES = 240; // more siblings than this are a bar
const ORDER = ["done", "running", "retrying", "waiting", "failed", "cancelled", "queued", "idle", "skipped"];
/** What leads: the status that a stack has as a whole. */
const LEADS = ["failed", "waiting", "running", "retrying", "queued", "cancelled", "done"];

/** How many siblings there are of each status. @param {string[]} members @param {Record<string, NodeState>} nodes @returns {Map<string, number>} */
export function tally(members, nodes) {
  /** @type {Map<string, number>} */
  const found = new Map();
  for (const name of members) {
    const status = nodes[name]?.status ?? "idle";
    found.set(status, (found.get(status) ?? 0) + 1);
  }
  return new Map(ORDER.filter((status) => found.has(status)).map((status) => [status, found.get(status) ?? 0]));
}

/** The status of a stack. @param {Map<string, number>} counts */
export function leading(counts) {
  if (counts.get("running")) return "running";
  return LEADS.find((status) => counts.get(status)) ?? "idle";
}

/**
 * @param {import("./graph.js").Box} box @param {string[]} members
 * @returns {import("./graph.js").NodeBox}
 */
export function drawStack(box, members) {
  const [x, y] = [box.x - box.w / 2, box.y - box.h / 2];
  const group = svg("g", { class: "nba-n nba-stack nba-box nba-s-idle nba-t-plain" });
  const title = svg("title", {});
  const shape = { width: box.w, height: box.h, rx: 6 };
  group.append(title, svg("rect", { class: "nba-back", x: x + 8, y: y + 8, ...shape }), svg("rect", { class: "nba-back", x: x + 4, y: y + 4, ...shape }), svg("rect", { class: "nba-box", x, y, ...shape }));
  group.append(
    svg("text", { x: x + 32, y: y + 20, "font-weight": 600 }, box.name),
    svg("text", { class: "nba-m", x: x + box.w - 10, y: y + 20, "text-anchor": "end" }, `${members.length} siblings`),
  );
  const ground = svg("g", {});
  const words = svg("text", { class: "nba-m", x: x + 14, y: y + box.h - 25 });
  const rest = svg("text", { class: "nba-m", x: x + 14, y: y + box.h - 9 });
  group.append(ground, words, rest);
  /** @type {Element[]} */
  const squares = [];
  if (members.length <= SQUARES) {
    for (const place of members.keys()) {
      const square = svg("rect", { class: "nba-d-queued", x: x + 14 + (place % ACROSS) * SIDE, y: y + 32 + Math.floor(place / ACROSS) * SIDE, width: 10, height: 10, rx: 2 });
      squares.push(square);
      ground.append(square);
    }
  }
  /** @type {Element | null} */
  let mark = null;
  let marked = "";
  let said = "";
  return {
    group,
    box,
    mark(nodes, picked) {
      const counts = tally(members, nodes);
      const status = leading(counts);
      const classes = `nba-n nba-stack nba-box ${toned(status)}${picked === box.name || members.includes(picked ?? "") ? " nba-picked" : ""}`;
      if (group.getAttribute("class") !== classes) group.setAttribute("class", classes);
      squares.forEach((square, place) => {
        const now = `nba-d-${dot(nodes[members[place]]?.status ?? "idle")}`;
        if (square.getAttribute("class") !== now) square.setAttribute("class", now);
      });
      const slowest = members.reduce((most, name) => Math.max(most, nodes[name]?.duration ?? 0), 0);
      const told = JSON.stringify([...counts, slowest]);
      if (told === said) return;
      said = told;
      if (members.length > SQUARES) bar(ground, counts, members.length, x + 14, y + 34, box.w - 28);
      const parts = [...counts].filter(([name]) => name !== "queued" && name !== "idle");
      words.replaceChildren(...parts.map(([name, count], place) => svg("tspan", { class: `nba-w-${dot(name)}`, dx: place ? 8 : 0 }, `${count} ${name}`)));
      const left = (counts.get("queued") ?? 0) + (counts.get("idle") ?? 0);
      rest.textContent = [left ? `${left} queued` : "", slowest ? `the slowest took ${clock(slowest)}` : ""].filter(Boolean).join(" · ");
      const spoken = `${box.name}: ${members.length} siblings, ${[...counts].map(([name, count]) => `${count} ${name}`).join(", ")}`;
      group.setAttribute("aria-label", plain(spoken));
      title.textContent = plain(spoken);
      if (signOf(status) === marked) return;
      marked = signOf(status);
      mark?.remove();
      mark = marked ? sign(marked) : null;
      if (!mark) return;
      for (const [key, value] of Object.entries({ x: x + 11, y: y + 8, width: 14, height: 14 })) mark.setAttribute(key, String(value));
      group.append(mark);
    },
  };
}

/** How a square is coloured. @param {string} status */
function dot(status) {
  if (status === "waiting") return "retrying";
  return ["done", "running", "retrying", "failed"].includes(status) ? status : "queued";
}

/** @param {Element} ground @param {Map<string, number>} counts @param {number} all @param {number} x @param {number} y @param {number} width */
function bar(ground, counts, all, x, y, width) {
  let at = x;
  ground.replaceChildren(...[...counts].map(([status, count]) => {
    const part = (width * count) / all;
    const made = svg("rect", { class: `nba-d-${dot(status)}`, x: at, y, width: part, height: 12 });
    at += part;
    return made;
  }));
}
