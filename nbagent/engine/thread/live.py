"""
A thread that says, for every run of this process, that its owner lives. (W4)

It is a thread of its own, not a task on the engine's loop, so that an `async def` node which
blocks the loop does not cost the run its lease.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from typing import Any, Protocol

from nbagent.engine.model.checkpoint import Status
from nbagent.errors import NbagentError, ThreadBusy

log = logging.getLogger("nbagent")
INTERVAL = 5.0  # seconds; a lease lasts several times as long


class LiveRun(Protocol):
    """What those who look after the runs of a process need to know of each."""

    thread: Any
    loop: asyncio.AbstractEventLoop

    @property
    def status(self) -> str: ...

    def renew(self) -> None:
        """Extend the lease; `ThreadBusy` when somebody has taken the thread over."""
        ...

    def lost(self) -> None:
        """The lease has gone to somebody else."""
        ...

    def tell_stalls(self) -> None:
        """Tell of nodes that have been silent for too long."""
        ...

    def let_go(self, status: Status) -> None:
        """End at the last checkpoint, whatever its nodes still do."""
        ...


_lock = threading.Lock()
_runs: set[Any] = set()
_thread: threading.Thread | None = None
_wake = threading.Event()


def beat(run: LiveRun) -> None:
    """Renew the run's lease from now on."""
    global _thread
    with _lock:
        _runs.add(run)
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_serve, name="nbagent-heartbeat", daemon=True)
            _thread.start()


def stop_beating(run: LiveRun) -> None:
    """The run is ending: its lease is its own again."""
    with _lock:
        _runs.discard(run)


def live_runs() -> list[Any]:
    """The runs of this process that have not ended."""
    with _lock:
        return list(_runs)


def _forget() -> None:
    """A forked child owns none of its parent's runs."""
    global _lock, _thread, _wake
    _lock, _thread, _wake = threading.Lock(), None, threading.Event()
    _runs.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


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
