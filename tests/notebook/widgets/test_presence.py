"""What was shown and is gone from every page is let go. (W10)"""

from __future__ import annotations

import gc
import weakref
from typing import TypedDict

import ipywidgets
import pytest

from nbagent import END, START, Graph, interrupt, node
from nbagent.notebook.view.panel import Panel
from nbagent.notebook.view.threads_panel import ThreadsPanel
from nbagent.notebook.widgets.presence import Presence
from nbagent.stores.memory import MemoryStore
from tests.notebook.view.test_panel import until


class Shown:
    """A widget as far as its presence goes."""

    def __init__(self):
        self.asked = 0
        self.hear = None

    def on_msg(self, act):
        self.hear = act

    def send(self, content):
        self.asked += content == {"type": "who"}

    def says(self, view, said):
        """A page's word."""
        self.hear(self, {"type": "presence", "view": view, "said": said}, [])


@pytest.fixture
def shown():
    return Shown()


@pytest.fixture
def gone(shown):
    """What is called when it is gone, as a list that grows."""
    calls = []
    shown.presence = Presence(shown, gone=lambda: calls.append(1))
    return calls


def test_the_last_view_takes_it_along(shown, gone):
    """Two views of it: the first to go asks the other, which says that it is there."""
    shown.says("a", "here")
    shown.says("b", "here")
    shown.says("a", "gone")
    shown.says("b", "here")
    shown.says("a", "gone for good")
    assert (1, []) == (shown.asked, gone)
    shown.says("b", "gone")
    assert [1] == gone


def test_a_page_that_was_reloaded_does_not_answer(shown, gone):
    """Its old views say nothing any more; whoever leaves last asks for them."""
    for view in ("before", "before too", "after"):
        shown.says(view, "here")
    shown.says("after", "gone")
    assert [] == gone
    shown.says("after", "gone for good")
    assert [1] == gone


def test_what_is_only_moved_stays(shown, gone):
    """It is there again, as another view, before the first says that it is gone."""
    shown.says("a", "here")
    shown.says("b", "here")
    shown.says("a", "gone")
    shown.says("b", "here")
    shown.says("a", "gone for good")
    assert [] == gone


class State(TypedDict):
    go: str


def leave(*widgets):
    """The page that shows these is cleared."""
    for widget in widgets:
        widget._handle_custom_msg({"type": "presence", "view": str(id(widget)), "said": "here"}, [])
    for widget in widgets:
        widget._handle_custom_msg({"type": "presence", "view": str(id(widget)), "said": "gone"}, [])


def test_a_panel_is_let_go_and_can_be_shown_again():
    """No widget of it stays, its run goes on, and who still has it may show it once more."""
    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(lambda state: {"go": interrupt("Go?")}, name="ask") >> END
    run = graph.start({}, "t")
    run.result(5)
    before = set(ipywidgets.widgets.widget._instances)
    panel = Panel(run.thread, run)
    panel.widget()
    leave(panel.view, panel.form)

    assert before == set(ipywidgets.widgets.widget._instances)
    panel.display()
    form = panel.form
    assert until(lambda shown=form: shown.form["questions"])
    leave(panel.view, panel.form)
    assert before == set(ipywidgets.widgets.widget._instances)
    held = weakref.ref(panel)
    del panel, form
    assert until(lambda: gc.collect() is not None and held() is None)


def test_a_table_of_threads_is_let_go(monkeypatch):
    """With the thread that was opened below it."""
    monkeypatch.setattr("nbagent.notebook.view.threads_panel.is_headless", lambda: False)
    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(lambda state: {"go": "yes"}, name="go") >> END
    graph.run({}, "t")
    before = set(ipywidgets.widgets.widget._instances)
    table = ThreadsPanel(lambda: [], graph.thread, moving=lambda rows: False, title="Threads")
    table.open("t")
    opened = table._opened
    leave(table.view)

    assert before == set(ipywidgets.widgets.widget._instances)
    assert opened.closed
