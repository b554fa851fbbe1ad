"""What a route reads, how often it is asked, and that it may be waited for. (R16, R17)"""

import asyncio
import operator
import time
from typing import Annotated, TypedDict

import pytest

from nbagent import END, START, Graph, GraphError, NodeError, Send, branch, each, node
from nbagent.errors import GraphChanged
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    x: int


def says(*words, name=None):
    return node(lambda state: {"log": list(words)}, name=name or words[0].replace(":", "-"))


class Route:
    """A branch function that keeps what it read."""

    def __init__(self, answer=None):
        self.read = []
        self.answer = answer or (lambda state: "end")

    def __call__(self, state):
        self.read.append(list(state.get("log", [])))
        return self.answer(state)


class AsyncRoute(Route):
    """The same, to be waited for."""

    async def __call__(self, state):
        await asyncio.sleep(0.001)
        return super().__call__(state)


@pytest.mark.parametrize("kind", [Route, AsyncRoute])
def test_a_route_reads_what_its_own_node_wrote(kind):
    """On top of the state that the super-step began with; a sibling's writes are not there."""
    one, two = kind(), kind()
    with Graph("g", State, store=MemoryStore()) as graph:
        a, b = says("a"), says("b")
        START >> [a, b]
        a >> branch(one, end=END)
        b >> branch(two, end=END)
    assert ["before", "a", "b"] == graph.run({"log": ["before"]})["log"]
    assert ([["before", "a"]], [["before", "b"]]) == (one.read, two.read)


@pytest.mark.parametrize("kind", [Route, AsyncRoute])
def test_a_route_is_asked_once_a_task(kind):
    """Behind a node that was sent several inputs; it runs on once, whoever leads there."""
    route = kind(lambda state: "more" if "worker 1" in state["log"] else ["end", "more"])
    with Graph("g", State, store=MemoryStore()) as graph:
        worker = node(lambda item: {"log": [f"worker {item}"]}, name="worker")
        START >> branch(lambda state: [Send("worker", n) for n in range(3)], to=worker)
        worker >> branch(route, more=says("more"), end=END)
        "more" >> END
    assert ["worker 0", "worker 1", "worker 2", "more"] == graph.run({})["log"]
    assert [["worker 0"], ["worker 1"], ["worker 2"]] == route.read


@pytest.mark.parametrize("kind", [Route, AsyncRoute])
@pytest.mark.parametrize("far", [False, True], ids=["one step", "two steps"])
def test_a_route_behind_a_join_reads_the_merged_state_once(kind, far):
    """Also where the sources arrive in different super-steps."""
    route = kind()
    with Graph("g", State, store=MemoryStore()) as graph:
        a, b = says("a"), says("b")
        START >> a
        if far:
            START >> says("c") >> b
        else:
            START >> b
        [b, a] >> branch(route, end=END)
    graph.run({})
    assert [["a", "c", "b"] if far else ["a", "b"]] == route.read


@pytest.mark.parametrize("kind", [Route, AsyncRoute])
def test_a_fan_out_behind_a_join_is_made_once(kind):
    """Its items are those of the merged state."""
    items = kind(lambda state: state["log"])
    with Graph("g", State, store=MemoryStore()) as graph:
        work = node(lambda item: {"log": [item.upper()]}, name="work")
        START >> [says("a"), says("b")] >> each(items, work) >> END
    assert ["a", "b", "A", "B"] == graph.run({})["log"]


def test_what_follows_a_fan_out_waits_for_all_its_tasks():
    """A route behind `each` is asked once, with everything there."""
    route = Route()
    with Graph("g", State, store=MemoryStore()) as graph:
        work = node(lambda item: {"log": [item]}, name="work")
        START >> each(lambda state: ["a", "b"], work) >> branch(route, end=END)
    graph.run({})
    assert [["a", "b"]] == route.read


def test_a_join_of_routes_that_never_fills_is_told():
    """As one of nodes is."""
    with Graph("g", State, store=MemoryStore()) as graph:
        a, b = says("a"), says("b")
        START >> branch(lambda state: "a", a=a, b=b)
        [a, b] >> branch(lambda state: "end", end=END)
    with pytest.raises(GraphError, match="still waits for 'b'"):
        graph.run({})


@pytest.mark.parametrize("kind", [Route, AsyncRoute])
def test_routes_from_start(kind):
    """With targets and without, `def` and `async`; they read the input."""
    for targets in ({}, {"work": "work"}):
        route = kind(lambda state: "work")
        with Graph("g", State, store=MemoryStore()) as graph:
            work = says("work")
            START >> branch(route, **targets)
            work >> END
        assert ["in", "work"] == graph.run({"log": ["in"]}, thread="t")["log"]
        assert ["in", "work", "again", "work"] == graph.run({"log": ["again"]}, thread="t")["log"]
        assert [["in"], ["in", "work", "again"]] == route.read


def test_sends_from_start_without_targets():
    """What a route returns may be a `Send`."""
    with Graph("g", State, store=MemoryStore()) as graph:
        work = node(lambda item: {"log": [item]}, name="work")
        START >> branch(lambda state: [Send(work, "a"), Send("work", "b")])
        work >> END
    assert ["a", "b"] == graph.run({})["log"]


