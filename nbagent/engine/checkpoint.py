"""
What a thread is when nothing runs: its checkpoints, finished tasks, open questions and owner.

Rule 1: a checkpoint is complete. With the graph, it is all that a new process needs to go on.
Rule 2: a checkpoint's content depends on the graph and the nodes' results, never on timing:
        times, process ids and random numbers are kept beside it, not in it.
Rule 3: whoever writes holds a lease. A write under a lease that somebody else has taken over
        raises `ThreadBusy` and changes nothing.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from nbagent.engine.facts import fact
from nbagent.engine.spans import Span
from nbagent.errors import StoreError

Kind = Literal["input", "step", "edit", "fork"]
Status = Literal["running", "paused", "waiting", "failed", "done", "stopped"]
TaskStatus = Literal["done", "waiting", "failed"]


@fact
class Checkpoint:
    """The settled state of a thread between two super-steps. (R20, R21, R22)

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
    """The outcome of one task of the super-step under way, stored when the task ends. (W1)

    update    what it wrote, state field -> frozen value, in the order that the node gave
    goto      where `Command(goto=)` sends it, as control-channel content
    started, ended   Unix seconds, kept beside the content
    resume_at        Unix seconds before which a failed one is not to be tried again (W14)
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
        return f"{self.task}:{self.position}"


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that runs a thread. `token` is unique to one process's lifetime."""

    token: str
    host: str
    pid: int
    started: str
    label: str


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write to a thread until `epoch` is raised by somebody else. (W4)"""

    thread: str
    owner: Owner
    epoch: int


@dataclass(frozen=True, slots=True)
class ThreadInfo:
    """A thread's line in the list.

    status    as stored; a `running` thread whose owner is dead or whose lease has run out is
              reported as `stopped`
    checkpoint, step   of the latest checkpoint; 0 and 0 when there is none yet
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
    error: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_nested(self) -> bool:
        """True for a thread under its parent's: a subgraph's, or one that it was escalated to."""
        return self.parent is not None and self.id.startswith(f"{self.parent}/")


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
    valid checkpoint (W8). `moved` are the fields that are not what the checkpoint held, because
    the state class has changed since and a migration made them anew, or has them no more (R47).
    """

    checkpoint: Checkpoint
    tasks: tuple[TaskRecord, ...] = ()
    journal: tuple[JournalEntry, ...] = ()
    notice: str = ""
    moved: tuple[str, ...] = ()


@runtime_checkable
class CheckpointStore(Protocol):
    """Where threads live. Methods are synchronous, thread-safe, and durable when they return.

    Values in what a store returns are frozen (`snapshot.freeze`). Every method may raise
    `StoreError`; those that take a lease raise `ThreadBusy` when it is no longer valid.
    """

    url: str

    def acquire(
        self,
        thread: str,
        owner: Owner,
        *,
        graph: str = "",
        create: bool = False,
        take_over: bool = False,
        parent: str | None = None,
    ) -> Lease:
        """Take the thread for `owner` and mark it `running`.

        create: make the thread if it is not there; else `UnknownThread`.
        take_over: take it even from a live owner, whose next write then fails.
        Free at once are threads that nobody holds, that this very owner token holds, whose
        owner's process is dead on this host, and those whose lease has expired. Otherwise
        `ThreadBusy`.
        """
        ...

    def renew(self, lease: Lease) -> None:
        """Say that the owner lives; extends the lease."""
        ...

    def release(self, lease: Lease, status: Status, *, error: str = "") -> None:
        """Give the thread back with its new status."""
        ...

    def commit(
        self,
        lease: Lease,
        checkpoint: Checkpoint,
        records: Iterable[TaskRecord] = (),
        *,
        at: float | None = None,
    ) -> None:
        """Store a checkpoint as the thread's latest, with `records` not yet put, all or nothing.

        `at` is when it was made, in Unix seconds, where that is not now: it is a copy.
        `CodecError` (with the field) when a value does not come back equal.
        """
        ...

    def put_tasks(self, lease: Lease, records: Iterable[TaskRecord]) -> None:
        """Store tasks' outcomes in one transaction; a later one of a task replaces it.

        `CodecError` when a value does not come back equal: none of them is stored then.
        """
        ...

    def put_journal(self, lease: Lease, entries: Iterable[JournalEntry]) -> None:
        """Store journal entries in one transaction; same anchor, task and position replace."""
        ...

    def latest(self, thread: str) -> Loaded | None:
        """The newest valid checkpoint with the work on its anchor; None when there is none.

        O(1) in the length of the history. (R23)  `UnknownThread` if there is no such thread.
        """
        ...

    def load(self, thread: str, checkpoint: int) -> Loaded:
        """One checkpoint of the history, with the tasks and journal of its anchor."""
        ...

    def thread(self, thread: str) -> ThreadInfo:
        """One thread's line. `UnknownThread` if there is none."""
        ...

    def threads(self) -> list[ThreadInfo]:
        """All threads, newest first."""
        ...

    def history(self, thread: str) -> list[CheckpointInfo]:
        """All checkpoints of a thread in the order of writing, without values. (R24)"""
        ...

    def recall(
        self, node: str, fingerprint: str, inputs: Any, now: float
    ) -> tuple[Any, ...] | list[Any] | None:
        """What `remember` was given for equal arguments, if it is good at `now`; else None.

        `CodecError` when the inputs cannot be compared.
        """
        ...

    def remember(
        self, node: str, fingerprint: str, inputs: Any, result: Any, now: float, until: float | None
    ) -> None:
        """Keep a node's result for all threads, until a Unix time or for ever."""
        ...

    def put_spans(self, spans: Iterable[Span]) -> None:
        """Keep spans with their threads, in any order; no lease is needed."""
        ...

    def outcomes(self, thread: str) -> list[TaskRecord]:
        """The records of all tasks of a thread, without what they wrote, by when they began."""
        ...

    def spans(self, thread: str) -> list[Span]:
        """The spans of a thread, by when they began."""
        ...

    def prune(self, lease: Lease, keep: Collection[int]) -> int:
        """Throw away all checkpoints but the latest and those in `keep`; how many those were.

        What only they needed goes with them. One whose parent has gone has none.
        """
        ...

    def delete(self, lease: Lease) -> None:
        """Throw the whole thread away, and the lease with it."""
        ...

    def vacuum(self) -> None:
        """Give the space of what was thrown away back to the disk."""
        ...

    def sizes(self) -> list[SizeInfo]:
        """What each field of each thread takes, by thread, the largest first."""
        ...

    def close(self) -> None:
        """Free the file or connection. Calling it twice is fine."""
        ...


