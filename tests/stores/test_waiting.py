"""
A store that cannot be written now: locked, full, or slow. What was paid for is held and stored
when it can be, and nobody else stands still meanwhile. (W1, W4, W15)
"""

import asyncio
import sqlite3
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TypedDict

import pytest

from nbagent import END, START, Graph, acached, aeffect, effect, interrupt, node, open_store
from nbagent.engine.model.checkpoint import Checkpoint
from nbagent.engine.model.values import frozen_dict
from nbagent.engine.store import line
from nbagent.engine.store.ownership import fresh_owner
from nbagent.engine.thread import live
from nbagent.engine.thread.loop import engine_loop
from nbagent.engine.watch.events import StoreAwaited
from nbagent.errors import ThreadBusy
from tests.conftest import require


class State(TypedDict):
    x: int


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch):
    """What takes seconds takes tenths."""
    monkeypatch.setattr(line, "TURN", 0.05)
    monkeypatch.setattr(line, "WAIT", 0.2)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.db"


@pytest.fixture
def store(path):
    found = open_store(path)
    yield found
    found.close()


@contextmanager
def locked(path):
    """As another program holds the file while it writes."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield other
    finally:
        other.execute("COMMIT")
        other.close()


def paid(store, calls, held, free):
    """A graph whose first node says when it has begun, and ends when it is told to."""

    with Graph("paid", State, store=store) as graph:

        @node
        def work(state):
            calls.append("work")
            held.set()
            free.wait(10)
            return {"x": 42}

        @node
        def after(state):
            calls.append("after")
            return {"x": state["x"] + 1}

        START >> work >> after >> END
    return graph


def told(run):
    """An event set when the run says that it waits for the store."""
    found = threading.Event()
    run.watch(lambda event: found.set() if isinstance(event, StoreAwaited) else None)
    return found


def test_a_result_is_held_while_the_file_is_locked(store, path):
    """The run says so and goes on when it can; the node that was paid for is called once."""
    calls, held, free = [], threading.Event(), threading.Event()
    events = []
    run = paid(store, calls, held, free).start({"x": 1}, thread="t")
    run.watch(events.append)
    waits = told(run)
    held.wait(10)
    with locked(path):
        free.set()
        assert waits.wait(10)
        assert ("running", ["work"]) == (run.status, calls)

    assert {"x": 43} == run.result(10)
    assert ["work", "after"] == calls
    reasons = [event.reason for event in events if isinstance(event, StoreAwaited)]
    assert "another program holds the file locked" in reasons[0]
    assert "" == reasons[-1]


def test_a_pause_lands_behind_what_was_held(store, path):
    """Asked for while the store is awaited, it comes at the next boundary."""
    calls, held, free = [], threading.Event(), threading.Event()
    run = paid(store, calls, held, free).start({"x": 1}, thread="t")
    waits = told(run)
    held.wait(10)
    with locked(path):
        free.set()
        assert waits.wait(10)
        run.pause()

    assert {"x": 42} == run.result(10)
    assert ("paused", ["work"]) == (run.status, calls)


@pytest.mark.parametrize("how", ["stop", "pause"])
def test_a_run_that_is_stopped_while_it_waits_leaves_what_it_has(store, path, how):
    """It ends at once; what its node has made is stored when it can be, before a resume."""
    calls, held, free = [], threading.Event(), threading.Event()
    graph = paid(store, calls, held, free)
    run = graph.start({"x": 1}, thread="t")
    waits = told(run)
    held.wait(10)
    with locked(path):
        free.set()
        assert waits.wait(10)
        run.stop() if how == "stop" else run.pause(within=0)
        run.result(20)
        ended = "stopped" if how == "stop" else "paused"
        assert (ended, ended) == (run.status, graph.thread("t").status)

    assert {"x": 43} == graph.thread("t").resume().result(10)
    assert ["work", "after"] == calls


def test_a_waiting_run_is_waited_for_as_long_as_one_likes(store, path):
    """A timeout of the waiting says nothing about the run, which goes on."""
    calls, held, free = [], threading.Event(), threading.Event()
    run = paid(store, calls, held, free).start({"x": 1}, thread="t")
    waits = told(run)
    held.wait(10)
    with locked(path):
        free.set()
        assert waits.wait(10)
        with pytest.raises(TimeoutError):
            run.result(0.01)

    assert {"x": 43} == run.result(10)


def test_what_another_owner_has_taken_is_not_written(store, path):
    """A run that waits for the store and has lost its thread meanwhile ends, and writes nothing."""
    calls, held, free = [], threading.Event(), threading.Event()
    graph = paid(store, calls, held, free)
    run = graph.start({"x": 1}, thread="t")
    waits = told(run)
    held.wait(10)
    with locked(path) as other:
        free.set()
        assert waits.wait(10)
        other.execute("UPDATE threads SET epoch = epoch + 7, owner = NULL WHERE id = 't'")

    with pytest.raises(ThreadBusy, match="taken over"):
        run.result(10)
    assert ("stopped", ["work"]) == (run.status, calls)
    assert [1] == [info.id for info in store.history("t")]


def test_siblings_are_kept_while_the_file_is_locked(store, path):
    """What finishes first is held, while the last one still runs, and all is stored once."""
    calls, begun, first, free = [], threading.Event(), threading.Event(), threading.Event()
    with Graph("many", State, store=store) as graph:

        @node
        def quick(state):
            calls.append("quick")
            first.wait(10)
            return {"x": 1}

        @node
        def slow(state):
            calls.append("slow")
            begun.set()
            free.wait(10)
            return None

        START >> [quick, slow] >> node(lambda state: None, name="join") >> END
    run = graph.start({"x": 0}, thread="t")
    waits = told(run)
    begun.wait(10)
    with locked(path):
        first.set()
        assert waits.wait(10)
        free.set()

    assert {"x": 1} == run.result(10)
    assert ["quick", "slow"] == sorted(calls)


def test_an_effect_is_journalled_when_the_file_can_be_written(store, path):
    """In a `def` node it waits before the call; its result waits for whatever is written next."""
    calls, ready, go = [], threading.Event(), threading.Event()
    with Graph("effects", State, store=store) as graph:

        @node
        def send(state):
            ready.set()
            go.wait(10)
            effect("mail", lambda: calls.append("mail"))
            return {"x": 1}

        START >> send >> END
    run = graph.start({"x": 0}, thread="t")
    waits = told(run)
    ready.wait(10)
    with locked(path):
        go.set()
        assert waits.wait(10)
        assert [] == calls

    assert {"x": 1} == run.result(10)
    assert ["mail"] == calls


def test_an_awaited_effect_does_not_hold_the_loop(store, path):
    """In an `async` node neither: others on the loop go on."""
    calls, gaps, ready = [], [], threading.Event()
    go = threading.Event()
    with Graph("aeffects", State, store=store) as graph:

        @node
        async def send(state):
            ready.set()
            await asyncio.to_thread(go.wait, 10)
            await acached("answer", lambda: calls.append("answer"))
            await aeffect("mail", lambda: calls.append("mail"))
            return {"x": 1}

        START >> send >> END
    run = graph.start({"x": 0}, thread="t")
    waits = told(run)
    ready.wait(10)
    with locked(path):
        go.set()
        assert waits.wait(10)
        ticking(gaps, 0.3)

    assert {"x": 1} == run.result(10)
    assert ["answer", "mail"] == calls
    assert max(gaps) < 0.25


def ticking(gaps, seconds):
    """How long the loop that all runs share keeps one waiting that sleeps 10 ms at a time."""

    async def tick():
        until = time.monotonic() + seconds
        while (last := time.monotonic()) < until:
            await asyncio.sleep(0.01)
            gaps.append(time.monotonic() - last)

    asyncio.run_coroutine_threadsafe(tick(), engine_loop()).result(60)


def test_a_locked_file_keeps_nobody_else_waiting(store, path):
    """Runs of other stores, timers and streams go on."""
    calls, held, free, gaps = [], threading.Event(), threading.Event(), []
    run = paid(store, calls, held, free).start({"x": 1}, thread="t")
    waits = told(run)
    held.wait(10)
    with locked(path):
        free.set()
        ticking(gaps, 1.0)
        assert waits.wait(10)
    run.result(10)

    assert max(gaps) < 0.5


def test_a_thread_that_cannot_be_given_back_is_given_back_later(store, path, monkeypatch):
    """All was committed, so that the run has not failed; its thread is as it ended."""
    with Graph("last", State, store=store) as graph:
        START >> node(lambda state: {"x": interrupt("How many?")}, name="ask") >> END
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    release = store.release

    def released(*args, **kwargs):
        if not other.in_transaction:
            other.execute("BEGIN IMMEDIATE")
        release(*args, **kwargs)

    monkeypatch.setattr(store, "release", released)
    run = graph.start({"x": 0}, thread="t")
    assert {"x": 0} == run.result(10)
    assert ("waiting", "waiting") == (run.status, graph.thread("t").status)
    assert "running" == store.thread("t").status
    monkeypatch.undo()
    other.close()

    assert {"x": 5} == graph.thread("t").resume(5).result(10)
    assert "done" == store.thread("t").status


@contextmanager
def small_disk(folder, size):
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], capture_output=True
    )
    if made.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield lambda more: subprocess.run(
            ["mount", "-o", f"remount,size={more}", str(folder)], check=True
        )
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_result_is_held_while_the_disk_is_full(tmp_path):
    """With room again the run goes on where it is, and no node is called again."""

    class Text(TypedDict):
        x: int
        text: str

    calls = []
    with small_disk(tmp_path / "disk", "400k") as grow:
        store = open_store(tmp_path / "disk" / "a.db")
        with Graph("full", Text, store=store) as graph:

            @node
            def big(state):
                calls.append("big")
                return {"x": 1, "text": "ab" * 400_000}

            @node
            def after(state):
                calls.append("after")
                return {"x": 2}

            START >> big >> after >> END
        run = graph.start({"x": 0, "text": ""}, thread="t")
        assert told(run).wait(20)
        assert ["big"] == calls
        grow("8m")

        assert 2 == run.result(20)["x"]
        assert (["big", "after"], "done") == (calls, graph.thread("t").status)
        store.close()


def test_a_large_value_is_written_beside_the_loop(store):
    """While it is encoded and written, others on the loop have their turns."""

    class Text(TypedDict):
        text: str

    begun, gaps = threading.Event(), []
    with Graph("large", Text, store=store) as graph:

        @node
        def large(state):
            begun.set()
            return {"text": "a" * 40_000_000}

        START >> large >> END
    run = graph.start({"text": ""}, thread="t")
    begun.wait(10)
    ticking(gaps, 0.5)
    run.result(30)

    assert max(gaps) < 0.4


def test_a_graph_in_a_node_begins_when_the_file_can_be_written(store, path):
    """Neither does its parent fail, nor is the loop held."""
    gaps, ready, go = [], threading.Event(), threading.Event()
    with Graph("inner", State) as inner:
        START >> node(lambda state: {"x": state["x"] + 1}, name="add") >> END
    with Graph("outer", State, store=store) as outer:

        @node
        def first(state):
            return {"x": 1}

        @node
        async def calls(state):
            ready.set()
            await asyncio.to_thread(go.wait, 10)
            return {"x": (await inner.arun({"x": state["x"]}))["x"]}

        START >> first >> calls >> inner >> END
    run = outer.start({"x": 0}, thread="t")
    waits = told(run)
    ready.wait(10)
    with locked(path):
        go.set()
        assert waits.wait(10)
        ticking(gaps, 0.3)

    assert {"x": 3} == run.result(10)
    assert max(gaps) < 0.25


def test_a_stopped_parent_leaves_no_graph_that_runs(store, path):
    """It is stopped while the graph that its node runs waits to begin: nothing runs on."""
    calls = []
    ready, go = threading.Event(), threading.Event()
    with Graph("inner", State) as inner:
        START >> node(lambda state: calls.append("inner"), name="add") >> END
    with Graph("outer", State, store=store) as outer:

        @node
        async def work(state):
            ready.set()
            await asyncio.to_thread(go.wait, 10)
            await inner.arun({"x": state["x"]})

        START >> work >> END
    run = outer.start({"x": 0}, thread="t")
    waits = told(run)
    ready.wait(10)
    with locked(path):
        go.set()
        assert waits.wait(10)
        run.stop()
        run.result(10)

    assert ("stopped", []) == (run.status, calls)
    assert {"x": 0} == outer.thread("t").resume().result(10)
    assert ["inner"] == calls


def test_a_batch_waits_for_the_store(store, path):
    """A file that is locked when its threads are to begin ends none of them."""
    with Graph("each", State, store=store) as graph:
        START >> node(lambda state: {"x": state["x"] + 1}, name="add") >> END
    graph.run({"x": 0})
    with locked(path):
        runs = graph.map([{"x": n} for n in range(5)], concurrency=3)
        until = time.monotonic() + 10
        while len(runs.errors) < 3 and time.monotonic() < until:
            time.sleep(0.01)
        assert {"waits for the store"} == {why.partition(":")[0] for why in runs.errors.values()}

    table = runs.result(20)
    assert ["done"] * 5 == list(table["status"])
    assert ([1, 2, 3, 4, 5], {}) == (list(table["x"]), runs.errors)


def test_a_batch_that_waits_can_be_stopped(store, path):
    """It ends though the store is not there, and begins nothing when that is."""
    with Graph("each", State, store=store) as graph:
        START >> node(lambda state: {"x": state["x"] + 1}, name="add") >> END
    graph.run({"x": 0})
    with locked(path):
        runs = graph.map([{"x": n} for n in range(3)], concurrency=2)
        until = time.monotonic() + 10
        while not runs.errors and time.monotonic() < until:
            time.sleep(0.01)
        runs.stop()
        assert ["queued"] * 3 == list(runs.result(20)["status"])

    assert 1 == len(store.threads())


def test_a_locked_file_costs_no_other_run_its_lease(store, path, tmp_path, monkeypatch):
    """Each store's leases are renewed by themselves."""
    beats = []
    monkeypatch.setattr(live, "INTERVAL", 0.05)
    monkeypatch.setattr(live, "_wake", threading.Event())
    monkeypatch.setattr(live, "TURN", 5.0)
    monkeypatch.setattr(live, "_thread", None)  # one that beats as fast as this test wants
    other = open_store(tmp_path / "b.db")
    renew = other.renew
    monkeypatch.setattr(
        other, "renew", lambda lease: (beats.append(time.monotonic()), renew(lease))
    )
    held, free = threading.Event(), threading.Event()
    mine = paid(store, [], threading.Event(), free).start({"x": 0}, thread="t")
    its = paid(other, [], held, free).start({"x": 0}, thread="t")
    held.wait(10)
    with locked(path):
        time.sleep(0.2)
        before = len(beats)
        time.sleep(0.6)
        assert len(beats) - before > 3
    free.set()
    mine.result(10), its.result(10)
    other.close()


