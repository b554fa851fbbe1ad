// A named value: its name at the left, its control at the right, what is to be known of it below.
// @ts-check
import { el } from "../dom.js";
import { brief, equal, hint } from "./schema.js";

/** @typedef {import("./schema.js").Maybe} Maybe */
/** @typedef {import("./schema.js").Schema} Schema */

/**
 * @param {string} name @param {Schema} schema @param {import("./inputs.js").Control} inner
 * @param {{isRequired?: boolean, was?: Maybe, note?: string}} [more] what it was before, where there was something
 */
export function fieldRow(name, schema, inner, { isRequired = false, was, note } = {}) {
  const row = el("div", "nbf-field");
  const label = el("div", "nbf-name");
  const required = el("span", "nbf-req", isRequired ? "required" : "");
  const sign = el("em", "", isRequired ? " · changed" : "changed");
  sign.hidden = true;
  required.append(sign);
  label.append(el("span", "", name), required);
  const before = el("div", "nbf-was");
  before.hidden = true;
  const said = [note ?? hint(schema)].filter(Boolean).map((text) => el("div", "nbf-hint", text));
  row.append(label, inner.node, ...said, before);
  row.dataset.field = name;
  const isPlain = was === null || (was !== undefined && typeof was !== "object");
  return {
    row,
    inner,
    /** Mark it, with what it was. @param {boolean} isChanged */
    mark(isChanged) {
      if (row.classList.contains("nbf-changed") === isChanged) return;
      row.classList.toggle("nbf-changed", isChanged);
      sign.hidden = !isChanged;
      before.hidden = !isChanged || !isPlain;
      before.replaceChildren("was ", el("del", "", was === "" ? "(empty)" : brief(was)));
    },
    /** @param {Maybe} now */
    isAsBefore: (now) => equal(now, was),
  };
}
