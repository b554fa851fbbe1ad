"""
The thread of a graph that a task runs: driven to its end inside the parent's run, and what has
come of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from nbagent.engine.model.checkpoint import Checkpoint
from nbagent.engine.model.ids import MEMORY_CHANNEL, PARENT_CHANNEL, call_of, read_called
from nbagent.engine.model.program import Program
from nbagent.engine.node.context import Nested, TaskContext
from nbagent.engine.node.subgraph import Suspended, Values, as_parents
from nbagent.engine.step.calls import is_cancelled
from nbagent.engine.thread.inner_edits import owed_to
from nbagent.engine.thread.inner_writes import Seen, since_its_start, written
from nbagent.engine.thread.run import Run
from nbagent.engine.watch.events import Checkpointed, Event, NodeEffect, NodeWaiting, SubgraphEvent


async def drive(
    parent: Run, inside: TaskContext, place: str, program: Program, given: Values
) -> Nested:
    """Begin the thread at a place in the parent's, or go on in it, to its end.

    `Suspended` when it waits or is paused, its own error when it failed.
    """
    at = inside.place
    thread = parent.thread.nested(place, program)

    def enter() -> Run | None:
        if inside.edited and read_called(place):
            owed = owed_to(parent.thread, thread, at.node, given, inside.edited)
            if owed:
                thread.edit(owed, actor=parent.thread.id)
        entered: Run | None = thread.enter(given, parent)
        return entered

    run = await parent.write(enter)
    if run is not None and is_cancelled():  # the parent was stopped while this waited for the store
        run.let_go("stopped")
        raise asyncio.CancelledError
    # What a person or an effect said in it is not in its input: see `TaskContext.has_acted`.
    inside.has_acted = inside.has_acted or run is None or not run.is_the_first
    if run is None:  # it was done when the process ended
        last = thread.latest().checkpoint
        return Nested(*since_its_start(thread, last), written(thread, last), _handed(last), thread)
    first, seen = run.checkpoint, Seen(run.work.done)

    def watch(event: Event) -> None:
        inside.outlet.hear()
        inner = event
        while isinstance(inner, SubgraphEvent):
            inner = inner.event
        inside.has_acted = inside.has_acted or isinstance(inner, (NodeEffect, NodeWaiting))
        if isinstance(inner, Checkpointed) and MEMORY_CHANNEL in inner.checkpoint.control:
            inside.has_acted = True
        seen.see(event)
        parent.feed.tell(
            SubgraphEvent(
                thread=parent.thread.id, step=at.step, node=at.node, task=at.task, event=event
            )
        )

    run.watch(watch)
    await run.drive()
    if run.status in ("waiting", "paused"):
        call = call_of(place)
        raise Suspended([as_parents(q, call, at.node, thread.id) for q in run.questions])
    if run.error is not None:
        raise run.error
    if run.status != "done":  # somebody stopped it: no failure, so no policy of the node's
        raise Suspended(())
    last = run.checkpoint
    if first.parent is None:
        return Nested(first.values, last.values, seen.writes, _handed(last), thread)
    before = written(thread, first)
    return Nested(*since_its_start(thread, last), seen.behind(before), _handed(last), thread)


def _handed(last: Checkpoint) -> Sequence[Any]:
    found: Sequence[Any] = last.control.get(PARENT_CHANNEL, ())
    return found
