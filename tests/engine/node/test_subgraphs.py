"""
A graph as a node: shared and mapped state, levels, parallel items, pauses and crashes inside.
"""

import asyncio
import operator
import threading
from typing import Annotated, TypedDict

import pytest

import nbagent
from nbagent import END, START, Graph, GraphError, NodeError, Retry, Send, interrupt, node
from nbagent import branch as branch_on
from nbagent import each as for_each
from nbagent.engine.watch.events import NodeFinished, SubgraphEvent
from nbagent.errors import ThreadBusy, UnknownQuestion
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


class Inner(TypedDict):
    topic: str
    notes: Annotated[list[str], operator.add]
    total: Annotated[int, operator.add]
    private: str


class Outer(TypedDict):
    topic: str
    topics: list[str]
    notes: Annotated[list[str], operator.add]
    total: Annotated[int, operator.add]
    summary: str


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    made = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "a.db")
    yield made
    made.close()


def looker(name="look", *, ask=False, calls=None):
    """A graph of two nodes that notes what it finds about its topic."""
    with Graph(name, Inner) as made:

        @node
        def search(state):
            if calls is not None:
                calls.append(f"search {state['topic']}")
            return {"notes": [f"found {state['topic']}"], "private": "p", "total": 1}

        @node
        def check(state):
            if ask:
                said = interrupt(f"Is {state['topic']} right?", show=["notes"])
                return {"notes": [said], "total": 1}
            return {"notes": ["checked"], "total": 1}

        START >> search >> check >> END
    return made


def test_shared_fields_go_in_and_only_what_changed_comes_out(store):
    """A reduced field gets the subgraph's additions, not its own start twice."""
    inner = looker()
    with Graph("outer", Outer, store=store) as outer:
        START >> inner >> END

    state = outer.run({"topic": "bees", "notes": ["old"], "total": 10}, "t")

    assert ["old", "found bees", "checked"] == state["notes"]
    assert 12 == state["total"]
    assert "private" not in state


def test_two_subgraphs_beside_each_other_merge(store):
    """Parallel subgraphs write to one reduced field. (R9, R18)"""
    one, two = looker("one"), looker("two")
    with Graph("outer", Outer, store=store) as outer:

        @node
        def end(state):
            return {"summary": " ".join(state["notes"])}

        START >> [one, two]
        [one, two] >> end >> END

    state = outer.run({"topic": "b", "notes": ["old"]}, "t")

    assert "old found b checked found b checked" == state["summary"]


def test_fields_are_mapped(store):
    """`inputs` and `outputs` name fields on both sides."""
    inner = looker()
    with Graph("outer", Outer, store=store) as outer:
        mapped = node(
            inner, name="mapped", inputs={"topic": "summary"}, outputs={"topics": "notes"}
        )
        START >> mapped >> END

    state = outer.run({"summary": "ants"}, "t")

    assert ["found ants", "checked"] == state["topics"]
    assert [] == state["notes"]


def test_functions_map_too(store):
    """`inputs` and `outputs` may be functions of the states."""
    inner = looker()
    with Graph("outer", Outer, store=store) as outer:
        mapped = node(
            inner,
            name="mapped",
            inputs=lambda state: {"topic": state["summary"] + "!"},
            outputs=lambda last: {"summary": last["private"] + str(last["total"])},
        )
        START >> mapped >> END

    assert "p2" == outer.run({"summary": "ants"}, "t")["summary"]


def test_each_runs_a_subgraph_an_item_three_levels_deep(store):
    """`each` gives every item a subgraph of its own, which has one inside it. (R3)"""
    with Graph("middle", Inner) as middle:
        START >> looker("leaf") >> END
    with Graph("outer", Outer, store=store) as outer:

        @node
        def end(state):
            return {"summary": f"{len(state['notes'])}"}

        START >> for_each(lambda s: [{"topic": t} for t in s["topics"]], middle) >> end >> END

    state = outer.run({"topics": ["a", "b", "c"]}, "t")

    assert ["found a", "checked", "found b", "checked", "found c", "checked"] == state["notes"]
    assert "6" == state["summary"]
    nested = {info.id for info in store.threads()} - {"t"}
    assert {"t/1:middle#0", "t/1:middle#0/1:leaf"} < nested
    assert ["t"] == list(nbagent.threads(store)["thread"])
    assert 7 == len(nbagent.threads(store, nested=True))


def test_a_question_inside_is_the_parents_and_answers_go_down(store):
    """Pausing inside a subgraph, two levels deep and in parallel; answered one by one. (R27)"""
    calls = []
    with Graph("middle", Inner) as middle:
        START >> looker("leaf", ask=True, calls=calls) >> END
    with Graph("outer", Outer, store=store) as outer:

        @node
        def end(state):
            return {"summary": " ".join(state["notes"])}

        START >> for_each(lambda s: [{"topic": t} for t in s["topics"]], middle) >> end >> END

    run = outer.start({"topics": ["a", "b"]}, "t")
    run.result(10)
    one = outer.thread("t")
    first, second = one.questions

    assert "waiting" == one.status
    assert "1:middle#0/1:leaf/2:check:0" == first.id
    assert "middle/leaf/check" == first.node
    assert "Is a right?" == first.question
    assert "t/1:middle#0/1:leaf" == first.thread
    assert run.questions == one.questions
    with pytest.raises(UnknownQuestion):
        one.resume("which?")

    one.resume(answers={second.id: "B"}).result(10)
    assert [first] == list(one.questions)
    one.resume("A").result(10)

    assert "done" == one.status
    assert "found a A found b B" == one.state["summary"]
    assert ["search a", "search b"] == sorted(calls)


