"""
The values of a thread's past in memory: of what is long, the change alone, as in a file. (W15)

Rule 1: the latest checkpoint is whole; one of the past holds a `Kept` in place of a long value, and
        gives it back, equal, when it is asked for.
Rule 2: a list that grows, or keeps its latest items, is a chain of what came and went, so that its
        history costs what was written. Anything else is whole again every so often.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbagent.engine.model.values import FrozenDict, FrozenList, frozen_dict
from nbagent.stores.sql.versions import followed

LONG = 64  # items or characters; what is shorter is kept as it is
DEEP = 32  # changes of other kinds that one value is behind
_MOVES = ("+", ">")


class Kept:
    """A long value: whole, or the change of the one before it that it is."""

    __slots__ = ("before", "change", "deep", "value")

    def __init__(self, value: Any, before: Kept | None = None, change: Any = None) -> None:
        self.value = value
        self.before = before
        self.change = change
        self.deep = 0
        if before is not None:
            moves = type(value) is FrozenList and change[0] in _MOVES
            self.deep = before.deep + (not moves)

    def whole(self) -> Any:
        """The value."""
        changes, at = [], self
        while at.before is not None:
            changes.append(at.change)
            at = at.before
        return followed(at.value, changes[::-1]) if changes else at.value

    def thin(self) -> Kept:
        """The same, which holds the value itself no longer where a change says it."""
        if self.before is not None:
            self.value = None
        return self


def is_long(value: Any) -> bool:
    return type(value) in (FrozenList, FrozenDict, str) and len(value) > LONG


def following(before: Kept | None, old: Any, value: Any, change: Any) -> Kept | None:
    """How a new value is kept; None where it is as it is."""
    if not is_long(value):
        return None
    if change is None or not is_long(old):
        return Kept(value)
    made = Kept(value, before or Kept(old), change)
    return made if made.deep <= DEEP else Kept(value)


def thinned(values: Mapping[str, Any], kept: Mapping[str, Kept]) -> Mapping[str, Any]:
    """The values of a checkpoint that is no longer the latest."""
    if not any(one.before is not None for one in kept.values()):
        return values
    return {
        name: kept[name].thin() if name in kept and kept[name].before is not None else value
        for name, value in values.items()
    }


def whole(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values of a checkpoint, as they were."""
    if not any(type(value) is Kept for value in values.values()):
        return values
    return frozen_dict(
        {name: one.whole() if type(one) is Kept else one for name, one in values.items()}
    )
