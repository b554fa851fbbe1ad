// A node's card: what it did, read, wrote, printed and said.
// @ts-check
import { action, button, clock, el, line, sign, statusMark, toned } from "../dom.js";
import { prose } from "../prose.js";
import { folded, tree } from "./values.js";

/** @typedef {import("./said.js").NodeState} NodeState */
/** @typedef {import("./said.js").Row} Row */

/**
 * @param {string} name @param {NodeState} node
 * @param {{reads: Row[], said: string, open: (thread: string) => void, close?: () => void}} given `said` is what it streamed
 */
export function card(name, node, { reads, said, open, close }) {
  const box = el("section", `nba-card nba-on ${toned(node.status)}`);
  box.setAttribute("aria-label", `node ${name}`);
  const head = el("header");
  head.append(statusMark(node.status), el("b", "", name), el("span", "nba-meta", facts(node).join(" · ")), el("span", "nba-grow"));
  if (close) head.append(action("", "x", close, { kind: "quiet", tip: "Close the card", key: "close" }));
  const body = el("div", "nba-card-body");
  box.append(head, body);
  if (node.warning) body.append(line("nba-note nba-warning nba-t-amber", sign("lost"), el("span", "nba-grow", node.warning)));
  if (node.failure) body.append(failure(node.failure));
  for (const inner of node.inner_threads) {
    body.append(keyed(inner, button(`Open ${inner}`, "nba-btn nba-inner-open", () => open(inner), "Look into the graph that this node runs")));
  }
  part(body, "read", reads);
  part(body, "wrote", node.writes);
  if (node.effects.length) {
    const rows = node.effects.map(([key, status]) => line("nba-row nba-pair", el("span", "nba-key", key), el("span", `nba-v nba-effect-${status}`, EFFECTS[status] || status)));
    body.append(el("h4", "", "effects"), ...rows);
  }
  if (said) body.append(el("h4", "", "said"), prose(said));
  else if (node.emitted.length) {
    const stream = el("div", "nba-emitted nba-mono");
    stream.setAttribute("aria-label", `what ${name} emitted`);
    for (const item of node.emitted) stream.append(el("div", "", item));
    body.append(el("h4", "", "emitted"), stream);
  }
  if (node.printed) body.append(printed(name, node.printed));
  if (!node.failure && !node.writes.length && !node.emitted.length && !node.printed && !said) {
    body.append(el("div", "nba-soft nba-muted", node.status === "idle" ? "It did not run in this step." : "Nothing written yet."));
  }
  return box;
}

/** What a node printed. @param {string} name @param {string} text */
export function printed(name, text) {
  const made = keyed("printed", el("pre", "nba-printed", text));
  made.tabIndex = 0;
  made.setAttribute("role", "log");
  made.setAttribute("aria-live", "off");
  made.setAttribute("aria-label", `what ${name} printed`);
  return made;
}

/** @param {import("./said.js").Failure} failed */
function failure(failed) {
  const made = el("div", "nba-failure");
  made.append(cause(failed), traceback(failed.traceback));
  return made;
}

/** Type and message. @param {{type: string, message: string}} failed */
export function cause({ type, message }) {
  const made = el("div", "nba-mono nba-cause");
  made.append(el("b", "", type), ": ", folded(message));
  return made;
}

/** @param {string} text @param {number} [frames] */
export function traceback(text, frames) {
  const details = el("details", "nba-long nba-trace");
  const head = keyed("trace", el("summary", "nba-soft"));
  head.append(sign("tw", "nba-tw"), el("span", "", "Traceback"));
  if (frames) head.append(el("span", "nba-meta", `${frames} ${frames === 1 ? "frame" : "frames"}`));
  details.append(head, el("pre", "", text));
  return details;
}

/** @type {Record<string, string>} */
const EFFECTS = { done: "✓ done, not made again", open: "… begun, outcome not known", void: "− did not happen" };

/** What keeps the keyboard when the card is drawn anew. @template {HTMLElement} E @param {string} key @param {E} made */
function keyed(key, made) {
  made.dataset.key = key;
  return made;
}

/** @param {NodeState} node */
export function facts(node) {
  const found = [];
  if (node.total > 1) found.push(`${node.finished} of ${node.total} tasks`);
  const left = node.status === "retrying" ? node.retry_at - Date.now() / 1000 : 0;
  if (left > 0) found.push(`again in ${clock(left)}`);
  if (node.attempt > 1) found.push(`attempt ${node.attempt}`);
  if (node.cached) found.push("from the cache");
  if (node.step) found.push(`step ${node.step}`);
  if (node.duration !== null) found.push(clock(node.duration));
  if (node.runs > 1) found.push(`${node.runs} runs`);
  return found;
}

/** @param {HTMLElement} box @param {string} title @param {Row[]} rows */
function part(box, title, rows) {
  if (!rows.length) return;
  box.append(el("h4", "", title));
  for (const [field, value] of rows) box.append(line("nba-row nba-pair", el("span", "nba-key", field), tree(value)));
}
