// The form in which a person answers a question and corrects the state.
//
// Rule 1: what the page checks is a courtesy; the kernel decides, and what was typed is never lost.
// Rule 2: a form that has become stale overwrites nothing: it shows what changed meanwhile, and
//         keeps what was typed.
// Rule 3: text from the state is only ever set with textContent or as a control's value.
// @ts-check
import { clock, el } from "../dom.js";
import { control, press } from "./controls.js";
import { applied, brief, equal, rebased, sent, told } from "./schema.js";

/** @typedef {import("./controls.js").Control} Control */
/** @typedef {{fields: Record<string, any>, answers: Record<string, any>, note: string}} Typed */

const SHOWN = 8; // changes of one field that are listed
const PAUSE = 600; // milliseconds without a key: then an undo step ends

/** What changed in the state under a form: `[name, before, after]`, without what was typed alike. @param {Record<string, any>} old @param {Record<string, any>} now @param {Record<string, any>} typed */
export function moved(old, now, typed) {
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])];
  return names
    .filter((name) => !equal(old[name], now[name]) && !(name in typed && equal(applied(typed[name]), now[name])))
    .map((name) => [name, old[name], now[name]]);
}

/** @param {{model: any, el: HTMLElement}} context */
function render({ model, el: root }) {
  root.classList.add("nbf-root");
  root.setAttribute("data-lm-suppress-shortcuts", "true");
  root.setAttribute("role", "form");
  root.setAttribute("aria-label", "state");
  root.addEventListener("keydown", (event) => event.stopPropagation());

  let form = model.get("form");
  /** @type {Record<string, Control>} */
  let fields = {};
  /** @type {Record<string, Control>} */
  let answers = {};
  /** @type {Set<string>} */
  let touched = new Set();
  /** @type {Typed[]} */
  let done = [];
  /** @type {Typed} */
  let current = nothing();
  let typedAt = 0;
  /** What was typed when the form closed, because the run went on. @type {{mine: Typed, old: any} | null} */
  let kept = null;
  let redraw = () => {};
  /** @type {(content: any) => void} */
  let answered = () => {};
  const isOpen = /** @type {Record<string, boolean>} */ ({});

  /** @returns {Typed} */
  function nothing() {
    return { fields: {}, answers: {}, note: "" };
  }

  /** What was typed, as far as it can be read: the values of fields and answers that differ. @param {boolean} strict @returns {Typed | null} */
  function typed(strict) {
    const made = nothing();
    for (const [name, one] of Object.entries(fields)) {
      try {
        const now = one.read();
        const was = form.values[name];
        const empty = was === undefined && (now === "" || now === null || now === undefined || equal(now, []));
        if (!empty && !equal(now, was)) made.fields[name] = now;
      } catch (error) {
        if (!strict) continue;
        one.fail([], String(/** @type {Error} */ (error).message));
        return null;
      }
    }
    for (const id of touched) {
      try {
        made.answers[id] = answers[id].read();
      } catch (error) {
        if (!strict) continue;
        answers[id].fail([], String(/** @type {Error} */ (error).message));
        return null;
      }
    }
    made.note = note.value;
    return made;
  }

  function changed() {
    if (Date.now() - typedAt > PAUSE) done.push(current);
    typedAt = Date.now();
    current = typed(false) || current;
    redraw();
  }

  function undo() {
    const last = done.pop();
    if (!last) return;
    typedAt = 0;
    build(last);
  }

  const note = /** @type {HTMLInputElement} */ (el("input", "nbf-text"));
  note.placeholder = "Why? (kept in the history, optional)";
  note.setAttribute("aria-label", "note");

  /** @param {string} name @param {Typed} with_ @param {any} defs */
  function fieldRow(name, with_, defs) {
    const row = el("div", "nbf-field");
    const now = name in with_.fields ? with_.fields[name] : form.values[name];
    fields[name] = control(form.schema.properties[name], now, defs, changed, name);
    row.append(el("span", "nbf-name", name), fields[name].node);
    row.dataset.field = name;
    return row;
  }

  /** @param {any} question @param {Typed} with_ @param {any} defs */
  function questionBox(question, with_, defs) {
    const box = el("section", "nbf-question");
    const until = question.deadline ? ` · until ${new Date(question.deadline * 1000).toLocaleString()}, ${clock(Math.max(0, question.deadline - Date.now() / 1000))} left` : "";
    box.append(el("div", "nbf-asks", question.question), el("div", "nbf-muted", `asked by ${question.node}${until}`));
    for (const name of question.show) if (form.schema.properties[name] && !fields[name]) box.append(fieldRow(name, with_, defs));
    for (const [name, value] of Object.entries(question.beside || {})) {
      const row = el("div", "nbf-field");
      row.append(el("span", "nbf-name", name), el("div", "nbf-readonly", brief(value)));
      box.append(row);
    }
    const wanted = question.schema || { type: "string" };
    const row = el("div", "nbf-field nbf-answer");
    const id = question.id;
    answers[id] = control(wanted, with_.answers[id], wanted.$defs || {}, () => {
      touched.add(id);
      changed();
    }, "answer");
    if (id in with_.answers) touched.add(id);
    row.append(el("span", "nbf-name", "Your answer"), answers[id].node);
    box.append(row);
    return box;
  }

  /** Draw the form, with what was typed into it. @param {Typed} with_ @param {any[]} [news] fields that changed meanwhile */
  function build(with_, news = []) {
    const { schema, questions, editing, finished, open } = form;
    fields = {};
    answers = {};
    touched = new Set();
    current = with_;
    root.replaceChildren();
    root.hidden = !open;
    if (finished) root.append(el("div", "nbf-finished", finished));
    if (finished || !open) return;
    const defs = schema.$defs || {};
    note.value = with_.note;
    if (news.length) root.append(newsBox(news));
    for (const question of questions) root.append(questionBox(question, with_, defs));
    const others = Object.keys(schema.properties).filter((name) => !fields[name]);
    if (others.length) {
      const more = /** @type {HTMLDetailsElement} */ (el("details", "nbf-others"));
      more.append(el("summary", "", questions.length ? "Correct other fields" : "Correct the state"));
      for (const name of others) more.append(fieldRow(name, with_, defs));
      more.open = isOpen.others ?? Boolean(editing && !questions.length && form.expanded);
      more.addEventListener("toggle", () => (isOpen.others = more.open));
      root.append(more);
    }
    const changes = el("div", "nbf-changes");
    const status = el("div", "nbf-status");
    status.setAttribute("role", "status");
    const foot = el("div", "nbf-foot");
    const send = press(questions.length ? "Answer and resume" : "Save and resume", "nbf-primary", () => submit(true));
    const save = press("Save changes", "", () => submit(false));
    const back = press("Undo", "", undo, "Take back the last change");
    const reset = press("Reset", "", () => {
      done.push(current);
      typedAt = 0;
      build(nothing());
    }, "Take back all changes");
    foot.append(send, save, back, reset, status);
    root.append(changes, note, foot);

    redraw = () => {
      const now = (typed(false) || nothing()).fields;
      const names = Object.keys(now);
      changes.replaceChildren();
      changes.hidden = note.hidden = !names.length;
      if (names.length) changes.append(el("div", "nbf-muted", "You are about to change"));
      for (const name of names) changes.append(...diffRows(name, form.values[name], now[name]));
      for (const row of root.querySelectorAll("[data-field]")) {
        row.classList.toggle("nbf-changed", (/** @type {HTMLElement} */ (row).dataset.field || "") in now);
      }
      save.disabled = !names.length;
      save.hidden = !names.length && !touched.size;
      reset.hidden = save.hidden;
      back.hidden = !done.length;
      send.hidden = !questions.length && !names.length;
      send.disabled = questions.length > 0 && !touched.size;
    };
    redraw();

    /** @param {boolean} resume */
    function submit(resume) {
      const now = typed(true);
      if (now === null) return focusFirst();
      status.className = "nbf-status";
      status.textContent = "Saving…";
      const edits = Object.fromEntries(Object.entries(now.fields).map(([name, value]) => [name, sent(value)]));
      const given = resume ? now.answers : {};
      try {
        model.send({ type: "submit", answers: given, edits, note: note.value, checkpoint: form.checkpoint, resume });
      } catch (error) {
        status.textContent = "The kernel is gone: nothing was saved. Run the graph's cell again, then %agent resume.";
      }
    }

    answered = (content) => {
      if (content.stale) return arrive({ ...form, ...content.stale });
      status.textContent = content.message || "";
      status.className = content.ok ? "nbf-status" : "nbf-status nbf-problem";
      if (content.ok) done = [];
      for (const { path, message } of content.errors || []) {
        const place = path[0] === "answer" ? answers[[...touched][0]] : fields[path[0]];
        if (place) place.fail(path.slice(1), message);
      }
      focusFirst();
    };
  }

  /** @param {string} name @param {any} was @param {any} now */
  function diffRows(name, was, now) {
    const found = told(was, now, name);
    const rows = found.slice(0, SHOWN).map(([path, before, after]) => {
      const row = el("div", "nbf-diff");
      row.append(el("b", "", path));
      if (before !== undefined) row.append(el("del", "", brief(before)));
      row.append(el("span", "", after === undefined ? "removed" : before === undefined ? "added" : "→"));
      if (after !== undefined) row.append(el("ins", "", brief(after)));
      return row;
    });
    if (found.length > SHOWN) rows.push(el("div", "nbf-muted", `… and ${found.length - SHOWN} more in ${name}`));
    return rows;
  }

  /** @param {any[]} news */
  function newsBox(news) {
    const box = el("div", "nbf-news");
    box.setAttribute("role", "alert");
    box.append(el("div", "", "The state changed while you were typing. Nothing was overwritten: what you typed is still here, on top of this."));
    for (const [name, was, now] of news) box.append(...diffRows(name, was, now));
    const mine = Object.keys(current.fields).filter((name) => news.some(([other]) => other === name));
    if (mine.length) {
      box.append(press(`Take the new ${mine.join(", ")}`, "nbf-small", () => {
        const rest = Object.fromEntries(Object.entries(current.fields).filter(([name]) => !mine.includes(name)));
        done.push(current);
        build({ ...current, fields: rest });
      }));
    }
    return box;
  }

  function focusFirst() {
    const first = /** @type {HTMLElement | null} */ (root.querySelector("[aria-invalid=true]"));
    if (!first) return;
    for (let up = first.parentElement; up; up = up.parentElement) if (up instanceof HTMLDetailsElement) up.open = true;
    first.focus();
  }

  /** Another state to show; what was typed stays where it still has a place. @param {any} next */
  function arrive(next) {
    let mine = form.open && !form.finished ? typed(false) : null;
    let old = form;
    form = next;
    if (mine && !next.open && (Object.keys(mine.fields).length || Object.keys(mine.answers).length)) kept = { mine, old };
    if (kept && next.open && !next.finished) {
      ({ mine, old } = kept);
      kept = null;
    }
    if (!next.open || next.finished) mine = null;
    const typing = mine && (Object.keys(mine.fields).length || Object.keys(mine.answers).length);
    if (!mine || !typing || old.checkpoint === next.checkpoint) {
      done = [];
      isOpen.others = next.questions.length && !old.questions.length ? false : isOpen.others;
      build(nothing());
      return;
    }
    const asked = new Set(next.questions.map((/** @type {any} */ question) => question.id));
    mine.answers = Object.fromEntries(Object.entries(mine.answers).filter(([id]) => asked.has(id)));
    const news = moved(old.values, next.values, mine.fields);
    const still = Object.entries(mine.fields).map(([name, value]) => [name, rebased(value, next.values[name])]);
    mine.fields = Object.fromEntries(still.filter(([, value]) => value !== undefined));
    build(mine, news);
  }

  const receive = (/** @type {any} */ content) => content.type === "answer" && answered(content);
  const fresh = () => arrive(model.get("form"));
  model.on("msg:custom", receive);
  model.on("change:form", fresh);
  build(nothing());
  return () => {
    model.off("msg:custom", receive);
    model.off("change:form", fresh);
  };
}

export default { render };
