// A tool call that waits for a person: accept it, edit its arguments, answer instead, or refuse.
//
// Rule 1: nothing is chosen at first.
// Rule 2: what was typed for one way stays while another is looked at.
// @ts-check
import { el } from "../dom.js";
import { fieldRow } from "./field.js";
import { mark, marker, segments } from "./marks.js";
import { isObject, own, seen, unset } from "./schema.js";

/** @typedef {import("./schema.js").Json} Json */
/** @typedef {import("./schema.js").Maybe} Maybe */
/** @typedef {import("./schema.js").Schema} Schema */
/** @typedef {import("./schema.js").JsonObject} JsonObject */
/** @typedef {import("./inputs.js").Control} Control */
/** @typedef {{tool: string, args: JsonObject}} Call */

/** @type {Array<{value: string, text: string, sign: string}>} */
const WAYS = [
  { value: "accept", text: "Accept", sign: "done" },
  { value: "edit", text: "Edit arguments", sign: "pen" },
  { value: "answer", text: "Answer instead", sign: "note" },
  { value: "refuse", text: "Refuse", sign: "x" },
];

/** Does a question ask for an approval? @param {Schema | undefined} schema */
export function asksApproval(schema) {
  return isObject(schema) && own(schema, "x-nbagent") === "approval";
}

/** The call in one line. @param {Call} call */
function callLine(call) {
  const box = el("div", "nbf-call");
  const names = Object.keys(call.args);
  const code = el("code");
  code.append(el("b", "", call.tool), el("span", "", `(${names.join(", ")})`));
  const head = el("div", "nbf-row");
  head.append(mark("tool"), code);
  box.append(head);
  if (!names.length) return box;
  const values = el("div", "nbf-kv");
  for (const name of names) {
    const one = call.args[name];
    const opaque = isObject(one) ? own(one, "$opaque") : undefined;
    const text = typeof opaque === "string" ? opaque : JSON.stringify(one);
    values.append(el("span", "", name), el("code", "", text.length > 400 ? `${text.slice(0, 400)}…` : text));
  }
  box.append(values);
  return box;
}

/** What a tool takes: as it says, or as what it was given looks. @param {Schema} schema @param {JsonObject} args @returns {{properties: Record<string, Schema>, required: string[], defs: import("./schema.js").Defs}} */
function parameters(schema, args) {
  const said = own(schema.properties, "args") ?? {};
  const known = said.properties ?? {};
  const others = Object.keys(args).filter((name) => !Object.hasOwn(known, name));
  const found = others.map((name) => /** @type {[string, Schema]} */ ([name, seen([args[name]])]));
  return { properties: Object.fromEntries([...Object.entries(known), ...found]), required: said.required ?? [], defs: said.$defs ?? schema.$defs ?? {} };
}

/**
 * @param {Schema} schema @param {Call | null} call @param {Maybe} value @param {() => void} changed
 * @param {(schema: Schema, value: Maybe, defs: import("./schema.js").Defs, changed: () => void, label: string, isRequired: boolean) => Control} make
 * @returns {Control}
 */
