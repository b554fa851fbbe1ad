"""A thread's panel without a page: what it shows and offers, whenever it is made. (C3, W10)"""

from __future__ import annotations

import gc
import json
import operator
import threading
import time
import weakref
from typing import Annotated, TypedDict

import pytest

from nbagent import END, START, Graph, NbagentError, approve, emit, interrupt, node
from nbagent.engine.ports import run_began
from nbagent.notebook.view import panel as panels
from nbagent.notebook.view.forms import unmerged_lines
from nbagent.notebook.view.panel import Panel
from nbagent.stores.memory import MemoryStore

run_began.also(panels.follow)


class State(TypedDict):
    n: int
    log: Annotated[list[str], operator.add]


@pytest.fixture
def gate():
    """What a node waits for; opened at the end."""
    made = threading.Event()
    yield made
    made.set()


def until(true, seconds=5):
    """Wait until it is so."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.01)
    return False


def asking(talk=0, gate=None):
    """A graph whose first node emits so often and waits for the gate, and whose second asks."""

    def first(state):
        for number in range(talk):
            emit(number)
        if gate is not None:
            gate.wait(10)
        return {"n": state["n"] + 1}

    def ask(state):
        return {"log": [interrupt("ok?")]}

    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(first, name="first") >> node(ask, name="ask") >> END
    return graph


def state_of(panel):
    """What the page would be shown."""
    with panel.view.model() as model:
        return model.snapshot()


@pytest.mark.parametrize("talk", [0, 1500])
def test_a_run_that_waits_is_offered_its_form_also_after_a_long_past(talk):
    """Displayed after it has stopped, with its past whole or not."""
    run = asking(talk).start({"n": 1}, "t")
    run.result(5)
    panel = Panel(run.thread, run)

    assert until(lambda: panel.form.form["open"])
    assert ["ok?"] == [question["question"] for question in panel.form.form["questions"]]
    assert ("waiting", "done") == (
        state_of(panel)["status"],
        state_of(panel)["nodes"]["first"]["status"],
    )
    panel.close()


def test_a_view_that_comes_late_to_a_long_node_follows_it(gate):
    """It runs, and then it is done; nothing is counted twice."""
    run = asking(1500, gate).start({"n": 1}, "t")
    assert until(lambda: run.feed.backlog.missed)
    panel = Panel(run.thread, run)
    assert "running" == state_of(panel)["nodes"]["first"]["status"]
    gate.set()
    run.result(5)

    assert until(lambda: state_of(panel)["status"] == "waiting")
    assert ("done", 1) == tuple(state_of(panel)["nodes"]["first"][k] for k in ("status", "runs"))
    assert until(lambda: panel.form.form["open"])
    panel.close()


def test_an_old_run_shows_how_its_thread_stands_now():
    """Not the question that has been answered since."""
    graph = asking()
    run = graph.start({"n": 1}, "t")
    run.result(5)
    graph.thread("t").resume("yes").result(5)
    panel = Panel(run.thread, run)

    assert "done" == state_of(panel)["status"]
    assert not panel.form.form["open"]
    panel.close()


def test_a_view_goes_on_with_a_run_that_code_begins():
    """`thread.resume` in a cell: the view of the thread follows, and its form is gone."""
    graph = asking()
    run = graph.start({"n": 1}, "t")
    run.result(5)
    panel = Panel(run.thread, run)
    panel._claim()
    assert until(lambda: panel.form.form["open"])
    graph.thread("t").resume("yes").result(5)

    assert until(lambda: state_of(panel)["status"] == "done")
    assert until(lambda: not panel.form.form["open"])
    assert {"first": 1, "ask": 1} == {
        name: node["runs"] for name, node in state_of(panel)["nodes"].items()
    }
    panel.close()


def test_a_subgraph_is_opened_while_it_runs_and_one_comes_back(gate):
    """Its nodes are shown as they are; what ends while it is opened is not lost; back above,
    nothing is counted twice; its checkpoints are not the parent's."""
    inner = asking(0, gate)

    def before(state):
        return {"n": state["n"]}

    with Graph("outer", State, store=MemoryStore()) as outer:
        START >> node(before, name="before") >> node(inner, name="inside") >> END
    run = outer.start({"n": 1}, "t")
    panel = Panel(run.thread, run)
    assert until(lambda: state_of(panel)["nodes"]["inside"]["inner_threads"])
    (name,) = state_of(panel)["nodes"]["inside"]["inner_threads"]
    panel.command("open", {"thread": name})
    assert ("t", "running") == (
        state_of(panel)["parent"],
        state_of(panel)["nodes"]["first"]["status"],
    )
    with pytest.raises(NbagentError, match="is run by 't'"):
        panel.command("branch", {"checkpoint": 1})
    panel.command("open", {"thread": "t"})
    assert 1 == state_of(panel)["nodes"]["before"]["runs"]
    panel.command("open", {"thread": name})
    gate.set()
    run.result(5)
    assert until(lambda: state_of(panel)["nodes"]["ask"]["status"] == "waiting")
    assert "done" == state_of(panel)["nodes"]["first"]["status"]
    assert until(lambda: panel.form.form["open"])
    panel.command("open", {"thread": "t"})
    assert ("waiting", "waiting") == (
        state_of(panel)["status"],
        state_of(panel)["nodes"]["inside"]["status"],
    )
    panel.close()


