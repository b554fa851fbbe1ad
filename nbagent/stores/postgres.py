"""
Threads in a PostgreSQL database, for teams and for machines that come and go. (R21, R25, W4, W5)

Rule 1: the statements are those of SQLite (the parts in `sql`); here is
        how to connect, how a transaction begins, and what an error means.
Rule 2: a write begins by locking the thread's row, and looks whether its epoch is the lease's. The
        lock puts two writers in order; the second finds another epoch and writes nothing.
Rule 3: a connection that broke is replaced at the next call; what was under way has failed, as
        a whole, and the run can be resumed.

Needs psycopg 3: `pip install "nbagent-jupyter[postgres]"`.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from nbagent.engine.store.ownership import LEASE
from nbagent.engine.store.patience import NotAtOnce, must_be_at_once, patience
from nbagent.errors import StoreError, StoreUnavailable
from nbagent.stores.encryption import key_in
from nbagent.stores.sql.database import Database
from nbagent.stores.sql.postgres_tables import MIGRATIONS
from nbagent.stores.sql.store import SqlStore
from nbagent.stores.urls import options_of

try:
    import psycopg
except ImportError as missing:
    raise StoreError(
        "a postgresql:// store needs psycopg 3, which is not installed: "
        'pip install "nbagent-jupyter[postgres]"'
    ) from missing

if TYPE_CHECKING:
    Psycopg = psycopg.Connection[tuple[Any, ...]]
_PATIENCE = 600.0  # seconds that a call waits for another one of this process
_MIGRATING = 7_236_151_000  # the advisory lock that one process at a time migrates under


def open_url(url: str) -> PostgresStore:
    """`postgresql://user@host/database`, with libpq's options behind `?`, `schema=NAME`, and
    `key_env=VARIABLE`, the environment variable that holds the key of an encrypted store."""
    return PostgresStore(url, key=key_in(url))


class PostgresStore(SqlStore):
    """A `CheckpointStore` in a PostgreSQL database: in the schema `nbagent`, unless told."""

    database: PostgresServer

    def __init__(
        self,
        url: str,
        *,
        lease: float = LEASE,
        clock: Callable[[], float] = time.time,
        key: str | None = None,
    ) -> None:
        server = PostgresServer(url)
        super().__init__(server, lease=lease, clock=clock, key=key)
        self.schema = server.schema


class PostgresServer(Database):
    """A database with a connection that writes and one that reads."""

    find_index = "SELECT 1 FROM pg_indexes WHERE schemaname = current_schema() AND indexname = ?"
    lock_row = " FOR UPDATE"

    def __init__(self, url: str) -> None:
        super().__init__()
        parts = urlsplit(url)
        if "#" in url:  # what stands behind it, such as key_env=, would be lost
            raise StoreError("a `#` in a store's URL is written %23")
        options = options_of(url)
        self.schema = options.pop("schema", "nbagent")
        options.pop("key_env", None)
        self._place = urlunsplit(parts._replace(query=urlencode(options)))
        shown = parts.netloc.replace(f":{parts.password}@", ":…@") if parts.password else None
        self.url = urlunsplit(parts._replace(netloc=shown)) if shown else url
        self._read_lock = threading.RLock()
        self._connections: dict[str, Psycopg] = {}
        self._is_closed = False
        with self._said():
            self._migrate(self._connection("writer"))

    def _connection(self, use: str) -> Psycopg:
        """The open connection for this use; a new one in place of one that broke."""
        found = self._connections.get(use)
        if found is not None and not found.closed:
            return found
        if self._is_closed:
            raise StoreError(f"the store {self.url} has been closed: open it again")
        made = psycopg.connect(self._place, autocommit=True, application_name=f"nbagent {use}")
        quoted = psycopg.sql.Identifier(self.schema)
        made.execute(psycopg.sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(quoted))
        made.execute(psycopg.sql.SQL("SET search_path TO {}").format(quoted))
        if use == "reader":
            made.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            made.read_only = True
        self._connections[use] = made
        return made

    def _migrate(self, db: Psycopg) -> None:
        with db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATING,))
            db.execute("CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY)")
            row = db.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()
            version = row[0] if row else 0
            if version > len(MIGRATIONS):
                raise StoreError(
                    f"{self.url} was written by a newer nbagent (its schema is {version}, this "
                    f"one knows {len(MIGRATIONS)}): update nbagent to open it"
                )
            for number in range(version, len(MIGRATIONS)):
                db.execute(MIGRATIONS[number].encode())
                db.execute("INSERT INTO migrations VALUES (%s)", (number + 1,))

    @contextmanager
    def _said(self) -> Iterator[None]:
        """The server's errors as sentences."""
        try:
            yield
        except psycopg.Error as error:
            kind = StoreUnavailable if _may_pass(error) else StoreError
            raise kind(f"{_sentence(error)} ({self.url}: {str(error).strip()})") from error

    @contextmanager
    def transaction(self) -> Iterator[_Session]:
        with _taken(self.lock), self._said():
            db, begun = self._connection("writer"), ExitStack()
            try:
                begun.enter_context(db.transaction())
            except psycopg.OperationalError:  # the server was restarted meanwhile
                db.close()
                db = self._connection("writer")
                begun.enter_context(db.transaction())
            try:
                with begun:
                    yield _Session(db)
            except psycopg.OperationalError:
                self.is_in_doubt = True
                raise

    @contextmanager
    def part(self) -> Iterator[_Session]:
        with self._said():
            db = self._connections["writer"]
            with db.transaction():  # inside of another one: a savepoint
                yield _Session(db)

    @contextmanager
    def read(self) -> Iterator[_Session]:
        if self.has_begun():
            yield _Session(self._connections["writer"])
            return
        with _taken(self._read_lock), self._said():
            db = self._connection("reader")
            try:
                db.execute("SELECT 1")
            except psycopg.OperationalError:  # the server was restarted meanwhile
                db.close()
                db = self._connection("reader")
            with db.transaction():
                yield _Session(db)

    def insert_version(self, db: Any, row: tuple[Any, ...]) -> int:
        id: int = db.execute(
            "INSERT INTO versions (thread, field, base, before, data, checksum, checkpoint)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
            row,
        ).fetchone()[0]
        return id

    def vacuum(self) -> None:
        """Not in a transaction; other writers wait for each table in turn."""
        with self.lock, self._said():
            db = self._connection("writer")
            for table in ("versions", "checkpoints", "tasks", "journal", "state", "cache"):
                db.execute(f"VACUUM FULL {table}".encode())

    def close(self) -> None:
        """Close the connections."""
        with self.lock, self._read_lock:
            self._is_closed = True
            for connection in self._connections.values():
                connection.close()
            self._connections.clear()


