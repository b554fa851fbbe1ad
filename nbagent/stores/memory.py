"""
Threads in this process's memory: for tests, and for agents that need not survive.

The values are kept as they are (they are frozen). What a file would refuse is refused, in the same
words, so that tests do not pass where production fails. (W6)
"""

from __future__ import annotations

import builtins
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from nbagent.engine.model.ids import PART
from nbagent.engine.model.span import Span
from nbagent.engine.model.values import freeze
from nbagent.engine.store.ownership import (
    LEASE,
    check_free,
    check_place,
    dated,
    lost,
    status_now,
    unknown,
)
from nbagent.engine.store.remembered import (
    Hidden,
    Namespace,
    Note,
    Written,
    is_below,
    last_of_each,
    notes_of,
)
from nbagent.errors import CodecError, StoreError
from nbagent.stores.codec.records import (
    control_bytes,
    journal_bytes,
    refused,
    task_bytes,
    writer_of,
)
from nbagent.stores.codec.values import cache_key, encode, encode_checked
from nbagent.stores.kept import Kept, following, thinned, whole
from nbagent.stores.sql.database import Version
from nbagent.stores.sql.memory import KEPT
from nbagent.stores.sql.versions import next_version

_ALWAYS = (int, bool, float, type(None))  # the types whose every value can be stored
_SOME = Version(0, None, 1 << 62, 0)  # of any size, so that only a change of it is looked at


def _thin(record: TaskRecord, checkpoint: Checkpoint, kept: Mapping[str, Kept]) -> TaskRecord:
    """The record; what it wrote that is a long new value is that one, and not a second one."""
    values = checkpoint.values
    own = [n for n, v in record.update.items() if n in kept and values.get(n) is v]
    if not own:
        return record
    return replace(record, update={**record.update, **{name: kept[name] for name in own}})


def _written(value: Any) -> Any:
    """What a file would hold of it."""
    if type(value) is not Kept:
        return value
    return value.value if value.before is None else freeze(value.change)


@dataclass(slots=True)
class _Stored:
    """A thread. `info` is its line but for what each checkpoint changes: see `line`."""

    info: ThreadInfo
    epoch: int = 0
    lease_until: float = 0.0
    latest: Checkpoint | None = None
    kept: dict[str, Kept] = field(default_factory=dict)  # of the latest one's long values
    updated: float = 0.0
    checkpoints: dict[int, Checkpoint] = field(default_factory=dict)
    times: dict[int, float] = field(default_factory=dict)
    tasks: dict[tuple[int, str], TaskRecord] = field(default_factory=dict)
    journal: dict[tuple[int, str, int], JournalEntry] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)

    def line(self) -> ThreadInfo:
        if self.latest is None:
            return self.info
        latest, updated = self.latest, max(self.updated, self.info.updated)
        return replace(self.info, checkpoint=latest.id, step=latest.step, updated=updated)


class Remembered:
    """What the threads of a `MemoryStore` remember: a log, with the last writes of each key."""

    def __init__(self) -> None:
        self._log: dict[tuple[Namespace, str], list[Written]] = {}
        self._lock = threading.Lock()

    def write(self, notes: Sequence[Note], *, thread: str = "", checkpoint: int = 0) -> None:
        for note in notes:
            if not note.is_gone:
                encode_checked(note.value)
        self.keep(notes, thread, checkpoint)

    def keep(self, notes: Sequence[Note], thread: str, checkpoint: int) -> None:
        """Keep what has been checked already."""
        with self._lock:
            for note in notes:
                log = self._log.setdefault(note.place, [])
                log.append(Written(note=note, thread=thread, checkpoint=checkpoint))
                del log[:-KEPT]

    def read(
        self,
        prefix: Namespace,
        *,
        key: str | None = None,
        words: Sequence[str] = (),
        hidden: Hidden | None = None,
    ) -> list[Written]:
        with self._lock:
            if key is not None:
                logs = [list(self._log.get((prefix, key), ()))]
            else:
                logs = [list(log) for at, log in self._log.items() if is_below(at[0], prefix)]
        return [one for log in logs for one in last_of_each(log, hidden)]


