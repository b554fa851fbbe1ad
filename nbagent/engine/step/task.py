"""
One task: a node is called once for this super-step, and what came of it is a record.

Rule 1: a record is durable before anybody is told of it.
Rule 2: a task ends done, failed, or suspended (a question, a paused subgraph or wait); cancelling
        it leaves nothing behind but what its policies have recorded.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from nbagent.engine.model.checkpoint import (
    Checkpoint,
    Failure,
    JournalEntry,
    Question,
    TaskRecord,
    TaskStatus,
)
from nbagent.engine.model.fact import fact, keyword_fact
from nbagent.engine.model.policy import Cache
from nbagent.engine.model.program import Node, Program
from nbagent.engine.model.secrets import strike_out_of
from nbagent.engine.model.span import Span
from nbagent.engine.model.values import MISSING, freeze, frozen_dict, isolate
from nbagent.engine.model.work import Task, Work, to_question
from nbagent.engine.node import context
from nbagent.engine.node.calls import end_calls
from nbagent.engine.node.executor import NodeExecutor
from nbagent.engine.node.info import with_task
from nbagent.engine.node.interrupts import Interrupted
from nbagent.engine.node.output import Output
from nbagent.engine.node.slots import seated
from nbagent.engine.node.subgraph import HandedOver, Suspended
from nbagent.engine.step import attempts as policies
from nbagent.engine.step.calls import Who, finish, is_cancelled
from nbagent.engine.step.held import Held
from nbagent.engine.step.updates import check_update, read_return, to_failure
from nbagent.engine.store.writer import Writer
from nbagent.engine.watch.events import (
    Event,
    NodeCancelled,
    NodeDelayed,
    NodeEffect,
    NodeEmitted,
    NodeEvent,
    NodeFailed,
    NodeFinished,
    NodePrinted,
    NodeProgress,
    NodeRetried,
    NodeStarted,
    NodeStep,
    NodeWaiting,
    NodeWroteNothing,
)
from nbagent.errors import StateError

E = TypeVar("E", bound=BaseException)
_first_word = threading.RLock()


@keyword_fact
class Bench:
    """What a run gives to all its super-steps: where to run, to store and to tell.

    writer    what is written goes through it, and what is read of its store
    finish    commits the last checkpoint, and gives the thread back with it
    sleep     waits; a pause may end it
    empty     the nodes that are known to have written nothing, which is told once
    is_nested  the graph is run by a node of another one
    held      the values of fields that are never stored, where the graph has such
    services  what the nodes' code is given of it
    """

    writer: Writer
    finish: Callable[[Checkpoint, Sequence[TaskRecord]], Awaitable[None]]
    executor: NodeExecutor
    tell: Callable[[Event], None]
    sleep: Callable[[float], Awaitable[None]]
    services: context.Services
    is_nested: bool = False
    held: Held | None = None
    empty: set[str]

    @property
    def thread(self) -> str:
        """The thread's id."""
        return self.writer.lease.thread


@fact
class Ended:
    """What has come of a task, as the status of its record says.

    done     the record is still to be stored, and told when it is: see `tell_finished`
    failed   the record is stored and told; `cause` is the exception
    waiting  there is nothing to store: it goes on when its `questions` are answered; where there
             are none, at resume

    is_empty  the node returned None, and has done nothing that is kept
    """

    record: TaskRecord
    cause: BaseException | None = None
    questions: tuple[Question, ...] = ()
    is_cached: bool = False
    is_empty: bool = False


async def perform(
    program: Program, checkpoint: Checkpoint, task: Task, work: Work, bench: Bench
) -> Ended:
    """Run the task to its end, whatever that is."""
    one = _Performance(program, checkpoint, task, work, bench)
    cause: BaseException | None = None
    try:
        try:
            with one.attempts:
                try:
                    await one.call()
                finally:
                    one.keep_output()
        except Interrupted:
            pass
        except asyncio.CancelledError as error:
            if is_cancelled():
                await end_calls(one.attempts.now)
                one.tell(NodeCancelled)
                raise
            cause = error  # the node's own, not ours
        except BaseException as error:
            cause = error

        # Also when the node swallowed its end, or raised something over it: it has asked.
        now = one.attempts.now
        suspended = _within(cause, Suspended) if cause is not None else None
        if now.under_way:
            await now.landed()
        if now.calls is not None:
            suspended = await end_calls(now) or suspended
        await bench.writer.flush()
        if now.asked:
            await bench.writer.put_journal(now.asked)
        if now.asked or suspended is not None:
            own = map(to_question, now.asked)
            questions = (*own, *(suspended.questions if suspended is not None else ()))
            for question in questions:
                one.tell(NodeWaiting, question=question)
            if not questions:
                one.tell(NodeCancelled)
            return Ended(one.record("waiting"), questions=questions)
        if one.before is not None:
            one.keep_earlier(one.before)
        if cause is not None:
            record = one.record("failed", failure=to_failure(cause))
            return Ended(await fail(checkpoint, record, bench), cause)
        record = one.record("done", update=one.update, goto=one.goto)
        if bench.services.meters is not None:
            bench.services.meters.took(task.node, record.ended - record.started)
        return Ended(record, is_cached=one.is_cached, is_empty=one.is_empty)
    finally:
        one.let_go()


