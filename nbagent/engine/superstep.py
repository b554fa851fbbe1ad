"""
One super-step, top to bottom: plan -> execute -> reconcile -> checkpoint.

Rule 1: only this file decides what runs next and what a thread's values become.
Rule 2: plan() and reconcile() are pure; execute() is the only place that nodes run. The user's
        reducers and branch functions are called in reconcile() and must be pure, too.
Rule 3: every task reads the state as the checkpoint has it; no task sees another's writes.
Rule 4: writes apply in the order of the plan, which depends on the graph and never on timing.
Rule 5: a finished task's result is stored when it finishes, in one transaction with those that
        finish at the same moment; the last ones' with the checkpoint.
        So a failure, a question or a kill loses nothing that was paid for.
Rule 6: a super-step commits when every task of it has finished. Until then the thread stays at
        the checkpoint before it.

What control channels a checkpoint holds (the fields of the state are in `values`):

    to:NODE          NODE is to run: an edge, a branch or a command led to it
    send:NODE        a tuple of inputs: NODE is to run once for each
    join:A+B>NODE    a tuple of those of A and B that have arrived
    end:             some path has come to END
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nbagent.engine.channels import Barrier, Write
from nbagent.engine.checkpoint import Checkpoint, Question, TaskRecord
from nbagent.engine.facts import fact
from nbagent.engine.interrupts import to_question
from nbagent.engine.names import nearest
from nbagent.engine.program import START, Program
from nbagent.engine.returns import check_field, check_update, to_failure
from nbagent.engine.routes import Onward
from nbagent.engine.snapshot import (
    MISSING,
    check_untouched,
    equal,
    freeze,
    frozen_dict,
    replaced,
    seal,
)
from nbagent.engine.subgraphs import Suspended
from nbagent.engine.task import (
    Bench,
    Finished,
    Task,
    Work,
    fail,
    is_cancelled,
    is_open_question,
    perform,
)
from nbagent.errors import CodecError, GraphChanged, GraphError, NbagentError


@dataclass(slots=True)
class Executed:
    """What has come of a super-step's tasks: complete when `execute` returns it.

    records    task id -> what it wrote, of all that have finished
    unstored   what finished last: the checkpoint's commit stores it, then it is told
    is_paused  a subgraph has paused
    causes     task id -> the exception of a failed one
    """

    records: dict[str, TaskRecord]
    unstored: list[Finished] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    is_paused: bool = False
    failures: list[TaskRecord] = field(default_factory=list)
    causes: dict[str, BaseException] = field(default_factory=dict)

    def is_complete(self) -> bool:
        """True when every task that has ended has finished."""
        return not (self.questions or self.failures or self.is_paused)


@fact
class Reconciled:
    """The next checkpoint, what changed (field -> before, after) and which edges led on."""

    checkpoint: Checkpoint
    changes: Mapping[str, tuple[Any, Any]]
    took: tuple[tuple[str, str], ...]


# ---------------------------------------------------------------------------------------- plan


def plan(program: Program, checkpoint: Checkpoint) -> tuple[Task, ...]:
    """The tasks of the next super-step, in the order of reconciliation; none when all is done.

    Deferred nodes wait until nothing else is left. (R12)
    """
    triggered, inputs = _eligible(program, checkpoint)
    names = list(triggered | inputs.keys()) if inputs else list(triggered)
    if len(names) > 1:
        names.sort(key=program.order.__getitem__)
        if not program.deferred.issuperset(names):
            names = [name for name in names if name not in program.deferred]
    tasks: list[Task] = []
    for name in names:
        if name in triggered:
            tasks.append(Task(f"{checkpoint.anchor}:{name}", name))
        for index, value in enumerate(inputs.get(name, ())):
            tasks.append(Task(f"{checkpoint.anchor}:{name}#{index}", name, value))
    return tuple(tasks)


def _eligible(
    program: Program, checkpoint: Checkpoint
) -> tuple[set[str], dict[str, tuple[Any, ...]]]:
    """The nodes that a channel triggers, and those that were sent inputs."""
    triggered: set[str] = set()
    inputs: dict[str, tuple[Any, ...]] = {}
    for channel, content in checkpoint.control.items():
        kind, _, name = channel.partition(":")
        if kind == "end":
            continue
        if kind == "join":
            join = program.joins_by_channel.get(channel)
            if join is None:
                raise _changed(program, name.rpartition(">")[2])
            if Barrier(join.sources).is_full(content):
                triggered.add(join.target)
            continue
        if name not in program.nodes:
            raise _changed(program, name)
        if kind == "to":
            triggered.add(name)
        else:
            inputs[name] = content
    if program.subscribers:
        for name in checkpoint.updated:
            triggered.update(program.subscribers.get(name, ()))
    return triggered, inputs


def check_ended(program: Program, checkpoint: Checkpoint) -> None:
    """`GraphError` when nothing is left to run, no path came to END, and a join still waits."""
    if "end:" in checkpoint.control:
        return
    for channel, arrived in checkpoint.control.items():
        join = program.joins_by_channel.get(channel)
        if join is not None:
            missing = ", ".join(repr(name) for name in join.sources if name not in arrived)
            raise GraphError(
                f"nothing is left to run, and node {join.target!r} still waits for {missing}: "
                "a join needs all of its sources; where one of them is enough, give each an "
                f"edge of its own, as in `{join.sources[0]} >> {join.target}`"
            )


def _changed(program: Program, name: str) -> GraphChanged:
    return GraphChanged(
        f"the thread is to run node {name!r}, which graph {program.name!r} does not have"
        f"{nearest(name, program.nodes)}: define it again under that name, "
        "or fork the thread from an earlier step",
        nodes=[name],
    )


# ------------------------------------------------------------------------------------- execute


async def execute(
    program: Program, checkpoint: Checkpoint, tasks: Sequence[Task], work: Work, bench: Bench
) -> Executed:
    """Run the tasks that have not finished, all at once, each on its own snapshot. (R13, R14)

    A task whose question is still open does not run again. A failed task does not stop its
    siblings, unless the graph says on_error="cancel". Cancelling cancels them all.
    """
    execution = _Execution(program, checkpoint, work, bench)
    ready = execution.ready(tasks)
    try:
        if len(ready) == 1:
            await execution.run(ready[0])
        elif ready:
            await execution.run_all(ready)
        execution.store()
    except BaseException:
        await execution.give_up()
        raise
    result = execution.result
    if len(tasks) > 1 and not result.is_complete():
        order = {task.id: index for index, task in enumerate(tasks)}
        result.questions.sort(key=lambda question: order[question.task])
        result.failures.sort(key=lambda record: order[record.task])
    return result


class _Execution:
    """The tasks of one super-step while they run.

    left     how many have not ended
    running  the siblings, when there are any
    pending  those that have finished in this turn of the loop, to be stored in one transaction
    broken   why what finished could not be stored
    """

    __slots__ = (
        "bench", "broken", "checkpoint", "left", "pending", "program", "result", "running", "work"
    )  # fmt: skip

    def __init__(self, program: Program, checkpoint: Checkpoint, work: Work, bench: Bench) -> None:
        self.program = program
        self.checkpoint = checkpoint
        self.work = work
        self.bench = bench
        self.result = Executed(dict(work.done))
        self.left = 0
        self.running: Sequence[asyncio.Task[None]] = ()
        self.pending: list[Finished] = []
        self.broken: BaseException | None = None

    def ready(self, tasks: Sequence[Task]) -> list[Task]:
        """The tasks that can run: not finished, and without an open question."""
        work, result, ready = self.work, self.result, []
        for task in tasks:
            if task.id in result.records:
                continue
            if calls := work.journal.get(task.id):
                asked = [to_question(e) for e in calls.values() if is_open_question(e)]
                result.questions += asked
                if asked:
                    continue
            ready.append(task)
        self.left = len(ready)
        return ready

    async def run_all(self, ready: Sequence[Task]) -> None:
        """Run siblings until all have ended, or one failed and the graph says to cancel then."""
        running = [asyncio.create_task(self.run(task), name=task.id) for task in ready]
        self.running = running
        over, _ = await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
        for sibling in over:
            if not sibling.cancelled():  # by a failed one, where the graph says so
                sibling.result()
        if self.broken is not None:
            raise self.broken

    async def run(self, task: Task) -> None:
        """Run one task, and see to what has come of it."""
        ended = await perform(self.program, self.checkpoint, task, self.work, self.bench)
        self.left -= 1
        result = self.result
        if isinstance(ended, Finished):
            self.pending.append(ended)
            if self.running and len(self.pending) == 1:
                asyncio.get_running_loop().call_soon(self._store_soon)
        elif isinstance(ended, Suspended):
            result.questions.extend(ended.questions)
            result.is_paused = result.is_paused or not ended.questions
        else:
            result.failures.append(ended[0])
            result.causes[task.id] = ended[1]
            if self.program.on_error == "cancel":
                for sibling in self.running:
                    if sibling is not asyncio.current_task():
                        sibling.cancel()
        if is_cancelled():  # also when the node swallowed it
            raise asyncio.CancelledError

    def store(self) -> None:
        """Store what has finished in one transaction; of the last ones, the checkpoint's. (W1)"""
        batch, result = self.pending, self.result
        if not batch:
            return
        if self.left == 0 and result.is_complete():
            result.unstored += batch
        else:
            batch = keep(batch, result, self.checkpoint, self.bench)
        for one in batch:
            result.records[one.record.task] = one.record
        self.pending = []

    def _store_soon(self) -> None:
        try:
            self.store()
        except BaseException as error:
            self.broken = error
            for sibling in self.running:
                sibling.cancel()

    async def give_up(self) -> None:
        """Stop what still runs; what has finished is kept."""
        for sibling in self.running:
            sibling.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)
        with contextlib.suppress(NbagentError):
            keep([*self.pending, *self.result.unstored], self.result, self.checkpoint, self.bench)