class MemoryStore:
    """A `CheckpointStore` that ends with the process."""

    is_on_disk = False

    def __init__(
        self,
        url: str = "memory://",
        *,
        lease: float = LEASE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = url
        self._lease = lease
        self._clock = clock
        self._lock = threading.RLock()
        self._threads: dict[str, _Stored] = {}
        self._nested: dict[str, set[str]] = {}  # thread -> those nested in it
        self._cache: dict[str, tuple[Any, float | None]] = {}
        self.memory = Remembered()

    def __repr__(self) -> str:
        return f"<MemoryStore {self.url} with {len(self._threads)} threads>"

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
        with self._lock:
            now = self._clock()
            owner = dated(owner, now)
            before = self.thread(thread) if thread in self._threads else None
            if before is None:
                if not create:
                    raise unknown(thread)
                info = ThreadInfo(
                    id=thread,
                    graph=graph,
                    status="running",
                    checkpoint=0,
                    step=0,
                    created=now,
                    updated=now,
                    parent=parent,
                    place=place,
                    salt=uuid.uuid4().hex,
                )
                self._threads[thread] = _Stored(info)
                if place not in ("", PART):
                    self._nested.setdefault(parent or "", set()).add(thread)
            stored = self._threads[thread]
            if create:
                check_place(thread, (stored.info.parent, stored.info.place), (parent, place))
            check_free(
                thread,
                owner,
                holder=stored.info.owner,
                since=stored.info.since,
                until=stored.lease_until,
                now=now,
                take_over=take_over,
            )
            stored.epoch += 1
            stored.lease_until = now + self._lease
            stored.info = replace(
                stored.info,
                graph=stored.info.graph if create or not graph else graph,
                status="running",
                owner=owner,
                since=now,
                updated=now,
                error="",
            )
            return Lease(thread, owner, stored.epoch, stored.info.salt, before)

    def _held(self, lease: Lease) -> _Stored:
        stored = self._get(lease.thread)
        if stored.epoch != lease.epoch:
            holder = stored.info.owner
            since = stored.info.since if holder else stored.line().updated
            raise lost(lease.thread, holder, since)
        return stored

    def _get(self, thread: str) -> _Stored:
        stored = self._threads.get(thread)
        if stored is None:
            raise unknown(thread)
        return stored

    def renew(self, lease: Lease) -> None:
        with self._lock:
            stored, now = self._held(lease), self._clock()
            stored.lease_until = now + self._lease
            stored.info = replace(stored.info, owner=dated(lease.owner, now))

    def release(
        self, lease: Lease, status: Status, *, error: str = "", at: float | None = None
    ) -> None:
        with self._lock:
            stored = self._held(lease)
            stored.epoch += 1
            stored.lease_until = 0.0
            stored.info = replace(
                stored.info,
                place="" if stored.info.place == PART else stored.info.place,
                status=status,
                error=error,
                owner=None,
                updated=self._clock() if at is None else at,
            )

    def commit(
        self,
        lease: Lease,
        checkpoint: Checkpoint,
        records: Iterable[TaskRecord] = (),
        *,
        at: float | None = None,
    ) -> None:
        with self._lock:
            stored = self._held(lease)
            now = self._clock() if at is None else at
            records = tuple(records)
            kept = self._check_values(stored, checkpoint, records)
            for record in records:
                stored.tasks[record.anchor, record.task] = _thin(record, checkpoint, kept)
            last = stored.latest
            if last is not None and stored.kept:
                values = thinned(last.values, stored.kept)
                if values is not last.values:
                    stored.checkpoints[last.id] = replace(last, values=values)
            stored.kept = kept
            stored.checkpoints[checkpoint.id] = stored.latest = checkpoint
            stored.times[checkpoint.id] = stored.updated = now
            if notes := notes_of(checkpoint, at):
                self.memory.keep(notes, lease.thread, checkpoint.id)

    def _check_values(
        self, stored: _Stored, checkpoint: Checkpoint, records: Sequence[TaskRecord]
    ) -> dict[str, Kept]:
        """`CodecError` for what has changed and cannot be stored: it costs what the change does.
        How its long values are kept."""
        before = stored.checkpoints.get(checkpoint.parent or 0)
        is_next = before is not None and before is stored.latest
        old = {} if before is None else before.values if is_next else whole(before.values)
        earlier = stored.kept if is_next else {}
        kept: dict[str, Kept] = {}
        for name, value in checkpoint.values.items():
            if type(value) in _ALWAYS:
                continue
            known = name in old
            if known and old[name] is value:
                if name in earlier:
                    kept[name] = earlier[name]
                continue
            try:
                _, _, change = next_version(_SOME if known else None, old.get(name), value)
            except CodecError as error:
                raise refused(error, name, writer_of(name, records), error.path) from error
            made = following(earlier.get(name), old.get(name), value, change)
            if made is not None:
                kept[name] = made
        for content in checkpoint.control.values():
            if content is not True:  # what was triggered and no more
                control_bytes(checkpoint.control)
                break
        values = checkpoint.values
        for record in records:
            own = {n: v for n, v in record.update.items() if values.get(n) is not v}
            if own or record.goto:
                task_bytes(record, own)
        return kept

    def put_tasks(self, lease: Lease, records: Iterable[TaskRecord]) -> None:
        records = tuple(records)
        for record in records:
            task_bytes(record, record.update)
        with self._lock:
            stored = self._held(lease)
            for record in records:
                stored.tasks[record.anchor, record.task] = record

    def put_journal(self, lease: Lease, entries: Iterable[JournalEntry]) -> None:
        entries = tuple(entries)
        for entry in entries:
            journal_bytes(entry)
        with self._lock:
            stored = self._held(lease)
            for entry in entries:
                stored.journal[entry.anchor, entry.task, entry.position] = entry

    def latest(self, thread: str) -> Loaded | None:
        with self._lock:
            stored = self._get(thread)
            return self._loaded(stored, stored.latest) if stored.latest else None

    def load(self, thread: str, checkpoint: int) -> Loaded:
        with self._lock:
            stored = self._get(thread)
            if checkpoint not in stored.checkpoints:
                raise StoreError(f"thread {thread!r} has no checkpoint {checkpoint}")
            return self._loaded(stored, stored.checkpoints[checkpoint])

    def _loaded(self, stored: _Stored, checkpoint: Checkpoint) -> Loaded:
        anchor = checkpoint.anchor
        if checkpoint is not stored.latest and (values := whole(checkpoint.values)):
            checkpoint = replace(checkpoint, values=values)
        tasks = [
            replace(record, update=whole(record.update))
            for key, record in stored.tasks.items()
            if key[0] == anchor
        ]
        journal = [entry for key, entry in sorted(stored.journal.items()) if key[0] == anchor]
        return Loaded(checkpoint, tuple(tasks), tuple(journal))

    def thread(self, thread: str) -> ThreadInfo:
        with self._lock:
            stored = self._get(thread)
            info, now = stored.line(), self._clock()
            return replace(
                info, status=status_now(info.status, info.owner, stored.lease_until, now)
            )

    def threads(self) -> list[ThreadInfo]:
        with self._lock:
            found = [self.thread(id) for id, one in self._threads.items() if one.info.place != PART]
        return sorted(found, key=lambda info: info.updated, reverse=True)

    def under(self, thread: str) -> list[ThreadInfo]:
        with self._lock:
            found = sorted(self._nested.get(thread, ()))
            for id in found:  # it grows while it is read
                found += sorted(self._nested.get(id, ()))
            return [self.thread(id) for id in found]

    def history(self, thread: str) -> list[CheckpointInfo]:
        with self._lock:
            stored = self._get(thread)
            return [
                CheckpointInfo(
                    id=one.id,
                    parent=one.parent,
                    step=one.step,
                    kind=one.kind,
                    updated=one.updated,
                    ran=one.ran,
                    at=stored.times[one.id],
                    size=0,
                    note=one.note,
                    actor=one.actor,
                )
                for one in stored.checkpoints.values()
            ]

    def recall(
        self, node: str, fingerprint: str, inputs: Any, now: float
    ) -> tuple[Any, ...] | list[Any] | None:
        found, until = self._cache.get(cache_key(node, fingerprint, inputs), (None, None))
        return found if until is None or until > now else None

    def remember(
        self, node: str, fingerprint: str, inputs: Any, result: Any, now: float, until: float | None
    ) -> None:
        encode_checked(result)
        self._cache[cache_key(node, fingerprint, inputs)] = (result, until)

    def forget_results(self, node: str, fingerprint: str) -> int:
        with self._lock:
            gone = [key for key in self._cache if key.startswith(f"{node}:{fingerprint}:")]
            for key in gone:
                del self._cache[key]
        return len(gone)

    def drop_journal(self, lease: Lease, anchor: int, task: str, positions: range) -> None:
        with self._lock:
            stored = self._held(lease)
            for position in positions:
                stored.journal.pop((anchor, task, position), None)

    def put_spans(self, spans: Iterable[Span]) -> None:
        with self._lock:
            for span in spans:
                if span.thread in self._threads:
                    self._threads[span.thread].spans.append(span)

    def metadata(self) -> dict[str, dict[str, Any]]:
        with self._lock:
            return {
                thread: span.attributes["metadata"]
                for thread, stored in self._threads.items()
                for span in stored.spans
                if span.kind == "metadata"
            }

    def outcomes(self, thread: str) -> list[TaskRecord]:
        with self._lock:
            found = [replace(one, update={}, goto=()) for one in self._get(thread).tasks.values()]
        return sorted(found, key=lambda record: (record.started, record.task))

    def spans(self, thread: str) -> list[Span]:
        with self._lock:
            return sorted(self._get(thread).spans, key=lambda span: span.started)

    def prune(self, lease: Lease, keep: Collection[int]) -> int:
        with self._lock:
            stored = self._held(lease)
            ids = {*keep, max(stored.checkpoints, default=0)}
            kept = {
                id: one if one.parent in ids else replace(one, parent=None)
                for id, one in stored.checkpoints.items()
                if id in ids
            }
            gone = len(stored.checkpoints) - len(kept)
            anchors = {one.anchor for one in kept.values()}
            stored.checkpoints = kept
            stored.times = {id: stored.times[id] for id in kept}
            if kept and stored.latest is not None and stored.latest.id in kept:
                stored.latest = kept[stored.latest.id]
            else:
                stored.latest, stored.kept = None, {}
            stored.tasks = {k: v for k, v in stored.tasks.items() if k[0] in anchors}
            stored.journal = {k: v for k, v in stored.journal.items() if k[0] in anchors}
            return gone

    def delete(self, lease: Lease) -> None:
        with self._lock:
            info = self._held(lease).info
            del self._threads[lease.thread]
            self._nested.get(info.parent or "", set()).discard(lease.thread)

    def vacuum(self) -> None:
        pass

    def sizes(self) -> list[SizeInfo]:
        """The values of each checkpoint as the codec would write them, shared ones once."""
        found: list[SizeInfo] = []
        with self._lock:
            for id, stored in self._threads.items():
                versions: dict[str, dict[int, Any]] = {}
                for one in stored.checkpoints.values():
                    for name, value in one.values.items():
                        versions.setdefault(name, {})[builtins.id(value)] = value
                for name, values in versions.items():
                    size = sum(len(encode(_written(value))) for value in values.values())
                    found.append(SizeInfo(id, name, len(values), size))
        return sorted(found, key=lambda one: (one.thread, -one.size))

    def close(self) -> None:
        """Nothing to free; the threads go with the object."""
