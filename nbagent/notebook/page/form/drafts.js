// What was typed and not sent, kept while the page is away: over a reload, a kernel restart, a view
// that is drawn anew. It stays in the tab, and goes when it is sent or dismissed.
// @ts-check
import { nothing } from "./typed.js";

/** @typedef {import("./typed.js").Typed} Typed */
/** @typedef {import("./schema.js").Maybe} Maybe */
/** @typedef {{mine: Typed, values: import("./schema.js").JsonObject}} Draft what was typed, and the values that the fields of it had */

const PREFIX = "nbagent typed ";

/** JSON has no undefined: an entry without a value stands for it. @param {Map<string, Maybe>} entries */
const packed = (entries) => [...entries].map(([name, value]) => (value === undefined ? [name] : [name, value]));

/** @param {string} of the thread @param {Typed} typed @param {import("./schema.js").JsonObject} values of the state under it */
export function keep(of, typed, values) {
  if (!typed.fields.size && !typed.answers.size) return forget(of);
  const base = Object.fromEntries([...typed.fields.keys()].filter((name) => Object.hasOwn(values, name)).map((name) => [name, values[name]]));
  const text = JSON.stringify({ fields: packed(typed.fields), answers: packed(typed.answers), note: typed.note, base });
  try {
    sessionStorage.setItem(PREFIX + of, text);
  } catch {
    // the tab has no room for it, or may keep nothing: it stays in the form
  }
}

/** @param {string} of the thread @returns {Draft | null} */
export function draftOf(of) {
  try {
    const { fields, answers, note, base } = JSON.parse(sessionStorage.getItem(PREFIX + of) ?? "");
    return { mine: { ...nothing(), fields: new Map(fields), answers: new Map(answers), note }, values: base };
  } catch {
    return null;
  }
}

/** @param {string} of the thread */
export function forget(of) {
  try {
    sessionStorage.removeItem(PREFIX + of);
  } catch {
    // it never had any
  }
}
