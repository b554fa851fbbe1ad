"""
Where the boxes and wires of a graph's picture are: by Graphviz where it is, else in ranks.

Rule 1: one layout on every machine: `dot`, else the `graphviz-pure` that pip installs, whose
        places are the same; rows by rank are only for where neither runs.
Rule 2: `live_layout` is for a view that can pan and unfold: many siblings of one shape are one
        stack, and small graphs inside are open in place. `layout` draws each node by itself.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbagent.engine.model.program import END, START, Program

if TYPE_CHECKING:  # loaded where somebody draws
    import graphviz


@dataclass(frozen=True, slots=True)
class Box:
    """A node: its centre and size in points, y downwards."""

    name: str
    kind: str  # "node", "start", "end", "stack" (of siblings) or "area" (of a graph inside)
    x: float
    y: float
    w: float
    h: float
    members: tuple[str, ...] = ()  # of a stack


@dataclass(frozen=True, slots=True)
class Wire:
    """An edge as an SVG path, with its label's place."""

    source: str
    target: str
    kind: str  # "edge", "join", "branch" or "each"
    path: str
    arrow: str
    label: str = ""
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class Drawing:
    """A laid-out graph."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data for the browser."""
        return asdict(self)


LONGEST = 26  # characters of a name that its box has room for
OPEN = 6  # nodes of a graph inside that is open in place
SIBLINGS = 8  # nodes of one shape that stand side by side; more are one stack
ACROSS, SQUARES = 20, 240  # squares in a row of a stack, and in all of it; more are a bar
Line = tuple[str, str, str, str]  # source, target, kind, label


