"""
A subgraph's thread under its parent's: taken over, stopped, read again in another process, and
what goes wrong in its own steps. (R15, R47, W1, W4, W12)
"""

import asyncio
import operator
import subprocess
import sys
import textwrap
import time
from typing import Annotated, TypedDict

import numpy
import pandas
import pytest

from nbagent import END, START, Graph, NodeError, Topic, branch, interrupt, node
from nbagent.engine.thread.live import live_runs
from nbagent.engine.thread.thread import Thread
from nbagent.engine.watch.events import SubgraphEvent
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


class State(TypedDict):
    x: int
    log: Annotated[list[str], operator.add]


class Table(TypedDict):
    table: pandas.DataFrame
    matrix: numpy.ndarray
    log: Annotated[list[str], operator.add]


def inner_of(function, state=State, name="inner"):
    with Graph(name, state) as inner:
        START >> node(function, name="w") >> END
    return inner


def parent_of(store, *inners, state=State, **policies):
    with Graph("parent", state, store=store) as made:
        START >> [node(g, name=g.name, **policies) for g in inners] >> END
    return made


def asks(state):
    return {"log": [interrupt("Well?")]}


@pytest.fixture
def tables(tmp_path):
    """A parent whose two subgraphs wait, and read again as another process would."""
    path = tmp_path / "a.db"
    inners = [inner_of(asks, Table, name) for name in ("one", "two")]
    given = {"table": pandas.DataFrame({"n": [1, 2]}), "matrix": numpy.arange(3), "log": []}
    store = SqliteStore(path)
    parent_of(store, *inners, state=Table).run(given, thread="t")
    store.close()
    again = SqliteStore(path)
    yield parent_of(again, *inners, state=Table).thread("t")
    again.close()


def test_tables_that_no_subgraph_touched_are_no_change(tables):
    """Read from a file they are other objects than before, and still nobody's write. (W16)"""
    state = tables.resume(answers={q.id: "yes" for q in tables.questions}).result(10)
    assert ["yes", "yes"] == state["log"]
    assert [1, 2] == list(state["table"].n)


def test_a_persons_edit_stays_while_a_subgraph_waits(tables):
    """The subgraph did not touch the table, so it does not put the old one back. (R31, W12)"""
    tables.edit({"table": pandas.DataFrame({"n": [9]})})
    state = tables.resume(answers={q.id: "yes" for q in tables.questions}).result(10)
    assert [9] == list(state["table"].n)


def test_an_untouched_table_is_one_object_from_step_to_step():
    """A super-step does not copy what it does not write."""
    with Graph("g", Table, store=MemoryStore()) as graph:
        START >> node(lambda s: {"log": ["a"]}, name="a") >> END
    thread = graph.thread("t")
    graph.run({"table": pandas.DataFrame({"n": [1]}), "log": []}, thread="t")
    first, last = (thread.point(checkpoint=number) for number in (1, 2))
    assert first.values["table"] is last.values["table"]


def test_a_migration_of_the_subgraphs_state_is_not_its_work(tmp_path):
    """What it began with is migrated as what it has now, and only its own write goes out. (R47)"""
    store = SqliteStore(tmp_path / "a.db")

    class Wider(TypedDict):
        x: int
        log: Annotated[list[str], operator.add]
        extra: str

    def parent(state, migrate=None):
        with Graph("inner", state, migrate=migrate) as inner:
            START >> node(lambda s: None, name="w0") >> node(asks, name="w") >> END
        return parent_of(store, inner)

    parent(State).run({"x": 1, "log": ["a"]}, thread="t")
    changed = parent(Wider, lambda values: {**values, "log": [v.upper() for v in values["log"]]})
    state = changed.thread("t").resume("new", on_change="go-on").result(10)
    assert ["a", "new"] == state["log"]
    store.close()


_OWNER = """
    import asyncio, sys, time
    from tests.engine.thread.test_subgraph_threads import inner_of, parent_of
    from nbagent.stores.sqlite import SqliteStore

    async def slow(state):
        print("in it", flush=True)
        await asyncio.sleep(60)

    parent_of(SqliteStore(sys.argv[1]), inner_of(slow)).run({"x": 1, "log": []}, thread="t")
"""


