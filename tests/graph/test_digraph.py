"""Graphs for Graphviz and Mermaid: what people change, render and embed."""

from __future__ import annotations

import shutil
from typing import TypedDict

import pytest

from nbagent import END, START, Graph, GraphError, NbagentError, branch, interrupt, node
from nbagent.stores.memory import MemoryStore


class State(TypedDict, total=False):
    x: int
    word: str


def plain(store=None):
    with Graph("plain", State, store=store or MemoryStore()) as made:
        first = node(lambda state: {"x": 1}, name="first")
        other = node(lambda state: {"x": 3}, name="other")
        ask = node(lambda state: {"word": interrupt("Go on?")}, name="ask")
        START >> first >> branch(lambda state: "on", on=ask, off=other)
        ask >> END
        other >> END
    return made


def lines_of(made):
    return [line.strip() for line in made.source.splitlines()]


def test_subgraphs_are_clusters_or_one_box_each():
    """What is in a graph that is a node can be seen, as many levels deep as there are."""
    with Graph("inner", State) as inner:
        START >> node(lambda state: {"x": 2}, name="grow") >> END
    with Graph("outer", State) as outer:
        START >> inner >> END

    whole = outer.graphviz()
    assert "subgraph cluster_n1 {" in lines_of(whole)
    assert any("grow" in line for line in lines_of(whole))
    assert any("lhead=cluster_n1" in line for line in lines_of(whole))
    assert any("ltail=cluster_n1" in line for line in lines_of(whole))

    folded = outer.graphviz(subgraphs=False).source
    assert "cluster" not in folded
    assert "grow" not in folded
    assert "peripheries=2" in folded


def test_the_way_of_a_thread_is_coloured():
    """Nodes by their status, edges that were gone in blue, those that were not as they are."""
    made = plain()
    made.run({}, thread="a")

    source = made.graphviz("a").source
    assert "✓ first" in source
    assert "? ask" in source
    assert "✓ other" not in source
    blue = [line for line in source.splitlines() if "->" in line and "#1a6fd4" in line]
    assert ["n0 -> n1", "n1 -> n3"] == sorted(line.strip().split(" [")[0] for line in blue)
    assert source == made.graphviz(made.thread("a")).source
    assert "#1a6fd4" not in made.graphviz().source


def test_guards_are_on_the_edges_and_names_are_not_markup():
    """A branch's key stands at its edge; what a name holds is a name."""
    with Graph("hostile", State) as made:
        one = node(lambda state: None, name="one")
        START >> one >> branch(lambda state: "<b>&\\l", **{"<b>&\\l": END})

    source = made.graphviz().source
    assert 'label=" <b>&\\\\l "' in source
    assert "style=dashed" in source


def test_every_format_is_drawn():
    """Text, Mermaid and SVG everywhere; what takes `dot` where it is."""
    made = plain()
    made.run({}, thread="a")

    assert "first → ask  (on)" in made.draw()
    assert made.draw("mermaid") == made.mermaid()
    assert "flowchart TD" in made.mermaid()
    assert made.draw("svg").startswith("<svg")
    assert "digraph plain" in made.draw("dot")
    with pytest.raises(GraphError, match="'gif'"):
        made.draw("gif")
    if not shutil.which("dot"):
        pytest.skip("install graphviz to draw a PNG")
    assert made.draw("png").startswith(b"\x89PNG")
    assert "ask" in made.draw("svg", "a")


def test_what_is_missing_is_said(monkeypatch):
    """Without the command `dot` a PNG cannot be made, and the error says what can."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NbagentError, match="not installed"):
        plain().draw("png")
