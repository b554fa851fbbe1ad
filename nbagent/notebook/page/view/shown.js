// What is looked at: how the thread stands now, or a checkpoint of its past.
//
// Rule 1: `past` is a checkpoint that the person looks at; without one, the view shows now.
// Rule 2: one question at a time: of the places that a slider passes only the last is asked for.
// @ts-check
import { merged } from "./said.js";

/** @typedef {import("./said.js").Now} Now */
/** @typedef {import("./said.js").Past} Past */
/** @typedef {{index?: number, step?: number, checkpoint?: number}} Place */

/** @param {Now} first @param {import("./said.js").Ask} ask */
export function shownThread(first, ask) {
  let now = first;
  /** @type {Past | null} */
  let past = null;
  let looking = 0;
  let isAsking = false;
  /** Wakes the one that waits for its turn. @type {(() => void) | null} */
  let next = null;

  /** @param {Place} place @param {number} against */
  async function found(place, against) {
    const at = await ask("at", place);
    if (!at) return null;
    if (!against || against === at.checkpoint) return at.is_latest && now.status !== "running" && !against ? "now" : at;
    const both = await ask("compare", { a: against, b: at.checkpoint });
    /** @type {[number, number]} */
    const compared = [against, at.checkpoint];
    return both ? { ...at, changes: both.changes, compared } : at;
  }

  return {
    now: () => now,
    past: () => past,
    all: () => past || now,
    /** Null is the latest. */
    checkpoint: () => (past ? past.checkpoint : null),
    /** @param {Now} state */
    replace(state) {
      now = state;
    },
    /** @param {import("./said.js").Patch} patch */
    take(patch) {
      now = merged(now, patch);
    },
    live() {
      looking++;
      past = null;
    },
    /**
     * Look at a place of the past; true when it is shown, false when it could not be found or
     * another place has been asked for meanwhile.
     * @param {Place} place @param {number} [against] a checkpoint to compare it with
     * @returns {Promise<boolean>}
     */
    async look(place, against = 0) {
      const own = ++looking;
      if (isAsking) {
        await new Promise((resolve) => {
          if (next) next();
          next = () => resolve(null);
        });
        if (own !== looking) return false;
      }
      isAsking = true;
      try {
        const seen = await found(place, against);
        if (!seen || own !== looking) return false;
        past = seen === "now" ? null : seen;
        return true;
      } finally {
        isAsking = false;
        const waiting = next;
        next = null;
        if (waiting) waiting();
      }
    },
  };
}
