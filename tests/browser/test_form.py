"""The form for states that are more than text: unions, mappings, lists of objects, tables. (R34)"""

from __future__ import annotations

from playwright.sync_api import Locator, expect

from tests.browser.conftest import OpenNotebook
from tests.browser.lab import Notebook
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

    page.get_by_role("button", name="Save, stay waiting").click()
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
    page.get_by_role("button", name="Save, stay waiting").click()
    expect(page.get_by_role("alert")).to_contain_text("The state changed while you were typing")
    expect(page.get_by_role("alert")).to_contain_text("limits.rows")
    notebook.screenshot("form-stale")
    notebook.theme("dark")
    notebook.screenshot("form-stale-dark")
    notebook.theme("light")
    page.get_by_role("button", name="Take the new ").click()
    page.get_by_role("button", name="Save, stay waiting").click()
    expect(page).not_to_contain_text("You change")
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
    assert "You change" not in shown.inner_text()
    shown.get_by_role("radio", name="no").click()
    shown.get_by_label("answer", exact=True).last.fill("7")
    shown.get_by_role("button", name="Answer and resume").click()
    wrong = shown.locator("[aria-invalid=true]")
    expect(wrong).to_have_count(1, timeout=20_000)
    assert "7" == wrong.input_value()
    wrong.fill("10")
    shown.get_by_role("button", name="Answer and resume").click()
    status(notebook, 2, "done")
    notebook.run(3)

    assert "done {'go': False, 'rows': 10}" in notebook.outputs(3)


CALLS = """\
%%graph report
from pydantic import BaseModel, Field
class Part(BaseModel):
    part: str
    action: Literal["collect", "compare", "write"] = "collect"
    depth: Annotated[int, Field(ge=1, le=5)] = 1
    source: str | None = None
    on: bool = True

def send(to: str, subject: str, copies: Annotated[int, Field(ge=1, le=10)] = 1,
         figures: Annotated[bool | None, Field(description="Attach them.")] = None): ...

class State(TypedDict):
    draft: str
    plan: list[Part]
    lines: list[dict]
    sent: list
    go_on: bool

@node
def fill(state):
    return {"draft": "Tidal power is predictable. " * 20, "lines": [{"a": 1, "b": "x"}],
            "plan": [Part(part=f"part {n}", on=n != 2) for n in range(120)]}

@node
def critique(state):
    args = {"to": "ada@example.org", "subject": "Overview", "copies": 2}
    found = approve(send, args, question="Send it?", show=["draft"], deadline=9000,
                    on_expiry="refuse")
    return {"sent": [found.kind, found.args, found.answer, found.reason]}

@node
def ask(state):
    return {"go_on": interrupt("Is this the plan?", show=["plan"], schema=bool)}

START >> fill >> [critique, ask]
critique >> END
ask >> END
"""
DECIDED = "t = report.thread('{0}'); print(t.status, t.state.get('sent'))"


def decide(notebook: Notebook, cell: int, name: str) -> Locator:
    """Run the cell that starts such a thread; its form, when it asks."""
    notebook.rewrite(cell, f"run = %agent run report --thread {name}\nrun")
    notebook.run(cell)
    shown = form(notebook, cell)
    expect(shown.locator(".nbf-question")).to_have_count(2)
    return shown


def test_a_tool_call_is_decided(open_notebook: OpenNotebook) -> None:
    """The call and its arguments are shown; edited, an argument that the tool does not take is
    marked and nothing goes on; a refusal needs its reason; an answer is given instead; accepted,
    the node has the agent's own arguments."""
    notebook = open_notebook([setup("calls"), CALLS, "", ""])
    for place in range(2):
        notebook.run(place)
    shown = decide(notebook, 2, "edited")
    expect(shown).to_contain_text("Send it?")
    expect(shown).to_contain_text("send(to, subject, copies)")
    expect(shown).to_contain_text("ada@example.org")
    expect(shown).to_contain_text("then: refuse")
    ways = shown.get_by_role("radiogroup", name="decide")
    expect(ways.locator("input:checked")).to_have_count(0)
    send = shown.get_by_role("button", name="Answer and resume")
    expect(send).to_have_attribute("aria-disabled", "true")
    ways.get_by_text("Edit arguments").click()
    shown.get_by_label("subject", exact=True).fill("A draft")
    expect(shown).to_contain_text("was Overview")
    shown.get_by_label("copies", exact=True).fill("12")
    expect(shown).to_contain_text("1 field to mend: copies")
    send.click()
    expect(shown.get_by_label("copies", exact=True)).to_be_focused()
    notebook.screenshot("approval")
    notebook.theme("dark")
    notebook.screenshot("approval-dark")
    notebook.theme("light")
    shown.get_by_label("copies", exact=True).fill("3")
    shown.get_by_role("radiogroup", name="figures").get_by_text("No", exact=True).click()
    shown.get_by_role("radiogroup", name="answer").get_by_text("Yes").click()
    send.click()
    status(notebook, 2, "done")
    notebook.rewrite(3, DECIDED.format("edited"))
    notebook.run(3)
    args = "{'to': 'ada@example.org', 'subject': 'A draft', 'copies': 3, 'figures': False}"
    assert f"done ['edit', {args}, None, '']" in notebook.outputs(3)

    shown = decide(notebook, 2, "refused")
    shown.get_by_role("radio", name="Refuse").click()
    shown.get_by_role("button", name="Answer and resume").click()
    expect(shown).to_contain_text("A reason is needed")
    shown.get_by_label("Reason").fill("not before Monday")
    shown.get_by_role("button", name="Answer and resume").click()
    expect(shown.locator(".nbf-question")).to_have_count(1)
    shown.get_by_role("radio", name="No", exact=True).click()
    shown.get_by_role("button", name="Answer and resume").click()
    status(notebook, 2, "done")
    notebook.rewrite(3, DECIDED.format("refused"))
    notebook.run(3)
    assert "done ['refuse', None, None, 'not before Monday']" in notebook.outputs(3)

    shown = decide(notebook, 2, "accepted")
    shown.get_by_role("radio", name="Accept").click()
    shown.get_by_role("radiogroup", name="answer").get_by_text("Yes").click()
    shown.get_by_role("button", name="Answer and resume").click()
    status(notebook, 2, "done")
    notebook.rewrite(3, DECIDED.format("accepted"))
    notebook.run(3)
    assert "done ['accept', {'to': 'ada@example.org'" in notebook.outputs(3)


