// The slider over the super-steps, and the way back to now.
// @ts-check
import { button, el } from "../dom.js";

/** @param {{go: (index: number) => void, live: () => void}} acts */
export function sliderPart(acts) {
  const node = el("div", "nba-replay");
  const slider = el("input");
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
    help: "← → look at another super-step · Esc now",
    keys: new Map([["ArrowLeft", () => go(at - 1)], ["ArrowRight", () => go(at + 1)], ["Escape", acts.live]]),
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
