"""
A clock that nobody waits for.
"""

from __future__ import annotations

import asyncio
import threading
import time

QUIET = 0.02  # real seconds without a new wait after which everybody is taken to wait


class FakeClock:
    """Give it to a thread as `clock=`: it tells the time, and the engine's waits go through it.

    now      Unix seconds at the beginning
    instant  when everybody waits, the clock moves on to the first whose time comes; else it
             stands still until `advance`
    """

    def __init__(self, now: float = 0.0, *, instant: bool = True) -> None:
        self._now = now
        self._instant = instant
        self._lock = threading.Lock()
        self._moved = 0.0
        self._sleepers: list[tuple[float, asyncio.AbstractEventLoop, asyncio.Event]] = []

    def __repr__(self) -> str:
        return f"<FakeClock at {self._now:g}>"

    def __call__(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has moved on by so many seconds."""
        over = asyncio.Event()
        sleeper = (self._now + seconds, asyncio.get_running_loop(), over)
        with self._lock:
            self._sleepers.append(sleeper)
            self._moved = time.monotonic()
        try:
            if not self._instant:
                await over.wait()
            while self._now < sleeper[0]:
                await asyncio.sleep(QUIET / 4)
                with self._lock:
                    is_quiet = time.monotonic() - self._moved > QUIET
                    if is_quiet and sleeper[0] == min(until for until, _, _ in self._sleepers):
                        self._now = max(self._now, sleeper[0])
        finally:
            with self._lock:
                self._sleepers.remove(sleeper)
                self._moved = time.monotonic()

    def advance(self, seconds: float) -> None:
        """Move the clock on and wake those whose time has come."""
        with self._lock:
            self._now += seconds
            for until, loop, over in self._sleepers:
                if until <= self._now:
                    loop.call_soon_threadsafe(over.set)

    def wait_for_sleepers(self, count: int, timeout: float = 5.0) -> None:
        """Block until so many wait; `TimeoutError` after `timeout` real seconds."""
        end = time.monotonic() + timeout
        while len(self._sleepers) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{len(self._sleepers)} of {count} wait")
            time.sleep(0.005)
