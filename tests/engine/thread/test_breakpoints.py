"""A breakpoint is a gate that one thing opens: the resume of a thread that has stopped at it."""

import operator
import subprocess
import sys
import textwrap
from typing import Annotated, TypedDict

import pytest

from nbagent import END, START, Graph, StepLimit, interrupt, node, open_store
from nbagent.stores.memory import MemoryStore


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


def build(store, place="before", during=None):
    """write -> send: the gate stands between the two, whichever of them has it."""
    before, after = ("before", None) if place == "before" else (None, "after")
    with Graph("g", State, store=store) as graph:

        @node(pause=after)
        def write(state):
            if during is not None:
                during()
            return {"log": ["write"]}

        @node(pause=before)
        def send(state):
            return {"log": ["send"]}

        START >> write >> send >> END
    return graph


def stops_here(thread):
    """It stands before `send`, which has not run."""
    return ("paused", ["write"], ("send",)) == (thread.status, thread.state["log"], thread.next)


def pauses(graph, thread, box):
    box.append(thread)
    graph.run({}, thread="t")
    box.clear()


def bounds_its_steps(graph, thread, box):
    thread.start({}, steps=1).result()


def reaches_the_limit(graph, thread, box):
    with pytest.raises(StepLimit):
        graph.run({}, thread="t", step_limit=1)


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("stop", [pauses, bounds_its_steps, reaches_the_limit])
def test_what_else_stops_the_thread_there_does_not_open_it(place, stop):
    """The resume stops at the gate; the one after that passes it."""
    box = []
    graph = build(MemoryStore(), place, during=lambda: box and box[0].run.pause())
    thread = graph.thread("t")
    stop(graph, thread, box)
    assert ["write"] == thread.state["log"]

    thread.resume().result()
    assert stops_here(thread)
    assert ["write", "send"] == thread.resume().result()["log"]
    assert "done" == thread.status


@pytest.mark.parametrize("place", ["before", "after"])
def test_the_resume_of_a_thread_that_stopped_there_opens_it(place):
    """An edit in between changes nothing; a fork stops anew."""
    graph = build(MemoryStore(), place)
    thread = graph.thread("t")
    graph.run({}, thread="t")
    assert stops_here(thread)
    thread.edit({"log": ["write"]}, note="looked at")
    fork = thread.fork()
    assert ["write", "send"] == thread.resume().result()["log"]
    if place == "before":
        fork.resume().result()
        assert stops_here(fork)
        assert ["write", "send"] == fork.resume().result()["log"]


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("point", ["release.before", "put_journal.before", "commit.after"])
def test_a_kill_right_before_it_does_not_open_it(place, point, tmp_path):
    """Nobody has seen the thread stop there."""
    code = f"""
        import sys
        sys.path[:0] = {sys.path!r}
        from nbagent import open_store
        from nbagent.testing import FaultyStore
        from tests.engine.thread.test_breakpoints import build
        count = 2 if "commit" in {point!r} else 1
        store = FaultyStore(open_store("sqlite:///{tmp_path}/a.db"), {point!r}, count)
        build(store, {place!r}).run({{}}, thread="t")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], timeout=60)
    assert -9 == done.returncode
    store = open_store(f"sqlite:///{tmp_path}/a.db")
    thread = build(store, place).thread("t")
    assert ("stopped", ["write"]) == (thread.status, thread.state["log"])
    thread.resume(steps=0).result()  # and nor does a pause that comes in between
    thread.resume().result()
    assert stops_here(thread)
    assert ["write", "send"] == thread.resume().result()["log"]
    store.close()


def test_an_answer_elsewhere_does_not_open_it():
    """A subgraph stands at its gate while a sibling asks: the answer is for the sibling alone."""
    store = MemoryStore()
    inner = build(store)
    with Graph("outer", State, store=store) as outer:

        @node
        def asks(state):
            return {"log": [interrupt("ok?")]}

        START >> [node(inner), asks] >> node(lambda state: None, name="last") >> END
    outer.run({}, thread="t")
    thread = outer.thread("t")
    assert "waiting" == thread.status

    thread.resume("yes").result()
    assert ("paused", []) == (thread.status, thread.state.get("log", []))
    assert ["yes", "write", "send"] == thread.resume().result()["log"]


def test_a_gate_stops_each_time_round():
    """Opened once, it is shut again for the next super-step that comes to it."""
    with Graph("loop", State, store=MemoryStore()) as graph:

        @node(pause="before")
        def turn(state):
            return {"log": ["turn"]}

        START >> turn >> turn
        turn >> END
    thread = graph.thread("t")
    graph.run({}, thread="t")
    for count in range(3):
        assert ("paused", count) == (thread.status, len(thread.state.get("log", [])))
        thread.resume().result()
