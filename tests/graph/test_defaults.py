"""What a graph says for all its nodes, and what a node may say against it."""

import asyncio
import threading
from typing import TypedDict

import pytest

from nbagent import END, PERSON, START, Graph, GraphError, NodeError, Retry, emit, node
from nbagent.stores.memory import MemoryStore


class State(TypedDict, total=False):
    x: str
    errors: str
    calls: int


def failing(error, calls):
    def fails(state):
        calls.append(state.get("x"))
        raise error

    return fails


def run(function, *, options=None, **graph):
    with Graph("one", State, store=MemoryStore(), **graph) as made:
        START >> node(function, name="only", **(options or {})) >> END
    return made.run({"x": "a"}, "t")


def test_all_nodes_get_what_the_graph_says():
    """retry=, timeout=, recover= of a graph hold for each node that does not say otherwise. (R4)"""
    calls = []
    again = Retry(attempts=3, wait=0)
    flaky = ConnectionError("gone")
    assert {"x": "a", "errors": "ConnectionError: gone"} == run(
        failing(flaky, calls), retry=again, recover="errors"
    )
    assert 3 == len(calls)
    with pytest.raises(NodeError, match=r"longer than 0\.01 seconds"):
        run(lambda state: threading.Event().wait(5), timeout=0.01)


@pytest.mark.parametrize("own", [False, 1, Retry(attempts=1)])
def test_a_node_says_otherwise(own):
    """A node's own policy counts, and False is none of it."""
    calls = []
    with pytest.raises(NodeError):
        run(failing(ConnectionError("gone"), calls), options={"retry": own, "recover": False},
            retry=3, recover="errors")  # fmt: skip
    assert 1 == len(calls)


def test_several_retries_by_kind():
    """The first Retry that applies to the error decides, a function's included."""
    calls = []
    kinds = [Retry(attempts=2, on=KeyError, wait=0), Retry(attempts=4, on=is_odd, wait=0)]
    with pytest.raises(NodeError):
        run(failing(ValueError("odd"), calls), retry=kinds)
    assert 4 == len(calls)


def is_odd(error):
    return "odd" in str(error)


@pytest.mark.parametrize(
    "way", [lambda error: {"errors": str(error)}, lambda state, error: {"errors": str(error)}]
)
def test_one_way_for_all_errors(way):
    """recover= may be one function for every error, of the error or of the state and the error."""
    assert "down" == run(failing(RuntimeError("down"), []), recover=way)["errors"]


def test_a_handler_gets_what_the_node_read():
    """The handler's state is the node's."""

    def way(state, error):
        return {"errors": f"{state['x']} {error}"}

    assert "a down" == run(failing(RuntimeError("down"), []), options={"recover": way})["errors"]


def test_a_person_for_all_errors():
    """recover=PERSON asks a person about whatever fails."""
    with Graph("one", State, store=MemoryStore(), recover=PERSON) as made:
        START >> node(failing(RuntimeError("down"), []), name="only") >> END
    made.run({"x": "a"}, "t")
    thread = made.thread("t")
    assert "waiting" == thread.status
    assert len(thread.questions) == 1
    assert "b" == thread.resume({"update": {"x": "b"}}).result()["x"]


@pytest.mark.parametrize("wrong", [{"retry": -1}, {"timeout": 0}, {"recover": 5}, {"breaker": 3}])
def test_what_cannot_work_is_refused(wrong):
    """A graph's policy that cannot work is refused where it is written."""
    with pytest.raises(GraphError):
        Graph("one", State, **wrong)


def test_silence_ends_an_attempt():
    """idle_timeout= ends an attempt that says nothing for so long, and the next one counts; one
    that goes on telling of itself may take as long as it likes."""
    attempts = []

    async def slow(state):
        attempts.append(1)
        if len(attempts) == 1:
            await asyncio.sleep(60)
        for piece in range(14):
            await asyncio.sleep(0.05)
            emit(piece)
        return {"x": "said"}

    options = {"idle_timeout": 0.6, "retry": Retry(attempts=2, on=TimeoutError, wait=0)}
    assert "said" == run(slow, options=options)["x"]
    with pytest.raises(NodeError, match=r"was silent for longer than 0\.05 seconds"):
        run(lambda state: threading.Event().wait(2), options={"idle_timeout": 0.05})


def test_silence_within_the_time():
    """Of timeout= and idle_timeout= the one that is up first ends the attempt, and is named."""

    async def talks(state):
        while True:
            await asyncio.sleep(0.01)
            emit("on")

    options = {"timeout": 0.2, "idle_timeout": 5}
    with pytest.raises(NodeError, match=r"took longer than 0\.2 seconds"):
        run(talks, options=options)
    with pytest.raises(NodeError, match=r"took longer than 0\.2 seconds"):
        run(lambda state: threading.Event().wait(2), options=options)
