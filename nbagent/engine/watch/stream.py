"""
What of a run a reader of it has not read yet. (R36, R38)

Rule 1: a reader has a buffer of its own, of a fixed size, which holds only what its modes show.
        One that is too slow loses the oldest of that, and where it was stands how many; it never
        slows the run, nor another reader.
Rule 2: a reader may be on any event loop, or on none.
Rule 3: what nodes emit is shown whichever graph they are of: a subgraph's, or one that is called.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nbagent.engine.watch.events import Event, Missed
from nbagent.engine.watch.modes import Mode, Place, Selection, check_modes, ends, item_of
from nbagent.errors import NbagentError

BUFFER = 10_000  # items


@dataclass(frozen=True, slots=True)
class Reading:
    """How a reader wants to be told: see `Run.stream`."""

    mode: Mode | Sequence[Mode] = "events"
    subgraphs: bool = False
    buffer: int = BUFFER

    def shown(self, place: Place, event: Event) -> Any:
        """The item that an event is at a place."""
        path, mode = place
        item = item_of(mode, event)
        several = not isinstance(self.mode, str)
        if self.subgraphs:
            return (path, mode, item) if several else (path, item)
        return (mode, item) if several else item


class Buffer:
    """What a reader has not read yet; filled from the engine's threads."""

    def __init__(self, reading: Reading = Reading()) -> None:
        self.modes = check_modes(reading.mode)
        if reading.buffer < 1:
            raise NbagentError("stream(buffer=): at least 1 item")
        self.selection = Selection(self.modes, reading.subgraphs)
        self._items: deque[tuple[Place, Event]] = deque()
        self._size = reading.buffer
        self._missed: dict[Place, int] = {}
        self._has_ended = False
        self._lock = threading.Lock()
        self._wake: Callable[[], object] | None = None

    def __call__(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, Missed):  # of a past that is too long
                for place, count in self.selection.missed(event):
                    gone = Missed(count, thread=event.thread, step=event.step)
                    self._add(place, gone)
            else:
                for place, shown in self.selection.places(event):
                    self._add(place, shown)
                self._has_ended = self._has_ended or ends(event)
            wake = None
            if self._items or self._has_ended:
                wake, self._wake = self._wake, None
        if wake is not None:
            wake()

    def end(self) -> None:
        """Nothing more comes."""
        with self._lock:
            self._has_ended = True

    def _add(self, place: Place, event: Event) -> None:
        if len(self._items) >= self._size:
            gone, first = self._items.popleft()
            count = first.count if isinstance(first, Missed) else 1
            self._missed[gone] = self._missed.get(gone, 0) + count
        self._items.append((place, event))

    def take(self, wake: Callable[[], object]) -> tuple[list[tuple[Place, Event]], bool]:
        """What there is, and whether that is all there will be. `wake` is called once when there
        is more, where there is nothing now."""
        with self._lock:
            taken = list(self._items)
            self._items.clear()
            if self._missed:
                thread, step = taken[0][1].thread, taken[0][1].step
                gone = [
                    (place, Missed(count, thread=thread, step=step))
                    for place, count in self._missed.items()
                ]
                taken = [*gone, *taken]
                self._missed = {}
            if not taken and not self._has_ended:
                self._wake = wake
            return taken, self._has_ended
