"""
Threads in one SQLite file: the default. (R20 to R25, W4 to W8)

Rule 1: a write is one `BEGIN IMMEDIATE` transaction on one connection; readers have another, in
        WAL mode, so that neither waits for the other (on a network file system, which has no
        WAL, they do).
Rule 2: what SQLite says is told as a sentence: what is wrong and what to do.

`durability="power"` survives a power cut (synchronous=FULL), `"process"` any kill of the process
(NORMAL), several times faster.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from urllib.parse import parse_qs

from nbagent.engine.model.checkpoint import Lease, Status
from nbagent.engine.store.ownership import LEASE
from nbagent.errors import StoreError
from nbagent.stores.encryption import key_in
from nbagent.stores.sql.pruning import SqlKeeper
from nbagent.stores.sql.sqlite_tables import migrate

_BUSY = 5.0  # seconds to wait for another process's write
_NETWORK = ("nfs", "cifs", "smb", "fuse.sshfs", "afs", "ceph", "glusterfs")


def open_url(url: str) -> SqliteStore:
    """`sqlite:///relative.db`, `sqlite:////absolute.db`; options are `?durability=process`, and
    `key_env=VARIABLE`, the environment variable that holds the key of an encrypted store."""
    rest = url.removeprefix("sqlite://")
    path, _, query = rest.partition("?")
    if not path.startswith("/") or len(path) < 2:
        raise StoreError(f"{url!r} names no file: write sqlite:///agents.db")
    options = {name: values[-1] for name, values in parse_qs(query).items()}
    durability = options.pop("durability", "power")
    options.pop("key_env", None)
    if options or durability not in ("power", "process"):
        raise StoreError(
            f"{url!r}: the options are durability=power or durability=process, and key_env=, the "
            "environment variable that holds the key"
        )
    kind: Literal["power", "process"] = "process" if durability == "process" else "power"
    return SqliteStore(path[1:], durability=kind, key=key_in(url))


class SqliteStore(SqlKeeper):
    """A `CheckpointStore` in a file, readable with any SQLite tool. See `sql.sqlite_tables`."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Literal["power", "process"] = "power",
        lease: float = LEASE,
        clock: Callable[[], float] = time.time,
        key: str | None = None,
    ) -> None:
        super().__init__(lease=lease, clock=clock, key=key)
        self.path = Path(path).absolute()
        self.url = f"sqlite:///{self.path}"
        self._read_lock = threading.RLock()
        with self._said():
            if not self.path.exists():
                # Made with its rights from the start: checkpoints hold what users type.
                os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
            self._db = self._connect()
            try:
                self._db.execute(f"PRAGMA journal_mode = {journal_mode(self.path)}")
                full = "FULL" if durability == "power" else "NORMAL"
                self._db.execute(f"PRAGMA synchronous = {full}")
                migrate(self._db, str(self.path))
                self._reader = self._connect()
            except BaseException:
                self._db.close()
                raise
            self._reader.execute("PRAGMA query_only = ON")
        self._closed = False
        try:
            self._check_key()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<SqliteStore {self.path}>"

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self.path, timeout=_BUSY, isolation_level=None, check_same_thread=False
        )

    @contextmanager
    def _said(self) -> Iterator[None]:
        """SQLite's errors as sentences."""
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            raise StoreError(f"{_sentence(error)} ({self.path}: {error})") from error

    def _write(self) -> _Transaction:
        return _Transaction(self)

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._read_lock, self._said():
            self._reader.execute("BEGIN")
            try:
                yield self._reader
            finally:
                self._reader.execute("COMMIT")

    def _insert_version(self, db: Any, row: tuple[Any, ...]) -> int:
        id: int = db.execute(
            "INSERT INTO versions (thread, field, base, before, data, checksum, checkpoint)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            row,
        ).lastrowid
        return id

    def release(
        self, lease: Lease, status: Status, *, error: str = "", at: float | None = None
    ) -> None:
        super().release(lease, status, error=error, at=at)
        if self._held:
            return
        with self._lock, self._said():
            # Nothing is under way: fold the log into the file, so that the file alone, copied or
            # opened elsewhere, has it all. Passive: it never waits for a reader.
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def vacuum(self) -> None:
        """Write the file anew without its gaps, and the log into it."""
        with self._lock, self._read_lock, self._said():
            self._db.execute("DELETE FROM cache WHERE expires <= ?", (self._clock(),))
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close the file; SQLite folds its write-ahead log into it."""
        with self._lock, self._read_lock:
            if not self._closed:
                self._closed = True
                self._reader.close()
                self._db.close()


class _Transaction:
    """A write: all of it, or the file stays as it was. What SQLite says becomes a sentence."""

    __slots__ = ("_store",)

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def __enter__(self) -> sqlite3.Connection:
        store = self._store
        store._lock.acquire()
        try:
            store._db.execute("BEGIN IMMEDIATE")
        except BaseException as error:
            try:
                with store._said():
                    if store._db.in_transaction:  # Ctrl-C, when it had begun
                        store._db.execute("ROLLBACK")
                    raise error
            finally:
                store._lock.release()
        return store._db

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        store = self._store
        try:
            if error is None:
                try:
                    store._db.execute("COMMIT")
                    return
                except BaseException as failure:
                    error = failure
            with store._said():
                if store._db.in_transaction:
                    store._db.execute("ROLLBACK")
                raise error
        finally:
            store._lock.release()


def journal_mode(path: Path, mounts: str | None = None) -> Literal["wal", "delete"]:
    """WAL, but on a network file system: there the memory that it needs is not shared.

    mounts   the text of /proc/mounts, where that is not to be read
    """
    try:
        text = Path("/proc/mounts").read_text() if mounts is None else mounts
    except OSError:
        return "wal"
    lines = [line.split()[1:3] for line in text.splitlines() if len(line.split()) > 2]
    holding = [(len(at), kind) for at, kind in lines if path.is_relative_to(_unescaped(at))]
    kind = max(holding, default=(0, ""))[1]
    return "delete" if kind.startswith(_NETWORK) else "wal"


def _unescaped(mount: str) -> str:
    return mount.replace("\\040", " ")  # how /proc/mounts writes a space


def _sentence(error: Exception) -> str:
    text = str(error)
    if isinstance(error, UnicodeDecodeError):
        return "the file is damaged: restore a copy"
    if "locked" in text:
        return f"another program has held the file locked for {_BUSY:.0f} seconds: close it there"
    if "readonly" in text or isinstance(error, PermissionError):
        return "the file cannot be written: check its rights, or copy it to a folder of yours"
    if "full" in text:
        return "the disk is full: free some space and resume; the last checkpoint is safe"
    if "not a database" in text:
        return "the file is not a checkpoint file: name another"
    if "malformed" in text:
        return "the file is damaged: restore a copy"
    return "the checkpoint file cannot be used"
