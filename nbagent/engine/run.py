"""
A run: one process driving a thread, super-step after super-step, until it is done or must stop.

Rule 1: a run holds the thread's lease from before its first write until after its last.
Rule 2: every way for a run to end is a status of the thread, committed before anybody is told:
        done · paused (on a boundary) · waiting (for answers) · failed (an error; resumable) ·
        stopped (by a person, a kill, or because another owner took over).
Rule 3: whoever waits for a run never owns it: cancelling the waiting asks for a pause.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from nbagent.engine import context, output
from nbagent.engine.checkpoint import Checkpoint, Lease, Question, Status, TaskRecord
from nbagent.engine.events import (
    Checkpointed,
    Event,
    NodeEvent,
    NodeStalled,
    Observer,
    RunEnded,
    RunStarted,
    StepPlanned,
    StepReconciled,
)
from nbagent.engine.heartbeat import beat, live_runs, stop_beating
from nbagent.engine.loop import engine_loop, is_inside, kernel_loop, wait_inside
from nbagent.engine.pace import Pace
from nbagent.engine.past import Past
from nbagent.engine.secrets import strike_out
from nbagent.engine.snapshot import thaw
from nbagent.engine.spans import Recorder
from nbagent.engine.stream import BUFFER, Mode, read
from nbagent.engine.subgraphs import Suspended, drive
from nbagent.engine.superstep import Executed, check_ended, execute, keep, plan, reconcile
from nbagent.engine.task import NOTHING_DONE, Bench, Work
from nbagent.engine.watchdog import see_end, watch
from nbagent.errors import NbagentError, NodeError, StepLimit, ThreadBusy

if TYPE_CHECKING:
    from nbagent.engine.thread import Thread

log = logging.getLogger("nbagent")
OnChange = Literal["ask", "go-on", "rerun"]
TURN = 0.01  # seconds that one run may keep the event loop between two of its super-steps


_followers: list[Callable[[Run], None]] = []


def on_launch(follow: Callable[[Run], None]) -> None:
    """Call `follow` with every run that begins in this process, those of subgraphs apart."""
    if follow not in _followers:
        _followers.append(follow)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How far a run goes. `steps` super-steps at the most, then it pauses; None is no bound.

    resumed   breakpoints before the first super-step have been passed already
    notice    what a person should know as it begins
    on_change, take_over   as `Thread.resume` was told, for subgraphs
    """

    step_limit: int = 1000
    steps: int | None = None
    resumed: bool = False
    notice: str = ""
    on_change: OnChange = "ask"
    take_over: bool = False


