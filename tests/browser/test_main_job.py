"""The main job, as a person does it in JupyterLab: run, watch, answer, restart, go on."""

from __future__ import annotations

import ast

from playwright.sync_api import Locator, expect

from tests.browser.conftest import OpenNotebook
from tests.browser.lab import Notebook


def setup(folder: str) -> str:
    """The first cell; each test has its own folder, and so its own threads."""
    return f"import os\nos.makedirs('{folder}', exist_ok=True)\nos.chdir('{folder}')\n{TOOLS}"


TOOLS = """\
%load_ext nbagent
import operator, time, os
from typing import Annotated, Literal, TypedDict
from datetime import date
from nbagent import END, START, branch, interrupt, node
"""
GRAPH = """\
%%graph research
class State(TypedDict):
    topic: str
    pace: float
    limit: int
    urgent: bool
    due: date
    tags: list[str]
    queries: list[str]
    notes: Annotated[list[str], operator.add]
    draft: str
    verdict: Literal["revise", "accept"]

def log(name):
    with open("calls.log", "a") as file:
        file.write(name + "\\n")

@node
async def plan(state):
    log("plan")
    return {"queries": ["bees", "flowers"], "due": date(2026, 12, 24), "tags": ["a", "b"],
            "limit": 3, "urgent": False}

@node
def web(state):
    log("web")
    time.sleep(state.get("pace", 0.3))
    return {"notes": [f"web: {q}" for q in state["queries"]]}

@node
def papers(state):
    log("papers")
    time.sleep(state.get("pace", 0.3) * 2)
    return {"notes": ["papers: <script>alert(1)</script>"]}

@node
def write(state):
    log("write")
    return {"draft": "Bees and flowers.\\n\\n" + "\\n".join(state["notes"])}

@node
def critique(state):
    verdict = interrupt("Accept this draft?", show=["draft"], schema=Literal["revise", "accept"])
    log("critique")
    return {"verdict": verdict}

START >> plan >> [web, papers] >> write >> critique
critique >> branch("verdict", revise=plan, accept=END)
"""
CALLS = "print(open('calls.log').read().split())"


def view(notebook: Notebook, index: int) -> Locator:
    """The live view below a cell."""
    return notebook.output(index).locator(".nba-root")


def form(notebook: Notebook, index: int) -> Locator:
    """The form below a cell."""
    return notebook.output(index).locator(".nbf-root")


def status(notebook: Notebook, index: int, name: str, seconds: float = 15) -> None:
    """Wait until the view says so."""
    pill = view(notebook, index).locator(".nba-header .nba-pill")
    expect(pill).to_contain_text(name, timeout=seconds * 1000)


def done(notebook: Notebook, index: int) -> None:
    """Wait until the run is over; the view stays, so that one can look back."""
    status(notebook, index, "done")


def test_a_run_is_live_while_another_cell_computes(open_notebook: OpenNotebook) -> None:
    """The view comes at once and moves on during ten seconds of somebody else's work. (C3, W10)"""
    notebook = open_notebook(
        [
            setup("live"),
            GRAPH,
            "%agent run research topic=bees pace=1.5 --thread bees-1",
            "end = time.time() + 10\nwhile time.time() < end: pass\nprint('computed')",
        ]
    )
    notebook.run(0)
    notebook.run(1)
    notebook.run(2)
    status(notebook, 2, "running")
    notebook.start(3)
    expect(view(notebook, 2).get_by_label("node web, running")).to_be_visible()
    notebook.screenshot("running")
    status(notebook, 2, "waiting", 8)
    assert "computed" not in notebook.outputs(3)
    expect(notebook.output(3)).to_contain_text("computed", timeout=15_000)
    notebook.screenshot("waiting")
    notebook.theme("dark")
    notebook.screenshot("waiting-dark")
    notebook.theme("light")


