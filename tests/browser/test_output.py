"""What nodes print, in JupyterLab: in their cards while they run, in the picture behind. (R38)"""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import OpenNotebook
from tests.browser.test_main_job import done, setup, status, view

TALKS = """\
%%graph talkers
class State(TypedDict):
    answer: str

@node
async def reader(state):
    for page in range(1, 4):
        print(f"\\x1b[31mreading\\x1b[0m page {page} <b>bold</b>")
        await asyncio.sleep(0.2)
    while not os.path.exists("seen"): await asyncio.sleep(0.05)

@node(stall=1.0)
def silent(state):
    print("from a thread")
    while not os.path.exists("seen"): time.sleep(0.05)
    return {"answer": "42"}

START >> [reader, silent] >> END
"""


def test_what_a_node_prints_is_in_its_card(open_notebook: OpenNotebook) -> None:
    """Siblings keep theirs apart, markup and escapes are text, silence is said; the saved
    notebook has it too."""
    notebook = open_notebook(
        [
            setup("talks") + "\nimport asyncio, time",
            TALKS,
            "run = %agent run talkers --thread t-1\nrun",
            "print('my own output')",
            "open('seen', 'w').close()",
        ]
    )
    for index in range(3):
        notebook.run(index)
    status(notebook, 2, "running")
    page = view(notebook, 2)
    page.get_by_label("node reader").click()
    printed = page.locator(".nba-printed")
    expect(printed).to_have_text(
        "reading page 1 <b>bold</b>\nreading page 2 <b>bold</b>\nreading page 3 <b>bold</b>\n"
    )
    notebook.run(3)
    assert "my own output" == notebook.outputs(3).strip()
    page.get_by_label("node silent").click()
    expect(page.locator(".nba-printed")).to_have_text("from a thread\n")
    expect(page.locator(".nba-warning")).to_contain_text("Silent for")
    notebook.screenshot("printed")
    notebook.theme("dark")
    notebook.screenshot("printed-dark")
    notebook.theme("light")
    notebook.run(4)
    done(notebook, 2)
    saved = notebook.save()
    assert "silent: from a thread" in str(saved.cells[2].outputs)
    assert "<b>bold" not in str(saved.cells[2].outputs)
    notebook.screenshot("printed-done")
