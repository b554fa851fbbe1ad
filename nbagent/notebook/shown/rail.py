"""
The line of checkpoints that a view draws over its graph, and the three kinds of time.

Rule 1: the last `NAMED` checkpoints have a name and a mark; of a longer line only what is special
        (an edit, another input) is told, by its place.
Rule 2: working, waiting for a person and backing off are never added up. (The view's rule 6)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from nbagent.engine.model.checkpoint import CheckpointInfo
from nbagent.engine.model.ids import node_of
from nbagent.engine.watch import events as ev

NAMED = 60  # checkpoints of a line that are drawn one by one
MARKS = 200  # special ones that a longer line tells
LONGEST = 60  # characters of a name

Mark = list[Any]


class Rail:
    """The marks of one line, in its order: `[checkpoint, kind, name]`."""

    def __init__(self) -> None:
        self._marks: list[Mark] = []
        self._special: list[list[Any]] = []
        self._count = 0

    def begin(self, line: Sequence[CheckpointInfo]) -> None:
        """Draw this line from now on."""
        self._marks, self._special, self._count = [], [], 0
        for info in line:
            self.add(info.id, info.kind, info.ran)

    def add(self, id: int, kind: str, ran: Iterable[str]) -> None:
        """The next checkpoint of the line."""
        name = kind if kind != "step" else named(ran)
        if kind != "step" and self._count:
            self._special = [*self._special, [self._count, kind]][-MARKS:]
        self._count += 1
        if self._count <= NAMED:
            self._marks = [*self._marks, [id, kind, name]]

    def told(self) -> dict[str, Any]:
        """What the page gets: `rail` is empty where the line is longer than what is drawn."""
        is_drawn = self._count <= NAMED
        return {"rail": self._marks if is_drawn else [], "marks": self._special}


def named(ran: Iterable[str]) -> str:
    """The nodes of these tasks as a person reads them: "web ×4, papers"."""
    counts: dict[str, int] = {}
    for task in ran:
        counts[node_of(task)] = counts.get(node_of(task), 0) + 1
    names = [name if count == 1 else f"{name} ×{count}" for name, count in counts.items()]
    text = ", ".join(names) or "step"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


class Clock:
    """How long a thread has worked, and waited for a person; it reads the events' own times."""

    def __init__(self) -> None:
        self.working = 0.0
        self.waited = 0.0
        self._busy: set[str] = set()
        self._since = 0.0
        self._asked = 0.0

    def take(self, event: ev.Event) -> bool:
        """Take in an event; True where what is told is another from now on."""
        if isinstance(event, ev.NodeStarted):
            was_idle = not self._busy
            self._busy.add(event.task)
            if was_idle:
                self._since = event.at
            return was_idle
        if isinstance(event, _REST):
            return self._rest(event.task, event.at)
        if isinstance(event, ev.RunStarted):
            return self._go_on(event.at)
        if isinstance(event, ev.RunEnded):
            self._busy.intersection_update(())
            self._close(event.at)
            self._asked = event.at if event.status == "waiting" else 0.0
            return True
        return False

    def _rest(self, task: str, at: float) -> bool:
        self._busy.discard(task)
        if self._busy or not self._since:
            return False
        self._close(at)
        return True

    def _close(self, at: float) -> None:
        if self._since:
            self.working += max(0.0, at - self._since)
        self._since = 0.0

    def _go_on(self, at: float) -> bool:
        if not self._asked:
            return False
        self.waited += max(0.0, at - self._asked)
        self._asked = 0.0
        return True

    def told(self) -> dict[str, float]:
        """`busy_since` is 0 where nothing works at this moment."""
        return {
            "working": round(self.working, 3), "waited": round(self.waited, 3),
            "busy_since": self._since,
        }  # fmt: skip


_REST = (
    ev.NodeFinished, ev.NodeFailed, ev.NodeRetried, ev.NodeDelayed, ev.NodeWaiting,
    ev.NodeCancelled,
)  # fmt: skip


def spent(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """`working`, `waited` and `backing` seconds of a thread's trace, each on its own.

    Working is the time in which at least one attempt ran; waited lies between a run that ended
    with a question and the next; backing off is what lies between two attempts of one task.
    """
    attempts: list[tuple[float, float]] = []
    tasks: dict[Any, list[tuple[float, float]]] = {}
    runs = []
    for row in rows:
        stretch = (row["start"], row["start"] + max(0.0, row["duration"]))
        if row["kind"] == "run":
            runs.append((*stretch, row["thread"], row.get("status")))
        elif row["kind"] in ("attempt", "node"):
            attempts.append(stretch)
            tasks.setdefault((row["thread"], row["task"], row["step"]), []).append(stretch)
    asked = waits(runs)
    backing = 0.0
    for stretches in tasks.values():
        for (_, end), (start, _) in pairwise(sorted(stretches)):
            by_person = any(start >= to and end <= begun for begun, to in asked)
            backing += 0.0 if by_person else max(0.0, start - end)
    return {
        "working": sum(end - start for start, end in union(attempts)),
        "waited": sum(to - begun for begun, to in asked),
        "backing": backing,
    }


def waits(runs: Iterable[tuple[float, float, str, Any]]) -> list[tuple[float, float]]:
    """When a person was waited for: from a run that ended with a question to the next run.

    runs  start, end, thread, status; only the first one's thread counts, the outermost
    """
    found = sorted(runs)
    own = [run for run in found if run[2] == found[0][2]]
    return [
        (end, start)
        for (_, end, _, status), (start, _, _, _) in pairwise(own)
        if status == "waiting" and start > end
    ]


def union(stretches: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Stretches of time, none of which touches another."""
    found: list[tuple[float, float]] = []
    for start, end in sorted(stretches):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found
