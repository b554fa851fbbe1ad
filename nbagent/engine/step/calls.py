"""
A call of somebody else's code, whose end is always ours to know. (W19)

Rule 1: a coroutine runs in a task that is not the engine's. What it does to the task that it is in
        (a TaskGroup and a timeout cancel it and count that, a node may cancel itself) reaches
        nothing of the engine's, and a cancellation of the engine's task is always the engine's
        own. One that can wait has a task of its own. One that cannot, because its code awaits
        nothing, goes straight through: the task that it finds itself in has long ended, so
        there is nothing that could be done to it.
Rule 2: an outcome is kept as a value, so whatever is raised, SystemExit and StopIteration
        included, ends this call and nothing else.
Rule 3: a call ends at its time. It is cancelled then, has a moment to clean up, and what it
        returns does not count. One that does not end is left behind, which is told in the log.
Rule 4: a call that is stopped and returns something all the same has been paid for: that counts.
"""

from __future__ import annotations

import asyncio
import contextvars
import dis
import inspect
import logging
import types
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from nbagent.engine.watch.stalls import performing

log = logging.getLogger("nbagent")
GRACE = 0.2  # seconds that a call whose time is up may take to clean up
PATIENCE = 1.0  # seconds that one may which is stopped
Who = tuple[str, Callable[..., None]]
_SUSPENDS = dis.opmap["YIELD_VALUE"]  # the one instruction at which a coroutine can be left
_ended: dict[asyncio.AbstractEventLoop, asyncio.Task[None]] = {}  # of each loop, one task


class Overdue(Exception):
    """The call has not ended at its time; `is_left` when it still goes on."""

    def __init__(self, is_left: bool) -> None:
        super().__init__()
        self.is_left = is_left


class _Call:
    """A coroutine under way, and what came of it."""

    __slots__ = ("error", "has_ended", "is_late", "over", "value")

    def __init__(self, over: asyncio.Future[None]) -> None:
        self.over = over
        self.has_ended = self.is_late = False
        self.value: Any = None
        self.error: BaseException | None = None

    async def carry(self, called: Awaitable[Any]) -> None:
        try:
            self.value = await called
        except BaseException as error:
            self.error = error
        self.has_ended = True
        self.wake()
        performing.pop(asyncio.current_task(), None)  # type: ignore[arg-type]

    def wake(self) -> None:
        if not self.over.done():
            self.over.set_result(None)


async def finish(
    called: Awaitable[Any],
    who: Who,
    seconds: float | None = None,
    *,
    late: Callable[[], object] | None = None,
    left: Callable[[], float] | None = None,
    is_ours: bool = False,
) -> Any:
    """What the call returns or raises; `Overdue` when it took longer than `seconds`.

    who      the node, and how it tells of itself: see `performing`
    late     called when its time is up, before anything else is done
    left     asked when its time is up: the seconds that it may take all the same
    is_ours  the engine's own code, a subgraph's run, which always ends: it is waited for
    """
    loop = asyncio.get_running_loop()
    if type(called) is types.CoroutineType and _SUSPENDS not in called.cr_code.co_code[::2]:
        ended = _ended.get(loop)
        if ended is None:
            try:
                ended = await _end_one(loop)
            except BaseException:
                called.close()  # cancelled before its first line
                raise
        return _straight_through(called, who, loop, ended)
    if isinstance(called, asyncio.Future) and not isinstance(called, asyncio.Task):
        until = None if seconds is None else loop.time() + seconds
        value = await _on_a_thread(called, seconds, late, left)
        if not inspect.isawaitable(value):
            return value
        called, seconds = value, None if until is None else until - loop.time()

    call = _Call(loop.create_future())
    inner = loop.create_task(call.carry(called), name=who[0])
    performing[inner] = who
    timers: list[asyncio.TimerHandle] = []

    def expire() -> None:
        if call.has_ended:
            return
        if left is not None and (more := left()) > 0:
            timers.append(loop.call_later(more, expire))
            return
        call.is_late = True
        if late is not None:
            late()
        inner.cancel()
        if not is_ours:
            timers.append(loop.call_later(GRACE, call.wake))

    if seconds is not None:
        timers.append(loop.call_later(max(0.0, seconds), expire))
    try:
        await call.over
    except asyncio.CancelledError:
        if not call.has_ended:
            inner.cancel()
            await asyncio.wait([inner], timeout=None if is_ours else PATIENCE)
        if not call.has_ended or isinstance(call.error, asyncio.CancelledError):
            _see_off(call, inner, called, who)
            raise
    finally:
        for timer in timers:
            timer.cancel()
    if call.is_late:
        _see_off(call, inner, called, who)
        raise Overdue(is_left=not inner.done()) from call.error
    if call.error is not None:
        try:
            raise call.error
        finally:
            del call  # the error refers to this frame, and this frame would to the error
    return call.value


def _straight_through(
    called: Coroutine[Any, Any, Any],
    who: Who,
    loop: asyncio.AbstractEventLoop,
    ended: asyncio.Task[None],
) -> Any:
    """What a coroutine that cannot wait returns or raises; no timer could ever interrupt it."""
    own, tasks = asyncio.current_task(loop), asyncio.tasks
    assert own is not None
    tasks._leave_task(loop, own)
    tasks._enter_task(loop, ended)
    performing[ended] = who
    try:
        contextvars.copy_context().run(called.send, None)
    except StopIteration as returned:
        return returned.value
    finally:
        performing.pop(ended, None)
        tasks._leave_task(loop, ended)
        tasks._enter_task(loop, own)
    raise AssertionError("a coroutine waits, and its code has no place where it can")


async def _end_one(loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
    one = loop.create_task(asyncio.sleep(0), name="nbagent")
    await one
    for other in tuple(_ended):
        if other.is_closed():
            _ended.pop(other, None)
    _ended[loop] = one
    return one


def is_cancelled() -> bool:
    """True when somebody asked the engine's task that runs this to stop."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _on_a_thread(
    called: asyncio.Future[Any],
    seconds: float | None,
    late: Callable[[], object] | None,
    left: Callable[[], float] | None,
) -> Any:
    """A future needs no task of its own: nothing but its thread knows of it."""
    if seconds is None:
        return await called
    while left is not None:
        try:
            await asyncio.wait([called], timeout=max(0.0, seconds))
        except asyncio.CancelledError:
            called.cancel()
            raise
        seconds = 0.0 if called.done() else left()
        if seconds <= 0:
            break
    try:
        async with asyncio.timeout(seconds) as timer:
            return await called
    except TimeoutError as error:
        if not timer.expired():
            raise
        if late is not None:
            late()
        raise Overdue(is_left=True) from error


def _see_off(call: _Call, inner: asyncio.Task[None], called: Awaitable[Any], who: Who) -> None:
    """The call is no longer waited for."""
    if not inner.done():
        log.warning("node %r was cancelled and goes on all the same: nobody waits for it", who[0])
        return
    performing.pop(inner, None)
    if not call.has_ended and inspect.iscoroutine(called):
        called.close()  # cancelled before its first line
