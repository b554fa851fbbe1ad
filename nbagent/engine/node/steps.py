"""
step() and each_once(): what a durable function does once, though its code runs again. (R5, R6)

Rule 1: the n-th call of a step with equal arguments is the n-th step: what it returned is stored
        when it returns, and given back when the function runs again.
Rule 2: a loop keeps how many of its items are done. It goes on with the one whose body has not
        completed, and what the bodies of the others did is looked for no more.
Rule 3: one loop runs at a time, or one in the body of another: which call belongs to which turn
        is known by their order.
"""

from __future__ import annotations

import contextvars
import functools
import itertools
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, ParamSpec, TypeVar, cast

from nbagent.engine.model.callables import is_async, name_of
from nbagent.engine.model.checkpoint import JournalEntry
from nbagent.engine.model.digest import digest
from nbagent.engine.model.values import freeze, thaw
from nbagent.engine.node.context import TaskContext, running, span
from nbagent.engine.node.journal import GONE, LOOP, STEP, Turn
from nbagent.errors import NbagentError, StateError

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
OFTEN = 0.05  # seconds between two words of how far a loop is
BATCH = 64  # turns whose entries are thrown away together
_function: contextvars.ContextVar[tuple[str, str] | None] = contextvars.ContextVar(
    "nbagent_function", default=None
)


@contextmanager
def function() -> Iterator[None]:
    """Inside, the code of a durable function runs, as its one node."""
    inside = running()
    token = _function.set(None if inside is None else (inside.place.thread, inside.place.task))
    try:
        yield
    finally:
        _function.reset(token)


def _inside(caller: str) -> TaskContext:
    inside = running()
    own = None if inside is None else (inside.place.thread, inside.place.task)
    if inside is None or _function.get() != own:
        raise NbagentError(
            f"{caller}() works only inside a durable function: put @durable above the function "
            "and start it with .run(…) or .start(…); in a node of a graph, `cached` and `effect` "
            "do what must not be done twice"
        )
    return inside


# --------------------------------------------------------------------------------------- steps


def step(fn: Callable[P, R]) -> Callable[P, R]:
    """`fn` as a step of a durable function: the n-th call with equal arguments is done once.

    What it returns is stored; when the function runs again (after a question, an error, a kill)
    the call gives that back, and `fn` is not called. The code between steps does run again. If
    the process ends during the call it is made again: for what must not happen twice there is
    `effect`. An `async` function stays one. Outside a durable function a call is an error.
    """
    name = getattr(fn, "__qualname__", None) or name_of(fn)
    if is_async(fn):

        async def acall(*args: Any, **kwargs: Any) -> Any:
            call = _Step(name, args, kwargs)
            if call.entry is not None:
                return call.kept()
            with span(name, kind="step"):
                returned = await cast(Any, fn(*args, **kwargs))
            return call.keep(returned)

        return cast(Callable[P, R], _named(acall, fn))

    def call(*args: Any, **kwargs: Any) -> Any:
        call = _Step(name, args, kwargs)
        if call.entry is not None:
            return call.kept()
        with span(name, kind="step"):
            returned = fn(*args, **kwargs)
        return call.keep(returned)

    return cast(Callable[P, R], _named(call, fn))


def _named(made: Any, fn: Any) -> Any:
    return functools.update_wrapper(made, fn) if hasattr(fn, "__name__") else made


class _Step:
    """A call of a step, and where it stands in the journal."""

    def __init__(self, name: str, args: Sequence[Any], kwargs: Any) -> None:
        self.inside = _inside("step")
        self.name = name
        self.began = time.monotonic()
        self.arguments = digest((tuple(args), dict(kwargs)))
        with self.inside.finding() as finder:
            found = finder.step(name, self.arguments)
        self.position, self.entry = found.position, found.entry

    def kept(self) -> Any:
        assert self.entry is not None
        self.inside.outlet.tell_step(self.name, "kept", 0.0)
        return thaw(self.entry.result)

    def keep(self, result: Any) -> Any:
        at = self.inside.place
        payload = freeze({"arguments": self.arguments})
        self.inside.record(
            JournalEntry(
                at.anchor, at.task, self.position, STEP, self.name, "done", payload, freeze(result)
            )
        )
        self.inside.outlet.tell_step(self.name, "done", time.monotonic() - self.began)
        return result


# --------------------------------------------------------------------------------------- loops


def each_once(items: Iterable[T] | AsyncIterable[T], name: str) -> EachOnce[T]:
    """The items, each of whose bodies is completed once, in a durable function.

        for row in each_once(rows, "rows"):
            step(send)(row)

    After an error, a question or a kill the loop goes on with the item whose body has not
    completed, at a cost that does not depend on how many have. It is shown as a bar by its
    `name`. The items are to be the same when the function runs again: a constant, an argument, or
    what a step returned; `StateError` where the last one that was done is another. Over an async
    iterable it is read with `async for`.
    """
    return EachOnce(items, name)


