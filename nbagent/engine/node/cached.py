"""
cached(): a call that need not be made again when the node runs again. (R6)

Rule 1: an entry is its key and what the call was given; other arguments are another call.
Rule 2: equal calls that are under way at once are one call: the second waits for the first.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast, overload

from nbagent.engine.model.checkpoint import JournalEntry
from nbagent.engine.model.secrets import named
from nbagent.engine.model.values import freeze, thaw
from nbagent.engine.node.context import TaskContext, current, off_the_loop
from nbagent.engine.node.journal import CACHED, Given, given
from nbagent.errors import StateError

P = ParamSpec("P")
R = TypeVar("R")
_inside: contextvars.ContextVar[frozenset[int]] = contextvars.ContextVar(
    "nbagent_cached", default=frozenset()
)


def cached(key: str, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `fn(*args, **kwargs)`; when the node runs again, return what that call returned.

    For what is slow or paid and stands before an `interrupt` in one node. If the process ends
    during the call it is made again: for what must not happen twice there is `effect`.
    """
    call = _find(key, fn, args, kwargs)
    while (first := call.under_way()) is not None and not _is_in_a_loop():
        first.result()
    if (entry := call.entry()) is not None:
        return cast(R, thaw(entry.result))
    with call.made():
        returned = fn(*args, **kwargs)
        if inspect.isawaitable(returned):
            if inspect.iscoroutine(returned):
                returned.close()
            raise StateError(
                f"cached({key!r}, …) was given a function that is to be awaited, and cannot await "
                f"it: in an `async def` node, write `await acached({key!r}, …)`",
                node=call.context.place.node,
            )
        call.keep(returned)
        return returned


@overload
async def acached(
    key: str, fn: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs
) -> R: ...
@overload
async def acached(key: str, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R: ...
async def acached(key: str, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """`cached` for an `async def` node: `fn` may be a coroutine function."""
    call = _find(key, fn, args, kwargs)
    while (first := call.under_way()) is not None:
        await asyncio.wait([asyncio.wrap_future(first)])
    if (entry := call.entry()) is not None:
        return thaw(entry.result)
    with call.made():
        returned = fn(*args, **kwargs)
        result = await returned if inspect.isawaitable(returned) else returned
        return await off_the_loop(lambda: call.keep(result))


class _Call(NamedTuple):
    """A call of `cached`, and where it stands in the journal."""

    context: TaskContext
    key: str
    what: Given
    position: int

    def entry(self) -> JournalEntry | None:
        return self.context.journal.get(self.position)

    def under_way(self) -> concurrent.futures.Future[None] | None:
        """Done when the equal call that is being made is over; None where there is none, and this
        one is the first."""
        with self.context.finding() as finder:
            first = finder.under_way.get(self.position)
            if self.entry() is not None or self.position in _inside.get():
                return None
            if first is None:
                finder.under_way[self.position] = concurrent.futures.Future()
            return first

    @contextmanager
    def made(self) -> Iterator[None]:
        """Around the call itself: those that wait for it go on behind it, however it ends."""
        token = _inside.set(_inside.get() | {self.position})
        try:
            yield
        finally:
            _inside.reset(token)
            with self.context.finding(is_late=True) as finder:
                first = finder.under_way.pop(self.position, None)
            if first is not None:
                first.set_result(None)

    def keep(self, result: Any) -> Any:
        at, what = self.context.place, self.what
        payload = {"arguments": what.arguments, "captured": what.captured}
        self.context.note(
            JournalEntry(
                at.anchor, at.task, self.position, CACHED, named(self.key), "done", freeze(payload),
                freeze(result),
            )
        )  # fmt: skip
        return result


def _find(key: str, fn: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Call:
    context, what = current("cached"), given(fn, args, kwargs)
    with context.finding() as finder:
        return _Call(context, key, what, finder.cached(key, what).position)


def _is_in_a_loop() -> bool:
    """True on an event loop's thread, which must not wait for what may need that loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
