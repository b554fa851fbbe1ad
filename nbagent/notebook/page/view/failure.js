// A failed node: its cause, the line, what it read, what is kept, and the ways to go on.
// @ts-check
import { action, button, clock, el, line, statusMark } from "../dom.js";
import { cause, traceback } from "./card.js";

/** @typedef {import("./said.js").Told} Told */
/** @typedef {{retry: () => void, edit: () => void, isEditing: boolean, isOne: boolean, skip?: HTMLElement}} Ways */

/** The cells of a notebook by their numbers; JupyterLab's page shows them so. @param {string} cell "In[3]" @returns {Element | null} */
export function cellNamed(cell) {
  const wanted = cell.replace(/^In/, "");
  const prompts = [...document.querySelectorAll(".jp-InputArea-prompt")];
  return prompts.find((one) => one.textContent?.replace(/[\s:]/g, "") === wanted)?.closest(".jp-Cell") ?? null;
}

/** @param {string} name @param {import("./said.js").NodeState} node @param {Told | null} told what the kernel knows of it @param {Ways} ways */
export function failureCard(name, node, told, ways) {
  const box = el("section", "nba-card nba-on nba-t-red nba-failed");
  box.setAttribute("aria-label", `node ${name} failed`);
  const head = el("header");
  const attempts = told?.attempts ?? [];
  const facts = [
    attempts.length > 1 ? `${attempts.length} attempts · ${attempts.map(clock).join(", ")}` : "",
    attempts.length < 2 && node.duration !== null ? clock(node.duration) : "",
    node.total > 1 ? `${node.finished} of ${node.total} tasks kept` : "",
  ];
  head.append(statusMark("failed"), el("b", "", name), el("span", "nba-meta", facts.filter(Boolean).join(" · ")), el("span", "nba-grow"));
  if (told?.kept) head.append(el("span", "nba-meta", told.kept));
  const body = el("div", "nba-card-body");
  box.append(head, body);
  const failed = node.failure ?? { type: "", message: "it failed", traceback: "" };
  body.append(cause(failed));
  if (told?.where) body.append(...place(told.where));
  const pairs = el("div", "nba-kv");
  for (const [field, text] of told?.read ?? []) pairs.append(el("span", "", `read ${field}`), el("code", "", text));
  if (told?.nearest) pairs.append(el("span", "", "nearest name"), el("span", "", told.nearest));
  if (pairs.children.length) body.append(pairs);
  const keys = el("div", "nba-row");
  if (ways.isOne) keys.append(action("Retry", "retrying", ways.retry, { kind: ways.isEditing ? "" : "go", tip: "Run it again (r)", key: "retry" }));
  const edit = action("Edit & retry", "pen", ways.edit, { tip: "Correct what it read, then go on", key: "edit" });
  edit.setAttribute("aria-expanded", String(ways.isEditing));
  keys.append(edit);
  if (ways.skip) keys.append(ways.skip);
  keys.append(el("span", "nba-grow"));
  if (failed.traceback) keys.append(traceback(failed.traceback, told?.frames));
  body.append(keys);
  return box;
}

/** Where it failed, and the lines around. @param {NonNullable<Told["where"]>} where */
function place(where) {
  const said = el("span", "", `${where.cell ? `Cell ${where.cell}` : where.file}, line ${where.line}, in `);
  said.append(el("code", "", where.name));
  const at = line("nba-row nba-meta", said);
  if (where.cell.startsWith("In[")) {
    at.append(button("Go to the cell", "nba-lnk", () => cellNamed(where.cell)?.scrollIntoView({ block: "center", behavior: "smooth" })));
  }
  if (!where.source.length) return [at];
  const source = el("div", "nba-src");
  source.tabIndex = 0;
  source.setAttribute("aria-label", `source, line ${where.line} failed`);
  for (const [number, text] of where.source) {
    const row = el("span", number === where.line ? "nba-bad" : "");
    row.append(el("i", "", String(number)), el("span", "nba-text", text));
    source.append(row);
  }
  return [at, source];
}
