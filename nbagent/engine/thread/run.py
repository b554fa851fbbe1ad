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
import logging
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal, TypeVar

from nbagent.engine import ports
from nbagent.engine.model.checkpoint import Checkpoint, Lease, Question, Status, TaskRecord
from nbagent.engine.model.hushed import hushed
from nbagent.engine.model.outcome import Outcome
from nbagent.engine.model.program import Program
from nbagent.engine.model.secrets import strike_out
from nbagent.engine.model.values import thaw
from nbagent.engine.model.work import NOTHING_DONE, Work
from nbagent.engine.node import context, output
from nbagent.engine.node.executor import waiting
from nbagent.engine.node.slots import Slots
from nbagent.engine.node.subgraph import Suspended
from nbagent.engine.step.calls import is_cancelled
from nbagent.engine.step.held import Held
from nbagent.engine.step.plan import plan
from nbagent.engine.step.superstep import Standing, superstep
from nbagent.engine.step.task import Bench
from nbagent.engine.store.line import beside
from nbagent.engine.store.reports import metadata_marks
from nbagent.engine.store.writer import Writer
from nbagent.engine.thread.budgets import forget_refusals, run_meters
from nbagent.engine.thread.carried import Carried
from nbagent.engine.thread.contexts import Given
from nbagent.engine.thread.edits import user
from nbagent.engine.thread.gate import Gate
from nbagent.engine.thread.live import beat, live_runs, stop_beating
from nbagent.engine.thread.look import StoredThread
from nbagent.engine.thread.loop import engine_loop, is_inside, kernel_loop, wait_inside
from nbagent.engine.thread.memories import Sight
from nbagent.engine.thread.options import RunOptions
from nbagent.engine.thread.returned import Returned
from nbagent.engine.thread.standin import finished
from nbagent.engine.thread.streams import Stream, follow
from nbagent.engine.thread.watchdog import see_end, watch
from nbagent.engine.watch.events import (
    BudgetSpent,
    NodeStalled,
    Observer,
    RunEnded,
    RunStarted,
    StoreAwaited,
)
from nbagent.engine.watch.feed import Feed
from nbagent.engine.watch.modes import Mode
from nbagent.engine.watch.spans import Recorder
from nbagent.engine.watch.stalls import Stalls
from nbagent.engine.watch.stream import BUFFER, Reading
from nbagent.errors import NbagentError, StepLimit, StoreUnavailable, ThreadBusy, said

log = logging.getLogger("nbagent")
TURN = 0.01  # seconds that one run may keep the event loop between two of its super-steps
Values = Mapping[str, Any]
R = TypeVar("R")
Nest = Callable[["Run", context.TaskContext, str, Program, Values], Awaitable[context.Nested]]


