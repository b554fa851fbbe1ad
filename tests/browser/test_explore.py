"""Looking into a thread's past in JupyterLab: replay, compare, timeline, branches. (R24, C3)"""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import OpenNotebook
from tests.browser.test_main_job import GRAPH, form, setup, status, view


def test_a_persons_way_through_the_past(open_notebook: OpenNotebook) -> None:
    """Each super-step can be looked at and compared; one goes on from an earlier one, in a branch
    of the thread or in a thread of its own; each act leaves its line of Python."""
    notebook = open_notebook(
        [
            setup("past"),
            GRAPH,
            "run = %agent run research topic=bees pace=0.05 --thread p-1\nrun",
            "t = research.thread('p-1')\nprint(t.notes, [i.parent for i in t.line()][-2:], "
            "research.thread('p-1-fork-1').state['topic'])",
        ]
    )
    for index in range(3):
        notebook.run(index)
    status(notebook, 2, "waiting")
    page = view(notebook, 2)
    form(notebook, 2).get_by_role("radiogroup", name="answer").get_by_text("revise").click()
    form(notebook, 2).get_by_role("button", name="Answer and resume").click()
    page.get_by_role("tab", name="Changes").click()
    expect(page).to_contain_text("Changed in step 7")
    # The line that does the same names the question, so that it never answers a later one.
    expect(page.locator(".nba-code")).to_have_text(
        "research.thread(\"p-1\").resume(answers={'4:critique:0': 'revise'})"
    )
    expect(page.locator(".nba-words ins")).to_contain_text("web: bees")

    # The rail: back to the first plan, where web has not run.
    page.get_by_role("button", name="checkpoint 2, plan").click()
    expect(page).to_contain_text("You look at checkpoint 2, after super-step 1.")
    expect(page.get_by_label("node web, queued")).to_be_visible()
    expect(page.get_by_role("tabpanel", name="Changes")).to_contain_text("queries")
    notebook.screenshot("replay")
    page.get_by_role("tab", name="State").click()
    panel = page.get_by_role("tabpanel", name="State")
    expect(panel).not_to_contain_text("draft")
    page.press("Escape")
    expect(panel).to_contain_text("draft")

    # Search finds names and values, with the place where they are.
    page.get_by_label("search the state").fill("FLOWERS")
    expect(panel.locator(".nba-hits")).to_contain_text("queries[1]flowers")
    notebook.screenshot("search")
    page.get_by_label("search the state").fill("nowhere")
    expect(panel).to_contain_text("Nothing holds “nowhere”.")
    page.get_by_label("search the state").fill("")

    # The timeline: a bar for each attempt; one click shows the super-step.
    page.get_by_role("tab", name="Timeline").click()
    bars = page.locator(".nba-bar-row")
    expect(bars).to_have_count(9)
    bars.nth(1).click()
    expect(page).to_contain_text("after super-step 2")
    card = page.locator(".nba-card")
    expect(card).to_contain_text("read")
    expect(card.locator(".nba-key").first).to_have_text("pace")
    expect(card).to_contain_text("[bees, flowers]")
    notebook.screenshot("timeline")
    notebook.theme("dark")
    notebook.screenshot("timeline-dark")

    # History: a note, a comparison, a branch, a fork.
    page.get_by_role("tab", name="History").click()
    page.get_by_role("button", name="checkpoint 4, step").click()
    page.locator(".nba-history-tools input").fill("the first <b>draft</b>")
    page.locator(".nba-history-tools input").press("Enter")
    expect(page.locator(".nba-history-note")).to_have_text("the first <b>draft</b>")
    page.get_by_role("button", name="Compare…").click()
    page.get_by_role("button", name="checkpoint 8, step").click()
    expect(page.locator(".nba-compare")).to_contain_text("step 7against")
    expect(page.locator(".nba-compare")).to_contain_text("path after step 3")
    notebook.screenshot("compared-dark")
    notebook.theme("light")
    page.get_by_role("button", name="Close the comparison").click()
    page.get_by_role("button", name="checkpoint 4, step").click()
    page.get_by_role("button", name="Go on from here").click()
    page.get_by_role("tab", name="History").click()
    expect(page.get_by_role("button", name="checkpoint 9, step")).to_be_visible()
    status(notebook, 2, "waiting")
    notebook.screenshot("branched")
    page.get_by_role("button", name="checkpoint 3, step").click()
    expect(page).to_contain_text("You look at checkpoint 3")
    page.get_by_role("button", name="Fork", exact=True).click()
    expect(page.locator(".nba-title")).to_contain_text("p-1-fork-1")
    status(notebook, 2, "paused")
    notebook.screenshot("forked")
    page.get_by_role("button", name="p-1", exact=True).click()
    expect(page.locator(".nba-title")).to_have_text("research / p-1")
    expect(page.get_by_role("button", name="↳ p-1-fork-1")).to_be_visible()
    page.get_by_role("button", name="Give the thread a title").click()
    page.get_by_label("title", exact=True).fill("Bees <i>and</i> flowers")
    page.get_by_label("title", exact=True).press("Enter")
    expect(page.locator(".nba-title")).to_contain_text("research / Bees <i>and</i> flowers")
    notebook.run(3)
    assert "{4: 'the first <b>draft</b>'} [3, 4] bees" == notebook.outputs(3).strip()


