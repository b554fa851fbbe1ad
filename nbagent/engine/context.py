"""
What code inside a node can reach without being handed it: the task that is running.

Rule 1: the context travels in a contextvar, so it is right in parallel siblings, in `def` nodes
        on threads, and in whatever a node awaits.
Rule 2: calls that must not happen twice take a *position* each, 0, 1, 2 … in the order that the
        node makes them. When the node runs again, the call at a position finds its journal entry.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nbagent.engine.checkpoint import JournalEntry, Question
from nbagent.engine.program import Program, Schema
from nbagent.errors import NbagentError, StateError

Values = Mapping[str, Any]
Nest = Callable[["TaskContext", Program, Values], Awaitable[tuple[Values, Values]]]


class TaskContext:
    """One attempt of one task.

    edited  a person changed the state since the task was planned
    sent    the task was sent an input in place of the state
    nest    runs a subgraph inside the task
    """

    def __init__(
        self,
        *,
        thread: str,
        step: int,
        node: str,
        task: str,
        anchor: int,
        attempt: int,
        journal: Mapping[int, JournalEntry],
        schema: Schema,
        edited: bool,
        emit: Callable[[Any], None],
        keep: Callable[[JournalEntry], None],
        clock: Callable[[], float],
        sent: bool = False,
        nest: Nest | None = None,
    ) -> None:
        self.thread = thread
        self.step = step
        self.node = node
        self.task = task
        self.anchor = anchor
        self.attempt = attempt
        self.journal = dict(journal)
        self.schema = schema
        self.edited = edited
        self.emit = emit
        self._keep = keep
        self.clock = clock
        self.sent = sent
        self.nest = nest
        self.asked: Question | None = None
        self.asked_entry: JournalEntry | None = None
        self._positions = 0
        self._lock = threading.Lock()

    def begin_again(self) -> None:
        """Another attempt: calls take their positions from 0, and find what is journalled."""
        self.attempt += 1
        self._positions = 0

    def next_position(self, count: int = 1) -> int:
        """The position of the call that is being made; it takes `count` of them."""
        with self._lock:
            position = self._positions
            self._positions += count
            return position

    def record(self, entry: JournalEntry) -> None:
        """Write to the journal; it is durable when this returns."""
        self._keep(entry)
        self.journal[entry.position] = entry

    def recall(self, position: int, kind: str, key: str) -> JournalEntry | None:
        """The journal's entry for this call; `StateError` when another call stood here before."""
        entry = self.journal.get(position)
        if entry is None or (entry.kind == kind and entry.key == key):
            return entry
        moved = any(
            other.kind == kind and other.key == key
            for other in self.journal.values()
            if other is not entry
        )
        if entry.kind == kind and not moved and (entry.status == "open" or self.edited):
            return entry  # its wording follows the state that a person has edited since
        raise StateError(
            f"node {self.node!r} ran again and made its calls in another order: call "
            f"{position + 1} was {entry.kind} {entry.key!r}, now it is {kind} {key!r}. "
            "Make what stands before it deterministic, or give the call a fixed key=",
            node=self.node,
        )


_current: contextvars.ContextVar[TaskContext] = contextvars.ContextVar("nbagent_task")


def enter(context: TaskContext) -> contextvars.Token[TaskContext]:
    """Make `context` the current one; undo it with `leave`."""
    return _current.set(context)


def leave(token: contextvars.Token[TaskContext]) -> None:
    """Undo `enter`."""
    _current.reset(token)


def current(caller: str) -> TaskContext:
    """The running task; an error that names `caller` when no node is running."""
    context = _current.get(None)
    if context is None:
        raise NbagentError(f"{caller}() works only inside a node of a running graph")
    return context


def emit(value: Any) -> None:
    """Stream a partial result (a token, a progress figure) to whoever watches the run. (R38)

    Outside a run it does nothing, so that a node can be called and tested alone.
    """
    context = _current.get(None)
    if context is not None:
        context.emit(value)