class Run:
    """A thread that is running in this process. Made by `graph.start` and `thread.resume`.

    `await run` gives the state, an `Outcome`, when the thread is done, paused or waiting, and
    raises `NodeError` if it failed. `run.result()` is the same for code that does not await.

    thread   what it runs: whoever makes the run hands it its own kind of thread
    start    where it begins
    nest     how a subgraph's thread is driven inside a task of this run
    parent   the run that this one is part of, where it is a subgraph's
    """

    def __init__(
        self,
        thread: StoredThread,
        lease: Lease,
        start: Standing,
        options: RunOptions,
        *,
        nest: Nest,
        parent: Run | None = None,
    ) -> None:
        self.thread: Any = thread
        self.given: Mapping[str, Any] | None = None  # the input, where it began with one
        is_kernels = thread.program.loop == "kernel"
        self._standing = start
        around = parent._context if parent else None
        self._context: Given = Given(thread, options.context, options.is_asked, around)
        self.held = Held(thread.program, options.held) if thread.program.untracked else None
        self._sees: Sight = parent._sees if parent else Sight(thread, start.checkpoint.id)
        self.status: Status = "running"
        self._lease = lease
        self._nest = nest
        self.options = options
        self._parent = parent
        self._known = options.metadata
        count = options.max_concurrency
        self._slots: Slots | None = parent._slots if parent else Slots(count) if count else None
        self._pausing: asyncio.Event = parent._pausing if parent else asyncio.Event()
        stalls = Stalls(thread.program)
        self.feed = Feed(thread.id, stalls, beside=context.aside, clock=thread.clock)
        self._pause = False
        self._begun = False
        self._has_ended = False
        self._is_finishing = False  # its last commit is under way, and gives the thread back
        self._is_given_back = False
        self._ends_as: Status = "stopped"
        self.loop: asyncio.AbstractEventLoop = (
            parent.loop if parent else kernel_loop() if is_kernels else engine_loop()
        )
        self._task: asyncio.Task[None] | None = None
        self._ended: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._error: BaseException | None = None
        self.recorder = Recorder(thread.store, thread.clock, partial(beside, thread.store))
        self._writer = Writer(thread.store, lease, self._wait_for_store)
        self.meters = run_meters(self, parent)
        if self.meters is not None:
            self.recorder.count = self.meters.count
        self.taken: set[str] = parent.taken if parent else set()  # see `carried`
        self.echo: output.Echo = parent.echo if parent else output.Echo()

    def __repr__(self) -> str:
        return f"<Run of {self.thread.id!r}: {self.status} at super-step {self.checkpoint.step}>"

    @property
    def checkpoint(self) -> Checkpoint:
        """The latest checkpoint that it has committed, or began at."""
        return self._standing.checkpoint

    @property
    def is_the_first(self) -> bool:
        """True when its thread was made for it: nothing has been done there before."""
        return self._lease.before is None

    @property
    def work(self) -> Work:
        """What has been done of the super-step under way."""
        return self._standing.work

    @property
    def questions(self) -> tuple[Question, ...]:
        """What it waits for."""
        return self._standing.questions

    # -------------------------------------------------------------------------------- control

    def launch(self, observer: Observer | None = None) -> Run:
        """Begin on the engine's loop, watched by `observer` from its first event; returns at
        once."""
        if observer is not None:
            self.watch(observer)
        beat(self)
        watch()
        try:
            ports.run_began(self)
            self.loop.call_soon_threadsafe(self._spawn)
        except BaseException as error:  # the thread is not left owned by a run that never began
            self._end("stopped", error)
            raise
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
        """Tell of nodes that have been silent for too long. The watchdog calls it."""
        for sign, silence, usual in self.feed.stalls.since(self.thread.clock()):
            event = NodeStalled(
                thread=self.thread.id,
                step=sign.step,
                node=sign.node,
                task=sign.task,
                seconds=silence,
                usual=usual,
            )
            self.feed.tell(event)
            if self.thread.program.on_stall is not None:
                try:
                    self.thread.program.on_stall(event)
                except Exception:
                    log.exception("on_stall= of graph %r failed", self.thread.program.name)

    async def write(self, call: Callable[[], R]) -> R:
        """What a call of the store gives, when it can be made: see `Writer.write`."""
        return await self._writer.write(call)

    def _wait_for_store(self, reason: str) -> None:
        """Tell what is waited for; "" when that is over."""
        if reason:
            log.warning("thread %r waits for the store: %s", self.thread.id, reason)
        self.feed.tell(
            StoreAwaited(thread=self.thread.id, step=self.checkpoint.step + 1, reason=reason)
        )

    def renew(self) -> None:
        """Extend the lease; `ThreadBusy` when somebody has taken the thread over."""
        if not self._is_finishing:
            self.thread.store.renew(self._lease)

    def lost(self) -> None:
        """Called when the lease has gone to somebody else: stop, and write nothing more."""
        if not self._is_finishing:  # a beat that met the last commit: it was given back there
            self.stop()

    # -------------------------------------------------------------------------------- waiting

    def result(self, timeout: float | None = None) -> Outcome:
        """Block until the run ends; the state, as `await run` gives it.

        `TimeoutError` after `timeout` seconds; the run goes on. An interrupt of the waiting
        (Ctrl-C, the kernel's stop button) pauses the run before it is raised.
        """
        if is_inside(self.loop):
            wait = asyncio.wait_for(self._wait(), timeout)
            wait_inside(self.loop, wait, lambda: self.pause(within=2.0))
            return self.outcome()
        with waiting():
            try:
                self._ended.result(timeout)
            except KeyboardInterrupt:
                self.pause(within=2.0)
                self._ended.result()
                raise
        return self.outcome()

    def __await__(self) -> Generator[Any, None, Outcome]:
        return self._wait().__await__()

    async def _wait(self) -> Outcome:
        ended = asyncio.wrap_future(self._ended)
        try:
            # A kernel's stop button cancels the cell's task without waking its loop, which may
            # sleep until the next event: so there is one now and then.
            with waiting():
                while not (await asyncio.wait([ended], timeout=0.25))[0]:
                    pass
        except asyncio.CancelledError:
            self.pause(within=2.0)
            raise
        return self.outcome()

    def outcome(self) -> Outcome:
        """What has come of it, now that it has ended; raises what it failed with."""
        if self._error is not None:
            raise self._error
        program = self.thread.program
        state: dict[str, Any] = thaw(program.given_out(self.checkpoint.values))
        if returns := program.returns:
            return Returned(state, returns, self)
        return Outcome(state, status=self.status, thread=self.thread, questions=self.questions)

    @property
    def error(self) -> BaseException | None:
        """Why the run failed; None while it runs and when it did not fail."""
        return self._error

    # ------------------------------------------------------------------------------- watching

    def stream(
        self,
        mode: Mode | Sequence[Mode] = "events",
        *,
        subgraphs: bool = False,
        start: Literal["beginning", "now"] = "beginning",
        buffer: int = BUFFER,
    ) -> Stream:
        """Read the run as it goes, with `async for` or a plain `for`; any number of readers may,
        on any event loop and any thread.

        mode       "events", "updates", "values", "emitted" or "messages", as `graph.stream` gives
                   them, or a list of these
        subgraphs  as `graph.stream` has it
        start      with what is past already, or from now on
        buffer     items that wait for this reader; of a slower one the oldest are lost, and a
                   `Missed(count)` stands where they were

        It ends with the run, whose outcome then is its `.result`; it raises nothing of the run's:
        await the run, or take the result, for that.
        """
        return follow(self, Reading(mode, subgraphs, buffer), start)

    def watch(self, observer: Observer, *, past: bool = True) -> Callable[[], None]:
        """Call `observer` with every event, those `past` already first. Returns how to stop it.

        Of a long past only the first event and the latest ones are kept, with a `Missed`
        between them.
        """
        return self.feed.watch(observer, past=past)

    # -------------------------------------------------------------------------------- driving

    async def _drive(self) -> None:
        """The run from lease to release."""
        status: Status = "failed"
        failure: BaseException | None = None
        self._begun = True
        try:
            output.catch()
            context.forget()
            self.feed.tell(
                RunStarted(
                    thread=self.thread.id,
                    step=self.checkpoint.step + 1,
                    graph=self.thread.program.name,
                    checkpoint=self.checkpoint,
                    notice=self.options.notice,
                )
            )
            with self.recorder.around_run(self.thread.id, self.thread.program.name):
                await self._steps()
            status, failure = self._standing.status, self._standing.error
        except asyncio.CancelledError:
            status = self._ends_as
        except (ThreadBusy, StepLimit) as error:
            failure, status = error, "stopped"
        except BaseException as error:  # also sys.exit() in a reducer or a branch function
            failure = error
        self._end(status, failure)
        over = asyncio.wrap_future(self._ended)
        while not over.done():  # its thread is given back in the store's line
            with suppress(asyncio.CancelledError):
                await asyncio.wait([over])

    async def _steps(self) -> None:
        """Super-steps until one of the reasons to stop."""
        thread = self.thread
        gate = Gate(thread.program, thread.store, self._lease, self.options, self.is_pausing)
        writer = self._writer
        bench = Bench(
            writer=self._writer,
            finish=self._finish,
            executor=thread.executor,
            tell=self.feed.tell,
            sleep=self.sleep,
            is_nested=self._parent is not None,
            held=self.held,
            empty=set(),
            services=context.Services(
                schema=thread.program.schema,
                clock=thread.clock,
                nest=self._run_nested,
                loop=self.loop,
                recorder=self.recorder,
                origin=self._origin,
                echo=self.echo,
                carried=self._carried(),
                facts=context.RunFacts(
                    graph=thread.program.name,
                    store=thread.store,
                    hidden=self._sees,
                    left=gate.left,
                    context=self._context,
                    metadata=self._metadata,
                ),
                slots=self._slots,
                meters=self.meters,
            ),
        )
        yielded = time.monotonic()
        while self._standing.status == "running":
            if writer.is_cut and is_cancelled():
                raise asyncio.CancelledError
            if time.monotonic() - yielded > TURN:
                await asyncio.sleep(0)  # nodes that never wait must not keep the loop for one run
                yielded = time.monotonic()
            self._standing = await superstep(thread.program, self._standing, gate, bench)
        if self.meters is not None and self.meters.is_refused(thread.id):
            await self._refused()

    async def _refused(self) -> None:
        """A person wants to spend no more: the thread is finished, and what is done is kept."""
        thread = self.thread
        id, note = self._standing.newest + 1, "finished: its budget was not extended"
        end = finished(thread.program, thread.latest(), id=id, note=note, actor=user())
        await self.write(lambda: thread.store.commit(self._lease, end))
        await self.write(lambda: forget_refusals(thread.store, thread.id, thread.clock()))
        self._standing = Standing(end, NOTHING_DONE, id, status="done")

    def _tell_spent(self, node: str, figures: Mapping[str, tuple[float, float]]) -> None:
        at = self.checkpoint.step + 1
        self.feed.tell(BudgetSpent(thread=self.thread.id, step=at, node=node, figures=figures))

    def _metadata(self) -> Mapping[str, Any]:
        """What is known of the run, or what the thread was started with."""
        if self._parent is not None:
            return self._parent._metadata()
        if self._known is None:
            found = metadata_marks(self.thread.store, self.thread.id) or {0: {}}
            self._known = found[max(found)]
        return self._known

    async def _finish(self, checkpoint: Checkpoint, records: Sequence[TaskRecord]) -> None:
        """Commit the last checkpoint, and give the thread back in the same transaction. No
        heartbeat comes between that and its news: it would find no lease."""
        self._is_finishing = True
        try:
            await self._writer.finish(checkpoint, records, self.recorder.put_all)
            self._is_given_back = True
            self.recorder.written()
        finally:
            self._is_finishing = self._is_given_back

    def _origin(self) -> str:
        """The same for as long as the thread is there, and another for each: idempotency keys are
        made of it."""
        info = self.thread.info
        return f"{info.graph}\n{info.created!r}"

    def _carried(self) -> Callable[[str, str, str], Any]:
        """Finds the effects that earlier lives of a nested thread have left."""
        if self._parent is None:
            return lambda node, key, arguments: None
        return Carried(self.thread.store, self.thread.id, self.taken).take

    async def _run_nested(
        self, inside: context.TaskContext, place: str, program: Program, given: Values
    ) -> context.Nested:
        return await self._nest(self, inside, place, program, given)

    def _end(self, status: Status, failure: BaseException | None) -> None:
        """Give the thread back and tell everybody; what comes second does nothing."""
        with self.feed.lock:
            if self._has_ended:
                return
            self._has_ended = True
            self._error = hushed(failure)
        try:
            self._give_back(status)
        except BaseException as error:
            self._error = self._error or error
            self._tell_end(status, "", None)
            raise

    def _give_back(self, status: Status) -> None:
        stop_beating(self)
        message = (
            "" if self._error is None else f"{type(self._error).__name__}: {said(self._error)}"
        )
        message = strike_out(message)
        self.recorder.end(status, message)
        if self._begun:
            output.let_go()
        if self._is_given_back:
            self._tell_end("done", message, None)
            return
        if isinstance(self._error, ThreadBusy):
            self._tell_end(status, message, None)
            return
        self._writer.release(
            status,
            message,
            self.recorder.flush,
            lambda error: self._tell_end(status, message, error),
        )

    def _tell_end(self, status: Status, message: str, broken: NbagentError | None) -> None:
        """The thread is given back; `broken` says why not, or why not yet: all that was committed
        is, so that a store that cannot be written at the end fails nothing."""
        try:
            self._tell_ended(status, message, broken)
        finally:  # whatever went wrong: who waits for the run is not left waiting
            self._ended.set_result(None)

    def _tell_ended(self, status: Status, message: str, broken: NbagentError | None) -> None:
        if self._is_given_back:  # also while this waited for the last commit
            status = "done"
        elif isinstance(broken, ThreadBusy):
            self._error, status = broken, "stopped"
        elif broken is not None and not isinstance(broken, StoreUnavailable):
            self._error = self._error or broken
        self.status = status
        if self.questions:
            self.thread.see(self.questions)  # who has waited for the run is shown them
        self.feed.tell(
            RunEnded(
                thread=self.thread.id,
                step=self.checkpoint.step,
                status=status,
                next=self._next(),
                questions=self.questions,
                error=message,
            )
        )

    def _next(self) -> tuple[str, ...]:
        try:
            tasks = plan(self.thread.program, self.checkpoint)
        except NbagentError:
            return ()
        return tuple(dict.fromkeys(t.node for t in tasks if t.id not in self._standing.work.done))
