"""
A database as the statements need it: what differs from one to the next, and nothing else.

Rule 1: SQL is written with `?` for a parameter, whichever database it is for.
Rule 2: an error of the database's own leaves a transaction as a `StoreError` that says what is
        wrong and what to do.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from nbagent.engine.model.fact import fact
from nbagent.engine.store.patience import NotAtOnce, must_be_at_once
from nbagent.stores.encryption import Plain

METADATA = "spans_of_metadata"  # an index that is made where there is something to find by it


class Connection(Protocol):
    """What the statements need of a connection inside a transaction."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Any: ...

    def executemany(self, sql: str, parameters: Any, /) -> Any: ...


@dataclass(slots=True)
class _Joined:
    """What a thread of this process does in `together`."""

    thread: str | None
    stack: ExitStack
    began: Callable[[], object]
    has_begun: bool = False
    is_to_settle: bool = False


class Database(ABC):
    """Connections to one database, for any thread; `lock` is held while one writes.

    is_in_doubt  a connection broke, perhaps with a commit whose acknowledgement was lost: what is
                 written again may be there already
    """

    url: str
    is_in_doubt = False
    is_read_only = False
    find_index = "SELECT 1 FROM sqlite_master WHERE name = ?"
    lock_row = ""  # behind a SELECT, where a transaction does not lock all by itself

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._joined: dict[int, _Joined] = {}  # thread of this process -> what it has joined

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold `lock`; where nobody can wait for it, `NotAtOnce`."""
        if not self.lock.acquire(timeout=-1 if not must_be_at_once() else 0):
            raise NotAtOnce(f"another write to {self.url} is under way")
        try:
            yield
        finally:
            self.lock.release()

    def write(self, thread: str = "") -> AbstractContextManager[Connection]:
        """A transaction that changes something: all of it, or nothing. In `together` it is a part
        of that one, which begins with what is written to its thread."""
        joined = self._joined.get(threading.get_ident()) if self._joined else None
        if joined is None:
            return self.transaction()
        if not joined.has_begun:
            if joined.thread not in (None, thread):
                return self.transaction()
            joined.stack.enter_context(self.transaction())
            joined.has_begun = True
            joined.began()
        return self.part()

    @contextmanager
    def together(self, thread: str | None, began: Callable[[], object]) -> Iterator[None]:
        """What is written to the thread inside (None: to any) is one transaction, which begins with
        the first of it; the reads after that see it. Others of this process that write wait.

        began   called when it has begun
        """
        me = threading.get_ident()
        outer = self._joined.get(me)
        if outer is not None and (outer.has_begun or outer.thread is None):
            with self.write(thread or ""):
                began()
                yield
            return
        with ExitStack() as stack:
            if outer is None:
                stack.callback(self._joined.pop, me)
            else:  # what comes in between, and is over before that one begins
                stack.callback(self._joined.__setitem__, me, outer)
            self._joined[me] = joined = _Joined(thread, stack, began)
            yield
        if joined.is_to_settle:
            self.settle()

    def has_begun(self) -> bool:
        """True where what is read belongs to the transaction of `together`."""
        joined = self._joined.get(threading.get_ident()) if self._joined else None
        return joined is not None and joined.has_begun

    def rest(self) -> None:
        """No thread is under way any more."""
        if self.has_begun():
            self._joined[threading.get_ident()].is_to_settle = True
        else:
            self.settle()

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Connection]:
        """A transaction of its own, under `lock`."""

    @abstractmethod
    def part(self) -> AbstractContextManager[Connection]:
        """A part of the transaction that has begun: it can fail, and the rest stands."""

    @abstractmethod
    def read(self) -> AbstractContextManager[Connection]:
        """A transaction that reads: all of it sees one committed state of the database."""

    @abstractmethod
    def insert_version(self, db: Connection, row: tuple[Any, ...]) -> int:
        """Put a row into `versions` (thread, field, base, before, data, checksum, checkpoint);
        its id."""

    def settle(self) -> None:  # noqa: B027
        """Told, outside of any transaction, when no thread is under way any more."""

    @abstractmethod
    def vacuum(self) -> None:
        """Give the space of deleted rows back to the disk."""

    @abstractmethod
    def close(self) -> None:
        """Free the connections. Calling it twice is fine."""


@fact
class Version:
    """A stored version: its row, the whole version that it builds on (None: it is whole), the
    bytes of that, and the bytes of the changes since."""

    id: int
    base: int | None
    whole: int
    changes: int

    def numbered(self, id: int) -> Version:
        """The version once its row is known."""
        return Version(id, self.base, self.whole, self.changes)


@fact
class Held:
    """A checkpoint's values and versions, kept to compare the next one with."""

    checkpoint: int
    values: Mapping[str, Any]
    versions: Mapping[str, Version]


@dataclass(frozen=True, slots=True)
class Shelf:
    """What the parts of one store share.

    lease   seconds that an owner may be silent
    clock   gives Unix seconds
    held    the latest values of each thread that this process writes to
    """

    database: Database
    cipher: Plain
    lease: float
    clock: Callable[[], float]
    held: dict[str, Held] = field(default_factory=dict)
