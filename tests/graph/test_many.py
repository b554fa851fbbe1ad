"""One graph over many inputs. (R13, R26)"""

import asyncio
import os
import subprocess
import sys
import threading
import time
from typing import Any, TypedDict

import pytest

from nbagent import END, START, Graph, GraphError, interrupt, node
from nbagent.stores.memory import MemoryStore
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

    runs = made(store, square).map(({"x": n} for n in range(20)), "squares", concurrency=4)
    table = runs.result(20)
    assert [n * n for n in range(20)] == list(table["y"])
    assert {"done"} == set(table["status"])
    assert 4 == most[0]
    assert "squares-3" == [thread.id for thread in runs][3]


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

    began, go_on = threading.Semaphore(0), threading.Event()

    def square(state):
        began.release()
        go_on.wait(5)
        return {"y": 1}

    runs = made(store, square).map([{"x": n} for n in range(10)], limit=2)
    for _ in range(2):
        assert began.acquire(timeout=5)
    runs.stop()
    go_on.set()
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


def square(state):
    return {"y": state["x"] ** 2}


@pytest.fixture(params=["memory", "sqlite"])
def kept(request, store):
    return MemoryStore() if request.param == "memory" else store


def test_other_inputs_are_another_batch(kept):
    """The results are those of the inputs that were given, whatever was there before."""
    graph = made(kept, square)
    assert [4, 9] == list(graph.map([{"x": 2}, {"x": 3}]).result(20)["y"])
    assert [25, 36] == list(graph.map([{"x": 5}, {"x": 6}]).result(20)["y"])
    assert [9, 4] == list(graph.map([{"x": 3}, {"x": 2}]).result(20)["y"])


def test_another_input_at_a_place_is_refused_there(kept):
    """Its row shows nothing of the thread that is there; the others go on."""
    graph = made(kept, square)
    graph.map([{"x": 2}, {"x": 3}], "b").result(20)

    runs = graph.map([{"x": 2}, {"x": 5}, {"x": 6}], "b")
    table = runs.result(20)

    assert ["done", "refused", "done"] == list(table["status"])
    assert [4, 36] == [int(y) for y in table["y"].dropna()]
    assert "'b-1'" in table["error"][1]
    assert "another input" in table["error"][1]
    assert 9 == graph.thread("b-1").state["y"]


def test_the_inputs_are_compared_as_values(kept):
    """In any order of their keys, and as they were when `map` was called."""
    inputs: list[dict[str, Any]] = [{"x": 1, "y": 0}]
    graph = made(kept, square)
    runs = graph.map(inputs)
    inputs[0]["x"] = 7
    assert [1] == list(runs.result(20)["x"])
    again = graph.map([{"y": 0, "x": 1}])
    assert runs.name == again.name
    assert ["done"] == list(again.result(20)["status"])


def test_a_thread_of_the_users_is_not_taken_for_a_batchs(kept):
    """Whatever it is called, and whether or not it has run."""
    graph = made(kept, square)
    graph.run({"x": 9}, "square-0")
    graph.run({"x": 2}, "mine-0")
    assert [4] == list(graph.map([{"x": 2}]).result(20)["y"])

    table = graph.map([{"x": 2}, {"x": 3}], "mine").result(20)

    assert ["refused", "done"] == list(table["status"])
    assert "not begun by a batch" in table["error"][0]


def test_a_batch_of_another_graph_is_not_taken_for_ones_own(kept):
    """Two graphs may give their batches one name."""
    made(kept, square).map([{"x": 2}], "nightly").result(20)
    with Graph("cube", State, store=kept) as cube:
        START >> node(lambda s: {"y": s["x"] ** 3}, name="cube") >> END

    table = cube.map([{"x": 2}, {"x": 3}], "nightly").result(20)

    assert ["refused", "done"] == list(table["status"])
    assert 27 == table["y"][1]
    assert "'square'" in table["error"][0]


def test_two_calls_at_once_run_each_input_once(kept):
    calls = []

    def slow(state):
        calls.append(state["x"])
        time.sleep(0.02)
        return {"y": 1}

    graph = made(kept, slow)
    inputs = [{"x": n} for n in range(12)]
    batches = [graph.map(inputs, "b", concurrency=3) for _ in range(3)]
    tables = [batch.result(20) for batch in batches]

    assert list(range(12)) == sorted(calls)
    assert [""] * 36 == [error for table in tables for error in table["error"]]


_SCRIPT = """
import os, sys, typing
from nbagent import END, START, Graph, node
class State(typing.TypedDict):
    x: int
    y: int
with Graph("square", State, store=sys.argv[1]) as graph:
    @node
    def square(state):
        with open(sys.argv[2], "a") as ledger:
            print(state["x"], file=ledger, flush=True)
        if state["x"] == int(sys.argv[3]):
            os._exit(9)
        return {"y": state["x"] ** 2}
    START >> square >> END
print(list(graph.map(({"x": n} for n in range(4)), concurrency=1).result(30)["y"]))
"""


def test_a_batch_without_a_name_goes_on_after_a_kill(tmp_path):
    """The same inputs are the same batch in any process: what was done is not done again."""
    ledger = tmp_path / "ledger"

    def call(dies_at):
        url = f"sqlite:///{tmp_path / 'b.db'}"
        line = [sys.executable, "-c", _SCRIPT, url, str(ledger), str(dies_at)]
        environment = os.environ | {"NBAGENT_PROGRESS": "0"}
        return subprocess.run(line, capture_output=True, text=True, env=environment, timeout=60)

    assert 9 == call(2).returncode
    assert "[0, 1, 4, 9]" == call(-1).stdout.strip()
    assert ["0", "1", "2", "2", "3"] == ledger.read_text().split()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"x": 1}, "many inputs"),
        ("text", "many inputs"),
        (5, "many inputs"),
        (None, "many inputs"),
    ],
)
def test_what_is_not_many_inputs_is_refused(store, given, said):
    with pytest.raises(GraphError, match=said):
        made(store, square).map(given)


def test_a_table_says_how_it_is_given(store):
    pandas = pytest.importorskip("pandas")
    with pytest.raises(GraphError, match="records"):
        made(store, square).map(pandas.DataFrame({"x": [1]}))


def test_an_input_that_is_none_is_told_in_its_row(store):
    """Whatever it is, the others run."""
    table = made(store, square).map([{"x": 1}, None, 7, {"x": object()}, {1: 2}]).result(20)
    assert ["done", *["queued"] * 4] == list(table["status"])
    assert all(table["error"][1:])


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"limit": -1}, {"concurrency": 1.5}])
def test_at_least_one_at_once(store, wrong):
    with pytest.raises(GraphError, match="at least 1"):
        made(store, square).map([{"x": 1}], **wrong)


def test_a_cluster_comes_later(store):
    with pytest.raises(GraphError, match="later version"):
        made(store, square).map([{"x": 1}], client=object())
