"""
interrupt(): a node asks a person; nothing stays alive until the answer. (R27 to R30)

Rule 1: a question ends the node. When the answer is there, the node runs again from its top and
        this call returns the answer.
Rule 2: a question is found by its text or its `key=`, in any order, and the n-th of equal ones is
        the n-th. Its id is `TASK:POSITION`, so it is the same after any number of restarts.
Rule 3: an answer is for what its giver was shown. Where a person has edited the state since, and
        the question says something else by now, it is withdrawn, and asked as it is now.
Rule 4: the pause is a BaseException, so `except Exception` in a node cannot swallow it; if
        something does, the engine sees `context.asked` and pauses all the same.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn, TypeVar, overload

from nbagent.engine.model.approval import Approval, approval_schema
from nbagent.engine.model.checkpoint import JournalEntry
from nbagent.engine.model.secrets import named, strike_out, strike_out_of
from nbagent.engine.model.values import freeze, thaw
from nbagent.engine.model.work import KIND
from nbagent.engine.node.context import TaskContext, current
from nbagent.engine.node.journal import alike, differ_in_figures, is_nodes_own_flow, text_of
from nbagent.errors import StateError

log = logging.getLogger("nbagent")

T = TypeVar("T")
Deadline = float | datetime.timedelta | datetime.datetime | None


class Interrupted(BaseException):
    """Raised by `interrupt` to end the node. Not an error, and not for catching."""


@overload
def interrupt(
    question: Any,
    *,
    show: Sequence[str] = (),
    schema: type[T],
    deadline: Deadline = None,
    on_expiry: Any = None,
    key: str | None = None,
) -> T: ...
@overload
def interrupt(
    question: Any,
    *,
    show: Sequence[str] = (),
    schema: Any = None,
    deadline: Deadline = None,
    on_expiry: Any = None,
    key: str | None = None,
) -> Any: ...
def interrupt(
    question: Any,
    *,
    show: Sequence[str] = (),
    schema: Any = None,
    deadline: Deadline = None,
    on_expiry: Any = None,
    key: str | None = None,
) -> Any:
    """Ask a person and return the answer.

    question   what is asked; text, or any value that the state could hold
    show       state fields to show beside it
    schema     what the answer must be: a type (`bool`, `Literal[…]`, a dataclass, a pydantic
               model) or a JSON Schema; None takes anything. `Approval`: accept, edit, answer
               instead or refuse, about the call that the question is (see `approve`)
    deadline   seconds or a timedelta from now, or a datetime
    on_expiry  the answer to use when the deadline has passed as the thread is next opened;
               None leaves the question open
    key        identifies the question instead of its text, where the text varies from run to run
    """
    return put(
        question, show=show, schema=schema, deadline=deadline, on_expiry=on_expiry, key=key
    )  # fmt: skip


def put(
    question: Any,
    *,
    show: Sequence[str] = (),
    schema: Any = None,
    arguments: Mapping[str, Any] | None = None,
    deadline: Deadline = None,
    on_expiry: Any = None,
    key: str | None = None,
    caller: str = "interrupt",
) -> Any:
    """`interrupt`, whoever asks.

    arguments  the JSON Schema of what the tool takes that an approval is asked for
    """
    context = current(caller)
    name = text_of(question) if key is None else key
    with context.finding() as finder:
        found = finder.question(name, is_text=key is None)
        doubtful = finder.not_come_up() if found.entry is None and key is None else []
    entry = found.entry
    if entry is not None and entry.status == "done" and not _has_moved(context, entry, question):
        answer = thaw(entry.result)
        if schema is Approval:
            return Approval.of(answer, question)
        return context.services.schema.read_answer(schema, answer)
    if doubtful and is_nodes_own_flow():
        doubtful = _without_edited(context, name, doubtful)
        _doubt(context, name, doubtful)
    ask(
        context,
        found.position,
        name,
        question,
        show=(show,) if isinstance(show, str) else tuple(show),
        schema=approval_schema(question, arguments)
        if schema is Approval
        else context.services.schema.answer_schema(schema),
        deadline=_unix(deadline, context.services.clock()),
        on_expiry=on_expiry,
    )


def _has_moved(context: TaskContext, entry: JournalEntry, question: Any) -> bool:
    """True where an edit since has changed what a question with a key says."""
    is_edited = context.edited > entry.payload.get("edited", 0)
    if not is_edited:
        return False
    before, now = thaw(entry.payload["question"]), strike_out_of(question)
    return strike_out(text_of(before)) != text_of(now)


def _without_edited(
    context: TaskContext, name: str, doubtful: Sequence[JournalEntry]
) -> list[JournalEntry]:
    """Withdraw what this one was before an edit; the other answered questions."""
    left = []
    for entry in doubtful:
        if context.edited > entry.payload.get("edited", 0) and alike(entry.key, name):
            context.record(replace(entry, status="void"))
        else:
            left.append(entry)
    return left


def _doubt(context: TaskContext, name: str, doubtful: Sequence[JournalEntry]) -> None:
    """A question may be one that was answered, in other words: the author can say so by a key.

    With nothing but other figures it is taken for that one, which is an error: it would be asked
    for ever, or a person's answer would reach a question that they have not seen.
    """
    if not doubtful:
        return
    node, before = context.place.node, doubtful[-1]
    for entry in doubtful:
        context.note(replace(entry, payload=freeze({**entry.payload, "again": True})))
    advice = "if it is the same question, give it a key=, and the answer is found by that"
    for entry in doubtful:
        if differ_in_figures(entry.key, name):
            raise StateError(
                f"node {node!r} asks {name!r}; {entry.key!r} was answered, and has not come up "
                f"again: {advice}; if it is another one, give both a key=",
                node=node,
            )
    log.warning(
        "node %r asks %r; %r was answered in an earlier attempt, and has not come up again: %s",
        node, name, before.key, advice,
    )  # fmt: skip


def ask(
    context: TaskContext,
    position: int,
    key: str,
    question: Any,
    *,
    show: Sequence[str] = (),
    schema: Mapping[str, Any] | None = None,
    deadline: float | None = None,
    on_expiry: Any = None,
    more: Mapping[str, Any] | None = None,
) -> NoReturn:
    """End the node with a question: an open journal entry, until it is answered.

    more  what the entry is to say besides
    """
    payload = {
        "node": context.place.node,
        "question": strike_out_of(question),
        "show": list(show),
        "schema": strike_out_of(thaw(schema)),
        "deadline": deadline,
        "on_expiry": on_expiry,
        "edited": context.edited,
        **(more or {}),
    }
    at = context.place
    context.asked.append(
        JournalEntry(at.anchor, at.task, position, KIND, named(key), "open", freeze(payload))
    )
    raise Interrupted(strike_out(str(question)))


def _unix(
    deadline: float | datetime.timedelta | datetime.datetime | None, now: float
) -> float | None:
    if deadline is None:
        return None
    if isinstance(deadline, datetime.datetime):
        return deadline.timestamp()
    if isinstance(deadline, datetime.timedelta):
        return now + deadline.total_seconds()
    return now + float(deadline)
