// The form in which a person answers a question and corrects the state.
//
// Rule 1: what the page checks is a courtesy; the kernel decides, and what was typed is never lost.
// Rule 2: a form that has become stale overwrites nothing: it shows what changed meanwhile, and
//         keeps what was typed.
// Rule 3: text from the state is only ever set with textContent or as a control's value.
// @ts-check
import { el, keyOf, textInput } from "../dom.js";
import { dress, listen, present, viewId } from "../widget.js";
import { draftOf, forget, keep } from "./drafts.js";
import { diffRows, newsBox, unsentBox } from "./diff.js";
import { entriesPart } from "./entries.js";
import { mark, press } from "./marks.js";
import { own, sent } from "./schema.js";
import { carried, dropped, isEmpty, moved, nothing, undoSteps, without } from "./typed.js";

/** @typedef {import("./typed.js").Form} Form */
/** @typedef {import("./typed.js").Typed} Typed */
/** @typedef {import("./schema.js").Difference} Difference */
/** @typedef {{ok: boolean, message: string, errors?: import("./typed.js").Problem[], stale?: Partial<Form>}} Answer the kernel's to a submission */

const SOON = 120; // milliseconds without a key, after which what was typed is looked at and kept
const GONE = 1500; // milliseconds that a form may be away before what was typed is shown without it

/** Open what hides the first problem, and go there. @param {HTMLElement} root */
function focusFirst(root) {
  const first = root.querySelector("[aria-invalid=true]");
  if (!(first instanceof HTMLElement)) return;
  for (let up = first.parentElement; up; up = up.parentElement) if (up instanceof HTMLDetailsElement) up.open = true;
  const place = first.matches("input, textarea, select") ? first : first.querySelector("input, textarea, select, button");
  if (place instanceof HTMLElement) place.focus();
}

/** What is to be mended, by the names that its controls have. @param {HTMLElement} root */
function faults(root) {
  const found = [...root.querySelectorAll("[aria-invalid=true]")].map((one) => one.closest("[data-field]")?.getAttribute("data-field") ?? one.getAttribute("aria-label") ?? "");
  return [...new Set(found.filter(Boolean))];
}

/**
 * The bar below a form: its buttons, what is wrong, and what is about to change.
 * @param {Form} form @param {{submit: (resume: boolean) => void, undo: () => void, reset: () => void}} acts
 */
function footPart(form, { submit, undo, reset }) {
  const { questions, values } = form;
  const changes = el("div", "nbf-changes");
  const status = el("div", "nbf-status");
  status.setAttribute("role", "status");
  const told = el("span", "nbf-meta");
  const send = press(questions.length ? "Answer and resume" : "Save and resume", "nbf-primary", () => submit(true));
  const save = press(questions.length ? "Save, stay waiting" : "Save changes", "", () => submit(false), "Keep the corrections, and go on later");
  const back = press("Undo", "nbf-quiet", undo, "Take back the last change");
  const clear = press("Reset", "nbf-quiet", reset, "Take back all changes");
  const node = el("div", "nbf-foot");
  node.append(send, save, back, clear, status, told);
  let isSaid = false;
  return {
    node,
    changes,
    isReady: () => send.getAttribute("aria-disabled") !== "true",
    /** @param {string} text @param {boolean} [isProblem] */
    say(text, isProblem) {
      isSaid = Boolean(text);
      status.replaceChildren(...(isProblem ? [mark("failed")] : []), el("span", "", text));
      status.classList.toggle("nbf-wrong", Boolean(isProblem));
    },
    /** What is to be mended. @param {string[]} names */
    fault(names) {
      if (names.length) this.say(`${names.length === 1 ? "1 field" : `${names.length} fields`} to mend: ${names.join(", ")}`, true);
      else if (isSaid && status.classList.contains("nbf-wrong")) this.say("");
    },
    /** @param {Typed["fields"]} fields that were typed @param {{isAnswered: boolean, hasSteps: boolean}} has */
    show(fields, { isAnswered, hasSteps }) {
      changes.hidden = !fields.size;
      const rows = [...fields].flatMap(([name, now]) => diffRows(name, own(values, name), now));
      changes.replaceChildren(...rows);
      told.replaceChildren(...(fields.size ? ["You change ", el("b", "", [...fields.keys()].join(", "))] : []));
      save.hidden = !fields.size;
      clear.hidden = !fields.size && !isAnswered;
      back.hidden = !hasSteps;
      send.hidden = !questions.length && !fields.size;
      const isOpen = questions.length > 0 && !isAnswered;
      send.setAttribute("aria-disabled", String(isOpen));
      send.title = isOpen ? "Not answered yet" : "";
    },
  };
}

