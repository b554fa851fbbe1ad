// The state as a tree with search; only the fields that changed are drawn anew.
// @ts-check
import { button, el } from "../dom.js";
import { tree } from "./values.js";

/** @param {(what: string, args: object) => Promise<any>} ask */
export function statePanel(ask) {
  const node = el("div", "nba-state");
  const search = /** @type {HTMLInputElement} */ (el("input", "nba-input nba-search"));
  search.type = "search";
  search.placeholder = "Search the state (names and values)";
  search.setAttribute("aria-label", "search the state");
  const hits = el("div", "nba-hits");
  hits.setAttribute("role", "status");
  const list = el("div");
  node.append(search, hits, list);
  /** @type {Map<string, HTMLElement>} */
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
    hits.replaceChildren(el("div", "nba-muted", found.hits.length ? `${count} found` : `Nothing holds “${text}”.`));
    for (const hit of found.hits) {
      const row = el("div", "nba-hit");
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
    event.stopPropagation();
    if (event.key === "Escape") {
      search.value = "";
      find();
    }
  });
  /** @param {Array<string | number>} path @param {number} offset */
  const more = (path, offset) => ask("value", { path, offset, checkpoint });

  return {
    node,
    search,
    /**
     * @param {Record<string, any>} values @param {Set<string> | null} changed null: all of them
     * @param {number | null} at the checkpoint; null is the latest
     */
    show(values, changed, at) {
      checkpoint = at;
      for (const [name, row] of rows) {
        if (!(name in values)) {
          row.remove();
          rows.delete(name);
        }
      }
      for (const [name, value] of Object.entries(values)) {
        const old = rows.get(name);
        if (old && changed && !changed.has(name)) continue;
        const open = old ? old.querySelector("details[open]") !== null : false;
        const row = el("div", "nba-row");
        row.append(el("span", "nba-key", name), tree(value, open, [name], more));
        row.dataset.field = name;
        if (old) old.replaceWith(row);
        else list.append(row);
        rows.set(name, row);
      }
      const empty = list.querySelector(".nba-empty");
      if (rows.size) empty?.remove();
      else if (!empty) list.append(el("div", "nba-muted nba-empty", "Empty so far: no node has written a field."));
      if (search.value.trim()) find();
    },
  };
}

/** A text with what was searched for marked. @param {string} text @param {string} word */
export function marked(text, word) {
  const made = el("span", "nba-v");
  const at = text.toLowerCase().indexOf(word.toLowerCase());
  if (at < 0) {
    made.textContent = text;
    return made;
  }
  made.append(text.slice(0, at), el("mark", "", text.slice(at, at + word.length)), text.slice(at + word.length));
  return made;
}

/** The slider over the super-steps, and the way back to now. @param {{go: (index: number) => void, live: () => void}} acts */
export function replayStrip(acts) {
  const node = el("div", "nba-replay");
  const slider = /** @type {HTMLInputElement} */ (el("input"));
  slider.type = "range";
  slider.min = "0";
  slider.setAttribute("aria-label", "checkpoint to look at");
  const label = el("span", "nba-muted nba-replay-label");
  let total = 0;
  let at = 0;
  /** @param {number} index */
  const go = (index) => acts.go(Math.max(0, Math.min(total - 1, index)));
  const first = button("|◀", "nba-button", () => go(0), "The first checkpoint");
  const back = button("◀", "nba-button", () => go(at - 1), "Back one checkpoint (←)");
  const next = button("▶", "nba-button", () => go(at + 1), "Forward one checkpoint (→)");
  const live = button("Now", "nba-button", acts.live, "Back to how it stands now (Esc)");
  slider.addEventListener("input", () => go(Number(slider.value)));
  slider.addEventListener("keydown", (event) => event.key !== "Escape" && event.stopPropagation());
  node.append(first, back, slider, next, label, live);
  return {
    node,
    /** @param {number} by */
    move: (by) => go(at + by),
    /** @param {number} count @param {number | null} index null: now @param {string} text */
    show(count, index, text) {
      total = count;
      at = index === null ? count - 1 : index;
      node.hidden = count < 2;
      slider.max = String(Math.max(0, count - 1));
      if (document.activeElement !== slider || Number(slider.value) !== at) slider.value = String(at);
      slider.setAttribute("aria-valuetext", text);
      label.textContent = text;
      first.disabled = back.disabled = at <= 0;
      next.disabled = at >= count - 1;
      live.disabled = index === null;
      node.classList.toggle("nba-past", index !== null);
    },
  };
}
