"""
Threads in one SQLite file. (R20 to R25, W4 to W8, W15)

Rule 1: every write is one `BEGIN IMMEDIATE` transaction that first checks the lease's epoch; if
        it fails anywhere, the file is as it was.
Rule 2: a checkpoint names, for each field, the row of `versions` that holds its value. A field
        that did not change names the same row again and costs nothing.
Rule 3: a version is whole, or a change of the one before it; when the changes since the last
        whole one outweigh it, a whole one is written. So writing costs what changed, and loading
        reads at most about twice the state, however long the history. (R23)
Rule 4: every blob has a checksum. A checkpoint that fails it is passed over for the newest one
        that does not, and the person is told. (W8)
Rule 5: values reach SQL only as bound parameters.

`durability="power"` survives a power cut (synchronous=FULL), `"process"` any kill of the process
(NORMAL), several times faster.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs

from nbagent.engine.checkpoint import (
    Checkpoint,
    CheckpointInfo,
    Failure,
    JournalEntry,
    Lease,
    Loaded,
    Owner,
    Status,
    TaskRecord,
    ThreadInfo,
)
from nbagent.engine.ownership import LEASE, busy, is_alive
from nbagent.errors import CodecError, CorruptError, StoreError, ThreadBusy, UnknownThread
from nbagent.stores.codec import cache_key, decode, encode, encode_checked
from nbagent.stores.migrations import migrate
from nbagent.stores.versions import Held, Version, next_version, read_versions

_BUSY = 5.0  # seconds to wait for another process's write


def open_url(url: str) -> SqliteStore:
    """`sqlite:///relative.db`, `sqlite:////absolute.db`, `…?durability=process`."""
    rest = url.removeprefix("sqlite://")
    path, _, query = rest.partition("?")
    if not path.startswith("/") or len(path) < 2:
        raise StoreError(f"{url!r} names no file: write sqlite:///agents.db")
    options = {name: values[-1] for name, values in parse_qs(query).items()}
    durability = options.pop("durability", "power")
    if options or durability not in ("power", "process"):
        raise StoreError(f"{url!r}: the only option is durability=power or durability=process")
    return SqliteStore(path[1:], durability="process" if durability == "process" else "power")


class SqliteStore:
    """A `CheckpointStore` in a file, readable with any SQLite tool. See `migrations` for tables."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Literal["power", "process"] = "power",
        lease: float = LEASE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = Path(path).absolute()
        self.url = f"sqlite:///{self.path}"
        self._lease = lease
        self._clock = clock
        self._lock = threading.RLock()
        self._read_lock = threading.RLock()
        self._held: dict[str, Held] = {}
        self._known_nodes: set[str] = set()
        with self._said():
            if not self.path.exists():
                # Made with its rights from the start: checkpoints hold what users type.
                os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
            self._db = self._connect()
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                full = "FULL" if durability == "power" else "NORMAL"
                self._db.execute(f"PRAGMA synchronous = {full}")
                migrate(self._db, str(self.path))
                self._reader = self._connect()
            except BaseException:
                self._db.close()
                raise
            self._reader.execute("PRAGMA query_only = ON")
        self._closed = False

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
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{_sentence(error)} ({self.path}: {error})") from error

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._said():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._read_lock, self._said():
            self._reader.execute("BEGIN")
            try:
                yield self._reader
            finally:
                self._reader.execute("COMMIT")

    # ------------------------------------------------------------------------------ ownership

    def acquire(
        self,
        thread: str,
        owner: Owner,
        *,
        graph: str = "",
        create: bool = False,
        take_over: bool = False,
        parent: str | None = None,
    ) -> Lease:
        now = self._clock()
        with self._write() as db:
            row = db.execute(
                "SELECT owner, since, lease_until, epoch FROM threads WHERE id = ?", (thread,)
            ).fetchone()
            if row is None:
                if not create:
                    raise _unknown(thread)
                db.execute(
                    "INSERT INTO threads (id, graph, status, step, checkpoint, created, updated,"
                    " parent) VALUES (?, ?, 'running', 0, 0, ?, ?, ?)",
                    (thread, graph, now, now, parent),
                )
                row = (None, 0.0, 0.0, 0)
            holder, since, until, epoch = _owner(row[0]), row[1], row[2], row[3]
            is_free = holder is None or take_over or holder.token == owner.token
            if not is_free and holder and until > now and is_alive(holder):
                raise busy(thread, holder, since)
            db.execute(
                "UPDATE threads SET graph = CASE WHEN ? = '' THEN graph ELSE ? END, error = '',"
                " status = 'running', owner = ?, since = ?, lease_until = ?, updated = ?,"
                " epoch = ? WHERE id = ?",
                (graph, graph, json.dumps(asdict(owner)), now, now + self._lease, now, epoch + 1,
                 thread),
            )  # fmt: skip
        return Lease(thread, owner, epoch + 1)

    def renew(self, lease: Lease) -> None:
        with self._write() as db:
            self._touch(db, lease, "lease_until = ?", (self._clock() + self._lease,))

    def release(self, lease: Lease, status: Status, *, error: str = "") -> None:
        with self._write() as db:
            self._touch(
                db,
                lease,
                "status = ?, error = ?, owner = NULL, lease_until = 0, updated = ?, "
                "epoch = epoch + 1",
                (status, error, self._clock()),
            )
            self._held.pop(lease.thread, None)
        with self._lock, self._said():
            # Nothing is under way: fold the log into the file, so that the file alone, copied or
            # opened elsewhere, has it all. Passive: it never waits for a reader.
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _touch(
        self, db: sqlite3.Connection, lease: Lease, assign: str, values: tuple[Any, ...]
    ) -> None:
        """Update the thread's row if the lease still holds; else `ThreadBusy`."""
        changed = db.execute(
            f"UPDATE threads SET {assign} WHERE id = ? AND epoch = ?",
            (*values, lease.thread, lease.epoch),
        ).rowcount
        if changed:
            return
        row = db.execute(
            "SELECT owner, since FROM threads WHERE id = ?", (lease.thread,)
        ).fetchone()
        if row is None:
            raise _unknown(lease.thread)
        holder = _owner(row[0])
        if holder is not None:
            raise busy(lease.thread, holder, row[1])
        raise ThreadBusy(
            f"thread {lease.thread!r} was taken over and let go again since this run began: "
            "resume it",
            thread=lease.thread,
            owner="",
            since=row[1],
        )

    # -------------------------------------------------------------------------------- writing

    def commit(
        self, lease: Lease, checkpoint: Checkpoint, records: Iterable[TaskRecord] = ()
    ) -> None:
        now = self._clock()
        with self._lock:
            held = self._held_for(lease.thread, checkpoint.parent)
            versions: dict[str, Version] = {}
            new: dict[str, tuple[int | None, int | None, bytes]] = {}
            for name, value in checkpoint.values.items():
                before = held.versions.get(name)
                if before is not None and held.values[name] is value:
                    versions[name] = before
                    continue
                with _naming(name, checkpoint, records):
                    version, data = next_version(before, held.values.get(name), value)
                versions[name] = version
                new[name] = (version.base, before.id if before and version.base else None, data)
            control = encode(dict(checkpoint.control))
            rows = [self._task_row(lease.thread, record) for record in records]
            with self._write() as db:
                self._touch(
                    db,
                    lease,
                    "checkpoint = max(checkpoint, ?), step = ?, updated = ?",
                    (checkpoint.id, checkpoint.step, now),
                )
                for name, (base, before_id, data) in new.items():
                    cursor = db.execute(
                        "INSERT INTO versions (thread, field, base, before, data, checksum)"
                        " VALUES (?, ?, ?, ?, ?, ?)",
                        (lease.thread, name, base, before_id, data, zlib.crc32(data)),
                    )
                    assert cursor.lastrowid is not None
                    versions[name] = versions[name].numbered(cursor.lastrowid)
                nodes = self._put_nodes(db, checkpoint.nodes, checkpoint.schema)
                where = json.dumps({name: version.id for name, version in versions.items()})
                size = len(control) + sum(len(data) for _, _, data in new.values())
                db.execute(
                    "INSERT OR REPLACE INTO checkpoints VALUES"
                    " (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        lease.thread, checkpoint.id, checkpoint.parent, checkpoint.step,
                        checkpoint.kind, json.dumps(checkpoint.updated),
                        json.dumps(checkpoint.ran), checkpoint.anchor, checkpoint.note,
                        checkpoint.actor, now, size, control, where, nodes,
                        _checksum(control, where),
                    ),
                )  # fmt: skip
                if rows:
                    db.executemany(_PUT_TASK, rows)
            self._known_nodes.add(nodes)
            self._held[lease.thread] = Held(checkpoint.id, checkpoint.values, versions)

    def _put_nodes(self, db: sqlite3.Connection, nodes: Mapping[str, str], schema: str) -> str:
        text = json.dumps(dict(nodes))
        key = hashlib.blake2b(f"{schema} {text}".encode(), digest_size=8).hexdigest()
        if key not in self._known_nodes:
            db.execute("INSERT OR IGNORE INTO fingerprints VALUES (?, ?, ?)", (key, text, schema))
        return key

    def _held_for(self, thread: str, parent: int | None) -> Held:
        """The parent's values and versions, from memory or from the file."""
        held = self._held.get(thread)
        if parent is None:
            return Held(0, {}, {})
        if held is None or held.checkpoint != parent:
            with self._read() as db:
                row = self._row(db, thread, parent)
                values, versions = self._values(db, thread, row)
            held = Held(parent, values, versions)
        return held

    def put_tasks(self, lease: Lease, records: Iterable[TaskRecord]) -> None:
        rows = [self._task_row(lease.thread, record) for record in records]
        with self._write() as db:
            self._touch(db, lease, "updated = ?", (self._clock(),))
            db.executemany(_PUT_TASK, rows)

    def _task_row(self, thread: str, record: TaskRecord) -> tuple[Any, ...]:
        try:
            data = encode_checked([dict(record.update), list(record.goto)])
        except CodecError as error:
            raise _named(error, record.update, record.node) from error
        failure = None if record.failure is None else json.dumps(asdict(record.failure))
        return (
            thread, record.anchor, record.task, record.node, record.status, record.attempt,
            record.started, record.ended, failure, data, zlib.crc32(data), record.resume_at,
        )  # fmt: skip

    def put_journal(self, lease: Lease, entries: Iterable[JournalEntry]) -> None:
        rows = []
        for entry in entries:
            data = encode_checked([entry.payload, entry.result])
            rows.append(
                (lease.thread, entry.anchor, entry.task, entry.position, entry.kind, entry.key,
                 entry.status, data, zlib.crc32(data))
            )  # fmt: skip
        with self._write() as db:
            self._touch(db, lease, "updated = ?", (self._clock(),))
            db.executemany(
                "INSERT OR REPLACE INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
            )

    # -------------------------------------------------------------------------------- reading

    def latest(self, thread: str) -> Loaded | None:
        with self._read() as db:
            found = db.execute("SELECT checkpoint FROM threads WHERE id = ?", (thread,)).fetchone()
            if found is None:
                raise _unknown(thread)
            if found[0] == 0:
                return None
            # The thread's latest line is where it was last written, not the highest id of it.
            wanted, broken = found[0], []
            while wanted:
                try:
                    loaded = self._loaded(db, thread, wanted)
                except CorruptError:
                    broken.append(wanted)
                    older = db.execute(
                        "SELECT max(id) FROM checkpoints WHERE thread = ? AND id < ?",
                        (thread, wanted),
                    ).fetchone()
                    wanted = older[0]
                    continue
                if broken:
                    damaged = ", ".join(map(str, broken))
                    notice = (
                        f"checkpoint {damaged} of thread {thread!r} is damaged in the file; "
                        f"checkpoint {wanted}, of super-step {loaded.checkpoint.step}, is the "
                        "last good one and is used instead"
                    )
                    return replace(loaded, notice=notice)
                return loaded
        raise CorruptError(f"no checkpoint of thread {thread!r} can be read", thread=thread)

    def load(self, thread: str, checkpoint: int) -> Loaded:
        with self._read() as db:
            return self._loaded(db, thread, checkpoint)

    def _loaded(self, db: sqlite3.Connection, thread: str, id: int) -> Loaded:
        row = self._row(db, thread, id)
        values, _ = self._values(db, thread, row)
        nodes = db.execute("SELECT nodes, schema FROM fingerprints WHERE id = ?", (row["nodes"],))
        found = nodes.fetchone()
        checkpoint = Checkpoint(
            id=row["id"],
            parent=row["parent"],
            step=row["step"],
            kind=row["kind"],
            values=values,
            control=decode(row["control"]),
            updated=tuple(json.loads(row["updated"])),
            ran=tuple(json.loads(row["ran"])),
            anchor=row["anchor"],
            nodes=json.loads(found[0]) if found else {},
            schema=found[1] if found else "",
            note=row["note"],
            actor=row["actor"],
        )
        tasks, journal = self._work(db, thread, checkpoint.anchor)
        return Loaded(checkpoint, tasks, journal)

    def _row(self, db: sqlite3.Connection, thread: str, id: int) -> sqlite3.Row:
        cursor = db.execute("SELECT * FROM checkpoints WHERE thread = ? AND id = ?", (thread, id))
        cursor.row_factory = sqlite3.Row
        row: sqlite3.Row | None = cursor.fetchone()
        if row is None:
            raise StoreError(f"thread {thread!r} has no checkpoint {id}")
        if _checksum(row["control"], row["versions"]) != row["checksum"]:
            raise CorruptError(
                f"checkpoint {id} of thread {thread!r} is damaged", thread=thread, checkpoint=id
            )
        return row

    def _values(
        self, db: sqlite3.Connection, thread: str, row: sqlite3.Row
    ) -> tuple[Mapping[str, Any], dict[str, Version]]:
        try:
            return read_versions(db, json.loads(row["versions"]))
        except CorruptError as error:
            raise CorruptError(str(error), thread=thread, checkpoint=row["id"]) from error

    def _work(
        self, db: sqlite3.Connection, thread: str, anchor: int
    ) -> tuple[tuple[TaskRecord, ...], tuple[JournalEntry, ...]]:
        """Tasks and journal of an anchor; a damaged one is left out, so its node runs again."""
        tasks = []
        for (
            _,
            at,
            task,
            node,
            status,
            attempt,
            started,
            ended,
            failure,
            data,
            checksum,
            resume_at,
        ) in db.execute("SELECT * FROM tasks WHERE thread = ? AND anchor = ?", (thread, anchor)):
            if zlib.crc32(data) != checksum:
                continue
            update, goto = decode(data)
            tasks.append(
                TaskRecord(
                    anchor=at, task=task, node=node, status=status, update=update,
                    goto=tuple(goto), attempt=attempt, started=started, ended=ended,
                    resume_at=resume_at,
                    failure=Failure(**json.loads(failure)) if failure else None,
                )
            )  # fmt: skip
        journal = []
        for _, at, task, position, kind, key, status, data, checksum in db.execute(
            "SELECT * FROM journal WHERE thread = ? AND anchor = ? ORDER BY task, position",
            (thread, anchor),
        ):
            if zlib.crc32(data) == checksum:
                payload, result = decode(data)
                journal.append(JournalEntry(at, task, position, kind, key, status, payload, result))
        return tuple(tasks), tuple(journal)

    def thread(self, thread: str) -> ThreadInfo:
        with self._read() as db:
            row = db.execute(f"{_THREADS} WHERE id = ?", (thread,)).fetchone()
        if row is None:
            raise _unknown(thread)
        return self._info(row)

    def threads(self) -> list[ThreadInfo]:
        with self._read() as db:
            rows = db.execute(f"{_THREADS} ORDER BY updated DESC").fetchall()
        return list(map(self._info, rows))

    def _info(self, row: tuple[Any, ...]) -> ThreadInfo:
        id, graph, status, checkpoint, step, created, updated, owner, since, until, *rest = row
        holder = _owner(owner)
        lives = holder is not None and until > self._clock() and is_alive(holder)
        return ThreadInfo(
            id=id, graph=graph, status="stopped" if status == "running" and not lives else status,
            checkpoint=checkpoint, step=step, created=created, updated=updated,
            owner=holder, since=since, parent=rest[0], error=rest[1],
        )  # fmt: skip

    def history(self, thread: str) -> list[CheckpointInfo]:
        with self._read() as db:
            rows = db.execute(
                "SELECT id, parent, step, kind, updated, ran, at, size, note, actor"
                " FROM checkpoints WHERE thread = ? ORDER BY id",
                (thread,),
            ).fetchall()
        return [
            CheckpointInfo(
                id=row[0], parent=row[1], step=row[2], kind=row[3],
                updated=tuple(json.loads(row[4])), ran=tuple(json.loads(row[5])), at=row[6],
                size=row[7], note=row[8], actor=row[9],
            )
            for row in rows
        ]  # fmt: skip

    def recall(
        self, node: str, fingerprint: str, inputs: Any, now: float
    ) -> tuple[Any, ...] | list[Any] | None:
        key = cache_key(node, fingerprint, inputs)
        with self._read() as db:
            row = db.execute(
                "SELECT data, checksum FROM cache"
                " WHERE id = ? AND (expires IS NULL OR expires > ?)",
                (key, now),
            ).fetchone()
        if row is None or zlib.crc32(row[0]) != row[1]:
            return None
        found: list[Any] = decode(row[0])
        return found

    def remember(
        self, node: str, fingerprint: str, inputs: Any, result: Any, now: float, until: float | None
    ) -> None:
        data = encode_checked(result)
        row = (cache_key(node, fingerprint, inputs), node, now, until, data, zlib.crc32(data))
        with self._write() as db:
            db.execute("INSERT OR REPLACE INTO cache VALUES (?, ?, ?, ?, ?, ?)", row)

    def close(self) -> None:
        """Close the file; SQLite folds its write-ahead log into it."""
        with self._lock, self._read_lock:
            if not self._closed:
                self._closed = True
                self._reader.close()
                self._db.close()


