"""What nodes print belongs to them; silence that is longer than usual is noticed. (R38, R39)"""

import asyncio
import contextlib
import io
import logging
import sys
import threading
import time
from typing import Any, TypedDict

import pytest

from nbagent import END, START, Graph, GraphError, NodeError, Secret, emit, node, span
from nbagent.engine.model import secrets
from nbagent.engine.node.output import LONGEST
from nbagent.engine.watch import stalls as pace
from nbagent.engine.watch.events import NodeFinished, NodePrinted, NodeStalled, NodeWroteNothing
from nbagent.stores.memory import MemoryStore


class State(TypedDict):
    x: Any


def run_of(*functions, shows=False, **options):
    """Run them beside each other; the events."""
    events = []
    with Graph("g", State, store=MemoryStore()) as graph:
        START >> [node(one, **options) for one in functions] >> END
    run = graph.start({"x": 0}, thread="t")
    run.echo.is_shown = shows
    run.watch(events.append)
    with contextlib.suppress(NodeError):
        run.result(20)
    return events, graph


def printed(events, name):
    return "".join(e.text for e in events if isinstance(e, NodePrinted) and e.node == name)


def test_siblings_print_their_own(capsys):
    """On threads and on the loop, at the same time; and it is on the terminal as well."""

    async def one(state):
        for number in range(3):
            print("one", number)
            await asyncio.sleep(0.01)

    def two(state):
        for number in range(3):
            print("two", number)
            time.sleep(0.01)
        sys.stderr.write("no newline")

    before = sys.stdout
    events, graph = run_of(one, two)
    assert "one 0\none 1\none 2\n" == printed(events, "one")
    assert "two 0\ntwo 1\ntwo 2\nno newline" == printed(events, "two")
    assert before is sys.stdout
    shown = capsys.readouterr()
    assert {"one 0", "two 2"} <= set(shown.out.splitlines())
    assert "no newline" == shown.err
    kept = {s.node: s.attributes["text"] for s in graph.store.spans("t") if s.kind == "output"}
    assert {"one": "one 0\none 1\none 2\n", "two": printed(events, "two")} == kept
    told = [type(e) for e in events if getattr(e, "node", "") == "two"]
    assert [NodeWroteNothing, NodeFinished] == told[-2:]


def test_a_view_that_shows_it_has_it_alone(capsys):
    """The cell's own output stays quiet."""
    started = threading.Event()

    def a(state):
        started.wait(5)
        print("in the card")

    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(a) >> END
    run = graph.start({"x": 0})
    run.echo.is_shown = True
    started.set()
    run.result(5)
    assert "" == capsys.readouterr().out


def test_what_no_node_prints_goes_where_it_went(capsys):
    """Other cells, other threads, while a run lives."""
    began, go_on = threading.Event(), threading.Event()
    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(lambda s: began.set() or (go_on.wait(5) and None), name="a") >> END
    events = []
    run = graph.start({"x": 0})
    run.watch(events.append)
    assert began.wait(5)
    print("mine")
    with contextlib.redirect_stdout(io.StringIO()) as redirected:
        print("redirected")
    go_on.set()
    run.result(5)
    assert ("mine\n", "redirected\n") == (capsys.readouterr().out, redirected.getvalue())
    assert "" == printed(events, "a")


def test_log_records_are_the_nodes(capsys):
    """With their level and logger; a library's warning too."""

    def a(state):
        logging.getLogger("library").warning("rate %d", 5)

    events, _ = run_of(a)
    assert "WARNING library: rate 5\n" == printed(events, "a")
    assert [] == [
        h for h in logging.root.handlers if type(h).__module__ == "nbagent.engine.node.output"
    ]


