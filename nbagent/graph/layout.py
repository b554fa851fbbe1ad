"""
Where the boxes and wires of a graph's picture are: by Graphviz where it is, else in ranks.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nbagent.engine.model.program import END, START, Program

if TYPE_CHECKING:  # loaded where somebody draws
    import graphviz


@dataclass(frozen=True, slots=True)
class Box:
    """A node: its centre and size in points, y downwards."""

    name: str
    kind: str  # "node", "start" or "end"
    x: float
    y: float
    w: float
    h: float


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


@functools.lru_cache(maxsize=64)
def _layout(names: tuple[str, ...], wires: tuple[Line, ...]) -> Drawing:
    if shutil.which("dot"):
        try:
            return _by_dot(names, wires)
        except (OSError, subprocess.SubprocessError, ValueError, KeyError):
            pass  # an old or broken Graphviz: the picture matters more than its beauty
    return _by_ranks(names, wires)


def _source(names: tuple[str, ...], wires: tuple[Line, ...]) -> graphviz.Digraph:
    import graphviz

    made = graphviz.Digraph(
        graph_attr={"rankdir": "TB", "nodesep": "0.28", "ranksep": "0.38", "pad": "0.1"},
        node_attr={"fontname": "Helvetica", "fontsize": "12", "shape": "box", "height": "0.42"},
        edge_attr={"fontname": "Helvetica", "fontsize": "10"},
    )
    ids = _ids(names)
    for name, id in ids.items():
        terminal = name in (START, END)
        width = 0.62 if terminal else max(0.9, _text_width(name, 12) / 72 + 0.55)
        made.node(
            id, "", width=f"{width:.3f}", fixedsize="true", height="0.3" if terminal else "0.44"
        )
    for place, (source, target, _, label) in enumerate(wires):
        made.edge(ids[source], ids[target], label=f" {label} " if label else "", id=str(place))
    return made


def _ids(names: tuple[str, ...]) -> dict[str, str]:
    return {name: f"n{place}" for place, name in enumerate((START, *names, END))}


def _text_width(text: str, size: float) -> float:
    return len(text) * size * 0.56


def _by_dot(names: tuple[str, ...], wires: tuple[Line, ...]) -> Drawing:
    source = _source(names, wires).source
    # The binary itself, not graphviz.pipe: its JSON holds all that a picture needs.
    ran = subprocess.run(
        ["dot", "-Tjson"], input=source.encode(), capture_output=True, timeout=20, check=True
    )
    read = json.loads(ran.stdout)
    _, _, width, height = (float(part) for part in read["bb"].split(","))
    by_id = {id: name for name, id in _ids(names).items()}
    used = {name for line in wires for name in line[:2]}
    boxes = []
    for found in read["objects"]:
        name = by_id[found["name"]]
        x, y = (float(part) for part in found["pos"].split(","))
        if name in (START, END) and name not in used:
            continue
        kind = {START: "start", END: "end"}.get(name, "node")
        boxes.append(
            Box(name, kind, x, height - y, float(found["width"]) * 72, float(found["height"]) * 72)
        )
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


def _by_ranks(names: tuple[str, ...], wires: tuple[Line, ...]) -> Drawing:
    """Rows by the distance from START; edges that lead back curve round the right side."""
    ranks = _ranks(names, wires)
    rows: dict[int, list[str]] = {}
    for name in (START, *names, END):
        if name in ranks:
            rows.setdefault(ranks[name], []).append(name)
    widths = {n: 45.0 if n in (START, END) else max(65.0, _text_width(n, 12) + 40) for n in ranks}
    total = max((sum(widths[n] + 22 for n in row) for row in rows.values()), default=60.0)
    boxes: dict[str, Box] = {}
    for place, rank in enumerate(sorted(rows)):
        x = (total - sum(widths[n] + 22 for n in rows[rank])) / 2 + 8
        for name in rows[rank]:
            kind = {START: "start", END: "end"}.get(name, "node")
            height = 22.0 if kind != "node" else 32.0
            x += widths[name] / 2 + 11
            boxes[name] = Box(name, kind, x, 26 + place * 66, widths[name], height)
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
    height = 66.0 * len(rows) + 10
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
