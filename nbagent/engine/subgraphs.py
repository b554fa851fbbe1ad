"""
A graph as a node. Its super-steps, checkpoints and questions are a thread under the parent's.

Rule 1: the thread's id is `PARENT/TASK`, so a restart finds it and goes on in it.
Rule 2: a task's end is its subgraph's end: done, failed; while the subgraph waits for a person
        or is paused, the task is unfinished and the parent waits or is paused, too.
Rule 3: a field that both states have is shared: the subgraph begins with the parent's value, and
        the parent gets what the subgraph changed. `inputs=` and `outputs=` say otherwise.
Rule 4: where the parent's field has a reducer, it gets the change and not the whole value, so
        nothing is added twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nbagent.engine.channels import Channel, LastValue, Reduced, Topic, Write
from nbagent.engine.checkpoint import Checkpoint, Question
from nbagent.engine.context import TaskContext, current
from nbagent.engine.events import SubgraphEvent
from nbagent.engine.program import Program
from nbagent.engine.snapshot import MISSING, equal, freeze
from nbagent.errors import StateError

if TYPE_CHECKING:
    from nbagent.engine.run import Run
    from nbagent.engine.thread import Thread

Values = Mapping[str, Any]


class Suspended(BaseException):
    """Ends a node whose subgraph waits for answers, or is paused where there are no questions.

    Not an error, and not for catching.
    """

    def __init__(self, questions: Sequence[Question]) -> None:
        super().__init__("the subgraph waits" if questions else "the subgraph is paused")
        self.questions = tuple(questions)


@dataclass(frozen=True, slots=True)
class Subgraph:
    """A graph that a node runs.

    inputs   its input: subgraph field -> parent field, or a function of what the node reads
    outputs  what the node writes: parent field -> subgraph field, or a function of the
             subgraph's last state
    into     the channels of the parent's state
    whole    write shared fields also where the subgraph left them as they were: what a cached
             node wrote is written again over other values
    """

    program: Program
    inputs: Mapping[str, str] | Callable[[Any], Values] | None
    outputs: Mapping[str, str] | Callable[[Any], Values] | None
    into: Mapping[str, Channel]
    whole: bool = False

    async def __call__(self, argument: Any) -> Values:
        """What `node.function` does: run the graph to its end; what the parent is to write."""
        inside = current("a subgraph")
        assert inside.nest is not None
        first, last = await inside.nest(inside, self.program, self.read(argument, inside.sent))
        return self.write(first, last)

    def read(self, argument: Any, sent: bool) -> Values:
        """The subgraph's input, from the parent's state or from what was sent to the node."""
        if callable(self.inputs):
            return self.inputs(argument)
        if sent and self.inputs is None:
            if isinstance(argument, Mapping):
                return argument
            raise StateError(
                f"graph {self.program.name!r} was sent a {type(argument).__name__}: send a dict "
                "of its fields, or make one with node(graph, inputs=function)"
            )
        pairs = self.inputs or {
            name: name
            for name, channel in self.program.fields.items()
            if not (channel.transient or isinstance(self.into.get(name), Topic))
        }
        return {inner: value for inner, outer in pairs.items() for value in _get(argument, outer)}

    def write(self, first: Values, last: Values) -> Values:
        """The parent's writes for a subgraph that began with `first` and ended with `last`."""
        if callable(self.outputs):
            return self.outputs(self.program.schema.view(last))
        pairs = self.outputs if self.outputs is not None else self.shared()
        written: dict[str, Any] = {}
        for outer, inner in pairs.items():
            before, channel = first.get(inner, MISSING), self.into[outer]
            if inner not in last:
                continue
            whole = self.outputs or (self.whole and isinstance(channel, LastValue))
            if whole or not equal(before, last[inner]):
                written[outer] = _change(outer, channel, before, last[inner])
        return written

    def shared(self) -> dict[str, str]:
        """The fields that both states have, those of one step left out."""
        return {
            name: name
            for name, channel in self.program.fields.items()
            if isinstance(channel, (LastValue, Reduced))
            and isinstance(self.into.get(name), (LastValue, Reduced))
        }


def _get(argument: Any, name: str) -> Iterator[Any]:
    """The field's value, if it has been written."""
    if isinstance(argument, Mapping):
        if name in argument:
            yield argument[name]
    elif hasattr(argument, name):
        yield getattr(argument, name)


def _change(name: str, channel: Channel, before: Any, after: Any) -> Any:
    """What to write, so that the parent's reducer makes `after` of `before`."""
    if not isinstance(channel, Reduced) or before is MISSING:
        return after
    for change in _candidates(before, after):
        try:
            write = Write("", "", freeze(change))
            if equal(freeze(channel.merge(before, [write])), after):
                return write.value
        except Exception:  # the reducer does not take this kind of change
            continue
    raise StateError(
        f"field {name!r} is shared with a subgraph, and its reducer gives no way to tell what the "
        "subgraph added: say what to write with node(graph, outputs=function)",
        field=name,
    )


def _candidates(before: Any, after: Any) -> Iterator[Any]:
    """What may lead from `before` to `after`, the smallest first."""
    if isinstance(after, Mapping) and isinstance(before, Mapping):
        yield {k: v for k, v in after.items() if not equal(before.get(k, MISSING), v)}
    elif isinstance(after, AbstractSet) and isinstance(before, AbstractSet):
        yield after - before
    elif isinstance(after, Sequence) and isinstance(before, Sequence):
        if equal(freeze(after[: len(before)]), before):
            yield after[len(before) :]
    elif isinstance(after, (int, float, complex)) and isinstance(before, (int, float, complex)):
        yield after - before
    yield after


def as_parents(question: Question, task: str, node: str, thread: str) -> Question:
    """A subgraph's question as its parent asks it."""
    return replace(
        question,
        id=f"{task}/{question.id}",
        node=f"{node}/{question.node}",
        task=task,
        thread=question.thread or thread,
    )


async def drive(
    parent: Run, inside: TaskContext, program: Program, given: Values
) -> tuple[Values, Values]:
    """Begin the subgraph's thread, or go on in it; its first values and its last ones.

    `Suspended` when it waits or is paused, its own error when it failed.
    """
    thread = parent.thread.nested(inside.task, program)
    run = thread.enter(given, parent)
    if run is None:  # it was done when the process ended
        return _since_its_start(thread, thread.latest().checkpoint)
    first = run.checkpoint
    run.watch(
        lambda event: parent.tell(
            SubgraphEvent(
                thread=parent.thread.id,
                step=inside.step,
                node=inside.node,
                task=inside.task,
                event=event,
            )
        )
    )
    await run.drive()
    if run.status in ("waiting", "paused"):
        raise Suspended([as_parents(q, inside.task, inside.node, thread.id) for q in run.questions])
    if run.error is not None:
        raise run.error
    if run.status != "done":  # somebody stopped it: no failure, so no policy of the node's
        raise Suspended(())
    if first.id == 1:
        return first.values, run.checkpoint.values
    return _since_its_start(thread, run.checkpoint)


def _since_its_start(thread: Thread, last: Checkpoint) -> tuple[Values, Values]:
    """The first values and the last ones of a subgraph that went on in another process.

    What no super-step has changed is one object in both, as it is in one process: two tables read
    from a file cannot be told to be equal.
    """
    first = dict(thread.point(checkpoint=1).values)
    touched = {name for info in thread.line(last.id)[1:] for name in info.updated}
    same = [name for name in first if name in last.values and name not in touched]
    return {**first, **{name: last.values[name] for name in same}}, last.values
