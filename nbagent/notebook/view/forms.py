"""
States as forms show them, and what a form sends back. (R31, R34)

Rule 1: a page gets no field that is too large for a form; it says so in its place.
Rule 2: a table goes as its first rows, and comes back as the cells that were changed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import to_jsonable_python

from nbagent.engine.model.approval import is_request, worded
from nbagent.engine.model.checkpoint import Question
from nbagent.engine.model.readable import parts_of
from nbagent.engine.model.values import thaw
from nbagent.engine.thread.look import StoredThread
from nbagent.engine.thread.thread import Thread
from nbagent.errors import FieldProblem, NbagentError, StaleEdit, StateError
from nbagent.notebook.registry import as_defined_now
from nbagent.notebook.shown.preview import cut, label_text, rows_of, short

LARGEST = 200_000  # characters of a field that a form may hold
QUESTION = 20_000  # characters of a question
MESSAGE, PROBLEM = 4_000, 500  # characters of what is said to be wrong, and of one such thing
ROWS, COLUMNS = 100, 30  # of a table
_INEXACT = "it holds a number that a browser would change"


def json_values(thread: StoredThread, values: Mapping[str, Any]) -> dict[str, Any]:
    """State values as JSON for a form.

    A table is `{"$table": {"columns", "types", "index", "rows", "total"}}`; what no form can hold
    is `{"$opaque": "what it is"}`.
    """
    found: dict[str, Any] = {}
    shown = thread.program.shown
    if shown is not None:  # the other fields are the nodes' own
        values = {name: value for name, value in values.items() if name in shown}
    for name, value in values.items():
        if _is_table(value):
            found[name] = {"$table": _table(value)}
        elif _is_large(value):
            found[name] = {"$opaque": f"{short(value, 60)}: too large for a form"}
    small = {name: value for name, value in values.items() if name not in found}
    for name, made in thread.program.schema.to_json(small).items():
        exact = _is_exact(made)
        found[name] = made if exact else {"$opaque": f"{short(values[name], 60)}: {_INEXACT}"}
    return {name: found[name] for name in values}


def read_edits(values: Mapping[str, Any], edits: Mapping[str, Any]) -> dict[str, Any]:
    """What a form sent, as values of the state: `{"$cells": [[row, column, text], …]}` is a table
    with these cells changed. `StateError` for a cell that does not fit."""
    return {
        name: _with_cells(name, values[name], edit["$cells"])
        if isinstance(edit, Mapping) and "$cells" in edit
        else edit
        for name, edit in edits.items()
    }


def _is_exact(shown: Any) -> bool:
    """True when a browser can give back every number in it: its integers end at 2 to the 53."""
    if isinstance(shown, dict):
        return all(map(_is_exact, shown.values()))
    if isinstance(shown, list):
        return all(map(_is_exact, shown))
    if isinstance(shown, float):
        return math.isfinite(shown)
    return not isinstance(shown, int) or abs(shown) <= 2**53


def _is_large(value: Any) -> bool:
    left = LARGEST
    todo = [value]
    while todo and left > 0:
        one = todo.pop()
        parts = parts_of(one)
        left -= len(one) if isinstance(one, (str, bytes)) else 8
        todo += [part for _, part in parts or ()]
    return left <= 0


def _is_table(value: Any) -> bool:
    return hasattr(value, "iloc") and hasattr(value, "columns") and value.columns.nlevels == 1


def _table(frame: Any) -> dict[str, Any]:
    head = frame.iloc[:ROWS, :COLUMNS]
    return {
        "columns": [str(column) for column in head.columns],
        "types": [str(kind) for kind in head.dtypes],
        "index": [label_text(label) for label in head.index],
        "rows": [["" if _is_missing(c) else str(c) for c in row] for row in rows_of(head)],
        "total": [int(size) for size in frame.shape],
    }


def _is_missing(cell: Any) -> bool:
    import pandas

    is_nan = isinstance(cell, float) and cell != cell
    return is_nan or any(cell is missing for missing in (None, pandas.NA, pandas.NaT))


def _with_cells(name: str, frame: Any, cells: list[Any]) -> Any:
    made = frame.copy()
    problems = []
    for row, column, text in cells:
        kind = made.dtypes.iloc[column]
        try:
            made.iloc[row, column] = _read_cell(text, kind, made.iloc[row, column])
        except (ValueError, TypeError, OverflowError, IndexError) as error:
            said = str(error).split(" at position")[0]
            problems.append(FieldProblem((name, row, column), f"{said} (the column is {kind})"))
    if problems:
        count = "1 cell does not fit its column" if len(problems) == 1 else (
            f"{len(problems)} cells do not fit their columns"
        )  # fmt: skip
        raise StateError(f"{name}: {count}. Nothing was changed", field=name, errors=problems)
    return made


def _read_cell(text: str, kind: Any, old: Any) -> Any:
    """A cell's text as a value of its column, or, in a column of any objects, of the old cell's
    type; `ValueError` where it is none."""
    import pandas

    name = getattr(kind, "kind", "O")
    is_object = pandas.api.types.is_object_dtype(kind)
    if is_object and not isinstance(old, str) and not _is_missing(old):
        return _like(old, text)
    if text == "":
        if name in "iub" and not pandas.api.types.is_extension_array_dtype(kind):
            raise ValueError("a value is needed")
        return "" if pandas.api.types.is_string_dtype(kind) else None
    if name == "b":
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{text!r} is neither True nor False")
        return text.lower() == "true"
    if isinstance(kind, pandas.CategoricalDtype):
        return _category(kind, text)
    series = pandas.Series([text], dtype=object)
    if name in "iuf":
        series = pandas.to_numeric(series)
        if name in "iu" and series.iloc[0] != int(series.iloc[0]):
            raise ValueError(f"{text!r} is not a whole number")
    made = series.astype(kind).iloc[0]
    is_lost = name == "f" and math.isinf(made) and "inf" not in text.lower()
    if is_lost or (name in "iu" and made != series.iloc[0]):
        raise ValueError(f"{text!r} is too large")
    return made


def _category(kind: Any, text: str) -> Any:
    known = {str(category): category for category in kind.categories}
    if text not in known:
        raise ValueError(f"{text!r} is not one of {', '.join(known)}")
    return known[text]


def _like(old: Any, text: str) -> Any:
    """The text as a value of the type that the cell had."""
    try:
        return TypeAdapter(type(old)).validate_strings(text)
    except (PydanticUserError, ValidationError) as error:
        raise ValueError(f"{text!r} is no {type(old).__name__}: edit it in code") from error


def key_of(thread: StoredThread) -> str:
    """What tells a page the thread from every other, and nothing of where it is kept."""
    known = f"{thread.store.url}\n{thread.id}"
    return hashlib.blake2b(known.encode("utf-8", "replace"), digest_size=16).hexdigest()


def question_dict(thread: Thread, question: Question) -> dict[str, Any]:
    """A question as JSON for a form; a subgraph's fields are shown beside it and not edited."""
    show, beside = list(question.show), {}
    if question.thread and show:
        values = thread.store.latest(question.thread)
        known = values.checkpoint.values if values is not None else {}
        beside = {n: short(known[n], 400) for n in show if n in known}
        show = []
    return {
        "id": question.id,
        "node": question.node,
        "question": cut(worded(question.question), QUESTION),
        "request": _request(question.question),
        "show": show,
        "beside": beside,
        "schema": question.schema,
        "deadline": question.deadline,
        "expiry": "" if question.on_expiry is None else short(question.on_expiry, 60),
    }


