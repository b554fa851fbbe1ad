"""
A thread that notices when a node blocks the event loop, and ends runs that will not end. (W9)

An `async def` node that calls `time.sleep`, or a client that does not await, stops the loop: its
siblings stand still, and a pause or a stop cannot be delivered. Then the node is named, and a run
that was asked to end is let go from here: the last checkpoint is committed, the lease is given
back, and whatever the node still does is ignored.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
import traceback
from dataclasses import dataclass

from nbagent.engine.model.checkpoint import Status
from nbagent.engine.thread.live import LiveRun, live_runs
from nbagent.engine.thread.loop import abandon, thread_of
from nbagent.engine.watch.events import NodeBlocking
from nbagent.engine.watch.stalls import performing

log = logging.getLogger("nbagent")
_ENGINE = os.path.dirname(os.path.dirname(__file__)) + os.sep
_STEP = os.path.join(_ENGINE, "step", "")
LOOK = 0.25  # seconds between looks
BLOCKED = 1.0  # seconds without an answer from the loop that count as blocked
PATIENCE = 5.0  # seconds that a run may take to end after it was told to, on a loop that answers


@dataclass
class _Beat:
    """When a loop was asked for a sign of life, and whether its silence has been told."""

    asked: float
    answered: bool = False
    told: bool = False


_lock = threading.Lock()
_thread: threading.Thread | None = None
_beats: dict[asyncio.AbstractEventLoop, _Beat] = {}
_ending: dict[LiveRun, tuple[Status, float]] = {}


def watch() -> None:
    """Look after the runs of this process from now on."""
    global _thread
    with _lock:
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_serve, name="nbagent-watchdog", daemon=True)
            _thread.start()


def see_end(run: LiveRun, status: Status, after: float = 0.0) -> None:
    """Let the run go with `status` if it does not end by itself soon, `after` seconds from now."""
    at = time.monotonic() + after
    with _lock:
        _, earlier = _ending.get(run, (status, at))
        _ending[run] = (status, min(at, earlier))


def _forget() -> None:
    """A forked child looks after its own runs."""
    global _lock, _thread
    _lock, _thread = threading.Lock(), None
    _beats.clear()
    _ending.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _serve() -> None:
    while True:
        time.sleep(LOOK)
        try:
            _look()
        except Exception:  # it must outlive whatever an observer or a store does
            log.exception("the watchdog could not look after the runs")


def _look() -> None:
    now = time.monotonic()
    runs = live_runs()
    for loop in {run.loop for run in runs}:
        beat = _beats.get(loop)
        if beat is None or beat.answered:
            _beats[loop] = beat = _Beat(now)
            loop.call_soon_threadsafe(setattr, beat, "answered", True)
        elif now - beat.asked > BLOCKED and not beat.told:
            beat.told = True
            _tell(loop, now - beat.asked)
    for run in runs:
        run.tell_stalls()
    for loop in set(_beats) - {run.loop for run in runs}:
        del _beats[loop]
    with _lock:
        ending = dict(_ending)
    for run, (status, since) in ending.items():
        blocked = _is_blocked(run.loop, now)
        if run.status == "running" and now - since > (BLOCKED if blocked else PATIENCE):
            if blocked:
                abandon(run.loop)
            run.let_go(status)
        if run.status != "running":
            with _lock:
                _ending.pop(run, None)


def _is_blocked(loop: asyncio.AbstractEventLoop, now: float) -> bool:
    beat = _beats.get(loop)
    return beat is not None and not beat.answered and now - beat.asked > BLOCKED


def _tell(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    """Name the node that holds the loop, and the line where it does."""
    task = asyncio.current_task(loop)
    found = None if task is None else performing.get(task)
    frame = sys._current_frames().get(thread_of(loop) or 0)
    if found is None or frame is None:  # a task that the node started, or not a node at all
        return
    where = _where(traceback.extract_stack(frame))
    if where is None:
        return
    node, tell = found
    log.warning(
        "node %r blocks the event loop (%s): its siblings stand still. Make it a `def` node, or "
        "use an awaitable client or `await asyncio.to_thread(…)`",
        node,
        where,
    )
    tell(NodeBlocking, seconds=seconds, where=where)


def _where(stack: traceback.StackSummary) -> str | None:
    """`agent.py, line 6: time.sleep(30)`: the first line that is not the engine's, below the
    super-step. A notebook's cell has no name worth telling."""
    below = False
    for line in stack:
        if line.filename.startswith(_ENGINE):
            below = below or line.filename.startswith(_STEP)
        elif below:
            file = line.filename
            name = "" if "ipykernel_" in file or file[:1] == "<" else f"{os.path.basename(file)}, "
            return f"{name}line {line.lineno}: {line.line}"
    return None
