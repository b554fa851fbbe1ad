"""
How graphs, runs and threads show themselves in marimo: what Jupyter does by formatters, marimo
does by methods of the classes.

Rule 1: a cell that runs again makes a view of its own, and marimo takes away what the cell had
        before; so several cells may show one thread, and none gives way to another.
"""

from __future__ import annotations

import weakref
from typing import Any

from nbagent.engine.ports import run_began
from nbagent.engine.thread.run import Run
from nbagent.engine.thread.thread import Thread
from nbagent.graph.batch import Runs
from nbagent.graph.builder import Graph
from nbagent.notebook.display import graph_html, runs_panel
from nbagent.notebook.view.panel import Panel

_shown: weakref.WeakSet[Panel] = weakref.WeakSet()


def install() -> None:
    """Teach marimo to show what nbagent has."""
    shows: dict[Any, Any] = {
        Run: lambda run: _of_panel(panel_of(run)),
        Thread: lambda thread: _of_panel(panel_of(thread)),
        Panel: _of_panel,
        Runs: _of_runs,
    }
    for kind, show in shows.items():
        kind._display_ = show
    Graph._mime_ = lambda graph: ("text/html", graph_html(graph))  # type: ignore[attr-defined]
    run_began.also(_follow)


def panel_of(shown: Thread | Run) -> Panel:
    """The live view of a thread or a run, which shows itself as the last line of a cell."""
    thread = shown.thread if isinstance(shown, Run) else shown
    panel = Panel(thread, shown if isinstance(shown, Run) else thread.run)
    _shown.add(panel)
    return panel


def _follow(run: Run) -> None:
    """A run begins: every view of its thread goes on with it."""
    for panel in list(_shown):
        same = (panel.thread.store.url, panel.thread.id) == (run.thread.store.url, run.thread.id)
        if same and not panel.closed:
            panel.watch(run)


def _of_panel(panel: Panel) -> Any:
    return _stacked(panel.view, panel.form)


def _of_runs(runs: Runs) -> Any:
    """The table of a batch, and one of its threads below: the first, or whichever is clicked."""
    table = runs_panel(runs)
    if not runs.threads:
        return _stacked(table.view)
    table.below = panel_of(runs.threads[0])
    return _stacked(table.view, table.below.view, table.below.form)


def _stacked(*widgets: Any) -> Any:
    import marimo

    return marimo.vstack([marimo.ui.anywidget(widget) for widget in widgets], gap=0)
