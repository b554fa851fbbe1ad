"""What a thread's handle says when it is asked for what is not there, or twice. (R31, R33, W19)"""

import asyncio
import datetime
import itertools
from typing import Any, TypedDict

import pytest

from nbagent import END, START, Graph, NbagentError, branch, interrupt, node
from nbagent.engine.store.ownership import current_owner
from nbagent.errors import ThreadError, UnknownQuestion, UnknownThread
from nbagent.stores.memory import MemoryStore
from nbagent.testing import FakeClock
from tests.engine import build
from tests.engine.build import program, sync, thread


class State(TypedDict):
    x: Any
    y: int


def waiting(store, name="waits"):
    """A graph that asks."""
    with Graph(name, State, store=store) as made:
        START >> node(lambda s: {"x": interrupt("Which?")}, name="ask") >> END
    return made


def helper(store, function=lambda s: {"y": 5}):
    with Graph("helper", State, store=store) as made:
        START >> node(function, name="help") >> END
    return made


def three():
    """Three nodes that count, one after another."""
    nodes = [sync(name, lambda s: {"x": s["x"] + 1}) for name in "abc"]
    stops = [build.START, *"abc", build.END]
    return program(*nodes, wires=[build.Edge(a, b) for a, b in itertools.pairwise(stops)])


def test_a_thread_that_has_no_checkpoint_says_so():
    """Taken and never begun; or not there at all."""
    store = MemoryStore()
    store.acquire("t", current_owner(), create=True)
    with pytest.raises(UnknownThread, match="has no checkpoint yet"):
        thread(three(), store=store).latest()
    with pytest.raises(UnknownThread):
        thread(three(), id="nobody").latest()


def test_what_changed_between_two_points():
    """Any two, the last two, and the first against nothing."""
    one = thread(three())
    one.start({"x": 0}).result(5)

    def changed(*points):
        return [tuple(row)[-2:] for row in one.diff(*points).itertuples(index=False)]

    assert changed() == changed(None, 4) == changed(3, 4)
    assert len(changed(1, 4)) == 1
    assert len(changed(None, 1)) == 1


def test_a_replay_from_a_point_that_does_not_lead_there():
    one = thread(three())
    one.start({"x": 0}).result(5)

    assert list(one.replay(since=2, until=3))
    with pytest.raises(ThreadError, match="does not lead to"):
        list(one.replay(since=4, until=2))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"start": "then"}, "start='then'"),
        ({"buffer": 0}, "at least 1"),
        ({"mode": "all"}, "all"),
    ],
)
async def test_a_stream_that_cannot_be_is_refused(more, said):
    """Before anything is read."""
    run = thread(three()).start({"x": 0})
    with pytest.raises((NbagentError, ValueError), match=said):
        async for _ in run.stream(**more):
            pass
    await run


async def test_a_reader_that_goes_away_pauses_what_it_began():
    """`graph.stream` runs for its reader; when nobody reads, it goes no further."""
    store, steps = MemoryStore(), []
    with Graph("endless", State, store=store) as made:
        again = node(lambda s: steps.append(1) or {"x": s["x"] + 1}, name="again")
        START >> again >> branch(lambda s: "on", on=again, off=END)
    stream = made.stream({"x": 0}, thread="t")
    async for _ in stream:
        break
    await stream.aclose()
    while made.thread("t").status == "running":
        await asyncio.sleep(0)

    assert "paused" == made.thread("t").status
    assert made.thread("t").state["x"] <= len(steps)


def test_which_question_is_escalated():
    """The only one by itself; of several, the one that is named; and one that is there."""
    store = MemoryStore()
    with Graph("two", State, store=store) as two:
        (
            START
            >> [
                node(lambda s: {"x": interrupt("X?")}, name="a"),
                node(lambda s: {"y": interrupt("Y?")}, name="b"),
            ]
            >> END
        )
    two.run({}, thread="t")
    one = two.thread("t")
    help_ = helper(store)
    with pytest.raises(UnknownQuestion, match="2 questions are open"):
        one.escalate(help_, {"x": 1})
    with pytest.raises(UnknownQuestion, match="'none' is not an open question"):
        one.escalate(help_, {"x": 1}, question="none")
    one.escalate(help_, {"x": 1}, question=one.questions[1].id, answer="y").result(5)

    assert ["X?"] == [question.question for question in one.questions]


@pytest.mark.parametrize(
    ("answer", "found"),
    [("y", 5), (lambda state: state["x"] + state["y"], 8), (None, {"x": 3, "y": 5})],
)
def test_what_of_the_other_graph_is_the_answer(answer, found):
    """A field, what a function makes of its state, or all of it; its input is the state so far."""
    store = MemoryStore()
    graph = waiting(store)
    graph.run({"x": 3}, thread="t")
    graph.thread("t").escalate(helper(store), answer=answer).result(5)

    assert found == graph.thread("t").state["x"]


def test_an_answer_that_the_other_graph_does_not_give():
    store = MemoryStore()
    graph = waiting(store)
    graph.run({"x": 3}, thread="t")
    with pytest.raises(ThreadError, match="ended without 'z'"):
        graph.thread("t").escalate(helper(store), answer="z").result(5)
    assert "waiting" == graph.thread("t").status


@pytest.mark.parametrize(
    ("answer", "state"), [("y", 5), (lambda state: {"x": 10, "y": 11}, 11), (None, 5)]
)
def test_what_a_failed_thread_is_given(answer, state):
    """A field, what a function says, or those shared that the other graph wrote."""
    store, broken = MemoryStore(), [True]

    def risky(s):
        if broken:
            broken.clear()
            raise ValueError("no")
        return None

    with Graph("fails", State, store=store) as made:
        START >> node(risky, name="risky") >> END
    with pytest.raises(NbagentError):
        made.run({"x": 1, "y": 1}, thread="t")
    made.thread("t").escalate(helper(store), answer=answer).result(5)

    assert ("done", state) == (made.thread("t").status, made.thread("t").state["y"])


def test_what_the_other_graph_left_as_it_was_is_no_edit():
    """The thread goes on, and its history has no checkpoint of a person."""
    store, broken = MemoryStore(), [True]

    def risky(s):
        if broken:
            broken.clear()
            raise ValueError("no")

    with Graph("fails", State, store=store) as made:
        START >> node(risky, name="risky") >> END
    with pytest.raises(NbagentError):
        made.run({"x": 1}, thread="t")
    made.thread("t").escalate(helper(store, lambda s: None)).result(5)

    assert "done" == made.thread("t").status
    assert "edit" not in [info.kind for info in store.history("t")]


def test_a_deadline_inside_a_subgraph_is_the_threads():
    """It is due when the inner question is, and then answered as that says. (W13)"""
    clock, store = FakeClock(1000.0), MemoryStore()
    with Graph("inner", State) as deep:
        ask = lambda s: {"x": interrupt("?", deadline=datetime.timedelta(seconds=50), on_expiry=7)}  # noqa: E731
        START >> node(ask, name="ask") >> END
    with Graph("outer", State, store=store) as outer:
        START >> node(deep, name="deep") >> END
    one = thread(outer.compile(), store=store, clock=clock)
    one.start({"x": 0}).result(5)

    assert 1050.0 == one.resume_at
    clock.advance(51)
    assert 7 == one.resume().result(5)["x"]