def test_output_is_bounded_and_without_secrets(monkeypatch, capsys):
    """A node that prints for ever costs no more than its limit."""
    monkeypatch.setattr(secrets, "_values", {})
    key = Secret("k", "a-secret-value")

    def a(state):
        print(key.reveal())
        for _ in range(1000):
            print("x" * 99)

    events, graph = run_of(a)
    text = printed(events, "a")
    assert text.startswith("•••\n")
    assert LONGEST <= len(text) <= LONGEST + 100
    assert text.endswith("… what follows is not kept\n")
    (kept,) = [s for s in graph.store.spans("t") if s.kind == "output"]
    assert text == kept.attributes["text"]


def test_what_a_failed_node_printed_is_there(capsys):
    """It is told before the failure."""

    def a(state):
        print("before it fails", end="")
        raise ValueError("no")

    events, _ = run_of(a)
    kinds = [type(event).__name__ for event in events]
    assert kinds.index("NodePrinted") < kinds.index("NodeFailed")


# ---------------------------------------------------------------------------------- stalls


def stalled(function, **options):
    """Its stalls, and the finished node's time."""
    told = []
    with Graph("g", State, store=MemoryStore(), on_stall=told.append) as graph:
        START >> node(function, name="a", **options) >> END
    run, events = graph.start({"x": 0}), []
    run.watch(events.append)
    run.result(20)
    assert told == [event for event in events if isinstance(event, NodeStalled)]
    return told


@pytest.mark.parametrize("kind", ["async", "def"])
def test_a_silent_node_is_told_once(kind):
    """While it goes on, and before any timeout; the run ends as if nothing had been."""

    async def on_the_loop(state):
        await asyncio.sleep(1.3)

    (one,) = stalled(on_the_loop if kind == "async" else lambda s: time.sleep(1.3), stall=0.4)
    assert ("a", 0.4) == (one.node, one.usual)
    assert 0.4 < one.seconds < 1.3


def test_a_node_that_emits_or_prints_is_not_silent(capsys):
    """A heartbeat shows that a long node lives."""

    async def lively(state):
        for number in range(7):
            await asyncio.sleep(0.2)
            emit(number) if number % 2 else print(number)

    assert [] == stalled(lively, stall=0.5)


def test_what_is_usual_is_learnt(monkeypatch):
    """Three calls of 0.1 seconds; the fourth takes ten times as long."""
    monkeypatch.setattr(pace, "LEAST", 0.3)
    monkeypatch.setattr(pace, "_calls", {})
    naps = [0.1, 0.1, 0.1, 1.2]

    async def nap(state):
        await asyncio.sleep(naps.pop(0))

    told = []
    with Graph("g", State, store=MemoryStore(), on_stall=told.append) as graph:
        START >> node(nap) >> END
    for _ in range(3):
        graph.run({"x": 0})
    assert [] == told
    graph.run({"x": 0})
    assert ["nap"] == [event.node for event in told]


def test_a_callback_that_fails_does_not_stop_the_run(caplog):
    """It is logged."""

    def fails(event):
        raise ValueError("in the callback")

    with Graph("g", State, store=MemoryStore(), on_stall=fails) as graph:
        START >> node(lambda s: time.sleep(0.8), name="a", stall=0.2) >> END
    graph.run({"x": 0})
    assert "on_stall= of graph 'g' failed" in caplog.text
    with pytest.raises(GraphError, match="stall=0"):
        node(stall=0)


@pytest.mark.parametrize("store", ["memory://half", "sqlite:///half.db"])
def test_half_a_character_does_not_hold_up_the_end_of_a_run(store, tmp_path, monkeypatch):
    """A node may print or trace what no database takes; the run ends, and the rest is kept."""
    monkeypatch.chdir(tmp_path)

    def talks(state):
        print("before \ud83d after")
        with span("half \ud83d", question="\udcff"):
            pass
        return {"x": 1}

    with Graph("g", State, store=store) as graph:
        START >> node(talks, name="talks") >> END
    assert 1 == graph.start({"x": 0}, "t").result(5)["x"]
    assert "done" == graph.thread("t").status
    graph.thread("t").rename("half \ud83d")
    assert any("half" in name for name in graph.thread("t").trace()["name"])
    graph.store.close()
