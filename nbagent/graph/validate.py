"""
What is wrong with a graph, before anything runs. Every `GraphError` says how to mend it.

A node that might return a `Command`, or a branch function that might return a `Send` or has no
targets, may lead anywhere: then nobody can say that a node is never reached, and that check is left
out. See `reach`.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from nbagent.engine.model.program import END, START, Branch, Program, as_argument, keys_for
from nbagent.engine.node.subgraph import Subgraph
from nbagent.errors import GraphError, Location, nearest
from nbagent.graph.reach import may_send, might_make


def validate(program: Program, location: Location | None) -> None:
    """`GraphError` for the first thing that is wrong; `location` is where the graph begins."""
    if not program.nodes:
        raise GraphError(
            f"graph {program.name!r} has no nodes: write a function under @node and wire it, as "
            "in `START >> plan >> END`",
            location=location,
        )
    _names_exist(program)
    _fields_fit(program)
    _branches_fit(program)
    _subgraphs_fit(program)
    _policies_fit(program)
    starts = _from(program, START) or any(map(_is_open, program.branches_from.get(START, ())))
    if not starts and not any(node.on for node in program.nodes.values()):
        raise GraphError(
            f"nothing follows START in graph {program.name!r}: add "
            f"`START >> {next(iter(program.nodes))}`",
            location=location,
        )
    _all_reached(program)
    _all_end(program)


def _names_exist(program: Program) -> None:
    where: list[tuple[str, Location | None]] = []
    for edge in program.edges:
        where += [(edge.source, edge.location), (edge.target, edge.location)]
    for join in program.joins:
        where += [(name, join.location) for name in (*join.sources, join.target)]
    for branch in program.branches:
        where.append((branch.source, branch.location))
        for targets in (branch.targets or {}).values():
            where += [(name, branch.location) for name in targets]
    for each in program.eaches:
        where += [(each.source, each.location), (each.target, each.location)]
    for name, location in where:
        if name not in program.nodes and name not in (START, END):
            raise GraphError(
                f"there is no node {name!r}{nearest(name, program.nodes)}: define it with @node",
                location=location,
            )
    for node in program.nodes.values():
        for name in node.on:
            if name not in program.fields:
                raise GraphError(
                    f"node {node.name!r} subscribes to {name!r}, which is not a field of the "
                    f"state{nearest(name, program.fields)}",
                    location=node.location,
                )
        if not all(c.isalnum() or c in "_- " for c in node.name) or node.name in (START, END, ""):
            raise GraphError(
                f"{node.name!r} cannot be a node's name: use letters, digits, `_` and `-`",
                location=node.location,
            )


def _fields_fit(program: Program) -> None:
    for channel in program.fields.values():
        if problem := channel.problem():
            raise GraphError(problem)


def _branches_fit(program: Program) -> None:
    """A branch on a field whose type lists its values has a target for each, and no others."""
    hints = {name: f.annotation for name, f in getattr(program.schema, "fields", {}).items()}
    for branch in program.branches:
        if branch.targets is None or branch.label not in hints:
            continue
        values = _values_of(hints[branch.label])
        if values is None:
            continue
        spelt = [key for value in values for key in keys_for(value)]
        for key in branch.targets:
            if key not in spelt:
                named = [keys_for(value)[0] for value in values]
                raise GraphError(
                    f"the branch on {branch.label!r} has a target for {key!r}, and the field "
                    f"holds only {_named(named)}{nearest(key, spelt)}",
                    location=branch.location,
                )
        missing = [
            keys_for(value)[0]
            for value in values
            if value is not None and branch.key_of(value) is None
        ]
        if missing:
            raise GraphError(
                f"the branch on {branch.label!r} has no target for {_named(missing)}: add "
                f"{as_argument(missing[0])} and where it leads",
                location=branch.location,
            )


def _values_of(annotation: Any) -> list[Any] | None:
    """All that a field can hold, where its type lists them: a Literal, an Enum, a bool."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _values_of(args[0])
    if origin is typing.Literal:
        return list(args)
    if origin in (typing.Union, types.UnionType):
        parts = [_values_of(arg) for arg in args]
        return None if None in parts else [value for part in parts for value in part or ()]
    if annotation is bool:
        return [True, False]
    if annotation is None or annotation is type(None):
        return [None]
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return None if issubclass(annotation, enum.Flag) else list(annotation)
    return None


