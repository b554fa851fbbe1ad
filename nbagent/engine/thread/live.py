"""
Threads that say, for every run of this process, that its owner lives. (W4)

Rule 1: they are not tasks on the engine's loop, so that an `async def` node which blocks the loop
        does not cost the run its lease.
Rule 2: each store's leases are renewed by themselves, so that one which is locked, or does not
        answer, costs the runs of no other theirs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from typing import Any, Protocol

from nbagent.engine.model.checkpoint import Status
from nbagent.engine.store.patience import Patience
from nbagent.errors import NbagentError, StoreUnavailable, ThreadBusy

log = logging.getLogger("nbagent")
INTERVAL = 5.0  # seconds; a lease lasts several times as long
TURN = 1.0  # seconds that a store waits for its turn to write


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
_under_way: set[int] = set()  # ids of stores whose runs' leases are being renewed
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
    _under_way.clear()
    _runs.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _serve() -> None:
    while True:
        _wake.wait(INTERVAL)
        by_store: dict[int, list[Any]] = {}
        for run in live_runs():
            by_store.setdefault(id(run.thread.store), []).append(run)
        for store, runs in by_store.items():
            if store not in _under_way:
                _under_way.add(store)
                threading.Thread(
                    target=_renew, args=(store, runs), name="nbagent-heartbeat", daemon=True
                ).start()


def _renew(store: int, runs: list[Any]) -> None:
    try:
        for run in runs:
            try:
                with Patience(TURN):
                    run.renew()
            except ThreadBusy:
                run.lost()
            except StoreUnavailable as error:  # nobody else can take its threads either
                log.warning("the leases of %d threads were not renewed: %s", len(runs), error)
                return
            except NbagentError as error:
                log.warning("the lease of thread %r was not renewed: %s", run.thread.id, error)
            except Exception:  # a store of somebody else's: the others' leases are to be renewed
                log.exception("the lease of thread %r was not renewed", run.thread.id)
    finally:
        _under_way.discard(store)