def test_a_failure_inside_keeps_what_finished_inside(store):
    """After a failure only the unfinished inner node runs again. (W1)"""
    calls, broken = [], [True]
    with Graph("inner", Inner) as inner:

        @node
        def search(state):
            calls.append("search")
            return {"notes": ["found"]}

        @node
        def check(state):
            calls.append("check")
            if broken:
                raise ValueError("no luck")
            return {"notes": ["checked"]}

        START >> search >> check >> END
    with Graph("outer", Outer, store=store) as outer:
        START >> inner >> END

    with pytest.raises(NodeError, match=r"node 'inner' failed: .*'check'.*no luck") as caught:
        outer.run({"topic": "x"}, "t")
    assert "inner" == caught.value.node
    assert isinstance(caught.value.__cause__, NodeError)
    broken.clear()
    outer.thread("t").resume().result(10)

    assert ["search", "check", "check"] == calls
    assert ["found", "checked"] == outer.thread("t").state["notes"]


def test_a_retry_of_a_subgraph_goes_on_inside_it(store):
    """The policy sees the user's own exception and repeats only what failed. (R4)"""
    calls = []
    with Graph("inner", Inner) as inner:

        @node
        def search(state):
            calls.append("search")
            return {"notes": ["found"]}

        @node
        def check(state):
            calls.append("check")
            if len(calls) < 4:
                raise ConnectionError("dropped")
            return {"notes": ["checked"]}

        START >> search >> check >> END
    with Graph("outer", Outer, store=store) as outer:
        START >> node(inner, name="sub", retry=Retry(attempts=4, wait=0.0)) >> END

    outer.run({"topic": "x"}, "t")

    assert ["search", "check", "check", "check"] == calls


def test_a_pause_lands_on_a_boundary_inside(store):
    """`run.pause()` pauses the subgraph at its next super-step, and resume goes on there."""
    calls, begun = [], threading.Event()
    with Graph("inner", Inner) as inner:

        @node
        def first(state):
            calls.append("first")
            runs[0].pause()
            return {"notes": ["1"]}

        @node
        def second(state):
            calls.append("second")
            return {"notes": ["2"]}

        START >> first >> second >> END
    with Graph("outer", Outer, store=store) as outer:

        @node
        async def before(state):
            await asyncio.to_thread(begun.wait, 5)

        START >> before >> inner >> END

    runs = [outer.start({"topic": "x"}, "t")]
    begun.set()
    runs[0].result(10)

    assert "paused" == runs[0].status == outer.thread("t").status
    assert ["first"] == calls
    outer.thread("t").resume().result(10)
    assert ["first", "second"] == calls
    assert ["1", "2"] == outer.thread("t").state["notes"]


def test_a_breakpoint_inside_pauses_the_parent(store):
    """A node of a subgraph may have a breakpoint."""
    with Graph("inner", Inner) as inner:

        @node(pause="before")
        def risky(state):
            return {"notes": ["risked"]}

        START >> risky >> END
    with Graph("outer", Outer, store=store) as outer:
        START >> inner >> END

    run = outer.start({"topic": "x"}, "t")
    run.result(10)

    assert "paused" == run.status
    assert ["risked"] == outer.thread("t").resume().result(10)["notes"]


def test_a_stop_stops_inside(store):
    """Stopping the parent lets both threads go; resume goes on inside."""
    calls, begun = [], threading.Event()
    with Graph("inner", Inner) as inner:

        @node
        def first(state):
            calls.append("first")

        @node
        async def slow(state):
            calls.append("slow")
            if calls.count("slow") == 1:
                runs[0].stop()
                await asyncio.sleep(30)
            return {"notes": ["slow"]}

        START >> first >> slow >> END
    with Graph("outer", Outer, store=store) as outer:

        @node
        async def before(state):
            await asyncio.to_thread(begun.wait, 5)

        START >> before >> inner >> END
    runs = [outer.start({"topic": "x"}, "t")]
    begun.set()
    runs[0].result(10)

    assert "stopped" == outer.thread("t").status
    assert ["stopped"] == [i.status for i in store.threads() if i.id != "t"]
    outer.thread("t").resume().result(10)
    assert ["first", "slow", "slow"] == calls
    assert ["slow"] == outer.thread("t").state["notes"]