def _request(question: Any) -> Any:
    """The tool call that a question asks about, as JSON; None where it asks about none."""
    if not is_request(question):
        return None
    call = question["action_request"]
    args = call.get("args") or {}
    shown = to_jsonable_python(thaw(args), fallback=repr)
    if _is_large(args) or not _is_exact(shown):
        shown = {name: {"$opaque": short(value)} for name, value in args.items()}
    return {"tool": call["action"], "args": shown}


def wrong_answers(
    thread: Thread, questions: Iterable[Question], answers: Mapping[str, Any]
) -> dict[str, Any] | None:
    """What a form is told of answers that do not fit their questions, each problem with its
    question's id; None where all of them fit."""
    problems, said = [], []
    questions = list(questions)
    if answers.keys() - {question.id for question in questions}:
        message = (
            "A question was answered meanwhile, here or by somebody else. Nothing was saved; what "
            "you typed is still here"
        )
        return {"ok": False, "message": message, "errors": []}
    for question in questions:
        if question.id not in answers:
            continue
        try:
            thread.program.schema.check_answer(question.schema, answers[question.id])
        except StateError as error:
            said.append(
                f"{short(worded(question.question), 60)} (asked by {question.node}): {error}"
            )
            problems += [
                {"path": list(p.path), "message": cut(p.message, PROBLEM), "question": question.id}
                for p in error.errors
            ]
    if not said:
        return None
    return {"ok": False, "message": cut("\n".join(said), MESSAGE), "errors": problems}


