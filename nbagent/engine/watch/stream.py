"""
What happens in a run, as async iterators; as many as wanted, from its start or from now. (R36, R38)

Rule 1: a reader has a buffer of its own, of a fixed size, which holds only what its mode shows.
        One that is too slow loses the oldest of that and is told how many; it never slows the
        run, nor another reader.
Rule 2: a reader may be on any event loop.
Rule 3: what nodes emit is shown whichever graph they are of: a subgraph's, or one that is called.
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
    SubgraphEvent,
)
from nbagent.engine.watch.feed import Feed
from nbagent.errors import NbagentError

log = logging.getLogger("nbagent")
Mode = Literal["events", "updates", "values", "emitted"]
MODES = ("events", "updates", "values", "emitted")
BUFFER = 10_000  # events of the mode


class Buffer:
    """What a reader of a mode has not read yet; filled from the engine's threads."""

    def __init__(self, mode: Mode, size: int = BUFFER) -> None:
        check_mode(mode)
        if size < 1:
            raise NbagentError("stream(buffer=): at least 1 event")
        self.mode = mode
        self._kinds = _KINDS[mode]
        self._loop = asyncio.get_running_loop()
        self._events: deque[Event] = deque()
        self._size = size
        self._missed = 0
        self._lock = threading.Lock()
        self._filled = asyncio.Event()

    def __call__(self, event: Event) -> None:
        if self.mode == "emitted":
            while isinstance(event, SubgraphEvent):
                event = event.event
                if isinstance(event, RunEnded):
                    return  # of the nested run
        with self._lock:
            if isinstance(event, EventsMissed):  # of a past that is too long
                self._missed += event.count
                return
            if not isinstance(event, self._kinds):
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


async def read(events: Buffer, has_ended: bool = False) -> AsyncIterator[Any]:
    """What the buffer's reader is shown, until the run ends; nothing where it has."""
    mode, ended = events.mode, has_ended
    while not ended:
        for event in await events.take():
            ended = ended or isinstance(event, RunEnded)
            if mode == "events":
                yield event
            elif isinstance(event, EventsMissed):
                log.warning("a reader of thread %r missed %d events", event.thread, event.count)
            elif isinstance(event, NodeFinished):
                yield {event.node: thaw(event.update)}
            elif isinstance(event, Checkpointed):
                yield thaw(event.checkpoint.values)
            elif isinstance(event, NodeEmitted):
                yield event.node, event.value


async def follow(
    feed: Feed, mode: Mode, start: Literal["beginning", "now"], buffer: int
) -> AsyncIterator[Any]:
    """See `Run.stream`."""
    if start not in ("beginning", "now"):
        raise NbagentError(f"stream(start={start!r}): 'beginning' or 'now'")
    events = Buffer(mode, buffer)
    unwatch = feed.watch(events, past=start == "beginning")
    try:
        async for item in read(events, feed.has_ended and start == "now"):
            yield item
    finally:
        unwatch()


_KINDS: dict[str, tuple[type[Event], ...]] = {
    "events": (Event,),
    "updates": (NodeFinished, RunEnded),
    "values": (Checkpointed, RunEnded),
    "emitted": (NodeEmitted, RunEnded),
}
