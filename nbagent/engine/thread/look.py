"""
A thread as its store has it: what can be seen without running it.

Rule 1: every look reads the store; of its own the object only knows which questions it has shown.
Rule 2: what another version of the state class wrote is shown as this one has it. (R47)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Self

from nbagent.engine import ports
from nbagent.engine.model.checkpoint import (
    Checkpoint,
    CheckpointInfo,
    Loaded,
    Question,
    Status,
    ThreadInfo,
)
from nbagent.engine.model.ids import nested_thread
from nbagent.engine.model.program import Program
from nbagent.engine.model.secrets import strike_out
from nbagent.engine.model.several import each_write
from nbagent.engine.model.span import Span
from nbagent.engine.model.values import freeze, seal, thaw
from nbagent.engine.model.work import work_of
from nbagent.engine.node.executor import AsyncioExecutor, NodeExecutor
from nbagent.engine.step.plan import plan
from nbagent.engine.store.line import left
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.engine.store.reports import diff_table, history_table, trace_table
from nbagent.engine.thread import nested
from nbagent.engine.thread.answers import moved_fields
from nbagent.errors import StateError, ThreadError, UnknownThread

_executor = AsyncioExecutor()


class StoredThread:
    """What every `Thread` can do without its lease."""

    def __init__(
        self,
        id: str,
        *,
        program: Program,
        store: CheckpointStore,
        executor: NodeExecutor | None = None,
        clock: Callable[[], float] = time.time,
        within: tuple[str, str] | None = None,
    ) -> None:
        """within: the thread that it is nested in, and where, if it is."""
        self.id = id
        self.within = within
        self.seen: dict[str, Question] | None = None  # nothing has been looked at
        self.program = program
        self.store = store
        self.executor = executor or _executor
        self.clock = clock

    def __repr__(self) -> str:
        return f"<Thread {self.id!r} of graph {self.program.name!r}>"

    # -------------------------------------------------------------------------------- looking

    @property
    def info(self) -> ThreadInfo:
        """Its line in the list of threads. `UnknownThread` if the store has none."""
        info, own = self.store.thread(self.id), left(self.store, self.id)
        if own is not None and info.owner is not None and own.holds(info.owner):
            return replace(info, status=own.status, owner=None)  # as it is about to be stored
        return info

    @property
    def status(self) -> Status:
        """running · paused · waiting · failed · done · stopped"""
        return self.info.status

    @property
    def state(self) -> dict[str, Any]:
        """A private copy of the latest checkpoint's values."""
        values: dict[str, Any] = thaw(self.latest().checkpoint.values)
        return values

    @property
    def checkpoint_id(self) -> int:
        """The latest checkpoint's id; what `edit(expect=)` compares with."""
        return self.latest().checkpoint.id

    @property
    def next(self) -> tuple[str, ...]:
        """The nodes that a resume would run or ask, in order; empty when it is done."""
        loaded = self.latest()
        done = work_of(loaded).done
        tasks = plan(self.program, loaded.checkpoint)
        return tuple(dict.fromkeys(task.node for task in tasks if task.id not in done))

    @property
    def questions(self) -> tuple[Question, ...]:
        """The questions that wait for an answer, those of subgraphs and called graphs included.

        An answer without a question's id is for one that was looked at: here, in what a run of
        this handle gave back, or where the thread is shown.
        """
        found = self._questions(self.latest())
        self.see(found)
        return found

    def see(self, questions: Iterable[Question]) -> None:
        """Take note that whoever holds this handle has been shown these questions."""
        self.seen = (self.seen or {}) | {question.id: question for question in questions}

    @property
    def unmerged(self) -> dict[str, list[tuple[str, Any]]]:
        """What the finished tasks of the super-step under way wrote, which is in no checkpoint
        yet: field -> (node, value), in the order that they finished."""
        found: dict[str, list[tuple[str, Any]]] = {}
        done = work_of(self.latest()).done.values()
        for record in sorted(done, key=lambda record: record.ended):
            for name, value in record.update.items():
                found.setdefault(name, []).extend(
                    (record.node, thaw(one)) for one in each_write(value)
                )
        return found

    def _questions(self, loaded: Loaded) -> tuple[Question, ...]:
        return tuple(nested.questions(self.store, self.store.under(self.id), self.id, loaded))

    @property
    def resume_at(self) -> float | None:
        """Unix seconds at which there is something to do: a wait for a server is over, or a
        question's deadline has passed and it says what then. None: nothing to wait for."""
        under = self.store.under(self.id)
        return min(nested.times(self.store, under, self.id, self.latest()), default=None)

    def nested(self, place: str, program: Program) -> Self:
        """The thread that is nested at a place in this one: of the subgraph that a task runs, or
        of the graph that helps it. An id that somebody else has is left to them."""
        id = nested_thread(self.id, place)
        while True:
            thread = self.sibling(id, program, within=(self.id, place))
            info = thread.stored()
            if info is None or (info.parent, info.place) == thread.within:
                return thread
            id += "~"

    def latest(self) -> Loaded:
        """The latest checkpoint and the work under way on it. `UnknownThread` if there is none."""
        loaded = self.store.latest(self.id)
        if loaded is None:
            raise UnknownThread(
                f"thread {self.id!r} has no checkpoint yet: start it with an input", thread=self.id
            )
        return self._adopted(loaded)

    def _adopted(self, loaded: Loaded) -> Loaded:
        """The checkpoint as one of the state class that the graph has now."""
        checkpoint, schema = loaded.checkpoint, self.program.schema
        if checkpoint.schema == schema.fingerprint:
            return loaded
        try:
            values, said = schema.adopt(checkpoint.values)
        except StateError as error:
            raise StateError(
                f"thread {self.id!r} was written with another state class, and {error}. Nothing "
                "was changed: give the class what the thread holds, or Graph(…, migrate=function)",
                field=error.field,
                path=error.path,
                errors=error.errors,
            ) from error
        kept = checkpoint.values
        frozen = seal({n: v if v is kept.get(n) else freeze(v) for n, v in values.items()})
        adopted = replace(checkpoint, values=frozen, schema=schema.fingerprint)
        moved = moved_fields(self.program, checkpoint.values, adopted.values)
        notice = " ".join(filter(None, [loaded.notice, said]))
        return replace(loaded, checkpoint=adopted, notice=notice, moved=moved)

    def history(self) -> Any:
        """All checkpoints, one a row, without their values.

        Column `failed`: the attempts that failed in the super-step after it, each with its error
        and what was done about it; they stay when the thread has gone on.
        """
        return history_table(self.store, self.id)

    def diff(self, a: int | None = None, b: int | None = None) -> Any:
        """What differs between checkpoints `a` and `b`: a row a field, with both values.

        By default, what the latest checkpoint changed.
        """
        after = self.latest() if b is None else self.store.load(self.id, b)
        if a is None:
            a = after.checkpoint.parent
        earlier = {} if a is None else self.store.load(self.id, a).checkpoint.values
        return diff_table(earlier, after.checkpoint.values)

    def trace(self) -> Any:
        """Where its time went: a row for each run, task, failed attempt and span, by its start.

        Columns: thread, step, node, task, attempt, kind ("run", "node", "attempt", "span"), name,
        start, duration (seconds), status, tokens, cost, error, then (what was done about it), id,
        parent. Threads of subgraphs are in it.
        """
        return trace_table(self.store, self.id)

    def plot(self, ax: Any = None) -> Any:
        """Its trace as a waterfall, with matplotlib; the Axes."""
        return ports.draw_trace(self.trace(), ax)

    def annotate(self, text: str, *, checkpoint: int | None = None) -> None:
        """Write a note beside a checkpoint (by default the latest); a later one replaces it.

        It needs no lease: a thread that runs can be annotated, too.
        """
        at = self.checkpoint_id if checkpoint is None else self.load(checkpoint).checkpoint.id
        self._remark("note", str(at), strike_out(text))

    def rename(self, title: str) -> None:
        """Give it a title for people; its id, which is its key, stays."""
        self.store.thread(self.id)
        self._remark("title", self.id, strike_out(title))

    @property
    def notes(self) -> dict[int, str]:
        """What `annotate` wrote: checkpoint id -> text."""
        found = (span for span in self.store.spans(self.id) if span.kind == "note")
        notes = {int(span.name): str(span.attributes["text"]) for span in found}
        return {checkpoint: text for checkpoint, text in notes.items() if text}

    @property
    def title(self) -> str:
        """What `rename` wrote; "" without one."""
        titles = [span for span in self.store.spans(self.id) if span.kind == "title"]
        return str(titles[-1].attributes["text"]) if titles else ""

    @property
    def origin(self) -> int | None:
        """The checkpoint of its parent that it was forked from; None for one that is no fork."""
        found = [span.name for span in self.store.spans(self.id) if span.kind == "origin"]
        return int(found[0]) if found else None

    @property
    def digest(self) -> str:
        """Of the input that a batch began it with; "" for a thread that no batch began."""
        found = [span for span in self.store.spans(self.id) if span.kind == "input"]
        return str(found[-1].attributes["text"]) if found else ""

    def _remark(self, kind: str, name: str, text: str, **more: str) -> None:
        now = self.clock()
        said = {"text": text, **more}
        span = Span(self.id, kind, name, started=now, ended=now, attributes=said)
        self.store.put_spans([span])

    # --------------------------------------------------------------------------------- inside

    def sibling(
        self,
        id: str,
        program: Program | None = None,
        *,
        within: tuple[str, str] | None = None,
    ) -> Self:
        """A thread of the same store; of the same graph, unless another one is given."""
        return type(self)(
            id,
            program=program or self.program,
            store=self.store,
            executor=self.executor,
            clock=self.clock,
            within=within,
        )

    def stored(self) -> ThreadInfo | None:
        """Its line in the list of threads; None if the store has none."""
        try:
            return self.store.thread(self.id)
        except UnknownThread:
            return None

    def point(self, step: int | None = None, checkpoint: int | None = None) -> Checkpoint:
        """A checkpoint of its past, by id or super-step, as the state class is now."""
        if checkpoint is not None:
            return self.load(checkpoint).checkpoint
        latest = self.latest().checkpoint
        if step is None or step == latest.step:
            return latest
        at = next((info.id for info in reversed(self.line(latest.id)) if info.step == step), None)
        if at is None:
            raise ThreadError(
                f"thread {self.id!r} has no super-step {step}: it is at {latest.step}",
                thread=self.id,
            )
        return self.load(at).checkpoint

    def load(self, checkpoint: int) -> Loaded:
        """A checkpoint of its past and the work that was done on it, as the state class is now."""
        return self._adopted(self.store.load(self.id, checkpoint))

    def line(self, to: int | None = None) -> list[CheckpointInfo]:
        """The history from the first checkpoint to this one (by default the latest), oldest
        first, without other branches."""
        by_id = {info.id: info for info in self.store.history(self.id)}
        at = to if to is not None else max(by_id, default=None)
        found = []
        while at is not None and at in by_id:
            found.append(by_id[at])
            at = by_id[at].parent
        return found[::-1]
