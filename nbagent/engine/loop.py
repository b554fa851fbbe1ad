"""
The engine's own event loop, on a daemon thread. (C2, W10)

A task on a notebook kernel's loop stands still while another cell computes; one here does not.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading

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


def abandon(loop: asyncio.AbstractEventLoop) -> None:
    """Give new runs another loop, because a node blocks this one; it ends its own runs yet."""
    with _lock:
        if _loops.get(os.getpid()) is loop:
            del _loops[os.getpid()]


def thread_of(loop: asyncio.AbstractEventLoop) -> int | None:
    """The id of the thread that the loop runs on, as `sys._current_frames` has it."""
    return _idents.get(loop)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    _idents[loop] = threading.get_ident()
    while not loop.is_closed():
        try:
            return loop.run_forever()
        except (SystemExit, KeyboardInterrupt):
            # asyncio lets these out of a task that a node has started; they end that task alone.
            log.exception("a task beside a node's own wanted to end the process; the runs go on")
