"""
A run as an iterator, for `async for` and for a plain `for`. (R36)

Rule 1: a reader may be on any event loop, or on none; it never slows the run.
Rule 2: who reads a run that was begun for him asks it to pause when he leaves early, and is told
        of its failure; who reads another one only leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import Any, Literal, Protocol

from nbagent.engine.model.checkpoint import Status
from nbagent.engine.node.executor import waiting
from nbagent.engine.thread.loop import is_inside, wait_inside
from nbagent.engine.watch.events import Observer
from nbagent.engine.watch.feed import Feed
from nbagent.engine.watch.stream import Buffer, Reading
from nbagent.errors import NbagentError


class Running(Protocol):
    """What a stream asks of a run."""

    loop: asyncio.AbstractEventLoop
    status: Status
    feed: Feed

    def __await__(self) -> Generator[Any, None, Any]: ...
    def result(self) -> Any: ...
    def outcome(self) -> Any: ...
    def pause(self, *, within: float | None = None) -> None: ...


class Stream(AsyncIterator[Any], Iterator[Any]):
    """What happens in a run, to be iterated with `async for` or with a plain `for`.

    An item is what its mode shows; of a list of modes `(mode, item)`; with subgraphs
    `(path, item)` or `(path, mode, item)`. `Missed(count)` stands where items are gone.

    begin     gives the run, with the buffer as its observer, and how to stop that
    is_own    the run was begun for this reader: see rule 2
    """

    def __init__(
        self,
        reading: Reading,
        begin: Callable[[Buffer], tuple[Running, Callable[[], object]]],
        *,
        is_own: bool,
    ) -> None:
        self._reading = reading
        self._buffer = Buffer(reading)
        self._begin = begin
        self._is_own = is_own
        self._run: Running | None = None
        self._leave: Callable[[], object] | None = None
        self._coming: AsyncGenerator[Any, None] | None = None
        self._plain: Generator[Any, None, None] | None = None

    def __repr__(self) -> str:
        modes = self._reading.mode
        return f"<Stream of {modes if isinstance(modes, str) else ', '.join(modes)}>"

    @property
    def result(self) -> Any:
        """The run's outcome, once it has ended; raises what the run has failed with."""
        if self._run is None or self._run.status == "running":
            raise NbagentError(
                "the run of this stream has not ended: read the stream to its end, then take its "
                ".result"
            )
        return self._run.outcome()

    # ------------------------------------------------------------------------------ async for

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Any:
        if self._coming is None:
            self._coming = self._read_async()
        return await anext(self._coming)

    async def aclose(self) -> None:
        """Leave before the end."""
        if self._coming is not None:
            await self._coming.aclose()
        self.close()

    async def _read_async(self) -> AsyncGenerator[Any, None]:
        run = self._started()
        loop = asyncio.get_running_loop()
        ended = False
        try:
            while not ended:
                filled: asyncio.Future[None] = loop.create_future()
                taken, ended = self._buffer.take(_waker(loop, filled))
                if not taken and not ended:
                    with waiting():
                        await filled
                for place, event in taken:
                    yield self._reading.shown(place, event)
            if self._is_own:
                await run
        finally:
            self._left(run)

    # ------------------------------------------------------------------------------------ for

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Any:
        if self._plain is None:
            self._plain = self._read()
        return next(self._plain)

    def close(self) -> None:
        """Leave before the end."""
        if self._plain is not None:
            self._plain.close()
        elif self._run is not None and self._coming is None:
            self._left(self._run)

    def _read(self) -> Generator[Any, None, None]:
        run = self._started()
        if is_inside(run.loop):
            yield from self._read_inside(run)
            return
        ended = False
        try:
            while not ended:
                filled = threading.Event()
                taken, ended = self._buffer.take(filled.set)
                if not taken and not ended:
                    with waiting():
                        filled.wait()
                for place, event in taken:
                    yield self._reading.shown(place, event)
            if self._is_own:
                run.result()
        finally:
            self._left(run)

    def _read_inside(self, run: Running) -> Generator[Any, None, None]:
        """The reader is on the loop that the run needs, which goes on while he waits."""
        coming = self._read_async()

        async def come() -> Any:
            return await anext(coming)

        try:
            while True:
                try:
                    item = wait_inside(run.loop, come(), lambda: run.pause(within=2.0))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            self._left(run)

    # --------------------------------------------------------------------------------- inside

    def _started(self) -> Running:
        if self._run is None:
            self._run, self._leave = self._begin(self._buffer)
        return self._run

    def _left(self, run: Running) -> None:
        if self._leave is not None:
            self._leave()
        if self._is_own and run.status == "running":
            run.pause()


def _waker(loop: asyncio.AbstractEventLoop, filled: asyncio.Future[None]) -> Callable[[], None]:
    def set_it() -> None:
        if not filled.done():
            filled.set_result(None)

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # his loop is closed: nobody reads there any more
            loop.call_soon_threadsafe(set_it)

    return wake


def follow(run: Running, reading: Reading, start: Literal["beginning", "now"]) -> Stream:
    """See `Run.stream`. The reader is there from now on, whenever he takes the first item."""
    if start not in ("beginning", "now"):
        raise NbagentError(f"stream(start={start!r}): 'beginning' or 'now'")

    def begin(buffer: Buffer) -> tuple[Running, Callable[[], object]]:
        unwatch = run.feed.watch(buffer, past=start == "beginning")
        if run.feed.has_ended:
            buffer.end()
        return run, unwatch

    made = Stream(reading, begin, is_own=False)
    made._started()
    return made


def stream(start: Callable[[Observer], Running], reading: Reading) -> Stream:
    """Start a run, which is given its reader before it begins, and read it; raises what
    `await run` would when it failed. It starts at the first item."""

    def begin(buffer: Buffer) -> tuple[Running, Callable[[], object]]:
        return start(buffer), lambda: None

    return Stream(reading, begin, is_own=True)
