"""
What a thread is when nothing runs: its checkpoints, finished tasks, open questions and owner.

Rule 1: a checkpoint is complete. With the graph, it is all that a new process needs to go on.
Rule 2: a checkpoint's content depends on the graph and the nodes' results, never on timing:
        times, process ids and random numbers are kept beside it, not in it.
Rule 3: whoever writes holds a lease. A write under a lease that somebody else has taken over
        raises `ThreadBusy` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nbagent.engine.model.fact import fact
from nbagent.engine.model.ids import call_id

Kind = Literal["input", "step", "edit", "fork"]
Status = Literal["running", "paused", "waiting", "failed", "done", "stopped"]
TaskStatus = Literal["done", "waiting", "failed"]


@fact
class Checkpoint:
    """The settled state of a thread between two super-steps.

    id        1, 2, 3 … in its thread, in the order of writing
    parent    the checkpoint it came from; None for the first
    step      super-steps finished on the way here; the input is step 0
    kind      what made it: the input, a super-step, a person's edit, a fork
    values    state field -> frozen value; a field never written is absent
    control   control channel -> content: what was triggered, who arrived at which join, what
              was sent. Only built-in immutable types and frozen values
    updated   state fields that the last super-step (or edit) changed, sorted
    ran       ids of the tasks that made it, in the order of reconciliation
    anchor    the checkpoint whose planned tasks are under way; an edit keeps its parent's, so
              finished siblings and open questions survive it
    nodes     node -> fingerprint of the code that the graph had when this was written
    schema    fingerprint of the state class that it had then; "" is unknown
    note      a person's reason for an edit
    actor     who made an edit
    """

    id: int
    parent: int | None
    step: int
    kind: Kind
    values: Mapping[str, Any]
    control: Mapping[str, Any]
    updated: tuple[str, ...]
    ran: tuple[str, ...]
    anchor: int
    nodes: Mapping[str, str] = field(default_factory=dict)
    schema: str = ""
    note: str = ""
    actor: str = ""


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """A checkpoint's line in the history: everything but the values. `at` is Unix seconds."""

    id: int
    parent: int | None
    step: int
    kind: Kind
    updated: tuple[str, ...]
    ran: tuple[str, ...]
    at: float
    size: int
    note: str = ""
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """What is kept of an exception: its type's name, its message, its formatted traceback."""

    type: str
    message: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Question:
    """What a node asks a person.

    id        `TASK:POSITION`, the same after any number of restarts (`JournalEntry.call_id`)
    show      state fields that the person should see beside the question
    schema    JSON Schema of the answer; None takes anything
    deadline  Unix seconds, or None
    on_expiry what an unanswered question becomes after its deadline (see `interrupt`)
    thread    the subgraph's thread that asks, whose state `show` names; "" for this one
    """

    id: str
    node: str
    task: str
    question: Any
    show: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    deadline: float | None = None
    on_expiry: Any = None
    thread: str = ""


@fact
class TaskRecord:
    """The outcome of one task of the super-step under way, stored when the task ends.

    update    what it wrote, state field -> frozen value, in the order that the node gave
    goto      where `Command(goto=)` sends it, as control-channel content
    started, ended   Unix seconds, kept beside the content
    resume_at        Unix seconds before which a failed one is not to be tried again
    is_told          a server has asked for that wait, so it holds for all who call it
    """

    anchor: int
    task: str
    node: str
    status: TaskStatus
    update: Mapping[str, Any] = field(default_factory=dict)
    goto: tuple[Any, ...] = ()
    attempt: int = 1
    failure: Failure | None = None
    started: float = 0.0
    ended: float = 0.0
    resume_at: float | None = None
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One call inside a task that must not happen twice: a question, an effect, a cached call.

    position  0, 1, 2 … in the order that the node made its calls
    kind      "interrupt", "effect", "cached" …
    key       what identifies the call: the question's text, the effect's key; compared when
              the node runs again, so that a changed order is noticed
    status    "open" (asked, or begun with unknown outcome), "done", or "void" (it is known that
              nothing happened)
    payload   the question, or the effect's intention
    result    the answer, or the effect's result; only when done
    """

    anchor: int
    task: str
    position: int
    kind: str
    key: str
    status: Literal["open", "done", "void"]
    payload: Any = None
    result: Any = None

    @property
    def call_id(self) -> str:
        """`TASK:POSITION`; of a question, its id."""
        return call_id(self.task, self.position)


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that runs a thread. `token` is unique to one process's lifetime.

    boot, namespace  where its `pid` means something; "" where an earlier version wrote it
    zero             Unix seconds at which its machine's monotonic clock stood at nought, by the
                     wall clock of the moment when it last said that it lives; 0 if unknown
    """

    token: str
    host: str
    pid: int
    started: str
    label: str
    boot: str = ""
    namespace: str = ""
    zero: float = 0.0


@dataclass(frozen=True, slots=True)
class ThreadInfo:
    """A thread's line in the list.

    status    as stored; a `running` thread whose owner is dead or whose lease has run out is
              reported as `stopped`
    checkpoint, step   of the latest checkpoint; 0 and 0 when there is none yet
    parent    the thread that it is nested in, or was forked from
    place     where in its parent it is nested (a task's id, an escalation); "" if it is not
    salt      random text of this thread's making: another one under its id has another
    """

    id: str
    graph: str
    status: Status
    checkpoint: int
    step: int
    created: float
    updated: float
    owner: Owner | None = None
    since: float = 0.0
    parent: str | None = None
    place: str = ""
    salt: str = ""
    error: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_nested(self) -> bool:
        """True for a thread that belongs to its parent: a subgraph's, or one that it was
        escalated to. A fork has a parent and belongs to itself."""
        return bool(self.place)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write to a thread until `epoch` is raised by somebody else.

    salt     the thread's own: see `ThreadInfo`
    before   the thread's line at the moment that the lease was taken; None if it was made then.
             What decides a change is read here or in the store under the lease, never before it
    """

    thread: str
    owner: Owner
    epoch: int
    salt: str = ""
    before: ThreadInfo | None = None


@dataclass(frozen=True, slots=True)
class SizeInfo:
    """What one field of a thread takes in the store, all its versions together.

    field   its name; "(tasks)", "(journal)" and "(checkpoints)" are what is kept beside the fields
    size    bytes
    """

    thread: str
    field: str
    versions: int
    size: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """All that is needed to go on: the latest checkpoint and the work under way on its anchor.

    `notice` is a sentence for the person when the store had to fall back, e.g. to the last
    valid checkpoint. `moved` are the fields that are not what the checkpoint held, because
    the state class has changed since and a migration made them anew, or has them no more.
    """

    checkpoint: Checkpoint
    tasks: tuple[TaskRecord, ...] = ()
    journal: tuple[JournalEntry, ...] = ()
    notice: str = ""
    moved: tuple[str, ...] = ()
