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

import errno
import os
import shutil
import sqlite3
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from urllib.parse import quote_from_bytes

from nbagent.engine.model.checkpoint import Lease
from nbagent.engine.store.ownership import LEASE
from nbagent.engine.store.patience import NotAtOnce, patience
from nbagent.errors import StoreError, StoreUnavailable
from nbagent.stores.encryption import Cipher, key_in
from nbagent.stores.lookup.index import forget
from nbagent.stores.sql.database import Database
from nbagent.stores.sql.sqlite_tables import migrate
from nbagent.stores.sql.store import SqlStore
from nbagent.stores.urls import options_of, sqlite_path, sqlite_url

_BUSY = 5.0  # seconds to wait for another process's write
_LONG = 2 << 20  # bytes of a log that are folded at once
_SOON = 1.0  # seconds after which a shorter one is
_NETWORK = ("nfs", "cifs", "smb", "fuse.sshfs", "afs", "ceph", "glusterfs")


def open_url(url: str) -> SqliteStore:
    """`sqlite:///relative.db`, `sqlite:////absolute.db`; options are `?durability=process`, and
    `key_env=VARIABLE`, the environment variable that holds the key of an encrypted store. In the
    path `?`, `#` and `%` are percent-encoded."""
    path, options = sqlite_path(url), options_of(url)
    durability = options.pop("durability", "power")
    options.pop("key_env", None)
    if options or durability not in ("power", "process"):
        raise StoreError(
            f"{url!r}: the options are durability=power or durability=process, and key_env=, the "
            "environment variable that holds the key. A `?` that belongs to the path is written "
            "%3F, or give the path as a pathlib.Path"
        )
    kind: Literal["power", "process"] = "process" if durability == "process" else "power"
    return SqliteStore(path, durability=kind, key=key_in(url))


class SqliteStore(SqlStore):
    """A `CheckpointStore` in a file, readable with any SQLite tool. See `sql.sqlite_tables`."""

    database: SqliteFile

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Literal["power", "process"] = "power",
        lease: float = LEASE,
        clock: Callable[[], float] = time.time,
        key: str | None = None,
        read_only: bool = False,
    ) -> None:
        """read_only: of a file that is there, as it stands; nothing is written to or beside it.
        Where it cannot be written that goes without saying."""
        if key is not None:
            Cipher(key)  # one that is none is said before a file is made
        file = SqliteFile(Path(path).absolute(), durability, read_only)
        super().__init__(file, lease=lease, clock=clock, key=key)
        self.path = file.path
        self.groups_commits = durability == "power"  # see `engine.store.group`
        self._reader = file.reader  # to look at the file as the store sees it

    def __repr__(self) -> str:
        return f"<SqliteStore {self.path}>"

    def delete(self, lease: Lease) -> None:
        super().delete(lease)
        forget(self.path, lease.thread)


