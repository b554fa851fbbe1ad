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
from nbagent.engine.returns import read_return, to_failure
from nbagent.engine.snapshot import MISSING, freeze, frozen_dict, isolate
from nbagent.engine.subgraphs import Suspended


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
    # A restart goes on counting; when all attempts were used, a person's resume gives new ones.
    limit = allowed if tried < allowed else tried + allowed

    common: dict[str, Any] = {
        "thread": bench.lease.thread,
        "step": checkpoint.step + 1,
        "node": node.name,
        "task": task.id,
    }

    def tell(kind: type[NodeEvent], **facts: Any) -> None:
        bench.tell(kind(**common, **facts))

    inside = context.TaskContext(
        **common,
        anchor=checkpoint.anchor,
        attempt=attempt,
        journal=work.journal.get(task.id, {}),
        schema=program.schema,
        edited=checkpoint.id != checkpoint.anchor,
        emit=lambda value: tell(NodeEmitted, value=freeze(value)),
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

    def retried(error: BaseException, wait: float) -> None:
        failure, now = to_failure(error), bench.clock()
        failed = replace(
            record,
            status="failed",
            attempt=inside.attempt,
            failure=failure,
            ended=now,
            resume_at=now + wait,
        )
        bench.store.put_tasks(bench.lease, [failed])
        tell(NodeRetried, failure=failure, wait=wait, attempt=inside.attempt)

    first = 0.0
    tell(NodeStarted, attempt=attempt)
    if before is not None and before.resume_at is not None and before.failure is not None:
        first = before.resume_at - bench.clock()
        if first > 0:
            tell(NodeRetried, failure=before.failure, wait=first, attempt=tried)
            if node.rate_limit is not None:
                node.rate_limit.hold(before.resume_at)
    around = policies.Surroundings(
        executor=bench.executor,
        clock=bench.clock,
        limit=limit,
        retried=retried,
        delayed=lambda wait: tell(NodeDelayed, wait=wait),
        sleep=bench.sleep,
        first=first,
    )

    update: Mapping[str, Any] = {}
    goto: tuple[Any, ...] = ()
    cause: BaseException | None = None
    remembered: tuple[Mapping[str, Any], tuple[Any, ...]] | None = None
    token = context.enter(inside)
    try:
        is_sent = task.input is not MISSING
        argument = isolate(task.input) if is_sent else program.schema.view(checkpoint.values)
        inputs: Any = None
        if node.cache is not None:
            inputs = _inputs(node.cache, task.input if is_sent else checkpoint.values, argument)
            found = bench.store.recall(node.name, node.fingerprint, inputs, bench.clock())
            remembered = None if found is None else (frozen_dict(found[0]), tuple(found[1]))
        if remembered is not None:
            update, goto = remembered
        else:
            returned = await policies.call(node, argument, inside, around)
            update, goto = read_return(program, node, returned)
            if node.cache is not None:
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
    finally:
        context.leave(token)

    if inside.asked is not None and inside.asked_entry is not None:
        # Also when the node swallowed the interrupt or raised something over it: it has asked.
        bench.store.put_journal(bench.lease, [inside.asked_entry])
        tell(NodeWaiting, question=inside.asked)
        return Suspended([inside.asked])
    record = replace(record, update=update, goto=goto, attempt=inside.attempt, ended=bench.clock())
    if cause is not None:
        return fail(checkpoint, record, cause, bench), cause
    event = NodeFinished(
        **common,
        update=update,
        duration=record.ended - record.started,
        attempt=inside.attempt,
        is_cached=remembered is not None,
    )
    return Finished(record, event)


def _inputs(cache: Cache, values: Any, argument: Any) -> Any:
    """What a cached node's result depends on."""
    if cache.key is None:
        return values
    if callable(cache.key):
        return freeze(cache.key(argument))
    names = (cache.key,) if isinstance(cache.key, str) else cache.key
    return freeze({name: values.get(name) for name in names})


def _remember(node: Node, inputs: Any, result: Any, bench: Bench) -> None:
    """Keep a result for the next time."""
    assert node.cache is not None
    now = bench.clock()
    until = None if node.cache.ttl is None else now + node.cache.ttl
    bench.store.remember(node.name, node.fingerprint, inputs, freeze(result), now, until)


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