class _Performance:
    """A task while it is performed: what it has written, and how its attempts are told and kept.

    It is the outlet of the node's code.
    """

    def __init__(
        self, program: Program, checkpoint: Checkpoint, task: Task, work: Work, bench: Bench
    ) -> None:
        self.program = program
        self.checkpoint = checkpoint
        self.task = task
        self.node = program.nodes[task.node]
        if task.timeout is not None:
            self.node = timed(self.node, task.timeout)
        self.bench = bench
        self.before = work.failed.get(task.id)
        self.started = bench.services.clock()
        self.update: Mapping[str, Any] = {}
        self.goto: tuple[Any, ...] = ()
        self.is_cached = False
        self.is_empty = False
        self.heard = 0.0  # when it last gave a sign of life, by the monotonic clock
        self.output: Output | None = None  # made by the first word that the node prints
        self.tried = self.before.attempt if self.before else 0
        self.place = context.Place(
            bench.thread, checkpoint.step + 1, task.node, task.id, checkpoint.anchor
        )
        first = context.TaskContext(
            self.place,
            bench.services,
            self,
            work.journal.get(task.id, {}),
            self.tried + 1,
            edited=checkpoint.id if checkpoint.id != checkpoint.anchor else 0,
            sent=task.input is not MISSING,
            called=work.calls.get(task.id, ()) if work.calls else (),
        )
        self.attempts = context.Attempts(first)

    def who(self) -> Who:
        """The node, and how it tells of itself."""
        return self.node.name, self.tell

    # -------------------------------------------------------------------------- what is told

    def tell(self, kind: type[NodeEvent], **facts: Any) -> None:
        at = self.place
        self.heard = time.monotonic()
        self.bench.tell(kind(thread=at.thread, step=at.step, node=at.node, task=at.task, **facts))

    def hear(self) -> None:
        self.heard = time.monotonic()

    def tell_step(self, name: str, status: str, duration: float) -> None:
        self.tell(NodeStep, name=name, status=status, duration=duration)

    def tell_progress(self, name: str, done: int, total: int | None) -> None:
        self.tell(NodeProgress, name=name, done=done, total=total)

    def keep_all(self, entries: Sequence[JournalEntry]) -> None:
        self.bench.writer.store.put_journal(self.bench.writer.lease, entries)

    def drop(self, positions: range) -> None:
        drop = getattr(self.bench.writer.store, "drop_journal", None)
        if drop is not None:
            drop(self.bench.writer.lease, self.place.anchor, self.place.task, positions)

    def write(self, stream: str, text: str | bytes) -> None:
        self.heard = time.monotonic()
        with _first_word:
            output = self.output = self.output or Output(self._printed, self.bench.services.echo)
        output.write(stream, text)

    def _printed(self, stream: str, text: str) -> None:
        self.tell(NodePrinted, stream=stream, text=text)

    def emit(self, value: Any) -> None:
        self.tell(
            NodeEmitted, value=freeze(strike_out_of(value)), attempt=self.attempts.now.attempt
        )

    def when_ready(self, write: Callable[[], None], goes_on: Callable[[], object]) -> None:
        self.bench.writer.now(write, goes_on)

    def soon(self, write: Callable[[], None]) -> None:
        self.bench.writer.soon(write)

    def keep(self, entry: JournalEntry) -> None:
        store, lease = self.bench.writer.store, self.bench.writer.lease
        store.put_journal(lease, [entry])
        if entry.kind == "effect":
            self.tell(NodeEffect, effect=entry.key, status=entry.status)

    def keep_output(self) -> None:
        """Tell the rest of what it printed, and keep it all with the thread."""
        text = self.output.end() if self.output is not None else ""
        if text:
            facts = self.place.facts(self.attempts.now.attempt)
            span = Span(**facts, kind="output", name="output")
            span.started, span.ended = self.started, self.bench.services.clock()
            span.set(text=text)
            self.bench.services.recorder.add(span)

    def record(self, status: TaskStatus, **facts: Any) -> TaskRecord:
        """The task's record as it stands."""
        return TaskRecord(
            anchor=self.checkpoint.anchor,
            task=self.task.id,
            node=self.node.name,
            status=status,
            attempt=self.attempts.now.attempt,
            started=self.started,
            ended=self.bench.services.clock(),
            **facts,
        )

    def let_go(self) -> None:
        """Forget what refers back to this, so that all goes at once and not by and by: the
        garbage collector has far less to do, and the next task finds warm memory."""
        del self.attempts
        self.output = None

    # ----------------------------------------------------------------------- what is called

    async def call(self) -> None:
        """Call the node under its policies, or find what it returned for equal inputs."""
        node, task, values = self.node, self.task, self.checkpoint.values
        self.bench.tell(
            NodeStarted(
                thread=self.bench.thread,
                step=self.checkpoint.step + 1,
                node=task.node,
                task=task.id,
                attempt=self.tried + 1,
            )
        )
        is_sent = task.input is not MISSING
        argument = self._read()
        journal, inputs = self.attempts.now.journal, None
        if self.bench.services.meters is not None:
            self.bench.services.meters.check(self.attempts.now)
        # What a person or an effect said in this task is not in the inputs.
        if node.policy.cache is not None and not journal:
            inputs = _inputs(node.policy.cache, task.input if is_sent else values, argument)
            if await self._find_cached(inputs):
                return
        try:
            if node.name in self.program.guarded or task.timeout is not None:
                around = self._surroundings()
                returned, is_own, argument = await policies.call(
                    node, argument, self.attempts, around
                )
            else:
                function = node.function if not node.takes_task else with_task(node.function)
                is_graph = node.program is not None
                if is_graph or self.bench.services.slots is None:
                    called = self.bench.executor.call(function, node.is_async, argument)
                    returned = await finish(called, self.who(), is_ours=is_graph)
                else:
                    async with seated(self.attempts.now):
                        called = self.bench.executor.call(function, node.is_async, argument)
                        returned = await finish(called, self.who())
                is_own = True
        except BaseException as error:
            if (handed := _within(error, HandedOver)) is None:
                raise
            returned, is_own = handed.commands, True
        self.update, self.goto = read_return(self.program, node, returned, argument, values)
        if self.bench.held is not None:
            rest = self.bench.held.keep(task.id, self.update)
            now = self.attempts.now
            now.has_acted = now.has_acted or len(rest) < len(self.update)
            self.update = rest
        if self.goto and not self.bench.is_nested:
            _check_no_parent(self.program, node, self.goto)
        if notes := self.attempts.now.remembered:
            self.goto += (("memory", tuple([note.content() for note in notes])),)
        if returned is None and node.program is None:
            self.is_empty = not self._has_acted()
        if node.policy.cache is not None and is_own and not self._has_acted():
            await _remember(node, inputs, [self.update, list(self.goto)], self.bench)

    def _has_acted(self) -> bool:
        """True when its result came of more than its inputs."""
        now = self.attempts.now
        return bool(now.journal or now.asked or now.has_acted or now.calls is not None)

    def _read(self) -> Any:
        """What one call of the node reads, and nobody else."""
        task = self.task
        if task.input is not MISSING:
            return isolate(task.input)
        view = self.program.schema.view(self.checkpoint.values)
        return view if self.bench.held is None else self.bench.held.lend(view)

    async def _find_cached(self, inputs: Any) -> bool:
        node, store, now = self.node, self.bench.writer.store, self.bench.services.clock()
        found = await self.bench.writer.write(
            lambda: store.recall(node.name, node.captured, inputs, now)
        )
        fitting = None if found is None else _fitting(self.program, found)
        if fitting is None:
            return False
        self.update, self.goto = fitting
        self.is_cached = True
        return True

    def _surroundings(self) -> policies.Surroundings:
        """What the node's policies need; a wait that a restart broke off is taken up again."""
        before, limit = self.before, self.node.policy.rate_limit
        first = 0.0
        if before is not None and before.resume_at is not None and before.failure is not None:
            first = before.resume_at - self.bench.services.clock()
            if first > 0:
                if limit is not None and before.is_told:
                    limit.hold(before.resume_at)
                self.tell(NodeRetried, failure=before.failure, wait=first, attempt=self.tried)
        return policies.Surroundings(
            executor=self.bench.executor,
            clock=self.bench.services.clock,
            tried=self.tried,
            retried=self._retried,
            given_up=lambda error: self._failed(error, "a person is asked"),
            mended=lambda error, what: self._keep_attempt(to_failure(error), what),
            delayed=lambda wait: self.tell(NodeDelayed, wait=wait),
            sleep=self.bench.sleep,
            who=self.who(),
            read=self._read,
            heard=lambda: self.heard,
            first=first,
        )

    async def _retried(self, error: BaseException, wait: float, is_told: bool) -> None:
        at = self.bench.services.clock() + wait
        kept = await self._failed(error, "tried again", resume_at=at, is_told=is_told)
        self.tell(NodeRetried, failure=kept.failure, wait=wait, attempt=kept.attempt)

    async def _failed(self, error: BaseException, then: str, **facts: Any) -> TaskRecord:
        """The record of an attempt that is not the last, stored."""
        failure = to_failure(error)
        kept = self.record("failed", failure=failure, **facts)
        await self.bench.writer.put_tasks([kept])
        self._keep_attempt(failure, then)
        return kept

    def keep_earlier(self, before: TaskRecord) -> None:
        """Keep what the task failed with in an earlier run: its record is about to be replaced."""
        if before.failure is None or before.resume_at is not None:
            return  # one that was to be tried again is kept already
        if not policies.is_with_a_person(self.attempts.now.journal):
            ran = (before.attempt, before.started, before.ended)
            self._keep_attempt(before.failure, "resumed", ran)

    def _keep_attempt(
        self, failure: Failure, then: str, ran: tuple[int, float, float] | None = None
    ) -> None:
        """Keep an attempt that failed with the thread, and what was done about it.

        ran  its number, when it began and when it ended; by default the one that has just ended
        """
        now = self.attempts.now.attempt, self.attempts.began, self.bench.services.clock()
        attempt, started, ended = ran or now
        said = {"error.type": failure.type, "error.message": failure.message, "then": then}
        self.bench.services.recorder.add(
            Span(
                **self.place.facts(attempt),
                kind="attempt",
                name=self.node.name,
                started=started,
                ended=ended,
                status="error",
                attributes=said,
            )
        )