_openers: dict[str, Callable[[str], CheckpointStore]] = {}


def register_store(scheme: str, opener: Callable[[str], CheckpointStore]) -> None:
    """Make `open_store("SCHEME:…")` call `opener` with the whole URL."""
    _openers[scheme] = opener


def open_store(url: str) -> CheckpointStore:
    """Open the store that `url` names, e.g. `sqlite:///agents.db` or `memory://`."""
    scheme = url.partition(":")[0]
    opener = _openers.get(scheme)
    if opener is None or ":" not in url:
        known = ", ".join(sorted(f"{name}://" for name in _openers)) or "none"
        raise StoreError(f"no store for {url!r}: a store's URL starts with one of {known}")
    return opener(url)


_shared: dict[str, CheckpointStore] = {}
_default: list[str | CheckpointStore] = ["sqlite:///nbagent.db"]


def use_store(store: str | CheckpointStore) -> CheckpointStore:
    """Make `store` (a URL or an open store) the one that graphs use unless they name another."""
    found = resolve_store(store)
    _default[0] = found
    return found


def resolve_store(store: str | CheckpointStore | None) -> CheckpointStore:
    """An open store for a URL (opened once a process), for itself, or for None the default."""
    if store is None:
        store = _default[0]
    if not isinstance(store, str):
        return store
    # A relative path means the folder that is current now, not the one at a later call.
    key = f"{os.getpid()} {os.getcwd()} {store}"
    if key not in _shared:
        _shared[key] = open_store(store)
        atexit.register(_shared[key].close)
    return _shared[key]


_declarers: list[Callable[[Any], None]] = []


def on_declared(callback: Callable[[Any], None]) -> None:
    """Call `callback` with every annotation that a state declares."""
    _declarers.append(callback)


def declare_types(annotation: Any) -> None:
    """Say that values of this annotation may be stored, so that a store knows their types."""
    for callback in _declarers:
        callback(annotation)
