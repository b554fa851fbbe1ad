"""
One task: a node is called once for this super-step, and what came of it is a record.

Rule 1: a record is durable before anybody is told of it.
Rule 2: a task ends done, failed, or suspended (a question, a paused subgraph or wait); cancelling
        it leaves nothing behind but what its policies have recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from nbagent.engine import context, policies
from nbagent.engine.checkpoint import (
    Checkpoint,
    CheckpointStore,
    JournalEntry,
    Lease,
    Question,
    TaskRecord,
)
from nbagent.engine.events import (
    Event,
    NodeCancelled,
    NodeDelayed,
    NodeEmitted,
    NodeEvent,
    NodeFailed,
    NodeFinished,
    NodeRetried,
    NodeStarted,
    NodeWaiting,
)
from nbagent.engine.executor import NodeExecutor
from nbagent.engine.interrupts import KIND, Interrupted, to_question
from nbagent.engine.program import Cache, Node, Program
from nbagent.engine.returns import check_field, read_return, to_failure
from nbagent.engine.secrets import strike_out
from nbagent.engine.snapshot import MISSING, freeze, frozen_dict, isolate
from nbagent.engine.subgraphs import Suspended
from nbagent.errors import StateError


@dataclass(frozen=True, slots=True)
class Task:
    """One execution of one node in this super-step; `input` is MISSING when it reads the state."""

    id: str
    node: str
    input: Any = MISSING


@dataclass(frozen=True, slots=True)
class Work:
    """What has been done already of the super-step that a checkpoint's plan asks for."""

    done: Mapping[str, TaskRecord] = field(default_factory=dict)
    failed: Mapping[str, TaskRecord] = field(default_factory=dict)
    journal: Mapping[str, Mapping[int, JournalEntry]] = field(default_factory=dict)

    def questions(self) -> tuple[Question, ...]:
        """The open questions, by task and position."""
        entries = (entry for calls in self.journal.values() for entry in calls.values())
        return tuple(map(to_question, filter(is_open_question, entries)))


@dataclass(frozen=True, slots=True)
class Bench:
    """What execute() needs besides the program: where to run, to store and to tell."""

    executor: NodeExecutor
    store: CheckpointStore
    lease: Lease
    tell: Callable[[Event], None]
    clock: Callable[[], float]
    nest: context.Nest | None = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Finished(NamedTuple):
    """A record that is to be stored, and the event to tell when it is."""

    record: TaskRecord
    event: NodeFinished


