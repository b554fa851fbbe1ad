// What the last super-step changed, or what differs between two checkpoints.
// @ts-check
import { el } from "../dom.js";
import { changeRow } from "./values.js";

/** @typedef {import("./said.js").Now | import("./said.js").Past} Shown */

/** What the changes are of, and what is said where there are none. @param {Shown} shown @returns {[string, string]} */
export function headed(shown) {
  if ("compared" in shown && shown.compared) return [`Checkpoint ${shown.compared[0]} → ${shown.compared[1]}`, "The two are equal."];
  if (shown.changed_in) return [`Changed in super-step ${shown.changed_in}`, "Nothing."];
  const isSet = "kind" in shown && shown.kind !== "step";
  return [isSet ? `Set by the ${shown.kind}` : "Changes", "What each super-step changes appears here."];
}

export function changesPart() {
  const node = el("div");
  return {
    node,
    /** @param {Shown} shown */
    show(shown) {
      const [heading, empty] = headed(shown);
      node.replaceChildren(el("h4", "", heading), ...shown.changes.map(changeRow));
      if (!shown.changes.length) node.append(el("div", "nba-muted nba-empty", empty));
    },
  };
}
