"""
The thread of a graph that a task runs: driven to its end inside the parent's run, and what has
come of it.
"""

from __future__ import annotations

from nbagent.engine.model.checkpoint import Checkpoint
from nbagent.engine.model.ids import call_of
from nbagent.engine.model.program import Program
from nbagent.engine.node.context import Nested, TaskContext
from nbagent.engine.node.subgraph import Suspended, Values, as_parents
from nbagent.engine.thread.inner_writes import Seen, written
from nbagent.engine.thread.look import StoredThread
from nbagent.engine.thread.run import Run
from nbagent.engine.watch.events import Event, NodeEffect, NodeWaiting, SubgraphEvent


async def drive(
    parent: Run, inside: TaskContext, place: str, program: Program, given: Values
) -> Nested:
    """Begin the thread at a place in the parent's, or go on in it, to its end.

    `Suspended` when it waits or is paused, its own error when it failed.
    """
    at = inside.place
    thread = parent.thread.nested(place, program)
    run = thread.enter(given, parent)
    # What a person or an effect said in it is not in its input: see `TaskContext.has_acted`.
    inside.has_acted = inside.has_acted or run is None or not run.is_the_first
    if run is None:  # it was done when the process ended
        last = thread.latest().checkpoint
        return Nested(*since_its_start(thread, last), written(thread, last))
    first, seen = run.checkpoint, Seen(run.work.done)

    def watch(event: Event) -> None:
        inside.outlet.hear()
        inner = event
        while isinstance(inner, SubgraphEvent):
            inner = inner.event
        inside.has_acted = inside.has_acted or isinstance(inner, (NodeEffect, NodeWaiting))
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
    if first.id == 1:
        return Nested(first.values, run.checkpoint.values, seen.writes)
    before = written(thread, first)
    return Nested(*since_its_start(thread, run.checkpoint), seen.behind(before))


def since_its_start(thread: StoredThread, last: Checkpoint) -> tuple[Values, Values]:
    """The first values and the last ones of a subgraph that went on in another process.

    What no super-step has changed is one object in both, as it is in one process: two tables read
    from a file cannot be told to be equal.
    """
    line = thread.line(last.id)
    first = dict(thread.point(checkpoint=1).values)
    above = thread.within[0] if thread.within else ""
    for info in line:  # what a person set in the parent is where it began, not what it did
        if info.kind == "edit" and info.actor == above:
            values = thread.load(info.id).checkpoint.values
            first |= {name: values[name] for name in info.updated if name in values}
    touched = {name for info in line[1:] if info.actor != above for name in info.updated}
    same = [name for name in first if name in last.values and name not in touched]
    return {**first, **{name: last.values[name] for name in same}}, last.values
