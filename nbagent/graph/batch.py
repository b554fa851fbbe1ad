"""
One graph over many inputs: a thread each, so many at once. (R13, R26)

Rule 1: each input has a thread of its own, named after the batch and its place, so calling `map`
        again after a restart goes on: what is done is not done again.
Rule 2: one that fails or waits for a person does not stop the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from nbagent.engine.model.ids import batch_member
from nbagent.engine.ports import make_table
from nbagent.engine.thread.loop import engine_loop
from nbagent.engine.thread.run import Run
from nbagent.engine.thread.thread import Thread
from nbagent.errors import GraphError, NbagentError


class Runs:
    """The threads of a batch. Made by `graph.map`.

    `await` it, or call `result()`, for the table of them when all have ended, waited or failed;
    `table()` is how they stand now.
    """

    def __init__(
        self,
        thread: Callable[[str], Thread],
        inputs: Sequence[Mapping[str, Any]],
        name: str,
        limit: int,
    ) -> None:
        if limit < 1:
            raise GraphError(f"map(limit={limit}): at least 1 at once")
        self.name = name
        self.threads = tuple([thread(batch_member(name, index)) for index in range(len(inputs))])
        self.errors: dict[str, str] = {}  # thread id -> why it could not be started
        self._running: set[Run] = set()
        self._is_stopping = False
        self._ended: Future[None] = asyncio.run_coroutine_threadsafe(
            self._drive(inputs, limit), engine_loop()
        )

    def __repr__(self) -> str:
        return f"<Runs {self.name!r}: {len(self.threads)} threads>"

    def __len__(self) -> int:
        return len(self.threads)

    def __iter__(self) -> Iterator[Thread]:
        return iter(self.threads)

    async def _drive(self, inputs: Sequence[Mapping[str, Any]], limit: int) -> None:
        places = asyncio.Semaphore(limit)

        async def one(thread: Thread, given: Mapping[str, Any]) -> None:
            async with places:
                if self._is_stopping:
                    return
                try:
                    run = _begin(thread, given)
                    if run is None:
                        return
                    self._running.add(run)
                    try:
                        await run
                    finally:
                        self._running.discard(run)
                except NbagentError as error:
                    self.errors[thread.id] = str(error)

        await asyncio.gather(*map(one, self.threads, inputs))

    def stop(self) -> None:
        """Begin no more, and pause those under way on their next super-step."""
        self._is_stopping = True
        for run in tuple(self._running):
            run.pause()

    @property
    def is_done(self) -> bool:
        """True when none of them is under way or still to begin."""
        return self._ended.done()

    def table(self) -> Any:
        """How they stand: thread, status, step, error, and the state's fields."""
        rows, fields = (
            [],
            dict.fromkeys(name for thread in self.threads[:1] for name in thread.program.fields),
        )
        for thread in self.threads:
            info = thread.stored()
            row: dict[str, Any] = {"thread": thread.id, "status": "queued", "step": 0, "error": ""}
            if info is not None:
                row |= {"status": info.status, "step": info.step, "error": info.error}
                row |= thread.state if info.checkpoint else {}
            row["error"] = row["error"] or self.errors.get(thread.id, "")
            rows.append(row)
        return make_table(rows, ["thread", "status", "step", "error", *fields])

    def result(self, timeout: float | None = None) -> Any:
        """Block until all have ended; the table. `TimeoutError` after `timeout` seconds."""
        self._ended.result(timeout)
        return self.table()

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        await asyncio.shield(asyncio.wrap_future(self._ended))
        return self.table()


def _begin(thread: Thread, given: Mapping[str, Any]) -> Run | None:
    """Start it, or go on with it; None where there is nothing to do, or a person is waited for."""
    info = thread.stored()
    if info is None or info.checkpoint == 0:
        return thread.start(given)
    return None if info.status in ("done", "waiting", "running") else thread.resume()