class EachOnce(Generic[T]):
    """A loop whose bodies are completed once: see `each_once`."""

    def __init__(self, items: Iterable[T] | AsyncIterable[T], name: str) -> None:
        self._inside = _inside("each_once")
        if not isinstance(name, str) or not name:
            raise StateError("each_once(items, name): give the loop a name, by which it is found")
        self._items = items
        self._name = name
        is_listed = hasattr(items, "__getitem__") and hasattr(items, "__len__")
        self._listed: Any = items if is_listed and not hasattr(items, "keys") else None
        self._total: int | None = len(cast(Any, items)) if hasattr(items, "__len__") else None
        self._done = 0
        self._turn: Turn | None = None
        self._current: Any = None
        self._over = False
        self._told = 0.0
        self._stale: list[range] = []

    # ------------------------------------------------------------------------------- reading

    def __iter__(self) -> Iterator[T]:
        if not isinstance(self._items, Iterable):
            raise StateError(f"each_once(…, {self._name!r}) is read with `async for`")
        last = self._begin()
        if self._over:
            return iter(())
        if self._listed is not None:
            if self._done:
                self._check(self._listed[self._done - 1 : self._done], last)
            rest: Iterator[Any] = (self._listed[n] for n in itertools.count(self._done))
            return self._each(itertools.islice(rest, max(0, len(self._listed) - self._done)))
        rest = iter(self._items)
        self._check(list(itertools.islice(rest, self._done))[-1:], last)
        return self._each(rest)

    def _each(self, rest: Iterator[Any]) -> Iterator[T]:
        return _Turns(self, rest)

    async def __aiter__(self) -> AsyncIterator[T]:
        if not isinstance(self._items, AsyncIterable):
            for item in self:
                yield item
            return
        last, skipped = self._begin(), 0
        if self._over:
            return
        async for item in self._items:
            if skipped < self._done and self._turn is None:
                skipped += 1
                if skipped == self._done:
                    self._check([item], last)
                continue
            self.complete()
            self.begin(item)
            yield item
        self.complete()
        self.end()

    # ------------------------------------------------------------------------------- keeping

    def _begin(self) -> str:
        """Find how far the loop was; the digest of the last item that was done."""
        with self._inside.finding() as finder:
            found = finder.loop(self._name)
        self._position, entry = found.position, found.entry
        self._done, self._turn, self._current = 0, None, None
        self._first: int | None = None
        self._free = self._position + 1
        if entry is None:
            self._write("open", self._free, "")
            return ""
        self._done, self._over = entry.payload["done"], entry.status == "done"
        self._first = self._free = entry.payload["first"]
        self._tell(always=True)
        return str(entry.payload["last"])

    def _check(self, last_done: Sequence[Any], last: str) -> None:
        """The last item that was done is the one that was done then."""
        if self._done and (not last_done or digest(last_done[0]) != last):
            raise StateError(
                f"each_once(…, {self._name!r}) has done {self._done} items, and now the last of "
                "them is another one: give it items that are the same when the function runs "
                "again, such as an argument, or what a step returned"
            )

    def begin(self, item: Any) -> None:
        """The body begins for an item."""
        self._current = item
        with self._inside.finding() as finder:
            self._turn = finder.begin_turn(self._first)
        self._first = None

    def complete(self) -> None:
        """The body has completed, if one was under way: that is stored."""
        if self._turn is None:
            return
        with self._inside.finding() as finder:
            positions = finder.end_turn(self._turn)
        if positions is None:
            raise StateError(
                f"each_once(…, {self._name!r}) runs beside another each_once: let one run after "
                "the other, or in the body of the other"
            )
        self._turn, self._free = None, positions.stop
        self._done += 1
        self._write("open", positions.stop, digest(self._current), positions)
        self._tell()

    def end(self) -> None:
        """All items are done."""
        self._over = True
        self._write("done", self._free, "")
        self._drop(1)
        self._tell(always=True)

    def _write(self, status: Any, first: int, last: str, over: range = range(0)) -> None:
        inside, at = self._inside, self._inside.place
        payload = freeze({"done": self._done, "first": first, "last": last})
        entries = [
            JournalEntry(at.anchor, at.task, self._position, LOOP, self._name, status, payload)
        ]
        if len(over):
            entries += [
                JournalEntry(at.anchor, at.task, position, GONE, "", "void")
                for position in over
                if position in inside.journal
            ]
        inside.record_all(entries)
        if len(entries) > 1:
            self._stale.append(over)
            self._drop(BATCH)

    def _drop(self, least: int) -> None:
        if len(self._stale) >= least:
            self._inside.drop(range(self._stale[0].start, self._stale[-1].stop))
            self._stale.clear()

    def _tell(self, always: bool = False) -> None:
        now = time.monotonic()
        if always or now - self._told >= OFTEN:
            self._told = now
            self._inside.outlet.tell_progress(self._name, self._done, self._total)


class _Turns(Iterator[T]):
    """The items of a loop one after another; a body is completed when the next one is asked for."""

    def __init__(self, loop: EachOnce[T], rest: Iterator[T]) -> None:
        self._loop = loop
        self._rest = rest

    def __next__(self) -> T:
        self._loop.complete()
        try:
            item = next(self._rest)
        except StopIteration:
            if not self._loop._over:
                self._loop.end()
            raise
        self._loop.begin(item)
        return item
