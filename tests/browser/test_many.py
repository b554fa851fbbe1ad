"""Many threads in JupyterLab: a batch and a store as tables that move. (R26)"""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import OpenNotebook
from tests.browser.test_main_job import setup

GRAPH = """\
%%graph reader
class State(TypedDict):
    page: int
    words: int

@node
async def fetch(state):
    while state["page"] > 5 and not os.path.exists("go"): await asyncio.sleep(0.05)
    if state["page"] == 7:
        raise ConnectionError("page 7 cannot be <b>reached</b>")
    return {}

@node
def count(state): return {"words": 100 * state["page"]}

@node
def check(state):
    if state["page"] == 3:
        interrupt("Is page 3 right?", schema=bool)

START >> fetch >> count >> check >> END
"""


def test_a_batch_is_a_table_that_moves(open_notebook: OpenNotebook) -> None:
    """Counts and rows move while another cell computes; filter, order; a click opens a thread,
    whose question is answered there; the table of the store shows the same."""
    notebook = open_notebook(
        [
            setup("many") + "import asyncio",
            GRAPH,
            "batch = reader.map([{'page': n} for n in range(12)], name='book', limit=4)\nbatch",
            "open('go', 'w').close()\nend = time.time() + 6\nwhile time.time() < end: pass",
            "%agent threads",
        ]
    )
    for index in range(3):
        notebook.run(index)
    table = notebook.output(2).locator(".nba-root").first
    expect(table.get_by_role("button", name="Queued")).to_be_visible()
    notebook.start(3)
    expect(table.get_by_role("button", name="Done 10")).to_be_visible(timeout=15_000)
    notebook.cell(2).scroll_into_view_if_needed()
    notebook.screenshot("batch")
    expect(notebook.cell(3)).to_contain_text("[4]:", timeout=20_000)

    table.get_by_role("button", name="Failed 1").click()
    rows = table.locator(".nba-th:not(.nba-hd)")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("page 7 cannot be <b>reached</b>")
    table.get_by_role("button", name="Failed 1").click()
    table.get_by_label("filter the threads").fill("book-3")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Is page 3 right?")
    rows.get_by_role("button", name="Answer").click()
    answer = notebook.output(2).locator(".nbf-root")
    expect(answer).to_contain_text("Is page 3 right?")
    answer.get_by_role("radiogroup", name="answer").get_by_text("Yes").click()
    notebook.screenshot("batch-opened")
    answer.get_by_role("button", name="Answer and resume").click()
    expect(notebook.output(2).locator(".nba-root").nth(1).locator(".nba-pill")).to_have_text("done")

    notebook.run(4)
    listed = notebook.output(4).locator(".nba-root").first
    expect(listed.get_by_role("button", name="Done 11")).to_be_visible()
    expect(listed.get_by_label("Failed", exact=True)).to_contain_text("1")
    listed.get_by_role("button", name="Show all").click()
    expect(listed.locator(".nba-th:not(.nba-hd)")).to_have_count(12)
    expect(listed.get_by_role("row").filter(has_text="book-7")).to_contain_text("fetch, Cell In[2]")
    notebook.theme("dark")
    notebook.screenshot("threads-dark")
    notebook.theme("light")
    assert "book-7" in str(notebook.raw_outputs(4))
