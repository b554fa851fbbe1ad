// A button that opens a short list of things to do.
// @ts-check
import { button, el } from "../dom.js";

/** @typedef {{label: string, act: () => void}} Item */

/** @param {() => HTMLButtonElement} made the button @param {() => Item[]} items */
export function menuPart(made, items) {
  const node = el("span", "nba-menu");
  const head = made();
  head.setAttribute("aria-haspopup", "menu");
  head.setAttribute("aria-expanded", "false");
  const list = el("div", "nba-menu-list");
  list.setAttribute("role", "menu");
  list.hidden = true;
  node.append(head, list);

  /** @param {boolean} [isBack] give the keyboard back to the button */
  function close(isBack) {
    list.hidden = true;
    head.setAttribute("aria-expanded", "false");
    if (isBack) head.focus();
  }

  function open() {
    list.replaceChildren(...items().map(({ label, act }) => {
      const one = button(label, "nba-menu-item", () => {
        close(true);
        act();
      });
      one.setAttribute("role", "menuitem");
      return one;
    }));
    list.hidden = false;
    head.setAttribute("aria-expanded", "true");
    if (list.firstElementChild instanceof HTMLElement) list.firstElementChild.focus();
  }

  head.addEventListener("click", () => (list.hidden ? open() : close()));
  node.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    const all = /** @type {HTMLElement[]} */ ([...list.children]);
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by) all[(all.indexOf(/** @type {HTMLElement} */ (document.activeElement)) + by + all.length) % all.length]?.focus();
    else if (event.key === "Escape") close(true);
    else if (event.key.length > 1) return;
    event.stopPropagation();
    if (by) event.preventDefault();
  });
  node.addEventListener("focusout", (event) => {
    if (!(event.relatedTarget instanceof Node) || !node.contains(event.relatedTarget)) close();
  });
  return node;
}
