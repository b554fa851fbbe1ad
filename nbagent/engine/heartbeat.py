"""
A thread that says, for every run of this process, that its owner lives. (W4)

It is a thread of its own, not a task on the engine's loop, so that an `async def` node which
blocks the loop does not cost the run its lease.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from nbagent.errors import NbagentError, ThreadBusy

if TYPE_CHECKING:
    from nbagent.engine.run import Run

log = logging.getLogger("nbagent")
INTERVAL = 5.0  # seconds; a lease lasts several times as long

_lock = threading.Lock()
_runs: set[Run] = set()
_thread: threading.Thread | None = None
_wake = threading.Event()


def beat(run: Run) -> None:
    """Renew the run's lease from now on."""
    global _thread
    with _lock:
        _runs.add(run)
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_serve, name="nbagent-heartbeat", daemon=True)
            _thread.start()


def stop_beating(run: Run) -> None:
    """The run is ending: its lease is its own again."""
    with _lock:
        _runs.discard(run)


def live_runs() -> list[Run]:
    """The runs of this process that have not ended."""
    with _lock:
        return list(_runs)


def _serve() -> None:
    while True:
        _wake.wait(INTERVAL)
        for run in live_runs():
            try:
                run.renew()
            except ThreadBusy:
                run.lost()
            except NbagentError as error:
                log.warning("the lease of thread %r was not renewed: %s", run.thread.id, error)
