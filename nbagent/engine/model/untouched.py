"""
Whether a reader has left what it was given as it was: its copies are compared with what they were
made from. See `values`, rule 3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nbagent.engine.model.state_view import StateView
from nbagent.engine.model.values import (
    ATOMS,
    FrozenDict,
    FrozenList,
    FrozenSet,
    bring_back,
    equal,
)
from nbagent.errors import ChangedInPlace


def check_untouched(read: Any, node: str | None = None) -> None:
    """`ChangedInPlace` when what a reader was given was changed behind its methods' backs."""
    if type(read) is StateView and not read.own:
        return
    for name, value in _handed_out(read):
        if not is_untouched(value):
            what = f"field {name!r}" if name else "the input"
            mine = f"state[{name!r}]" if name else "item"
            who = f" by node {node!r}" if node else ""
            raise ChangedInPlace(
                f"{what} was changed in place{who}, with something like heapq.heappush, which "
                f"does not ask the list: change a copy, as in `mine = nbagent.thaw({mine})`, and "
                "return it",
                field=name or None,
                node=node,
            )
        bring_back(value)


def _handed_out(read: Any) -> Iterable[tuple[str, Any]]:
    if type(read) is StateView:
        return [(name, dict.__getitem__(read, name)) for name in read.own]
    listed = getattr(type(read), "__handed_out__", None)
    return listed(read) if listed is not None else (("", read),)


def is_untouched(value: Any) -> bool:
    """True when a reader's copy still holds what it was made from.

    Of what is opaque, the reader may change its copy as it likes.
    """
    kind = type(value)
    if kind is tuple:
        return all(map(is_untouched, value))
    if kind is not FrozenList and kind is not FrozenDict and kind is not FrozenSet:
        return True
    origin = value.origin
    if origin is None:
        return True
    if kind is FrozenSet or not origin.opaque:
        return bool(value == origin)
    if len(value) != len(origin):
        return False
    if kind is FrozenList:
        return all(map(_is_kept, value, origin))
    return all(key in value and _is_kept(value[key], origin[key]) for key in origin)


def _is_kept(value: Any, origin: Any) -> bool:
    """The same for what is inside of something opaque."""
    if value is origin:
        return True
    if type(value) is not type(origin):
        return False
    if type(value) is tuple:
        return len(value) == len(origin) and all(map(_is_kept, value, origin))
    if type(value) in (FrozenList, FrozenDict, FrozenSet):
        return value.origin is origin and is_untouched(value)
    return type(value) not in ATOMS or equal(value, origin)
