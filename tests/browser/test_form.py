"""The form for states that are more than text: unions, mappings, lists of objects, tables. (R34)"""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import OpenNotebook
from tests.browser.test_main_job import form, setup, status

GRAPH = """\
%%graph clean
from dataclasses import dataclass
from enum import Enum
import pandas
from pydantic import BaseModel

class Level(Enum):
    low = "low"
    mid = "mid"
    high = "high"
    top = "top"

class Web(BaseModel):
    kind: Literal["web"] = "web"
    url: str

class Paper(BaseModel):
    kind: Literal["paper"] = "paper"
    doi: str
    year: int = 2026

class Fix(BaseModel):
    column: str
    rows: int
    sure: bool = False

class Plan(BaseModel):
    fixes: list[Fix]
    because: str = ""

class State(TypedDict):
    level: Level
    until: date
    source: Web | Paper
    weight: int | str | None
    limits: dict[str, int]
    plan: Plan
    story: str
    table: pandas.DataFrame

@node
def propose(state):
    return {
        "level": Level.low, "until": date(2026, 12, 24), "source": Web(url="https://a.example"),
        "weight": 3, "limits": {"rows": 10}, "story": "Once upon a time\\nthere was a bee.",
        "plan": Plan(fixes=[Fix(column="age", rows=3), Fix(column="name", rows=1)]),
        "table": pandas.DataFrame({"name": ["Ada", "Bo"], "age": [36, -1], "pay": [1.5, None]}),
    }

@node
def approve(state):
    return {"story": interrupt("Apply the plan?", show=["plan", "table"], schema=str)}

START >> propose >> approve >> END
"""
SHOW = """\
state = clean.thread("f-1").state
print(state["level"].name, state["source"], state["weight"], state["limits"])
print(state["plan"].fixes[0].rows, state["table"].values.tolist(), dict(state["table"].dtypes))
"""


def test_every_kind_of_field_can_be_corrected(open_notebook: OpenNotebook) -> None:
    """Each has a control that fits; a cell that does not fit is marked and nothing is written; undo
    takes back one change; what was typed outlives an edit made elsewhere, which is shown."""
    notebook = open_notebook(
        [
            setup("forms"),
            GRAPH,
            "run = %agent run clean --thread f-1\nrun",
            SHOW,
            "clean.thread('f-1').edit({'limits': {'rows': 99}, 'weight': 8}, note='from code');",
        ]
    )
    for index in range(3):
        notebook.run(index)
    status(notebook, 2, "waiting")
    page = form(notebook, 2)
    page.get_by_text("Correct other fields").click()
    notebook.screenshot("form-rich")
    page.get_by_label("level", exact=True).select_option(label="high")
    page.get_by_label("type of source").select_option(label="Paper")
    page.get_by_label("source doi").fill("10.1/bees")
    page.get_by_label("type of weight").select_option(label="string")
    page.get_by_label("weight", exact=True).fill("heavy")
    page.get_by_role("button", name="+ Add an entry").click()
    page.get_by_label("limits name").nth(1).fill("columns")
    page.get_by_label("limits", exact=False).last.fill("7")
    page.get_by_label("plan fixes 1 rows").fill("4")
    page.get_by_label("table, row 1, age").fill("old")
    expect(page.locator(".nbf-changes")).to_contain_text("table[1, age]")
    notebook.screenshot("form-changed")

    page.get_by_role("button", name="Save changes").click()
    expect(page.locator("[aria-invalid=true]")).to_have_count(1)
    expect(page).to_contain_text("(the column is int64)")
    notebook.screenshot("form-refused")
    page.get_by_label("table, row 1, age").fill("41")
    notebook.page.wait_for_timeout(700)
    page.get_by_label("story").fill("Gone")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_label("story")).to_have_value("Once upon a time\nthere was a bee.")
    expect(page.get_by_label("table, row 1, age")).to_have_value("41")

    notebook.run(4)  # the state moves under the form
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_role("alert")).to_contain_text("The state changed while you were typing")
    expect(page.get_by_role("alert")).to_contain_text("limits.rows")
    notebook.screenshot("form-stale")
    notebook.theme("dark")
    notebook.screenshot("form-stale-dark")
    notebook.theme("light")
    page.get_by_role("button", name="Take the new ").click()
    page.get_by_role("button", name="Save changes").click()
    expect(page).not_to_contain_text("You are about to change")
    notebook.run(3)
    shown = notebook.outputs(3)
    assert "high kind='paper' doi='10.1/bees' year=2026 8 {'rows': 99}" in shown
    assert "4 [['Ada', 36, 1.5], ['Bo', 41, nan]]" in shown
    assert "int64" in shown


def test_yes_and_no_are_one_click_each(open_notebook: OpenNotebook) -> None:
    """A question for a bool is answered "no" by one click; a bool that nobody has set is not
    written; of two answers the wrong one is marked."""
    graph = """\
%%graph g
class State(TypedDict):
    urgent: bool
    go: bool
    rows: int
@node
def ask(state): return {"go": interrupt("Send?", schema=bool)}
@node
def count(state):
    return {"rows": interrupt("How many?", schema=Annotated[int, Field(multiple_of=5)])}
START >> [ask, count]
ask >> END
count >> END
"""
    look = "t = g.thread('t'); print(t.status, t.state)"
    start = "run = %agent run g --thread t\nrun"
    notebook = open_notebook([f"{setup('yes-no')}\nfrom pydantic import Field", graph, start, look])
    for place in range(3):
        notebook.run(place)
    status(notebook, 2, "waiting")
    shown = form(notebook, 2)
    expect(shown.get_by_role("radio", name="yes")).to_be_visible()
    assert "You are about to change" not in shown.inner_text()
    shown.get_by_role("radio", name="no").click()
    shown.get_by_label("answer", exact=True).last.fill("7")
    shown.get_by_role("button", name="Answer and resume").click()
    wrong = shown.locator("[aria-invalid=true]")
    expect(wrong).to_have_count(1)
    assert "7" == wrong.input_value()
    wrong.fill("10")
    shown.get_by_role("button", name="Answer and resume").click()
    status(notebook, 2, "done")
    notebook.run(3)

    assert "done {'go': False, 'rows': 10}" in notebook.outputs(3)
