"""
Threads by a condition in SQL over the columns of their table, the same for every kind of store.

The rows are put into a database in memory that has nothing else: a condition can say anything there
and reach nothing, and no store's own tables are promised to anybody.
"""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from nbagent.engine.model.values import MISSING, equal, freeze
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.errors import NbagentError, StoreError
from nbagent.stores.codec.values import to_look
from nbagent.stores.lookup.rows import moment, plain

Rows = Sequence[Mapping[str, Any]]


def filtered(
    store: CheckpointStore,
    rows: Rows,
    columns: Sequence[str],
    *,
    where: str | None = None,
    params: Sequence[Any] | Mapping[str, Any] = (),
    order_by: str | None = None,
    limit: int | None = None,
    state: Mapping[str, Any] | None = None,
) -> list[Mapping[str, Any]]:
    """The rows that a condition and a state choose, in the order that is asked for."""
    if where is not None or order_by is not None:
        rows = _chosen(rows, columns, where, params, order_by)
    if state:
        rows = [row for row in rows if _has(store, row["thread"], state)]
    return list(rows if limit is None else rows[: max(limit, 0)])


def _chosen(
    rows: Rows, columns: Sequence[str], where: str | None, params: Any, order_by: str | None
) -> Rows:
    names = ", ".join(f'"{name}"' for name in columns)
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute(f"CREATE TABLE threads (place INTEGER PRIMARY KEY, {names})")
        holes = ", ".join("?" * (len(columns) + 1))
        db.executemany(
            f"INSERT INTO threads VALUES ({holes})",
            ([place, *(_cell(name, row.get(name)) for name in columns)]
             for place, row in enumerate(rows)),
        )  # fmt: skip
        db.set_authorizer(_only_reads)
        query = f"SELECT place FROM threads WHERE {where or 1} ORDER BY {order_by or 'place'}"
        try:
            return [rows[place] for (place,) in db.execute(query, _given(params)).fetchall()]
        except sqlite3.Error as error:
            raise StoreError(
                f"threads(where={where!r}, order_by={order_by!r}): {error}. The columns are "
                f"{', '.join(columns)}; a value is a `?`, and is given in params=(…)"
            ) from error


def _given(params: Any) -> Any:
    """Moments as the columns have them: a pandas Timestamp is one, too."""
    if isinstance(params, Mapping):
        return {name: _moment(value) for name, value in params.items()}
    return [_moment(value) for value in params]


def _moment(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        zone = value if value.tzinfo is not None else value.replace(tzinfo=datetime.UTC)
        return moment(zone.timestamp())
    return value


def _only_reads(action: int, *about: Any) -> int:
    allowed = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION)
    return sqlite3.SQLITE_OK if action in allowed else sqlite3.SQLITE_DENY


def _cell(name: str, value: Any) -> Any:
    return moment(value) if name in ("updated", "created") else plain(value)


def _has(store: CheckpointStore, thread: str, state: Mapping[str, Any]) -> bool:
    try:
        with to_look():
            loaded = store.latest(thread)
    except NbagentError:
        return False
    values = loaded.checkpoint.values if loaded is not None else {}
    return all(equal(values.get(name, MISSING), freeze(wanted)) for name, wanted in state.items())
