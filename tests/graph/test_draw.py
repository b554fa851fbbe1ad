"""Graphs as pictures. (C7)"""

from __future__ import annotations

import operator
from typing import Annotated, TypedDict

import pytest

from nbagent import END, START, Graph, branch, node
from nbagent.graph import draw, layout


class State(TypedDict):
    x: int
    notes: Annotated[list[str], operator.add]


def program():
    """Siblings, a join, a cycle."""
    with Graph("g", State) as made:
        for name in ("a", "b", "c-c", "d"):
            globals()[name] = node(lambda state: None, name=name)
        nodes = made.nodes
        START >> nodes["a"] >> [nodes["b"], nodes["c-c"]] >> nodes["d"]
        nodes["d"] >> branch(lambda s: "out", back=nodes["a"], out=END)
    return made.compile()


@pytest.mark.parametrize("with_dot", [True, False])
def test_every_node_and_every_edge_is_drawn(with_dot, monkeypatch):
    """With Graphviz and without; rows follow the edges, and each wire keeps its ends. (C5, C7)"""
    if not with_dot:
        monkeypatch.setattr("shutil.which", lambda name: None)
    layout._layout.cache_clear()
    drawing = layout.layout(program())
    layout._layout.cache_clear()
    at = {box.name: box for box in drawing.boxes}

    assert {START.name, "a", "b", "c-c", "d", END.name} == set(at)
    assert at["a"].y < at["b"].y == at["c-c"].y < at["d"].y < at[END.name].y
    assert [("d", "a", "back")] == [
        (wire.source, wire.target, wire.label) for wire in drawing.wires if wire.label == "back"
    ]
    assert 7 == len(drawing.wires)
    for wire in drawing.wires:
        x, y = (float(part) for part in wire.path[1:].split(" ")[0].split(","))
        source = at[wire.source]
        assert abs(x - source.x) <= source.w / 2 + 8
        assert abs(y - source.y) <= source.h / 2 + 8


def test_a_picture_escapes_what_it_shows():
    """Names and labels cannot become markup."""
    box = layout.Box("<script>", "node", 10, 10, 20, 20)
    wire = layout.Wire("a", "b", "edge", "M0,0", "M0,0", "<b>", 1, 1)
    svg = draw.to_svg(layout.Drawing(50, 50, (box,), (wire,)))

    assert "<script>" not in svg
    assert "&lt;script&gt;" in svg
    assert "<b>" not in svg


def test_text_and_mermaid():
    """A line an arrow, with the branch's key."""
    made = program()

    assert "  d → END  (out)" in draw.to_text(made)
    assert 'd"]' in draw.to_mermaid(made)


def test_mermaid_holds_subgraphs_and_no_markup():
    """A graph that is a node is a block with its nodes; a key with signs of Mermaid's stays one."""
    with Graph("inner", State) as inner:
        START >> node(lambda state: None, name="grow") >> END
    with Graph("outer", State) as outer:
        START >> inner
        inner >> branch(lambda state: "", **{'"]; x': END, "#<b>": inner})

    assert [
        "flowchart TD",
        '  n0(["START"])',
        '  subgraph n1["inner"]',
        '    n1_0(["START"])',
        '    n1_1["grow"]',
        '    n1_2(["END"])',
        "    n1_0 --> n1_1",
        "    n1_1 --> n1_2",
        "  end",
        '  n2(["END"])',
        "  n0 --> n1",
        '  n1 -- "#34;]; x" --> n2',
        '  n1 -- "#35;#60;b#62;" --> n1',
    ] == draw.to_mermaid(outer.compile()).split("\n")
