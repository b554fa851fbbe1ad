// What a person typed into a form and has not sent. Nothing here touches a page.
//
// Rule 1: names are keys of a Map: a field may be called "constructor".
// @ts-check
import { applied, equal, own, rebased } from "./schema.js";

/** @typedef {import("./schema.js").Maybe} Maybe */
/** @typedef {import("./schema.js").Schema} Schema */
/** @typedef {import("./schema.js").JsonObject} JsonObject */
/** @typedef {{id: string, node: string, question: string, show: string[], beside?: JsonObject, schema?: Schema, deadline?: number | null, expiry?: string, request?: {tool: string, args: JsonObject} | null}} Question */
/** @typedef {{of: string, schema: Schema, values: JsonObject, questions: Question[], unmerged?: Record<string, string[]>, checkpoint: number, editing: boolean, expanded: boolean, finished: string, open: boolean}} Form */
/** @typedef {{path: Array<string | number>, message: string, question?: string}} Problem what the kernel refused */
/** @typedef {{fields: Map<string, Maybe>, answers: Map<string, Maybe>, note: string}} Typed answers by the question's id */

const PAUSE = 600; // milliseconds without a key: then an undo step ends

/** @returns {Typed} */
export function nothing() {
  return { fields: new Map(), answers: new Map(), note: "" };
}

/** @param {Typed} typed */
export function isEmpty(typed) {
  return !typed.fields.size && !typed.answers.size;
}

/**
 * What changed in the state under a form, without what was typed alike.
 * @param {JsonObject} old @param {JsonObject} now @param {Map<string, Maybe>} typed @returns {import("./schema.js").Difference[]}
 */
export function moved(old, now, typed) {
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])];
  return names
    .map((name) => /** @type {import("./schema.js").Difference} */ ([name, own(old, name), own(now, name)]))
    .filter(([name, before, after]) => !equal(before, after) && !(typed.has(name) && equal(applied(typed.get(name)), after)));
}

/** What of it still has a place in a form over another state. @param {Typed} typed @param {Form} next @returns {Typed} */
export function carried(typed, next) {
  const asked = new Set(next.questions.map((question) => question.id));
  const fields = [...typed.fields]
    .filter(([name]) => own(next.schema.properties, name) !== undefined)
    .map(([name, value]) => /** @type {[string, Maybe]} */ ([name, rebased(value, own(next.values, name))]));
  return {
    fields: new Map(fields.filter(([, value]) => value !== undefined)),
    answers: new Map([...typed.answers].filter(([id]) => asked.has(id))),
    note: typed.note,
  };
}

/** The answers whose questions a form does not ask any more. @param {Typed} typed @param {Typed} still what was carried @returns {Typed} */
export function dropped(typed, still) {
  return { ...nothing(), answers: new Map([...typed.answers].filter(([id]) => !still.answers.has(id))) };
}

/** It without some of the fields. @param {Typed} typed @param {string[]} names @returns {Typed} */
export function without(typed, names) {
  return { ...typed, fields: new Map([...typed.fields].filter(([name]) => !names.includes(name))) };
}

/** What is typed now, and the steps back from it. @param {() => number} [time] milliseconds */
export function undoSteps(time = Date.now) {
  /** @type {Typed[]} */
  let done = [];
  let current = nothing();
  let typedAt = 0;
  return {
    current: () => current,
    isEmpty: () => !done.length,
    /** A key was pressed. @param {Typed} now */
    type(now) {
      if (time() - typedAt > PAUSE) done.push(current);
      typedAt = time();
      current = now;
    },
    /** Something else took its place, as one step. @param {Typed} now */
    step(now) {
      done.push(current);
      typedAt = 0;
      current = now;
    },
    /** Go on from this; the way back stays as it is. @param {Typed} now */
    start(now) {
      typedAt = 0;
      current = now;
    },
    /** The step before, or null. */
    back() {
      const last = done.pop() ?? null;
      typedAt = 0;
      if (last) current = last;
      return last;
    },
    forget() {
      done = [];
    },
  };
}
