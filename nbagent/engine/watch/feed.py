"""
The feed of a run: its events, numbered, shown to whoever watches. (R36)

Rule 1: observers see every event once, in order; what one of them raises is reported once, and it
        is left out from then on.
Rule 2: who comes late is shown what is past first, as far as that is kept: see `backlog`.
Rule 3: after the end nothing is told any more: a `def` node that was given up may go on talking.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from nbagent.engine.watch.backlog import Backlog
from nbagent.engine.watch.events import Event, Observer, RunEnded, stamp
from nbagent.engine.watch.stalls import SIGNS, Stalls

log = logging.getLogger("nbagent")


class Feed:
    """What happens in one run. Any thread may tell and watch.

    thread   the run's thread, for the log
    beside   what observers are called in: what they do is not done by the node that they watch
    clock    tells the time of events, Unix seconds
    lock     held while an event is told, so that a status set under it is seen with its events
    """

    def __init__(
        self,
        thread: str,
        stalls: Stalls,
        *,
        beside: Callable[[], AbstractContextManager[None]] = nullcontext,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.thread = thread
        self.stalls = stalls
        self._beside = beside
        self._clock = clock
        self.backlog = Backlog()
        self.has_ended = False
        self.lock = threading.RLock()
        self._numbers = 0
        self._observers: list[Observer] = []

    def watch(self, observer: Observer, *, past: bool = True) -> Callable[[], None]:
        """Call `observer` with every event, those `past` already first. Returns how to stop it."""
        with self.lock:
            self._observers.append(observer)
            for event in tuple(self.backlog) if past else ():
                if observer in self._observers:
                    self._show(observer, event)

        def stop() -> None:
            with self.lock:
                if observer in self._observers:
                    self._observers.remove(observer)

        return stop

    def tell(self, event: Event) -> None:
        """Number an event and show it to whoever watches."""
        with self.lock:
            if self.has_ended:
                return
            kind = type(event)
            if kind is RunEnded:
                self.has_ended = True
            self._numbers += 1
            stamp(event, self._numbers, self._clock())
            self.backlog.add(event)
            if kind in SIGNS:
                self.stalls.see(event)
            if self._observers:
                for observer in tuple(self._observers):
                    self._show(observer, event)

    def _show(self, observer: Observer, event: Event) -> None:
        with self._beside():
            try:
                observer(event)
            except Exception:
                log.exception("an observer of thread %r failed and is left out", self.thread)
                if observer in self._observers:
                    self._observers.remove(observer)
