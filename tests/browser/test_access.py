"""For everybody, and against everything: keyboard, screen readers, hostile values. (W10)"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import OpenNotebook
from tests.browser.lab import Notebook
from tests.browser.test_main_job import GRAPH, form, setup, status, view
from tests.conftest import require

AXE = Path(__file__).parents[1] / "js" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]

HOSTILE = """\
%%graph hostile
BAD = ("<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
       "<a href='javascript:window.hacked=3'>x</a> \\x1b[31mred\\x1b[0m \\u202egnp.exe")

class Page:
    def __repr__(self): return BAD
    def _repr_html_(self): return BAD + "<script>top.hacked = 4</script>"
    def _repr_svg_(self):
        return ("<svg xmlns='http://www.w3.org/2000/svg' width='20' height='20' "
                "onload='top.hacked=5'><script>top.hacked = 6</script></svg>")

from dataclasses import dataclass
@dataclass(frozen=True)
class Shown:
    text: str
    def _repr_html_(self): return BAD + "<script>top.hacked = 4</script>"

class State(TypedDict):
    text: str
    nested: dict[str, list[str]]
    long: str
    picture: bytes
    shown: Shown

@node
def spit(state):
    print(BAD)
    emit(BAD)
    effect(BAD, lambda: 1)
    return {"text": BAD, "nested": {BAD: [BAD]}, "long": BAD * 5000, "shown": Shown(BAD),
            "picture": b"\\x89PNG\\r\\n\\x1a\\n" + BAD.encode()}

@node
def ask(state):
    interrupt(BAD, show=["text", "nested"])
    raise ValueError(BAD)

START >> spit >> ask >> END
"""


@pytest.fixture
def axe() -> Path:
    """The accessibility checker."""
    found = str(AXE) if AXE.exists() else None
    require("axe-core", "axe-core (cd tests/js && npm ci)", found=found)
    return AXE


def check(notebook: Notebook, axe: Path, within: str) -> None:
    """No violation of WCAG 2.1 A and AA in what is ours."""
    if not notebook.page.evaluate("() => Boolean(window.axe)"):
        notebook.page.add_script_tag(path=axe)
    result: dict[str, Any] = notebook.page.evaluate(
        "([within, rules]) => axe.run(within, {runOnly: rules})", [within, RULES]
    )
    found, passed = result["violations"], {one["id"] for one in result["passes"]}
    assert {"color-contrast", "aria-allowed-attr", "button-name"} <= passed, passed
    said = [
        f"{one['id']}: {one['help']}: {node['html'][:160]} {node['failureSummary'][-200:]}"
        for one in found
        for node in one["nodes"][:4]
    ]
    assert not said, "\n".join(said)


def tabs(page: Locator) -> Locator:
    """The tabs of a view."""
    return page.get_by_role("tab")


def test_the_view_and_the_form_are_accessible(open_notebook: OpenNotebook, axe: Path) -> None:
    """Every tab, in both themes, in the waiting, the past and the failed state."""
    notebook = open_notebook(
        [
            setup("axe"),
            GRAPH.replace('log("critique")', "1 / 0"),
            "run = %agent run research topic=bees pace=0.05 --thread a-1\nrun",
            "%agent threads",
        ]
    )
    for index in range(4):
        notebook.run(index)
    status(notebook, 2, "waiting")
    page = view(notebook, 2)
    form(notebook, 2).get_by_text("Correct other fields").click()
    for theme in ("dark", "light"):
        notebook.theme(theme)
        for index in range(tabs(page).count()):
            tabs(page).nth(index).click()
            notebook.page.wait_for_timeout(200)
            check(notebook, axe, ".jp-Cell:nth-of-type(3) .nba-root, .nba-root")
            if index == 0:
                check(notebook, axe, ".nbf-root")
    page.get_by_role("tab", name="Changes").click()
    page.get_by_label("node web").click()
    page.press("ArrowLeft")
    expect(page).to_contain_text("You look at checkpoint")
    check(notebook, axe, ".nba-root")
    form(notebook, 2).get_by_role("radiogroup", name="answer").get_by_text("accept").click()
    form(notebook, 2).get_by_role("button", name="Answer and resume").click()
    page.press("Escape")
    status(notebook, 2, "failed")
    for theme in ("dark", "light"):
        notebook.theme(theme)
        check(notebook, axe, ".nba-root")


def test_the_keyboard_is_enough(open_notebook: OpenNotebook) -> None:
    """Pause, step, resume, tabs, replay and search by keys; they stay out of JupyterLab's way."""
    notebook = open_notebook(
        [
            setup("keys"),
            GRAPH,
            "run = %agent run research topic=bees pace=0.4 --thread k-1\nrun",
        ]
    )
    for index in range(3):
        notebook.run(index)
    page = view(notebook, 2)
    status(notebook, 2, "running")
    page.focus()
    keys = notebook.page.keyboard
    keys.press("p")
    status(notebook, 2, "paused")
    keys.press("s")
    expect(page.get_by_label("node write, done")).to_be_visible()
    status(notebook, 2, "paused")
    keys.press("r")
    status(notebook, 2, "waiting")
    keys.press("ArrowLeft")
    expect(page).to_contain_text("You look at checkpoint 3")
    keys.press("ArrowLeft")
    expect(page).to_contain_text("You look at checkpoint 2")
    keys.press("Escape")
    expect(page).not_to_contain_text("You look at")
    keys.press("5")
    expect(page.get_by_role("tab", name="History")).to_have_attribute("aria-selected", "true")
    keys.press("/")
    keys.type("flowers")
    expect(page.locator(".nba-hits")).to_contain_text("queries[1]")
    assert 3 == notebook.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell").count()


def test_hostile_values_are_inert_everywhere(open_notebook: OpenNotebook) -> None:
    """Markup, handlers, links and escapes are text in the view, form, table, picture."""
    notebook = open_notebook(
        [
            setup("hostile") + "from nbagent import effect, emit",
            HOSTILE,
            "run = %agent run hostile --thread h-1\nrun",
            "%agent threads",
        ]
    )
    notebook.page.evaluate("() => { window.hacked = 0 }")
    for index in range(4):
        notebook.run(index)
    status(notebook, 2, "waiting")
    page = view(notebook, 2)
    page.get_by_role("button", name="Show the graph").click()
    page.get_by_label("node spit").click()
    for tab in ("State", "Timeline", "History", "Changes"):
        page.get_by_role("tab", name=tab).click()
        for fold in page.locator("details:visible").all():
            fold.evaluate("(fold) => { fold.open = true }")
        notebook.page.wait_for_timeout(300)
    notebook.screenshot("hostile")
    page.get_by_role("tab", name="Now").click()
    answer = form(notebook, 2).get_by_label("answer")
    answer.fill("<b>yes</b>")
    form(notebook, 2).get_by_role("button", name="Answer and resume").click()
    status(notebook, 2, "failed")
    notebook.run(3)
    notebook.save()
    notebook.page.reload()
    notebook.wait_until_ready()
    assert not notebook.page.evaluate("() => window.hacked")
    ours = ".nba-root :is(script, a, [onerror], [onload]), .nbf-root :is(script, a, [onerror])"
    assert 0 == notebook.page.locator(ours).count()
    assert 0 == notebook.page.locator("[data-nbagent-static] :is(script, a, [onerror])").count()
    assert not {"\x1b", "\u202e"} & {*page.inner_text()}
