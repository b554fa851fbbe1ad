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


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
