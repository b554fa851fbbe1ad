"""
The half of a store in SQL tables that reads: it never waits for a writer. (R23, R24, W8)
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nbagent.engine.model.checkpoint import (
    Checkpoint,
    CheckpointInfo,
    Failure,
    JournalEntry,
    Loaded,
    TaskRecord,
    ThreadInfo,
)
from nbagent.engine.model.ids import PART
from nbagent.engine.model.span import Span
from nbagent.engine.model.values import frozen_dict
from nbagent.engine.store.ownership import status_now, unknown
from nbagent.errors import CorruptError, StoreError
from nbagent.stores.codec.values import cache_key, decode
from nbagent.stores.sql import rows as texts
from nbagent.stores.sql.database import METADATA, Connection, Held, Shelf, Version
from nbagent.stores.sql.versions import read_tail, read_versions


class _NoCheckpoint(StoreError):
    """No row has this id."""


class Reading:
    """The part of a store that reads. See the protocol for each method."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._database = shelf.database
        self._cipher = shelf.cipher

    def latest(self, thread: str) -> Loaded | None:
        with self._database.read() as db:
            found = db.execute(
                "SELECT checkpoint, (SELECT max(id) FROM checkpoints WHERE thread = threads.id)"
                ", place FROM threads WHERE id = ?",
                (thread,),
            ).fetchone()
            if found is None or (found[2] == PART and thread not in self._shelf.held):
                raise unknown(thread)
            wanted, broken = max(found[0], found[1] or 0), []
            if not wanted:
                return None
            while wanted:
                try:
                    loaded = self._loaded(db, thread, wanted)
                except (CorruptError, _NoCheckpoint, ValueError):  # also text that is no JSON
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
        with self._database.read() as db:
            return self._loaded(db, thread, checkpoint)

    def _loaded(self, db: Connection, thread: str, id: int) -> Loaded:
        row = self._row(db, thread, id)
        values = self._values_for(db, thread, id, row[10])
        unseal, unseal_text = self._cipher.unseal, self._cipher.unseal_text
        nodes = db.execute("SELECT nodes, schema FROM fingerprints WHERE id = ?", (row[11],))
        found = nodes.fetchone()
        checkpoint = Checkpoint(
            id=id,
            parent=row[0],
            step=row[1],
            kind=row[2],
            values=values,
            control=decode(unseal(row[9], "control", thread, id, row[1], row[10])),
            updated=texts.names(row[3]),
            ran=texts.names(row[4]),
            anchor=row[5],
            nodes=texts.words(found[0]) if found else {},
            schema=found[1] if found else "",
            note=unseal_text(row[6], "note", thread, id),
            actor=row[7],
        )
        return Loaded(
            checkpoint,
            self._tasks(db, thread, checkpoint.anchor),
            self._journal(db, thread, checkpoint.anchor),
        )

    def _row(self, db: Connection, thread: str, id: int) -> tuple[Any, ...]:
        """parent, step, kind, updated, ran, anchor, note, actor, checksum, control, versions,
        nodes"""
        row: tuple[Any, ...] | None = db.execute(
            "SELECT parent, step, kind, updated, ran, anchor, note, actor, checksum, control,"
            " versions, nodes FROM checkpoints WHERE thread = ? AND id = ?",
            (thread, id),
        ).fetchone()
        if row is None:
            raise _NoCheckpoint(f"thread {thread!r} has no checkpoint {id}")
        if texts.checksum(row[9], row[10]) != row[8]:
            raise CorruptError(
                f"checkpoint {id} of thread {thread!r} is damaged", thread=thread, checkpoint=id
            )
        return row

    def _values(
        self, db: Connection, thread: str, id: int, versions: str
    ) -> tuple[Mapping[str, Any], dict[str, Version]]:
        try:
            return read_versions(db, self._cipher, thread, texts.numbers(versions))
        except CorruptError as error:
            raise CorruptError(str(error), thread=thread, checkpoint=id) from error

    def _values_for(self, db: Connection, thread: str, id: int, text: str) -> Mapping[str, Any]:
        """The checkpoint's values. Under a lease they are the ones that the next commit is compared
        with, so that what does not change is found, and costs nothing, after a resume too."""
        held = self._shelf.held.get(thread)
        if held is not None and held.checkpoint == id:
            return held.values
        values, versions = self._values(db, thread, id, text)
        if held is not None and held.checkpoint == 0:
            self._shelf.held[thread] = Held(id, values, versions)
        return values

    def held_for(self, thread: str, parent: int | None) -> Held:
        held = self._shelf.held.get(thread)
        if parent is None:
            return Held(0, {}, {})
        if held is None or held.checkpoint != parent:
            with self._database.read() as db:
                row = self._row(db, thread, parent)
                values, versions = self._values(db, thread, parent, row[10])
            held = Held(parent, values, versions)
        return held

    def _tasks(self, db: Connection, thread: str, anchor: int) -> tuple[TaskRecord, ...]:
        """The tasks of an anchor; a damaged one is left out, so its node runs again."""
        tasks = []
        for row in db.execute(
            "SELECT task, node, status, attempt, started, ended, failure, data, checksum,"
            " resume_at, is_told FROM tasks WHERE thread = ? AND anchor = ? ORDER BY task",
            (thread, anchor),
        ).fetchall():
            task, node, status, attempt, started, ended, failure, data, check, until, told = row
            if zlib.crc32(data) != check:
                continue
            place = (thread, anchor, task)
            try:
                update, goto, there = written(self._cipher.unseal(data, "task", *place))
                said = self._failure(failure, place)
                if there:
                    found = {name: self._there(db, thread, name, *at) for name, at in there.items()}
                    update.update(found)
            except CorruptError:
                continue
            tasks.append(
                TaskRecord(
                    anchor=anchor, task=task, node=node, status=status, update=frozen_dict(update),
                    goto=tuple(goto), attempt=attempt, started=started, ended=ended,
                    resume_at=until, is_told=bool(told),
                    failure=said,
                )
            )  # fmt: skip
        return tuple(tasks)

    def _there(self, db: Connection, thread: str, field: str, sign: str, id: int) -> Any:
        """What a task wrote, read where the field's version has it."""
        if sign == "=":
            return read_versions(db, self._cipher, thread, {field: id})[0][field]
        return read_tail(db, self._cipher, thread, field, id)

    def _journal(self, db: Connection, thread: str, anchor: int) -> tuple[JournalEntry, ...]:
        journal = []
        for task, position, kind, key, status, data, check in db.execute(
            "SELECT task, position, kind, key, status, data, checksum FROM journal"
            " WHERE thread = ? AND anchor = ? ORDER BY task, position",
            (thread, anchor),
        ).fetchall():
            if zlib.crc32(data) == check:
                place = (thread, anchor, task, position)
                payload, result = _two(decode(self._cipher.unseal(data, "journal", *place)))
                key = self._cipher.unseal_text(key, "key", *place)
                journal.append(
                    JournalEntry(anchor, task, position, kind, key, status, payload, result)
                )
        return tuple(journal)

    def thread(self, thread: str) -> ThreadInfo:
        with self._database.read() as db:
            found = self.line(db, thread)
        if found is None or found.place == PART:
            raise unknown(thread)
        return found

    def line(self, db: Connection, thread: str) -> ThreadInfo | None:
        """The thread's line inside a transaction; None if there is none."""
        row = db.execute(f"{_THREADS} WHERE t.id = ?", (thread,)).fetchone()
        return None if row is None else self._info(row)

    def threads(self) -> list[ThreadInfo]:
        with self._database.read() as db:
            rows = db.execute(
                f"{_THREADS} WHERE t.place <> '{PART}' ORDER BY updated DESC"
            ).fetchall()
        return list(map(self._info, rows))

    def under(self, thread: str) -> list[ThreadInfo]:
        with self._database.read() as db:
            rows = db.execute(
                f"{_BELOW}{_THREADS} JOIN below b ON b.id = t.id ORDER BY b.depth, t.id", (thread,)
            ).fetchall()
        return list({row[0]: self._info(row) for row in rows}.values())

    def below(self, db: Connection, thread: str) -> list[str]:
        """The ids of the threads nested in this one, inside a transaction, the deepest first."""
        rows = db.execute(f"{_BELOW}SELECT id FROM below ORDER BY depth DESC", (thread,))
        return [row[0] for row in rows.fetchall()]

    def _info(self, row: tuple[Any, ...]) -> ThreadInfo:
        id, graph, status, checkpoint, step, created, updated, owner, since, until, *rest = row
        holder, now = texts.read_owner(owner), self._shelf.clock()
        error = self._error(rest[3], id)
        if not texts.is_owner(owner):
            error = f"its row is damaged in the file: it does not say who runs it. {error}".strip()
        return ThreadInfo(
            id=id, graph=graph, status=status_now(status, holder, until, now),
            checkpoint=checkpoint, step=step, created=created, updated=updated,
            owner=holder, since=since, parent=rest[0], place=rest[1], salt=rest[2], error=error,
        )  # fmt: skip

    def _error(self, text: str, thread: str) -> str:
        """A thread's error. One that cannot be read says so: it is one line of a list."""
        try:
            return self._cipher.unseal_text(text, "error", thread)
        except CorruptError as damage:
            return f"its row is damaged in the file: {damage}"

    def history(self, thread: str) -> list[CheckpointInfo]:
        with self._database.read() as db:
            rows = db.execute(
                "SELECT id, parent, step, kind, updated, ran, at, size, note, actor"
                " FROM checkpoints WHERE thread = ? ORDER BY id",
                (thread,),
            ).fetchall()
        return [
            CheckpointInfo(
                id=row[0], parent=row[1], step=row[2], kind=row[3],
                updated=texts.names(row[4]), ran=texts.names(row[5]), at=row[6],
                size=row[7], note=self._cipher.unseal_text(row[8], "note", thread, row[0]),
                actor=row[9],
            )
            for row in rows
        ]  # fmt: skip

    def outcomes(self, thread: str) -> list[TaskRecord]:
        with self._database.read() as db:
            rows = db.execute(
                "SELECT anchor, task, node, status, attempt, started, ended, failure FROM tasks"
                " WHERE thread = ? ORDER BY started, task",
                (thread,),
            ).fetchall()
        return [
            TaskRecord(
                anchor=anchor, task=task, node=node, status=status, attempt=attempt,
                started=started, ended=ended,
                failure=self._failure(failure, (thread, anchor, task)),
            )
            for anchor, task, node, status, attempt, started, ended, failure in rows
        ]  # fmt: skip

    def _failure(self, text: str | None, place: tuple[Any, ...]) -> Failure | None:
        if text and self._cipher.is_on:
            text = self._cipher.unseal_text(texts.words(text).get("sealed", ""), "failure", *place)
        return texts.failure(text) if text else None

    def spans(self, thread: str) -> list[Span]:
        with self._database.read() as db:
            rows = db.execute(
                f"SELECT id, {SPAN_COLUMNS} FROM spans WHERE thread = ? ORDER BY started",
                (thread,),
            ).fetchall()
        found = []
        for id, parent, kind, name, step, node, task, attempt, began, ended, status, text in rows:
            text = self._cipher.unseal_text(text, "span", thread, id)
            found.append(
                Span(
                    thread=thread, kind=kind, name=name, step=step, node=node, task=task,
                    attempt=attempt, started=began, ended=ended, status=status,
                    attributes=texts.facts(text), id=id, parent=parent,
                )
            )  # fmt: skip
        return found

    def metadata(self) -> dict[str, dict[str, Any]]:
        """Thread -> what its latest input was given as metadata, for those that were given some."""
        with self._database.read() as db:
            if not db.execute(self._database.find_index, (METADATA,)).fetchone():
                return {}
            rows = db.execute(
                "SELECT thread, id, attributes FROM spans WHERE kind = 'metadata' ORDER BY started"
            ).fetchall()
        found = {}
        for thread, id, text in rows:
            text = self._cipher.unseal_text(text, "span", thread, id)
            found[thread] = texts.facts(text).get("metadata", {})
        return found

    def recall(
        self, node: str, fingerprint: str, inputs: Any, now: float
    ) -> tuple[Any, ...] | list[Any] | None:
        key = cache_key(node, fingerprint, inputs)
        with self._database.read() as db:
            row = db.execute(
                "SELECT data, checksum FROM cache"
                " WHERE id = ? AND (expires IS NULL OR expires > ?)",
                (key, now),
            ).fetchone()
        if row is None or zlib.crc32(row[0]) != row[1]:
            return None
        found: list[Any] = decode(self._cipher.unseal(row[0], "cache", key))
        return found


