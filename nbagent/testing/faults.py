"""
A store that breaks where it is told to, and nodes that fail as often as they are told to.
"""

from __future__ import annotations

import collections
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from nbagent.engine.model.checkpoint import Checkpoint, JournalEntry, Lease, TaskRecord
from nbagent.engine.store.protocol import CheckpointStore, together


def kill() -> None:
    """End this process as a power cut of the process would: SIGKILL, nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


class FaultyStore:
    """A store with named points: something is done at the n-th time that one is passed.

    Points are `METHOD.before` and `METHOD.after` for acquire, commit, put_tasks, put_journal,
    renew, release and together (around what is stored all at once). `at` is a point, `count`
    (from 1) the time, `act` what is done there: the process is killed, or what `act` raises is
    raised.

    passed   how often each point has been passed
    told     called with what became durable, after it did: "committed THREAD ID" and
             "stored THREAD TASK"
    """

    def __init__(
        self,
        store: CheckpointStore,
        at: str = "",
        count: int = 1,
        act: Callable[[], Any] = kill,
        told: Callable[[str], Any] | None = None,
    ) -> None:
        self.store = store
        self.url = store.url
        self.passed: collections.Counter[str] = collections.Counter()
        self._at, self._count, self._act = at, count, act
        self._told = told or (lambda what: None)
        self._lock = threading.Lock()
        self._inside = threading.local()

    def __repr__(self) -> str:
        return f"<FaultyStore over {self.store!r}>"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def passing(self, point: str) -> None:
        """Somebody passes this point now; an agent's own code may name points, too."""
        with self._lock:
            self.passed[point] += 1
            due = point == self._at and self.passed[point] == self._count
        if due:
            self._act()

    def _tell(self, what: str) -> None:
        later: list[str] | None = getattr(self._inside, "later", None)
        if later is None:
            self._told(what)
        else:
            later.append(what)

    @contextmanager
    def together(self, thread: str | None) -> Iterator[None]:
        self.passing("together.before")
        outer: list[str] | None = getattr(self._inside, "later", None)
        later: list[str] = []
        self._inside.later = later
        try:
            with together(self.store, thread):
                yield
        finally:
            self._inside.later = outer
        for what in later:  # what is a part of another one is durable when that one is
            self._tell(what)
        self.passing("together.after")

    def acquire(self, *args: Any, **kwargs: Any) -> Lease:
        self.passing("acquire.before")
        lease = self.store.acquire(*args, **kwargs)
        self.passing("acquire.after")
        return lease

    def renew(self, lease: Lease) -> None:
        self.passing("renew.before")
        self.store.renew(lease)
        self.passing("renew.after")

    def release(self, *args: Any, **kwargs: Any) -> None:
        self.passing("release.before")
        self.store.release(*args, **kwargs)
        self.passing("release.after")

    def commit(
        self,
        lease: Lease,
        checkpoint: Checkpoint,
        records: Iterable[TaskRecord] = (),
        *,
        at: float | None = None,
    ) -> None:
        records = tuple(records)
        self.passing("commit.before")
        self.store.commit(lease, checkpoint, records, at=at)
        for record in records:
            self._tell(f"stored {lease.thread} {record.task}")
        self._tell(f"committed {lease.thread} {checkpoint.id}")
        self.passing("commit.after")

    def put_tasks(self, lease: Lease, records: Iterable[TaskRecord]) -> None:
        records = tuple(records)
        self.passing("put_tasks.before")
        self.store.put_tasks(lease, records)
        for record in records:
            if record.status == "done":
                self._tell(f"stored {lease.thread} {record.task}")
        self.passing("put_tasks.after")

    def put_journal(self, lease: Lease, entries: Iterable[JournalEntry]) -> None:
        self.passing("put_journal.before")
        self.store.put_journal(lease, entries)
        self.passing("put_journal.after")


def flaky(
    function: Callable[[Any], Any], failures: int, error: Callable[[], BaseException]
) -> Callable[[Any], Any]:
    """The function, failing with `error()` the first so many times that it is called."""
    left = [failures]

    def run(state: Any) -> Any:
        if left[0] > 0:
            left[0] -= 1
            raise error()
        return function(state)

    run.__name__ = getattr(function, "__name__", "flaky")
    return run


def scripted(*returns: Any) -> Callable[[Any], Any]:
    """A node's function that returns these values, one a call; an exception among them is raised.

    `IndexError` when it is called more often.
    """
    left = list(returns)

    def run(state: Any) -> Any:
        value = left.pop(0)
        if isinstance(value, BaseException):
            raise value
        return value

    return run
