"""
Threads in SQL tables, whichever database holds them. (R20 to R25, W1, W4, W8, W15)

Rule 1: every write is one transaction that first checks the lease's epoch; if it fails anywhere,
        the database is as it was.
Rule 2: a checkpoint names, for each field, the row of `versions` that holds its value. A field
        that did not change names the same row again and costs nothing.
Rule 3: a version is whole, or a change of the one before it; when the changes since the last
        whole one outweigh it, a whole one is written. So writing costs what changed, and loading
        reads at most about twice the state, however long the history. (R23)
Rule 4: what a task wrote that is a field's new version is stored there and not a second time.
Rule 5: every blob has a checksum. A checkpoint that fails it is passed over for the newest one
        that does not, and the person is told. (W8)
Rule 6: values reach SQL only as bound parameters.

`sqlite` says how to connect, how a transaction begins, and what an error means; here are the
statements, with `?` for a parameter.
"""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
import zlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any, NoReturn

import msgspec

from nbagent.engine.model.checkpoint import (
    Checkpoint,
    JournalEntry,
    Lease,
    Owner,
    Status,
    TaskRecord,
    ThreadInfo,
)
from nbagent.engine.model.span import Span
from nbagent.engine.model.values import FrozenList
from nbagent.engine.store.ownership import busy, check_place, disown, is_alive
from nbagent.errors import CodecError, CorruptError, StoreError, ThreadBusy, UnknownThread
from nbagent.stores.codec.readable import to_json
from nbagent.stores.codec.values import cache_key, encode, encode_checked
from nbagent.stores.encryption import Cipher, Plain
from nbagent.stores.sql.versions import Connection, Held, Version, next_version