def test_taking_over_takes_the_subgraphs_thread_too(tmp_path):
    """From a living process, which cannot write to either any more. (W4)"""
    path = tmp_path / "a.db"
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_OWNER), str(path)],
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert "in it" == owner.stdout.readline().strip()
        store = SqliteStore(path)
        parent = parent_of(store, inner_of(lambda s: {"log": ["taken"]}))
        run = parent.thread("t").resume(take_over=True, on_change="go-on")
        assert ["taken"] == run.result(10)["log"]
        assert {"done"} == {info.status for info in store.threads()}
        owner.kill()
    store.close()


def test_a_subgraph_that_somebody_stops_is_no_failure():
    """The parent pauses with it; no fallback runs, and a resume goes on."""
    calls, fallbacks = [], []

    async def slow(state):
        calls.append(1)
        await asyncio.sleep(30 if len(calls) == 1 else 0)
        return {"x": 5}

    def instead(state):
        fallbacks.append(1)

    graph = parent_of(MemoryStore(), inner_of(slow), fallback=instead)
    run = graph.start({"x": 1, "log": []}, thread="t")
    until = time.monotonic() + 5
    while not calls and time.monotonic() < until:
        time.sleep(0.01)
    (child,) = [one for one in live_runs() if one.thread.id.startswith("t/")]
    child.stop()
    run.result(5)

    assert ("paused", []) == (run.status, fallbacks)
    assert 5 == graph.thread("t").resume().result(5)["x"]


@pytest.mark.parametrize("ends", [SystemExit, KeyboardInterrupt, lambda: None], ids=str)
def test_a_branch_function_of_a_subgraph_that_fails_leaves_nothing_held(ends):
    """Whatever it raises, or if it asks: both leases are given back, and other runs go on."""

    def choose(state):
        if ends() is None:
            interrupt("Which way?")
        raise ends()

    with Graph("inner", State) as inner:
        START >> node(lambda s: {"x": 1}, name="w") >> branch(choose, go=END)
    store = MemoryStore()
    graph = parent_of(store, inner)
    with pytest.raises((NodeError, SystemExit, KeyboardInterrupt)):
        graph.run({"x": 0, "log": []}, thread="t")

    assert {"failed"} == {info.status for info in store.threads()}
    assert [] == live_runs()
    assert 7 == parent_of(store, inner_of(lambda s: {"x": 7})).run({"x": 0, "log": []})["x"]


def test_a_task_of_the_user_cannot_end_the_loop(caplog):
    """`sys.exit()` in a callback ends asyncio's loop; here it ends nothing but itself. (W19)"""
    loops = []

    async def a(state):
        loops.append(asyncio.get_running_loop())
        passed = asyncio.Event()
        loops[0].call_soon(sys.exit)
        loops[0].call_soon(passed.set)
        await passed.wait()
        return {"x": 2}

    graph = parent_of(MemoryStore(), inner_of(a))
    assert 2 == graph.start({"x": 0, "log": []}).result(5)["x"]
    assert "wanted to end the process" in caplog.text


def test_a_topic_is_not_handed_to_a_subgraph():
    """It collects one step's writes, and the subgraph's first step has none."""

    class Found(TypedDict):
        found: Annotated[list[str], Topic]
        log: Annotated[list[str], operator.add]

    inner = inner_of(lambda s: {"log": [f"saw {s.get('found')}"]}, Found)
    with Graph("parent", Found, store=MemoryStore()) as graph:
        first = node(lambda s: {"found": "x"}, name="first")
        START >> first >> node(inner, name="inner") >> END
    assert ["saw None"] == graph.run({"log": []})["log"]


def test_a_subgraph_runs_on_its_parents_loop():
    """Also when new runs have been given another one meanwhile. (W9)"""
    from nbagent.engine.thread.loop import abandon

    loops = []

    async def where(state):
        loops.append(asyncio.get_running_loop())

    async def first(state):
        loops.append(asyncio.get_running_loop())
        abandon(loops[0])

    with Graph("parent", State, store=MemoryStore()) as graph:
        START >> node(first) >> node(inner_of(where), name="inner") >> END
    graph.run({"x": 0, "log": []})
    assert loops[0] is loops[1]


def test_events_of_a_resumed_subgraph_reach_the_parents_watchers(tables):
    """The child's events are told as the parent's, wrapped, in order."""
    seen = []
    run = tables.resume(answers={q.id: "yes" for q in tables.questions})
    run.watch(seen.append)
    run.result(10)
    assert {"one", "two"} == {event.node for event in seen if isinstance(event, SubgraphEvent)}
    assert isinstance(tables, Thread)
