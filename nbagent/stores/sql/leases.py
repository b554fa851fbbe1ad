"""
Who may write to a thread: its row in `threads`, with its owner and the epoch of the lease. (W4)

Rule: the epoch is checked in the transaction that writes; a lease that is over changes nothing.
"""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from dataclasses import asdict
from typing import Any, NoReturn

from nbagent.engine.model.checkpoint import Lease, Owner, Status
from nbagent.engine.model.ids import PART
from nbagent.engine.model.readable import to_json
from nbagent.engine.store.ownership import (
    busy,
    check_free,
    check_place,
    dated,
    disown,
    lives,
    lost,
    unknown,
)
from nbagent.errors import StoreError, StoreUnavailable, ThreadBusy
from nbagent.stores.sql.database import Connection, Held, Shelf
from nbagent.stores.sql.reading import Reading
from nbagent.stores.sql.rows import read_owner


class Leases:
    """The part of a store that says who runs a thread. See the protocol for each method."""

    def __init__(self, shelf: Shelf, reading: Reading) -> None:
        self._shelf = shelf
        self._reading = reading
        self._database = shelf.database

    def acquire(
        self,
        thread: str,
        owner: Owner,
        *,
        graph: str,
        create: bool,
        take_over: bool,
        parent: str | None,
        place: str,
    ) -> Lease:
        while True:
            now = self._shelf.clock()
            owner = dated(owner, now)
            with self._database.write(thread) as db:
                is_new = create and bool(
                    db.execute(
                        _CREATE, (thread, graph, now, now, parent, place, uuid.uuid4().hex)
                    ).rowcount
                )
                before = self._reading.line(db, thread)
                if before is not None and before.place == PART and not is_new:
                    if not create:
                        raise unknown(thread)
                    if before.owner and lives(before.owner, self._until(db, thread), now):
                        raise busy(thread, before.owner, before.since)
                    for one in [*self._reading.below(db, thread), thread]:
                        erase(db, one)
                    continue
                if before is None:
                    raise unknown(thread)
                if create:
                    check_place(thread, (before.parent, before.place), (parent, place))
                row = db.execute(
                    "SELECT owner, since, lease_until, epoch FROM threads WHERE id = ?", (thread,)
                ).fetchone()
                holder, since, until, epoch = read_owner(row[0]), row[1], row[2], row[3]
                check_free(
                    thread, owner, holder=holder, since=since, until=until, now=now,
                    take_over=take_over,
                )  # fmt: skip
                changed = db.execute(
                    _ACQUIRE,
                    (None if create else graph or None, json.dumps(asdict(owner)), now,
                     now + self._shelf.lease, now, epoch + 1, thread, epoch),
                ).rowcount  # fmt: skip
            if changed:
                self._shelf.held[thread] = Held(0, {}, {})  # filled by the first look at it
                return Lease(thread, owner, epoch + 1, before.salt, None if is_new else before)
            # Somebody was faster between the two statements: look again who has it.

    def _until(self, db: Connection, thread: str) -> float:
        row = db.execute("SELECT lease_until FROM threads WHERE id = ?", (thread,)).fetchone()
        return float(row[0])

    def renew(self, lease: Lease) -> None:
        now = self._shelf.clock()
        owner = json.dumps(asdict(dated(lease.owner, now)))
        with self._database.write(lease.thread) as db:
            self.touch(db, lease, "owner = ?, lease_until = ?", (owner, now + self._shelf.lease))

    def release(self, lease: Lease, status: Status, *, error: str, at: float | None) -> None:
        sealed = self._shelf.cipher.seal_text(error, "error", lease.thread)
        try:
            with self._database.write(lease.thread) as db:
                self.touch(
                    db,
                    lease,
                    f"place = CASE place WHEN '{PART}' THEN '' ELSE place END, "
                    "status = ?, error = ?, owner = NULL, lease_until = 0, updated = ?, "
                    "epoch = epoch + 1, checkpoint = coalesce("
                    "(SELECT max(id) FROM checkpoints WHERE thread = threads.id), 0)",
                    (status, sealed, self._shelf.clock() if at is None else at),
                )
                self._put_state(db, lease.thread)
        except StoreUnavailable:  # it is tried again, with what is held
            raise
        except ThreadBusy:
            self._shelf.held.pop(lease.thread, None)
            if not (self._database.is_in_doubt and self.is_released(lease)):
                raise
        except BaseException as error:
            self._shelf.held.pop(lease.thread, None)
            if isinstance(error, StoreError):  # the file is gone
                disown(lease.owner)
            raise
        self._shelf.held.pop(lease.thread, None)
        if not self._shelf.held:
            with suppress(StoreError):  # the disk is full: it is given back all the same
                self._database.rest()

    def is_released(self, lease: Lease) -> bool:
        """True when an earlier try, of which no word has come back, has given the thread back."""
        with self._database.read() as db:
            row = db.execute(
                "SELECT owner, epoch FROM threads WHERE id = ?", (lease.thread,)
            ).fetchone()
        return row is not None and (row[0], row[1]) == (None, lease.epoch + 1)

    def _put_state(self, db: Connection, thread: str) -> None:
        """The latest values as JSON, for other tools; the fields that have changed since."""
        held = self._shelf.held.get(thread)
        if held is None or self._shelf.cipher.is_on:
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

    def touch(self, db: Connection, lease: Lease, assign: str, values: tuple[Any, ...]) -> None:
        """Update the thread's row if the lease still holds; else `ThreadBusy`."""
        changed = db.execute(
            f"UPDATE threads SET {assign} WHERE id = ? AND epoch = ?",
            (*values, lease.thread, lease.epoch),
        ).rowcount
        if not changed:
            self._refuse(db, lease)

    def check(self, db: Connection, lease: Lease) -> None:
        """`ThreadBusy` unless the lease still holds, and does until the transaction ends."""
        row = db.execute(
            f"SELECT epoch FROM threads WHERE id = ?{self._database.lock_row}", (lease.thread,)
        ).fetchone()
        if row is None or row[0] != lease.epoch:
            self._refuse(db, lease)

    def _refuse(self, db: Connection, lease: Lease) -> NoReturn:
        self._shelf.held.pop(lease.thread, None)
        row = db.execute(
            "SELECT owner, since FROM threads WHERE id = ?", (lease.thread,)
        ).fetchone()
        if row is None:
            raise unknown(lease.thread)
        raise lost(lease.thread, read_owner(row[0]), row[1])


def erase(db: Connection, thread: str) -> None:
    """Throw all rows of a thread away."""
    db.execute("DELETE FROM versions WHERE thread = ?", (thread,))
    erase_but_versions(db, thread)


def erase_but_versions(db: Connection, thread: str) -> None:
    """The same, where its versions are thrown away already."""
    for table in ("tasks", "journal", "state", "spans", "checkpoints"):
        db.execute(f"DELETE FROM {table} WHERE thread = ?", (thread,))
    db.execute("DELETE FROM threads WHERE id = ?", (thread,))


_CREATE = (
    "INSERT INTO threads (id, graph, status, step, checkpoint, created, updated, parent, place,"
    " salt) VALUES (?, ?, 'running', 0, 0, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
)
_ACQUIRE = (
    "UPDATE threads SET graph = COALESCE(?, graph), error = '', status = 'running', owner = ?,"
    " since = ?, lease_until = ?, updated = ?, epoch = ?, turn = turn + 1"
    " WHERE id = ? AND epoch = ?"
)
_PUT_STATE = (
    "INSERT INTO state (thread, field, version, value) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (thread, field) DO UPDATE SET version = excluded.version, value = excluded.value"
)
