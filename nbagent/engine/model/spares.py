"""
Readers' copies that have come back, lent to the readers that come after.

Rule 1: a spare is lent to one reader at a time. Another who reads meanwhile gets one of their own.
Rule 2: what is lent holds the very objects that it was made with, key by key in the same order,
        and nobody else holds any part of it: who still had a message of an earlier step could
        change it under the next reader's eyes. Equality would not do: 1 == True == 1.0.
Rule 3: what all spares hold together is bounded; the values that were read last keep theirs.
"""

from __future__ import annotations

import operator
import os
import threading
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from gc import get_referents
from itertools import chain, islice
from sys import getrefcount
from typing import Any

_EACH = 32  # spares of one value: as many siblings find one
_PUTS = 256  # the last so many that came back are kept,
_PARTS = 1 << 18  # at the most so many lists, dicts and sets: about 60 MB of small dicts

_lock = threading.RLock()  # the garbage collector may come in between, and call anything
_recent: deque[tuple[weakref.ref[Shelf], int]] = deque()
_held = 0


def _after_fork() -> None:
    """The child has none of the threads that may hold the lock."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Spare:
    """A reader's copy of all that is inside of a value.

    content  what the reader's own list or dict is to hold
    parts    every list, dict, set and tuple inside that is not the value's own, at any depth
    counts   how often each of the parts is referred to while the copy is not lent
    shapes   the kinds and lengths of the parts
    columns  what the parts refer to; where all are dicts of one length, a column for each place,
             without what a dict has besides its values
    twins    the dicts that hold an object twice, whose order that does not tell; `order` does
    """

    __slots__ = ("columns", "content", "counts", "order", "parts", "shapes", "twins")

    def __init__(self, content: Any) -> None:
        self.content = content
        self.parts: list[Any] = []
        self.counts: list[int] = []
        self.shapes: set[tuple[type, int]] = set()
        self.columns: list[list[Any]] = []
        self.twins: list[Any] = []
        self.order: list[Any] = []

    def take(self, parts: Sequence[Any]) -> None:
        """Note the parts that were just put into the content; nobody else refers to them."""
        had = len(self.shapes)
        self.parts += parts
        self.shapes.update((type(part), len(part)) for part in parts)
        added = self._columns(parts)
        if len(self.shapes) == had and len(added) == len(self.columns):
            for column, more in zip(self.columns, added, strict=True):
                column += more
        else:
            self.columns = self._columns(self.parts)
        for part in parts:
            if isinstance(part, Mapping) and len(set(map(id, part.values()))) < len(part):
                self.twins.append(part)
                self.order.extend(part)

    def count(self) -> None:
        """Note how often the parts are referred to, when whoever made them has let them go."""
        self.counts += map(getrefcount, islice(self.parts, len(self.counts), None))

    def _columns(self, parts: Sequence[Any]) -> list[list[Any]]:
        seen = get_referents(*parts)
        first = parts[0] if parts else None
        if len(self.shapes) == 1 and isinstance(first, Mapping) and first:
            width, rest = divmod(len(seen), len(parts))
            values = list(first.values())
            if not rest and all(map(operator.is_, seen[width - len(values) : width], values)):
                return [seen[at::width] for at in range(width - len(values), width)]
        return [seen]

    def is_intact(self) -> bool:
        """True when it is as it was made, and nobody holds a part of it."""
        if list(map(getrefcount, self.parts)) != self.counts:
            return False
        columns = self._columns(self.parts)
        if len(columns) != len(self.columns):
            return False
        for now, made in zip(columns, self.columns, strict=True):
            if len(now) != len(made) or not all(map(operator.is_, now, made)):
                return False
        return not self.twins or list(chain.from_iterable(self.twins)) == self.order


class Shelf:
    """The spares of one value."""

    __slots__ = ("__weakref__", "puts", "spares")

    def __init__(self) -> None:
        self.spares: list[Spare] = []
        self.puts = 0

    def put(self, spare: Spare) -> None:
        """Take a spare back; the shelves that nothing came back to for long are cleared."""
        global _held
        with _lock:
            if len(self.spares) < _EACH:
                self.spares.append(spare)
            weight = len(spare.parts)
            self.puts += 1
            _recent.append((weakref.ref(self), weight))
            _held += weight
            while _held > _PARTS or len(_recent) > _PUTS:
                oldest, weight = _recent.popleft()
                _held -= weight
                shelf = oldest()
                if shelf is not None:
                    shelf.puts -= 1
                    if not shelf.puts:
                        shelf.spares.clear()

    def lend(self) -> Spare | None:
        """A spare for one reader, and for nobody else until it is put back."""
        while self.spares:
            try:
                spare = self.spares.pop()
            except IndexError:  # another thread took the last
                return None
            if spare.is_intact():
                return spare
        return None
