"""One graph over many inputs. (R13, R26)"""

import asyncio
import time
from typing import TypedDict

import pytest

from nbagent import END, START, Graph, GraphError, interrupt, node
from nbagent.stores.sqlite import SqliteStore


class State(TypedDict):
    x: int
    y: int


@pytest.fixture
def store(tmp_path):
    made = SqliteStore(tmp_path / "a.db")
    yield made
    made.close()


def made(store, function):
    with Graph("square", State, store=store) as graph:
        START >> node(function, name="square") >> END
    return graph


def test_each_input_has_a_thread(store):
    """At most so many at once; the table has them all, with their state."""
    at_once, most = [0], [0]

    async def square(state):
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        await asyncio.sleep(0.02)
        at_once[0] -= 1
        return {"y": state["x"] ** 2}

    runs = made(store, square).map([{"x": n} for n in range(20)], limit=4)
    table = runs.result(20)
    assert [n * n for n in range(20)] == list(table["y"])
    assert {"done"} == set(table["status"])
    assert 4 == most[0]
    assert "square-3" == [thread.id for thread in runs][3]


async def test_a_failure_and_a_question_stop_nobody_and_a_second_call_goes_on(store):
    """What is done is not called again; what failed is; what waits is left."""
    calls = []

    def square(state):
        calls.append(state["x"])
        if state["x"] == 1 and calls.count(1) == 1:
            raise ValueError("once")
        if state["x"] == 2:
            return {"y": interrupt("What is it?")}
        return {"y": state["x"] ** 2}

    graph = made(store, square)
    inputs = [{"x": n} for n in range(4)]
    table = await graph.map(inputs, "batch")
    assert ["done", "failed", "waiting", "done"] == list(table["status"])
    assert "once" in table["error"][1]
    table = await graph.map(inputs, "batch")
    assert ["done", "done", "waiting", "done"] == list(table["status"])
    assert [0, 1, 1, 2, 3] == sorted(calls)
    await graph.thread("batch-2").resume(4)
    assert [0, 1, 4, 9] == list((await graph.map(inputs, "batch"))["y"])


def test_a_batch_that_is_stopped_begins_no_more(store):
    """Those under way pause on their next super-step; the rest is queued."""

    def square(state):
        time.sleep(0.1)
        return {"y": 1}

    runs = made(store, square).map([{"x": n} for n in range(10)], limit=2)
    time.sleep(0.05)
    runs.stop()
    table = runs.result(10)
    assert 8 == list(table["status"]).count("queued")
    with pytest.raises(GraphError, match="at least 1"):
        made(store, square).map([], limit=0)


def test_a_bad_input_is_told_in_its_row(store):
    """And the others run."""
    table = made(store, lambda s: {"y": 1}).map([{"x": 1}, {"z": 1}, {"x": "no"}]).result(10)
    assert ["done", "queued", "queued"] == list(table["status"])
    assert "'z'" in table["error"][1]
    assert "integer" in table["error"][2]
