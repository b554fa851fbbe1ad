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

`database` says what a database must give, `leases` who may write, `reading` and `pruning` are the
other parts.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from nbagent.engine.model.checkpoint import Checkpoint, JournalEntry, Lease, TaskRecord
from nbagent.engine.model.span import Span
from nbagent.engine.model.values import FrozenList
from nbagent.engine.store.patience import Heavy, must_be_at_once
from nbagent.engine.store.remembered import notes_of
from nbagent.errors import CodecError
from nbagent.stores.codec.records import (
    control_bytes,
    journal_bytes,
    refused,
    task_bytes,
    writer_of,
)
from nbagent.stores.codec.values import cache_key, encode_checked
from nbagent.stores.sql.database import METADATA, Connection, Held, Shelf, Version
from nbagent.stores.sql.leases import Leases
from nbagent.stores.sql.memory import SqlMemory
from nbagent.stores.sql.reading import SPAN_COLUMNS, Reading
from nbagent.stores.sql.rows import checksum, to_text, whole
from nbagent.stores.sql.versions import next_version
from nbagent.stores.sql.weight import is_heavy


class Writing:
    """The part of a store that adds to threads. See the protocol for each method."""

    def __init__(self, shelf: Shelf, leases: Leases, reading: Reading, memory: SqlMemory) -> None:
        self._shelf = shelf
        self._memory = memory
        self._database = shelf.database
        self._cipher = shelf.cipher
        self._leases = leases
        self._reading = reading
        self._known_nodes: set[str] = set()
        self._last_nodes: tuple[int, str, Mapping[str, str], str] | None = None

    def commit(
        self,
        lease: Lease,
        checkpoint: Checkpoint,
        records: tuple[TaskRecord, ...],
        *,
        at: float | None,
    ) -> None:
        now = self._shelf.clock() if at is None else at
        seal, hurried = self._cipher.seal, must_be_at_once()
        with self._database.held():
            held = self._reading.held_for(lease.thread, checkpoint.parent)
            versions: dict[str, Version] = {}
            new: dict[str, _New] = {}
            for name, value in checkpoint.values.items():
                before = held.versions.get(name)
                if before is not None and held.values[name] is value:
                    versions[name] = before
                    continue
                if hurried and is_heavy((value,)):
                    raise Heavy(f"field {name!r} is large")
                try:
                    version, data, change = next_version(before, held.values.get(name), value)
                except CodecError as error:
                    raise refused(error, name, writer_of(name, records), error.path) from error
                versions[name] = version
                new[name] = _New(
                    before.id if before and version.base else None, data, change, value
                )
            control = control_bytes(checkpoint.control)
            with self._database.write(lease.thread) as db:
                if self._database.is_in_doubt and self._leases.is_released(lease):
                    return  # with the lease, in one transaction, of which no word has come back
                self._leases.check(db, lease)
                if self._database.is_in_doubt and self._is_there(db, lease.thread, checkpoint.id):
                    self._shelf.held[lease.thread] = Held(0, {}, {})  # to be read again
                    return
                for name, one in new.items():
                    version = versions[name]
                    data = seal(one.data, "version", lease.thread, name, checkpoint.id)
                    row = (lease.thread, name, version.base, one.before, data, zlib.crc32(data),
                           checkpoint.id)  # fmt: skip
                    versions[name] = version.numbered(self._database.insert_version(db, row))
                nodes = self._put_nodes(db, checkpoint.nodes, checkpoint.schema)
                where = to_text({name: version.id for name, version in versions.items()})
                size = len(control) + sum(len(one.data) for one in new.values())
                control = seal(
                    control, "control", lease.thread, checkpoint.id, checkpoint.step, where
                )
                note = self._cipher.seal_text(checkpoint.note, "note", lease.thread, checkpoint.id)
                db.execute(
                    _PUT_CHECKPOINT,
                    (
                        lease.thread, checkpoint.id, checkpoint.parent, checkpoint.step,
                        checkpoint.kind, to_text(checkpoint.updated), to_text(checkpoint.ran),
                        checkpoint.anchor, note,
                        checkpoint.actor, now, size, control, where, nodes,
                        checksum(control, where),
                    ),
                )  # fmt: skip
                for record in records:
                    db.execute(_PUT_TASK, self._task_row(lease.thread, record, new, versions))
                if notes := notes_of(checkpoint, at):
                    self._memory.apply(db, notes, lease.thread, checkpoint.id)
            self._known_nodes.add(nodes)
            # The mapping is held, so that its id stays its own.
            self._last_nodes = (id(checkpoint.nodes), checkpoint.schema, checkpoint.nodes, nodes)
            self._shelf.held[lease.thread] = Held(checkpoint.id, checkpoint.values, versions)

    def _is_there(self, db: Connection, thread: str, checkpoint: int) -> bool:
        """True when it was committed already, under this very lease, which nobody else writes
        with."""
        row = db.execute(
            "SELECT 1 FROM checkpoints WHERE thread = ? AND id = ?", (thread, checkpoint)
        ).fetchone()
        return row is not None

    def forget(self) -> None:
        """What was written in a transaction that has failed is not there."""
        self._known_nodes.clear()
        self._last_nodes = None

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
        records = tuple(records)
        if must_be_at_once() and any(is_heavy(record.update.values()) for record in records):
            raise Heavy("a result is large")
        rows = [self._task_row(lease.thread, record, {}, {}) for record in records]
        with self._database.write(lease.thread) as db:
            self._leases.touch(db, lease, "updated = ?", (self._shelf.clock(),))
            db.executemany(_PUT_TASK, rows)

    def put_journal(self, lease: Lease, entries: Iterable[JournalEntry]) -> None:
        rows = []
        entries = tuple(entries)
        if must_be_at_once() and any(is_heavy((one.payload, one.result)) for one in entries):
            raise Heavy("an entry is large")
        for entry in entries:
            place = (lease.thread, entry.anchor, entry.task, entry.position)
            data = self._cipher.seal(journal_bytes(entry), "journal", *place)
            key = self._cipher.seal_text(entry.key, "key", *place)
            rows.append((*place, entry.kind, key, entry.status, data, zlib.crc32(data)))
        with self._database.write(lease.thread) as db:
            self._leases.touch(db, lease, "updated = ?", (self._shelf.clock(),))
            db.executemany(_PUT_JOURNAL, rows)

    def forget_results(self, node: str, fingerprint: str) -> int:
        """Throw the remembered results of a node away, as its code is; how many those were."""
        start = f"{node}:{fingerprint}:"
        with self._database.write() as db:
            return int(
                db.execute(
                    "DELETE FROM cache WHERE node = ? AND substr(id, 1, ?) = ?",
                    (node, len(start), start),
                ).rowcount
            )

    def drop_journal(self, lease: Lease, anchor: int, task: str, positions: range) -> None:
        """Throw calls of a task away that nobody will look for: see `each_once`."""
        with self._database.write() as db:
            self._leases.touch(db, lease, "updated = ?", (self._shelf.clock(),))
            db.execute(
                "DELETE FROM journal WHERE thread = ? AND anchor = ? AND task = ?"
                " AND position >= ? AND position < ?",
                (lease.thread, anchor, task, positions.start, positions.stop),
            )

    def put_spans(self, spans: Iterable[Span]) -> None:
        rows = []
        for span in spans:
            text = whole(json.dumps(span.attributes, default=str, ensure_ascii=False))
            text = self._cipher.seal_text(text, "span", span.thread, span.id)
            rows.append(
                (span.id, span.thread, span.parent, span.kind, whole(span.name), span.step,
                 span.node, span.task, span.attempt, span.started, span.ended, span.status, text)
            )  # fmt: skip
        with self._database.write() as db:
            db.executemany(_PUT_SPAN, rows)
            if any(row[3] == "metadata" for row in rows):  # found without a look at all spans
                db.execute(
                    f"CREATE INDEX IF NOT EXISTS {METADATA} ON spans (thread)"
                    " WHERE kind = 'metadata'"
                )

    def remember(
        self, node: str, fingerprint: str, inputs: Any, result: Any, now: float, until: float | None
    ) -> None:
        key = cache_key(node, fingerprint, inputs)
        data = self._cipher.seal(encode_checked(result), "cache", key)
        row = (key, node, now, until, data, zlib.crc32(data))
        with self._database.write() as db:
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
        data = task_bytes(record, own, there)
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
_PUT_SPAN = _put("spans", f"id, thread, {SPAN_COLUMNS}", "thread, id")
_PUT_CACHE = _put("cache", "id, node, made, expires, data, checksum", "id")
