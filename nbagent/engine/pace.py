"""
How long nodes usually take, so that one which takes far longer in silence is noticed. (R39)

Rule 1: a sign of life is whatever a node tells: it began, emitted, printed, is tried again.
Rule 2: what `node(stall=)` says counts; else three times the longest of its last calls in this
        process, ten seconds at least, once there were three of them.
Rule 3: a stall is told once for each silence, long before any timeout: nothing is stopped by it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from nbagent.engine import events as ev
from nbagent.engine.program import Program

LEAST = 10.0  # seconds
TIMES = 3.0
CALLS = 3  # that must have been before anything is usual
_KEPT = 20

_lock = threading.Lock()
_calls: dict[tuple[str, str], deque[float]] = {}


@dataclass(slots=True)
class _Silence:
    node: str
    step: int
    since: float
    told: bool = False


class Pace:
    """The tasks of one run that are under way, and when each last gave a sign of life."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._open: dict[str, _Silence] = {}

    def see(self, event: ev.Event) -> None:
        """Take note of an event of the run."""
        kind = type(event)
        if kind is ev.NodeStarted:
            assert isinstance(event, ev.NodeStarted)
            self._open[event.task] = _Silence(event.node, event.step, event.at)
        elif kind in _SIGNS:
            assert isinstance(event, ev.NodeEvent)
            silence = self._open.get(event.task)
            if silence is not None:
                wait = event.wait if isinstance(event, (ev.NodeRetried, ev.NodeDelayed)) else 0.0
                silence.since, silence.told = event.at + wait, False
        elif kind in _ENDS:
            assert isinstance(event, ev.NodeEvent)
            self._open.pop(event.task, None)
            if isinstance(event, ev.NodeFinished) and not event.is_cached:
                with _lock:
                    key = (self._program.name, event.node)
                    _calls.setdefault(key, deque(maxlen=_KEPT)).append(event.duration)

    def usual(self, node: str) -> float | None:
        """Seconds after which the node's silence is a stall; None where nothing can be said."""
        said = self._program.nodes[node].stall
        if said is not None:
            return said
        with _lock:
            calls = tuple(_calls.get((self._program.name, node), ()))
        return max(LEAST, TIMES * max(calls)) if len(calls) >= CALLS else None

    def stalls(self, now: float) -> Iterator[tuple[str, _Silence, float]]:
        """Task, silence and what was usual, of each stall that has not been told yet."""
        for task, silence in tuple(self._open.items()):
            usual = None if silence.told else self.usual(silence.node)
            if usual is not None and now - silence.since > usual:
                silence.told = True
                yield task, silence, usual


_SIGNS = frozenset(
    (ev.NodeEmitted, ev.NodePrinted, ev.NodeRetried, ev.NodeDelayed, ev.SubgraphEvent)
)
_ENDS = frozenset((ev.NodeFinished, ev.NodeFailed, ev.NodeWaiting, ev.NodeCancelled))
