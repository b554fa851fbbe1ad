"""Stopping at any moment leaves the last checkpoint or the next one, nothing between. (W1, W9)"""

import asyncio
import contextlib
import itertools
import threading
import time

import pytest

from nbagent.engine.node.context import emit
from nbagent.engine.thread import watchdog
from nbagent.engine.thread.loop import engine_loop
from nbagent.errors import NodeError
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore
from tests.engine.build import END, START, Edge, program, sync, task, thread


def line(*nodes):
    """The nodes one after another."""
    stops = [START, *(node.name for node in nodes), END]
    wires = [Edge(a, b) for a, b in itertools.pairwise(stops)]
    return program(*nodes, fields=("x", "y"), wires=wires)


def test_stopping_before_the_run_has_begun():
    """The lease is given back all the same."""
    one = thread(line(task("a", lambda s: asyncio.sleep(10))))
    for _ in range(20):
        run = one.start({}) if one.stored() is None else one.resume()
        run.stop()
        run.result(5)
        assert "stopped" == one.status


@pytest.mark.parametrize("at", range(8))
def test_stopping_at_each_await(at):
    """The state is that of a checkpoint, and a resume ends as if nothing had happened."""
    holder = []

    def node(name):
        async def run(state):
            for _ in range(4):
                if holder and len(marks) == at:
                    holder[0].stop()
                marks.append(name)
                await asyncio.sleep(0)
            return {"x": state["x"] + 1}

        return task(name, run)

    marks = []
    one = thread(line(node("a"), node("b")))
    run = one.start({"x": 0}, steps=0)
    run.result(5)
    run = one.resume()
    holder.append(run)
    run.result(5)

    assert one.state["x"] in (0, 1, 2)
    assert len(one.store.history("t")) == one.state["x"] + 1
    holder.clear()
    assert {"x": 2} == one.resume().result(5)


def test_a_node_that_swallows_the_stop_does_not_keep_the_run():
    """What it returned is kept, and nothing runs after it."""
    began = threading.Event()

    async def stubborn(state):
        began.set()
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            return {"x": 1}

    one = thread(line(task("a", stubborn), sync("b", lambda s: {"y": 1})))
    run = one.start({"x": 0})
    began.wait(5)
    run.stop()
    run.result(5)

    assert "stopped" == one.status
    assert "y" not in one.state


def test_a_nodes_own_cancellation_is_its_failure():
    """Only ours stops the run."""

    async def cancels(state):
        raise asyncio.CancelledError

    one = thread(line(task("a", cancels)))
    with pytest.raises(NodeError, match="CancelledError"):
        one.start({}).result(5)
    assert "failed" == one.status


def test_an_abandoned_node_that_goes_on_talking_is_not_heard():
    """Its late events and its late result change nothing."""
    began, stopped, said, told = threading.Event(), threading.Event(), threading.Event(), []

    def slow(state):
        began.set()
        stopped.wait(5)
        emit("late")
        said.set()
        return {"x": 9}

    one = thread(line(sync("a", slow)))
    run = one.start({"x": 0})
    run.watch(told.append)
    began.wait(5)
    run.stop()
    run.result(5)
    stopped.set()
    assert said.wait(5)
    for _ in range(20):  # rounds of the loop on which the late result arrives
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), engine_loop()).result(5)

    assert "RunEnded" == type(told[-1]).__name__
    assert {"x": 0} == one.state


@pytest.mark.parametrize("siblings", [1, 2])
def test_a_result_that_cannot_be_stored_fails_its_node(siblings, tmp_path):
    """The error names node and field; a sibling's result is kept. (W6)"""

    class Odd:
        pass

    nodes = [
        sync("odd", lambda s: {"x": Odd()}),
        sync("good", lambda s: time.sleep(0.1) or {"y": 1}),
    ][:siblings]
    wires = [Edge(START, n.name) for n in nodes] + [Edge(n.name, END) for n in nodes]
    store = SqliteStore(tmp_path / "a.db")
    one = thread(program(*nodes, fields=("x", "y"), wires=wires), store=store)
    with pytest.raises(Exception, match=r"field 'x' \(written by node 'odd'\)"):
        one.start({"x": 0}).result(5)

    assert ("failed", {"x": 0}) == (one.status, one.state)
    store.close()


def test_the_same_content_in_every_store(tmp_path):
    """Memory and SQLite hold equal checkpoints of the same run. (R48, W7)"""
    made = line(sync("a", lambda s: {"x": 1}), sync("b", lambda s: {"y": (1, {2})}))
    memory, sqlite = MemoryStore(), SqliteStore(tmp_path / "a.db")
    for store in (memory, sqlite):
        thread(made, store=store).start({"x": 0}).result(5)

    for info in memory.history("t"):
        assert memory.load("t", info.id).checkpoint == sqlite.load("t", info.id).checkpoint
    sqlite.close()


@pytest.mark.parametrize("alone", [True, False])
def test_a_node_that_swallows_the_cancelling_and_ends_keeps_its_result(alone):
    """It was paid for: a resume does not call it again. (W1)"""
    calls = []

    async def stubborn(state):
        calls.append(1)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        return {"x": 1}

    nodes = [task("a", stubborn)] + ([] if alone else [task("b", lambda s: asyncio.sleep(0))])
    wires = [edge for one in nodes for edge in (Edge(START, one.name), Edge(one.name, END))]
    one = thread(program(*nodes, fields=("x",), wires=wires))
    run = one.start({})
    while not calls:
        time.sleep(0.01)
    run.pause(within=0.05)
    run.result(5)
    assert "paused" == one.status
    assert 1 == one.resume().result(5)["x"]
    assert [1] == calls


def test_a_stop_after_a_pause_does_not_wait_for_the_pause(monkeypatch):
    """The nearer of two deadlines holds, and the later wish. (W9)"""
    monkeypatch.setattr(watchdog, "_ending", {})
    run = object()
    watchdog.see_end(run, "paused", 60.0)
    watchdog.see_end(run, "stopped")
    status, at = watchdog._ending.pop(run)
    assert "stopped" == status
    assert at <= time.monotonic()
