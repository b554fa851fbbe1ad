"""
Where a node's function runs: `async def` on the event loop, `def` on a thread.

Rule 1: a blocking `def` node never stops its siblings, the heartbeat or the pause button.
Rule 2: a call that was given up takes nobody's place, and neither does one that waits for another
        graph's run: so no number of them keeps a later call from being made.
Rule 3: no thread keeps the process from ending, and a forked child begins with none.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from nbagent.engine.node.origin import mark

THREADS = 64  # `def` nodes that run at once; they mostly wait for a network
IDLE = 30.0  # seconds after which a thread that has nothing to do ends
STANDSTILL = 1.0  # seconds in which no waiting call could begin, until one more may


class NodeExecutor(Protocol):
    """Calls a node's function somewhere and returns, or raises, what it did."""

    def call(self, function: Callable[[Any], Any], is_async: bool, argument: Any) -> Awaitable[Any]:
        """The function's return value for `argument`, which may be awaitable itself. The current
        contextvars hold inside it. Cancelling what this returns gives the call up."""
        ...


class AsyncioExecutor:
    """The executor inside the kernel."""

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = Threads(threads)

    def call(self, function: Callable[[Any], Any], is_async: bool, argument: Any) -> Awaitable[Any]:
        """The return value: of an `async` function a coroutine, else a future."""
        if is_async:
            awaited: Awaitable[Any] = function(argument)
            return awaited
        return self._threads.call(function, argument)


class _Call(asyncio.Future[Any]):
    """A call on a thread, as those see it who wait for it on the loop.

    place     True while it counts among those that run at once
    is_over   its function has ended, or will never begin
    waits     how many times its own code waits for another run just now
    """

    def __init__(self, threads: Threads, function: Callable[[Any], Any], argument: Any) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.threads = threads
        self.context = contextvars.copy_context()
        self.function = function
        self.argument = argument
        self.place = False
        self.is_over = False
        self.waits = 0

    def cancel(self, msg: Any = None) -> bool:
        """Give the call up: its thread goes on by itself, and nobody waits for it."""
        is_cancelled = super().cancel(msg)
        if is_cancelled:
            self.threads.give_up(self)
        return is_cancelled

    def make(self) -> None:
        """Call the function on this thread and hand over what comes of it."""
        if self.cancelled():  # given up before it began
            return
        value: Any = None
        error: BaseException | None = None
        try:
            value = self.context.run(self.function, self.argument)
        except StopIteration as stopped:  # which no coroutine can raise (PEP 479)
            error = RuntimeError(
                "StopIteration: `next(…)` found nothing more: give it a default, as in "
                "`next(found, None)`"
            )
            error.__cause__ = stopped
        except GeneratorExit as exit:  # which closes those that await it, instead of reaching them
            error = RuntimeError("GeneratorExit: the node raised it itself")
            error.__cause__ = exit
        except BaseException as raised:
            error = raised
        self.argument = None  # the next who reads the same is lent what this one has read
        try:
            self.loop.call_soon_threadsafe(self._settle, value, error)
        except RuntimeError:  # the loop is closed: nobody waits any more
            pass
        finally:
            del error

    def _settle(self, value: Any, error: BaseException | None) -> None:
        if self.done():
            return
        if error is None:
            self.set_result(value)
        else:
            self.set_exception(error)


class Threads:
    """Daemon threads for blocking calls, started on demand and used again.

    most   calls that run at once; one more for each second in which those that wait stand still,
           because all that run may hang, or wait for one that waits
    """

    def __init__(self, most: int = THREADS) -> None:
        self._most = most
        self._forget()
        _all.add(self)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._allowed = self._most
        self._running = 0  # calls that have a place
        self._begun = 0
        self._waiting: deque[_Call] = deque()
        self._idle: list[SimpleQueue[_Call]] = []
        self._is_watched = False
        self._numbers = itertools.count()

    def call(self, function: Callable[[Any], Any], argument: Any) -> _Call:
        """Call the function on a thread, at once or when a place is free."""
        made = _Call(self, function, argument)
        with self._lock:
            self._waiting.append(made)
            self._begin_waiting()
        return made

    def give_up(self, call: _Call) -> None:
        """Nobody waits for the call any more: it keeps its thread, and loses its place."""
        with self._lock:
            if call.place:
                self._leave(call)
            elif not call.is_over and call in self._waiting:
                self._waiting.remove(call)

    @contextmanager
    def let_others(self, call: _Call) -> Iterator[None]:
        """Its code waits for a run: others may have its place meanwhile."""
        with self._lock:
            call.waits += 1
            if call.place:
                self._leave(call)
        try:
            yield
        finally:
            with self._lock:
                call.waits -= 1
                if not call.waits and not call.done() and not call.is_over:
                    call.place = True
                    self._running += 1  # it goes on at once, whoever else runs

    # ------------------------------------------------------------- with the lock held

    def _leave(self, call: _Call) -> None:
        call.place = False
        self._running -= 1
        self._begin_waiting()

    def _begin_waiting(self) -> None:
        """Give waiting calls the places that are free."""
        while self._waiting and self._running < self._allowed:
            call = self._take()
            if self._idle:
                self._idle.pop().put(call)
                continue
            name = f"nbagent-node-{next(self._numbers)}"
            try:
                threading.Thread(target=self._serve, args=(call,), name=name, daemon=True).start()
            except RuntimeError as error:  # the machine has no more, or Python is ending
                call.place, call.is_over = False, True
                self._running -= 1
                call.loop.call_soon_threadsafe(call._settle, None, error)
        if not self._waiting:
            self._allowed = max(self._most, self._running)
        elif not self._is_watched:
            self._is_watched = True
            threading.Thread(target=self._watch, name="nbagent-places", daemon=True).start()

    def _take(self) -> _Call:
        call = self._waiting.popleft()
        call.place = True
        self._running += 1
        self._begun += 1
        return call

    # ----------------------------------------------------------------- on their threads

    def _serve(self, call: _Call) -> None:
        mine: SimpleQueue[_Call] = SimpleQueue()
        mark()
        while True:
            _here.call = call
            call.make()
            _here.call = None
            with self._lock:
                call.is_over = True
                if call.place:
                    call.place = False
                    self._running -= 1
                if self._waiting and self._running < self._allowed:
                    call = self._take()
                    continue
                self._idle.append(mine)
            del call  # and with it the state that it has read
            try:
                call = mine.get(timeout=IDLE)
            except Empty:
                with self._lock:
                    if mine in self._idle:
                        self._idle.remove(mine)
                        return
                call = mine.get()

    def _watch(self) -> None:
        """Allow one call more whenever none of those that wait could begin for a while."""
        while True:
            begun = self._begun
            time.sleep(STANDSTILL)
            with self._lock:
                if not self._waiting:
                    self._is_watched = False
                    return
                if begun == self._begun:
                    self._allowed = self._running + 1
                    self._begin_waiting()


class _Here(threading.local):
    call: _Call | None = None


_here = _Here()
_all: weakref.WeakSet[Threads] = weakref.WeakSet()


@contextmanager
def waiting() -> Iterator[None]:
    """Around a wait for a run: a `def` node that waits for one gives its place away meanwhile."""
    call = _here.call
    if call is None:
        yield
        return
    with call.threads.let_others(call):
        yield


def _after_fork() -> None:
    """A child has none of its parent's threads."""
    _here.call = None
    for threads in list(_all):
        threads._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
