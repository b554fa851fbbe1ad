"""
A field's value through its life: whole versions, and changes since the last whole one.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from nbagent.engine.model.values import FrozenList, freeze, frozen_dict
from nbagent.errors import CodecError, CorruptError
from nbagent.stores.codec.values import (
    decode,
    decode_each,
    encode_checked,
    encode_plain,
    is_plain,
)
from nbagent.stores.encryption import Plain
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
            size, waste = weighed(change, data)
            size, waste = before.whole + size, before.changes + waste
            if waste <= size:
                base = before.id if before.base is None else before.base
                return Version(0, base, size, waste), data, change
    data = encode_checked(new)
    return Version(0, None, len(data), 0), data, None


def weighed(change: Any, data: bytes) -> tuple[int, int]:
    """What a change adds to the value's bytes, and what it wastes of the file and of the time to
    read it: all of it, but of what grows only its row. So a list or a text that grows by enough is
    never written anew for its size alone."""
    if change[0] == "+":
        return len(data), min(len(data), ROW)
    return 0, len(data)


ROW = 40  # bytes that a row costs besides its data, in time too


def read_versions(
    db: Connection, cipher: Plain, thread: str, wanted: Mapping[str, int]
) -> tuple[Mapping[str, Any], dict[str, Version]]:
    """The values of the thread's versions, and what `next_version` must know of them."""
    values: dict[str, Any] = {}
    versions: dict[str, Version] = {}
    for name, id in wanted.items():
        rows = _chain(db, thread, name, id)
        data, changes = _contents(rows, cipher, thread, name)
        value, size, waste = decode(data[0]), len(data[0]), 0
        for place, change in enumerate(changes, 1):
            length = len(data[place])
            if type(change) is not list or not change:
                raise _damaged(name)
            if change[0] == "+":  # see `weighed`
                size += length
                waste += length if length < ROW else ROW
            else:
                waste += length
            if waste > size:  # nobody writes so many: a whole version comes first
                raise _damaged(name)
        values[name] = followed(value, changes)
        versions[name] = Version(id, rows[0][0] if changes else None, size, waste)
    return frozen_dict(values), versions


def followed(value: Any, changes: Sequence[Any]) -> Any:
    """The value after its changes; what came to a list, or left it at its front, one by one is done
    at once."""
    tail: list[Any] = []
    gone = 0
    try:
        for change in changes:
            if type(value) is FrozenList and type(change) is list:
                drop = _moved(change)
                if drop is not None and 0 <= drop <= len(value) + len(tail) - gone:
                    gone += drop
                    tail += change[-1]
                    continue
            value, tail, gone = _shifted(value, gone, tail), [], 0
            value = apply(value, freeze(change))
        return _shifted(value, gone, tail)
    except RecursionError:
        raise CodecError("a stored change is nested too deep") from None


def _moved(change: list[Any]) -> int | None:
    """How many items a change takes away at a list's front, where it appends others and no more."""
    if len(change) == 2 and change[0] == "+" and type(change[1]) is list:
        return 0
    if len(change) == 3 and change[0] == ">" and type(change[2]) is list:
        return change[1] if type(change[1]) is int else None
    return None


def _shifted(value: Any, gone: int, tail: list[Any]) -> Any:
    if gone:
        return freeze([*value, *tail][gone:])
    return value.grown(tail) if tail else value


def read_tail(db: Connection, cipher: Plain, thread: str, field: str, id: int) -> Any:
    """The items that a version appended to the one before it."""
    row = db.execute(f"SELECT {_COLUMNS} FROM versions WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise _damaged(field)
    return decode(_content(row, cipher, thread, field))[1]


_COLUMNS = "id, before, data, checksum, checkpoint"
_ROW = f"SELECT base, {_COLUMNS} FROM versions WHERE id = ?"
_BETWEEN = (
    f"SELECT {_COLUMNS} FROM versions WHERE id BETWEEN ? AND ? AND field = ? AND thread = ?"
    " ORDER BY id"
)
_BACK = (
    "WITH RECURSIVE back (id, before) AS (SELECT id, before FROM versions WHERE id = ? UNION ALL"
    " SELECT v.id, v.before FROM versions v JOIN back ON v.id = back.before"
    " AND v.id < back.id)"  # whatever a file says, it ends
    f" SELECT {_COLUMNS} FROM versions WHERE id IN (SELECT id FROM back) ORDER BY id"
)
_SPAN = 2000  # rows that are read in one go, the changes of other fields among them
_DENSE = 100  # so many of them have to be of the field, or its rows are read one by one
_Row = tuple[Any, ...]


def _chain(db: Connection, thread: str, field: str, id: int) -> list[_Row]:
    """The rows of a version, the whole one first: those of one field mostly lie side by side."""
    # All at once: a statement that an error leaves half-read keeps the reader in the past.
    found = db.execute(_ROW, (id,)).fetchall()
    if not found:
        raise _damaged(field)
    base, *last = found[0]
    rows: list[_Row] = [tuple(last)]
    while type(base) is int and base < rows[0][0]:
        top = rows[0][0] - 1
        low = max(base, top - _SPAN)
        part = _linked(db.execute(_BETWEEN, (low, top, field, thread)).fetchall(), rows[0][1])
        if len(part) < min(_DENSE, top - low):
            part = db.execute(_BACK, (rows[0][1],)).fetchall()
            base = None
        if not part:
            raise _damaged(field)
        rows = part + rows
    if rows[0][1] is not None:
        raise _damaged(field)
    return rows


def _linked(rows: list[_Row], last: int | None) -> list[_Row]:
    """Those of the rows that lead to `last`: another branch may have grown from the same."""
    if not rows:
        return rows
    ids, before, *_ = zip(*rows, strict=True)
    if before[1:] == ids[:-1] and ids[-1] == last:
        return rows
    known, kept = dict(zip(ids, rows, strict=True)), list[_Row]()
    while last in known:
        kept.append(known.pop(last))
        last = kept[-1][1]
    return kept[::-1]


def _contents(
    rows: list[_Row], cipher: Plain, thread: str, field: str
) -> tuple[list[bytes], list[Any]]:
    """The rows' bytes as the codec wrote them, and the changes that those after the first say.
    `CorruptError` when they have changed since."""
    _, _, columns, checksums, _ = zip(*rows, strict=True)
    data: list[bytes] = list(columns)
    if tuple(map(zlib.crc32, data)) != checksums:
        raise _damaged(field)
    if cipher.is_on:
        data = [cipher.unseal(row[2], "version", thread, field, row[4]) for row in rows]
    return data, decode_each(data[1:])


def _content(row: _Row, cipher: Plain, thread: str, field: str) -> bytes:
    return _contents([row], cipher, thread, field)[0][0]


def _damaged(field: str) -> CorruptError:
    return CorruptError(f"field {field!r} is damaged in the file", thread="")
