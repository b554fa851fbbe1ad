"""Fields that live for a run only and are never stored: clients, connections. (R18)"""

import operator
import threading
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import pytest

from nbagent import (
    END,
    START,
    Cache,
    Command,
    Graph,
    NodeError,
    StateError,
    Untracked,
    interrupt,
    node,
)
from nbagent.errors import ConflictError
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


class Client:
    """What cannot be copied, nor stored."""

    def __init__(self, name="client-secret"):
        self.name = name
        self.lock = threading.Lock()

    def __deepcopy__(self, memo):
        raise AssertionError("a client was copied")


class State(TypedDict, total=False):
    x: int
    log: Annotated[list[str], operator.add]
    client: Annotated[Client, Untracked]


@dataclass
class Object:
    x: int = 0
    client: Annotated[Client | None, Untracked] = None


def connecting(store=None, *, state=State):
    """A node that connects, one that asks, and one that uses the client."""
    made = []

    def client_of(read):
        if isinstance(read, dict):
            return read.get("client")
        return read.client

    with Graph("g", state, store=store or MemoryStore()) as graph:

        @node
        def connect(state):
            made.append(Client())
            return {"client": made[-1]}

        @node
        async def use(state):
            assert client_of(state) is made[-1]
            return {"x": 1}

        @node
        def again(state):
            assert client_of(state) is made[-1]
            return {"x": 2}

        START >> connect >> use >> again >> END
    return graph


@pytest.mark.parametrize("state", [State, Object])
def test_what_a_node_writes_the_next_ones_read_as_it_is(tmp_path, state):
    """The very object, for as long as the run goes on; none of it is in the file."""
    store = SqliteStore(tmp_path / "a.db")
    graph = connecting(store, state=state)
    got = graph.run({"x": 0}, thread="t")

    assert 2 == got["x"]
    assert "client" not in got and "client" not in graph.thread("t").state
    store.close()
    assert b"client-secret" not in (tmp_path / "a.db").read_bytes()


def test_it_is_gone_when_the_thread_goes_on():
    """A node says so, and may make another; what the run was asked for is not lost."""
    seen = []
    with Graph("g", State, store=MemoryStore()) as graph:

        @node
        def connect(state):
            return {"client": Client()}

        @node
        def ask(state):
            seen.append("client" in state)
            return {"log": [interrupt("Well?")]}

        START >> connect >> ask >> END
    graph.run({}, thread="t")
    graph.thread("t").resume("so").result()

    assert [True, False] == seen


def test_an_input_may_give_it(tmp_path):
    """Beside what is stored; its type is checked."""
    store = SqliteStore(tmp_path / "a.db")
    client, seen = Client(), []
    with Graph("g", State, store=store) as graph:
        START >> node(lambda s: seen.append(s["client"]), name="n") >> END
    graph.run({"x": 1, "client": client}, thread="t")
    graph.run({"client": client}, thread="t")

    assert [True, True] == [one is client for one in seen]
    with pytest.raises(StateError, match="client"):
        graph.run({"client": "a text"})
    store.close()


def test_two_that_write_it_are_a_conflict():
    """As for any field without a reducer; what they wrote besides is kept."""
    with Graph("g", State, store=MemoryStore()) as graph:
        nodes = [node(lambda s: {"client": Client()}, name=name) for name in ("a", "b")]
        START >> nodes >> node(lambda s: {}, name="join") >> END
    with pytest.raises(ConflictError, match="'client' was written by 'a' and 'b'"):
        graph.run({})


def test_siblings_read_it_when_their_super_step_is_over():
    """As all that is written."""
    seen = []
    with Graph("g", State, store=MemoryStore()) as graph:
        one = node(lambda s: {"client": Client()}, name="one")
        two = node(lambda s: seen.append("client" in s), name="two")
        START >> [one, two] >> node(lambda s: seen.append("client" in s), name="join") >> END
    graph.run({})

    assert [False, True] == seen


async def test_subgraphs_and_called_graphs_read_their_parents():
    """Where their state has the field; what they write of it stays theirs."""
    client, seen = Client(), []
    with Graph("inner", State, store=MemoryStore()) as inner:

        @node
        def look(state):
            seen.append(state["client"])
            return {"client": Client(), "x": 1}

        START >> look >> END
    with Graph("outer", State, store=MemoryStore()) as outer:

        @node
        async def calls(state):
            seen.append(state["client"])
            await inner.arun({"x": 2})

        START >> inner >> calls >> END
    await outer.arun({"client": client, "x": 0})

    assert [True] * 3 == [one is client for one in seen]


def test_it_may_stand_in_a_command_and_in_a_list():
    """Wherever a node's writes may."""
    seen = []
    with Graph("g", State, store=MemoryStore()) as graph:
        one = node(lambda s: [Command(update={"client": Client("a")}), {"x": 1}], name="one")
        two = node(lambda s: seen.append(s["client"].name), name="two")
        START >> one >> two >> END

    assert 1 == graph.run({})["x"]
    assert ["a"] == seen


def test_a_node_that_writes_it_is_not_cached():
    """A client of another run would be handed out, or none at all."""
    called = []
    with Graph("g", State, store=MemoryStore()) as graph:

        @node(cache=Cache())
        def connect(state):
            called.append(1)
            return {"client": Client()}

        START >> connect >> node(lambda s: {"x": len(s["client"].name)}, name="use") >> END
    graph.run({"x": 1})
    graph.run({"x": 1})

    assert [1, 1] == called


def test_nobody_edits_it_and_no_form_shows_it():
    """There is nothing to look at between two runs."""
    graph = connecting()
    graph.run({}, thread="t")
    with pytest.raises(StateError, match="only a run has it"):
        graph.thread("t").edit({"client": Client()})

    schema: Any = graph.compile().schema
    assert (
        {"x", "log"}
        == {*schema.json_schema()["properties"]}
        == {*schema.form_schema()["properties"]}
    )


def test_a_wrong_type_is_refused():
    """As for any field."""
    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(lambda s: {"client": "a text"}, name="n") >> END
    with pytest.raises(NodeError, match="client"):
        graph.run({})
