"""graph.clear_cache: what cached nodes have returned is forgotten."""

from typing import TypedDict

import pytest

from nbagent import END, START, Graph, GraphError, node
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


class State(TypedDict, total=False):
    x: int
    y: int


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    made = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "a.db")
    yield made
    made.close()


def build(store, calls, name="outer"):
    with Graph("inner", State, store=store) as inner:

        @node(cache=True)
        def deep(state):
            calls.append("deep")
            return {"y": state["x"]}

        START >> deep >> END
    with Graph(name, State, store=store) as outer:

        @node(cache=True)
        def top(state):
            calls.append("top")
            return {"x": state["x"]}

        START >> top >> inner >> END
    return outer


def test_all_of_it_or_one_node(store):
    """Without a name all that the graph's nodes have returned is forgotten, its subgraphs' too;
    with one, that node's."""
    calls = []
    outer = build(store, calls)
    for _ in range(2):
        outer.run({"x": 1})
    assert ["top", "deep"] == calls
    assert 1 == outer.clear_cache("top")
    outer.run({"x": 1})
    assert ["top", "deep", "top"] == calls
    outer.run({"x": 2})
    assert 4 == outer.clear_cache()
    assert 0 == outer.clear_cache(outer.nodes["top"])
    outer.run({"x": 2})
    assert ["top", "deep", "top", "top", "deep", "top", "deep"] == calls


def test_a_name_that_is_none(store):
    """A node that the graph does not have is named."""
    with pytest.raises(GraphError, match=r"has no node 'tops' \(did you mean 'top'"):
        build(store, []).clear_cache("tops")
