// The tabs beside the graph: which one is open, and when what it shows is fetched anew.
//
// Rule 1: the tabs are those of the table that is given; nothing else knows how many there are.
// Rule 2: a new status opens `Now`, unless a person has chosen another tab in the last seconds.
// @ts-check
import { button, el, plain } from "../dom.js";

/** @typedef {{name: string, key: string, panel: HTMLElement, refill: () => void}} Tab `refill` brings the panel up to date */

const OFTEN = 500; // milliseconds between two refills
const CHOSEN = 10_000; // milliseconds in which a person's choice of a tab stands

/** @param {Tab[]} tabs the first is open at the beginning @param {{turned: (tab: Tab) => void}} acts */
export function tabsPart(tabs, { turned }) {
  const node = el("div", "nba-side nba-right");
  const strip = el("div", "nba-tabs");
  strip.setAttribute("role", "tablist");
  let open = tabs[0];
  let resting = 0;
  let isDue = false;
  let chosenAt = -Infinity;

  const heads = new Map(tabs.map((tab) => {
    const head = button(tab.name, "nba-tab", () => choose(tab), `${tab.name} (${tab.key})`);
    head.setAttribute("role", "tab");
    tab.panel.setAttribute("role", "tabpanel");
    tab.panel.setAttribute("aria-label", tab.name);
    tab.panel.classList.add("nba-pane", "nba-panel");
    tab.panel.tabIndex = 0;
    return [tab, head];
  }));
  strip.append(...heads.values());
  node.append(strip, ...tabs.map((tab) => tab.panel));

  /** @param {Tab} tab */
  function choose(tab) {
    chosenAt = performance.now();
    turn(tab);
  }

  /** @param {Tab} tab */
  function turn(tab) {
    open = tab;
    for (const [other, head] of heads) {
      head.setAttribute("aria-selected", String(other === tab));
      head.tabIndex = other === tab ? 0 : -1;
      other.panel.hidden = other !== tab;
    }
    turned(tab);
    tab.refill();
  }

  strip.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.stopPropagation();
    const shown = tabs.filter((tab) => !heads.get(tab)?.hidden);
    choose(shown[(shown.indexOf(open) + by + shown.length) % shown.length]);
    heads.get(open)?.focus();
  });

  /** Bring the open tab up to date: at once, or soon where that was done just now. */
  function refill() {
    if (resting) {
      isDue = true;
      return;
    }
    resting = window.setTimeout(() => {
      resting = 0;
      if (isDue) refill();
      isDue = false;
    }, OFTEN);
    open.refill();
  }

  return {
    node,
    help: `1–${tabs.length} tabs`,
    keys: new Map(tabs.map((tab) => [tab.key, () => heads.get(tab)?.hidden || choose(tab)])),
    refill,
    start: () => turn(open),
    open: () => open,
    /** Open the tab with this panel. @param {HTMLElement} panel */
    show: (panel) => tabs.filter((tab) => tab.panel === panel).forEach(turn),
    /** Something new is in the tab with this panel: open it, if nobody has just chosen another. @param {HTMLElement} panel */
    offer(panel) {
      if (performance.now() - chosenAt < CHOSEN) return;
      tabs.filter((tab) => tab.panel === panel && tab !== open).forEach(turn);
    },
    /** Words behind a tab's name. @param {HTMLElement} panel @param {string} text @param {string} tone classes; with no text a dot, "" for none */
    mark(panel, text, tone) {
      for (const [tab, head] of heads) {
        if (tab.panel !== panel || head.dataset.mark === text + tone) continue;
        head.dataset.mark = text + tone;
        const sign = el("span", text ? `nba-count ${tone}` : `nba-dot ${tone}`, text);
        if (!text) sign.setAttribute("aria-hidden", "true");
        head.replaceChildren(plain(tab.name), ...(text || tone ? [sign] : []));
      }
    },
    /** @param {HTMLElement} panel @param {boolean} isShown */
    reveal(panel, isShown) {
      for (const [tab, head] of heads) if (tab.panel === panel) head.hidden = !isShown;
    },
    end: () => clearTimeout(resting),
  };
}