def test_the_form_marks_what_does_not_fit_and_then_resumes(open_notebook: OpenNotebook) -> None:
    """A refused value is marked at its field and nothing is written; a good one goes on. (R31)"""
    notebook = open_notebook(
        [
            setup("form"),
            GRAPH,
            "run = %agent run research topic=bees pace=0.05 --thread bees-1\nrun",
            "t = research.thread('bees-1'); print(t.status, t.checkpoint_id, t.state['limit'])",
            CALLS,
        ]
    )
    for index in range(3):
        notebook.run(index)
    status(notebook, 2, "waiting")
    notebook.run(3)
    assert "waiting 4 3" == notebook.outputs(3).strip()

    page = form(notebook, 2)
    page.get_by_text("Correct other fields").click()
    page.get_by_label("limit", exact=True).fill("2.5")
    page.get_by_role("radiogroup", name="answer").get_by_text("accept").click()
    page.get_by_role("button", name="Answer and resume").click()
    expect(page.locator("[aria-invalid=true]")).to_have_count(1)
    refused = page.locator("[data-field=limit] .nbf-problem")
    expect(refused).to_contain_text("integer", timeout=20_000)
    notebook.screenshot("refused")
    notebook.theme("dark")
    notebook.screenshot("refused-dark")
    notebook.theme("light")
    notebook.run(3)
    assert "waiting 4 3" == notebook.outputs(3).strip()

    page = form(notebook, 2)
    page.get_by_label("limit", exact=True).fill("5")
    page.get_by_role("button", name="Answer and resume").click()
    done(notebook, 2)
    notebook.run(3)
    assert "done 6 5" == notebook.outputs(3).strip()
    notebook.run(4)
    assert 5 == len(ast.literal_eval(notebook.outputs(4).strip()))
    notebook.screenshot("done")
    saved = notebook.save()
    assert "<svg" in str(saved.cells[2].outputs)
    assert "widgets" not in saved.metadata


def test_a_restart_while_it_waits_and_one_while_it_runs(open_notebook: OpenNotebook) -> None:
    """Through the menu and by SIGKILL: no finished node runs again. (C4, R5, R7, R28)"""
    notebook = open_notebook(
        [
            setup("restart"),
            GRAPH,
            "%agent run research topic=bees pace=0.05 --thread bees-1",
            "%agent threads",
            "%agent resume bees-1 revise",
            CALLS,
            "%agent resume bees-1",
            "%agent resume bees-1 accept",
        ]
    )
    for index in range(3):
        notebook.run(index)
    status(notebook, 2, "waiting")
    notebook.restart_kernel()
    notebook.screenshot("restarted")

    notebook.run(0)
    notebook.run(3)
    expect(notebook.output(3)).to_contain_text("waiting")
    notebook.rewrite(1, GRAPH.replace('state.get("pace", 0.3)', "3.0"))
    notebook.run(1)
    notebook.run(4)
    expect(view(notebook, 4).get_by_label("node web, done")).to_be_visible(timeout=15_000)
    notebook.kill_kernel()

    notebook.run(0)
    notebook.run(1)
    notebook.run(3)
    expect(notebook.output(3)).to_contain_text("stopped")
    notebook.run(6)
    status(notebook, 6, "waiting", 20)
    notebook.run(7)
    expect(notebook.output(7)).to_contain_text("done", timeout=15_000)
    notebook.run(5)
    calls = ast.literal_eval(notebook.outputs(5).strip())
    assert ["plan", "write", "critique"] == [calls[0], *calls[3:5]]
    assert {"web", "papers"} == set(calls[1:3])
    # The kill came when web had finished and papers had not: only papers began again.
    assert ["plan", "papers", "write", "critique"] == [calls[5], *calls[8:]]
    assert {"web", "papers"} == set(calls[6:8])
    notebook.save()
    notebook.close()
    notebook.visit()
    notebook.cell(7).scroll_into_view_if_needed()
    expect(notebook.output(7).locator("svg").first).to_be_visible()
    expect(notebook.output(7).get_by_text("Error displaying widget")).to_be_hidden()
    picture = notebook.output(7).locator("svg").first
    expect(picture).to_contain_text("✓ papers")  # it ran in a kernel that is gone
    picture.scroll_into_view_if_needed()
    notebook.screenshot("reopened")
    notebook.theme("dark")
    notebook.output(7).locator("svg").first.scroll_into_view_if_needed()
    notebook.screenshot("reopened-dark")
    notebook.theme("light")


def test_pause_step_resume_and_stop(open_notebook: OpenNotebook) -> None:
    """Each button does what it says, and the view goes on with the run that it starts. (C3, C4)"""
    notebook = open_notebook(
        [
            setup("buttons"),
            GRAPH,
            "run = %agent run research topic=bees pace=0.7 --thread bees-1\nrun",
            "run.thread.status, run.thread.next",
        ]
    )
    for index in range(3):
        notebook.run(index)
    status(notebook, 2, "running")
    live = view(notebook, 2)
    live.get_by_role("button", name="Pause").click()
    status(notebook, 2, "paused")
    notebook.screenshot("paused")
    notebook.run(3)
    assert "('paused', ('write',))" == notebook.outputs(3).strip()

    live.get_by_role("button", name="Step").click()
    expect(live.get_by_label("node write, done")).to_be_visible(timeout=10_000)
    status(notebook, 2, "paused")
    live.get_by_role("button", name="Resume").click()
    status(notebook, 2, "waiting")
    form(notebook, 2).get_by_role("radiogroup", name="answer").get_by_text("revise").click()
    form(notebook, 2).get_by_role("button", name="Answer and resume").click()
    expect(live.get_by_label("node web, running")).to_be_visible(timeout=10_000)
    live.get_by_role("button", name="Stop").click()
    status(notebook, 2, "stopped")
    notebook.screenshot("stopped")
    live.get_by_role("button", name="Resume").click()
    status(notebook, 2, "waiting")


