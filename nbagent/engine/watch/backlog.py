"""
The events of a run that observers who come late are shown first.

Rule 1: they are bounded in number and in what they hold, for each holds on to a state of the run:
        a hundred versions of a large table are not kept alive for somebody who may never come.
Rule 2: the first event, which says where the run began, is always there; of those that are gone
        one learns the number, and how many items of each mode of a stream they were.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

from nbagent.engine.watch.events import (
    Checkpointed,
    Event,
    Missed,
    NodeEmitted,
    NodeFinished,
    StepReconciled,
    SubgraphEvent,
)
from nbagent.engine.watch.modes import Place, modes_of, unwrapped

MOST = 1_000  # events
HEAVIEST = 100_000_000  # bytes of values that only these events keep alive


class Backlog:
    """The first event of a run and its latest ones."""

    def __init__(self, most: int = MOST, heaviest: int = HEAVIEST) -> None:
        self._heaviest = heaviest
        self._first: Event | None = None
        self._events: deque[Event] = deque(maxlen=most)
        self._added = 0
        self._gone: dict[Place, int] = {}  # of those that a stream's modes show
        self._heavy: deque[tuple[int, int]] = deque()  # place and weight of those that weigh
        self._weight = 0

    @property
    def missed(self) -> int:
        """How many are gone between the first event and those that are shown."""
        return self._added - len(self._events)

    def add(self, event: Event) -> None:
        """Keep an event; the oldest makes room."""
        if self._first is None:
            self._first = event
            return
        self._added += 1
        events = self._events
        if len(events) == events.maxlen and type(events[0]) in _SHOWN:
            self._count(events[0])
        events.append(event)
        if type(event) is StepReconciled:
            weight = 0
            for _, after in event.changes.values():
                weight += _weight(after)
            if weight:
                self._weigh(weight)
        elif type(event) is NodeEmitted:
            weight = _weight(event.value)
            if weight:
                self._weigh(weight)

    def _weigh(self, weight: int) -> None:
        """The newest event weighs this: the oldest make room until all is light enough."""
        self._heavy.append((self._added, weight))
        self._weight += weight
        self._lighten()
        while self._weight > self._heaviest and len(self._events) > 1:
            self._count(self._events.popleft())
            self._lighten()

    def _count(self, event: Event) -> None:
        """The event is gone."""
        if type(event) not in _SHOWN:
            return
        if (own := _OWN.get(type(event))) is not None:  # at every super-step of a long run
            self._gone[own] = self._gone.get(own, 0) + 1
            return
        path, inner = unwrapped(event)
        for mode in modes_of(inner):
            if path or mode != "events":
                at = (path, mode)
                self._gone[at] = self._gone.get(at, 0) + 1

    def _lighten(self) -> None:
        """Leave out what those weighed that are gone."""
        while self._heavy and self._heavy[0][0] <= self.missed:
            self._weight -= self._heavy.popleft()[1]

    def __iter__(self) -> Iterator[Event]:
        if self._first is not None:
            yield self._first
        if self.missed:
            next_one = self._events[0]
            nested = sum(n for (path, mode), n in self._gone.items() if path and mode == "events")
            places = {((), "events"): self.missed - nested, **self._gone}
            yield Missed(self.missed, thread=next_one.thread, step=next_one.step, places=places)
        yield from tuple(self._events)


def _weight(value: Any, deep: int = 3) -> int:
    """About how many bytes a value holds that no other version of it does, for those that may hold
    very many: of a list or a dict its own table, for what is in it is shared, and its ends."""
    if isinstance(value, (str, bytes)):
        return len(value)
    if isinstance(value, (int, float)):
        return 0
    if isinstance(value, (list, dict)):
        own = len(value) * (_A_KEY if isinstance(value, dict) else _AN_ITEM)
        if not deep or not value:
            return own
        if isinstance(value, dict):
            ends = [*islice(value.values(), _ENDS), *islice(reversed(value.values()), _ENDS)]
        else:
            ends = [*value[:_ENDS], *value[-_ENDS:]]
        return own + sum(_weight(one, deep - 1) for one in ends[: len(value)])
    size = getattr(type(value), "nbytes", None)  # an array
    if size is not None:
        return int(value.nbytes)
    if hasattr(type(value), "memory_usage"):  # a table
        usage = value.memory_usage(index=False)
        return int(usage if isinstance(usage, int) else usage.sum())
    return 0


_AN_ITEM, _A_KEY = 8, 80  # bytes of a list's table, and of a dict's
_ENDS = 2  # items at either end of it: what is new is mostly there

_OWN: dict[type[Event], Place] = {Checkpointed: ((), "values"), NodeFinished: ((), "updates")}
_SHOWN = frozenset((Checkpointed, NodeEmitted, NodeFinished, SubgraphEvent))
