"""Runs that commit at the same time wait for the disk once, and each is a part of its own. (R23)"""

import asyncio
import operator
import sqlite3
import threading
from typing import Annotated, TypedDict

import pytest

from nbagent import END, START, Graph, StoreError, branch, node
from nbagent.engine.store.ownership import fresh_owner
from nbagent.engine.watch.events import Checkpointed, StoreAwaited
from nbagent.errors import NodeError, ThreadBusy
from nbagent.stores.sqlite import SqliteStore

RUNS, STEPS = 6, 8


class State(TypedDict):
    n: int
    log: Annotated[list[int], operator.add]


@pytest.fixture
def store(tmp_path):
    made = SqliteStore(tmp_path / "a.db")
    yield made
    made.close()


def counting(store, hook=lambda n: None, gate=None):
    """A graph that counts to `STEPS`; no run of it does before `gate` is open."""
    with Graph("counting", State, store=store) as made:

        @node
        async def turn(state):
            await asyncio.sleep(0)
            while gate is not None and not gate.is_set():
                await asyncio.sleep(0.001)
            hook(state["n"])
            return {"n": state["n"] + 1, "log": [state["n"]]}

        START >> turn
        turn >> branch(lambda s: "on" if s["n"] < STEPS else "off", on=turn, off=END)
    return made


def begun(store, hook=lambda n: None):
    """So many runs that are all under way, what is told of them, and the gate that they wait at."""
    told, gate = [], threading.Event()
    graph = counting(store, hook, gate)
    runs = [graph.start({"n": 0}, f"t{i}") for i in range(RUNS)]
    for run in runs:
        run.watch(told.append)
    return runs, told, gate


async def test_runs_at_once_wait_for_the_disk_together(store):
    """All that they say is what one alone would, with fewer transactions than super-steps."""
    said = []
    store.database.writer.set_trace_callback(said.append)
    runs, _, gate = begun(store)
    said.clear()
    gate.set()
    states = [await run for run in runs]

    assert [list(range(STEPS))] * RUNS == [state["log"] for state in states]
    assert RUNS * STEPS / 2 > sum(line.startswith("COMMIT") for line in said)
    assert {"done"} == {info.status for info in store.threads()}
    assert [STEPS + 1] * RUNS == [len(store.history(f"t{i}")) for i in range(RUNS)]


async def test_one_that_is_refused_fails_alone(store):
    """Its thread was taken over: the others' commits are stored."""

    def hook(n):
        if n == 3 and not taken:
            taken.append(store.acquire("t0", fresh_owner(), take_over=True))

    taken = []
    runs, _, gate = begun(store, hook)
    gate.set()
    with pytest.raises(ThreadBusy):
        await runs[0]
    for run in runs[1:]:
        assert list(range(STEPS)) == (await run)["log"]
    assert store.latest("t0").checkpoint.step < STEPS


async def test_nothing_is_told_of_a_transaction_that_has_failed(store, monkeypatch):
    """Each of its runs hears why, nobody sees a checkpoint that is not there, and all go on."""
    there, failed = store.database.check_there, []

    def once():
        if store.database.writer.in_transaction and seen and not failed:
            failed.append(1)
            raise StoreError("the file was replaced")
        there()

    seen = []
    runs, told, gate = begun(store, lambda n: seen.append(n) if n == 4 else None)
    gate.set()
    monkeypatch.setattr(store.database, "check_there", once)
    for run in runs:
        try:
            await run
        except (StoreError, NodeError):
            assert "failed" == run.status
    assert failed
    known = {info.id: info.checkpoint for info in store.threads()}
    for event in told:
        if isinstance(event, Checkpointed):
            assert event.checkpoint.id <= known[event.thread]
    for i in range(RUNS):
        thread = counting(store).thread(f"t{i}")
        assert list(range(STEPS)) == thread.resume(on_change="go-on").result(20)["log"]


async def test_a_run_that_is_stopped_meanwhile_has_what_was_stored(store):
    """It ends, and goes on from there."""
    runs = []

    def hook(n):
        if n == 4:
            for run in runs:
                run.stop()

    runs, _, gate = begun(store, hook)
    gate.set()
    for run in runs:
        await run
    assert {"stopped", "done"} >= {info.status for info in store.threads()}
    for i in range(RUNS):
        thread = counting(store).thread(f"t{i}")
        assert list(range(STEPS)) == thread.resume(on_change="go-on").result(20)["log"]


async def test_a_file_that_another_holds_is_waited_for_once(store, tmp_path):
    """Not once by each of them: they all go on as soon as it is free, and lose nothing."""
    runs, told, gate = begun(store)
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    gate.set()
    await until(lambda: any(isinstance(event, StoreAwaited) for event in told))
    other.execute("ROLLBACK")
    other.close()
    for run in runs:
        assert list(range(STEPS)) == (await run)["log"]


async def until(holds):
    while not holds():
        await asyncio.sleep(0.01)
