"""What goes into a subgraph and comes out of it, for states and reducers of every kind. (W23)"""

import dataclasses
import operator
from typing import Annotated, TypedDict

import pytest

from nbagent import END, START, Graph, NodeError, Send, StateError, branch, node
from nbagent.stores.memory import MemoryStore


def union(old, new):
    return {**old, **new}


class Kinds(TypedDict):
    seen: Annotated[set[str], operator.or_]
    by_name: Annotated[dict[str, int], union]
    log: Annotated[list[str], operator.add]
    last: str


def inside(function, state=Kinds):
    with Graph("inner", state) as made:
        START >> node(function, name="work") >> END
    return made


def around(inner, state=Kinds, **more):
    with Graph("outer", state, store=MemoryStore()) as made:
        START >> node(inner, name="inner", **more) >> END
    return made


BEFORE = {"seen": {"a"}, "by_name": {"a": 1, "b": 2}, "log": ["a"], "last": "a"}


@pytest.mark.parametrize(
    ("field", "write", "after"),
    [
        ("seen", {"b"}, {"a", "b"}),
        ("by_name", {"b": 3, "c": 4}, {"a": 1, "b": 3, "c": 4}),
        ("log", ["b", "c"], ["a", "b", "c"]),
        ("last", "b", "b"),
    ],
)
def test_only_what_the_subgraph_added_comes_out(field, write, after):
    """So that the parent's reducer makes of it what the subgraph has; beside a sibling, too."""
    graph = around(inside(lambda state: {field: write}))

    assert {**BEFORE, field: after} == graph.run(BEFORE)


def test_a_reducer_that_gives_no_way_back_is_an_error_with_the_mend():
    """What the subgraph made of the field cannot be told as an addition."""

    class Counted(TypedDict):
        count: Annotated[int, lambda old, new: (old + new) // 2]

    class Plain(TypedDict):
        count: int

    graph = around(inside(lambda state: {"count": 7}, Plain), Counted)
    with pytest.raises((StateError, NodeError), match=r"outputs=function"):
        graph.run({"count": 1})


def test_a_state_with_attributes_goes_in():
    """A dataclass on both sides; a field that was not written stays out."""

    @dataclasses.dataclass
    class Case:
        x: int
        y: int = 5

    graph = around(inside(lambda state: {"y": state.x + state.y}, Case), Case)

    assert {"x": 1, "y": 6} == dict(graph.run({"x": 1}))


def test_functions_say_what_goes_in_and_out():
    """They see the states as nodes do."""
    inner = inside(lambda state: {"log": [state["last"] + "!"]})
    graph = around(
        inner,
        inputs=lambda state: {**BEFORE, "last": state["last"] * 2, "log": []},
        outputs=lambda state: {"last": state["log"][0]},
    )

    assert {**BEFORE, "last": "aa!"} == graph.run(BEFORE)


def test_what_is_sent_to_a_subgraph_is_its_input():
    """A dict; anything else is an error that says so."""
    inner = inside(lambda state: {"log": [state["last"]]})

    def sending(what):
        with Graph("outer", Kinds, store=MemoryStore()) as made:
            given = node(inner, name="inner")
            (
                START
                >> node(lambda state: None, name="first")
                >> branch(lambda s: Send(given, what), to=given)
            )
            given >> END
        return made

    assert ["a", "sent"] == sending({**BEFORE, "last": "sent"}).run(BEFORE)["log"]
    with pytest.raises((StateError, NodeError), match="was sent a int: send a dict"):
        sending(7).run(BEFORE)