def lines(program: Program) -> tuple[Line, ...]:
    """All that leads from one node to another: source, target, kind, label."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for edge in program.edges:
        found.setdefault((edge.source, edge.target, "edge"), [])
    for join in program.joins:
        for source in join.sources:
            found.setdefault((source, join.target, "join"), [])
    for branch in program.branches:
        for key, targets in (branch.targets or {}).items():
            for target in targets:
                found.setdefault((branch.source, target, "branch"), []).append(key)
    for each in program.eaches:
        found.setdefault((each.source, each.target, "each"), []).append(f"each {each.label}")
    return tuple((*key, ", ".join(labels)) for key, labels in found.items())


def layout(program: Program) -> Drawing:
    """The geometry of the graph, top to bottom."""
    return _layout(tuple(program.nodes), lines(program))


def live_layout(program: Program, apart: Collection[str] = ()) -> Drawing:
    """The geometry for a view: siblings folded, but those `apart`; small graphs inside opened."""
    names, wires, areas = _opened(program)
    stacks = _stacks(names, wires, frozenset(apart))
    folded = {member: stack for stack, members in stacks.items() for member in members}
    kept = tuple(dict.fromkeys(folded.get(name, name) for name in names))
    lines_of = {
        (folded.get(source, source), folded.get(target, target), kind, label): None
        for source, target, kind, label in wires
    }
    return _layout(kept, tuple(lines_of), tuple(stacks.items()), tuple(areas.items()))


Members = tuple[tuple[str, tuple[str, ...]], ...]  # of each stack, or of each graph inside


def _opened(program: Program) -> tuple[tuple[str, ...], tuple[Line, ...], dict[str, Any]]:
    """The graph's nodes and lines, with those of small graphs inside in their node's place."""
    names: list[str] = []
    areas: dict[str, tuple[str, ...]] = {}
    ends: dict[str, tuple[list[str], list[str]]] = {}
    wires: list[Line] = []
    for name, node in program.nodes.items():
        inner = node.program
        is_many = any(each.target == name for each in program.eaches)
        if inner is None or len(inner.nodes) > OPEN or is_many:
            names.append(name)
            continue
        own = {one: f"{name}/{one}" for one in inner.nodes}
        names += own.values()
        areas[name] = tuple(own.values())
        found = [(s, t) for s, t, _, _ in lines(inner)]
        first = [own[t] for s, t in found if s == START and t in own] or list(own.values())[:1]
        last = [own[s] for s, t in found if t == END and s in own] or list(own.values())[-1:]
        ends[name] = (list(dict.fromkeys(first)), list(dict.fromkeys(last)))
        wires += [
            (own[s], own[t], kind, label)
            for s, t, kind, label in lines(inner) if s in own and t in own
        ]  # fmt: skip
    for source, target, kind, label in lines(program):
        for a in ends[source][1] if source in ends else (source,):
            for b in ends[target][0] if target in ends else (target,):
                wires.append((a, b, kind, label))
    return tuple(names), tuple(wires), areas


def _stacks(
    names: Iterable[str], wires: Iterable[Line], apart: frozenset[str]
) -> dict[str, tuple[str, ...]]:
    """Stack -> its members: more than `SIBLINGS` nodes to which and from which the same leads."""
    around: dict[str, set[tuple[str, ...]]] = {name: set() for name in names}
    for source, target, kind, label in wires:
        if source in around:
            around[source].add(("to", target, kind, label))
        if target in around:
            around[target].add(("from", source, kind, label))
    alike: dict[frozenset[tuple[str, ...]], list[str]] = {}
    for name, lines_of in around.items():
        alike.setdefault(frozenset(lines_of), []).append(name)
    found: dict[str, tuple[str, ...]] = {}
    for members in alike.values():
        folded = tuple(name for name in members if name not in apart)
        if len(members) <= SIBLINGS or len(folded) < 2 or "/" in members[0]:
            continue
        prefix = _prefix(members)
        name = f"{prefix}*" if prefix else f"{members[0]} … {members[-1]}"
        while name in found or name in around:
            name += "*"
        found[name] = folded
    return found


def _prefix(names: Collection[str]) -> str:
    """How all of them begin."""
    first, last = min(names), max(names)
    pairs = enumerate(zip(first, last, strict=False))
    return first[: next((place for place, (a, b) in pairs if a != b), min(len(first), len(last)))]


@functools.lru_cache(maxsize=64)
def _layout(
    names: tuple[str, ...], wires: tuple[Line, ...], stacks: Members = (), areas: Members = ()
) -> Drawing:
    command = _command()
    if command is not None:
        try:
            return _by_dot(command, names, wires, dict(stacks), dict(areas))
        except (OSError, subprocess.SubprocessError, ValueError, KeyError):
            pass  # an old or broken Graphviz: the picture matters more than its beauty
    return _by_ranks(names, wires, dict(stacks))


def _command() -> str | None:
    """The program that lays graphs out: a virtual environment's own need not be on the path."""
    found = shutil.which("dot") or shutil.which("graphviz-pure")
    beside = Path(sys.executable).with_name("graphviz-pure")
    return found or (str(beside) if os.access(beside, os.X_OK) else None)


def _source(
    names: tuple[str, ...],
    wires: tuple[Line, ...],
    stacks: Mapping[str, tuple[str, ...]] = {},
    areas: Mapping[str, tuple[str, ...]] = {},
) -> graphviz.Digraph:
    import graphviz

    made = graphviz.Digraph(
        graph_attr={"rankdir": "TB", "nodesep": "0.36", "ranksep": "0.44", "pad": "0.1"},
        node_attr={"fontname": "Helvetica", "fontsize": "12", "shape": "box", "height": "0.42"},
        edge_attr={"fontname": "Helvetica", "fontsize": "10"},
    )
    ids = _ids(names)
    for name, id in ids.items():
        width, height = _size(name, stacks.get(name))
        made.node(id, "", width=f"{width / 72:.3f}", fixedsize="true", height=f"{height / 72:.3f}")
    for place, members in enumerate(areas.values()):
        with made.subgraph(name=f"cluster_{place}") as inside:
            inside.attr(margin="14", label=" ", fontsize="16")
            for name in members:
                inside.node(ids[name])
    for place, (source, target, _, label) in enumerate(wires):
        made.edge(ids[source], ids[target], label=f" {label} " if label else "", id=str(place))
    return made


