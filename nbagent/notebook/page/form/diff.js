// Differences between values, as a form lists them.
// @ts-check
import { el } from "../dom.js";
import { press } from "./marks.js";
import { brief, told } from "./schema.js";

/** @typedef {import("./schema.js").Maybe} Maybe */

const SHOWN = 8; // changes of one field that are listed

/** @param {string} name @param {Maybe} was @param {Maybe} now */
export function diffRows(name, was, now) {
  const found = told(was, now, name);
  const rows = found.slice(0, SHOWN).map(([path, before, after]) => {
    const row = el("div", "nbf-diff");
    row.append(el("b", "", path));
    if (before !== undefined) row.append(el("del", "", brief(before)));
    row.append(el("span", "", after === undefined ? "removed" : before === undefined ? "added" : "→"));
    if (after !== undefined) row.append(el("ins", "", brief(after)));
    return row;
  });
  if (found.length > SHOWN) rows.push(el("div", "nbf-muted", `… and ${found.length - SHOWN} more in ${name}`));
  return rows;
}

/**
 * What changed under a form, and a way to take it where something else was typed.
 * @param {import("./schema.js").Difference[]} news @param {string[]} mine the fields that were typed, too @param {() => void} take
 */
export function newsBox(news, mine, take) {
  const box = el("div", "nbf-news");
  box.setAttribute("role", "alert");
  box.append(el("div", "", "The state changed while you were typing. Nothing was overwritten: what you typed is still here, on top of this."));
  for (const [name, was, now] of news) box.append(...diffRows(name, was, now));
  if (mine.length) box.append(press(`Take the new ${mine.join(", ")}`, "nbf-small", take));
  return box;
}

/** What was typed and can no longer be sent, to be read and copied. @param {import("./typed.js").Typed} typed @param {() => void} dismissed */
export function unsentBox(typed, dismissed) {
  const box = el("div", "nbf-news");
  box.setAttribute("role", "alert");
  box.append(el("div", "", "The run has gone on. What you had typed here was not sent:"));
  for (const [name, value] of [...typed.answers, ...typed.fields]) {
    const label = typed.fields.has(name) ? name : "answer";
    box.append(el("b", "", label), el("pre", "nbf-unsent", typeof value === "string" ? value : JSON.stringify(value, null, 2)));
  }
  if (typed.note) box.append(el("b", "", "note"), el("pre", "nbf-unsent", typed.note));
  box.append(press("Dismiss", "nbf-small", () => {
    box.remove();
    dismissed();
  }));
  return box;
}