def timed(node: Node, seconds: float) -> Node:
    """The node, with another time for each attempt."""
    return replace(node, policy=replace(node.policy, timeout=seconds))


def _check_no_parent(program: Program, node: Node, goto: tuple[Any, ...]) -> None:
    """`StateError` for a hand-over where no graph runs this one."""
    if any(one[0] == "parent" for one in goto):
        raise StateError(
            f"node {node.name!r} returned Command(graph=PARENT), and graph {program.name!r} runs "
            "here by itself: make it a node of another graph, or leave graph= out",
            node=node.name,
        )


def _within(error: BaseException, kind: type[E]) -> E | None:
    """What ends a node without being an error, also where somebody's TaskGroup has wrapped it."""
    if isinstance(error, kind):
        return error
    for one in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        if (found := _within(one, kind)) is not None:
            return found
    return None


def _inputs(cache: Cache, values: Any, argument: Any) -> Any:
    """What a cached node's result depends on."""
    if cache.key is None:
        return values
    if callable(cache.key):
        return freeze(cache.key(argument))
    names = (cache.key,) if isinstance(cache.key, str) else cache.key
    if not isinstance(values, Mapping):  # what a Send gave it
        return freeze({name: getattr(argument, name) for name in names})
    return freeze({name: values[name] for name in names if name in values})


