"""
One graph over many inputs: a thread each, so many at once. (R13, R26)

Rule 1: each input has a thread of its own, named after the batch and its place, so calling `map`
        again after a restart goes on: what is done is not done again.
Rule 2: one that fails or waits for a person does not stop the others.
        Nor does a store that cannot be reached: it is waited for.
Rule 3: a thread keeps the digest of the input that it began with. At a place whose thread began
        with another input, or was not begun by a batch, nothing is done, and none of that thread
        is shown.
"""

from __future__ import annotations

import asyncio
import logging
import operator
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

from nbagent.engine import ports
from nbagent.engine.model.checkpoint import ThreadInfo
from nbagent.engine.model.fact import fact
from nbagent.engine.model.ids import batch_member, batch_name
from nbagent.engine.model.program import Program
from nbagent.engine.model.values import freeze
from nbagent.engine.node.executor import waiting
from nbagent.engine.ports import make_table
from nbagent.engine.step.reconcile import begin
from nbagent.engine.store.patience import at_once
from nbagent.engine.store.writer import insist
from nbagent.engine.thread.loop import engine_loop
from nbagent.engine.thread.run import Run
from nbagent.engine.thread.thread import Thread
from nbagent.errors import GraphError, NbagentError, StoreUnavailable, ThreadBusy, ThreadError

log = logging.getLogger("nbagent")


@fact
class _Place:
    """A thread of the batch, its input as it was when `map` was called, and that one's digest."""

    thread: Thread
    given: Any
    digest: str


class Runs:
    """The threads of a batch. Made by `graph.map`.

    `await` it, or call `result()`, for the table of them when all have ended, waited or failed;
    `table()` is how they stand now.

    errors   thread id -> why it could not be started
    refused  ids of threads that began with other inputs: they are not of this batch
    """

    def __init__(
        self,
        program: Program,
        thread: Callable[[str], Thread],
        inputs: Iterable[Mapping[str, Any]],
        name: str | None,
        limit: int,
        context: Any = None,
    ) -> None:
        found = [(given, _digest(program, given)) for given in map(_kept, _listed(inputs))]
        self.name = name or batch_name(
            program.name, ports.digest(("", [digest for _, digest in found]))
        )
        places = [
            _Place(thread(batch_member(self.name, index)), given, digest)
            for index, (given, digest) in enumerate(found)
        ]
        self.threads = tuple([place.thread for place in places])
        self._context = context
        self.errors: dict[str, str] = {}
        self.refused: set[str] = set()
        self._own: set[str] = set()
        self._running: set[Run] = set()
        self._is_stopping = False
        self._ended: Future[None] = asyncio.run_coroutine_threadsafe(
            self._drive(places, limit), engine_loop()
        )

    def __repr__(self) -> str:
        return f"<Runs {self.name!r}: {len(self.threads)} threads>"

    def __len__(self) -> int:
        return len(self.threads)

    def __iter__(self) -> Iterator[Thread]:
        return iter(self.threads)

    async def _drive(self, places: Iterable[_Place], limit: int) -> None:
        at_once = asyncio.Semaphore(limit)

        async def one(place: _Place) -> None:
            async with at_once:
                if self._is_stopping:
                    return
                try:
                    run = await self._begun(place)
                    if run is None:
                        return
                    self._running.add(run)
                    self._pause_late(run)
                    try:
                        await run
                    finally:
                        self._running.discard(run)
                except NbagentError as error:
                    self.errors[place.thread.id] = str(error)
                except Exception as error:  # an input of a kind that nobody has thought of
                    self.errors[place.thread.id] = f"{type(error).__name__}: {error}"

        await asyncio.gather(*map(one, places))

    async def _begun(self, place: _Place) -> Run | None:
        """`_begin`, when the store is to be had; None where the batch is stopped before."""
        try:
            with at_once:
                return self._begin(place)
        except StoreUnavailable:
            store, waits = place.thread.store, partial(self._waits, place.thread.id)
            return await insist(store, lambda: self._begin(place), waits)

    def _pause_late(self, run: Run) -> None:
        """The batch may have been stopped while this run of it began."""
        if self._is_stopping:
            run.pause()

    def _waits(self, thread: str, reason: str) -> None:
        if reason:
            log.warning("thread %r of a batch waits for the store: %s", thread, reason)
            self.errors[thread] = f"waits for the store: {reason}"
        else:
            self.errors.pop(thread, None)

    def _begin(self, place: _Place) -> Run | None:
        """Start it, or go on with it; None where there is nothing to do, or a person or somebody
        else's run is waited for."""
        thread = place.thread
        if self._is_stopping:
            return None
        try:
            info = thread.stored()
            if info is None or info.checkpoint == 0:
                try:
                    run = thread.start(place.given, digest=place.digest, context=self._context)
                    self._own.add(thread.id)
                    return run
                except ThreadError:
                    info = thread.stored()  # somebody else may have been faster
                    if info is None or info.checkpoint == 0:
                        raise
            self._check(place, info)
            if info.status in ("done", "waiting", "running"):
                return None
            return thread.resume(context=self._context)
        except ThreadBusy:
            return None

    def _check(self, place: _Place, info: ThreadInfo) -> None:
        """`ThreadError` unless the thread that is there began with this input, in this graph."""
        thread = place.thread
        if thread.program.name == info.graph and thread.digest == place.digest:
            self._own.add(thread.id)
            return
        self.refused.add(thread.id)
        if thread.program.name != info.graph:
            why = f"is of graph {info.graph!r}"
        elif thread.digest:
            why = "began with another input"
        else:
            why = "was not begun by a batch"
        raise ThreadError(
            f"thread {thread.id!r} is there already and {why}, so this input was not run: give the "
            f"batch another name, as in map(inputs, name={self.name + '-2'!r}), or delete the "
            "thread",
            thread=thread.id,
        )

    def stop(self) -> None:
        """Begin no more, and pause those under way on their next super-step."""
        self._is_stopping = True
        for run in tuple(self._running):
            run.pause()

    @property
    def is_done(self) -> bool:
        """True when none of them is under way or still to begin."""
        return self._ended.done()

    def status(self, info: ThreadInfo | None, thread: str) -> str:
        """A thread's status; "queued" before its place has come, "refused" where another one is
        there."""
        if thread in self.refused:
            return "refused"
        is_own = info is not None and info.checkpoint and thread in self._own
        return info.status if info is not None and is_own else "queued"

    def table(self) -> Any:
        """How they stand: thread, status, step, error, and the state's fields.

        Beside the statuses of threads there are "queued", and "refused" where the thread that is
        there is not of this batch.
        """
        rows, fields = (
            [],
            dict.fromkeys(name for thread in self.threads[:1] for name in thread.program.fields),
        )
        for thread in self.threads:
            info = thread.stored()
            status = self.status(info, thread.id)
            row: dict[str, Any] = {"thread": thread.id, "status": status, "step": 0, "error": ""}
            if info is not None and status not in ("queued", "refused"):
                row |= {"step": info.step, "error": info.error}
                row |= thread.state
            row["error"] = row["error"] or self.errors.get(thread.id, "")
            rows.append(row)
        return make_table(rows, ["thread", "status", "step", "error", *fields])

    def result(self, timeout: float | None = None) -> Any:
        """Block until all have ended; the table. `TimeoutError` after `timeout` seconds."""
        with waiting():
            self._ended.result(timeout)
        return self.table()

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        await asyncio.shield(asyncio.wrap_future(self._ended))
        return self.table()


