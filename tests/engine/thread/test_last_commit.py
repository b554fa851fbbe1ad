"""
The first and the last of a run are a transaction each: the thread with its input, and the last
checkpoint with the spans and the end of the lease. (W1, W4)
"""

from typing import TypedDict

import pytest

from nbagent import END, START, Graph, NodeError, StoreError, node
from nbagent.engine.store.protocol import together
from nbagent.engine.thread.live import live_runs
from nbagent.errors import ThreadBusy
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore
from nbagent.testing import FaultyStore


class State(TypedDict):
    x: int


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    made = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "a.db")
    yield made
    made.close()


def once(store):
    with Graph("once", State, store=store) as made:

        @node
        async def one(state):
            return {"x": state["x"] + 1}

        START >> one >> END
    return made


class Beating:
    """A store between whose last commit and its news a heartbeat comes."""

    def __init__(self, store):
        self.store = store
        self.url = store.url
        self.beats = 0

    def __getattr__(self, name):
        return getattr(self.store, name)

    def release(self, *args, **more):
        self.store.release(*args, **more)
        self._beat()

    def together(self, thread):
        return _BeatenBehind(together(self.store, thread), self._beat)

    def _beat(self):
        for run in live_runs():
            if run.thread.store is self:
                self.beats += 1
                try:
                    run.renew()
                except ThreadBusy:
                    run.lost()


class _BeatenBehind:
    def __init__(self, inner, beat):
        self.inner, self.beat = inner, beat

    def __enter__(self):
        return self.inner.__enter__()

    def __exit__(self, *error):
        ended = self.inner.__exit__(*error)
        self.beat()
        return ended


def test_a_heartbeat_between_the_last_commit_and_its_news_costs_nothing(store):
    """It would find that the lease is over, and stop a run that is done."""
    graph = once(beating := Beating(store))

    assert {"x": 2} == graph.run({"x": 1}, "t")
    assert beating.beats >= 1
    assert "done" == graph.thread("t").status


def test_a_one_node_thread_is_two_transactions(tmp_path):
    """From its start to done: its input with the lease, its step with the spans and the end."""
    store = SqliteStore(tmp_path / "a.db")
    graph = once(store)
    said = []
    store.database.writer.set_trace_callback(said.append)

    graph.run({"x": 1}, "t")

    assert 2 == sum(line.startswith("COMMIT") for line in said)
    assert ["run"] == [span.kind for span in store.spans("t")]
    store.close()


@pytest.mark.parametrize("point", ["commit.after", "release.before", "release.after"])
def test_a_last_transaction_that_fails_is_none(point, tmp_path):
    """Nothing of it is stored: not the checkpoint, not the end. What was paid for is."""

    def full():
        raise StoreError("the disk is full")

    inner = SqliteStore(tmp_path / "a.db")
    count = 2 if point == "commit.after" else 1
    graph = once(FaultyStore(inner, point, count, full))
    with pytest.raises((StoreError, NodeError)):
        graph.run({"x": 1}, "t")

    assert [1] == [line.id for line in inner.history("t")]
    assert ["done"] == [record.status for record in inner.latest("t").tasks]
    assert {"x": 2} == graph.thread("t").resume().result(10)
    assert ["failed", "done"] == [span.status for span in inner.spans("t") if span.kind == "run"]
    inner.close()


def test_what_is_inside_of_it_is_seen_there_alone(tmp_path):
    """Whoever else looks sees the thread as it was; who is inside sees what he has written."""
    store, other = SqliteStore(tmp_path / "a.db"), SqliteStore(tmp_path / "a.db")
    graph = once(store)
    graph.run({"x": 1}, "t")
    with pytest.raises(ValueError, match="stop"), together(store, "t"):
        graph.thread("t").edit({"x": 7})
        assert (7, 2) == (graph.thread("t").state["x"], once(other).thread("t").state["x"])
        raise ValueError("stop")

    assert (2, 2) == (graph.thread("t").state["x"], once(other).thread("t").state["x"])
    assert "done" == graph.thread("t").status
    graph.thread("t").edit({"x": 8})
    assert 8 == once(other).thread("t").state["x"]
    store.close()
    other.close()


def test_a_long_log_is_folded_when_a_thread_ends(tmp_path):
    """And its space given back: the file with its log is not twice the file."""
    store = SqliteStore(tmp_path / "a.db", durability="process")
    with Graph("long", State, store=store) as graph:

        @node
        async def one(state):
            return {"x": state["x"] + 1}

        START >> one >> END
    log = tmp_path / "a.db-wal"
    while log.stat().st_size <= 2 << 20:
        before = log.stat().st_size
        graph.run({"x": 1}, f"t{before}")
        if log.stat().st_size < before:
            break

    assert 1 << 20 > log.stat().st_size
    store.close()


def test_a_first_transaction_that_fails_leaves_nothing_behind(tmp_path):
    """Not the thread, nor a belief that the nodes' fingerprints are stored."""

    def full():
        raise StoreError("the disk is full")

    inner = SqliteStore(tmp_path / "a.db")
    graph = once(FaultyStore(inner, "commit.after", 1, full))
    with pytest.raises(StoreError):
        graph.run({"x": 1}, "t")
    assert [] == inner.threads()

    graph.run({"x": 1}, "t")
    assert {"one"} == set(inner.latest("t").checkpoint.nodes)
    inner.close()
