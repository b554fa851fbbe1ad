"""
What stops a run on a super-step's boundary: a pause, a bound, a breakpoint. (R28, W9)

Rule 1: one thing opens a breakpoint: the resume of a thread that has stopped at it. Whatever else
        stops a thread there (a pause, `steps=`, the step limit, a kill), or makes it go on (an
        answer, a wait that is over), leaves it shut.
Rule 2: that is in the thread's journal, beside its questions: "open" when the run has stopped
        there, "done" when somebody has resumed it, "void" when something else came between. It
        belongs to the super-step that was planned there, so a fork stops anew.
Rule 3: "after" a node is before whatever follows it: a kill in between does not open it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from nbagent.engine.model.checkpoint import Checkpoint, JournalEntry, Lease, Loaded, Status
from nbagent.engine.model.ids import PAUSE_CHANNEL, gate_id, node_of
from nbagent.engine.model.program import Program
from nbagent.engine.model.work import Task, Work
from nbagent.engine.step.superstep import Standing
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.errors import StepLimit

KIND = "breakpoint"


class Bounds(Protocol):
    """How far a run goes: see `RunOptions`."""

    @property
    def step_limit(self) -> int: ...

    @property
    def steps(self) -> int | None: ...


class Gate:
    """The boundaries of one run: see `superstep.Gate`."""

    def __init__(
        self,
        program: Program,
        store: CheckpointStore,
        lease: Lease,
        bounds: Bounds,
        is_pausing: Callable[[], bool],
    ) -> None:
        self._breakpoints = program.breakpoints
        self._store = store
        self._lease = lease
        self._bounds = bounds
        self._is_pausing = is_pausing
        self._made = 0
        self.shut: Sequence[JournalEntry] = ()

    def before(self, now: Standing, tasks: Sequence[Task]) -> Status | None:
        """The status to stop with before these tasks run; None lets them."""
        bounds = self._bounds
        if self._is_pausing() or (bounds.steps is not None and self._made >= bounds.steps):
            return "paused"
        if self._made >= bounds.step_limit:
            raise StepLimit(
                f"thread {self._lease.thread!r} made {self._made} super-steps without ending: give "
                "a larger step_limit, or look for a cycle that never ends; resume goes on",
                limit=bounds.step_limit,
            )
        has_any = self._breakpoints or PAUSE_CHANNEL in now.checkpoint.control
        if has_any and (shut := list(self._shut(now.checkpoint, now.work, tasks))):
            self.shut = shut
            return "paused"
        self._made += 1
        return None

    def left(self) -> int:
        """How many super-steps the run may make after the one under way."""
        return max(0, self._bounds.step_limit - self._made)

    def _places(self, checkpoint: Checkpoint) -> Mapping[str, frozenset[str]]:
        """The breakpoints of the graph, and those of this run that it has not passed."""
        own = checkpoint.control.get(PAUSE_CHANNEL)
        if not own:
            return self._breakpoints
        places = {place: set(nodes) for place, nodes in self._breakpoints.items()}
        for place, node, _ in own:
            places.setdefault(place, set()).add(node)
        return {place: frozenset(nodes) for place, nodes in places.items()}

    def _shut(
        self, checkpoint: Checkpoint, work: Work, tasks: Iterable[Task]
    ) -> Iterator[JournalEntry]:
        """The breakpoints at this place that nobody has opened."""
        anchor, places = checkpoint.anchor, self._places(checkpoint)
        here = {"before": [task.node for task in tasks if task.id not in work.done]}
        if "after" in places:
            ran = checkpoint.ran
            if checkpoint.id != anchor:  # a person's edit stands between: it ran nothing itself
                ran = self._store.load(self._lease.thread, anchor).checkpoint.ran
            here["after"] = list(map(node_of, ran))
        for place, nodes in here.items():
            for node in dict.fromkeys(nodes):
                if node not in places.get(place, ()):
                    continue
                gate = gate_id(anchor, place, node)
                known = work.journal.get(gate, {}).get(0)
                if known is None or known.status != "done":
                    yield JournalEntry(anchor, gate, 0, KIND, f"{place} {node}", "open")


def resumed(loaded: Loaded, opens: bool) -> list[JournalEntry]:
    """The journal's entries for the breakpoints that a thread stopped at, now that it goes on."""
    return [
        replace(entry, status="done" if opens else "void")
        for entry in loaded.journal
        if entry.kind == KIND and entry.status == "open"
    ]
