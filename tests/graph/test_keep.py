"""keep=True: a graph inside of another remembers its own fields from turn to turn."""

import asyncio
import operator
from typing import Annotated, TypedDict

import pytest

from nbagent import END, START, Graph, GraphError, NbagentError, NodeError, interrupt, node
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


class Inner(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    asked: str
    turns: Annotated[int, operator.add]


class Outer(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    asked: str
    answer: str


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    is_file = request.param == "sqlite"
    made = SqliteStore(tmp_path / "a.db", durability="process") if is_file else MemoryStore()
    yield made
    made.close()


def agent(store, name="agent"):
    """It counts its turns, asks where it is told to, and fails where it is told to."""
    fails = []
    with Graph(name, Inner, store=store) as made:

        @node
        def count(state):
            return {"turns": 1}

        @node
        def speak(state):
            said = state.get("asked", "")
            if said == "ask":
                said = interrupt("What?")
            if said == "fail" and not fails:
                fails.append(1)
                raise RuntimeError("down")
            return {"log": [f"{state['turns']}: {said}"]}

        START >> count >> speak >> END
    return made


def as_node(store, **options):
    with Graph("outer", Outer, store=store) as outer:
        START >> node(agent(store), name="helper", **options) >> END
    return outer


def as_call(store, keep=True):
    inner = agent(store)
    with Graph("caller", Outer, store=store) as outer:

        @node
        async def helper(state):
            first = await inner.arun({"asked": state["asked"]}, keep=keep)
            return {"log": [first["log"][-1]]}

        START >> helper >> END
    return outer


@pytest.mark.parametrize("made", [lambda store: as_node(store, keep=True), as_call])
def test_its_own_fields_live_on(store, made):
    """A counter of the inner graph counts on from turn to turn, in each parent's thread by itself
    and in another process; a field that both have is not doubled."""
    for turn in ("a", "b", "c"):
        made(store).run({"asked": turn}, "t")
    assert ["1: a", "2: b", "3: c"] == made(store).thread("t").state["log"]
    assert ["1: x"] == made(store).run({"asked": "x"}, "u")["log"]


@pytest.mark.parametrize("made", [as_node, lambda store: as_call(store, keep=False)])
def test_without_it_each_turn_is_the_first(store, made):
    """Without keep=True nothing is remembered."""
    for turn in ("a", "b"):
        made(store).run({"asked": turn}, "t")
    assert ["1: a", "1: b"] == made(store).thread("t").state["log"]


@pytest.mark.parametrize("made", [lambda store: as_node(store, keep=True), as_call])
def test_questions_and_failures_within_a_turn(store, made):
    """A turn that asks or fails goes on in itself, and is counted once."""
    made(store).run({"asked": "a"}, "t")
    assert "waiting" == made(store).run({"asked": "ask"}, "t").status
    graph = made(store)
    graph.thread("t").resume("well").result()
    with pytest.raises(NodeError):
        graph.run({"asked": "fail"}, "t")
    graph.thread("t").resume().result()
    assert ["1: a", "2: well", "3: fail"] == graph.thread("t").state["log"]


def test_what_it_is_given_goes_through_its_reducers(store):
    """inputs= of a kept graph is a new input to it, as a second input to a thread is."""

    def inputs(state):
        return {"log": [f"in {state['asked']}"], "asked": state["asked"]}

    with Graph("outer", Outer, store=store) as outer:

        def outputs(state):
            return {"answer": " / ".join(state["log"])}

        helper = node(agent(store), name="helper", keep=True, inputs=inputs, outputs=outputs)
        START >> helper >> END
    outer.run({"asked": "a"}, "t")
    assert "in a / 1: a / in b / 2: b" == outer.run({"asked": "b"}, "t")["answer"]


def test_a_fork_remembers_its_own_line(store):
    """A branch from an earlier turn goes on from what was there, and not from what came after."""
    outer = as_node(store, keep=True)
    for turn in ("a", "b", "c"):
        outer.run({"asked": turn}, "t")
    thread = outer.thread("t")
    after_a = next(info.id for info in thread.line() if info.kind == "step")
    thread.fork(checkpoint=after_a, in_place=True)
    thread.resume().result()
    assert ["1: a", "2: d"] == outer.run({"asked": "d"}, "t")["log"]


def test_several_calls_in_a_turn(store):
    """One after another they go on from each other; two at once are refused, and so is one outside
    of a node; a function has nothing to keep."""
    inner = agent(store)
    with Graph("caller", Outer, store=store) as outer:

        @node
        async def helper(state):
            if state["asked"] == "both":
                await asyncio.gather(*(inner.arun({"asked": n}, keep=True) for n in "ab"))
            await inner.arun({"asked": "x"}, keep=True)
            last = await inner.arun({"asked": "y"}, keep=True)
            return {"log": last["log"]}

        START >> helper >> END
    assert ["1: x", "2: y"] == outer.run({"asked": ""}, "t")["log"]
    assert "4: y" == outer.run({"asked": ""}, "t")["log"][-1]
    with pytest.raises(NodeError, match="while another such call of it is under way"):
        outer.run({"asked": "both"}, "u")
    with pytest.raises(NbagentError, match="is for a call inside a node"):
        inner.run({"asked": "a"}, keep=True)
    with pytest.raises(GraphError, match="keep= is for a Graph"):
        node(lambda state: {}, keep=True)