class Run:
    """A thread that is running in this process. Made by `graph.start` and `thread.resume`.

    `await run` gives the state when the thread is done, paused or waiting, and raises
    `NodeError` if it failed. `run.result()` is the same for code that does not await.

    newest   the highest checkpoint id in the store, where that one cannot be read (W8)
    """

    def __init__(
        self,
        thread: Thread,
        lease: Lease,
        checkpoint: Checkpoint,
        work: Work,
        options: RunOptions,
        parent: Run | None = None,
        newest: int = 0,
    ) -> None:
        self.thread = thread
        is_kernels = thread.program.loop == "kernel"
        self._newest = max(newest, checkpoint.id)
        self.checkpoint = checkpoint
        self.status: Status = "running"
        self.questions: tuple[Question, ...] = ()
        self._lease = lease
        self._work = work
        self.options = options
        self._parent = parent
        self._pausing: asyncio.Event = parent._pausing if parent else asyncio.Event()
        self._numbers = 0
        self.past = Past()
        self._observers: list[Observer] = []
        self._watching = threading.RLock()
        self._pause = False
        self._begun = False
        self._has_ended = False
        self._ends_as: Status = "stopped"
        self.loop: asyncio.AbstractEventLoop = (
            parent.loop if parent else kernel_loop() if is_kernels else engine_loop()
        )
        self._task: asyncio.Task[None] | None = None
        self._ended: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._error: BaseException | None = None
        self.recorder = Recorder(thread.store)
        self._pace = Pace(thread.program)
        self.echo: output.Echo = parent.echo if parent else output.Echo()

    def __repr__(self) -> str:
        return f"<Run of {self.thread.id!r}: {self.status} at super-step {self.checkpoint.step}>"

    # -------------------------------------------------------------------------------- control

    def launch(self) -> Run:
        """Begin on the engine's loop; returns at once."""
        beat(self)
        watch()
        for follow in _followers:
            follow(self)
        self.loop.call_soon_threadsafe(self._spawn)
        return self

    def _spawn(self) -> None:
        self._task = self.loop.create_task(self._drive(), name=f"nbagent {self.thread.id}")

    async def drive(self) -> None:
        """Run to the end inside the caller's own task: how a subgraph's run goes."""
        beat(self)
        self._spawn()
        assert self._task is not None
        try:
            await asyncio.wait([self._task])
        except asyncio.CancelledError:
            self._cancel_as("stopped")
            await asyncio.wait([self._task])
            raise

    def pause(self, *, within: float | None = None) -> None:
        """Pause on the next super-step boundary.

        within: seconds that the super-step under way may still take; then its unfinished nodes
        are cancelled, to run again at resume, and the pause lands on the last checkpoint.
        """
        self._pause = True
        self.loop.call_soon_threadsafe(self._pausing.set)
        if within is not None:
            see_end(self, "paused", within)
            self.loop.call_soon_threadsafe(self.loop.call_later, within, self._cancel_as, "paused")

    def stop(self) -> None:
        """Cancel what runs and let the thread go. Unfinished nodes run again at resume."""
        see_end(self, "stopped")
        self.loop.call_soon_threadsafe(self._cancel_as, "stopped")

    def let_go(self, status: Status) -> None:
        """End at the last checkpoint, whatever its nodes still do: what they write is refused."""
        for run in live_runs():
            if run._parent is self:
                run.let_go("stopped")
        self._end(status, None)

    def _cancel_as(self, status: Status) -> None:
        if self._task is None or self._task.done():
            return
        if not self._begun:
            # A task that is cancelled before its first step never runs, not even to let go.
            self.loop.call_soon(self._cancel_as, status)
            return
        self._ends_as = status
        self._task.cancel()

    def is_pausing(self) -> bool:
        """True when somebody asked for a pause, of this run or of the one that it is part of."""
        return self._pause or (self._parent is not None and self._parent.is_pausing())

    async def sleep(self, seconds: float) -> None:
        """Wait inside a task; when a pause is asked for, the task ends and waits on at resume."""
        wait = getattr(self.thread.clock, "sleep", asyncio.sleep)
        ends = [asyncio.ensure_future(wait(seconds)), asyncio.ensure_future(self._pausing.wait())]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken = ends[0].done()
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        if not woken:
            raise Suspended(())

    def tell_stalls(self) -> None:
        """Tell of nodes that have been silent for too long. The watchdog calls it. (R39)"""
        for sign, silence, usual in self._pace.stalls(time.time()):
            event = NodeStalled(
                thread=self.thread.id,
                step=sign.step,
                node=sign.node,
                task=sign.task,
                seconds=silence,
                usual=usual,
            )
            self.tell(event)
            if self.thread.program.on_stall is not None:
                try:
                    self.thread.program.on_stall(event)
                except Exception:
                    log.exception("on_stall= of graph %r failed", self.thread.program.name)

    def renew(self) -> None:
        """Extend the lease; `ThreadBusy` when somebody has taken the thread over."""
        self.thread.store.renew(self._lease)

    def lost(self) -> None:
        """Called when the lease has gone to somebody else: stop, and write nothing more."""
        self.stop()

    # -------------------------------------------------------------------------------- waiting

    def result(self, timeout: float | None = None) -> dict[str, Any]:
        """Block until the run ends; the state, as `await run` gives it.

        `TimeoutError` after `timeout` seconds; the run goes on. An interrupt of the waiting
        (Ctrl-C, the kernel's stop button) pauses the run before it is raised.
        """
        if is_inside(self.loop):
            wait_inside(self.loop, asyncio.wait_for(self._wait(), timeout))
            return self._outcome()
        try:
            self._ended.result(timeout)
        except KeyboardInterrupt:
            self.pause(within=2.0)
            self._ended.result()
            raise
        return self._outcome()

    def __await__(self) -> Generator[Any, None, dict[str, Any]]:
        return self._wait().__await__()

    async def _wait(self) -> dict[str, Any]:
        ended = asyncio.wrap_future(self._ended)
        try:
            # A kernel's stop button cancels the cell's task without waking its loop, which may
            # sleep until the next event: so there is one now and then.
            while not (await asyncio.wait([ended], timeout=0.25))[0]:
                pass
        except asyncio.CancelledError:
            self.pause(within=2.0)
            raise
        return self._outcome()

    def _outcome(self) -> dict[str, Any]:
        if self._error is not None:
            raise self._error
        state: dict[str, Any] = thaw(self.checkpoint.values)
        return state

    @property
    def error(self) -> BaseException | None:
        """Why the run failed; None while it runs and when it did not fail."""
        return self._error

    # ------------------------------------------------------------------------------- watching

    def stream(
        self,
        mode: Mode = "events",
        *,
        start: Literal["beginning", "now"] = "beginning",
        buffer: int = BUFFER,
    ) -> AsyncIterator[Any]:
        """Read the run as it goes; any number of readers may, on any event loop. (R36)

        mode    "events"; or "updates", "values", "emitted", as `graph.stream` gives them
        start   with what is past already, or from now on
        buffer  events that wait for this reader; of a slower one the oldest are lost, and it is
                told so with `EventsMissed` (in the other modes, in the log)

        It ends with the run, and raises nothing of the run's: await the run for that.
        """
        return read(self, mode, start, buffer)

    def watch(self, observer: Observer, *, past: bool = True) -> Callable[[], None]:
        """Call `observer` with every event, those `past` already first. Returns how to stop it.

        Of a long past only the first event and the latest ones are kept, with an `EventsMissed`
        between them.
        """
        with self._watching:
            self._observers.append(observer)
            for event in tuple(self.past) if past else ():
                if observer in self._observers:
                    self._show(observer, event)

        def stop() -> None:
            with self._watching:
                if observer in self._observers:
                    self._observers.remove(observer)

        return stop

    def tell(self, event: Event) -> None:
        """Number an event and show it to whoever watches. Only the engine calls it."""
        with self._watching:
            if self.status != "running" and not isinstance(event, RunEnded):
                return  # an abandoned `def` node that goes on talking after the run has ended
            self._numbers += 1
            # The engine made the event a moment ago and nobody else has seen it.
            event.number, event.at = self._numbers, time.time()  # type: ignore[misc]
            self.past.add(event)
            if isinstance(event, NodeEvent):
                self._pace.see(event)
            if self._observers:
                for observer in tuple(self._observers):
                    self._show(observer, event)

    def _show(self, observer: Observer, event: Event) -> None:
        try:
            observer(event)
        except Exception:
            log.exception("an observer of thread %r failed and is left out", self.thread.id)
            if observer in self._observers:
                self._observers.remove(observer)

    # -------------------------------------------------------------------------------- driving

    async def _drive(self) -> None:
        """The run from lease to release."""
        status: Status = "failed"
        failure: BaseException | None = None
        self._begun = True
        output.catch()
        context.forget()
        self.tell(
            RunStarted(
                thread=self.thread.id,
                step=self.checkpoint.step + 1,
                graph=self.thread.program.name,
                checkpoint=self.checkpoint,
                notice=self.options.notice,
            )
        )
        try:
            with self.recorder.around_run(self.thread.id, self.thread.program.name):
                status = await self._steps()
        except asyncio.CancelledError:
            status = self._ends_as
        except (ThreadBusy, StepLimit) as error:
            failure, status = error, "stopped"
        except BaseException as error:  # also sys.exit() in a reducer or a branch function
            failure = error
        self._end(status, failure)

    def _end(self, status: Status, failure: BaseException | None) -> None:
        """Give the thread back and tell everybody; what comes second does nothing."""
        with self._watching:
            if self._has_ended:
                return
            self._has_ended = True
            self._error = failure
        try:
            self._give_back(status)
        finally:  # whatever went wrong: who waits for the run is not left waiting
            self._ended.set_result(None)

    def _give_back(self, status: Status) -> None:
        stop_beating(self)
        message = "" if self._error is None else f"{type(self._error).__name__}: {self._error}"
        message = strike_out(message)
        self.recorder.end(status)
        if self._begun:
            output.let_go()
        try:
            if not isinstance(self._error, ThreadBusy):
                self.thread.store.release(self._lease, status, error=message)
        except ThreadBusy as error:
            self._error, status = error, "stopped"
        except Exception as error:
            self._error = self._error or error
        self.status = status
        self.tell(
            RunEnded(
                thread=self.thread.id,
                step=self.checkpoint.step,
                status=status,
                next=self._next(),
                questions=self.questions,
                error=message,
            )
        )

    async def _steps(self) -> Status:
        """Super-steps until one of the reasons to stop; the status to stop with."""
        program, options = self.thread.program, self.options
        bench = Bench(
            self.thread.executor,
            self.thread.store,
            self._lease,
            self.tell,
            self.thread.clock,
            functools.partial(drive, self),
            self.sleep,
            self.recorder,
            self.echo,
        )
        before, after = (program.breakpoints.get(place) for place in ("before", "after"))
        made, yielded = 0, time.monotonic()
        while True:
            if time.monotonic() - yielded > TURN:
                await asyncio.sleep(0)  # nodes that never wait must not keep the loop for one run
                yielded = time.monotonic()
            tasks = plan(program, self.checkpoint)
            if not tasks:
                check_ended(program, self.checkpoint)
                return "done"
            if self.is_pausing() or (options.steps is not None and made >= options.steps):
                return "paused"
            if made >= options.step_limit:
                raise StepLimit(
                    f"thread {self.thread.id!r} made {made} super-steps without ending: give a "
                    "larger step_limit, or look for a cycle that never ends; resume goes on",
                    limit=options.step_limit,
                )
            passed = options.resumed and made == 0
            if before and not passed and any(task.node in before for task in tasks):
                return "paused"

            self.tell(
                StepPlanned(
                    thread=self.thread.id,
                    step=self.checkpoint.step + 1,
                    tasks={task.id: task.node for task in tasks},
                    finished=frozenset(self._work.done),
                )
            )
            with self.recorder.around_step(self.thread.id, self.checkpoint.step + 1):
                executed = await execute(program, self.checkpoint, tasks, self._work, bench)
            self._work = Work(executed.records, self._work.failed, self._work.journal)
            self.questions = tuple(executed.questions)
            if executed.failures:
                raise _node_error(executed, executed.failures[0])
            if executed.questions:
                return "waiting"
            if executed.is_paused:
                return "paused"
            try:
                step = reconcile(
                    program, self.checkpoint, tasks, executed.records, self._newest + 1
                )
                records = [one.record for one in executed.unstored]
                self.thread.store.commit(self._lease, step.checkpoint, records)
            except ThreadBusy:
                raise
            except Exception:
                with contextlib.suppress(NbagentError):  # what is raised says more
                    keep(executed.unstored, executed, self.checkpoint, bench)
                raise
            for one in executed.unstored:
                self.tell(one.event)
            self.checkpoint, self._work = step.checkpoint, NOTHING_DONE
            self._newest = step.checkpoint.id
            made += 1
            number = step.checkpoint.step
            self.tell(StepReconciled(thread=self.thread.id, step=number, changes=step.changes))
            self.tell(
                Checkpointed(
                    thread=self.thread.id, step=number, checkpoint=step.checkpoint, took=step.took
                )
            )
            if after and any(task.node in after for task in tasks):
                return "paused" if plan(program, self.checkpoint) else "done"

    def _next(self) -> tuple[str, ...]:
        try:
            tasks = plan(self.thread.program, self.checkpoint)
        except NbagentError:
            return ()
        return tuple(dict.fromkeys(t.node for t in tasks if t.id not in self._work.done))


def _node_error(executed: Executed, record: TaskRecord) -> NodeError:
    failure = record.failure
    assert failure is not None
    cause = executed.causes.get(record.task)
    others = len(executed.failures) - 1
    more = f" ({others} more failed with it)" if others else ""
    error = NodeError(
        f"node {record.node!r} failed: {failure.type}: {failure.message}{more}. "
        "What finished is kept: mend the cause and resume the thread",
        node=record.node,
        task=record.task,
        attempt=record.attempt,
        traceback=failure.traceback,
    )
    error.__cause__ = cause
    return error
