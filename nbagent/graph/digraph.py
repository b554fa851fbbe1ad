"""
A graph as a styled Graphviz `Digraph`, which a person can change, render and embed.

Rule 1: a name is never an id, and never markup: ids are made by place (`n3`, `n3_1` inside the
        third node), labels go through Graphviz's own escaping.
Rule 2: a subgraph is a cluster that holds its nodes; what led to it leads to its START.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import graphviz

from nbagent.engine.model.ids import node_of
from nbagent.engine.model.program import END, START, Program
from nbagent.engine.model.work import work_of
from nbagent.engine.thread.thread import Thread
from nbagent.errors import NbagentError
from nbagent.graph.layout import lines
from nbagent.graph.look import COLOURS, look

Path = Sequence[Mapping[str, Any]]
"""Where a thread has been: a dict a super-step, node -> the status it ended with."""

_STYLES = {"branch": "dashed", "each": "dotted"}


def digraph(program: Program, path: Path = (), *, subgraphs: bool = True) -> graphviz.Digraph:
    """The graph, top to bottom.

    path       where a thread has been: those nodes and edges are coloured
    subgraphs  draw what is in them, each as a cluster; else each is one box
    """
    made = graphviz.Digraph(
        program.name,
        graph_attr={
            "rankdir": "TB",
            "compound": "true",
            "nodesep": "0.3",
            "ranksep": "0.4",
            "bgcolor": "transparent",
            "fontname": "Helvetica",
            "fontsize": "11",
        },
        node_attr={
            "shape": "box",
            "style": "rounded,filled",
            "fontname": "Helvetica",
            "fontsize": "12",
            "height": "0.42",
        },
        edge_attr={"fontname": "Helvetica", "fontsize": "10", "arrowsize": "0.7"},
    )
    _draw(made, program, "n", path, subgraphs)
    return made


def _draw(
    into: graphviz.Digraph, program: Program, prefix: str, path: Path, subgraphs: bool
) -> None:
    names = (START, *program.nodes, END)
    ids = {name: f"{prefix}{place}" for place, name in enumerate(names)}
    wires = lines(program)
    used = {name for wire in wires for name in wire[:2]}
    statuses = {name: str(status) for step in path for name, status in step.items()}
    for name, id in ids.items():
        if name in (START, END):
            if name in used:
                _terminal(into, id, "START" if name == START else "END")
            continue
        inner = program.nodes[name].program
        if inner is None or not subgraphs:
            _box(into, id, name, statuses.get(name, "idle"), folded=inner is not None)
            continue
        with into.subgraph(name=f"cluster_{id}") as cluster:
            cluster.attr(
                label=graphviz.escape(name), style="rounded", color=COLOURS["edge"],
                fontcolor=COLOURS["soft"], labeljust="l",
            )  # fmt: skip
            _draw(cluster, inner, f"{id}_", (), subgraphs)
    taken = _taken(path, wires)
    for source, target, kind, label in wires:
        lit = (source, target) in taken
        colour = COLOURS["blue" if lit else "wire"]
        options = {"color": colour, "fontcolor": COLOURS["soft"]}
        options |= {"style": _STYLES[kind]} if kind in _STYLES and not lit else {}
        options |= {"penwidth": "1.8"} if lit else {}
        tail, head = ids[source], ids[target]
        if subgraphs and source in program.nodes and program.nodes[source].program is not None:
            options["ltail"] = f"cluster_{tail}"
            tail = _inside(program.nodes[source].program, tail, END)
        if subgraphs and target in program.nodes and program.nodes[target].program is not None:
            options["lhead"] = f"cluster_{head}"
            head = _inside(program.nodes[target].program, head, START)
        shown = f" {graphviz.escape(label)} " if label else None
        into.edge(tail, head, label=shown, **options)


def _inside(program: Program | None, id: str, end: str) -> str:
    """The id of a subgraph's first or last node, which an edge to its cluster leads to."""
    assert program is not None
    names = (START, *program.nodes, END)
    used = {name for wire in lines(program) for name in wire[:2]}
    name = end if end in used else names[1] if end == START else names[-2]
    inner = program.nodes.get(name)
    place = f"{id}_{names.index(name)}"
    if inner is not None and inner.program is not None:
        return _inside(inner.program, place, end)
    return place


def _terminal(into: graphviz.Digraph, id: str, word: str) -> None:
    into.node(
        id, word, shape="box", style="rounded,filled", fontsize="9", height="0.28", width="0.6",
        color=COLOURS["edge"], fillcolor=COLOURS["terminal"], fontcolor=COLOURS["soft"],
    )  # fmt: skip


def _box(into: graphviz.Digraph, id: str, name: str, status: str, *, folded: bool) -> None:
    shown = look(status)
    label = f"{shown.icon} {name}" if shown.icon else name
    into.node(
        id, graphviz.escape(label), tooltip=graphviz.escape(f"{name}: {status}"),
        color=shown.stroke, fillcolor=shown.fill, fontcolor=shown.ink,
        **({"peripheries": "2"} if folded else {}),
    )  # fmt: skip


def _taken(path: Path, wires: Collection[tuple[str, str, str, str]]) -> set[tuple[str, str]]:
    """The edges that a thread has gone: from a node of one super-step to one of the next; those of
    a join, where its target ran after all of them."""
    found = set()
    for place, step in enumerate(path):
        before = path[place - 1] if place else {START: "done"}
        seen = {name for earlier in path[:place] for name in earlier}
        for source, target, kind, _ in wires:
            if target in step and (source in before or (kind == "join" and source in seen)):
                found.add((source, target))
    ended = path[-1] if path else {}
    if ended and all(status == "done" for status in ended.values()):
        found |= {
            (source, target) for source, target, _, _ in wires if target == END and source in ended
        }
    return found


def path_of(thread: Thread) -> list[dict[str, str]]:
    """Where a thread has been, super-step by super-step, and what is under way on the last."""
    found = [dict.fromkeys(map(node_of, info.ran), "done") for info in thread.line() if info.ran]
    loaded = thread.latest()
    work = work_of(loaded)
    asked = {node_of(question.task) for question in work.questions()}
    now = {}
    for record in (*work.done.values(), *work.failed.values()):
        now[record.node] = "failed" if record.status == "failed" else "done"
    now |= dict.fromkeys(asked, "waiting")
    return [*found, now] if now else found


def rendered(made: graphviz.Digraph, format: str) -> bytes:
    """A picture of it, by the `dot` command. `NbagentError` where Graphviz is not installed."""
    try:
        return bytes(made.pipe(format=format))
    except graphviz.ExecutableNotFound:
        raise NbagentError(
            f"a {format} is made by Graphviz's command `dot`, which is not installed: install "
            'graphviz with the system\'s package manager, or graph.draw("svg") and '
            'graph.draw("text"), which need nothing'
        ) from None
    except subprocess.CalledProcessError as error:
        said = (error.stderr or b"").decode("utf-8", "replace").strip()
        raise NbagentError(f"Graphviz could not draw the graph as {format}: {said}") from error
