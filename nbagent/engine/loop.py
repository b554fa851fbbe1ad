"""
The engine's own event loop, on a daemon thread. (C2, W10)

A task on a notebook kernel's loop stands still while another cell computes; one here does not.
"""

from __future__ import annotations

import asyncio
import os
import threading

_lock = threading.Lock()
_loops: dict[int, asyncio.AbstractEventLoop] = {}
_idents: dict[asyncio.AbstractEventLoop, int] = {}
_threads: dict[asyncio.AbstractEventLoop, threading.Thread] = {}


def engine_loop() -> asyncio.AbstractEventLoop:
    """The loop that runs agents in this process; started at the first call, and after a fork."""
    with _lock:
        loop = _loops.get(os.getpid())
        # A task that a node started and that calls sys.exit() ends the loop's thread.
        if loop is None or loop.is_closed() or not _threads[loop].is_alive():
            loop = asyncio.new_event_loop()
            serving = threading.Thread(
                target=_serve, args=(loop,), name="nbagent-loop", daemon=True
            )
            _loops.clear()
            _threads.clear()
            _loops[os.getpid()], _threads[loop] = loop, serving
            serving.start()
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
    loop.run_forever()
