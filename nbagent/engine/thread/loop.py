"""
The engine's own event loop, on a daemon thread. (C2, W10)

A task on a notebook kernel's loop stands still while another cell computes; one here does not. A
graph whose clients are bound to the kernel's loop may ask for that one all the same.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import Any

from nbagent.engine import ports
from nbagent.engine.node.origin import mark
from nbagent.errors import NbagentError

log = logging.getLogger("nbagent")
_lock = threading.Lock()
_loops: dict[int, asyncio.AbstractEventLoop] = {}
_idents: dict[asyncio.AbstractEventLoop, int] = {}


def engine_loop() -> asyncio.AbstractEventLoop:
    """The loop that runs agents in this process; started at the first call, and after a fork."""
    with _lock:
        loop = _loops.get(os.getpid())
        if loop is None or loop.is_closed():
            loop = asyncio.new_event_loop()
            _loops.clear()
            _loops[os.getpid()] = loop
            threading.Thread(target=_serve, args=(loop,), name="nbagent-loop", daemon=True).start()
        return loop


_kernels: list[asyncio.AbstractEventLoop] = []


def use_kernel_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Remember the notebook kernel's own loop, for graphs that ask for it."""
    _kernels[:] = [loop]


def kernel_loop() -> asyncio.AbstractEventLoop:
    """The kernel's own loop, or the one that runs here. `NbagentError` where there is none."""
    if _kernels and _kernels[0].is_running():
        return _kernels[0]
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise NbagentError(
            'Graph(loop="kernel") runs on the event loop of the notebook or of the coroutine that '
            "starts it, and here none runs: leave loop= out, or start it with `await graph.arun()`"
        ) from None


def is_inside(loop: asyncio.AbstractEventLoop) -> bool:
    """True when the caller is on this very loop, and would stop it by waiting."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def wait_inside(
    loop: asyncio.AbstractEventLoop,
    waiting: Coroutine[Any, Any, Any],
    on_interrupt: Callable[[], None],
) -> Any:
    """Wait on the loop that the caller is on. Nothing is changed in asyncio before this is used.

    on_interrupt  called once for Ctrl-C or the stop button; the wait goes on to its end and raises
                  `KeyboardInterrupt` then. Raised at once it would end whatever the loop is at: a
                  node, or a task of somebody else's. A second one is as it ever was.
    """
    ports.nest_loop(loop)
    with _interrupts(on_interrupt) as came:
        found = loop.run_until_complete(waiting)
    if came:
        raise KeyboardInterrupt
    return found


@contextmanager
def _interrupts(on_interrupt: Callable[[], None]) -> Iterator[list[int]]:
    """The first interrupt is told to `on_interrupt`, and stands in the list that this gives."""
    came: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield came
        return

    def take(number: int, frame: FrameType | None) -> None:
        if came:
            before(number, frame)
            return
        came.append(number)
        on_interrupt()

    signal.signal(signal.SIGINT, take)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)


def abandon(loop: asyncio.AbstractEventLoop) -> None:
    """Give new runs another loop, because a node blocks this one; it ends its own runs yet."""
    with _lock:
        if _loops.get(os.getpid()) is loop:
            del _loops[os.getpid()]


def thread_of(loop: asyncio.AbstractEventLoop) -> int | None:
    """The id of the thread that the loop runs on, as `sys._current_frames` has it."""
    return _idents.get(loop)


def _forget() -> None:
    """A forked child has none of its parent's threads, so it has no loop that runs."""
    global _lock
    _lock = threading.Lock()
    _loops.clear()
    _idents.clear()
    _kernels.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class _WithContext(ThreadPoolExecutor):
    """Runs what nodes give to `loop.run_in_executor(None, …)` in their own context, as
    `asyncio.to_thread` does: what it calls there belongs to their tasks."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(contextvars.copy_context().run, fn, *args, **kwargs)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    _idents[loop] = threading.get_ident()
    mark()
    loop.set_default_executor(_WithContext(thread_name_prefix="nbagent-executor"))
    while not loop.is_closed():
        try:
            loop.run_forever()
            log.warning("a node stopped the event loop that all runs share; it goes on")
        except (SystemExit, KeyboardInterrupt):
            # asyncio lets these out of a task that a node has started; they end that task alone.
            log.exception("a task beside a node's own wanted to end the process; the runs go on")
