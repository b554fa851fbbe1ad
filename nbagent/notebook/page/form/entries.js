// What a person fills in: the questions, and the fields of the state.
//
// Rule 1: a control is read only once it was touched: what nobody touched is never sent, and costs
//         nothing while another one is typed into.
// Rule 2: the fields that are folded away are made when they are opened.
// @ts-check
import { clock, el } from "../dom.js";
import { approval, asksApproval } from "./approval.js";
import { answerControl, control } from "./controls.js";
import { fieldRow } from "./field.js";
import { folding } from "./marks.js";
import { brief, equal, own, resolve, unwrapNull } from "./schema.js";
import { nothing } from "./typed.js";

/** @typedef {import("./typed.js").Form} Form */
/** @typedef {import("./typed.js").Typed} Typed */
/** @typedef {import("./typed.js").Question} Question */
/** @typedef {import("./inputs.js").Control} Control */
/** @typedef {import("./schema.js").Maybe} Maybe */

const LONG = 300; // characters of a text that is folded

/** Until when a question can be answered. @param {Question} question @param {number} now Unix seconds */
export function deadline(question, now) {
  if (!question.deadline) return "";
  const left = question.deadline - now;
  const then = question.expiry ? `, then: ${question.expiry}` : "";
  const until = new Date(question.deadline * 1000).toLocaleString();
  return left > 0 ? ` · expires in ${clock(left)} (${until})${then}` : ` · expired ${until}${then}`;
}

/** Is a field that was typed as it was before? One that was not there may be left empty. @param {Maybe} was @param {Maybe} now */
function isSame(was, now) {
  const isNothing = now === "" || now === null || now === undefined || equal(now, []);
  return equal(was, now) || (was === undefined && isNothing);
}

/**
 * @param {Form} form @param {Typed} typed what to begin with
 * @param {{changed: () => void, isOpen: boolean, opened: (isOpen: boolean) => void}} acts of the fields that are folded away
 */
