// The state as a tree with search; only the fields that changed are drawn anew, so that what a
// person has unfolded stays unfolded.
// @ts-check
import { el, keyOf, plain, textInput } from "../dom.js";
import { tree } from "./values.js";

/** @param {import("./said.js").Ask} ask */
export function statePart(ask) {
  const node = el("div", "nba-state");
  const search = textInput("nba-input nba-search", "search the state", "Search the state (names and values)");
  search.type = "search";
  const hits = el("div", "nba-hits");
  hits.setAttribute("role", "status");
  const list = el("div");
  node.append(search, hits, list);
  /** @type {Map<string, {row: HTMLElement, said: string}>} */
  const rows = new Map();
  /** @type {number | null} */
  let checkpoint = null;
  let asked = 0;

  async function find() {
    const text = search.value.trim();
    const own = ++asked;
    if (!text) {
      hits.replaceChildren();
      list.hidden = false;
      return;
    }
    const found = await ask("search", { text, checkpoint });
    if (own !== asked || !found) return;
    list.hidden = true;
    const count = found.hits.length + (found.more ? "+" : "");
    hits.replaceChildren(el("div", "nba-soft nba-muted", found.hits.length ? `${count} found` : `Nothing holds “${text}”.`));
    for (const hit of found.hits) {
      const row = el("div", "nba-found");
      row.append(el("span", "nba-path", hit.path), marked(hit.text, text));
      hits.append(row);
    }
  }
  let timer = 0;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(find, 120);
  });
  search.addEventListener("keydown", (event) => {
    if (keyOf(event) !== "Escape") return;
    search.value = "";
    find();
  });
  /** @param {Array<string | number>} path @param {number} offset */
  const more = (path, offset) => ask("value", { path, offset, checkpoint });

  return {
    node,
    focus: () => search.focus(),
    /**
     * @param {Record<string, import("./said.js").Preview>} values @param {Set<string> | null} changed null: all of them
     * @param {number | null} at the checkpoint; null is the latest
     * @param {number} step the super-step that they are of
     */
    show(values, changed, at, step) {
      checkpoint = at;
      for (const [name, { row }] of rows) {
        if (!Object.hasOwn(values, name)) {
          row.remove();
          rows.delete(name);
        }
      }
      for (const [name, value] of Object.entries(values)) {
        const old = rows.get(name);
        if (old && changed && !changed.has(name)) continue;
        const said = JSON.stringify([value, at, step]);
        if (old && old.said === said) continue;
        const open = old ? old.row.querySelector("details[open]") !== null : false;
        const row = el("div", "nba-row nba-pair");
        row.append(el("span", "nba-key", name), tree(value, open, [name], more));
        row.dataset.field = name;
        if (old) old.row.replaceWith(row);
        else list.append(row);
        rows.set(name, { row, said });
      }
      const empty = list.querySelector(".nba-empty");
      if (rows.size) empty?.remove();
      else if (!empty) list.append(el("div", "nba-soft nba-muted nba-empty", "Empty so far: no node has written a field."));
      if (search.value.trim()) find();
    },
  };
}

/** A text with what was searched for marked. @param {string} text @param {string} word */
export function marked(text, word) {
  const made = el("span", "nba-v");
  const at = text.toLowerCase().indexOf(word.toLowerCase());
  if (at < 0) {
    made.textContent = plain(text);
    return made;
  }
  made.append(plain(text.slice(0, at)), el("mark", "", text.slice(at, at + word.length)), plain(text.slice(at + word.length)));
  return made;
}