export function approval(schema, call, value, changed, make) {
  const given = isObject(value) ? value : {};
  const args = call?.args ?? {};
  const open = own(schema.properties, "kind")?.enum ?? WAYS.map((way) => way.value);
  const isWhole = call !== null && !Object.values(args).some((one) => isObject(one) && Object.hasOwn(one, "$opaque"));
  const ways = WAYS.filter((way) => open.includes(way.value) && (isWhole || way.value !== "edit"));
  const kind = own(given, "kind");
  let chosen = typeof kind === "string" ? kind : "";
  const node = el("div", "nbf-approval");
  const answer = said("Result", "What the agent gets as the result of the call", "The tool does not run.", own(given, "answer"), 3);
  const reason = said("Reason", "The agent reads this", "The tool does not run; the agent goes on with your reason.", own(given, "reason"), 2);
  const edit = edited(own(given, "args"));
  /** @type {Record<string, HTMLElement>} */
  const panels = { accept: el("div", "nbf-muted", "The call runs as the agent wrote it."), edit: edit.node, answer: answer.row, refuse: reason.row };
  const group = segments(ways, (way) => way === chosen, "decide", (way) => {
    chosen = way;
    problem("");
    show();
    changed();
  });
  const shown = call ? callLine(call) : null;
  node.append(...(shown ? [shown] : []), group, ...Object.values(panels));
  const problem = marker(group, group);

  function show() {
    for (const [way, panel] of Object.entries(panels)) panel.hidden = way !== chosen;
    if (chosen === "edit") edit.open();
    shown?.classList.toggle("nbf-names", chosen === "edit");
  }

  /** A text of one's own. @param {string} name @param {string} placeholder @param {string} note @param {Maybe} text @param {number} rows */
  function said(name, placeholder, note, text, rows) {
    const area = el("textarea");
    area.rows = rows;
    area.placeholder = placeholder;
    area.value = typeof text === "string" ? text : text === undefined || text === null ? "" : JSON.stringify(text);
    area.setAttribute("aria-label", name);
    const box = el("div", "nbf-control");
    box.append(area);
    const wrong = marker(area, area);
    area.addEventListener("input", () => {
      wrong("");
      changed();
    });
    const control = { node: box, read: () => area.value, fail: (/** @type {unknown} */ _, /** @type {string} */ message) => wrong(message) };
    return { ...fieldRow(name, {}, control, { isRequired: true, note }), text: () => area.value };
  }

  /** The arguments, each with its control: made when they are first looked at. @param {Maybe} typed */
  function edited(typed) {
    const { properties, required, defs } = parameters(schema, args);
    const place = el("div", "nbf-args");
    /** @type {Map<string, ReturnType<typeof fieldRow>>} */
    const rows = new Map();
    function fill() {
      if (rows.size) return;
      for (const [name, one] of Object.entries(properties)) {
        const was = own(args, name);
        const now = isObject(typed) ? own(typed, name) : was;
        const isRequired = required.includes(name);
        const touched = () => {
          mark(name);
          changed();
        };
        const row = fieldRow(name, one, make(one, now ?? (isRequired ? unset(one, defs) : now), defs, touched, name, isRequired), { isRequired, was });
        rows.set(name, row);
        place.append(row.row);
      }
      for (const name of rows.keys()) mark(name);
    }
    /** @param {string} name */
    function mark(name) {
      const row = rows.get(name);
      if (row) row.mark(!row.isAsBefore(safely(() => row.inner.read())));
    }
    return {
      node: place,
      open: fill,
      rows,
      /** @returns {Json} */
      read() {
        fill();
        const read = [...rows].map(([name, { inner }]) => /** @type {[string, Maybe]} */ ([name, inner.read()]));
        return /** @type {Json} */ (Object.fromEntries(read.filter(([name, now]) => now !== undefined && !(now === "" && !Object.hasOwn(args, name)))));
      },
    };
  }

  /** @param {() => Maybe} read */
  function safely(read) {
    try {
      return read();
    } catch {
      return NaN;
    }
  }

  show();
  return {
    node,
    /** @returns {Maybe} */
    read() {
      if (chosen === "edit") return { kind: chosen, args: edit.read() };
      if (chosen === "answer") return { kind: chosen, answer: answer.text() };
      if (chosen === "refuse") return { kind: chosen, reason: reason.text() };
      return chosen ? { kind: chosen } : undefined;
    },
    fail(path, message) {
      const [first, name, ...rest] = path;
      const row = first === "args" ? edit.rows.get(String(name ?? "")) : undefined;
      if (row) row.inner.fail(rest, message);
      else problem(message);
    },
    problem() {
      if (chosen === "refuse" && !reason.text().trim()) return tell(reason.inner, "A reason is needed");
      if (chosen === "answer" && !answer.text().trim()) return tell(answer.inner, "A result is needed");
      return "";
    },
  };

  /** @param {{fail: (path: import("./inputs.js").Path, message: string) => void}} inner @param {string} message */
  function tell(inner, message) {
    inner.fail([], message);
    return message;
  }
}