def test_a_timeout_holds_for_a_subgraph(store):
    """A subgraph that takes too long is stopped, and its node fails."""
    with Graph("inner", Inner) as inner:

        @node
        async def slow(state):
            await asyncio.sleep(30)

        START >> slow >> END
    with Graph("outer", Outer, store=store) as outer:
        START >> node(inner, name="sub", timeout=0.1) >> END

    with pytest.raises(NodeError, match=r"took longer than 0\.1 seconds"):
        outer.run({"topic": "x"}, "t")
    assert {"t": "failed", "t/1:sub": "stopped"} == {i.id: i.status for i in store.threads()}


def test_rerun_begins_the_subgraph_again(store):
    """`resume(rerun=)` runs a finished subgraph from its start."""
    calls, broken = [], [True]
    inner = looker("inner", calls=calls)
    with Graph("outer", Outer, store=store) as outer:

        @node
        def bad(state):
            if broken:
                raise ValueError
            return {"summary": "ok"}

        START >> [inner, bad]
        inner >> END
        bad >> END

    with pytest.raises(NodeError):
        outer.run({"topic": "x"}, "t")
    broken.clear()
    outer.thread("t").resume(rerun=["inner"]).result(10)

    assert ["search x", "search x"] == calls
    assert ["found x", "checked"] == outer.thread("t").state["notes"]


def test_a_subgraph_that_was_done_when_the_process_ended_is_not_run_again(store):
    """Killed between the subgraph's end and the parent's record of it. (W1)"""
    calls = []
    inner = looker("inner", calls=calls)
    with Graph("outer", Outer, store=store) as outer:
        START >> inner >> END

    real = store.commit

    def commit(lease, checkpoint, records=()):
        if lease.thread == "t" and checkpoint.id == 2:
            raise ThreadBusy("gone", thread="t", owner="", since=0)
        return real(lease, checkpoint, records)

    store.commit = commit
    with pytest.raises(ThreadBusy):
        outer.run({"topic": "x", "notes": ["old"]}, "t")
    store.commit = real
    outer.thread("t").resume(take_over=True).result(10)

    assert ["search x"] == calls
    assert ["old", "found x", "checked"] == outer.thread("t").state["notes"]


def test_events_inside_are_told_to_the_parents_observers(store):
    """Whoever watches the parent sees what happens inside, under the node. (R36)"""
    inner = looker("inner")
    with Graph("outer", Outer, store=store) as outer:
        START >> inner >> END
    seen = []
    run = outer.start({"topic": "x"}, "t")
    run.watch(seen.append)
    run.result(10)

    inside = [e.event for e in seen if isinstance(e, SubgraphEvent)]
    assert ["search", "check"] == [e.node for e in inside if isinstance(e, NodeFinished)]
    assert list(range(1, len(seen) + 1)) == [e.number for e in seen]


def test_a_cycle_runs_the_subgraph_anew_each_time(store):
    """Each pass has a thread of its own."""
    inner = looker("inner")
    with Graph("outer", Outer, store=store) as outer:

        @node
        def judge(state):
            return {"summary": "again" if len(state["notes"]) < 6 else "stop"}

        START >> inner >> judge
        judge >> branch_on("summary", again=inner, stop=END)

    assert 6 == len(outer.run({"topic": "x"}, "t")["notes"])
    assert 3 == sum(info.id.startswith("t/") for info in store.threads())


def test_a_send_gives_a_subgraph_its_input(store):
    """`Send(graph, input)` from a branch."""
    inner = looker("inner")
    with Graph("outer", Outer, store=store) as outer:

        @node
        def plan(state):
            return {"topics": ["a", "b"]}

        START >> plan
        plan >> branch_on(lambda s: [Send(inner, {"topic": t}) for t in s["topics"]])
        inner >> END

    assert ["found a", "checked", "found b", "checked"] == outer.run({}, "t")["notes"]


def test_what_cannot_fit_is_said_when_the_graph_is_made():
    """A subgraph with nothing in common, a wrong name, a graph in itself."""

    class Other(TypedDict):
        elsewhere: str

    with Graph("other", Other) as other:
        START >> node(lambda state: None, name="n") >> END

    with pytest.raises(GraphError, match="no field in common"), Graph("outer", Outer):
        START >> other >> END
    with pytest.raises(GraphError, match=r"'sumary' is not a field.*summary"), Graph("o", Outer):
        START >> node(other, name="x", outputs={"sumary": "elsewhere"}) >> END
    with pytest.raises(GraphError, match="of itself"), Graph("o", Outer) as outer:
        START >> outer >> END


def test_a_reducer_that_hides_what_was_added_is_refused(store):
    """A mean says nothing about what a subgraph with another reducer added: no guess is made."""

    def mean(a, b):
        return (a + b) / 2 + 0.125

    class Means(TypedDict):
        level: Annotated[float, mean]

    class Plain(TypedDict):
        level: float

    with Graph("inner", Plain) as inner:
        START >> node(lambda state: {"level": 5.0}, name="n") >> END
    with Graph("outer", Means, store=store) as outer:
        START >> inner >> END

    with pytest.raises(NodeError, match="outputs=function"):
        outer.run({"level": 1.0}, "t")