def test_a_fork_opened_in_a_view_is_not_closed_by_the_originals_own():
    """Each thread has one view; the first one shows the fork now."""
    graph = asking()
    graph.start({"n": 1}, "t").result(5)
    one = Panel(graph.thread("t"))
    one.live = one.picture = None
    one._claim()
    one.command("fork", {"checkpoint": 1})
    one._claim()
    two = Panel(graph.thread("t"))
    two._claim()

    assert "t-fork-1" == one.thread.id
    assert not one.closed
    one.close()
    two.close()
    assert not [panel for panel in panels._shown.values() if panel in (one, two)]


def test_a_closed_panel_is_let_go():
    """Nothing holds on to it, nor to the states that its run has kept."""
    graph = asking()
    found = []
    for number in range(3):
        run = graph.start({"n": 1}, f"t{number}")
        run.result(5)
        panel = Panel(run.thread, run)
        panel.widget()
        panel._claim()
        until(lambda panel=panel: panel.form.form["open"])
        panel.close()
        found.append(weakref.ref(panel))
        del panel, run

    def gone():
        gc.collect()
        return sum(one() is not None for one in found) <= 1

    assert until(gone)


def two_asking(first, second):
    """A graph whose two nodes ask side by side, each with a schema, and a third that writes."""
    with Graph("g", State, store=MemoryStore()) as graph:

        @node
        def a(state):
            return {"log": [str(interrupt("A?", schema=first))]}

        @node
        def b(state):
            return {"log": [str(interrupt("B?", schema=second))]}

        @node
        def done(state):
            return {"log": ["written"], "n": 7}

        START >> [a, b, done]
        a >> END
        b >> END
        done >> END
    graph.start({"n": 1}, "t").result(5)
    return graph


def test_an_error_says_which_answer_is_wrong():
    """Each problem with its question's id, all of them, and nothing is written."""
    panel = Panel(two_asking(int, dict[str, int]).thread("t"))
    a, b = [question.id for question in panel.thread.questions]
    one = panel.submit({"answers": {a: 1, b: {"x": "oops"}}, "resume": True})
    both = panel.submit({"answers": {a: "no", b: {"x": 1.5}}, "resume": True})

    assert [(b, ["answer", "x"])] == [(e["question"], e["path"]) for e in one["errors"]]
    assert "B? (asked by b)" in one["message"]
    assert [a, b] == [error["question"] for error in both["errors"]]
    assert 2 == len(panel.thread.questions)
    panel.close()


def test_two_people_answer_the_same_question():
    """The first answer counts; the second is refused, and nothing of it is written."""
    graph = two_asking(bool, str)
    first, second = Panel(graph.thread("t")), Panel(graph.thread("t"))
    a, b = [question.id for question in first.thread.questions]
    assert first.submit({"answers": {a: True}, "resume": True})["ok"]
    assert until(lambda: graph.thread("t").status == "waiting")
    late = second.submit({"answers": {a: False}, "edits": {"log": []}, "resume": True})

    assert not late["ok"]
    assert "A question was answered meanwhile" in late["message"]
    assert "edit" not in [info.kind for info in graph.thread("t").line()]
    assert [b] == [question.id for question in graph.thread("t").questions]
    first.close()
    second.close()


def test_a_form_is_bounded():
    """A question of 10 MB, the call that it asks about, and what is said of an answer."""

    def ask(state):
        interrupt("q" * 10**7, schema=int)

    def call(state):
        approve("send", {"text": "t" * 10**7, "n": 1})

    with Graph("g", State, store=MemoryStore()) as graph:
        START >> [node(ask, name="ask"), node(call, name="call")] >> END
    graph.run({}, "t")
    panel = Panel(graph.thread("t"))
    assert until(lambda: panel.form.form["open"])
    asked, called = panel.form.form["questions"]

    assert len(json.dumps(panel.form.form)) < 100_000
    assert called["request"]["args"]["n"] == {"$opaque": "1"}
    refused = panel.submit({"answers": {asked["id"]: "x" * 10**7}, "resume": True})
    assert len(json.dumps(refused)) < 10_000
    panel.close()


def test_the_form_says_what_finished_siblings_have_written():
    """Beside its field, whether it will be joined or replaced; gone when it is merged."""
    panel = Panel(two_asking(bool, bool).thread("t"))
    lines = panel.form.form["unmerged"]
    a, b = [question.id for question in panel.thread.questions]

    said = "done has finished and wrote"
    assert {
        "log": [f"{said} ['written']. It is added when the super-step is over."],
        "n": [f"{said} 7. It replaces this when the super-step is over, unless you set it here."],
    } == lines
    panel.submit({"answers": {a: True, b: False}, "resume": True})
    panel.run.result(5)
    assert "done" == panel.thread.status
    assert {} == unmerged_lines(panel.thread)
    panel.close()


def test_the_picture_of_a_runs_end_is_not_the_next_runs(monkeypatch):
    """Also where the next run begins while the picture of the one before is being made."""
    graph = asking()
    run = graph.start({"n": 0}, "t")
    run.result(5)
    panel = Panel(run.thread, run)
    panel.picture = object()  # it was displayed
    assert until(lambda: panel._ended_as is not None)
    panel._ended_as = None
    entered, moved, make = threading.Event(), threading.Event(), panel.static

    def slow():
        if not entered.is_set():
            entered.set()
            moved.wait(0.3)
        return make()

    monkeypatch.setattr(panel, "static", slow)
    monkeypatch.setattr(panels, "refresh", lambda keep: None)
    making = threading.Thread(target=panel._ended, args=(run, "waiting"))
    making.start()
    assert entered.wait(5)
    going = graph.thread("t").resume("yes")
    going.result(5)
    panel.watch(going)
    moved.set()
    making.join(5)
    assert "waiting" in panel._ended_as["text/plain"]
    panel.picture = None
    panel.close()
