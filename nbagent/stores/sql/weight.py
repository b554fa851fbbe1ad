"""
What is too heavy to be written on the event loop, by a look that costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice
from typing import Any

LIGHT = 100_000  # bytes that are written within a few milliseconds
MANY = 20_000  # items that are compared within a few milliseconds
_LOOK = 8  # items at either end of a list that are looked at: of a long one the end is new


def is_heavy(values: Iterable[Any]) -> bool:
    """True when to write them may take long; of what is nested, a sample is looked at."""
    left = LIGHT
    for value in values:
        left -= _weight(value, left, 3)
        if left < 0:
            return True
    return False


def _weight(value: Any, limit: int, deep: int) -> int:
    if isinstance(value, (str, bytes)):
        return len(value)
    if value is None or isinstance(value, (bool, int, float)):
        return 8
    if isinstance(value, (dict, list, tuple)):
        if len(value) > MANY:
            return LIGHT + 1
        if not deep:
            return 8 * len(value)
        some: Iterable[Any]
        if isinstance(value, dict):
            some = islice(value.values(), 2 * _LOOK)
        elif len(value) <= 2 * _LOOK:
            some = value
        else:
            some = chain(value[:_LOOK], value[-_LOOK:])
        total = 0
        for one in some:
            total += _weight(one, limit - total, deep - 1)
            if total > limit:
                break
        return total
    size = getattr(value, "nbytes", None)
    if size is None:
        size = getattr(value, "size", None)  # of a table, its cells
        size = 8 * size if isinstance(size, int) else None
    return int(size) if isinstance(size, int) else 64