def keep(
    batch: Sequence[Finished], result: Executed, checkpoint: Checkpoint, bench: Bench
) -> list[Finished]:
    """Store records and tell of them; those that could be stored. The others have failed."""
    try:
        if batch:
            bench.store.put_tasks(bench.lease, [one.record for one in batch])
    except CodecError as error:  # what one of them wrote cannot be stored
        if len(batch) > 1:
            return [kept for one in batch for kept in keep([one], result, checkpoint, bench)]
        record = replace(
            batch[0].record, status="failed", update={}, goto=(), failure=to_failure(error)
        )
        result.failures.append(fail(checkpoint, record, bench))
        result.causes[record.task] = error
        return []
    for one in batch:
        bench.tell(one.event)
    return list(batch)


# ----------------------------------------------------------------------------------- reconcile


def reconcile(
    program: Program,
    checkpoint: Checkpoint,
    tasks: Sequence[Task],
    records: Mapping[str, TaskRecord],
    id: int,
) -> Reconciled:
    """Merge all writes in the order of `tasks`, then decide what they lead to. (R16, R17, R18)

    `id` is the next checkpoint's: above all that the store has.

    `ConflictError`, `StateError` from a reducer, or `NodeError` from a branch function: nothing
    has been changed then.
    """
    check_untouched(checkpoint.values)
    writes: dict[str, list[Write]] = {}
    for task in tasks:
        for name, value in records[task.id].update.items():
            writes.setdefault(name, []).append(Write(task.node, task.id, value))
    values, changes = merge(program, checkpoint.values, writes)

    control = _carried_over(program, checkpoint, {task.node for task in tasks})
    onward = Onward(program, values, control)
    for name in dict.fromkeys([task.node for task in tasks]):
        onward.leave(name)
    for task in tasks:
        if goto := records[task.id].goto:
            onward.go(task.node, goto)
    return Reconciled(
        checkpoint=Checkpoint(
            id=id,
            parent=checkpoint.id,
            step=checkpoint.step + 1,
            kind="step",
            values=values,
            control=seal(control),
            updated=tuple(sorted(changes)),
            ran=tuple([task.id for task in tasks]),
            anchor=id,
            nodes=program.fingerprints,
            schema=program.schema.fingerprint,
        ),
        changes=changes,
        took=tuple(onward.took),
    )


