"""
The middle of a super-step: its tasks run, all at once, and what finishes is stored. (R13, R14, W1)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from nbagent.engine.model.checkpoint import Checkpoint, Question, TaskRecord
from nbagent.engine.model.program import Program
from nbagent.engine.model.work import Task, Work, is_open_question, to_question
from nbagent.engine.step.calls import is_cancelled
from nbagent.engine.step.task import Bench, Ended, fail, perform, tell_finished
from nbagent.engine.step.updates import to_failure
from nbagent.errors import CodecError, NbagentError


@dataclass(slots=True)
class Executed:
    """What has come of a super-step's tasks: complete when `execute` returns it.

    records    task id -> what it wrote, of all that have finished
    unstored   what finished last: the checkpoint's commit stores it, then it is told
    is_paused  a subgraph has paused
    causes     task id -> the exception of a failed one
    """

    records: dict[str, TaskRecord]
    unstored: list[Ended] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    is_paused: bool = False
    failures: list[TaskRecord] = field(default_factory=list)
    causes: dict[str, BaseException] = field(default_factory=dict)

    def is_complete(self) -> bool:
        """True when every task that has ended has finished."""
        return not (self.questions or self.failures or self.is_paused)


async def execute(
    program: Program, checkpoint: Checkpoint, tasks: Sequence[Task], work: Work, bench: Bench
) -> Executed:
    """Run the tasks that have not finished, all at once, each on its own snapshot.

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
        if execution.pending:
            await execution.store()
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
    pending  those that have finished and are to be stored, in one transaction
    storing  what waits for the store, while it does
    broken   why what finished could not be stored
    """

    __slots__ = (
        "bench", "broken", "checkpoint", "left", "pending", "program", "result", "running",
        "storing", "work",
    )  # fmt: skip

    def __init__(self, program: Program, checkpoint: Checkpoint, work: Work, bench: Bench) -> None:
        self.program = program
        self.checkpoint = checkpoint
        self.work = work
        self.bench = bench
        self.result = Executed(dict(work.done))
        self.left = 0
        self.running: Sequence[asyncio.Task[None]] = ()
        self.pending: list[Ended] = []
        self.storing: asyncio.Task[None] | None = None
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
        if self.storing is not None:
            await self.storing
        if self.broken is not None:
            raise self.broken

    async def run(self, task: Task) -> None:
        """Run one task, and see to what has come of it."""
        ended = await perform(self.program, self.checkpoint, task, self.work, self.bench)
        self.left -= 1
        result = self.result
        if ended.record.status == "done":
            self.pending.append(ended)
            if self.running and self.left and self.storing is None:
                self.storing = asyncio.create_task(self._store_soon())
        elif ended.cause is None:
            result.questions.extend(ended.questions)
            result.is_paused = result.is_paused or not ended.questions
        else:
            result.failures.append(ended.record)
            result.causes[task.id] = ended.cause
            if self.program.on_error == "cancel":
                for sibling in self.running:
                    if sibling is not asyncio.current_task():
                        sibling.cancel()
        if is_cancelled():  # also when the node swallowed it
            raise asyncio.CancelledError

    async def store(self) -> None:
        """Store what has finished in one transaction; of the last ones, the checkpoint's."""
        batch, result = self.pending, self.result
        self.pending = []
        if self.left == 0 and result.is_complete():
            result.unstored += batch
        else:
            batch = await keep(batch, result, self.checkpoint, self.bench)
        for one in batch:
            result.records[one.record.task] = one.record

    async def _store_soon(self) -> None:
        """Store what finishes while siblings still run, what has finished meanwhile included."""
        try:
            while self.pending and self.left:
                await self.store()
        except BaseException as error:
            self.broken = error
            for sibling in self.running:
                sibling.cancel()
        finally:
            self.storing = None

    async def give_up(self) -> None:
        """Stop what still runs; what has finished is kept."""
        for sibling in self.running:
            sibling.cancel()
        if (storing := self.storing) is not None:
            storing.cancel()
            await asyncio.wait([storing])
        await asyncio.gather(*self.running, return_exceptions=True)
        with contextlib.suppress(NbagentError):
            leave([*self.pending, *self.result.unstored], self.checkpoint, self.bench)


def leave(batch: Sequence[Ended], checkpoint: Checkpoint, bench: Bench) -> None:
    """Nobody waits for them any more: they are stored now, or when the store can."""
    if batch and bench.writer.leave([one.record for one in batch]):
        for one in batch:
            tell_finished(one, checkpoint, bench)


async def keep(
    batch: Sequence[Ended], result: Executed, checkpoint: Checkpoint, bench: Bench
) -> list[Ended]:
    """Store records and tell of them; those that could be stored. The others have failed."""
    try:
        if batch:
            await bench.writer.put_tasks([one.record for one in batch])
    except CodecError as error:  # what one of them wrote cannot be stored
        if len(batch) > 1:
            return [kept for one in batch for kept in await keep([one], result, checkpoint, bench)]
        record = replace(
            batch[0].record, status="failed", update={}, goto=(), failure=to_failure(error)
        )
        result.failures.append(await fail(checkpoint, record, bench))
        result.causes[record.task] = error
        return []
    for one in batch:
        tell_finished(one, checkpoint, bench)
    return list(batch)