def test_a_failure_is_shown_where_it_happened(open_notebook: OpenNotebook) -> None:
    """The node, the message and the user's own traceback; mended and resumed in place. (R5)"""
    broken = GRAPH.replace('log("write")', 'log("write"); 1 / 0')
    notebook = open_notebook(
        [
            setup("failure"),
            broken,
            "%agent run research topic=bees pace=0.05 --thread bees-1",
            GRAPH,
            "%agent resume bees-1",
            CALLS,
        ]
    )
    for index in range(3):
        notebook.run(index)
    status(notebook, 2, "failed")
    live = view(notebook, 2)
    expect(live.get_by_label("node write, failed")).to_be_visible()
    expect(live.locator(".nba-card")).to_contain_text("ZeroDivisionError: division by zero")
    live.get_by_text("Traceback", exact=True).click()
    expect(live.locator(".nba-card pre")).to_contain_text("1 / 0")
    assert "nbagent/engine" not in live.inner_text()
    notebook.screenshot("failed")
    notebook.theme("dark")
    notebook.screenshot("failed-dark")
    notebook.theme("light")

    notebook.run(3)
    notebook.run(4)
    status(notebook, 4, "waiting")
    notebook.run(5)
    assert ["write", "write"] == ast.literal_eval(notebook.outputs(5).strip())[3:]


def test_a_mistake_in_the_cell_points_at_its_line(open_notebook: OpenNotebook) -> None:
    """One readable line with the mend."""
    notebook = open_notebook(
        [setup("mistake"), GRAPH.replace("accept=END", "acept=END"), "%%graph --help"]
    )
    for index in range(3):
        notebook.run(index)

    assert "did you mean 'accept'" in notebook.outputs(1)
    assert "acept=END" in notebook.outputs(1)
    assert "Traceback" not in notebook.outputs(1)
    assert "usage: %%graph" in notebook.outputs(2)
    notebook.screenshot("mistake")


def test_a_reloaded_page_gets_its_live_view_back(open_notebook: OpenNotebook) -> None:
    """The kernel lives: after a reload the view and the form are there and answer. (C3)"""
    notebook = open_notebook(
        [setup("reload"), GRAPH, "run = %agent run research topic=bees pace=0.05 --thread r-1\nrun"]
    )
    for index in range(3):
        notebook.run(index)
    status(notebook, 2, "waiting")
    notebook.save()
    notebook.page.reload()
    notebook.wait_until_ready()
    notebook.cell(2).scroll_into_view_if_needed()
    status(notebook, 2, "waiting")
    form(notebook, 2).get_by_role("radiogroup", name="answer").get_by_text("accept").click()
    form(notebook, 2).get_by_role("button", name="Answer and resume").click()
    done(notebook, 2)
    notebook.screenshot("reloaded")


def test_after_a_restart_the_view_itself_goes_on(open_notebook: OpenNotebook) -> None:
    """It says that the kernel is gone; once the graph is defined again, its button brings the
    thread back, and the form answers. (C4, W10)"""
    notebook = open_notebook(
        [setup("back"), GRAPH, "run = %agent run research topic=bees pace=0.05 --thread b-1\nrun"]
    )
    for index in range(3):
        notebook.run(index)
    status(notebook, 2, "waiting")
    notebook.restart_kernel()
    page = view(notebook, 2)
    again = page.get_by_role("button", name="Show it in the new kernel")
    expect(page.get_by_role("alert")).to_contain_text("The kernel of this view is gone")
    notebook.screenshot("gone")
    again.click()
    expect(page.get_by_role("alert")).to_contain_text("nbagent is not loaded in the new kernel")
    notebook.run(0)
    again.click()
    expect(page.get_by_role("alert")).to_contain_text("no graph 'research' is defined here")
    notebook.screenshot("gone-no-graph")
    notebook.run(1)
    again.click()
    expect(page.get_by_role("alert")).to_have_count(0)
    status(notebook, 2, "waiting")
    form(notebook, 2).get_by_role("radiogroup", name="answer").get_by_text("accept").click()
    form(notebook, 2).get_by_role("button", name="Answer and resume").click()
    done(notebook, 2)
    notebook.screenshot("back")
