"""
The part of a store in SQL tables that throws away and measures. (R24, W15)

Rule 1: a version stays as long as a checkpoint that is kept, or a task of one, is read with it.
Rule 2: what is thrown away is thrown away in one transaction, under the thread's lease.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from nbagent.engine.model.checkpoint import Lease, SizeInfo
from nbagent.stores.sql.database import Connection, Shelf
from nbagent.stores.sql.leases import Leases, erase
from nbagent.stores.sql.reading import written
from nbagent.stores.sql.rows import numbers


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
            self._drop_versions(db, thread, [row[3] for row in kept.values()])
            self._shelf.held.pop(thread, None)
        return len(gone)

    def _drop_versions(self, db: Connection, thread: str, texts: Iterable[str]) -> None:
        """Delete the thread's versions that nothing is read with any more."""
        wanted: set[int] = set()
        for text in texts:
            wanted.update(numbers(text).values())
        for anchor, task, data in db.execute(
            "SELECT anchor, task, data FROM tasks WHERE thread = ?", (thread,)
        ).fetchall():
            data = self._shelf.cipher.unseal(data, "task", thread, anchor, task)
            wanted.update(id for _, id in written(data)[2].values())
        before = dict(
            db.execute("SELECT id, before FROM versions WHERE thread = ?", (thread,)).fetchall()
        )
        needed: set[int] = set()
        for id in wanted:
            at: int | None = id
            while at is not None and at not in needed:
                needed.add(at)
                at = before.get(at)
        db.executemany(
            "DELETE FROM versions WHERE id = ?", [(id,) for id in before if id not in needed]
        )

    def delete(self, lease: Lease) -> None:
        with self._database.write() as db:
            self._leases.check(db, lease)
            erase(db, lease.thread)
            self._shelf.held.pop(lease.thread, None)

    def vacuum(self) -> None:
        with self._database.write() as db:
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
