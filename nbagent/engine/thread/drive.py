"""
What makes a thread go on: inputs and answers. (R22, W4, W12)

What can be seen of it without its lease is in `look`; what a person changes of it, in `corrected`.

Rule 1: input that is refused is refused before anything is written and before any node runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from nbagent.engine.model.budget import as_answer
from nbagent.engine.model.checkpoint import Checkpoint, Lease, Loaded
from nbagent.engine.model.ids import task_id
from nbagent.engine.model.program import START
from nbagent.engine.model.work import NOTHING_DONE, undone, work_of
from nbagent.engine.step.held import apart
from nbagent.engine.step.reconcile import begin
from nbagent.engine.step.superstep import Standing
from nbagent.engine.step.updates import fields_of, read_names
from nbagent.engine.store.protocol import together
from nbagent.engine.thread import nested
from nbagent.engine.thread.answers import (
    THE_ONE,
    check_kept,
)
from nbagent.engine.thread.carried import ANEW
from nbagent.engine.thread.contexts import KIND as CONTEXT
from nbagent.engine.thread.contexts import first_context, next_context
from nbagent.engine.thread.corrected import CorrectedThread
from nbagent.engine.thread.edits import (
    changed_nodes,
    changed_notice,
    user,
)
from nbagent.engine.thread.gate import resumed
from nbagent.engine.thread.given import (
    NOTHING_GIVEN,
    Given,
    check_at_once,
    mark_metadata,
    read_given,
    read_metadata,
)
from nbagent.engine.thread.held import next_id
from nbagent.engine.thread.inner_run import drive
from nbagent.engine.thread.kept import kept_before
from nbagent.engine.thread.options import OnChange, RunOptions
from nbagent.engine.thread.run import Run
from nbagent.engine.thread.standin import (
    going_to,
    left_behind,
)
from nbagent.engine.thread.taken import matched, take_answers
from nbagent.engine.watch.events import Observer
from nbagent.errors import (
    GraphChanged,
    StateError,
    ThreadBusy,
    ThreadError,
    UnknownQuestion,
    nearest,
)


class DrivenThread(CorrectedThread):
    """What a `Thread` can do under its lease: run, and go on."""

    # ------------------------------------------------------------------------------- changing

    def start(
        self,
        given: Mapping[str, Any],
        *,
        step_limit: int = 1000,
        steps: int | None = None,
        observer: Observer | None = None,
        digest: str = "",
        fresh: bool = False,
        anew: bool = False,
        context: Any = None,
        metadata: Mapping[str, Any] | None = None,
        max_concurrency: int | None = None,
        pause_before: Any = (),
        pause_after: Any = (),
        budget: Any = None,
    ) -> Run:
        """Begin with an input; on a thread that is done, go on from its state with a new one.

        observer  called with every event, from the first on
        digest    of the input, kept with the thread, which is then to be new: else `ThreadError`
        fresh     begin with nothing but the input, whatever the thread holds, asks or has failed
                  at: its history keeps that as a branch of its own
        anew      take the input also where the thread has failed, is paused or asks: what it asks
                  and what has not finished is left behind, which its history says
        context   what nodes are given beside the state, as `task.context`; it is never stored
        metadata, max_concurrency, pause_before, pause_after, budget   see `Graph.start`
        """
        was_given, context = context is not None, first_context(self.program, context)
        options = RunOptions(
            step_limit,
            steps,
            context=context,
            metadata=read_metadata(metadata),
            max_concurrency=check_at_once(self.id, max_concurrency),
        )
        beside = read_given(self.id, self.program, pause_before, pause_after, budget)
        run = self._begin(given, options, digest=digest, fresh=fresh, anew=anew, beside=beside)
        if was_given or self.program.read_context is not None:
            self._remark(CONTEXT, type(context).__name__ if was_given else "", "")
        run.given = dict(given) if isinstance(given, Mapping) else None
        return run.launch(observer)

    def _begin(
        self,
        given: Any,
        options: RunOptions,
        parent: Run | None = None,
        *,
        digest: str = "",
        fresh: bool = False,
        anew: bool = False,
        beside: Given = NOTHING_GIVEN,
        kept: Checkpoint | None = None,
    ) -> Run:
        """kept: what a new thread goes on from."""
        if not isinstance(given, Mapping):
            given = fields_of(given, None) or given  # an object of the state class
        if not isinstance(given, Mapping):
            raise StateError(
                f"the input of graph {self.program.name!r} is a {type(given).__name__}: "
                "give a dict of state fields"
            )
        given = read_names(self.program, given, START)
        if self.program.untracked:
            given, own = apart(self.program, given)
            options = replace(options, held={**options.held, **own})
        is_new = self.stored() is None
        if fresh or (is_new and kept is None):  # a bad input is refused before there is a thread
            self.program.schema.check_input(given)
        begun = self._begin_new(given, digest, options, beside, parent, kept) if is_new else None
        if begun is not None:
            return self._run_from(*begun, options, parent)
        with self._held(create=True) as lease:
            before, found = lease.before, self.store.latest(self.id)
            if fresh:
                found = None
            is_done = before is None or before.status == "done"
            if found is not None and before is not None and (digest or not (is_done or anew)):
                raise ThreadError(
                    f"thread {self.id!r} is {before.status}: resume it, give it this input all the "
                    "same with start(…, anew=True), which leaves behind what it asks and has not "
                    "finished, start under another thread id, or begin with nothing but the input "
                    "with start(…, fresh=True)",
                    thread=self.id,
                )
            loaded = None if found is None else self._adopted(found)
            previous, note = None if loaded is None else loaded.checkpoint, ""
            if loaded is not None and not is_done:
                previous, note = left_behind(self.program, loaded)
            first = begin(self.program, given, previous, checkpoint_id=next_id(lease))
            at = beside.put(first.checkpoint)
            if note:
                at = replace(at, note=note, actor=user())
            self._mark(at, options, parent)
            if digest:  # before the checkpoint: what has one of a batch is known to be of it
                self._remark("input", str(at.id), digest)
            self.store.commit(lease, at)
        return self._run_from(at, lease, options, parent)

    def _mark(self, at: Checkpoint, options: RunOptions, parent: Run | None) -> None:
        """Keep what is known of a run beside the checkpoint that it begins at."""
        if options.metadata is not None and parent is None:
            mark = mark_metadata(self.id, at.id, options.metadata, self.clock())
            self.store.put_spans([mark])

    def _begin_new(
        self,
        given: Mapping[str, Any],
        digest: str,
        options: RunOptions,
        beside: Given,
        parent: Run | None,
        kept: Checkpoint | None,
    ) -> tuple[Checkpoint, Lease] | None:
        """Make the thread and store its input all at once; None where somebody was faster. What
        the input leads to is the user's code, so it is found before."""
        begun = begin(self.program, given, kept, checkpoint_id=1).checkpoint
        first = beside.put(replace(begun, parent=None, step=0))
        with suppress(ThreadBusy), together(self.store, self.id), self._held(create=True) as lease:
            if lease.before is not None:
                raise ThreadBusy("", thread=self.id, owner="", since=0.0)
            self._mark(first, options, parent)
            if digest:
                self._remark("input", str(first.id), digest)
            self.store.commit(lease, first)
            return first, lease
        return None

    def _run_from(
        self, checkpoint: Checkpoint, lease: Lease, options: RunOptions, parent: Run | None
    ) -> Run:
        start = Standing(checkpoint, NOTHING_DONE, checkpoint.id)
        return Run(self, lease, start, options, nest=drive, parent=parent)

    def enter(self, given: Mapping[str, Any], parent: Run) -> Run | None:
        """As a subgraph of `parent`: begin, or go on; None when it is done already."""
        info = self.stored()
        holds = parent.held.values if parent.held else {}
        options = replace(parent.options, steps=None, notice="", held=holds)
        if info is None or info.checkpoint == 0:
            kept = kept_before(self, parent, given)
            return self._begin(given, replace(options, opens=False), parent, kept=kept)
        if info.status == "done":
            return None
        if self.latest().checkpoint.note == ANEW:
            return self._begin(given, replace(options, opens=False), parent, fresh=True)
        return self._go_on({}, options, parent=parent)

    def resume(
        self,
        answer: Any = None,
        *,
        answers: Mapping[str, Any] | None = None,
        goto: Any = None,
        rerun: Sequence[str] = (),
        on_change: OnChange = "ask",
        take_over: bool = False,
        step_limit: int = 1000,
        steps: int | None = None,
        context: Any = None,
        max_concurrency: int | None = None,
        pause_before: Any = (),
        pause_after: Any = (),
        budget: Any = None,
    ) -> Run:
        """Go on from the last checkpoint; nodes that finished do not run again.

        answer     the answer to the one open question
        answers    question id -> answer; those not answered stay open
        goto       go on at this node in place of what was planned: its name, a `Send`, END, or a
                   list of these. What has finished is kept, what has not is left behind with its
                   questions; a thread that is done goes on from its last state
        rerun      nodes of the super-step under way to run again though they finished
        on_change  what to do when a node of the super-step under way has finished and its code has
                   changed since: "ask" raises `GraphChanged`, "go-on" keeps what it wrote,
                   "rerun" runs it again
        take_over  take the thread from a living owner, whose next write then fails
        steps      pause after so many super-steps
        context    as at the start, where that had one: it is in no store
        max_concurrency, pause_before, pause_after, budget   as at the start; breakpoints given
                   then still hold until they have been passed, and so does the budget
        """
        unknown = [name for name in rerun if name not in self.program.nodes]
        if unknown:
            raise ThreadError(
                f"graph {self.program.name!r} has no node {unknown[0]!r} to run again"
                f"{nearest(unknown[0], self.program.nodes)}",
                thread=self.id,
            )
        given = dict(answers or {})
        if answer is not None:
            given[THE_ONE] = answer
        given = {id: as_answer(one) for id, one in given.items()}
        options = RunOptions(
            step_limit,
            steps,
            opens=True,
            on_change=on_change,
            take_over=take_over,
            context=next_context(self, context),
            is_asked=context is None,
            max_concurrency=check_at_once(self.id, max_concurrency),
        )
        beside = read_given(self.id, self.program, pause_before, pause_after, budget)
        if goto is not None:
            if given or rerun:
                raise ThreadError(
                    f"thread {self.id!r}: goto= leaves behind what is asked and planned, so there "
                    "is nothing to answer or to run again: give one or the other",
                    thread=self.id,
                )
            self._go_to(goto, options)
        return self._go_on(given, options, rerun=rerun, beside=beside).launch()

    def _go_on(
        self,
        given: Mapping[str, Any],
        options: RunOptions,
        *,
        rerun: Sequence[str] = (),
        parent: Run | None = None,
        beside: Given = NOTHING_GIVEN,
    ) -> Run:
        """A run from the last checkpoint, with answers by question id."""
        with self._held(take_over=options.take_over, on_change=options.on_change) as lease:
            loaded = self.latest()
            is_done = lease.before is not None and lease.before.status == "done"
            if is_done and given:
                raise UnknownQuestion(
                    f"thread {self.id!r} is finished and asks nothing: look at its .state, or "
                    "give it a new input with start({…})",
                    thread=self.id,
                )
            if is_done:
                finished = f"Thread {self.id!r} is finished: there was nothing left to run."
                options = replace(options, notice=finished)
            under = self.store.under(self.id)
            if given:
                given = matched(self, loaded, given, under)
            changed = changed_nodes(loaded.checkpoint, self.program)
            rerun = [*rerun, *self._invalidated(loaded, changed, rerun, options.on_change)]
            check_kept(self.id, self.program, loaded, rerun)
            anew = nested.to_run_anew(under, self.id, loaded, rerun)
            take_answers(self, lease, loaded, given, under, options.take_over)
            was = lease.before.status if lease.before is not None else ""
            options = replace(options, opens=options.opens and was == "paused")
            if gates := resumed(loaded, options.opens):
                self.store.put_journal(lease, gates)
            loaded = self.latest()
            if rerun:
                # So that whoever goes on after a question, or a kill, goes on with what is new.
                records, entries = undone(loaded, rerun)
                self.store.put_tasks(lease, records)
                self.store.put_journal(lease, entries)
                for name in rerun:
                    code = self.program.nodes[name].fingerprint
                    self._remark("rerun", task_id(loaded.checkpoint.anchor, name), code)
                for info in anew:
                    nested.begin_anew(self.store, info, take_over=options.take_over)
            said = changed_notice(changed) if not is_done else ""
            notice = " ".join(filter(None, [options.notice, loaded.notice, said]))
            work = work_of(loaded, rerun, [one.place for one in under if one.parent == self.id])
            options = replace(options, notice=notice)
            newest = max(next_id(lease) - 1, loaded.checkpoint.id)
            at = beside.behind(loaded).put(loaded.checkpoint)
            start = Standing(at, work, newest)
            return Run(self, lease, start, options, nest=drive, parent=parent)

    def _go_to(self, goto: Any, options: RunOptions) -> None:
        """Let the thread stand where a person says, to go on from there."""
        with self._held(take_over=options.take_over, on_change=options.on_change) as lease:
            assert lease.before is not None
            at, gates = going_to(
                self.program, self.latest(), goto, lease.before.status,
                id=next_id(lease), thread=self.id, actor=user(),
            )  # fmt: skip
            self.store.commit(lease, at)
            if gates:
                self.store.put_journal(lease, gates)
            self.store.release(lease, "paused")

    def _invalidated(
        self, loaded: Loaded, changed: Sequence[str], rerun: Sequence[str], on_change: str
    ) -> list[str]:
        """Nodes to run again because their code changed; `GraphChanged` where that is a choice."""
        finished = {record.node for record in loaded.tasks if record.status == "done"}
        old = [name for name in changed if name in finished and name not in rerun]
        old = [name for name in old if name not in self._rerun_since(loaded)] if old else []
        if not old or on_change == "go-on":
            return []
        if on_change == "rerun":
            return old
        named = ", ".join(map(repr, old))
        raise GraphChanged(
            f"node {named} finished in the super-step under way, and its code has changed since: "
            'resume with on_change="go-on" to keep what it wrote, with on_change="rerun" to run '
            "it again, or fork the thread from an earlier step",
            nodes=old,
        )

    def _rerun_since(self, loaded: Loaded) -> set[str]:
        """The nodes of the super-step under way that have run again with the code of now."""
        found = {span.name: span for span in self.store.spans(self.id) if span.kind == "rerun"}
        return {
            name
            for name, node in self.program.nodes.items()
            if (span := found.get(task_id(loaded.checkpoint.anchor, name))) is not None
            and span.attributes["text"] == node.fingerprint
        }
