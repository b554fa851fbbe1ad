// A node's card: what it did, wrote, printed, emitted, and why it failed.
// @ts-check
import { button, clock, el, toned, worded } from "../dom.js";
import { tree } from "./values.js";

/**
 * @param {string} name @param {any} node @param {{open?: (thread: string) => void, more?: any, close?: () => void}} [acts]
 */
export function card(name, node, acts = {}) {
  const box = el("section", "nba-card");
  box.setAttribute("aria-label", `node ${name}`);
  const head = el("div", "nba-card-head");
  head.append(el("b", "", name), el("span", `nba-pill ${toned(node.status)}`, worded(node.status)));
  head.append(el("span", "nba-muted nba-facts", facts(node).join(" · ")));
  if (acts.close) head.append(button("×", "nba-link", acts.close, "Close the card"));
  box.append(head);
  if (node.warning) box.append(el("div", "nba-warning", node.warning));
  if (node.failure) {
    box.append(el("div", "nba-error", `${node.failure.type}: ${node.failure.message}`));
    const details = el("details", "nba-long");
    details.append(el("summary", "", "Traceback"), el("pre", "", node.failure.traceback));
    box.append(details);
  }
  for (const inner of node.inner_threads || []) {
    const open = acts.open;
    if (!open) break;
    box.append(button(`Open ${inner}`, "nba-button", () => open(inner), "Look into the graph that this node runs"));
  }
  part(box, "read", node.reads || []);
  part(box, "wrote", node.writes);
  if (node.effects && node.effects.length) {
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
    const printed = el("pre", "nba-printed", node.printed);
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

/** @param {any} node */
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

/** @param {HTMLElement} box @param {string} title @param {Array<[string, any]>} rows */
function part(box, title, rows) {
  if (!rows.length) return;
  box.append(el("div", "nba-muted", title));
  for (const [field, value] of rows) {
    const row = el("div", "nba-row");
    row.append(el("span", "nba-key", field), tree(value));
    box.append(row);
  }
}
