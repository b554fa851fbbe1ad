"""
A `CheckpointStore` in SQL tables: a database, and the parts that say what is done with it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

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
from nbagent.stores.encryption import Cipher, Plain
from nbagent.stores.sql.database import Database, Held, Shelf
from nbagent.stores.sql.keys import check_key
from nbagent.stores.sql.leases import Leases
from nbagent.stores.sql.memory import SqlMemory
from nbagent.stores.sql.pruning import Pruning
from nbagent.stores.sql.reading import Reading
from nbagent.stores.sql.writing import Writing


class SqlStore:
    """Threads in a `Database`. See the protocol for each method; `memory` is what they remember."""

    def __init__(
        self, database: Database, *, lease: float, clock: Callable[[], float], key: str | None
    ) -> None:
        """`StoreError`, and the database is closed, when `key` is not the one it was made with."""
        self.database = database
        self.url = database.url
        try:
            self.key = key
            cipher = Plain() if key is None else Cipher(key)
            self._shelf = shelf = Shelf(database, cipher, lease, clock)
            self._reading = Reading(shelf)
            self._leases = Leases(shelf, self._reading)
            self.memory = SqlMemory(shelf)
            self._writing = Writing(shelf, self._leases, self._reading, self.memory)
            self._pruning = Pruning(shelf, self._leases)
            check_key(database, shelf.cipher)
        except BaseException:
            database.close()
            raise

    @property
    def is_encrypted(self) -> bool:
        return self.key is not None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    @contextmanager
    def together(self, thread: str | None) -> Iterator[None]:
        """What is written to the thread inside is one transaction: see `protocol.together`."""
        held, before = self._shelf.held, dict[str, Held | None]()

        def keep() -> None:
            if thread is None:
                before.update(held)
            else:
                before[thread] = held.get(thread)

        try:
            with self.database.together(thread, keep):
                yield
        except BaseException:
            self._writing.forget()
            for id, one in before.items():
                if one is None:
                    held.pop(id, None)
                else:
                    held[id] = one
            raise

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
        return self._leases.acquire(
            thread, owner, graph=graph, create=create, take_over=take_over, parent=parent,
            place=place,
        )  # fmt: skip

    def renew(self, lease: Lease) -> None:
        self._leases.renew(lease)

    def release(
        self, lease: Lease, status: Status, *, error: str = "", at: float | None = None
    ) -> None:
        self._leases.release(lease, status, error=error, at=at)

    def commit(
        self,
        lease: Lease,
        checkpoint: Checkpoint,
        records: Iterable[TaskRecord] = (),
        *,
        at: float | None = None,
    ) -> None:
        self._writing.commit(lease, checkpoint, tuple(records), at=at)

    def put_tasks(self, lease: Lease, records: Iterable[TaskRecord]) -> None:
        self._writing.put_tasks(lease, records)

    def put_journal(self, lease: Lease, entries: Iterable[JournalEntry]) -> None:
        self._writing.put_journal(lease, entries)

    def forget_results(self, node: str, fingerprint: str) -> int:
        return self._writing.forget_results(node, fingerprint)

    def drop_journal(self, lease: Lease, anchor: int, task: str, positions: range) -> None:
        self._writing.drop_journal(lease, anchor, task, positions)

    def put_spans(self, spans: Iterable[Span]) -> None:
        self._writing.put_spans(spans)

    def remember(
        self, node: str, fingerprint: str, inputs: Any, result: Any, now: float, until: float | None
    ) -> None:
        self._writing.remember(node, fingerprint, inputs, result, now, until)

    def recall(
        self, node: str, fingerprint: str, inputs: Any, now: float
    ) -> tuple[Any, ...] | list[Any] | None:
        return self._reading.recall(node, fingerprint, inputs, now)

    def latest(self, thread: str) -> Loaded | None:
        return self._reading.latest(thread)

    def load(self, thread: str, checkpoint: int) -> Loaded:
        return self._reading.load(thread, checkpoint)

    def thread(self, thread: str) -> ThreadInfo:
        return self._reading.thread(thread)

    def threads(self) -> list[ThreadInfo]:
        return self._reading.threads()

    def under(self, thread: str) -> list[ThreadInfo]:
        return self._reading.under(thread)

    def history(self, thread: str) -> list[CheckpointInfo]:
        return self._reading.history(thread)

    def outcomes(self, thread: str) -> list[TaskRecord]:
        return self._reading.outcomes(thread)

    def spans(self, thread: str) -> list[Span]:
        return self._reading.spans(thread)

    def metadata(self) -> dict[str, dict[str, Any]]:
        return self._reading.metadata()

    def prune(self, lease: Lease, keep: Collection[int]) -> int:
        return self._pruning.prune(lease, keep)

    def delete(self, lease: Lease) -> None:
        self._pruning.delete(lease)

    def sizes(self) -> list[SizeInfo]:
        return self._pruning.sizes()

    def vacuum(self) -> None:
        self._pruning.vacuum()

    def close(self) -> None:
        self.database.close()
