"""
A field's value through its life: whole versions, and changes since the last whole one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nbagent.engine.model.values import FrozenList, freeze, frozen_dict
from nbagent.errors import CodecError, CorruptError
from nbagent.stores.codec.values import decode, encode_checked, encode_plain, is_plain
from nbagent.stores.sql.database import Connection, Version
from nbagent.stores.sql.delta import apply, diff


def next_version(before: Version | None, old: Any, new: Any) -> tuple[Version, bytes, Any]:
    """How to store `new`, its bytes, and the change of `old` that they are, if that is smaller."""
    if before is not None:
        change = diff(old, new)
        if change is not None:
            try:
                data = encode_plain(change) if is_plain(change) else encode_checked(freeze(change))
            except CodecError:
                encode_checked(new)  # whose error says where in the value
                raise
            changes = before.changes + len(data)
            if changes <= before.whole:
                base = before.id if before.base is None else before.base
                return Version(0, base, before.whole, changes), data, change
    data = encode_checked(new)
    return Version(0, None, len(data), 0), data, None


Unseal = Callable[..., bytes]


def read_versions(
    db: Connection, unseal: Unseal, thread: str, wanted: Mapping[str, int]
) -> tuple[Mapping[str, Any], dict[str, Version]]:
    """The values of the thread's versions, and what `next_version` must know of them."""
    values: dict[str, Any] = {}
    versions: dict[str, Version] = {}
    for name, id in wanted.items():
        # All at once: a statement that an error leaves half-read keeps the reader in the past.
        rows = db.execute(_BACK, (id,)).fetchall()
        if not rows or rows[0][1] is not None:
            raise _damaged(name)
        data, size, changes = _content(rows[0], unseal, thread, name), 0, []
        value = decode(data)
        for row in rows[1:]:
            change = _content(row, unseal, thread, name)
            size += len(change)
            if size > len(data):  # nobody writes so many: a whole version comes first
                raise _damaged(name)
            changes.append(decode(change, loose=True))
        values[name] = followed(value, changes)
        versions[name] = Version(id, rows[0][0] if changes else None, len(data), size)
    return frozen_dict(values), versions


def followed(value: Any, changes: Sequence[Any]) -> Any:
    """The value after its changes; what was appended to a list one by one is appended at once."""
    tail: list[Any] = []
    try:
        for change in changes:
            grows = type(value) is FrozenList and type(change) is list and change[:1] == ["+"]
            if grows and len(change) == 2 and type(change[1]) is list:
                tail += change[1]
                continue
            if tail:
                value, tail = value.grown(tail), []
            value = apply(value, freeze(change))
        return value.grown(tail) if tail else value
    except RecursionError:
        raise CodecError("a stored change is nested too deep") from None


def read_tail(db: Connection, unseal: Unseal, thread: str, field: str, id: int) -> Any:
    """The items that a version appended to the one before it."""
    row = db.execute(f"SELECT {_COLUMNS} FROM versions WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise _damaged(field)
    return decode(_content(row, unseal, thread, field))[1]


_COLUMNS = "id, before, data, checksum, checkpoint"
_BACK = (
    "WITH RECURSIVE back (id, before) AS (SELECT id, before FROM versions WHERE id = ? UNION ALL"
    " SELECT v.id, v.before FROM versions v JOIN back ON v.id = back.before"
    " AND v.id < back.id)"  # whatever a file says, it ends
    f" SELECT {_COLUMNS} FROM versions WHERE id IN (SELECT id FROM back) ORDER BY id"
)


def _content(row: tuple[Any, ...], unseal: Unseal, thread: str, field: str) -> bytes:
    """The row's bytes as the codec wrote them; `CorruptError` when they have changed since."""
    _, _, data, checksum, checkpoint = row
    if zlib.crc32(data) != checksum:
        raise _damaged(field)
    return unseal(data, "version", thread, field, checkpoint)


def _damaged(field: str) -> CorruptError:
    return CorruptError(f"field {field!r} is damaged in the file", thread="")