def _fitting(program: Program, found: Any) -> tuple[Mapping[str, Any], tuple[Any, ...]] | None:
    """A remembered result, where the state is still such that it may be written."""
    update, goto = found
    try:
        check_update(program, update, None)
    except StateError:
        return None
    return frozen_dict(update), tuple(goto)


async def _remember(node: Node, inputs: Any, result: Any, bench: Bench) -> None:
    """Keep a result for the next time."""
    assert node.policy.cache is not None
    now = bench.services.clock()
    until = None if node.policy.cache.ttl is None else now + node.policy.cache.ttl
    store, kept = bench.writer.store, freeze(result)
    await bench.writer.write(
        lambda: store.remember(node.name, node.captured, inputs, kept, now, until)
    )


async def fail(checkpoint: Checkpoint, record: TaskRecord, bench: Bench) -> TaskRecord:
    """Store and tell that a task failed; the record of it."""
    assert record.failure is not None
    await bench.writer.put_tasks([record])
    bench.tell(
        NodeFailed(
            thread=bench.thread,
            step=checkpoint.step + 1,
            node=record.node,
            task=record.task,
            failure=record.failure,
            duration=record.ended - record.started,
            attempt=record.attempt,
        )
    )
    return record


def tell_finished(ended: Ended, checkpoint: Checkpoint, bench: Bench) -> None:
    """Tell that a task has finished, now that its record is stored."""
    record = ended.record
    if ended.is_empty and record.node not in bench.empty:
        bench.empty.add(record.node)
        step = checkpoint.step + 1
        bench.tell(
            NodeWroteNothing(thread=bench.thread, step=step, node=record.node, task=record.task)
        )
    bench.tell(
        NodeFinished(
            thread=bench.thread,
            step=checkpoint.step + 1,
            node=record.node,
            task=record.task,
            update=record.update,
            duration=record.ended - record.started,
            attempt=record.attempt,
            is_cached=ended.is_cached,
        )
    )
