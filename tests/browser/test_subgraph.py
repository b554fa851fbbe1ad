"""A graph inside a graph, in JupyterLab: its question, its answer, a node that blocks."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import OpenNotebook
from tests.browser.test_main_job import form, setup, status, view

INNER = """\
%%graph check
class Check(TypedDict):
    claim: str
    evidence: str
    notes: Annotated[list[str], operator.add]

@node
def search(state): return {"evidence": f"A source about {state['claim']}."}

@node
def judge(state):
    verdict = interrupt(f"Is {state['claim']!r} supported?", show=["evidence"],
                        schema=Literal["yes", "no"])
    return {"notes": [f"{state['claim']}: {verdict}"]}

START >> search >> judge >> END
"""
OUTER = """\
%%graph report
class Report(TypedDict):
    claims: list[str]
    notes: Annotated[list[str], operator.add]
    text: str

@node
def collect(state): return {"claims": ["bees dance", "bees sing"]}

@node
def write(state): return {"text": "; ".join(state["notes"])}

START >> collect >> each(lambda state: [{"claim": c} for c in state["claims"]], check)
check >> write >> END
"""
BLOCKING = """\
%%graph careless
class State(TypedDict):
    answer: str

@node
async def ask_model(state):
    time.sleep(30)
    return {"answer": "42"}

START >> ask_model >> END
"""


def test_questions_of_a_subgraph_are_answered_in_the_parents_form(open_notebook: OpenNotebook):
    """Two items wait at once, each with what it should show; the thread goes on when both are
    answered. (R27, R31)"""
    notebook = open_notebook(
        [
            setup("subgraph") + "from nbagent import each",
            INNER,
            OUTER,
            "%agent run report --thread report-1",
        ]
    )
    for cell in range(4):
        notebook.run(cell)
    status(notebook, 3, "waiting")
    asked = form(notebook, 3).locator(".nbf-question")

    expect(asked).to_have_count(2)
    expect(asked.first).to_contain_text("Is 'bees dance' supported?")
    expect(asked.first).to_contain_text("A source about bees dance.")
    form(notebook, 3).scroll_into_view_if_needed()
    notebook.screenshot("subgraph-waiting")

    # The node that runs a graph opens: its threads, each with the view of its own graph.
    page = view(notebook, 3)
    page.get_by_role("button", name="Show the graph").click()  # the form has taken its place
    page.get_by_label("node check, waiting").click()
    page.get_by_role("button", name="Open report-1/").first.click()
    expect(page.locator(".nba-title")).to_contain_text("check / report-1/")
    expect(page.get_by_label("node judge, waiting")).to_be_visible()
    page.get_by_role("tab", name="Changes").click()
    expect(page.get_by_role("tabpanel", name="Changes")).to_contain_text("A source about bees")
    notebook.cell(3).scroll_into_view_if_needed()
    notebook.screenshot("subgraph-open")
    page.get_by_role("button", name="report-1 ›").click()
    expect(page.locator(".nba-title")).to_have_text("report / report-1")
    page.get_by_role("tab", name="Now").click()
    asked.first.get_by_role("radiogroup", name="answer").get_by_text("yes").click()
    asked.nth(1).get_by_role("radiogroup", name="answer").get_by_text("no").click()
    form(notebook, 3).get_by_role("button", name="Answer and resume").click()
    expect(page.get_by_label("result")).to_contain_text(
        "bees dance: yes; bees sing: no", timeout=15_000
    )


def test_a_blocking_node_is_named_in_the_view_and_stopped(open_notebook: OpenNotebook):
    """The card says which line blocks and what to do; Stop ends the run. (W9)"""
    notebook = open_notebook([setup("blocking"), BLOCKING, "%agent run careless --thread c-1"])
    for cell in range(3):
        notebook.run(cell)
    warning = view(notebook, 2).locator(".nba-warning")

    expect(warning).to_contain_text("blocks the event loop", timeout=15_000)
    warning.scroll_into_view_if_needed()
    notebook.screenshot("blocking")
    view(notebook, 2).get_by_role("button", name="Stop").click()
    status(notebook, 2, "stopped")
