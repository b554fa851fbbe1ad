"""
The part of a store in SQL tables that throws away and measures. (R24, W15)

Rule 1: a version stays as long as a checkpoint that is kept, or a task of one, is read with it.
Rule 2: what is thrown away is thrown away in one transaction, under the thread's lease.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from nbagent.engine.model.checkpoint import Lease, SizeInfo
from nbagent.errors import CorruptError
from nbagent.stores.sql.database import Connection, Shelf
from nbagent.stores.sql.leases import Leases, erase_but_versions
from nbagent.stores.sql.reading import written
from nbagent.stores.sql.rows import numbers

_AT_ONCE = 500  # ids in one statement


class Pruning:
    """The part of a store that throws away. See the protocol for each method."""

    def __init__(self, shelf: Shelf, leases: Leases) -> None:
        self._shelf = shelf
        self._database = shelf.database
        self._leases = leases

    def prune(self, lease: Lease, keep: Collection[int]) -> int:
        thread = lease.thread
        with self._database.write() as db:
            self._leases.check(db, lease)
            rows = db.execute(
                "SELECT id, parent, anchor, versions FROM checkpoints WHERE thread = ?", (thread,)
            ).fetchall()
            own = self._own(db, thread, [row[3] for row in rows])
            newest = max((row[0] for row in rows), default=0)
            kept = {row[0]: row for row in rows if row[0] in keep or row[0] == newest}
            gone = [row[0] for row in rows if row[0] not in kept]
            if not gone:
                return 0
            orphans = [(thread, id) for id, row in kept.items() if row[1] in gone]
            db.executemany(
                "UPDATE checkpoints SET parent = NULL WHERE thread = ? AND id = ?", orphans
            )
            db.executemany(
                "DELETE FROM checkpoints WHERE thread = ? AND id = ?",
                [(thread, id) for id in gone],
            )
            anchors = {row[2] for row in kept.values()}
            lost = [(thread, row[2]) for row in rows if row[2] not in anchors]
            for table in ("tasks", "journal"):
                db.executemany(f"DELETE FROM {table} WHERE thread = ? AND anchor = ?", lost)
            self._drop_versions(db, thread, own, [row[3] for row in kept.values()])
            self._shelf.held.pop(thread, None)
        return len(gone)

    def _named(self, db: Connection, thread: str, texts: Iterable[str]) -> set[int]:
        """The versions that checkpoints, by their texts, and the thread's tasks are read with."""
        found: set[int] = set()
        for text in texts:
            found.update(numbers(text).values())
        for anchor, task, data in db.execute(
            "SELECT anchor, task, data FROM tasks WHERE thread = ?", (thread,)
        ).fetchall():
            data = self._shelf.cipher.unseal(data, "task", thread, anchor, task)
            found.update(id for _, id in written(data)[2].values())
        return found

    def _own(self, db: Connection, thread: str, texts: Iterable[str]) -> dict[int, int | None]:
        """All the thread's versions, and the one before each. They are found by what names them:
        no index leads to a thread's, and to look through all threads' for each of many costs the
        square of their number."""
        try:
            left = self._named(db, thread, texts)
        except CorruptError:
            sql = "SELECT id, before FROM versions WHERE thread = ?"
            return dict(db.execute(sql, (thread,)).fetchall())
        found: dict[int, int | None] = {}
        while left:
            some = sorted(left)[:_AT_ONCE]
            marks = ", ".join("?" * len(some))
            rows = db.execute(
                f"SELECT id, before FROM versions WHERE thread = ? AND id IN ({marks})",
                (thread, *some),
            ).fetchall()
            found.update(rows)
            left.difference_update(some)
            left.update(id for _, id in rows if id is not None and id not in found)
        return found

    def _drop(self, db: Connection, thread: str, ids: Iterable[int]) -> None:
        db.executemany(
            "DELETE FROM versions WHERE id = ? AND thread = ?", [(id, thread) for id in ids]
        )

    def _drop_versions(
        self, db: Connection, thread: str, before: Mapping[int, int | None], texts: Iterable[str]
    ) -> None:
        """Delete those of the thread's versions that nothing is read with any more."""
        wanted = self._named(db, thread, texts)
        needed: set[int] = set()
        for id in wanted:
            at: int | None = id
            while at is not None and at not in needed:
                needed.add(at)
                at = before.get(at)
        self._drop(db, thread, [id for id in before if id not in needed])

    def delete(self, lease: Lease) -> None:
        with self._database.write() as db:
            self._leases.check(db, lease)
            rows = db.execute(
                "SELECT versions FROM checkpoints WHERE thread = ?", (lease.thread,)
            ).fetchall()
            self._drop(db, lease.thread, self._own(db, lease.thread, [row[0] for row in rows]))
            erase_but_versions(db, lease.thread)
            self._shelf.held.pop(lease.thread, None)

    def vacuum(self) -> None:
        with self._database.write() as db:
            # What a damaged file no longer names; a thread that is there has none of these.
            db.execute("DELETE FROM versions WHERE thread NOT IN (SELECT id FROM threads)")
            db.execute("DELETE FROM cache WHERE expires <= ?", (self._shelf.clock(),))
        self._database.vacuum()

    def sizes(self) -> list[SizeInfo]:
        found: list[SizeInfo] = []
        with self._database.read() as db:
            for what, sql in _SIZES:
                found += [SizeInfo(row[0], row[1] or what, row[2], row[3])
                          for row in db.execute(sql).fetchall()]  # fmt: skip
        return sorted(found, key=lambda one: (one.thread, -one.size))


# The lengths first: whoever groups rows by a field carries the whole of each row through the sort.
_SIZES = tuple(
    (
        what,
        f"WITH n AS MATERIALIZED (SELECT thread, {field} AS field, {length} AS n FROM {table})"
        " SELECT thread, field, count(*), sum(n) FROM n GROUP BY thread, field",
    )
    for what, table, field, length in (
        ("", "versions", "field", "length(data)"),
        ("(tasks)", "tasks", "NULL", "length(data)"),
        ("(journal)", "journal", "NULL", "length(data)"),
        ("(spans)", "spans", "NULL", "length(attributes)"),
        ("(checkpoints)", "checkpoints", "NULL", "length(control) + length(versions)"),
    )
)
