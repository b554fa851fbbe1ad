"""
What cannot be written at once: a thread for each store writes it, in order, and again until the
store takes it. (W1, W4, W15)

Rule 1: one store's line stands still for that store alone. Its thread is there while there is
        something to do, and keeps no process from ending.
Rule 2: what a run leaves when it ends (results, spans, the thread itself) is written for as long
        as the process lives, and before anybody in it takes that thread again.
Rule 3: a lease that somebody else has taken since ends that: nothing is written under it.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from nbagent.engine.model.checkpoint import Lease, Owner, Status
from nbagent.engine.store.patience import Patience, at_once
from nbagent.errors import CodecError, NbagentError, StoreUnavailable, ThreadBusy, UnknownThread

log = logging.getLogger("nbagent")
TURN = 1.0  # seconds that a write in line waits for its turn, before its caller hears of it
FIRST, LONGEST = 0.02, 0.5  # seconds between two tries
WAIT = 5.0  # seconds that the end of a run waits for its thread to be given back
IDLE = 10.0  # seconds without work that end a line's thread
Call = Callable[[], Any]

_lock = threading.Lock()
_lines: dict[int, _Line] = {}


class Held:
    """What the run under `lease` leaves, in order; the last of it gives the thread back.

    status  what the thread is to be then
    then    called once: with None when all is written, with why it could not be, or with
            `StoreUnavailable` when it takes longer than `WAIT`; it is written then all the same
    """

    def __init__(
        self,
        lease: Lease,
        status: Status,
        calls: Iterable[Call],
        then: Callable[[NbagentError | None], object] = lambda error: None,
    ) -> None:
        self.lease = lease
        self.status = status
        self._calls = deque(calls)
        self._then: Callable[[NbagentError | None], object] | None = then
        self._until = time.monotonic() + WAIT
        self._lock = threading.RLock()

    def holds(self, owner: Owner) -> bool:
        """True when the thread's owner is the run that has left this."""
        return owner.token == self.lease.owner.token

    def write(self) -> None:
        """Write what is left. `StoreUnavailable` where that cannot be yet."""
        lost: NbagentError | None = None
        with self._lock:
            while self._calls:
                try:
                    self._calls[0]()
                except StoreUnavailable as error:
                    if time.monotonic() > self._until:
                        self._tell(error)
                    raise
                except (ThreadBusy, UnknownThread) as error:
                    lost = error
                    log.warning("what thread %r still had is lost: %s", self.lease.thread, error)
                    self._calls.clear()
                    break
                except Exception as error:
                    log.warning(
                        "what thread %r still had is lost", self.lease.thread, exc_info=True
                    )
                    lost = error if isinstance(error, NbagentError) else lost
                self._calls.popleft()
        self._tell(lost)

    def _tell(self, error: NbagentError | None) -> None:
        then, self._then = self._then, None
        if then is not None:
            if isinstance(error, StoreUnavailable):
                log.warning("thread %r waits for the store: %s", self.lease.thread, error)
            then(error)


class _Line:
    """The jobs of one store, and what runs have left."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.jobs: queue.SimpleQueue[tuple[Future[Any], Call]] = queue.SimpleQueue()
        self.held: dict[str, Held] = {}
        threading.Thread(target=self._serve, name="nbagent-store", daemon=True).start()

    def _serve(self) -> None:
        wait, due = FIRST, 0.0
        while True:
            try:
                left = max(0.0, due - time.monotonic()) if self.held else IDLE
                future, call = self.jobs.get(timeout=left)
            except queue.Empty:
                pass
            else:
                _do(future, call)
                del future, call
            if self.held and time.monotonic() >= due:
                wait = FIRST if self._write_held() else min(2 * wait, LONGEST)
                due = time.monotonic() + wait
            with _lock:
                if not self.held and self.jobs.empty() and left == IDLE:
                    _lines.pop(id(self.store), None)
                    return

    def _write_held(self) -> bool:
        """Try all that is held; False where the store is not to be had."""
        for thread, held in tuple(self.held.items()):
            try:
                with Patience(TURN):
                    held.write()
            except StoreUnavailable:
                return False
            with _lock:
                if self.held.get(thread) is held:
                    del self.held[thread]
        return True


def _do(future: Future[Any], call: Call) -> None:
    try:
        with Patience(TURN):
            result = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


def _line(store: Any) -> _Line:
    line = _lines.get(id(store))
    if line is None:
        line = _lines[id(store)] = _Line(store)
    return line


def in_line(store: Any, call: Call) -> Future[Any]:
    """Call it on the store's thread, behind what is there already."""
    future: Future[Any] = Future()
    with _lock:
        _line(store).jobs.put((future, call))
    return future


def beside(store: Any, write: Call, over: Call) -> None:
    """Write at once, or else in line, whatever comes of it; then `over` is called."""
    try:
        with at_once:
            write()
    except StoreUnavailable:
        in_line(store, write).add_done_callback(lambda future: over())
    else:
        over()


def leave(store: Any, held: Held) -> None:
    """Write it as soon as that can be; its run is over."""
    with _lock:
        line = _line(store)
        line.held[held.lease.thread] = held
        line.jobs.put((Future(), lambda: None))  # it may sleep


def left(store: Any, thread: str) -> Held | None:
    """What a run of this process has left of the thread and is not yet written."""
    line = _lines.get(id(store))
    return None if line is None else line.held.get(thread)


def settle(store: Any, thread: str) -> None:
    """Write what a run of this process has left of the thread, before somebody takes it."""
    held = left(store, thread)
    if held is not None:
        held.write()


def put_each(put: Callable[[list[Any]], object], records: list[Any]) -> None:
    """Put them in one go; where one of them cannot be stored, the others."""
    try:
        put(records)
    except CodecError:
        if len(records) == 1:
            log.warning("the result of a task cannot be stored", exc_info=True)
            return
        for record in records:
            put_each(put, [record])


def _at_exit() -> None:
    for line in tuple(_lines.values()):
        for held in tuple(line.held.values()):
            try:
                with Patience(TURN):
                    held.write()
            except Exception:
                log.warning("thread %r could not be given back", held.lease.thread)


atexit.register(_at_exit)


def _forget() -> None:
    """A forked child has none of its parent's threads, and owns none of its runs."""
    global _lock
    _lock = threading.Lock()
    _lines.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
