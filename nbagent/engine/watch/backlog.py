"""
The events of a run that observers who come late are shown first.

Rule 1: they are bounded in number and in what they hold, for each holds on to a state of the run:
        a hundred versions of a large table are not kept alive for somebody who may never come.
Rule 2: the first event, which says where the run began, is always there; of those that are gone
        one learns the number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from nbagent.engine.watch.events import Event, EventsMissed, StepReconciled

MOST = 1_000  # events
AT_ONCE = 50  # that are forgotten together
HEAVIEST = 100_000_000  # bytes of values that only these events keep alive


class Backlog:
    """The first event of a run and its latest ones."""

    def __init__(self, most: int = MOST, heaviest: int = HEAVIEST) -> None:
        self._most, self._heaviest = most, heaviest
        self._first: Event | None = None
        self._events: deque[Event] = deque()
        self._weights: deque[int] = deque()  # of the super-steps among them
        self._weight = 0
        self._dropped = 0

    @property
    def missed(self) -> int:
        """How many are gone between the first event and those that are shown."""
        return self._dropped + max(0, len(self._events) - self._most)

    def add(self, event: Event) -> None:
        """Keep an event; the oldest make room."""
        if self._first is None:
            self._first = event
            return
        events = self._events
        events.append(event)
        if type(event) is StepReconciled:
            weight = 0
            for _, after in event.changes.values():
                weight += _weight(after)
            self._weights.append(weight)
            self._weight += weight
            while self._weight > self._heaviest and len(events) > 1:
                self._drop(1)
        if len(events) > self._most + AT_ONCE:
            self._drop(len(events) - self._most)

    def _drop(self, count: int) -> None:
        """Forget the oldest events."""
        forget = self._events.popleft
        for _ in range(count):
            if type(forget()) is StepReconciled:
                self._weight -= self._weights.popleft()
        self._dropped += count

    def __iter__(self) -> Iterator[Event]:
        self._drop(max(0, len(self._events) - self._most))
        if self._first is not None:
            yield self._first
        if self.missed:
            next_one = self._events[0]
            yield EventsMissed(thread=next_one.thread, step=next_one.step, count=self.missed)
        yield from tuple(self._events)


def _weight(value: Any) -> int:
    """About how many bytes a value holds, for those that may hold very many."""
    if isinstance(value, (str, bytes)):
        return len(value)
    if isinstance(value, (int, float, list, dict)):
        return 0
    size = getattr(type(value), "nbytes", None)  # an array
    if size is not None:
        return int(value.nbytes)
    if hasattr(type(value), "memory_usage"):  # a table
        usage = value.memory_usage(index=False)
        return int(usage if isinstance(usage, int) else usage.sum())
    return 0