def begin(
    program: Program,
    given: Mapping[str, Any],
    previous: Checkpoint | None,
    *,
    checkpoint_id: int = 1,
) -> Reconciled:
    """The checkpoint that an input makes, as if a node called START had written it.

    On a thread that is done, the input is merged into the state that it ended with.
    """
    values: Mapping[str, Any]
    if previous is None:
        values = frozen_dict(program.schema.check_input(given))
        changes = {name: (MISSING, values[name]) for name in program.fields if name in given}
    else:
        check_update(program, given, None)
        writes = {name: [Write(START, START, freeze(value))] for name, value in given.items()}
        values, changes = merge(program, previous.values, writes)
    control: dict[str, Any] = {}
    onward = Onward(program, values, control)
    onward.leave(START)
    return Reconciled(
        checkpoint=Checkpoint(
            id=checkpoint_id,
            parent=previous.id if previous else None,
            step=previous.step if previous else 0,
            kind="input",
            values=values,
            control=seal(control),
            updated=tuple(sorted(changes)),
            ran=(),
            anchor=checkpoint_id,
            nodes=program.fingerprints,
            schema=program.schema.fingerprint,
        ),
        changes=changes,
        took=tuple(onward.took),
    )


def merge(
    program: Program, before: Mapping[str, Any], writes: Mapping[str, Sequence[Write]]
) -> tuple[Mapping[str, Any], dict[str, tuple[Any, Any]]]:
    """The values after `writes`, and what really changed: field -> (before, after)."""
    for name, written in writes.items():
        check_field(program, name, written[0].node)
    changes: dict[str, tuple[Any, Any]] = {}
    made: dict[str, Any] = {}
    for name in [name for name in program.fields if name in writes]:
        old, written = before.get(name, MISSING), writes[name]
        new = freeze(program.fields[name].merge(old, written))
        if new is not written[-1].value:  # what a node wrote has been checked already
            program.schema.check_reduced(name, new)
        if not equal(old, new):
            changes[name] = (old, new)
        made[name] = new
    return replaced(before, made, program.transient), changes


def _carried_over(program: Program, checkpoint: Checkpoint, ran: set[str]) -> dict[str, Any]:
    """Control channels that this super-step did not use up: part-full joins, deferred nodes."""
    control: dict[str, Any] = {}
    if program.uses_up_control and "end:" not in checkpoint.control:
        return control
    for channel, content in checkpoint.control.items():
        kind, _, name = channel.partition(":")
        if kind == "end":
            control[channel] = content
            continue
        target = program.joins_by_channel[channel].target if kind == "join" else name
        used = target in ran and (
            kind != "join" or Barrier(program.joins_by_channel[channel].sources).is_full(content)
        )
        if not used:
            control[channel] = content
    for name in checkpoint.updated if program.subscribers else ():
        for subscriber in program.subscribers.get(name, ()):
            if subscriber not in ran:
                control[f"to:{subscriber}"] = True
    return control