def written(data: bytes) -> tuple[dict[str, Any], list[Any], Mapping[str, tuple[str, int]]]:
    """What a task wrote, where it goes, and the row of `versions` of what is stored there."""
    found = decode(data)
    try:
        update, goto, there = found if len(found) == 3 else (*found, {})
        return dict(update), list(goto), {name: (sign, id) for name, (sign, id) in there.items()}
    except (TypeError, ValueError, AttributeError):
        raise CorruptError("a task's row is damaged in the file", thread="") from None


def _two(found: Any) -> tuple[Any, Any]:
    if isinstance(found, list) and len(found) == 2:
        return found[0], found[1]
    raise CorruptError("the journal is damaged in the file", thread="")


SPAN_COLUMNS = "parent, kind, name, step, node, task, attempt, started, ended, status, attributes"
_THREADS = (
    "SELECT t.id, t.graph, t.status, CASE WHEN t.checkpoint > coalesce(c.id, 0) THEN t.checkpoint"
    " ELSE coalesce(c.id, 0) END, coalesce(c.step, 0), t.created,"
    " CASE WHEN c.at > t.updated THEN c.at ELSE t.updated END AS updated, t.owner, t.since,"
    " t.lease_until, t.parent, t.place, t.salt, t.error FROM threads t LEFT JOIN checkpoints c"
    " ON c.thread = t.id AND c.id = (SELECT max(id) FROM checkpoints WHERE thread = t.id)"
)
# Nobody nests so deep; rows that were made to go in circles end there.
_BELOW = (
    "WITH RECURSIVE below (id, depth) AS ("
    f" SELECT id, 1 FROM threads WHERE parent = ? AND place <> '' AND place <> '{PART}'"
    " UNION SELECT t.id, b.depth + 1 FROM below b JOIN threads t ON t.parent = b.id"
    f" AND t.place <> '' AND t.place <> '{PART}' WHERE b.depth < 100) "
)
