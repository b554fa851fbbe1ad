"""The construction API: what a user writes, and what it says when it is wrong. (R46)"""

from __future__ import annotations

import dataclasses
import operator
from typing import Annotated, Literal, TypedDict

import pydantic
import pytest

from nbagent import END, START, Command, Graph, Send, branch, each, emit, interrupt, node, thaw
from nbagent.errors import GraphError, NodeError, StateError
from nbagent.stores.memory import MemoryStore


class State(TypedDict):
    topic: str
    queries: list[str]
    notes: Annotated[list[str], operator.add]
    draft: str
    verdict: Literal["revise", "accept"]


@node
async def plan(state):
    return {"queries": ["a", "b"]}


@node
def web(state):
    emit("working")
    return {"notes": ["web"]}


@node
def papers(state):
    return {"notes": ["papers"]}


@node
def write(state):
    return {"draft": ", ".join(state["notes"])}


def graph(wire, state=State, name="g"):
    """A graph wired by a function."""
    made = Graph(name, state, store=MemoryStore())
    with made:
        wire()
    return made


def wrong(wire, state=State):
    """The GraphError that a wiring raises."""
    with pytest.raises(GraphError) as caught:
        graph(wire, state)
    return caught.value


async def test_a_node_is_still_a_function():
    """It is called and tested alone; emit does nothing there."""
    assert {"queries": ["a", "b"]} == await plan({})
    assert {"notes": ["web"]} == web({})
    assert "web" == web.__name__


def test_siblings_join_and_a_cycle():
    """The picture of the README: a join after siblings, a branch that leads back or out."""

    def wire():
        @node
        def critique(state):
            return {"verdict": interrupt("ok?", schema=Literal["revise", "accept"])}

        START >> plan >> [web, papers] >> write >> critique
        critique >> branch("verdict", revise=plan, accept=END)

    made = graph(wire)
    state = made.run({"topic": "bees"}, thread="t")
    assert "web, papers" == state["draft"]
    with pytest.raises(StateError, match="'maybe' is not one of"):
        made.thread("t").resume("maybe")
    made.thread("t").resume("revise").result()
    assert "web, papers, web, papers" == made.thread("t").resume("accept").result()["draft"]


def test_each_and_send():
    """One task an item; a function may send to several nodes."""

    def wire():
        @node
        def search(item):
            return {"notes": [item]}

        START >> plan >> each("queries", search) >> write
        write >> branch(lambda state: [Send("search", "extra")] if len(state["notes"]) < 3 else END)

    assert ["a", "b", "extra"] == graph(wire).run({})["notes"]


