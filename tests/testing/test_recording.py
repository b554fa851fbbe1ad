"""An agent tested without a model: scripted, recorded, stopped at a step, compared. (R45)"""

import operator
from typing import Annotated, TypedDict

import pytest

from nbagent import END, START, Graph, NodeError, Retry, branch, emit, interrupt, node
from nbagent.engine.watch import events as ev
from nbagent.stores.memory import MemoryStore
from nbagent.testing import Recording, flaky, run_to, scripted


class State(TypedDict):
    x: int
    log: Annotated[list[str], operator.add]


def agent():
    """Three rounds of a scripted model beside a tool that drops once, then a question."""
    with Graph("agent", State, store=MemoryStore()) as graph:
        model = node(
            scripted(
                {"log": ["one"], "x": 1}, {"log": ["two"], "x": 2}, {"log": ["three"], "x": 3}
            ),
            name="model",
        )
        tool = node(
            flaky(lambda s: emit("used"), 1, ConnectionError), name="tool", retry=Retry(2, wait=0.0)
        )
        ask = node(lambda s: {"log": [interrupt("Well?")]}, name="ask")
        START >> [model, tool]
        model >> branch(lambda s: "more" if s["x"] < 3 else "ask", more=model, ask=ask)
        tool >> END
        ask >> END
    return graph


def test_what_happened_is_text_that_is_the_same_each_time(tmp_path):
    """Compared with a file that is written at first; a change is seen."""
    texts = []
    for _ in range(3):
        recording = Recording()
        run = agent().start({"x": 0, "log": []})
        run.watch(recording)
        run.result(5)
        texts.append(recording.text())
        assert recording.matches(tmp_path / "agent.txt")
    assert 1 == len(set(texts))
    assert ["model", "tool", "model", "model"] == sorted(recording.nodes[:2]) + recording.nodes[2:]
    assert 1 == len(recording.of(ev.NodeRetried))
    assert "  tool failed and is tried again: ConnectionError" in texts[0]
    assert texts[0].endswith("waiting\n  asks ask: 'Well?'\n")

    other = Recording()
    with Graph("other", State, store=MemoryStore()) as graph:
        START >> node(lambda s: {"x": 9}, name="a") >> END
    run = graph.start({"x": 0, "log": []})
    run.watch(other)
    run.result(5)
    assert not other.matches(tmp_path / "agent.txt")


def test_an_agent_is_run_to_its_second_super_step():
    """There its state is looked at and changed; then it goes on. (R48)"""
    run = run_to(agent(), {"x": 0, "log": []}, 2)
    assert ("paused", ["one", "two"]) == (run.status, run.thread.state["log"])
    run.thread.edit({"x": 7})
    run.thread.resume().result(5)
    assert "waiting" == run.thread.status


def test_a_failure_is_in_the_text():
    """With its type and message."""

    def fails(state):
        raise ValueError("no")

    recording = Recording()
    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(fails) >> END
    run = graph.start({"x": 0, "log": []})
    run.watch(recording)
    with pytest.raises(NodeError):
        run.result(5)
    assert "  fails failed: ValueError: no" in recording.text()
