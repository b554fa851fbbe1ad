"""The view where it is not JupyterLab's one page: Notebook 7, and two tabs. (C3, W10)"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenNotebook
from tests.browser.lab import Lab, Notebook
from tests.browser.test_main_job import GRAPH, form, setup, status, view
from tests.conftest import require


class Notebook7(Notebook):
    """A notebook in the single-document interface."""

    def visit(self) -> None:
        self.page.goto(f"{self.lab.url}/notebooks/{self.path.name}")
        self.wait_until_ready()


@pytest.fixture
def notebook7(lab: Lab, page: Page, screenshots, request) -> Iterator[Notebook7]:
    """The main job's notebook, open in Notebook 7."""
    require("notebook", "Notebook 7 (pip install notebook)")
    run = "run = %agent run research topic=bees pace=0.3 --thread n-1\nrun"
    made = Notebook7.open(
        lab, page, [setup("seven"), GRAPH, run], name="seven", screenshots=screenshots
    )
    yield made
    made.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.shutdown()")


def test_notebook_7_shows_and_answers(notebook7: Notebook7) -> None:
    """The view is live, looks back, and its form answers."""
    for index in range(3):
        notebook7.run(index)
    status(notebook7, 2, "waiting")
    page = view(notebook7, 2)
    page.get_by_role("tab", name="Timeline").click()
    expect(page.locator(".nba-bar-row")).to_have_count(4)
    page.press("ArrowLeft")
    expect(page).to_contain_text("You look at checkpoint 3")
    page.press("Escape")
    notebook7.cell(2).scroll_into_view_if_needed()
    notebook7.screenshot("notebook-7")
    page.get_by_role("tab", name="Now").click()
    form(notebook7, 2).get_by_role("radiogroup", name="answer").get_by_text("accept").click()
    form(notebook7, 2).get_by_role("button", name="Answer and resume").click()
    status(notebook7, 2, "done")


def test_two_tabs_show_the_same(open_notebook: OpenNotebook, lab: Lab, page: Page) -> None:
    """A second tab comes late, is live, and what is done in it is seen in the first."""
    notebook = open_notebook(
        [setup("tabs"), GRAPH, "run = %agent run research topic=bees pace=0.3 --thread t-1\nrun"]
    )
    for index in range(3):
        notebook.run(index)
    status(notebook, 2, "waiting")
    notebook.save()
    assert page.context.browser is not None
    other = page.context.browser.new_page()
    other.set_default_timeout(30_000)
    other.goto(f"{lab.url}/lab/workspaces/second/tree/{notebook.path.name}?reset")
    second = Notebook(lab, other, notebook.path, notebook._screenshots)
    second.wait_until_ready()
    second.cell(2).scroll_into_view_if_needed()
    status(second, 2, "waiting", 20)
    form(second, 2).get_by_role("radiogroup", name="answer").get_by_text("accept").click()
    form(second, 2).get_by_role("button", name="Answer and resume").click()
    status(second, 2, "done")
    status(notebook, 2, "done")
    expect(form(notebook, 2)).to_contain_text("Answered: accept")
    other.close()
