"""
One super-step, top to bottom: plan -> execute -> reconcile -> commit -> tell.

Rule 1: only this room decides what runs next and what a thread's values become.
Rule 2: plan() and reconcile() are pure, but for routes; execute() is where nodes run.
Rule 3: every task reads the state as the checkpoint has it; no task sees another's writes.
Rule 4: writes apply in the order of the plan, which depends on the graph and never on timing.
Rule 5: a finished task's result is stored when it finishes, in one transaction with those that
        finish at the same moment; the last ones' with the checkpoint.
        So a failure, a question or a kill loses nothing that was paid for.
Rule 6: a super-step commits when every task of it has finished. Until then the thread stays at
        the checkpoint before it.
Rule 7: nobody is told of what is not stored.

What a kill leaves, by the line of `superstep` that it comes in:

    plan, gate           the checkpoint before; nothing has begun
    execute              the checkpoint before, and the results of the tasks that had finished:
                         a resume runs the others only
    reconcile            the same: it changes nothing, and stores what has finished before it waits
                         for an `async` route
    commit               one transaction, so either of the two: the line above, or the line below
    tell                 the new checkpoint; who was not told reads it from the store
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from nbagent.engine.model.checkpoint import (
    Checkpoint,
    JournalEntry,
    Question,
    Status,
    TaskRecord,
)
from nbagent.engine.model.fact import fact
from nbagent.engine.model.ids import START_CHANNEL
from nbagent.engine.model.program import Program
from nbagent.engine.model.work import NOTHING_DONE, Task, Work
from nbagent.engine.step.calls import is_cancelled
from nbagent.engine.step.execute import Executed, execute, keep, leave
from nbagent.engine.step.plan import check_ended, is_over, plan
from nbagent.engine.step.reconcile import reconcile, set_off
from nbagent.engine.step.task import Bench, tell_finished
from nbagent.engine.watch.events import Checkpointed, StepPlanned, StepReconciled
from nbagent.errors import ChangedInPlace, NbagentError, NodeError, ThreadBusy


@fact
class Standing:
    """Where a thread stands in a run.

    work      what has been done of the super-step that follows `checkpoint`
    newest    the highest checkpoint id in the store, where that one cannot be read
    status    "running" while there is more to do; else why the run ends here
    questions, error   what it waits for, or failed with
    tasks     what `checkpoint` asks for, where that is known already
    """

    checkpoint: Checkpoint
    work: Work
    newest: int
    status: Status = "running"
    questions: tuple[Question, ...] = ()
    error: BaseException | None = None
    tasks: tuple[Task, ...] | None = None


class Gate(Protocol):
    """What may stop a run on a super-step's boundary: a pause, a bound, a breakpoint.

    shut  the breakpoints that it has stopped at, to be written down
    """

    shut: Sequence[JournalEntry]

    def before(self, now: Standing, tasks: Sequence[Task]) -> Status | None:
        """The status to stop with before these tasks run; None lets them."""
        ...


async def superstep(program: Program, now: Standing, gate: Gate, bench: Bench) -> Standing:
    """Make the super-step that follows `now.checkpoint`; where the thread stands then."""
    if START_CHANNEL in now.checkpoint.control:
        return await _set_off(program, now, bench)
    tasks = plan(program, now.checkpoint) if now.tasks is None else now.tasks
    if not tasks:
        check_ended(program, now.checkpoint)
        return replace(now, status="done", questions=())
    if (stop := gate.before(now, tasks)) is not None:
        if gate.shut:
            await bench.writer.put_journal(gate.shut)
        return replace(now, status=stop)
    thread, number = bench.thread, now.checkpoint.step + 1
    named = {task.id: task.node for task in tasks}
    bench.tell(
        StepPlanned(thread=thread, step=number, tasks=named, finished=frozenset(now.work.done))
    )

    with bench.services.recorder.around_step(thread, number):
        executed = await execute(program, now.checkpoint, tasks, now.work, bench)
    if not executed.is_complete():
        return _unfinished(now, executed)

    async def store() -> None:
        """What was paid for is kept before a route is waited for."""
        await keep(executed.unstored, executed, now.checkpoint, bench)
        executed.unstored.clear()
        if executed.failures:  # it was not of a kind that can be stored
            raise _node_error(executed, executed.failures[0], now.work)

    try:
        step = await reconcile(
            program, now.checkpoint, tasks, executed.records, now.newest + 1, store
        )
        records = [one.record for one in executed.unstored]
        holds = bench.held.merged(tasks) if bench.held is not None else {}
        following = _following(program, step.checkpoint)
        is_last = following is not None and is_over(program, step.checkpoint, following)
        await (bench.finish if is_last else bench.writer.commit)(step.checkpoint, records)
    except ThreadBusy:
        raise
    except BaseException as error:  # also sys.exit() in a reducer
        if is_cancelled():
            leave(executed.unstored, now.checkpoint, bench)
            raise
        with contextlib.suppress(NbagentError):  # what is raised says more
            await keep(executed.unstored, executed, now.checkpoint, bench)
        return _failed(now, executed, error)

    if bench.held is not None:
        bench.held.commit(holds)
    for one in executed.unstored:
        tell_finished(one, now.checkpoint, bench)
    bench.tell(StepReconciled(thread=thread, step=number, changes=step.changes))
    bench.tell(Checkpointed(thread=thread, step=number, checkpoint=step.checkpoint, took=step.took))
    status: Status = "done" if is_last else "running"
    return Standing(step.checkpoint, NOTHING_DONE, step.checkpoint.id, status, tasks=following)


def _following(program: Program, checkpoint: Checkpoint) -> tuple[Task, ...] | None:
    """The tasks that come next; None where that is an error, which the next super-step raises."""
    try:
        return plan(program, checkpoint)
    except NbagentError:
        return None


async def _set_off(program: Program, now: Standing, bench: Bench) -> Standing:
    """Follow the routes behind START, which had to be waited for; no node has run yet."""
    try:
        step = await set_off(program, now.checkpoint, now.newest + 1, _nothing)
    except NodeError as error:
        return replace(now, status="failed", error=error)
    await bench.writer.commit(step.checkpoint)
    bench.tell(
        Checkpointed(
            thread=bench.thread,
            step=step.checkpoint.step,
            checkpoint=step.checkpoint,
            took=step.took,
        )
    )
    return Standing(step.checkpoint, NOTHING_DONE, step.checkpoint.id)


async def _nothing() -> None:
    """No task has finished yet."""


def _unfinished(now: Standing, executed: Executed) -> Standing:
    """Where the thread stands when a task failed, or waits for a person, or is paused."""
    if executed.failures:
        return _failed(now, executed, _node_error(executed, executed.failures[0], now.work))
    return replace(
        now,
        work=replace(now.work, done=executed.records),
        status="waiting" if executed.questions else "paused",
        questions=tuple(executed.questions),
    )


def _failed(now: Standing, executed: Executed, error: BaseException) -> Standing:
    return replace(
        now,
        work=replace(now.work, done=executed.records),
        status="failed",
        questions=tuple(executed.questions),
        error=error,
    )


def _node_error(executed: Executed, record: TaskRecord, work: Work) -> NodeError:
    failure = record.failure
    assert failure is not None
    cause = executed.causes.get(record.task)
    if isinstance(cause, ChangedInPlace):  # it is the node's error, and says all
        cause.task, cause.attempt = record.task, record.attempt
        return cause
    others = len(executed.failures) - 1
    more = f" ({others} more failed with it)" if others else ""
    answered = [one.id for one in work.answered() if one.task == record.task]
    anew = f", or give another answer: resume(answers={{{answered[-1]!r}: …}})" if answered else ""
    error = NodeError(
        f"node {record.node!r} failed: {failure.type}: {failure.message}{more}. "
        f"What finished is kept: mend the cause and resume the thread{anew}",
        node=record.node,
        task=record.task,
        attempt=record.attempt,
        traceback=failure.traceback,
    )
    error.__cause__ = cause
    return error
