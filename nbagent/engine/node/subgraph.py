"""
A graph as a node. Its super-steps, checkpoints and questions are a thread under the parent's.

Rule 1: the thread's id is `PARENT/TASK`, so a restart finds it and goes on in it.
Rule 2: a task's end is its subgraph's end: done, failed; while the subgraph waits for a person
        or is paused, the task is unfinished and the parent waits or is paused, too.
Rule 3: a field that both states have is shared: the subgraph begins with the parent's value, and
        the parent gets what the subgraph changed. `inputs=` and `outputs=` say otherwise. Where a
        node inside hands over to the parent (`Command(graph=PARENT)`), that is all it gets.
Rule 4: where both fields have one reducer, the parent's gets each write of the subgraph's nodes,
        as if they were its own nodes: so subgraphs side by side give what plain nodes would.
        Where the subgraph's is another, the parent's gets the change and not the whole value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nbagent.engine.model.channels import Channel
from nbagent.engine.model.checkpoint import Question
from nbagent.engine.model.ids import inner_question, task_of
from nbagent.engine.model.program import Command, Program, Send
from nbagent.engine.model.values import MISSING, equal
from nbagent.engine.node.context import Nested, current
from nbagent.errors import StateError

Values = Mapping[str, Any]


class HandedOver(BaseException):
    """Ends a node whose code has called a graph that hands over to this node's graph: `commands`
    are what the node returns.

    Not an error, and not for catching.
    """

    def __init__(self, commands: Sequence[Command]) -> None:
        super().__init__("a graph that the node has called goes on in the node's own graph")
        self.commands = list(commands)


def commands_of(handed: Sequence[Any]) -> list[Command]:
    """What a graph hands over, as the node that runs it returns it."""
    return [
        Command(update=update, goto=[one[1] if one[0] == "to" else Send(*one[1:]) for one in goto])
        for update, goto in handed
    ]


class Suspended(BaseException):
    """Ends a node whose subgraph waits for answers, or is paused where there are no questions.

    Not an error, and not for catching.
    """

    def __init__(self, questions: Sequence[Question]) -> None:
        super().__init__("the subgraph waits" if questions else "the subgraph is paused")
        self.questions = tuple(questions)


class Kept(dict[str, Any]):
    """The input of a graph that goes on from what it ended with before; `shared` are the fields
    that it begins with anew all the same."""

    def __init__(self, given: Values, shared: Iterable[str] = ()) -> None:
        super().__init__(given)
        self.shared = frozenset(shared)


@dataclass(frozen=True, slots=True)
class Subgraph:
    """A graph that a node runs.

    inputs   its input: subgraph field -> parent field, or a function of what the node reads
    outputs  what the node writes: parent field -> subgraph field, or a function of the
             subgraph's last state
    into     the channels of the parent's state
    whole    write shared fields also where the subgraph left them as they were: what a cached
             node wrote is written again over other values
    keep     its own fields live on from one run of the node to the next
    """

    program: Program
    inputs: Mapping[str, str] | Callable[[Any], Values] | None
    outputs: Mapping[str, str] | Callable[[Any], Values] | None
    into: Mapping[str, Channel]
    whole: bool = False
    keep: bool = False

    async def __call__(self, argument: Any) -> Values | list[Command]:
        """What `node.function` does: run the graph to its end; what the parent is to write, or
        what a node inside hands over."""
        inside = current("a subgraph")
        nest, given = inside.services.nest, self.read(argument, inside.sent)
        if self.keep:
            is_shared = self.inputs is None and not inside.sent
            pairs = self.begins_with().items() if is_shared else ()
            given = Kept(given, [inner for inner, outer in pairs if outer in self.into])
        ended = await nest(inside, inside.place.task, self.program, given)
        return commands_of(ended.handed) if ended.handed else self.write(ended)

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
        pairs = self.begins_with()
        return {inner: value for inner, outer in pairs.items() for value in _get(argument, outer)}

    def begins_with(self) -> Mapping[str, str]:
        """Its field -> the parent's field that it begins with; a function's are not known."""
        if callable(self.inputs):
            return {}
        takes = self.program.takes
        return self.inputs or {
            name: name
            for name, channel in self.program.fields.items()
            if not channel.transient
            and (takes is None or name in takes)
            and (name not in self.into or self.into[name].is_given)
        }

    def write(self, ended: Nested) -> Values:
        """The parent's writes for what has come of the subgraph."""
        first, last = ended.first, ended.last
        if callable(self.outputs):
            return self.outputs(self.program.schema.view(last))
        pairs = self.outputs if self.outputs is not None else self.shared()
        written: dict[str, Any] = {}
        for outer, inner in pairs.items():
            before, channel = first.get(inner, MISSING), self.into[outer]
            if inner not in last:
                continue
            writes = ended.writes.get(inner, ())
            if writes is not None and channel.folds_like(self.program.fields[inner]):
                if writes:  # as if the subgraph's nodes were the parent's own
                    written[outer] = channel.together(writes)
                continue
            whole = self.outputs or (self.whole and not channel.folds)
            if whole or not equal(before, last[inner]):
                written[outer] = channel.change(before, last[inner])
        return written

    def shared(self) -> dict[str, str]:
        """The fields that both states have and that come out, those of one step left out."""
        gives = self.program.gives
        return {
            name: name
            for name, channel in self.program.fields.items()
            if channel.is_shared
            and (gives is None or name in gives)
            and name in self.into
            and self.into[name].is_shared
        }


def _get(argument: Any, name: str) -> Iterator[Any]:
    """The field's value, if it has been written."""
    if isinstance(argument, Mapping):
        if name in argument:
            yield argument[name]
    elif hasattr(argument, name):
        yield getattr(argument, name)


def as_parents(question: Question, call: str, node: str, thread: str) -> Question:
    """A question of a thread that a task runs, as the task's own thread asks it."""
    return replace(
        question,
        id=inner_question(call, question.id),
        node=f"{node}/{question.node}",
        task=task_of(call) or "",
        thread=question.thread or thread,
    )
