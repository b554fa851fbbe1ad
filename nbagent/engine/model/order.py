"""
One order for what has none. (R17)

A set is walked in an order that differs from process to process (strings are hashed with a seed);
what becomes tasks or edges must not.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any


def in_order(items: Iterable[Any]) -> Iterable[Any]:
    """The items as they come; those of a set sorted: numbers by value, texts by letters."""
    return sorted(items, key=_rank) if isinstance(items, (set, frozenset)) else items


def _rank(item: Any) -> tuple[Any, ...]:
    """Compares with every other rank, and is the same in every process."""
    if item is None:
        return ("", "")
    if isinstance(item, enum.Enum):
        members = list(type(item))
        place = members.index(item) if item in members else len(members)  # a combined flag
        return ("enum", type(item).__qualname__, place, repr(item))
    if isinstance(item, (int, float)):
        return ("number", item != item, 0 if item != item else item, type(item).__name__)
    if isinstance(item, str):
        return ("str", str(item))
    if isinstance(item, bytes):
        return ("bytes", item)
    if isinstance(item, frozenset):
        return ("set", tuple(sorted(map(_rank, item))))
    if isinstance(item, tuple):
        return ("tuple", tuple(map(_rank, item)))
    return ("~", type(item).__qualname__, repr(item))