class SqliteFile(Database):
    """A file with a connection that writes and one that reads."""

    def __init__(
        self, path: Path, durability: Literal["power", "process"], read_only: bool = False
    ) -> None:
        super().__init__()
        self.path = path
        self.is_read_only = read_only or _is_read_only(path)
        self.url = sqlite_url(path)
        self._read_lock = threading.RLock()
        with self.said():
            self._opened = self._as_it_stands() if self.is_read_only else path
            if not self._opened.exists():
                # Made with its rights from the start: checkpoints hold what users type.
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            self.writer = self._connect()  # its own patience is for the opening: see `_Transaction`
            try:
                mode = journal_mode(self._opened)
                self._has_log = mode == "wal"
                full = "FULL" if durability == "power" else "NORMAL"
                self.writer.execute(f"PRAGMA synchronous = {full}")
                _patiently(lambda: self.writer.execute(f"PRAGMA journal_mode = {mode}").fetchall())
                _patiently(lambda: migrate(self.writer, str(path)))
                self.reader = self._connect()
            except BaseException:
                self.writer.close()
                raise
            self.reader.execute("PRAGMA query_only = ON")
            self.reader.execute("PRAGMA user_version").fetchone()  # its log is there from now on
            ends = ("", "-wal") if self._has_log else ("",)
            # As bytes, which is a third faster: it is looked up at each commit.
            self._files = [
                (path, *self._number(path))
                for path in (os.fsencode(f"{self._opened}{end}") for end in ends)
            ]
        self.writer.execute("PRAGMA busy_timeout = 0")
        self.is_closed = False
        self._folds_at = 0.0

    def _number(self, path: bytes) -> tuple[int, int]:
        if not self._has_log:
            return 0, 0  # on a network a file's number may change by itself
        found = os.stat(path)
        return found.st_dev, found.st_ino

    def wait_to_begin(self, seconds: float, error: sqlite3.Error) -> None:
        """Begin a write when nobody else writes, `seconds` from now at the latest."""
        until, wait = time.monotonic() + seconds, 0.001
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(wait, left))
            wait = min(2 * wait, 0.05)
            try:
                self.writer.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as again:
                if not _is_locked(again):
                    raise
                error = again
        raise error

    def check_there(self) -> None:
        """`StoreError` where what is written now would be lost: the file that is open, or its log,
        is no longer the one that its path names."""
        for path, device, number in self._files:
            try:
                found = os.stat(path)
            except OSError:
                raise self._gone(path, "was deleted or moved") from None
            if number and (found.st_ino != number or found.st_dev != device):
                raise self._gone(path, "was replaced by another file")

    def _gone(self, path: bytes, what: str) -> StoreError:
        return StoreError(
            f"{os.fsdecode(path)} {what} since it was opened, so nothing was written: put it back "
            "and resume, or run the cell that makes the graph (or the store) again to go on with "
            "the file that is there now"
        )

    def _as_it_stands(self) -> Path:
        """A copy that is this process's own: what SQLite writes to read a file, and what makes an
        older file a newer one, is written there."""
        if not self.path.is_file():
            raise StoreError(f"there is no file {self.path}")
        folder = Path(tempfile.mkdtemp(prefix="nbagent-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        copy = folder / "copy.db"
        place = quote_from_bytes(os.fsencode(self.path))
        if not _is_open(self.path):
            shutil.copyfile(self.path, copy)
            return copy
        try:
            with (
                closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True)) as source,
                closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target)  # also of a file that somebody writes to
        except sqlite3.OperationalError:  # nothing can be written there, so nobody does
            copy.unlink(missing_ok=True)
            for end in ("", "-wal"):
                with suppress(FileNotFoundError):
                    shutil.copyfile(f"{self.path}{end}", f"{copy}{end}")
        return copy

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self._opened, timeout=_BUSY, isolation_level=None, check_same_thread=False
        )

    @contextmanager
    def said(self) -> Iterator[None]:
        """SQLite's errors as sentences."""
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            kind = StoreUnavailable if _may_pass(error) else StoreError
            raise kind(f"{_sentence(error)} ({self.path}: {error})") from error

    def transaction(self) -> _Transaction:
        if self.is_read_only:
            raise StoreError(f"{_sentence(PermissionError())} ({self.path} is only read)")
        return _Transaction(self)

    def part(self) -> _Part:
        return _Part(self)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        if self.has_begun():
            yield self.writer
            return
        with self._read_lock, self.said():
            self.reader.execute("BEGIN")
            try:
                yield self.reader
            finally:
                self.reader.execute("COMMIT")

    def insert_version(self, db: Any, row: tuple[Any, ...]) -> int:
        id: int = db.execute(
            "INSERT INTO versions (thread, field, base, before, data, checksum, checkpoint)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            row,
        ).lastrowid
        return id

    def settle(self) -> None:
        """Fold the log into the file, so that the file alone, copied or opened elsewhere, has it
        all: a long one now, and its space is given back; a short one a moment later, so that
        nobody waits for the disk. It waits for no reader."""
        if not self._has_log or self.is_read_only:
            return
        try:
            length = os.stat(self._files[1][0]).st_size
        except OSError:
            return  # the next write says that it has gone
        if length > _LONG:
            with self.lock, self.said():
                self.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        elif (now := time.monotonic()) > self._folds_at:
            self._folds_at = now + _SOON
            timer = threading.Timer(_SOON, _fold, (weakref.ref(self),))
            timer.daemon = True
            timer.start()

    def fold(self) -> None:
        """Fold the log into the file, beside whoever writes."""
        with suppress(StoreError, sqlite3.Error):  # the file has gone; who writes says so
            self.check_there()
            place = f"file:{quote_from_bytes(os.fsencode(self._opened))}?mode=rw"
            with closing(sqlite3.connect(place, uri=True)) as db:
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def vacuum(self) -> None:
        """Write the file anew without its gaps, and the log into it."""
        with self.lock, self._read_lock, self.said():
            self.writer.execute("VACUUM")
            self.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close the file; SQLite folds its write-ahead log into it."""
        with self.lock, self._read_lock:
            if not self.is_closed:
                self.is_closed = True
                self.reader.close()
                self.writer.close()


def _fold(file: weakref.ref[SqliteFile]) -> None:
    found = file()
    if found is not None and not found.is_closed:
        found.fold()


def _is_open(path: Path) -> bool:
    """False for a file whose log is in it: nobody can have it open. To open it would make one."""
    with path.open("rb") as file:
        has_log = file.read(20)[18:19] == b"\x02"  # the file format's write version: WAL
    return not has_log or Path(f"{path}-wal").exists()


def _is_read_only(path: Path) -> bool:
    return path.is_file() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


class _Part:
    """A write that is a part of a transaction: it can fail, and the rest stands."""

    __slots__ = ("_file",)

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def __enter__(self) -> sqlite3.Connection:
        writer = self._file.writer
        with self._file.said():
            if not writer.in_transaction:  # an error has ended all of it, such as a full disk
                raise StoreError("the transaction that this belongs to has failed")
            writer.execute("SAVEPOINT part")
        return writer

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        writer = self._file.writer
        with self._file.said():
            if error is None:
                writer.execute("RELEASE part")
                return
            if writer.in_transaction:
                writer.execute("ROLLBACK TO part")
                writer.execute("RELEASE part")
            raise error


class _Transaction:
    """A write: all of it, or the file stays as it was. What SQLite says becomes a sentence."""

    __slots__ = ("_file",)

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def __enter__(self) -> sqlite3.Connection:
        file = self._file
        seconds = patience(_BUSY)
        if not file.lock.acquire(timeout=seconds):
            if seconds:
                raise StoreUnavailable(f"another write to {file.path} takes its time")
            raise NotAtOnce(str(file.path))
        try:
            try:
                file.writer.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not _is_locked(error):
                    raise
                file.wait_to_begin(seconds, error)
        except BaseException as error:
            try:
                with file.said():
                    if file.writer.in_transaction:  # Ctrl-C, when it had begun
                        file.writer.execute("ROLLBACK")
                    raise error
            finally:
                file.lock.release()
        return file.writer

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        file = self._file
        try:
            if error is None:
                try:
                    file.check_there()
                    if not file.writer.in_transaction:
                        raise StoreError("the transaction has failed: nothing was written")
                    file.writer.execute("COMMIT")
                    return
                except BaseException as failure:
                    error = failure
            with file.said():
                if file.writer.in_transaction:
                    file.writer.execute("ROLLBACK")
                raise error
        finally:
            file.lock.release()


def _patiently(step: Callable[[], object]) -> None:
    """Take a step of the opening, again while others open the file: SQLite does not wait by itself
    where two of them want to change how a new file is written."""
    until = time.monotonic() + _BUSY
    while True:
        try:
            step()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(0.01)


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


def _is_locked(error: sqlite3.Error) -> bool:
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _may_pass(error: Exception) -> bool:
    """True where the same write may be possible later, with nothing but time or room."""
    if isinstance(error, sqlite3.Error):
        # What SQLite cannot say it says without a code.
        return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _PASSING
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)


_PASSING = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_NOMEM,
)


def _sentence(error: Exception) -> str:
    text = str(error)
    if isinstance(error, UnicodeDecodeError):
        return "the file is damaged: restore a copy"
    if "locked" in text:
        return "another program holds the file locked: close it there"
    if "readonly" in text or isinstance(error, PermissionError):
        return "the file cannot be written: check its rights, or copy it to a folder of yours"
    if "full" in text:
        return "the disk is full: free some space and resume; the last checkpoint is safe"
    if "not a database" in text:
        return "the file is not a checkpoint file: name another"
    if "malformed" in text:
        return "the file is damaged: restore a copy"
    return "the checkpoint file cannot be used"