class SqlWriter:
    """The half of a `CheckpointStore` that changes things. See the protocol for each method."""

    _lock_row = ""  # behind a SELECT, where a transaction does not lock all by itself

    def __init__(self, *, lease: float, clock: Callable[[], float], key: str | None = None) -> None:
        self._cipher = Plain() if key is None else Cipher(key)
        self._lease = lease
        self._clock = clock
        self._lock = threading.RLock()
        self._held: dict[str, Held] = {}
        self._known_nodes: set[str] = set()
        self._last_nodes: tuple[int, str, Mapping[str, str], str] | None = None

    @abstractmethod
    def _write(self) -> AbstractContextManager[Connection]:
        """A transaction that changes something."""

    @abstractmethod
    def _read(self) -> AbstractContextManager[Connection]:
        """A look at what is committed."""

    @abstractmethod
    def _insert_version(self, db: Connection, row: tuple[Any, ...]) -> int:
        """Put a row into `versions` (thread, field, base, before, data, checksum, checkpoint);
        its id."""

    def _check_key(self) -> None:
        """`StoreError` when the key is not the one that the store was made with."""
        with self._read() as db:
            row = db.execute("SELECT value FROM settings WHERE name = 'key'").fetchone()
        if row is None:
            if self._cipher.is_on:
                self._put_key()
            return
        if not self._cipher.is_on:
            raise StoreError("the store is encrypted: open it with key=, or ?key_env=VARIABLE")
        try:
            self._cipher.unseal_text(row[0], "key")
        except CorruptError:
            raise StoreError("the store is encrypted with another key") from None

    def _put_key(self) -> None:
        """Encrypt the store from now on, which nothing has been written to."""
        with self._write() as db:
            if db.execute("SELECT 1 FROM settings WHERE name = 'key'").fetchone() is not None:
                is_new = False  # another process was first: then it is to be checked
            elif db.execute("SELECT 1 FROM threads").fetchone() is not None:
                raise StoreError(
                    "the store holds plain threads, and a key was given: copy them into a new "
                    "store with that key (thread.copy)"
                )
            else:
                sealed = self._cipher.seal_text("nbagent", "key")
                db.execute("INSERT INTO settings (name, value) VALUES ('key', ?)", (sealed,))
                is_new = True
        if not is_new:
            self._check_key()

    @abstractmethod
    def _line(self, db: Connection, thread: str) -> ThreadInfo | None:
        """The thread's line; None if there is none."""

    @abstractmethod
    def _held_for(self, thread: str, parent: int | None) -> Held:
        """The parent's values and versions."""

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
        place: str = "",
    ) -> Lease:
        while True:
            now = self._clock()
            with self._write() as db:
                made = (
                    create
                    and db.execute(
                        _CREATE, (thread, graph, now, now, parent, place, uuid.uuid4().hex)
                    ).rowcount
                )
                before = self._line(db, thread)
                if before is None:
                    raise unknown(thread)
                if create:
                    check_place(thread, (before.parent, before.place), (parent, place))
                row = db.execute(_OWNED, (thread,)).fetchone()
                holder, (since, until, epoch) = read_owner(row[0]), row[1:]
                is_free = holder is None or take_over or holder.token == owner.token
                if not is_free and holder and until > now and is_alive(holder):
                    raise busy(thread, holder, since)
                changed = db.execute(
                    _ACQUIRE,
                    (None if create else graph or None, json.dumps(asdict(owner)), now,
                     now + self._lease, now, epoch + 1, thread, epoch),
                ).rowcount  # fmt: skip
            if changed:
                self._held[thread] = Held(0, {}, {})  # filled by the first look at it
                return Lease(thread, owner, epoch + 1, before.salt, None if made else before)
            # Somebody was faster between the two statements: look again who has it.

    def renew(self, lease: Lease) -> None:
        with self._write() as db:
            self._touch(db, lease, "lease_until = ?", (self._clock() + self._lease,))

    def release(
        self, lease: Lease, status: Status, *, error: str = "", at: float | None = None
    ) -> None:
        sealed = self._cipher.seal_text(error, "error", lease.thread)
        try:
            with self._write() as db:
                self._touch(
                    db,
                    lease,
                    "status = ?, error = ?, owner = NULL, lease_until = 0, updated = ?, "
                    "epoch = epoch + 1, checkpoint = coalesce("
                    "(SELECT max(id) FROM checkpoints WHERE thread = threads.id), 0)",
                    (status, sealed, self._clock() if at is None else at),
                )
                self._put_state(db, lease.thread)
        except StoreError:  # the disk is full, the database is locked
            disown(lease.owner)
            raise
        finally:
            self._held.pop(lease.thread, None)

    def _put_state(self, db: Connection, thread: str) -> None:
        """The latest values as JSON, for other tools; the fields that have changed since."""
        held = self._held.get(thread)
        if held is None or self._cipher.is_on:
            return
        known = dict(
            db.execute("SELECT field, version FROM state WHERE thread = ?", (thread,)).fetchall()
        )
        rows = [
            (thread, name, version.id, to_json(held.values[name], version.whole + version.changes))
            for name, version in held.versions.items()
            if known.get(name) != version.id
        ]
        db.executemany(_PUT_STATE, rows)
        gone = [(thread, name) for name in known if name not in held.versions]
        db.executemany("DELETE FROM state WHERE thread = ? AND field = ?", gone)

    def _touch(self, db: Connection, lease: Lease, assign: str, values: tuple[Any, ...]) -> None:
        """Update the thread's row if the lease still holds; else `ThreadBusy`."""
        changed = db.execute(
            f"UPDATE threads SET {assign} WHERE id = ? AND epoch = ?",
            (*values, lease.thread, lease.epoch),
        ).rowcount
        if not changed:
            self._refuse(db, lease)

    def _check(self, db: Connection, lease: Lease) -> None:
        """`ThreadBusy` unless the lease still holds, and does until the transaction ends."""
        row = db.execute(
            f"SELECT epoch FROM threads WHERE id = ?{self._lock_row}", (lease.thread,)
        ).fetchone()
        if row is None or row[0] != lease.epoch:
            self._refuse(db, lease)

    def _refuse(self, db: Connection, lease: Lease) -> NoReturn:
        self._held.pop(lease.thread, None)
        row = db.execute(
            "SELECT owner, since FROM threads WHERE id = ?", (lease.thread,)
        ).fetchone()
        if row is None:
            raise unknown(lease.thread)
        holder = read_owner(row[0])
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
        self,
        lease: Lease,
        checkpoint: Checkpoint,
        records: Iterable[TaskRecord] = (),
        *,
        at: float | None = None,
    ) -> None:
        now, records = self._clock() if at is None else at, tuple(records)
        seal = self._cipher.seal
        with self._lock:
            held = self._held_for(lease.thread, checkpoint.parent)
            versions: dict[str, Version] = {}
            new: dict[str, _New] = {}
            for name, value in checkpoint.values.items():
                before = held.versions.get(name)
                if before is not None and held.values[name] is value:
                    versions[name] = before
                    continue
                try:
                    version, data, change = next_version(before, held.values.get(name), value)
                except CodecError as error:
                    writers = [record.node for record in records if name in record.update]
                    raise _named(error, [name], writers[0] if writers else None) from error
                versions[name] = version
                new[name] = _New(
                    before.id if before and version.base else None, data, change, value
                )
            control = encode(dict(checkpoint.control))
            with self._write() as db:
                self._check(db, lease)
                for name, one in new.items():
                    version = versions[name]
                    data = seal(one.data, "version", lease.thread, name, checkpoint.id)
                    row = (lease.thread, name, version.base, one.before, data, zlib.crc32(data),
                           checkpoint.id)  # fmt: skip
                    versions[name] = version.numbered(self._insert_version(db, row))
                nodes = self._put_nodes(db, checkpoint.nodes, checkpoint.schema)
                where = _json({name: version.id for name, version in versions.items()})
                size = len(control) + sum(len(one.data) for one in new.values())
                control = seal(
                    control, "control", lease.thread, checkpoint.id, checkpoint.step, where
                )
                note = self._cipher.seal_text(checkpoint.note, "note", lease.thread, checkpoint.id)
                db.execute(
                    _PUT_CHECKPOINT,
                    (
                        lease.thread, checkpoint.id, checkpoint.parent, checkpoint.step,
                        checkpoint.kind, _json(checkpoint.updated), _json(checkpoint.ran),
                        checkpoint.anchor, note,
                        checkpoint.actor, now, size, control, where, nodes,
                        checksum(control, where),
                    ),
                )  # fmt: skip
                for record in records:
                    db.execute(_PUT_TASK, self._task_row(lease.thread, record, new, versions))
            self._known_nodes.add(nodes)
            # The mapping is held, so that its id stays its own.
            self._last_nodes = (id(checkpoint.nodes), checkpoint.schema, checkpoint.nodes, nodes)
            self._held[lease.thread] = Held(checkpoint.id, checkpoint.values, versions)

    def _put_nodes(self, db: Connection, nodes: Mapping[str, str], schema: str) -> str:
        if self._last_nodes is not None and self._last_nodes[:2] == (id(nodes), schema):
            return self._last_nodes[3]  # a graph gives the same object each time
        text = json.dumps(dict(nodes))
        key = hashlib.blake2b(f"{schema} {text}".encode(), digest_size=8).hexdigest()
        if key not in self._known_nodes:
            db.execute(
                "INSERT INTO fingerprints (id, nodes, schema) VALUES (?, ?, ?)"
                " ON CONFLICT (id) DO NOTHING",
                (key, text, schema),
            )
        return key

    def put_tasks(self, lease: Lease, records: Iterable[TaskRecord]) -> None:
        rows = [self._task_row(lease.thread, record, {}, {}) for record in records]
        with self._write() as db:
            self._touch(db, lease, "updated = ?", (self._clock(),))
            db.executemany(_PUT_TASK, rows)

    def put_journal(self, lease: Lease, entries: Iterable[JournalEntry]) -> None:
        rows = []
        for entry in entries:
            place = (lease.thread, entry.anchor, entry.task, entry.position)
            data = encode_checked([entry.payload, entry.result])
            data = self._cipher.seal(data, "journal", *place)
            key = self._cipher.seal_text(entry.key, "key", *place)
            rows.append((*place, entry.kind, key, entry.status, data, zlib.crc32(data)))
        with self._write() as db:
            self._touch(db, lease, "updated = ?", (self._clock(),))
            db.executemany(_PUT_JOURNAL, rows)

    def put_spans(self, spans: Iterable[Span]) -> None:
        rows = []
        for span in spans:
            text = _whole(json.dumps(span.attributes, default=str, ensure_ascii=False))
            text = self._cipher.seal_text(text, "span", span.thread, span.id)
            rows.append(
                (span.id, span.thread, span.parent, span.kind, _whole(span.name), span.step,
                 span.node, span.task, span.attempt, span.started, span.ended, span.status, text)
            )  # fmt: skip
        with self._write() as db:
            db.executemany(_PUT_SPAN, rows)

    def remember(
        self, node: str, fingerprint: str, inputs: Any, result: Any, now: float, until: float | None
    ) -> None:
        key = cache_key(node, fingerprint, inputs)
        data = self._cipher.seal(encode_checked(result), "cache", key)
        row = (key, node, now, until, data, zlib.crc32(data))
        with self._write() as db:
            db.execute(_PUT_CACHE, row)

    def _task_row(
        self,
        thread: str,
        record: TaskRecord,
        new: Mapping[str, _New],
        versions: Mapping[str, Version],
    ) -> tuple[Any, ...]:
        """A row of `tasks`. `data` is [what it wrote, where it goes, field -> row of versions]."""
        own: dict[str, Any] = {}
        there: dict[str, list[Any]] = {}
        for name, value in record.update.items():
            sign = _stored_as(value, new.get(name))
            if sign:
                there[name] = [sign, versions[name].id]
            else:
                own[name] = value
        try:
            data = encode_checked(
                [own, list(record.goto), there] if there else [own, list(record.goto)]
            )
        except CodecError as error:
            raise _named(error, record.update, record.node) from error
        failure = None if record.failure is None else json.dumps(asdict(record.failure))
        place = (thread, record.anchor, record.task)
        data = self._cipher.seal(data, "task", *place)
        if failure is not None and self._cipher.is_on:
            failure = json.dumps({"sealed": self._cipher.seal_text(failure, "failure", *place)})
        return (
            thread, record.anchor, record.task, record.node, record.status, record.attempt,
            record.started, record.ended, failure, data, zlib.crc32(data), record.resume_at,
            int(record.is_told),
        )  # fmt: skip