def _subgraphs_fit(program: Program) -> None:
    """A graph as a node shares a field with its parent, or says what goes in and out."""
    for node in program.nodes.values():
        graph = node.function
        if not isinstance(graph, Subgraph):
            continue
        inner, outer = graph.program.fields, program.fields
        for name, own, other in (("inputs", inner, outer), ("outputs", outer, inner)):
            pairs = getattr(graph, name)
            if not isinstance(pairs, Mapping):
                continue
            for left, right in pairs.items():
                for field, fields in ((left, own), (right, other)):
                    if field not in fields:
                        raise GraphError(
                            f"node {node.name!r} has {name}={{{left!r}: {right!r}}}, and "
                            f"{field!r} is not a field of that state{nearest(field, fields)}",
                            location=node.location,
                        )
        if graph.outputs is None and not graph.shared():
            raise GraphError(
                f"graph {graph.program.name!r} as node {node.name!r} has no field in common with "
                "this state, so nothing would come out of it: name one alike, or say what is "
                "written with node(graph, outputs={field of this state: field of the graph})",
                location=node.location,
            )


def _policies_fit(program: Program) -> None:
    """What `recover` and `cache` name is there."""
    for node in program.nodes.values():
        cache = node.policy.cache
        key = cache.key if cache else None
        named = [key] if isinstance(key, str) else [] if callable(key) else list(key or ())
        named += [way for way in (node.policy.recover or {}).values() if isinstance(way, str)]
        for name in named:
            if name not in program.fields:
                raise GraphError(
                    f"node {node.name!r} names {name!r} in recover= or cache=, which is not a "
                    f"field of the state{nearest(name, program.fields)}",
                    location=node.location,
                )


def _from(program: Program, source: str) -> list[str]:
    """Where the graph's wires lead from `source`."""
    found = list(program.edges_from.get(source, ()))
    found += [join.target for join in program.joins_from.get(source, ())]
    for branch in program.branches_from.get(source, ()):
        found += [name for targets in (branch.targets or {}).values() for name in targets]
    found += [each.target for each in program.eaches_from.get(source, ())]
    return found


def _is_open(branch: Branch) -> bool:
    """True when it might lead to nodes that it does not name."""
    return branch.targets is None or might_make(branch.choose)


def _leads_anywhere(program: Program, name: str) -> bool:
    """True when a node's Command, or a route behind it, might lead to any node."""
    return any(map(_is_open, program.branches_from.get(name, ()))) or (
        name in program.nodes and may_send(program.nodes[name])
    )


def _all_reached(program: Program) -> None:
    roots = [START, *(node.name for node in program.nodes.values() if node.on)]
    reached = _closure(program, roots)
    lost = [node for name, node in program.nodes.items() if name not in reached]
    if lost and not any(_leads_anywhere(program, name) for name in reached):
        raise GraphError(
            f"node {lost[0].name!r} is never reached: add an edge to it or remove it",
            location=lost[0].location,
        )


def _all_end(program: Program) -> None:
    """Every node can come to END; one that only subscribes to fields ends by itself."""
    ends = {END}
    ends |= {n.name for n in program.nodes.values() if n.on and not _from(program, n.name)}
    ends = _leading_to(program, ends)
    if any(name not in ends for name in program.nodes):
        more = {name for name in program.nodes if _leads_anywhere(program, name)}
        ends = _leading_to(program, ends | more)
    for name, node in program.nodes.items():
        if name not in ends:
            follows = _from(program, name)
            circle = f" (it only leads to {_named(dict.fromkeys(follows))})" if follows else ""
            raise GraphError(
                f"node {name!r} has no way to END{circle}: add `{name} >> END`, or a branch "
                "that leads there",
                location=node.location,
            )


def _leading_to(program: Program, ends: set[str]) -> set[str]:
    """The nodes from which wires lead to one of `ends`, and those."""
    into: dict[str, list[str]] = {}
    for source in program.nodes:
        for target in _from(program, source):
            into.setdefault(target, []).append(source)
    found, left = set(ends), list(ends)
    while left:
        for source in into.get(left.pop(), ()):
            if source not in found:
                found.add(source)
                left.append(source)
    return found


def _closure(program: Program, roots: Iterable[str]) -> set[str]:
    found: set[str] = set()
    left = list(roots)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += _from(program, name)
    return found


def _named(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
