"""What was shown and is gone from the page leaves nothing behind, in page and kernel. (W10)"""

from __future__ import annotations

import os
from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import OpenNotebook
from tests.browser.lab import Notebook
from tests.browser.test_main_job import setup, status

RUNS = int(os.environ.get("NBAGENT_RUNS_SHOWN", "12"))
GRAPH = """\
%%graph g --quiet
class State(TypedDict):
    n: int
    text: str
@node
async def a(state): return {"n": state.get("n", 0) + 1, "text": "x" * 3000}
START >> a >> END
"""
SHOW = "run = g.start({}, thread=str(uuid.uuid4()))\ndisplay(run)\nawait run;"
COUNT = """\
import gc, ipywidgets
from nbagent.notebook.view import panel
gc.collect(); print(len(ipywidgets.widgets.widget._instances), len(panel._shown), len(panel._stale))
"""


def held(notebook: Notebook, cell: int) -> list[int]:
    """Widgets, shown and stale panels in the kernel."""
    notebook.run(cell)
    return [int(number) for number in notebook.outputs(cell).split()]


def settled(notebook: Notebook, cell: int, wanted: list[int]) -> list[int]:
    """What the kernel holds, once that is what is wanted or long enough has passed."""
    for _ in range(40):
        now = held(notebook, cell)
        if now == wanted:
            break
        notebook.page.wait_for_timeout(250)
    return now


def in_page(notebook: Notebook) -> dict[str, Any]:
    """Elements, listeners and widget models that the page holds after a collection."""
    session = notebook.page.context.new_cdp_session(notebook.page)
    session.send("Performance.enable")
    session.send("HeapProfiler.enable")
    for _ in range(2):
        session.send("HeapProfiler.collectGarbage")
    found = session.send("Performance.getMetrics")["metrics"]
    session.detach()
    wanted = ("Nodes", "JSEventListeners", "JSHeapUsedSize")
    return {one["name"]: one["value"] for one in found if one["name"] in wanted}


def test_runs_shown_in_one_cell_leave_nothing(open_notebook: OpenNotebook) -> None:
    """Shown again and again, one view is left; cleared, none. A notebook that is closed and opened
    again still has its live view, and so has an output that was moved."""
    notebook = open_notebook([setup("let-go") + "import uuid\n", GRAPH, SHOW, COUNT])
    for place in range(3):
        notebook.run(place)
    status(notebook, 2, "done")
    first = settled(notebook, 3, [6, 1, 1])
    for _ in range(2):
        notebook.run(2)
    assert first[:2] == settled(notebook, 3, first)[:2]
    before = in_page(notebook)
    for _ in range(RUNS):
        notebook.run(2)
    status(notebook, 2, "done")
    assert first[:2] == settled(notebook, 3, first)[:2]
    notebook.page.wait_for_timeout(5_500)  # what was gone has then said so for good
    grown = {name: value - before[name] for name, value in in_page(notebook).items()}
    assert grown["Nodes"] < 100 * RUNS, (
        grown
    )  # a view has some 170; a cell that runs leaves some 30

    notebook.save()
    notebook.page.evaluate("() => jupyterapp.commands.execute('application:close')")
    notebook.page.wait_for_function("() => !jupyterapp.shell.currentWidget?.sessionContext")
    notebook.page.wait_for_timeout(6_000)  # longer than what is gone is waited for
    notebook.page.evaluate(
        "path => jupyterapp.commands.execute('docmanager:open', { path })", notebook.path.name
    )
    notebook.wait_until_ready()
    status(notebook, 2, "done")
    assert first[:2] == held(notebook, 3)[:2]
    notebook.select(2)
    notebook.page.evaluate("() => jupyterapp.commands.execute('notebook:move-cell-up')")
    expect(notebook.output(1).locator(".nba-root")).to_be_visible()
    notebook.page.wait_for_timeout(6_000)
    assert first[:2] == held(notebook, 3)[:2]
    notebook.page.evaluate("() => jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")

    assert [0, 0] == settled(notebook, 3, [0, 0, 0])[:2]
