"""
What happens in a run, as async iterators; as many as wanted, from its start or from now. (R36, R38)

Rule 1: a reader has a buffer of its own, of a fixed size. One that is too slow loses the oldest
        events and is told how many; it never slows the run, nor another reader.
Rule 2: a reader may be on any event loop.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Literal

from nbagent.engine.model.values import thaw
from nbagent.engine.watch.events import (
    Checkpointed,
    Event,
    EventsMissed,
    NodeEmitted,
    NodeFinished,
    RunEnded,
)
from nbagent.engine.watch.feed import Feed
from nbagent.errors import NbagentError

log = logging.getLogger("nbagent")
Mode = Literal["events", "updates", "values", "emitted"]
MODES = ("events", "updates", "values", "emitted")
BUFFER = 10_000  # events


class _Buffer:
    """The events that a reader has not read yet; filled from the engine's threads."""

    def __init__(self, size: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: deque[Event] = deque()
        self._size = size
        self._missed = 0
        self._lock = threading.Lock()
        self._filled = asyncio.Event()

    def __call__(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, EventsMissed):  # of a past that is too long
                self._missed += event.count
                return
            if len(self._events) >= self._size:
                self._events.popleft()
                self._missed += 1
            self._events.append(event)
            first = len(self._events) == 1
        if first:
            self._loop.call_soon_threadsafe(self._filled.set)

    async def take(self) -> list[Event]:
        """What there is, as soon as there is something."""
        while True:
            with self._lock:
                taken, missed = list(self._events), self._missed
                self._events.clear()
                self._missed = 0
                self._filled.clear()
            if taken and missed:
                of = taken[0]
                return [EventsMissed(thread=of.thread, step=of.step, count=missed), *taken]
            if taken:
                return taken
            await self._filled.wait()


def check_mode(mode: str) -> None:
    """`NbagentError` for a mode that a stream does not have."""
    if mode not in MODES:
        raise NbagentError(f"stream(mode={mode!r}): it is one of {', '.join(MODES)}")


async def read(
    feed: Feed, mode: Mode, start: Literal["beginning", "now"], buffer: int
) -> AsyncIterator[Any]:
    """See `Run.stream`."""
    check_mode(mode)
    if start not in ("beginning", "now") or buffer < 1:
        raise NbagentError("stream(start=, buffer=): 'beginning' or 'now', and at least 1 event")
    events = _Buffer(buffer)
    unwatch = feed.watch(events, past=start == "beginning")
    try:
        ended = feed.has_ended and start == "now"
        while not ended:
            for event in await events.take():
                ended = ended or isinstance(event, RunEnded)
                if mode == "events":
                    yield event
                elif isinstance(event, EventsMissed):
                    log.warning("a reader of thread %r missed %d events", event.thread, event.count)
                elif mode == "updates" and isinstance(event, NodeFinished):
                    yield {event.node: thaw(event.update)}
                elif mode == "values" and isinstance(event, Checkpointed):
                    yield thaw(event.checkpoint.values)
                elif mode == "emitted" and isinstance(event, NodeEmitted):
                    yield event.node, event.value
    finally:
        unwatch()