def unmerged_lines(thread: Thread) -> dict[str, list[str]]:
    """Beside which fields a form says what nodes that have finished wrote to them."""
    found = {}
    for name, written in thread.unmerged.items():
        channel = thread.program.fields.get(name)
        then = "is added" if channel is not None and channel.folds else "replaces this"
        kept = "" if channel is not None and channel.folds else ", unless you set it here"
        found[name] = [
            f"{node} has finished and wrote {short(value, 200)}. It {then} when the super-step is "
            f"over{kept}."
            for node, value in written
        ]
    return found


def refusal(error: NbagentError, thread: Thread) -> dict[str, Any]:
    """What a form is told when nothing was written: the sentence, which fields, and how the state
    is now where the form showed an older one."""
    problems = error.errors if isinstance(error, StateError) else ()
    answer: dict[str, Any] = {
        "ok": False,
        "message": cut(str(error), MESSAGE),
        "errors": [{"path": list(p.path), "message": cut(p.message, PROBLEM)} for p in problems],
    }
    if isinstance(error, StaleEdit):
        latest = thread.latest().checkpoint
        values = json_values(thread, latest.values)
        answer["stale"] = {"values": values, "checkpoint": latest.id}
    return answer


def edit_form(thread: Thread) -> Any:
    """A form for a thread that does not run; saving makes an edit checkpoint."""
    from nbagent.notebook.widgets.state_form import StateForm

    checkpoint = thread.latest().checkpoint

    def submit(payload: dict[str, Any]) -> dict[str, Any]:
        now = as_defined_now(thread)
        return save(now, payload, lambda: fill(form, now))

    form = StateForm(
        thread.program.schema.form_schema(),
        json_values(thread, checkpoint.values),
        questions=[],
        unmerged=unmerged_lines(thread),
        checkpoint=checkpoint.id,
        on_submit=submit,
        of=key_of(thread),
        editing=True,
        expanded=True,
    )
    return form


def save(thread: Thread, payload: Mapping[str, Any], saved: Callable[[], None]) -> dict[str, Any]:
    """Write a form's edits as a checkpoint, and say how that went."""
    try:
        made = write(thread, payload)
    except NbagentError as error:
        return refusal(error, thread)
    saved()
    return {"ok": True, "message": f"Saved as checkpoint {made}"}


def write(thread: Thread, payload: Mapping[str, Any]) -> int:
    """The edits of a form as an edit of the thread; the checkpoint's id."""
    values = thread.latest().checkpoint.values
    edits = read_edits(values, payload.get("edits") or {})
    expect = payload.get("checkpoint")
    return thread.edit(edits, note=payload.get("note") or "", expect=expect)


def fill(form: Any, thread: Thread, **more: Any) -> None:
    """Show a thread's state in a form, as it stands."""
    checkpoint = thread.latest().checkpoint
    values = json_values(thread, checkpoint.values)
    lines = unmerged_lines(thread)
    form.update(values=values, unmerged=lines, checkpoint=checkpoint.id, **more)