def _ids(names: tuple[str, ...]) -> dict[str, str]:
    return {name: f"n{place}" for place, name in enumerate((START, *names, END))}


def _size(name: str, members: tuple[str, ...] | None = None) -> tuple[float, float]:
    """Width and height of a box in points: room for a sign before the name, a count behind it."""
    if members is not None:
        rows = 1 if len(members) > SQUARES else -(-len(members) // ACROSS)
        return 288.0, 76.0 + 13 * rows
    if name in (START, END):
        return 52.0, 20.0
    shown = min(len(name.rsplit("/", 1)[-1]), LONGEST)
    return max(88.0, shown * 12 * 0.56 + 28 + 9 + 34), 28.0


def _by_dot(
    command: str, names: tuple[str, ...], wires: tuple[Line, ...],
    stacks: dict[str, tuple[str, ...]], areas: dict[str, tuple[str, ...]],
) -> Drawing:  # fmt: skip
    source = _source(names, wires, stacks, areas).source
    # The binary itself, not graphviz.pipe: its JSON holds all that a picture needs.
    ran = subprocess.run(
        [command, "-Tjson"], input=source.encode(), capture_output=True, timeout=20, check=True
    )
    read = json.loads(ran.stdout)
    _, _, width, height = (float(part) for part in read["bb"].split(","))
    by_id = {id: name for name, id in _ids(names).items()}
    used = {name for line in wires for name in line[:2]}
    boxes = []
    for found in read["objects"]:
        if found["name"].startswith("cluster_"):
            left, low, right, high = (float(part) for part in found["bb"].split(","))
            name = list(areas)[int(found["name"].removeprefix("cluster_"))]
            size = (right - left, high - low)
            middle = ((left + right) / 2, height - (low + high) / 2)
            boxes.append(Box(name, "area", *middle, *size, areas[name]))
            continue
        name = by_id[found["name"]]
        x, y = (float(part) for part in found["pos"].split(","))
        if name in (START, END) and name not in used:
            continue
        kind = {START: "start", END: "end"}.get(name, "stack" if name in stacks else "node")
        size = (float(found["width"]) * 72, float(found["height"]) * 72)
        boxes.append(Box(name, kind, x, height - y, *size, stacks.get(name, ())))
    made = []
    for edge in read["edges"]:  # in an order of Graphviz's own
        start, target, kind, label = wires[int(edge["id"])]
        tip, path = _spline(edge["pos"], height)
        lx, ly = (float(part) for part in edge.get("lp", "0,0").split(","))
        made.append(Wire(start, target, kind, path, tip, label, lx, height - ly))
    return Drawing(width, height, tuple(boxes), tuple(made))


def _spline(pos: str, height: float) -> tuple[str, str]:
    """Graphviz's points as an SVG path and an arrow head."""
    end: tuple[float, float] | None = None
    points: list[tuple[float, float]] = []
    for part in pos.split():
        letter, _, rest = part.partition(",") if part[0] in "es" else ("", "", part)
        x, y = (float(number) for number in rest.split(","))
        if letter == "e":
            end = (x, height - y)
        elif not letter:
            points.append((x, height - y))
    path = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
    for place in range(1, len(points), 3):
        path += " C" + " ".join(f"{x:.1f},{y:.1f}" for x, y in points[place : place + 3])
    return _arrow(points[-1], end or points[-1]), path


def _arrow(base: tuple[float, float], tip: tuple[float, float]) -> str:
    dx, dy = tip[0] - base[0], tip[1] - base[1]
    length = (dx * dx + dy * dy) ** 0.5 or 1.0
    nx, ny = -dy / length * 3.6, dx / length * 3.6
    return (
        f"M{tip[0]:.1f},{tip[1]:.1f} L{base[0] + nx:.1f},{base[1] + ny:.1f} "
        f"L{base[0] - nx:.1f},{base[1] - ny:.1f} Z"
    )


def _by_ranks(
    names: tuple[str, ...], wires: tuple[Line, ...], stacks: dict[str, tuple[str, ...]]
) -> Drawing:
    """Rows by the distance from START; edges that lead back curve round the right side."""
    ranks = _ranks(names, wires)
    rows: dict[int, list[str]] = {}
    for name in (START, *names, END):
        if name in ranks:
            rows.setdefault(ranks[name], []).append(name)
    sizes = {name: _size(name, stacks.get(name)) for name in ranks}
    widths = {name: size[0] for name, size in sizes.items()}
    total = max((sum(widths[n] + 22 for n in row) for row in rows.values()), default=60.0)
    boxes: dict[str, Box] = {}
    top = 16.0
    for rank in sorted(rows):
        tallest = max(sizes[name][1] for name in rows[rank])
        middle = top + tallest / 2
        top += tallest + 38
        x = (total - sum(widths[n] + 22 for n in rows[rank])) / 2 + 8
        for name in rows[rank]:
            kind = {START: "start", END: "end"}.get(name, "stack" if name in stacks else "node")
            height = sizes[name][1]
            x += widths[name] / 2 + 11
            boxes[name] = Box(name, kind, x, middle, widths[name], height, stacks.get(name, ()))
            x += widths[name] / 2 + 11
    made = []
    outer = total + 24
    for source, target, kind, label in wires:
        a, b = boxes[source], boxes[target]
        if b.y > a.y:
            start, end = (a.x, a.y + a.h / 2), (b.x, b.y - b.h / 2 - 7)
            bend = (end[1] - start[1]) / 2
            path = (
                f"M{start[0]:.1f},{start[1]:.1f} C{start[0]:.1f},{start[1] + bend:.1f} "
                f"{end[0]:.1f},{end[1] - bend:.1f} {end[0]:.1f},{end[1]:.1f}"
            )
            arrow = _arrow(end, (end[0], end[1] + 7))
            at = ((start[0] + end[0]) / 2 + 14, (start[1] + end[1]) / 2)
        else:
            start, end = (a.x + a.w / 2, a.y), (b.x + b.w / 2 + 7, b.y)
            path = (
                f"M{start[0]:.1f},{start[1]:.1f} C{outer:.1f},{start[1]:.1f} "
                f"{outer:.1f},{end[1]:.1f} {end[0]:.1f},{end[1]:.1f}"
            )
            arrow = _arrow(end, (end[0] - 7, end[1]))
            at = (outer - 18, (start[1] + end[1]) / 2)
            outer += 16
        made.append(Wire(source, target, kind, path, arrow, label, *at))
    height = top - 22
    return Drawing(outer + 20, height, tuple(boxes.values()), tuple(made))


def _ranks(names: tuple[str, ...], wires: tuple[Line, ...]) -> dict[str, int]:
    """Name -> row: the longest way from START that takes no edge back."""
    after: dict[str, list[str]] = {}
    for source, target, _, _ in wires:
        after.setdefault(source, []).append(target)
    ranks: dict[str, int] = {}
    roots = [START, *(n for n in names if not any(t == n for _, t, _, _ in wires))]
    stack = [(root, 0, frozenset[str]()) for root in roots if root in after or root in names]
    budget = 20_000  # the number of paths may grow fast; rows need not be perfect
    while stack and budget:
        budget -= 1
        name, rank, above = stack.pop()
        if name in above or ranks.get(name, -1) >= rank:
            continue
        ranks[name] = rank
        stack += [(target, rank + 1, above | {name}) for target in after.get(name, ())]
    for name in names:
        ranks.setdefault(name, 0)
    if END in ranks:
        ranks[END] = max(max(ranks.values()), ranks[END])
    return ranks