def test_a_command_goes_anywhere():
    """Nodes that only a Command reaches are no mistake."""

    def wire():
        @node
        def choose(state):
            return Command(update={"draft": "x"}, goto="finish")

        @node
        def finish(state):
            return {"notes": [state["draft"]]}

        START >> choose
        finish >> END

    assert ["x"] == graph(wire).run({})["notes"]


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (lambda: START >> plan >> "wrte", "no node 'wrte'"),
        (lambda: (START >> plan >> END, web), None),
        (lambda: START >> plan, "node 'plan' has no way to END: add `plan >> END`"),
        (lambda: (START >> plan >> web, web >> plan), "no way to END"),
        (lambda: START >> plan >> branch("verdct", accept=END), "did you mean 'verdict'"),
        (lambda: START >> plan >> branch("verdict", acept=END), "did you mean 'accept'"),
        (lambda: START >> plan >> branch("verdict", accept=END), "no target for 'revise'"),
        (lambda: START >> plan >> branch("verdict"), "has no targets"),
        (lambda: START >> plan >> 3, "cannot be wired"),
        (lambda: None, "has no nodes"),
        (lambda: START >> node(lambda s: None, name="a", on="topc") >> END, "mean 'topic'"),
        (lambda: START >> plan >> START, "nothing can lead to START"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_mend(wire, message):
    """Unknown node, no way to END, a typo in a branch: each at the user's own line."""
    if message is None:
        graph(wire)  # a node that was defined elsewhere and is not wired is nobody's mistake
        return
    error = wrong(wire)
    assert message in str(error)
    if error.location is not None:
        assert __file__ == error.location.filename


def test_a_node_that_is_never_reached():
    """Defined in the graph and not wired."""

    def wire():
        @node
        def lost(state):
            return None

        START >> plan >> END

    assert "node 'lost' is never reached: add an edge to it or remove it" == str(wrong(wire))


def test_a_reducer_that_cannot_be_called():
    """Named with its field."""

    class Bad(TypedDict):
        notes: Annotated[list[str], "add"]

    class One(TypedDict):
        notes: Annotated[list[str], len]

    with pytest.raises(GraphError, match="field 'notes' of Bad has the reducer 'add'"):
        Graph("g", Bad)
    with pytest.raises(GraphError, match="'notes', len, does not take two values"):
        graph(lambda: START >> web >> END, One)


def test_wires_outside_a_graph_are_refused():
    """There is nothing to wire into."""
    with pytest.raises(GraphError, match="only inside"):
        START >> plan


@pytest.mark.parametrize("kind", ["dataclass", "pydantic"])
def test_a_state_with_attributes(kind):
    """A dataclass or model: defaults, attribute access, and no assignment."""
    if kind == "dataclass":

        @dataclasses.dataclass
        class Shape:
            x: int = 1
            log: Annotated[list[int], operator.add] = dataclasses.field(default_factory=list)
    else:

        class Shape(pydantic.BaseModel):
            x: int = 1
            log: Annotated[list[int], operator.add] = []

    def wire():
        @node
        def good(state):
            return {"log": [state.x]}

        START >> good >> END

    assert {"x": 1, "log": [1]} == graph(wire, Shape).run({})

    def bad():
        @node
        def assigns(state):
            state.x = 2

        START >> assigns >> END

    with pytest.raises(NodeError, match=r"cannot set state\.x"):
        graph(bad, Shape).run({})


def test_values_are_checked_where_they_come_in():
    """Input, write and edit; the message has the place and what was found."""

    def wire():
        @node
        def writes(state):
            return {"queries": ["a", 1]}

        START >> writes >> END

    made = graph(wire)
    with pytest.raises(StateError, match=r"topic: Input should be a valid string, not 5"):
        made.start({"topic": 5})
    with pytest.raises(StateError, match="did you mean 'topic'"):
        made.start({"topc": "x"})
    with pytest.raises(NodeError, match=r"queries\[1\]: Input should be a valid string, not 1"):
        made.run({}, thread="t")
    with pytest.raises(StateError) as caught:
        made.thread("t").edit({"draft": 1, "verdict": "maybe"})
    assert [("draft",), ("verdict",)] == [problem.path for problem in caught.value.errors]


def test_a_field_that_was_not_written_is_a_sentence():
    """Reading it says what to do."""

    def wire():
        @node
        def reads(state):
            return {"draft": state["topic"]}

        START >> reads >> END

    with pytest.raises(NodeError, match="'topic' has not been written yet"):
        graph(wire).run({})


async def test_streams():
    """Updates, values, emitted items and events, as they happen. (R38)"""
    made = graph(lambda: START >> plan >> web >> END)

    assert [{"plan": {"queries": ["a", "b"]}}, {"web": {"notes": ["web"]}}] == [
        update async for update in made.stream({}, mode="updates")
    ]
    assert [("web", "working")] == [item async for item in made.stream({}, mode="emitted")]
    assert ["web"] == [value async for value in made.stream({}, mode="values")][-1]["notes"]
    assert "RunEnded" == [type(e).__name__ async for e in made.stream({})][-1]


def test_thaw_gives_a_private_copy():
    """What a node thaws it may change."""

    def wire():
        @node
        def sorts(state):
            mine = thaw(state["queries"])
            mine.sort()
            return {"queries": mine}

        START >> sorts >> END

    assert ["a", "b"] == graph(wire).run({"queries": ["b", "a"]})["queries"]


def test_a_graph_in_itself_is_refused():
    """Also under another name."""
    with pytest.raises(GraphError, match="'a' in 'a'"), Graph("a", State) as a:
        START >> node(a, name="me") >> END


async def test_a_thread_begins_anew():
    """`fresh=` means the same in `start`, `run` and `arun`: nothing but the input, on a thread that
    is done as on one that asks."""

    def wire():
        @node
        def ask(state):
            return {"draft": interrupt("?") if state["topic"] == "asks" else "none"}

        START >> web >> ask >> END

    made = graph(wire)
    begun = [made.run({"topic": topic}, "t", fresh=True)["notes"] for topic in ("a", "asks", "b")]
    begun.append((await made.arun({"topic": "c"}, "t", fresh=True))["notes"])

    assert [["web"]] * 4 == begun
    assert ["web", "web"] == made.run({"topic": "d"}, "t")["notes"]