_THREADS = (
    "SELECT id, graph, status, checkpoint, step, created, updated, owner, since, lease_until,"
    " parent, error FROM threads"
)
_PUT_TASK = "INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def _checksum(control: bytes, versions: str) -> int:
    return zlib.crc32(versions.encode(), zlib.crc32(control))


def _owner(text: str | None) -> Owner | None:
    return Owner(**json.loads(text)) if text else None


def _unknown(thread: str) -> UnknownThread:
    return UnknownThread(
        f"there is no thread {thread!r} in this store: `nbagent.threads()` lists those there are",
        thread=thread,
    )


@contextmanager
def _naming(field: str, checkpoint: Checkpoint, records: Iterable[TaskRecord]) -> Iterator[None]:
    """Add the field and its writer to what the codec says."""
    try:
        yield
    except CodecError as error:
        writers = [record.node for record in records if field in record.update]
        writer = writers[0] if writers else None
        raise _named(error, [field], writer) from error


def _named(error: CodecError, fields: Iterable[str], node: str | None) -> CodecError:
    names = list(fields)
    field = names[0] if len(names) == 1 else (str(error.path[1]) if len(error.path) > 1 else None)
    who = f" (written by node {node!r})" if node else ""
    return CodecError(f"field {field!r}{who}: {error}", field=field, node=node, path=error.path)


def _sentence(error: Exception) -> str:
    text = str(error)
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
