"""
Every error that nbagent raises on purpose.

    NbagentError
    ├── GraphError           the graph is wrong; found when it is defined or compiled
    │   └── GraphChanged     the graph no longer fits a thread that was started with an older one
    ├── StateError           a value does not fit the state: bad type, unknown field, mutation
    │   └── ConflictError    two nodes wrote one field that has no reducer, in one super-step
    ├── NodeError            a node's own code raised
    │   └── ChangedInPlace   a node changed what it reads behind its back; a StateError as well
    ├── StepLimit            the guard on the number of super-steps was reached; resumable
    ├── CodecError           a value cannot be stored so that it comes back equal
    ├── StoreError           the checkpoint file or server cannot do what was asked
    │   ├── StoreUnavailable it cannot write now, and may later: locked, full, out of reach
    │   └── CorruptError     stored bytes are not the bytes that were written
    └── ThreadError          the thread cannot do this now
        ├── UnknownThread    no thread with this id
        ├── UnknownQuestion  an answer to a question that is not open
        ├── StaleAnswer      an answer to a question that its giver cannot have seen
        ├── WrongGraph       it is of another graph
        ├── ThreadBusy       somebody else is running it
        └── StaleEdit        it has moved on since the editor looked

The facts are attributes; the message ends with the mend. A pause is not an error.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Location:
    """A line of the user's own code, 1-based."""

    filename: str
    line: int


class NbagentError(Exception):
    """The base of every error of nbagent."""


class GraphError(NbagentError):
    """The graph cannot be compiled. `location` is the line to mend, where one is known."""

    def __init__(self, message: str, *, location: Location | None = None) -> None:
        super().__init__(message)
        self.location = location


class GraphChanged(GraphError):
    """A thread's checkpoint does not fit the graph as it is now defined.

    `nodes` are the names that differ, in the order of the checkpoint.
    """

    def __init__(self, message: str, *, nodes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.nodes = tuple(nodes)


class StateError(NbagentError):
    """A value does not fit the state.

    `field` is the state field, `node` the writer (None for an input or an edit), and `path`
    the place inside the value, as in `("fixes", 0, "column")`.
    """

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        node: str | None = None,
        path: Sequence[str | int] = (),
        errors: Sequence[FieldProblem] = (),
    ) -> None:
        Exception.__init__(self, message)  # also of what is a NodeError as well
        self.field = field
        self.node: Any = node
        self.path = tuple(path)
        self.errors = tuple(errors)


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing that is wrong with one place of a value; `path` starts with the field's name."""

    path: tuple[str | int, ...]
    message: str


class ConflictError(StateError):
    """Two or more nodes wrote `field`, which has no reducer, in one super-step."""

    def __init__(self, message: str, *, field: str, nodes: Sequence[str]) -> None:
        super().__init__(message, field=field)
        self.nodes = tuple(nodes)


class NodeError(NbagentError):
    """A node's code raised: `node`, `task` (its id in the super-step) and `attempt` (from 1).

    The user's exception is `__cause__`; when the failure was read back from a store, its
    formatted traceback is `traceback` instead.
    """

    def __init__(
        self, message: str, *, node: str, task: str, attempt: int = 1, traceback: str = ""
    ) -> None:
        super().__init__(message)
        self.node = node
        self.task = task
        self.attempt = attempt
        self.traceback = traceback


class ChangedInPlace(StateError, NodeError):
    """A node changed a value that it reads, where the value could not refuse: `node`, `field`."""

    def __init__(self, message: str, *, field: str | None, node: str | None) -> None:
        super().__init__(message, field=field, node=node)
        self.task, self.attempt, self.traceback = "", 1, ""


class CircuitOpen(NbagentError):
    """A `Breaker` is open, so the call was not made; `wait` seconds until it may be."""

    def __init__(self, message: str, *, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


class StepLimit(NbagentError):
    """The run made `limit` super-steps without ending. The thread can be resumed."""

    def __init__(self, message: str, *, limit: int) -> None:
        super().__init__(message)
        self.limit = limit


class CodecError(NbagentError):
    """A value cannot be stored so that it comes back equal and of the same type."""

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        node: str | None = None,
        path: Sequence[str | int] = (),
    ) -> None:
        super().__init__(message)
        self.field = field
        self.node = node
        self.path = tuple(path)


class StoreError(NbagentError):
    """The store cannot do what was asked; the last acknowledged checkpoint is untouched."""


class StoreUnavailable(StoreError):
    """The store cannot write now, and may later: its file is locked, its disk is full, its server
    is out of reach. Nothing was written; a run holds what it has and tries again."""


class CorruptError(StoreError):
    """Stored bytes fail their checksum. `checkpoint` is the id that could not be read."""

    def __init__(self, message: str, *, thread: str, checkpoint: int | None = None) -> None:
        super().__init__(message)
        self.thread = thread
        self.checkpoint = checkpoint


class ThreadError(NbagentError):
    """The thread cannot do this now. `thread` is its id."""

    def __init__(self, message: str, *, thread: str) -> None:
        super().__init__(message)
        self.thread = thread


class UnknownThread(ThreadError):
    """No thread with this id is in the store."""


class UnknownQuestion(ThreadError):
    """The question is not open: unknown, already answered, or of an earlier super-step."""

    def __init__(self, message: str, *, thread: str, question: str | None = None) -> None:
        super().__init__(message, thread=thread)
        self.question = question


class StaleAnswer(ThreadError):
    """The thread asks something else by now: `asked` is the id of its question, `seen` the ids of
    those that whoever answers has looked at; empty where that is not known."""

    def __init__(self, message: str, *, thread: str, asked: str, seen: Sequence[str] = ()) -> None:
        super().__init__(message, thread=thread)
        self.asked = asked
        self.seen = tuple(seen)


class WrongGraph(ThreadError):
    """The thread is of another graph: `graph` is that one's name."""

    def __init__(self, message: str, *, thread: str, graph: str) -> None:
        super().__init__(message, thread=thread)
        self.graph = graph


class ThreadBusy(ThreadError):
    """Another run owns the thread: `owner` says who, `since` since when (Unix seconds)."""

    def __init__(self, message: str, *, thread: str, owner: str, since: float) -> None:
        super().__init__(message, thread=thread)
        self.owner = owner
        self.since = since


class StaleEdit(ThreadError):
    """The thread moved on: the edit was made for checkpoint `expected`, it now is at `actual`.

    `fields` are those that changed in between.
    """

    def __init__(
        self,
        message: str,
        *,
        thread: str,
        expected: int,
        actual: int,
        fields: Sequence[str] = (),
    ) -> None:
        super().__init__(message, thread=thread)
        self.expected = expected
        self.actual = actual
        self.fields = tuple(fields)


def nearest(name: Any, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing when no known name is near."""
    found = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    return f" (did you mean {found[0]!r}?)" if found else ""


def said(error: BaseException) -> str:
    """What an error says, as text that can be stored: also where its own `__str__` fails, or gives
    half of a surrogate pair."""
    try:
        text = str(error)
    except BaseException as broken:  # its own code, which may raise anything
        text = f"(what it says cannot be told: {type(broken).__name__} in its __str__)"
    return storable(text)


def storable(text: str) -> str:
    """The text with what no encoding takes, half of a surrogate pair, written as `\\ud83d`."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
