"""
interrupt(): a node asks a person; nothing stays alive until the answer. (R27 to R30)

Rule 1: a question ends the node. When the answer is there, the node runs again from its top and
        this call returns the answer.
Rule 2: a question's id is `TASK:POSITION`, so it is the same after any number of restarts.
Rule 3: the pause is a BaseException, so `except Exception` in a node cannot swallow it; if
        something does, the engine sees `context.asked` and pauses all the same.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeVar, overload

from nbagent.engine.model.checkpoint import JournalEntry
from nbagent.engine.model.values import freeze, thaw
from nbagent.engine.model.work import KIND
from nbagent.engine.node.context import TaskContext, current

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
               model) or a JSON Schema; None takes anything
    deadline   seconds or a timedelta from now, or a datetime
    on_expiry  the answer to use when the deadline has passed as the thread is next opened;
               None leaves the question open
    key        identifies the question instead of its text, where the text varies from run to run
    """
    context = current("interrupt")
    position = context.next_position()
    name = key if key is not None else _key(question)
    entry = context.find(position, KIND, name)
    if entry is not None and entry.status == "done":
        return context.services.schema.read_answer(schema, thaw(entry.result))
    ask(
        context,
        position,
        name,
        question,
        show=(show,) if isinstance(show, str) else tuple(show),
        schema=context.services.schema.answer_schema(schema),
        deadline=_unix(deadline, context.services.clock()),
        on_expiry=on_expiry,
    )


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
) -> NoReturn:
    """End the node with a question: an open journal entry, until it is answered."""
    payload = {
        "node": context.place.node,
        "question": question,
        "show": list(show),
        "schema": thaw(schema),
        "deadline": deadline,
        "on_expiry": on_expiry,
    }
    context.asked = JournalEntry(
        context.place.anchor, context.place.task, position, KIND, key, "open", freeze(payload)
    )
    raise Interrupted(str(question))


def _key(question: Any) -> str:
    return question if isinstance(question, str) else repr(question)


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