class _Session:
    """A connection that takes statements with `?` for a parameter."""

    def __init__(self, db: Psycopg) -> None:
        self._db = db

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        return self._db.execute(_marked(sql), parameters)

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        cursor = self._db.cursor()
        cursor.executemany(_marked(sql), parameters)
        return cursor


@functools.lru_cache(maxsize=256)
def _marked(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()


@contextmanager
def _taken(lock: Any) -> Iterator[None]:
    """Hold the lock; the way to a server is always long."""
    if must_be_at_once():
        raise NotAtOnce("a server is not asked on the event loop")
    if not lock.acquire(timeout=patience(_PATIENCE)):
        raise StoreUnavailable("another call of the database takes its time")
    try:
        yield
    finally:
        lock.release()


def _may_pass(error: psycopg.Error) -> bool:
    """True where the same call may be possible later, with nothing but time or room."""
    return isinstance(error, psycopg.OperationalError)  # a full disk, a lock, no server


def _sentence(error: psycopg.Error) -> str:
    if isinstance(error, psycopg.errors.DiskFull):
        return (
            "the database's disk is full: free some space and resume; the last checkpoint is safe"
        )
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return "this user may not write to the database: ask for the right to create a schema"
    if isinstance(error, psycopg.OperationalError):
        return (
            "the database cannot be reached: see that the server runs and resume; the last "
            "checkpoint is safe"
        )
    return "the database cannot be used"
