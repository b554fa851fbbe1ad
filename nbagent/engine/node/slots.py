"""
How many nodes of a run may be at work at once: `max_concurrency`.

Rule 1: a node holds a place while its own code runs. One that runs a graph, or that waits for a
        graph that it calls, holds none: else a run with one place would wait for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Any


class Slots:
    """So many places, for a run and all that is nested in it."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)

    def seat(self) -> Seat:
        """A place for one call, taken with `async with`."""
        return Seat(self._free)


_FREE = contextlib.nullcontext()


def seated(inside: Any, is_graph: bool = False) -> contextlib.AbstractAsyncContextManager[Any]:
    """Around a call of the task's own code, where its run has so many places and no more."""
    slots: Slots | None = inside.services.slots
    if slots is None or is_graph:
        return _FREE
    inside.seat = slots.seat()
    seat: Seat = inside.seat
    return seat


class Seat:
    """A call's place: held, or left to others for a while."""

    __slots__ = ("_away", "_free", "_has_ended", "_holds")

    def __init__(self, free: asyncio.Semaphore) -> None:
        self._free = free
        self._holds = self._has_ended = False
        self._away = 0  # how many graphs it waits for

    async def __aenter__(self) -> Seat:
        await self._free.acquire()
        self._holds = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._has_ended = True
        self._give()

    def leave(self) -> None:
        """Let others have it: the call waits for a graph."""
        self._away += 1
        self._give()

    async def back(self) -> None:
        """The graph has ended: wait for a place, where the call waits for no other."""
        self._away -= 1
        if self._away or self._has_ended:
            return
        await self._free.acquire()
        if self._has_ended or self._holds:  # meanwhile
            self._free.release()
        else:
            self._holds = True

    def _give(self) -> None:
        if self._holds:
            self._holds = False
            self._free.release()
