"""
What stands beside `>>`: START and END, branches and fan-outs, and the chain that a line makes.

Rule: everything here only says what the user wrote; the graph makes wires of it, `compile` checks
them.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nbagent.engine.model import program as compiled
from nbagent.engine.model.program import Program
from nbagent.errors import GraphError, Location
from nbagent.graph.source import here

building: contextvars.ContextVar[Building | None] = contextvars.ContextVar("nbagent_graph")


class Wirable:
    """Anything that can stand on either side of `>>`."""

    def __rshift__(self, other: Target) -> Chain:
        return _wire([self], other)

    def __rrshift__(self, other: Places) -> Chain:
        return _wire(other, self)


class Building(Wirable):
    """A graph as those see it who add to it."""

    name: str

    def compile(self) -> Program:
        """The program, checked."""
        raise NotImplementedError

    def add(self, made: Any, location: Location | None) -> None:
        """Take a node into the graph."""
        raise NotImplementedError

    def connect(self, sources: Any, target: Any, location: Location | None) -> Chain:
        """Record `sources >> target`; the chain that goes on from there."""
        raise NotImplementedError


class Terminal(Wirable):
    """START or END."""

    def __init__(self, name: str, label: str) -> None:
        self.name = name
        self._label = label

    def __repr__(self) -> str:
        return self._label


START = Terminal(compiled.START, "START")
END = Terminal(compiled.END, "END")


class Branch(Wirable):
    """The right side of `source >> branch(…)`. Made by `branch`."""

    def __init__(
        self,
        choose: str | Callable[[Any], Any],
        targets: Mapping[str, Places],
        location: Location | None,
    ) -> None:
        self.choose = choose
        self.targets = targets
        self.location = location


class Each(Wirable):
    """The right side of `source >> each(…)`. Made by `each`."""

    def __init__(
        self, items: str | Callable[[Any], Any], target: Place, location: Location | None
    ) -> None:
        self.items = items
        self.target = target
        self.location = location


class Chain(Wirable):
    """What `a >> b` gives: its loose ends take the next `>>`."""

    def __init__(self, graph: Building, ends: list[Any], closed: str = "") -> None:
        self.graph = graph
        self.ends = ends
        self.closed = closed

    def __rshift__(self, other: Target) -> Chain:
        location = here()
        if self.closed:
            raise GraphError(self.closed, location=location)
        return self.graph.connect(self.ends, other, location)

    def __repr__(self) -> str:
        return f"<wires of graph {self.graph.name!r}>"


def branch(choose: str | Callable[[Any], Any], /, **targets: Places) -> Branch:
    """A conditional edge: `choose` is a state field, or a function of the state.

    Its value is a key of `targets`, or several; a target is a node, END, or a list of nodes. A
    function may also return a `Send`, and, where no targets are given, nodes or their names.

    It may be `async`. Behind one node it is asked once for each of the node's tasks, and reads what
    that task wrote on top of the state that its super-step began with; behind a list of nodes, or
    behind `each`, it is asked once, when all have run, and reads what they all wrote.
    """
    return Branch(choose, targets, here())


def each(items: str | Callable[[Any], Any], target: Place, /) -> Each:
    """Run `target` once for each item of a list, in parallel; what follows waits for all.

    items  a state field that holds a list, or a function of the state that returns one, which
           reads what a branch there would; each run of `target` gets one item in place of the state
    """
    return Each(items, target, here())


Place = Terminal | Building | Callable[..., Any] | str
Places = Place | Sequence[Any]  # of places; nodes of different signatures make a `list[object]`
Target = Places | Branch | Each
"""What stands on the right of `>>`; a text is the name of a node."""


def listed(thing: Any) -> list[Any]:
    """One thing, or several in a list, as a list."""
    return list(thing) if isinstance(thing, (list, tuple)) else [thing]


def _wire(sources: Any, target: Any) -> Chain:
    location = here()
    graph = building.get(None)
    if graph is None:
        raise GraphError(
            "`>>` wires nodes only inside `with Graph(…):` or a %%graph cell", location=location
        )
    return graph.connect(sources, target, location)
