"""
The store as the engine knows it: where threads live.

Rule: whoever writes holds a lease. A write under a lease that somebody else has taken over raises
      `ThreadBusy` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, runtime_checkable

from nbagent.engine.model.checkpoint import (
    Checkpoint,
    CheckpointInfo,
    JournalEntry,
    Lease,
    Loaded,
    Owner,
    SizeInfo,
    Status,
    TaskRecord,
    ThreadInfo,
)
from nbagent.engine.model.span import Span


@runtime_checkable
class CheckpointStore(Protocol):
    """Where threads live. Methods are synchronous, thread-safe, and durable when they return.

    Values in what a store returns are frozen (`values.freeze`). Every method may raise
    `StoreError`; those that take a lease raise `ThreadBusy` when it is no longer valid.
    """

    url: str

    def acquire(
        self,
        thread: str,
        owner: Owner,
        *,
        graph: str = "",
        create: bool = False,
        take_over: bool = False,
        parent: str | None = None,
        place: str = "",
    ) -> Lease:
        """Take the thread for `owner` and mark it `running`.

        create: make the thread if it is not there; else `UnknownThread`. One that is there is the
        one that is meant if it is at the same `place` of the same `parent`; else `ThreadError`.
        take_over: take it even from a live owner, whose next write then fails.
        Free at once are threads that nobody holds, that this very owner token holds, whose
        owner's process is dead on this host, and those whose lease has expired. Otherwise
        `ThreadBusy`. At the place `PART` one is made that nobody sees before it is released, which
        leaves it at no place; what a dead owner has left there is thrown away.
        `graph` is the graph of a thread that is made; without `create`, the one that it is of from
        now on ("" leaves it).
        """
        ...

    def renew(self, lease: Lease) -> None:
        """Say that the owner lives; extends the lease."""
        ...

    def release(
        self, lease: Lease, status: Status, *, error: str = "", at: float | None = None
    ) -> None:
        """Give the thread back with its new status.

        `at` is when something last happened to it, in Unix seconds, where that is not now:
        nothing came of this hold.
        """
        ...

    def commit(
        self,
        lease: Lease,
        checkpoint: Checkpoint,
        records: Iterable[TaskRecord] = (),
        *,
        at: float | None = None,
    ) -> None:
        """Store a checkpoint as the thread's latest, with `records` not yet put, all or nothing.

        `at` is when it was made, in Unix seconds, where that is not now: it is a copy.
        `CodecError` (with the field) when a value does not come back equal.
        """
        ...

    def put_tasks(self, lease: Lease, records: Iterable[TaskRecord]) -> None:
        """Store tasks' outcomes in one transaction; a later one of a task replaces it.

        `CodecError` when a value does not come back equal: none of them is stored then.
        """
        ...

    def put_journal(self, lease: Lease, entries: Iterable[JournalEntry]) -> None:
        """Store journal entries in one transaction; same anchor, task and position replace."""
        ...

    def latest(self, thread: str) -> Loaded | None:
        """The newest valid checkpoint with the work on its anchor; None when there is none.

        O(1) in the length of the history. `UnknownThread` if there is no such thread.
        """
        ...

    def load(self, thread: str, checkpoint: int) -> Loaded:
        """One checkpoint of the history, with the tasks and journal of its anchor."""
        ...

    def thread(self, thread: str) -> ThreadInfo:
        """One thread's line. `UnknownThread` if there is none."""
        ...

    def threads(self) -> list[ThreadInfo]:
        """All threads, newest first."""
        ...

    def under(self, thread: str) -> list[ThreadInfo]:
        """The threads nested in this one, as many levels deep as there are, parents first."""
        ...

    def history(self, thread: str) -> list[CheckpointInfo]:
        """All checkpoints of a thread in the order of writing, without values."""
        ...

    def recall(
        self, node: str, fingerprint: str, inputs: Any, now: float
    ) -> tuple[Any, ...] | list[Any] | None:
        """What `remember` was given for equal arguments, if it is good at `now`; else None.

        `CodecError` when the inputs cannot be compared.
        """
        ...

    def remember(
        self, node: str, fingerprint: str, inputs: Any, result: Any, now: float, until: float | None
    ) -> None:
        """Keep a node's result for all threads, until a Unix time or for ever."""
        ...

    def put_spans(self, spans: Iterable[Span]) -> None:
        """Keep spans with their threads, in any order; no lease is needed."""
        ...

    def outcomes(self, thread: str) -> list[TaskRecord]:
        """The records of all tasks of a thread, without what they wrote, by when they began."""
        ...

    def spans(self, thread: str) -> list[Span]:
        """The spans of a thread, by when they began."""
        ...

    def prune(self, lease: Lease, keep: Collection[int]) -> int:
        """Throw away all checkpoints but the latest and those in `keep`; how many those were.

        What only they needed goes with them. One whose parent has gone has none.
        """
        ...

    def delete(self, lease: Lease) -> None:
        """Throw the whole thread away, and the lease with it."""
        ...

    def vacuum(self) -> None:
        """Give the space of what was thrown away back to the disk."""
        ...

    def sizes(self) -> list[SizeInfo]:
        """What each field of each thread takes, by thread, the largest first."""
        ...

    def close(self) -> None:
        """Free the file or connection. Calling it twice is fine."""
        ...


def together(store: CheckpointStore, thread: str | None) -> AbstractContextManager[None]:
    """What is written to the thread inside (None: to any) is stored all at once, or nothing of it
    is; each call of the store is a part that can fail for itself, and so is a `together` in it.

    A store can do so if it has a method `together(thread)`; with another each write is its own.
    """
    found = getattr(store, "together", None)
    return nullcontext() if found is None else found(thread)