/** @param {import("../widget.js").Context} context */
function render({ model, el: root }) {
  dress(root, "nbf-root", "form");
  root.setAttribute("aria-label", "state");
  const ended = new AbortController();
  root.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (keyOf(event) === "Enter" && (event.ctrlKey || event.metaKey)) submit(form.questions.length > 0);
  }, { signal: ended.signal });
  const view = viewId();
  const steps = undoSteps();
  const note = textInput("nbf-text", "note", "Why? (kept in the history, optional)");
  /** @type {Form} */
  let form = model.get("form");
  /** The form as it is drawn; null where there is none. @type {{entries: ReturnType<typeof entriesPart>, foot: ReturnType<typeof footPart>} | null} */
  let drawn = null;
  /** What was typed when the form closed, because the run went on. @type {{mine: Typed, old: Form} | null} */
  let kept = null;
  /** What was typed and has no place any more, until a person has seen it. @type {Typed | null} */
  let unsent = null;
  /** Are the folded fields open? Undefined until a person has said so. @type {boolean | undefined} */
  let isOpen;
  let isSent = false;
  let waiting = 0;
  let keeping = 0;

  /** What was typed, as far as it can be read. */
  function typed() {
    return { ...(drawn?.entries.read(false) ?? nothing()), note: note.value };
  }

  /** A key was pressed: what follows from it may be dear, and waits until no key comes any more. */
  function changed() {
    root.toggleAttribute("data-unsent", true);
    if (drawn && !drawn.foot.isReady() && drawn.entries.isAnswered()) settle();
    clearTimeout(keeping);
    keeping = window.setTimeout(settle, SOON);
  }

  function settle() {
    clearTimeout(keeping);
    keeping = 0;
    if (!drawn) return;
    steps.type(typed());
    redraw();
    keepTyped();
  }

  function keepTyped() {
    if (drawn && !isSent) keep(form.of, typed(), form.values);
  }

  /** Draw the form with what was typed into it before the page went away. */
  function begin() {
    const draft = form.open && !form.finished ? draftOf(form.of) : null;
    if (draft) return carry(draft.mine, { ...form, values: { ...form.values, ...draft.values } });
    steps.forget();
    steps.start(nothing());
    draw(nothing());
  }

  function redraw() {
    if (!drawn) return;
    const { fields } = typed();
    drawn.entries.mark(fields);
    drawn.foot.show(fields, { isAnswered: drawn.entries.isAnswered(), hasSteps: !steps.isEmpty() });
    note.hidden = !fields.size;
    root.toggleAttribute("data-unsent", fields.size > 0 || drawn.entries.isAnswered());
    drawn.foot.fault(faults(root));
  }

  /** Draw the form, with what was typed into it. @param {Typed} with_ @param {Difference[]} [news] fields that changed meanwhile */
  function draw(with_, news = []) {
    drawn = null;
    root.replaceChildren();
    root.removeAttribute("data-unsent");
    root.hidden = !form.open && !unsent;
    if (unsent) root.append(unsentBox(unsent, dismiss));
    if (form.finished) root.append(el("div", "nbf-finished", form.finished));
    if (form.finished || !form.open) return;
    note.value = with_.note;
    const entries = entriesPart(form, with_, {
      changed,
      isOpen: isOpen ?? Boolean(form.editing && !form.questions.length && form.expanded),
      opened: (now) => (isOpen = now),
    });
    const foot = footPart(form, { submit, undo, reset });
    drawn = { entries, foot };
    const mine = [...with_.fields.keys()].filter((name) => news.some(([other]) => other === name));
    if (news.length) root.append(newsBox(news, mine, () => step(without(typed(), mine))));
    root.append(...entries.nodes, foot.changes, note, foot.node);
    redraw();
  }

  function dismiss() {
    unsent = null;
    forget(form.of);
    root.hidden = !form.open;
  }

  /** @param {Typed} next */
  function step(next) {
    steps.step(next);
    draw(next);
    keepTyped();
  }

  function reset() {
    step(nothing());
  }

  function undo() {
    if (keeping) settle();
    const last = steps.back();
    if (last) draw(last);
    keepTyped();
  }

  /** @param {boolean} resume */
  function submit(resume) {
    if (!drawn) return;
    if (keeping) settle();
    if (resume && form.questions.length && !drawn.entries.isAnswered()) return drawn.entries.focus();
    const now = drawn.entries.problem() ? null : drawn.entries.read(true);
    if (now === null) {
      drawn.foot.fault(faults(root));
      return focusFirst(root);
    }
    drawn.foot.say("Saving…");
    const edits = Object.fromEntries([...now.fields].map(([name, value]) => [name, sent(value)]));
    const answers = resume ? Object.fromEntries(now.answers) : {};
    isSent = true;
    try {
      model.send({ type: "submit", view, answers, edits, note: note.value, checkpoint: form.checkpoint, resume });
    } catch {
      isSent = false;
      drawn.foot.say("The kernel is gone: nothing was saved. Run the graph's cell again, then %agent resume.");
    }
  }

  /** @param {Answer} content */
  function answered(content) {
    isSent = false;
    if (content.stale) return arrive({ ...form, ...content.stale });
    if (content.ok) {
      steps.forget();
      kept = null;
      forget(form.of);
    }
    if (!drawn) return;
    drawn.entries.fail(content.errors || []);
    drawn.foot.say(content.message || "", !content.ok);
    focusFirst(root);
  }

  /** Another state to show; what was typed stays where it still has a place. @param {Form} next */
  function arrive(next) {
    if (next.of !== form.of) return turn(next);
    const mine = drawn ? typed() : nothing();
    const before = kept && isEmpty(mine) ? kept : { mine, old: form };
    if (kept) unsent = null; // it was shown while the form was away
    kept = null;
    form = next;
    clearTimeout(waiting);
    if (next.open && !next.finished) return isEmpty(before.mine) ? begin() : carry(before.mine, before.old);
    if (!isEmpty(before.mine) && !isSent) {
      if (next.finished) unsent = before.mine;
      else kept = before; // it may be asked again, and soon
      if (kept) waiting = window.setTimeout(() => showUnsent(before.mine), GONE);
    }
    draw(nothing());
  }

  /** Another thread's form: what was typed into this one waits until its own comes back. @param {Form} next */
  function turn(next) {
    if (keeping) settle();
    clearTimeout(waiting);
    steps.forget();
    steps.start(nothing());
    kept = unsent = null;
    isOpen = undefined;
    isSent = false;
    form = next;
    begin();
  }

  /** @param {Typed} mine what was typed @param {Form} old into this */
  function carry(mine, old) {
    const still = carried(mine, form);
    const lost = dropped(mine, still);
    if (!isEmpty(lost) && !isSent) unsent = lost;
    if (isEmpty(still)) {
      isOpen = form.questions.length && !old.questions.length ? false : isOpen;
      steps.forget();
      steps.start(nothing());
      draw(nothing());
      return;
    }
    steps.start(still);
    draw(still, moved(old.values, form.values, mine.fields));
  }

  /** @param {Typed} typed */
  function showUnsent(typed) {
    unsent = typed;
    draw(nothing());
  }

  const deafen = listen(model, {
    "msg:custom": (content) => content.type === "answer" && (content.view ?? view) === view && answered(content),
    "change:form": () => arrive(model.get("form")),
  });
  const leave = present(model);
  begin();
  return () => {
    if (keeping) settle();
    clearTimeout(waiting);
    deafen();
    ended.abort();
    leave();
  };
}

export default { render };
