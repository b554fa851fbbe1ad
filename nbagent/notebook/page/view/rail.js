// The line of checkpoints over the graph: a mark for each while they fit, else a slider; and the way
// back to now.
//
// Rule 1: every mark has a name for those who hear it; it is seen while all names fit.
// @ts-check
import { action, arrange, button, el, plain } from "../dom.js";

/** @typedef {import("./said.js").Now} Now */
/** @typedef {import("./said.js").Past} Past */

const LETTER = 6.2; // pixels of a letter of a name, about
const FEW = 9; // names that may stand in a line of 800 pixels

/** What stands at the end of the line while a step is under way: its mark and its name. @param {Now} now @returns {[string, string] | null} */
export function underWay(now) {
  /** @param {...string} statuses */
  const of = (...statuses) => Object.keys(now.nodes).filter((name) => statuses.includes(now.nodes[name].status));
  if (now.status === "waiting") return ["q", `${of("waiting").join(", ") || "it"} asks`];
  if (now.status === "failed") return ["fail", of("failed").join(", ") || "failed"];
  if (now.status === "running") return ["now", of("running", "retrying", "queued").slice(0, 4).join(", ") || "running"];
  return null;
}

/** @type {Record<string, string>} */
const MARKS = { input: "in", step: "done", edit: "edit", fork: "in" };

/** @param {{go: (index: number) => void, live: () => void}} acts */
export function railPart(acts) {
  const node = el("div", "nba-rail");
  const ticks = el("div", "nba-ticks");
  ticks.setAttribute("role", "group");
  ticks.setAttribute("aria-label", "checkpoints");
  const slider = el("input", "nba-slider");
  slider.type = "range";
  slider.min = "0";
  slider.setAttribute("aria-label", "checkpoint to look at");
  const label = el("span", "nba-meta nba-rail-label");
  label.setAttribute("role", "status");
  let total = 0;
  let at = 0;
  let drawn = "";
  /** @param {number} index */
  const go = (index) => acts.go(Math.max(0, Math.min(total - 1, index)));
  const back = action("", "prev", () => go(at - 1), { kind: "quiet", tip: "Earlier (←)" });
  const next = action("", "next", () => go(at + 1), { kind: "quiet", tip: "Later (→)" });
  const live = action("Back to now", "next", acts.live, { tip: "Back to how it stands now (Esc)" });
  slider.addEventListener("input", () => go(Number(slider.value)));
  slider.addEventListener("keydown", (event) => event.key !== "Escape" && event.stopPropagation());
  const steps = el("span", "nba-slide");
  const special = el("span", "nba-specials");
  special.setAttribute("aria-hidden", "true");
  steps.append(slider, special);
  node.append(back, next, ticks, steps, label, live);

  /** @param {Now} now @param {Past | null} past */
  function marks(now, past) {
    /** @type {Array<[string, string]>} */
    const all = now.rail.map(([, kind, name]) => [MARKS[kind] ?? "done", name]);
    const end = underWay(now);
    if (end) all.push(end);
    else if (all.length) all[all.length - 1][0] = "now";
    const chosen = past ? past.index : all.length - 1;
    const said = JSON.stringify([all, chosen]);
    if (said === drawn) return;
    drawn = said;
    arrange(ticks, all.map(([kind, name], index) => {
      const isEnd = end !== null && index === all.length - 1;
      const old = /** @type {HTMLButtonElement | undefined} */ (ticks.children[index]);
      const told = JSON.stringify([kind, name, index === chosen, isEnd]);
      if (old?.dataset.said === told) return old;
      const mark = button("", `nba-k-${index === chosen && past ? "now" : kind}`, () => (isEnd ? acts.live() : go(index)), isEnd ? `now: ${name}` : `checkpoint ${now.rail[index][0]}, ${name}`);
      mark.dataset.said = told;
      mark.dataset.key = `tick ${index}`;
      if (index === chosen) {
        mark.setAttribute("aria-current", "step");
        mark.append(el("i"));
      }
      mark.append(el("span", "", name));
      return mark;
    }));
    const letters = all.reduce((sum, [, name]) => sum + name.length, 0);
    ticks.classList.toggle("nba-named", letters * LETTER + all.length * 40 < 1000);
    ticks.classList.toggle("nba-many", all.length > FEW || letters * LETTER + all.length * 40 > 560);
  }

  return {
    node,
    help: "← → look at another step · Esc now",
    keys: new Map([["ArrowLeft", () => go(at - 1)], ["ArrowRight", () => go(at + 1)], ["Escape", acts.live]]),
    /** @param {Now} now @param {Past | null} past @param {boolean} isGone */
    show(now, past, isGone) {
      total = past ? past.total : now.count;
      at = past ? past.index : total - 1;
      const isDrawn = now.rail.length > 0 && now.rail.length === now.count && (!past || past.total === now.count);
      node.hidden = isGone || total < 2;
      ticks.hidden = !isDrawn;
      steps.hidden = isDrawn;
      if (isDrawn) marks(now, past);
      else {
        slider.max = String(Math.max(0, total - 1));
        const place = Math.min(at, total - 1);
        if (document.activeElement !== slider || Number(slider.value) !== place) slider.value = String(place);
        special.replaceChildren(...now.marks.map(([index, kind]) => {
          const mark = el("i", `nba-k-${MARKS[kind] ?? "done"}`);
          mark.style.left = `${(100 * index) / Math.max(1, total - 1)}%`;
          return mark;
        }));
      }
      const told = past ? `step ${past.step} · ${past.index + 1} of ${past.total}` : `step ${now.step} · ${now.status === "running" ? "live" : "now"}`;
      slider.setAttribute("aria-valuetext", told);
      if (label.dataset.said !== told) {
        label.dataset.said = told;
        label.replaceChildren(plain(told), ...(past ? [el("span", "nba-hidden nba-looking", sentence(past))] : []));
      }
      back.disabled = at <= 0;
      next.disabled = at >= total - 1;
      live.hidden = !past;
      node.classList.toggle("nba-past", past !== null);
    },
  };
}

/** @param {Past} past */
function sentence(past) {
  const note = past.note ? ` “${past.note}”` : "";
  return ` You look at checkpoint ${past.checkpoint}, after super-step ${past.step}.${note}`;
}
