// The tabs beside the graph: which one is open, and when what it shows is fetched anew.
//
// Rule 1: the tabs are those of the table that is given; nothing else knows how many there are.
// @ts-check
import { button, el } from "../dom.js";

/** @typedef {{name: string, key: string, panel: HTMLElement, refill: () => void}} Tab `refill` brings the panel up to date */

const OFTEN = 500; // milliseconds between two refills

/** @param {Tab[]} tabs the first is open at the beginning */
export function tabsPart(tabs) {
  const node = el("div", "nba-right");
  const strip = el("div", "nba-tabs");
  strip.setAttribute("role", "tablist");
  let open = tabs[0];
  let resting = 0;
  let isDue = false;

  const heads = new Map(tabs.map((tab) => {
    const head = button(tab.name, "nba-tab", () => turn(tab), `${tab.name} (${tab.key})`);
    head.setAttribute("role", "tab");
    tab.panel.setAttribute("role", "tabpanel");
    tab.panel.setAttribute("aria-label", tab.name);
    tab.panel.classList.add("nba-panel");
    tab.panel.tabIndex = 0;
    return [tab, head];
  }));
  strip.append(...heads.values());
  node.append(strip, ...tabs.map((tab) => tab.panel));

  /** @param {Tab} tab */
  function turn(tab) {
    open = tab;
    for (const [other, head] of heads) {
      head.setAttribute("aria-selected", String(other === tab));
      head.tabIndex = other === tab ? 0 : -1;
      other.panel.hidden = other !== tab;
    }
    tab.refill();
  }

  strip.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.stopPropagation();
    turn(tabs[(tabs.indexOf(open) + by + tabs.length) % tabs.length]);
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

  turn(open);
  return {
    node,
    help: `${tabs[0].key}–${tabs[tabs.length - 1].key} tabs`,
    keys: new Map(tabs.map((tab) => [tab.key, () => turn(tab)])),
    refill,
    /** Open the tab with this panel. @param {HTMLElement} panel */
    show: (panel) => tabs.filter((tab) => tab.panel === panel).forEach(turn),
    end: () => clearTimeout(resting),
  };
}
