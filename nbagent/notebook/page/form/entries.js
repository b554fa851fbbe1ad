// What a person fills in: the questions, and the fields of the state.
//
// Rule 1: a control is read only once it was touched: what nobody touched is never sent, and costs
//         nothing while another one is typed into.
// Rule 2: the fields that are folded away are made when they are opened.
// @ts-check
import { clock, el } from "../dom.js";
import { answerControl, control } from "./controls.js";
import { brief, equal, own } from "./schema.js";
import { nothing } from "./typed.js";

/** @typedef {import("./typed.js").Form} Form */
/** @typedef {import("./typed.js").Typed} Typed */
/** @typedef {import("./typed.js").Question} Question */
/** @typedef {import("./controls.js").Control} Control */
/** @typedef {import("./schema.js").Maybe} Maybe */

/** Until when a question can be answered. @param {Question} question @param {number} now Unix seconds */
export function deadline(question, now) {
  if (!question.deadline) return "";
  return ` · until ${new Date(question.deadline * 1000).toLocaleString()}, ${clock(Math.max(0, question.deadline - now))} left`;
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
  /** @type {Map<string, {row: HTMLElement, inner: Control}>} */
  const fields = new Map();
  /** @type {Map<string, Control>} */
  const answers = new Map();
  const touched = { fields: new Set(typed.fields.keys()), answers: new Set(typed.answers.keys()) };

  /** @param {string} name */
  function fieldRow(name) {
    const now = typed.fields.has(name) ? typed.fields.get(name) : own(form.values, name);
    const inner = control(properties[name], now, defs, () => {
      touched.fields.add(name);
      changed();
    }, name);
    const row = el("div", "nbf-field");
    row.append(el("span", "nbf-name", name), inner.node, ...besides(name));
    row.dataset.field = name;
    fields.set(name, { row, inner });
    return row;
  }

  /** What is to be known beside a field. @param {string} name @param {string} [label] */
  function besides(name, label = "") {
    return (own(form.unmerged, name) ?? []).map((line) => el("div", "nbf-muted nbf-beside", label + line));
  }

  /** @param {Question} question */
  function questionBox(question) {
    const box = el("section", "nbf-question");
    box.append(el("div", "nbf-asks", question.question), el("div", "nbf-muted", `asked by ${question.node}${deadline(question, Date.now() / 1000)}`));
    for (const name of question.show) if (Object.hasOwn(properties, name) && !fields.has(name)) box.append(fieldRow(name));
    for (const [name, value] of Object.entries(question.beside || {})) {
      const row = el("div", "nbf-field");
      row.append(el("span", "nbf-name", name), el("div", "nbf-readonly", brief(value)));
      box.append(row);
    }
    const wanted = question.schema || { type: "string" };
    const inner = answerControl(wanted, typed.answers.get(question.id), wanted.$defs || {}, () => {
      touched.answers.add(question.id);
      changed();
    });
    answers.set(question.id, inner);
    const row = el("div", "nbf-field nbf-answer");
    row.append(el("span", "nbf-name", "Your answer"), inner.node);
    box.append(row);
    return box;
  }

  const nodes = form.questions.map(questionBox);
  const others = Object.keys(properties).filter((name) => !fields.has(name));
  nodes.push(...others.flatMap((name) => besides(name, `${name}: `)));
  if (others.length) nodes.push(foldedFields());

  function foldedFields() {
    const more = el("details", "nbf-others");
    more.append(el("summary", "", form.questions.length ? "Correct other fields" : "Correct the state"));
    const fill = () => {
      if (more.childElementCount === 1) more.append(...others.map(fieldRow));
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
      for (const [name, { row }] of fields) row.classList.toggle("nbf-changed", typed.has(name));
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
