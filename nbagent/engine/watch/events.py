"""
What happens in a run, as facts that nobody changes; whoever watches is an `Observer`. (R36, R37)

Rule 1: the engine calls observers, it never imports one.
Rule 2: an observer is called on the engine's event loop, in order, and must return quickly;
        what it raises is reported once and never reaches the run.
Rule 3: `number` counts 1, 2, 3 … within a run; `at` is Unix seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Protocol

from nbagent.engine.model.checkpoint import Checkpoint, Failure, Question, Status
from nbagent.engine.model.fact import fact, keyword_fact


@keyword_fact
class Event:
    """Common to all: the thread, the super-step under way (from 1), the order and the time."""

    thread: str
    step: int
    number: int = 0
    at: float = 0.0


@keyword_fact
class NodeEvent(Event):
    """Of one task: its node, and its id in the super-step."""

    node: str
    task: str


@keyword_fact
class RunStarted(Event):
    """A run took the thread; `checkpoint` is where it starts or goes on.

    `notice` is what a person should know before: a damaged checkpoint that was passed over,
    nodes whose code has changed.
    """

    graph: str
    checkpoint: Checkpoint
    notice: str = ""


@keyword_fact
class StepPlanned(Event):
    """`tasks` (task id -> node) will run in this super-step; `finished` of them already have."""

    tasks: Mapping[str, str]
    finished: frozenset[str] = frozenset()


@keyword_fact
class NodeStarted(NodeEvent):
    attempt: int = 1


@keyword_fact
class NodeEmitted(NodeEvent):
    """`value` was given to `emit` inside the node, in its attempt `attempt`."""

    value: Any
    attempt: int = 1


@keyword_fact
class NodeEffect(NodeEvent):
    """An effect of the node is "open" (begun), "done", or "void" (it did not happen)."""

    effect: str
    status: str


@keyword_fact
class NodeStep(NodeEvent):
    """A step of a durable function is "done", or "kept": it was done in an earlier attempt."""

    name: str
    status: str
    duration: float = 0.0


@keyword_fact
class NodeProgress(NodeEvent):
    """Of the items of a loop, `done` are done; `total` is None where that is not known."""

    name: str
    done: int
    total: int | None = None


@keyword_fact
class NodePrinted(NodeEvent):
    """Whole lines that the node wrote to "stdout" or "stderr", or logged ("log")."""

    stream: str
    text: str


@keyword_fact
class NodeStalled(NodeEvent):
    """The node has emitted and printed nothing for `seconds`, longer than `usual`."""

    seconds: float
    usual: float


@keyword_fact
class NodeFinished(NodeEvent):
    """`update` is what the node wrote, frozen; `duration` seconds; stored before this is told.

    `is_cached`: the result is an earlier one, and the node was not called.
    """

    update: Mapping[str, Any]
    duration: float
    attempt: int = 1
    is_cached: bool = False


@keyword_fact
class NodeWroteNothing(NodeEvent):
    """The node has returned None, leads nowhere and has done nothing that is kept: perhaps its
    `return` was forgotten. It is told once a run."""


@keyword_fact
class NodeFailed(NodeEvent):
    failure: Failure
    duration: float
    attempt: int = 1


@keyword_fact
class NodeRetried(NodeEvent):
    """Attempt `attempt` failed; the next begins in `wait` seconds."""

    failure: Failure
    wait: float
    attempt: int


@keyword_fact
class NodeDelayed(NodeEvent):
    """The node waits `wait` seconds for a rate limit that it shares."""

    wait: float


@keyword_fact
class NodeWaiting(NodeEvent):
    """The node asked a question and ended; nothing of it stays alive."""

    question: Question


@keyword_fact
class NodeCancelled(NodeEvent):
    """The node was stopped before it ended; it will run again at resume."""


@keyword_fact
class NodeBlocking(NodeEvent):
    """An `async def` node has held the event loop for `seconds`, at the line `where`."""

    seconds: float
    where: str


@keyword_fact
class BudgetSpent(Event):
    """Of the budget of the thread, or of one `node` in it: name -> (spent, allowed)."""

    node: str
    figures: Mapping[str, tuple[float, float]]


@keyword_fact
class StepReconciled(Event):
    """The writes were merged: field -> (before, after); before is MISSING at a first write."""

    changes: Mapping[str, tuple[Any, Any]]


@keyword_fact
class Checkpointed(Event):
    """`checkpoint` is stored; `took` edges (source, target) led to what runs next."""

    checkpoint: Checkpoint
    took: tuple[tuple[str, str], ...] = ()


@keyword_fact
class StoreAwaited(Event):
    """What is done waits for the store, which cannot be written now, and is tried again: `reason`
    says why. "" when it has been written."""

    reason: str


@keyword_fact
class RunEnded(Event):
    """The run let the thread go. `next` are the nodes that a resume would run."""

    status: Status
    next: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()
    error: str = ""


@keyword_fact
class SubgraphEvent(NodeEvent):
    """`event` happened in the graph that this node runs, in a thread of its own."""

    event: Event


@fact
class Missed(Event):
    """Here `count` items are gone for this reader of a stream, which came late or was too slow.

    thread, step  of what comes next
    places        how many of them, by the nodes that lead to their graph and by the stream's mode
    """

    count: int
    thread: str = field(default="", compare=False, kw_only=True)
    step: int = field(default=0, compare=False, kw_only=True)
    number: int = field(default=0, compare=False, kw_only=True)
    at: float = field(default=0.0, compare=False, kw_only=True)
    places: Mapping[tuple[tuple[str, ...], str], int] = field(
        default_factory=dict, compare=False, kw_only=True, repr=False
    )


EventsMissed = Missed
"""Its name in earlier versions."""


def stamp(event: Event, number: int, at: float) -> None:
    """Give a new event, which nobody else has seen, its number and its time."""
    event.number, event.at = number, at  # type: ignore[misc]


class Observer(Protocol):
    """Anything that can be called with an event."""

    def __call__(self, event: Event) -> None: ...