export function entriesPart(form, typed, { changed, isOpen, opened }) {
  const properties = form.schema.properties || {};
  const defs = form.schema.$defs || {};
  const required = form.schema.required || [];
  /** @type {Map<string, ReturnType<typeof fieldRow>>} */
  const fields = new Map();
  /** Shown, and not yet opened. @type {Set<string>} */
  const folded = new Set();
  /** @type {Map<string, Control>} */
  const answers = new Map();
  const touched = { fields: new Set(typed.fields.keys()), answers: new Set(typed.answers.keys()) };

  /** @param {string} name */
  function stateField(name) {
    const was = own(form.values, name);
    const now = typed.fields.has(name) ? typed.fields.get(name) : was;
    const isRequired = required.includes(name);
    const inner = control(properties[name], now, defs, () => {
      touched.fields.add(name);
      changed();
    }, name, false, isRequired);
    const made = fieldRow(name, unwrapNull(resolve(properties[name], defs), defs).schema, inner, { isRequired, was });
    made.row.append(...besides(name));
    fields.set(name, made);
    return made.row;
  }

  /** What a node shows beside its question: to be corrected; a long text is folded to a line. @param {string} name @param {string} node */
  function shownField(name, node) {
    const was = own(form.values, name);
    if (typeof was !== "string" || was.length <= LONG || typed.fields.has(name)) return stateField(name);
    const words = was.split(/\s+/).length.toLocaleString();
    const more = folding("nbf-shown", el("b", "", name), el("span", "nbf-cut", was.slice(0, 200)), el("span", "nbf-meta", `shown by ${node} · ${words} words`));
    more.addEventListener("toggle", () => more.open && !fields.has(name) && more.append(stateField(name)));
    folded.add(name);
    return more;
  }

  /** What is to be known beside a field. @param {string} name @param {string} [label] */
  function besides(name, label = "") {
    return (own(form.unmerged, name) ?? []).map((line) => el("div", "nbf-muted nbf-beside", label + line));
  }

  /** @param {Question} question */
  function questionBox(question) {
    const box = el("section", "nbf-question");
    const asked = el("div", "nbf-asks", question.question);
    if (question.question.length > LONG) asked.classList.add("nbf-tall");
    box.append(asked, el("div", "nbf-meta", `asked by ${question.node}${deadline(question, Date.now() / 1000)}`));
    for (const name of question.show) if (Object.hasOwn(properties, name) && !fields.has(name) && !folded.has(name)) box.append(shownField(name, question.node));
    for (const [name, value] of Object.entries(question.beside || {})) {
      const row = el("div", "nbf-field");
      row.append(el("span", "nbf-name", name), el("div", "nbf-readonly", brief(value)));
      box.append(row);
    }
    const wanted = question.schema || { type: "string" };
    const given = typed.answers.get(question.id);
    const now = () => {
      touched.answers.add(question.id);
      changed();
    };
    if (asksApproval(wanted)) {
      const inner = approval(wanted, question.request ?? null, given, now, (one, value, types, act, label, isRequired) => control(one, value, types, act, label, false, isRequired));
      answers.set(question.id, inner);
      box.append(inner.node);
      return box;
    }
    const inner = answerControl(wanted, given, wanted.$defs || {}, now);
    answers.set(question.id, inner);
    const { row } = fieldRow("Your answer", resolve(wanted, wanted.$defs || {}), inner, {});
    row.classList.add("nbf-answer");
    delete row.dataset.field;
    box.append(row);
    return box;
  }

  const nodes = form.questions.map(questionBox);
  const others = Object.keys(properties).filter((name) => !fields.has(name) && !folded.has(name));
  nodes.push(...others.flatMap((name) => besides(name, `${name}: `)));
  if (others.length) nodes.push(foldedFields());

  function foldedFields() {
    const names = others.slice(0, 6).join(", ") + (others.length > 6 ? ", …" : "");
    const more = folding("nbf-others", el("span", "", form.questions.length ? "Correct other fields of the state" : "Correct the state"), el("span", "nbf-meta", names));
    const fill = () => {
      if (more.childElementCount === 1) more.append(...others.map(stateField));
    };
    more.open = isOpen;
    if (isOpen || others.some((name) => typed.fields.has(name))) fill();
    more.addEventListener("toggle", () => {
      if (more.open) fill();
      opened(more.open);
    });
    return more;
  }

  /** A control's value; undefined, with `isWrong`, where there is none. @param {Control} inner @param {boolean} strict @returns {{value?: Maybe, isWrong: boolean}} */
  function valueOf(inner, strict) {
    try {
      return { value: inner.read(), isWrong: false };
    } catch (error) {
      if (strict) inner.fail([], String(/** @type {Error} */ (error).message));
      return { isWrong: true };
    }
  }

  return {
    nodes,
    isAnswered: () => touched.answers.size > 0,
    /** What was typed, as far as it can be read; where all must be, null says that something cannot. @param {boolean} strict @returns {Typed | null} */
    read(strict) {
      const made = nothing();
      for (const [name, { inner }] of fields) {
        if (!touched.fields.has(name)) continue;
        const { value, isWrong } = valueOf(inner, strict);
        if (isWrong && strict) return null;
        if (!isWrong && !isSame(own(form.values, name), value)) made.fields.set(name, value);
      }
      for (const [id, inner] of answers) {
        if (!touched.answers.has(id)) continue;
        const { value, isWrong } = valueOf(inner, strict);
        if (isWrong && strict) return null;
        if (!isWrong) made.answers.set(id, value);
      }
      return made;
    },
    /** Mark the fields that were changed. @param {Map<string, Maybe>} typed */
    mark(typed) {
      for (const [name, { mark }] of fields) mark(typed.has(name));
    },
    /** What is missing in an answer, marked; "" where nothing is. The kernel finds the rest. */
    problem() {
      for (const [id, inner] of answers) if (touched.answers.has(id) && inner.problem?.()) return "answer";
      return "";
    },
    /** Where to answer. */
    focus() {
      const place = [...answers.values()][0]?.node.querySelector("input, textarea, select, button");
      if (place instanceof HTMLElement) place.focus();
    },
    /** Say what the kernel refused; a path begins with a field's name, or is inside the answer to the question named. @param {import("./typed.js").Problem[]} errors */
    fail(errors) {
      for (const { path, message, question } of errors) {
        const [first, ...rest] = path;
        const place = question !== undefined ? answers.get(question) : fields.get(String(first))?.inner;
        if (place) place.fail(rest, message);
      }
    },
  };
}
