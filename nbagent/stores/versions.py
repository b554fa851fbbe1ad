"""
A field's value through its life: whole versions, and changes since the last whole one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from nbagent.engine.facts import fact
from nbagent.engine.snapshot import FrozenList, freeze, frozen_dict
from nbagent.errors import CorruptError
from nbagent.stores.codec import decode, encode, encode_checked, is_plain
from nbagent.stores.delta import apply, diff


class Connection(Protocol):
    """What the statements need of a connection inside a transaction."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Any: ...

    def executemany(self, sql: str, parameters: Any, /) -> Any: ...


@fact
class Version:
    """A stored version: its row, the whole version that it builds on (None: it is whole), the
    bytes of that, and the bytes of the changes since."""

    id: int
    base: int | None
    whole: int
    changes: int

    def numbered(self, id: int) -> Version:
        """The version once its row is known."""
        return Version(id, self.base, self.whole, self.changes)


@fact
class Held:
    """A checkpoint's values and versions, kept to compare the next one with."""

    checkpoint: int
    values: Mapping[str, Any]
    versions: Mapping[str, Version]


def next_version(before: Version | None, old: Any, new: Any) -> tuple[Version, bytes, Any]:
    """How to store `new`, its bytes, and the change of `old` that they are, if that is smaller."""
    if before is not None:
        change = diff(old, new)
        if change is not None:
            data = encode(change) if is_plain(change) else encode_checked(freeze(change))
            changes = before.changes + len(data)
            if changes <= before.whole:
                base = before.id if before.base is None else before.base
                return Version(0, base, before.whole, changes), data, change
    data = encode_checked(new)
    return Version(0, None, len(data), 0), data, None


Unseal = Callable[..., bytes]


def read_versions(
    db: Connection, unseal: Unseal, wanted: Mapping[str, int]
) -> tuple[Mapping[str, Any], dict[str, Version]]:
    """The values of the versions, and what `next_version` must know of them."""
    values: dict[str, Any] = {}
    versions: dict[str, Version] = {}
    for name, id in wanted.items():
        chain = _chain(db, unseal, name, id)
        values[name] = followed(decode(chain[0][2]), [decode(data) for _, _, data in chain[1:]])
        whole, changes = len(chain[0][2]), sum(len(data) for _, _, data in chain[1:])
        versions[name] = Version(id, chain[0][0] if len(chain) > 1 else None, whole, changes)
    return frozen_dict(values), versions


def followed(value: Any, changes: Sequence[Any]) -> Any:
    """The value after its changes; what was appended to a list one by one is appended at once."""
    tail: list[Any] = []
    for change in changes:
        grows = type(value) is type(change) is FrozenList and change[:1] == ["+"]
        if grows and len(change) == 2 and type(change[1]) is FrozenList:
            tail += change[1]
            continue
        if tail:
            value, tail = value.grown(tail), []
        value = apply(value, change)
    return value.grown(tail) if tail else value


def read_tail(db: Connection, unseal: Unseal, field: str, id: int) -> Any:
    """The items that a version appended to the one before it."""
    row = db.execute(f"SELECT {_COLUMNS} FROM versions WHERE id = ?", (id,)).fetchone()
    return decode(_data(row, unseal, field))[1]


_COLUMNS = "id, before, data, checksum, base, thread, field, checkpoint"


def _data(row: tuple[Any, ...] | None, unseal: Unseal, field: str) -> bytes:
    """A version's bytes as the codec wrote them; `CorruptError` when they have changed since."""
    if row is None or zlib.crc32(row[2]) != row[3]:
        raise CorruptError(f"field {field!r} is damaged in the file", thread="")
    return unseal(row[2], "version", row[5], row[6], row[7])


def _chain(
    db: Connection, unseal: Unseal, field: str, id: int
) -> list[tuple[int, int | None, bytes]]:
    """The rows from the whole version to this one: id, the one before, bytes."""
    row = db.execute(f"SELECT {_COLUMNS} FROM versions WHERE id = ?", (id,)).fetchone()
    rows = {id: row}
    if row is not None and row[4] is not None:
        found = db.execute(
            f"SELECT {_COLUMNS} FROM versions WHERE id = ? OR (base = ? AND id <= ?)",
            (row[4], row[4], id),
        ).fetchall()
        rows.update((each[0], each) for each in found)
    chain: list[tuple[int, int | None, bytes]] = []
    at: int | None = id
    while at is not None:
        one = rows.get(at)
        data = _data(one, unseal, field)
        assert one is not None
        chain.append((one[0], one[1], data))
        at = one[1]
    return chain[::-1]