def check_at_once(concurrency: Any, limit: Any) -> int:
    """How many at once: `limit` is the older name."""
    try:
        found = operator.index(concurrency if limit is None else limit)
    except TypeError:
        found = 0
    if found < 1:
        said = f"concurrency={concurrency!r}" if limit is None else f"limit={limit!r}"
        raise GraphError(f"map({said}): a whole number, at least 1 at once")
    return found


def _listed(inputs: Any) -> list[Any]:
    """The inputs, which any iterable may give. `GraphError` for one input, and for a table."""
    if hasattr(inputs, "to_dict"):
        raise GraphError('map() takes a list of dicts: of a table, table.to_dict("records")')
    if isinstance(inputs, (Mapping, str, bytes)) or not isinstance(inputs, Iterable):
        raise GraphError(
            f"map() takes many inputs, a dict each, and was given a {type(inputs).__name__}: "
            "map([{…}, {…}])"
        )
    return list(inputs)


def _kept(given: Any) -> Any:
    """The input as it is now, whoever changes it later."""
    try:
        return freeze(dict(given)) if isinstance(given, Mapping) else given
    except Exception:
        return given  # it is refused where it is used


def _digest(program: Program, given: Any) -> str:
    """What tells two inputs apart, in any process; whatever the graph's defaults and reducers are.

    Of a value that is stored as something else it is that one, as the state class makes it.
    """
    try:
        return ports.digest(_ordered(given))
    except Exception:
        try:
            values = begin(program, given, None).checkpoint.values
            return ports.digest(_ordered({name: values[name] for name in given}))
        except Exception as error:  # it is refused where it is used
            return f"{type(error).__name__}"


def _ordered(value: Any) -> Any:
    """Equal dicts are one input, in whichever order their keys are."""
    if isinstance(value, Mapping):
        keys = list(value)
        if all(isinstance(key, str) for key in keys):
            keys.sort()
        return {key: _ordered(value[key]) for key in keys}
    if isinstance(value, list):
        return [_ordered(one) for one in value]
    return value