class _New:
    """A field's new version: the row before it, its bytes, its change if any, its value."""

    __slots__ = ("before", "change", "data", "value")

    def __init__(self, before: int | None, data: bytes, change: Any, value: Any) -> None:
        self.before = before
        self.data = data
        self.change = change
        self.value = value


def _stored_as(value: Any, one: _New | None) -> str:
    """How the field's new version holds what a task wrote: "=" it is it, "+" it is its tail."""
    if one is None:
        return ""
    if one.value is value:
        return "="
    if one.change is None or one.change[0] != "+" or type(value) is not FrozenList:
        return ""
    tail = one.change[1]
    same = len(tail) == len(value) and all(a is b for a, b in zip(tail, value, strict=True))
    return "+" if same else ""


SPAN_COLUMNS = "parent, kind, name, step, node, task, attempt, started, ended, status, attributes"
_CREATE = (
    "INSERT INTO threads (id, graph, status, step, checkpoint, created, updated, parent, place,"
    " salt) VALUES (?, ?, 'running', 0, 0, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
)
_OWNED = "SELECT owner, since, lease_until, epoch FROM threads WHERE id = ?"
_ACQUIRE = (
    "UPDATE threads SET graph = COALESCE(?, graph), error = '', status = 'running', owner = ?,"
    " since = ?, lease_until = ?, updated = ?, epoch = ? WHERE id = ? AND epoch = ?"
)


