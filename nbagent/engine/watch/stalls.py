"""
How long nodes usually take, so that one which takes far longer in silence is noticed. (R39)

Rule 1: a sign of life is whatever a node tells: it began, emitted, printed, is tried again.
Rule 2: what `node(stall=)` says counts; else three times the longest of its last calls in this
        process, ten seconds at least, once there were three of them.
Rule 3: a stall is told once for each silence, long before any timeout: nothing is stopped by it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from nbagent.engine.model.program import Program
from nbagent.engine.watch import events as ev

LEAST = 10.0  # seconds
TIMES = 3.0
CALLS = 3  # that must have been before anything is usual
_KEPT = 20

performing: dict[asyncio.Task[Any], tuple[str, Callable[..., None]]] = {}
"""asyncio's task -> the node that it performs, and how that tells of itself: `tell(kind, **facts)`.
So somebody on another thread can name the node that does not give the loop back."""

_lock = threading.Lock()
_calls: dict[tuple[str, str], deque[float]] = {}


def _forget() -> None:
    """A forked child performs nothing yet, and its parent may have held the lock."""
    global _lock
    _lock = threading.Lock()
    performing.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class Stalls:
    """The tasks of one run that are under way, and when each last gave a sign of life."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._signs: dict[str, ev.NodeEvent] = {}  # of each task that is under way, the last one
        self._told: dict[str, ev.NodeEvent] = {}  # after which sign a stall has been told
        self._took: dict[str, deque[float]] = {}  # node -> seconds of its last calls

    def see(self, event: Any) -> None:
        """Take note of one of `SIGNS`."""
        kind = type(event)
        if kind is ev.NodeStarted:
            self._signs[event.task] = event
        elif kind in _ENDS:
            self._signs.pop(event.task, None)
            if self._told:
                self._told.pop(event.task, None)
            if kind is ev.NodeFinished and not event.is_cached:
                took = self._took.get(event.node)
                if took is None:
                    took = self._took[event.node] = self._calls_of(event.node)
                took.append(event.duration)
        elif event.task in self._signs:
            self._signs[event.task] = event

    def _calls_of(self, node: str) -> deque[float]:
        with _lock:
            return _calls.setdefault((self._program.name, node), deque(maxlen=_KEPT))

    def usual(self, node: str) -> float | None:
        """Seconds after which the node's silence is a stall; None where nothing can be said."""
        said = self._program.nodes[node].policy.stall
        if said is not None:
            return said
        calls = self._calls_of(node).copy()
        return max(LEAST, TIMES * max(calls)) if len(calls) >= CALLS else None

    def since(self, now: float) -> Iterator[tuple[ev.NodeEvent, float, float]]:
        """The last sign of life, the seconds since and what was usual, of each stall that has not
        been told yet."""
        for task, sign in tuple(self._signs.items()):
            if self._told.get(task) is sign:
                continue
            usual = self.usual(sign.node)
            wait = sign.wait if isinstance(sign, (ev.NodeRetried, ev.NodeDelayed)) else 0.0
            silence = now - sign.at - wait
            if usual is not None and silence > usual:
                self._told[task] = sign
                yield sign, silence, usual


_ENDS = frozenset((ev.NodeFinished, ev.NodeFailed, ev.NodeWaiting, ev.NodeCancelled))
SIGNS: frozenset[type[ev.Event]] = _ENDS | {
    *(ev.NodeStarted, ev.NodeEmitted, ev.NodePrinted, ev.NodeRetried, ev.NodeDelayed),
    *(ev.SubgraphEvent, ev.NodeStep, ev.NodeProgress),
}
"""The events that say of a task that it lives, or has ended."""