async def perform(
    program: Program, checkpoint: Checkpoint, task: Task, work: Work, bench: Bench
) -> Finished | Suspended | tuple[TaskRecord, BaseException]:
    """Its record to be stored, or what it waits for, or its failure with the exception."""
    node = program.nodes[task.node]
    before = work.failed.get(task.id)
    tried = before.attempt if before else 0
    attempt, allowed = tried + 1, node.retry.attempts if node.retry else 1
    # A restart goes on counting; when all attempts were used, a resume gives as many again.
    limit = (tried // allowed + 1) * allowed

    common: dict[str, Any] = {
        "thread": bench.lease.thread,
        "step": checkpoint.step + 1,
        "node": node.name,
        "task": task.id,
    }

    def tell(kind: type[NodeEvent], **facts: Any) -> None:
        bench.tell(kind(**common, **facts))

    first_context = context.TaskContext(
        **common,
        anchor=checkpoint.anchor,
        attempt=attempt,
        journal=work.journal.get(task.id, {}),
        schema=program.schema,
        edited=checkpoint.id != checkpoint.anchor,
        emit=lambda value: tell(NodeEmitted, value=_told(value)),
        keep=lambda entry: bench.store.put_journal(bench.lease, [entry]),
        clock=bench.clock,
        sent=task.input is not MISSING,
        nest=bench.nest,
    )
    record = TaskRecord(
        anchor=checkpoint.anchor,
        task=task.id,
        node=node.name,
        status="done",
        attempt=attempt,
        started=bench.clock(),
    )

    attempts = context.Attempts(first_context)

    def failed(error: BaseException, resume_at: float | None, is_told: bool) -> TaskRecord:
        """The record of an attempt that is not the last, stored."""
        kept = replace(
            record,
            status="failed",
            attempt=attempts.now.attempt,
            failure=to_failure(error),
            ended=bench.clock(),
            resume_at=resume_at,
            is_told=is_told,
        )
        bench.store.put_tasks(bench.lease, [kept])
        return kept

    def retried(error: BaseException, wait: float, is_told: bool) -> None:
        kept = failed(error, bench.clock() + wait, is_told)
        tell(NodeRetried, failure=kept.failure, wait=wait, attempt=kept.attempt)

    first = 0.0
    tell(NodeStarted, attempt=attempt)
    if before is not None and before.resume_at is not None and before.failure is not None:
        first = before.resume_at - bench.clock()
        if first > 0:
            if node.rate_limit is not None and before.is_told:
                node.rate_limit.hold(before.resume_at)
            tell(NodeRetried, failure=before.failure, wait=first, attempt=tried)
    around = policies.Surroundings(
        executor=bench.executor,
        clock=bench.clock,
        limit=limit,
        retried=retried,
        given_up=lambda error: failed(error, None, False),
        delayed=lambda wait: tell(NodeDelayed, wait=wait),
        sleep=bench.sleep,
        first=first,
    )

    update: Mapping[str, Any] = {}
    goto: tuple[Any, ...] = ()
    cause: BaseException | None = None
    remembered: tuple[Mapping[str, Any], tuple[Any, ...]] | None = None
    try:
        with attempts:
            is_sent = task.input is not MISSING
            argument = isolate(task.input) if is_sent else program.schema.view(checkpoint.values)
            inputs: Any = None
            # What a person or an effect said in this task is not in the inputs.
            if node.cache is not None and not first_context.journal:
                inputs = _inputs(node.cache, task.input if is_sent else checkpoint.values, argument)
                found = bench.store.recall(node.name, node.captured, inputs, bench.clock())
                remembered = None if found is None else _fitting(program, found)
            if remembered is not None:
                update, goto = remembered
            else:
                returned, is_own = (
                    await policies.call(node, argument, attempts, around)
                    if node.has_policies
                    else (await bench.executor.call(node.function, node.is_async, argument), True)
                )
                update, goto = read_return(program, node, returned)
                if node.cache is not None and is_own and not first_context.journal:
                    _remember(node, inputs, [update, list(goto)], bench)
    except Interrupted:
        pass
    except Suspended as suspended:
        for question in suspended.questions:
            tell(NodeWaiting, question=question)
        if not suspended.questions:
            tell(NodeCancelled)
        return suspended
    except asyncio.CancelledError as error:
        if is_cancelled():
            tell(NodeCancelled)
            raise
        cause = error  # the node's own, not ours
    except BaseException as error:
        cause = error

    if attempts.now.asked is not None:
        # Also when the node swallowed the interrupt or raised something over it: it has asked.
        bench.store.put_journal(bench.lease, [attempts.now.asked])
        asked = to_question(attempts.now.asked)
        tell(NodeWaiting, question=asked)
        return Suspended([asked])
    ended = bench.clock()
    record = replace(record, update=update, goto=goto, attempt=attempts.now.attempt, ended=ended)
    if cause is not None:
        return fail(checkpoint, record, cause, bench), cause
    event = NodeFinished(
        **common,
        update=update,
        duration=record.ended - record.started,
        attempt=record.attempt,
        is_cached=remembered is not None,
    )
    return Finished(record, event)


def _told(value: Any) -> Any:
    """What a node emits, as everybody may see it."""
    return strike_out(value) if isinstance(value, str) else freeze(value)


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
        for name, value in update.items():
            check_field(program, name, None)
            program.schema.check_write(name, value, None)
    except StateError:
        return None
    return frozen_dict(update), tuple(goto)


def _remember(node: Node, inputs: Any, result: Any, bench: Bench) -> None:
    """Keep a result for the next time."""
    assert node.cache is not None
    now = bench.clock()
    until = None if node.cache.ttl is None else now + node.cache.ttl
    bench.store.remember(node.name, node.captured, inputs, freeze(result), now, until)


def fail(
    checkpoint: Checkpoint, record: TaskRecord, cause: BaseException, bench: Bench
) -> TaskRecord:
    """Store and tell that a task failed; the record of it."""
    failure = to_failure(cause)
    failed = replace(record, status="failed", update={}, goto=(), failure=failure)
    bench.store.put_tasks(bench.lease, [failed])
    bench.tell(
        NodeFailed(
            thread=bench.lease.thread,
            step=checkpoint.step + 1,
            node=record.node,
            task=record.task,
            failure=failure,
            duration=record.ended - record.started,
            attempt=record.attempt,
        )
    )
    return failed


def is_cancelled() -> bool:
    """True when somebody asked the task that runs this to stop."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def is_open_question(entry: JournalEntry) -> bool:
    """True for a question that nobody has answered."""
    return entry.kind == KIND and entry.status == "open"
