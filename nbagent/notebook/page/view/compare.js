// Two checkpoints beside each other: the way to each, its time and cost, the code, and what differs.
// @ts-check
import { action, clock, el, line, money } from "../dom.js";
import { changeBlock } from "./changes.js";

/** @typedef {import("./said.js").Compared} Compared */

/**
 * @param {{ask: import("./said.js").Ask, done: () => void, swap: () => void}} given
 */
export function comparePart({ ask, done, swap }) {
  const node = el("div", "nba-compare");
  let asked = 0;

  return {
    node,
    /** @param {{a: number, b: number} | null} pair `a` is 0 while it is to be chosen @param {(id: number) => string} named */
    async show(pair, named) {
      const own = ++asked;
      if (!pair) return node.replaceChildren();
      const head = line("nba-row", mark("A"), el("b", "", pair.a ? named(pair.a) : "…"), el("span", "nba-soft", "against"), mark("B"), el("b", "", named(pair.b)), el("span", "nba-grow"));
      if (pair.a) head.append(action("Swap", "retrying", swap, { kind: "quiet", tip: "A and B the other way round", key: "swap" }));
      head.append(action("", "x", done, { kind: "quiet", tip: "Close the comparison", key: "close-compare" }));
      if (!pair.a) return node.replaceChildren(head, el("div", "nba-soft", "Choose the checkpoint to compare it with."));
      node.replaceChildren(head, el("div", "nba-soft", "…"));
      const found = await ask("compare", { a: pair.a, b: pair.b });
      if (own !== asked || !found) return;
      const same = found.same ?? [];
      node.replaceChildren(
        head, facts(found), ...found.changes.map(changeBlock),
        el("div", "nba-meta", found.changes.length ? `${same.length} ${same.length === 1 ? "field" : "fields"} the same${same.length ? `: ${same.join(", ")}` : ""}` : "The two are equal."),
      );
    },
  };
}

/** @param {"A" | "B"} which */
function mark(which) {
  return el("span", `nba-ab${which === "B" ? " nba-b" : ""}`, which);
}

/** @param {Compared} found */
function facts(found) {
  const table = el("table", "nba-facts-table");
  const head = el("tr");
  head.append(el("th"), el("th", "", "A"), el("th", "", "B"));
  const body = el("tbody");
  const { path, working, cost, code } = found;
  if (path) body.append(row(path.after ? `path after step ${path.after}` : "path", [path.a || "—", path.b || "—"]));
  if (working) body.append(row("working", working.map(clock), more(working[1] - working[0], clock)));
  if (cost && (cost[0] || cost[1])) body.append(row("cost", cost.map(money), more(cost[1] - cost[0], money)));
  if (code?.length) {
    const both = el("tr");
    const said = el("td");
    said.colSpan = 2;
    said.append(el("b", "", code.join(", ")), " changed in between");
    both.append(el("td", "nba-soft", "code"), said);
    body.append(both);
  }
  const top = el("thead");
  top.append(head);
  table.append(top, body);
  return table;
}

/** @param {number} by @param {(amount: number) => string} said */
function more(by, said) {
  return Math.abs(by) < 1e-9 ? "" : ` ${by > 0 ? "+" : "−"}${said(Math.abs(by)).replace(/^\$/, "$")}`;
}

/** @param {string} name @param {string[]} cells @param {string} [after] */
function row(name, cells, after = "") {
  const made = el("tr");
  made.append(el("td", "nba-soft", name), ...cells.map((text) => el("td", "", text)));
  if (after) made.lastElementChild?.append(el("span", "nba-meta", after));
  return made;
}
