"""
Escalation: another graph takes over, then the thread goes on with what it found. (R33)

Rule 1: the other graph runs in a thread under this one, named after the question that it is to
        answer, so that calling `escalate` again after a restart goes on with it.
Rule 2: this thread stays as it was, and a person may still answer it, until the other is done.
Rule 3: a question gets the other's result as its answer; a thread without one gets it as an edit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from typing import Any

from nbagent.engine.model import ids
from nbagent.engine.model.checkpoint import Question
from nbagent.engine.model.program import Program
from nbagent.engine.model.values import MISSING, equal, thaw
from nbagent.engine.thread.drive import DrivenThread
from nbagent.engine.thread.inner_writes import since_its_start
from nbagent.engine.thread.loop import engine_loop
from nbagent.engine.thread.run import Run
from nbagent.errors import ThreadError, UnknownQuestion

Pick = str | Callable[[Any], Any] | None
State = dict[str, Any]


class Escalation:
    """A thread that another graph helps. Made by `thread.escalate`.

    `await` it, or call `result()`, for this thread's state after it went on; when the other
    thread waits for a person or is paused, for this thread's state as it stands.

    thread   the thread that asked for help
    linked   the thread of the other graph
    run      the linked thread's run; None when it was done already
    """

    def __init__(
        self, thread: DrivenThread, linked: DrivenThread, run: Run | None, hand_over: Any
    ) -> None:
        self.thread = thread
        self.linked = linked
        self.run = run
        self._ended: Future[State] = asyncio.run_coroutine_threadsafe(
            self._follow(hand_over), engine_loop()
        )

    def __repr__(self) -> str:
        return f"<Escalation of {self.thread.id!r} to {self.linked.id!r}>"

    async def _follow(self, hand_over: Callable[[], Run]) -> State:
        if self.run is not None:
            await self.run
            if self.run.status != "done":
                return self.thread.state
        state: State = await hand_over()
        return state

    def result(self, timeout: float | None = None) -> State:
        """Block until it ends; `TimeoutError` after `timeout` seconds, and it goes on."""
        return self._ended.result(timeout)

    def __await__(self) -> Generator[Any, None, State]:
        return asyncio.shield(asyncio.wrap_future(self._ended)).__await__()


def escalate(
    thread: DrivenThread,
    program: Program,
    given: Mapping[str, Any] | None,
    *,
    question: str | None,
    answer: Pick,
) -> Escalation:
    """See `Thread.escalate`."""
    if thread.status in ("running", "done"):
        raise ThreadError(
            f"thread {thread.id!r} is {thread.status}: a thread is escalated while it waits, is "
            "paused, or has failed",
            thread=thread.id,
        )
    asked = _asked(thread, question)
    linked = thread.nested(_place(thread, asked, program.name), program)
    before = linked.stored()

    def hand_over() -> Run:
        last = linked.latest().checkpoint.values
        if asked is not None:
            return thread.resume(answers={asked.id: _picked(linked, last, answer)})
        edits = _edits(thread, linked, answer)
        if edits:
            thread.edit(edits, note=f"found by {linked.id}", actor=linked.id)
        return thread.resume()

    if before is None or before.checkpoint == 0:
        if given is None:
            values = thread.latest().checkpoint.values
            given = {name: values[name] for name in program.fields if name in values}
        return Escalation(thread, linked, linked.start(given), hand_over)
    run = None if before.status == "done" else linked.resume()
    return Escalation(thread, linked, run, hand_over)


def _place(thread: DrivenThread, asked: Question | None, graph: str) -> str:
    """Where it is helped: what another graph found before is an edit, so that a thread that asks
    nothing and fails again is helped again."""
    now = thread.latest().checkpoint
    return ids.escalation(asked.id if asked else None, now.anchor, now.id, graph)


def _asked(thread: DrivenThread, id: str | None) -> Question | None:
    """The question that the other graph is to answer; None when nothing is asked."""
    questions = {question.id: question for question in thread.questions}
    if id is None and len(questions) <= 1:
        return next(iter(questions.values()), None)
    if id is None or id not in questions:
        said = f"{id!r} is not an open question" if id else f"{len(questions)} questions are open"
        raise UnknownQuestion(
            f"thread {thread.id!r}: {said}: name one with question= ({', '.join(questions)})",
            thread=thread.id,
            question=id,
        )
    return questions[id]


def _picked(linked: DrivenThread, last: Mapping[str, Any], pick: Pick) -> Any:
    """What of the linked thread's last state is the answer."""
    if callable(pick):
        return pick(linked.program.schema.view(last))
    if pick is None:
        return thaw(last)
    if pick not in last:
        raise ThreadError(
            f"thread {linked.id!r} ended without {pick!r}, which was to be the answer",
            thread=linked.id,
        )
    return thaw(last[pick])


def _edits(thread: DrivenThread, linked: DrivenThread, pick: Pick) -> dict[str, Any]:
    """The fields to set in a thread that asked nothing: those shared that the other graph wrote.
    A person may have edited the others meanwhile."""
    first, last = since_its_start(linked, linked.latest().checkpoint)
    if callable(pick):
        return dict(pick(linked.program.schema.view(last)))
    if pick is not None:
        return {pick: _picked(linked, last, pick)}
    return {
        name: thaw(last[name])
        for name in thread.program.fields
        if name in last and not equal(first.get(name, MISSING), last[name])
    }