@pytest.mark.parametrize("place", ["start", "node", "join", "each"])
@pytest.mark.parametrize("kind", ["def", "async", "exits", "cancels"])
def test_a_route_that_fails_fails_the_thread_and_loses_nothing(place, kind):
    """What was paid for is kept: a resume asks the mended route alone."""
    is_broken, calls = [True], []

    def fails(state):
        if is_broken:
            raise {"exits": SystemExit(1), "cancels": asyncio.CancelledError()}.get(
                kind, ValueError("no way")
            )
        return ["x"] if place == "each" else "end"

    async def afails(state):
        await asyncio.sleep(0)
        return fails(state)

    route = afails if kind != "def" else fails
    with Graph("g", State, store=MemoryStore()) as graph:

        @node
        def paid(state):
            calls.append(1)
            return {"log": ["paid"]}

        @node
        def last(item):
            return {"x": 1}

        last >> END
        if place == "start":
            START >> branch(route, end=paid)
            paid >> last
        elif place == "each":
            START >> paid >> each(route, last)
        else:
            START >> [paid, says("b")]
            (paid if place == "node" else [paid, "b"]) >> branch(route, end=last)
            "b" >> END
    with pytest.raises(NodeError, match=r"failed: \w+"):
        graph.start({}, thread="t").result(5)
    thread = graph.thread("t") if graph.store.threads() else None
    if thread is None:  # a plain route from START fails before there is a thread
        assert ("start", "def") == (place, kind)
        return
    assert ("failed", None) == (thread.status, thread.info.owner)
    is_broken.clear()
    assert 1 == thread.resume().result(5)["x"]
    assert [1] == calls


def test_what_has_finished_is_stored_before_a_route_is_waited_for(tmp_path):
    """A route may take as long as a model does; a stop meanwhile costs nothing."""
    calls, wait = [], [True]
    store = SqliteStore(tmp_path / "a.db")

    async def slow(state):
        while wait:
            await asyncio.sleep(0.01)
        return "end"

    with Graph("g", State, store=store) as graph:

        @node
        def paid(state):
            calls.append(1)
            return {"log": ["paid"]}

        START >> paid >> branch(slow, end=END)
    run = graph.start({}, thread="t")
    until = time.monotonic() + 5
    while not store.outcomes("t") and time.monotonic() < until:
        time.sleep(0.01)
    assert ["done"] == [record.status for record in store.outcomes("t")]
    run.stop()
    run.result(5)
    assert "stopped" == graph.thread("t").status
    wait.clear()
    assert ["paid"] == graph.thread("t").resume().result(5)["log"]
    assert [1] == calls
    store.close()


def half_full(sources, store=None, target="j"):
    """A join that `a` has come to, and `c` has not."""
    from nbagent import interrupt

    with Graph("g", State, store=store) as graph:
        a, b, j = says("a"), says("b"), says(target)

        @node
        def c(state):
            return {"log": [interrupt("q")]}

        START >> [a, b]
        b >> c
        [{"a": a, "b": b, "c": c}[name] for name in sources] >> j
        j >> END
        for name in sorted({"a", "b", "c"} - {*sources}):
            name >> END
    return graph


def test_a_join_is_the_same_in_whatever_order_it_is_written():
    """A thread that waits half way goes on after its line was put in order."""
    store = MemoryStore()
    half_full("ac", store).run({}, thread="t")
    assert ["a", "b", "A", "j"] == half_full("ca", store).thread("t").resume("A").result()["log"]


def test_a_join_of_an_earlier_file_is_understood():
    """There its channel has the sources in the order of writing."""
    store = MemoryStore()
    half_full("ca", store).run({}, thread="t")
    loaded = store.latest("t").checkpoint
    assert ("a",) == loaded.control["join:a+c>j"]
    from nbagent.engine.model.program import Join
    from nbagent.engine.step.plan import plan

    program = half_full("ac", store).compile()
    assert Join(("a", "c"), "j") == program.join_of("join:c+a>j")
    from dataclasses import replace

    old = replace(loaded, control={"join:c+a>j": ("c", "a")})
    assert ["j"] == [task.node for task in plan(program, old)]


def test_a_join_that_was_changed_half_way_names_what_is_missing():
    """Not the node, which is there."""
    store = MemoryStore()
    half_full("ac", store).run({}, thread="t")
    with pytest.raises(GraphChanged, match="node 'j' waited for 'a' and others"):
        half_full("bc", store).thread("t").resume("A").result()


@pytest.mark.parametrize("kind", [Route, AsyncRoute])
def test_what_cannot_be_stored_is_its_nodes_failure_whatever_follows(kind, tmp_path):
    """Also where it is stored early, because a route has to be waited for."""

    class Any_(TypedDict, total=False):
        x: object

    store, route = SqliteStore(tmp_path / "a.db"), kind()
    with Graph("g", Any_, store=store) as graph:
        START >> node(lambda state: {"x": object()}, name="odd") >> branch(route, end=END)
    with pytest.raises(Exception, match="odd"):
        graph.run({}, thread="t")
    assert "failed" == graph.thread("t").status
    assert (kind is Route) == bool(route.read)
    store.close()