def _put(table: str, columns: str, keys: str) -> str:
    """INSERT that replaces the row with the same keys."""
    names = columns.split(", ")
    rest = [f"{name} = excluded.{name}" for name in names if name not in keys.split(", ")]
    marks = ", ".join("?" * len(names))
    insert = f"INSERT INTO {table} ({columns}) VALUES ({marks})"
    return f"{insert} ON CONFLICT ({keys}) DO UPDATE SET {', '.join(rest)}"


# Never a second one with the same id: whoever would write that has not seen the first.
_PUT_CHECKPOINT = (
    "INSERT INTO checkpoints (thread, id, parent, step, kind, updated, ran, anchor, note, actor,"
    f" at, size, control, versions, nodes, checksum) VALUES ({', '.join('?' * 16)})"
)
_PUT_TASK = _put(
    "tasks",
    "thread, anchor, task, node, status, attempt, started, ended, failure, data, checksum,"
    " resume_at, is_told",
    "thread, anchor, task",
)
_PUT_JOURNAL = _put(
    "journal",
    "thread, anchor, task, position, kind, key, status, data, checksum",
    "thread, anchor, task, position",
)
_PUT_STATE = _put("state", "thread, field, version, value", "thread, field")
_PUT_SPAN = _put("spans", f"id, thread, {SPAN_COLUMNS}", "thread, id")
_PUT_CACHE = _put("cache", "id, node, made, expires, data, checksum", "id")


def _json(value: Any) -> str:
    """JSON of names and numbers, in a sixth of the time that `json` takes."""
    try:
        return _encoder.encode(value).decode()
    except TypeError:  # a name of a kind of its own, such as numpy's
        return json.dumps(value)


_encoder = msgspec.json.Encoder()


def checksum(control: bytes, versions: str) -> int:
    return zlib.crc32(versions.encode(), zlib.crc32(control))


def read_owner(text: str | None) -> Owner | None:
    return Owner(**json.loads(text)) if text else None


def unknown(thread: str) -> UnknownThread:
    return UnknownThread(
        f"there is no thread {thread!r} in this store: `nbagent.threads()` lists those there are",
        thread=thread,
    )


def _named(error: CodecError, fields: Iterable[str], node: str | None) -> CodecError:
    names = list(fields)
    field = names[0] if len(names) == 1 else (str(error.path[1]) if len(error.path) > 1 else None)
    who = f" (written by node {node!r})" if node else ""
    return CodecError(f"field {field!r}{who}: {error}", field=field, node=node, path=error.path)


def _whole(text: str) -> str:
    """The text without halves of characters, which no database takes: a node may print them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
