// A node's card: what it did, wrote, printed, emitted, and why it failed.
// @ts-check
import { button, clock, el, toned, worded } from "../dom.js";
import { folded, tree } from "./values.js";

/** @typedef {import("./said.js").NodeState} NodeState */
/** @typedef {import("./said.js").Row} Row */

/** @param {string} name @param {NodeState} node @param {{reads: Row[], open: (thread: string) => void, close?: () => void}} given */
export function card(name, node, { reads, open, close }) {
  const box = el("section", "nba-card");
  box.setAttribute("aria-label", `node ${name}`);
  const head = el("div", "nba-card-head");
  head.append(el("b", "", name), el("span", `nba-pill ${toned(node.status)}`, worded(node.status)));
  head.append(el("span", "nba-muted nba-facts", facts(node).join(" · ")));
  if (close) head.append(keyed("close", button("×", "nba-link", close, "Close the card")));
  box.append(head);
  if (node.warning) box.append(el("div", "nba-warning", node.warning));
  if (node.failure) {
    const said = el("div", "nba-error");
    said.append(folded(`${node.failure.type}: ${node.failure.message}`));
    box.append(said);
    const details = el("details", "nba-long nba-trace");
    details.append(keyed("trace", el("summary", "", "Traceback")), el("pre", "", node.failure.traceback));
    box.append(details);
  }
  for (const inner of node.inner_threads) {
    box.append(keyed(inner, button(`Open ${inner}`, "nba-button", () => open(inner), "Look into the graph that this node runs")));
  }
  part(box, "read", reads);
  part(box, "wrote", node.writes);
  if (node.effects.length) {
    box.append(el("div", "nba-muted", "effects"));
    for (const [key, status] of node.effects) {
      const row = el("div", "nba-row");
      row.append(el("span", "nba-key", key), el("span", `nba-v nba-effect-${status}`, EFFECTS[status] || status));
      box.append(row);
    }
  }
  if (node.emitted.length) {
    const stream = el("div", "nba-emitted");
    stream.setAttribute("aria-label", `what ${name} emitted`);
    for (const item of node.emitted) stream.append(el("div", "", item));
    box.append(el("div", "nba-muted", "emitted"), stream);
  }
  if (node.printed) {
    const printed = keyed("printed", el("pre", "nba-printed", node.printed));
    printed.tabIndex = 0;
    printed.setAttribute("role", "log");
    printed.setAttribute("aria-label", `what ${name} printed`);
    box.append(printed);
  }
  if (!node.failure && !node.writes.length && !node.emitted.length && !node.printed) {
    box.append(el("div", "nba-muted", node.status === "idle" ? "It did not run in this super-step." : "Nothing written yet."));
  }
  return box;
}

/** @type {Record<string, string>} */
const EFFECTS = { done: "✓ done, not made again", open: "… begun, outcome not known", void: "− did not happen" };

/** What keeps the keyboard when the card is drawn anew. @template {HTMLElement} E @param {string} key @param {E} made */
function keyed(key, made) {
  made.dataset.key = key;
  return made;
}

/** @param {NodeState} node */
function facts(node) {
  const found = [];
  if (node.total > 1) found.push(`${node.finished} of ${node.total} tasks`);
  const left = node.status === "retrying" ? node.retry_at - Date.now() / 1000 : 0;
  if (left > 0) found.push(`again in ${clock(left)}`);
  if (node.attempt > 1) found.push(`attempt ${node.attempt}`);
  if (node.cached) found.push("from the cache");
  if (node.duration !== null) found.push(clock(node.duration));
  if (node.runs > 1) found.push(`${node.runs} runs`);
  return found;
}

/** @param {HTMLElement} box @param {string} title @param {Row[]} rows */
function part(box, title, rows) {
  if (!rows.length) return;
  box.append(el("div", "nba-muted", title));
  for (const [field, value] of rows) {
    const row = el("div", "nba-row");
    row.append(el("span", "nba-key", field), tree(value));
    box.append(row);
  }
}