@pytest.mark.postgres
def test_a_result_is_held_while_the_server_is_gone(postgres):
    """It crashes while a node runs; when it is back the run goes on, and the node is not called
    again."""
    require("initdb", "PostgreSQL", found="initdb")
    calls, held, free = [], threading.Event(), threading.Event()
    server = open_store(postgres.url("waiting"))
    run = paid(server, calls, held, free).start({"x": 1}, thread="t")
    waits = told(run)
    held.wait(10)
    postgres.stop("immediate")
    try:
        free.set()
        assert waits.wait(20)
        assert ("running", ["work"]) == (run.status, calls)
    finally:
        postgres.start()

    assert {"x": 43} == run.result(30)
    assert (["work", "after"], "done") == (calls, server.thread("t").status)
    server.close()


@pytest.mark.postgres
def test_a_server_that_was_restarted_is_asked_on_a_new_connection(postgres):
    """Whoever comes when it is back notices nothing."""
    require("initdb", "PostgreSQL", found="initdb")
    server = open_store(postgres.url("restarted"))
    graph = paid(server, [], threading.Event(), free := threading.Event())
    free.set()
    graph.run({"x": 0}, thread="t")
    postgres.stop("immediate")
    postgres.start()

    assert {"x": 43} == graph.run({"x": 0}, thread="u")
    server.close()


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_what_was_written_though_no_word_came_back_is_written_once(kind, path, request):
    """A connection broke at its commit, so that the same is written again; another owner's word
    is never taken for it."""
    at = path if kind == "sqlite" else request.getfixturevalue("postgres").url("doubt")
    store = open_store(at)
    lease = store.acquire("t", fresh_owner(), create=True)
    made = Checkpoint(1, None, 0, "input", frozen_dict({"x": 1}), frozen_dict({}), (), (), 1)
    store.commit(lease, made)
    store.database.is_in_doubt = True
    store.commit(lease, made)
    next_one = replace(made, id=2, parent=1, anchor=2, values=frozen_dict({"x": 2}))
    store.commit(lease, next_one)
    store.release(lease, "done")
    store.commit(lease, next_one)  # the last commit gives the thread back as well
    store.release(lease, "done")

    assert ([1, 2], "done") == ([one.id for one in store.history("t")], store.thread("t").status)
    assert {"x": 2} == store.latest("t").checkpoint.values
    other = store.acquire("t", fresh_owner())
    for late in (lambda: store.release(lease, "done"), lambda: store.commit(lease, next_one)):
        with pytest.raises(ThreadBusy):
            late()
    store.release(other, "paused")
    with pytest.raises(ThreadBusy):
        store.release(lease, "done")
    store.close()