RICH = """\
%%graph rich
import base64, pandas
class State(TypedDict):
    table: pandas.DataFrame
    chart: bytes
    people: list[dict]
    big: list[int]

@node
async def load(state):
    with span("fetch", kind="tool"):
        await asyncio.sleep(0.1)
        with span("parse"):
            await asyncio.sleep(0.05)
    return {"table": pandas.DataFrame({"name": ["Ada", "Bo", "Cy"], "age": [36, 41, 50]}),
            "people": [{"name": "Ada", "tags": ["a"]}], "big": list(range(1000))}

@node
def mend(state):
    effect("send-mail", lambda: 1)
    table = state["table"].copy()
    table.loc[1, "age"] = 42
    people = [{"name": "Ada", "tags": ["a", "b"]}]
    png = ("iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAFklEQVR42mNk+M9AEmAiTfmohlENAAbYAR/"
           "hqVgZAAAAAElFTkSuQmCC")
    return {"table": table, "people": people, "chart": base64.b64decode(png)}

@node
def never(state): return {}

START >> load >> mend
mend >> branch(lambda state: "end", end=END, more=never)
never >> END
"""


def test_rich_values_and_what_changed_in_them(open_notebook: OpenNotebook) -> None:
    """Cells of a table, tags of a nested dict, an image, spans below their node, an effect, a node
    that was skipped; the rest of a long list is fetched when it is asked for."""
    notebook = open_notebook(
        [
            setup("rich") + "import asyncio\nfrom nbagent import effect, span",
            RICH,
            "run = %agent run rich --thread r-1\nrun",
        ]
    )
    for index in range(3):
        notebook.run(index)
    status(notebook, 2, "done")
    page = view(notebook, 2)
    page.get_by_role("tab", name="Changes").click()
    changes = page.get_by_role("tabpanel", name="Changes")
    table = changes.get_by_label("table changed")
    expect(table.locator(".nba-cell del")).to_have_text("41")
    expect(table.locator(".nba-cell ins")).to_have_text("42")
    people = changes.get_by_label("people changed")
    expect(people.locator("header")).to_contain_text("~1")
    expect(people.locator(".nba-cell ins")).to_have_text("['a', 'b']")
    expect(changes.locator("img")).to_have_js_property("naturalWidth", 16)
    expect(page.get_by_label("node never, skipped")).to_be_visible()
    page.get_by_label("node mend, done").click()
    expect(page.locator(".nba-card")).to_contain_text("send-mail✓ done, not made again")
    notebook.cell(2).scroll_into_view_if_needed()
    notebook.screenshot("rich")
    page.get_by_role("tab", name="Timeline").click()
    bars = page.locator(".nba-bar-name")
    expect(bars).to_have_text(["load", "fetch", "parse", "mend"])
    notebook.screenshot("rich-timeline")
    page.get_by_role("tab", name="State").click()
    state = page.get_by_role("tabpanel", name="State")
    state.locator("[data-field=big] summary").click()
    state.get_by_role("button", name="970 more").click()
    expect(state.locator("[data-field=big] .nba-rows > .nba-row")).to_have_count(230)
    expect(state.get_by_role("button", name="770 more")).to_be_visible()


SLOW = """\
%%graph slow
class State(TypedDict):
    items: list[int]
    got: Annotated[list[int], operator.add]

@node
async def begin_with_a_name_that_is_rather_long(state):
    return {"items": list(range(20))}

@node
async def fetch(item):
    await asyncio.sleep(0.1 * item)
    return {"got": [item]}

@node(retry=Retry(attempts=2, wait=6))
async def flaky(state):
    if not os.path.exists("ok"):
        open("ok", "w").close()
        raise ConnectionError("rate limited")
    return {}

START >> begin_with_a_name_that_is_rather_long >> each("items", fetch)
fetch >> flaky >> END
"""


def test_one_looks_back_while_it_runs(open_notebook: OpenNotebook) -> None:
    """Counts of tasks, the past while the run goes on, a countdown to the next attempt; a second
    view of the thread takes the first one's place."""
    notebook = open_notebook(
        [
            setup("slow") + "import asyncio, nbagent\nfrom nbagent import Retry, each",
            SLOW,
            "run = %agent run slow --thread s-1\nrun",
            "nbagent.view(run).code",
        ]
    )
    for index in range(3):
        notebook.run(index)
    page = view(notebook, 2)
    expect(page.get_by_label(re.compile(r"node fetch, running [1-9]\d*/20"))).to_be_visible()
    page.get_by_role("tab", name="Timeline").click()
    page.press("g")  # the graph beside the timeline
    page.get_by_role("button", name="Earlier (←)").click()
    expect(page).to_contain_text("You look at checkpoint 1")
    status(notebook, 2, "running")
    expect(page.get_by_label("node fetch, idle")).to_be_visible()
    page.get_by_role("button", name="Back to now").click()
    expect(page.get_by_label("node flaky, retrying")).to_be_visible()
    page.get_by_role("tab", name="Now").click()
    waits = re.compile(r"again in \d\.\d s, attempt 2")
    expect(page.locator(".nba-lines")).to_contain_text(waits)
    notebook.run(3)
    status(notebook, 3, "done", 20)
    expect(page).to_have_count(0)
    expect(view(notebook, 3).get_by_label("node fetch, done 20/20")).to_be_visible()