def test_a_list_of_records_is_a_sheet(open_notebook: OpenNotebook) -> None:
    """Cells, rows added, removed, moved by the keyboard, and pasted; a long list is made page by
    page, and what nobody touched is as it was; a list of plain dicts is one, too."""
    look = (
        "s = report.thread('sheet').state; p = s['plan']\n"
        "print(len(p), [(x.part, x.depth, x.on, x.source) for x in p[:3]], p[-2:], s['lines'])"
    )
    notebook = open_notebook([setup("sheet"), CALLS, "", look])
    for place in range(2):
        notebook.run(place)
    shown = decide(notebook, 2, "sheet")
    rows = shown.locator("[data-field=plan] tbody tr")
    expect(rows).to_have_count(50)
    expect(rows.nth(2)).to_have_class("nbf-off")
    shown.get_by_label("plan 1 part").fill("first")
    shown.get_by_label("plan 1 source").fill("web")
    shown.get_by_label("plan 2 depth").fill("4")
    shown.get_by_label("plan 2 depth").press("Alt+ArrowUp")
    expect(rows.first.locator("input").first).to_have_value("part 1")
    expect(shown.get_by_label("plan 2 depth")).to_be_focused()
    rows.nth(2).get_by_role("button", name="Remove this row").click()
    shown.get_by_role("button", name="Paste JSON or CSV").click()
    shown.get_by_label("rows for plan").fill('depth,part,hat\n2,Turbines,red\n5,"Cables, sea",blue')
    shown.get_by_role("button", name="Add these rows").click()
    expect(shown).to_contain_text("no such columns: hat")
    expect(shown).to_contain_text("121 rows, 2 edited, 2 new, 1 removed")
    notebook.cell(2).scroll_into_view_if_needed()
    notebook.screenshot("sheet")
    shown.get_by_text("Correct other fields").click()
    shown.get_by_label("lines 1 b").fill("y")
    shown.get_by_role("button", name="Save, stay waiting").click()
    expect(shown).not_to_contain_text("You change")
    notebook.run(3)
    said = notebook.outputs(3)

    assert "121 [('part 1', 4, True, None), ('first', 1, True, 'web'), ('part 3'" in said
    assert "Part(part='Turbines', action='collect', depth=2, source=None, on=True)" in said
    assert "[{'a': 1, 'b': 'y'}]" in said


MANY = """\
%%graph many
class State(TypedDict):
    prices: dict[str, float]
    embedding: list[float]
    answer: str
@node
def fill(state):
    return {"prices": {f"key{i}": i * 1.5 for i in range(5000)},
            "embedding": [i / 7 for i in range(1536)]}
@node
def ask(state):
    return {"answer": interrupt("ok?", show=["prices", "embedding"])}
@node
def fail(state):
    raise ValueError("no" * 5_000_000)
START >> fill >> ask >> fail >> END
"""
SLOWEST = """\
async (input) => {
  const times = [];
  for (const letter of "a plain answer") {
    input.value += letter;
    const begun = performance.now();
    input.dispatchEvent(new Event("input", { bubbles: true }));
    times.push(performance.now() - begun);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
}"""


def test_a_key_is_answered_beside_much(open_notebook: OpenNotebook) -> None:
    """Beside a dict of 5,000 entries and an embedding, both shown: within a frame, in the answer
    as in an entry of theirs."""
    look = "s = many.thread('m').state; print(len(s['prices']), s['prices']['key3'], s['answer'])"
    run = "run = %agent run many --thread m\nrun"
    notebook = open_notebook([setup("much"), MANY, run, look])
    for place in range(3):
        notebook.run(place)
    shown = form(notebook, 2)
    answer = shown.get_by_label("answer", exact=True).last
    expect(answer).to_be_visible()
    assert answer.evaluate(SLOWEST) < 16
    entry = shown.get_by_label("prices key3", exact=True)
    entry.fill("7")
    assert answer.evaluate(SLOWEST) < 16
    shown.get_by_role("button", name="Answer and resume").click()
    status(notebook, 2, "failed", seconds=40)
    notebook.run(3)

    assert "5000 7.0 a plain answera plain answer" in notebook.outputs(3)
