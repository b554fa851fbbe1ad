"""
The picture in the README: the live view of a real run in JupyterLab, in light and in dark.

    .venv/bin/python -m tests.browser.picture

It writes `notebooks/view-light.png` and `notebooks/view-dark.png`. Run it again when the view looks
otherwise, and look at both before they are committed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.lab import CHROMIUM_ARGUMENTS, Lab, Notebook

ROOT = Path(__file__).parents[2]
SIZE = {"width": 1380, "height": 1300}
MOST = 400_000  # bytes of a picture
CELLS = (
    "%load_ext nbagent\nimport asyncio, operator\nfrom nbagent import approve",
    """\
%%graph research --quiet
class State(TypedDict):
    topic: str
    queries: list[str]
    notes: Annotated[list[str], operator.add]
    draft: str
    sent: str

@node
async def plan(state): return {"queries": ["tidal range", "device ratings"]}

@node
async def web(state):
    await asyncio.sleep(0.8)
    return {"notes": ["The stream turns four times a day."]}

@node
async def papers(state):
    await asyncio.sleep(0.5)
    return {"notes": ["A device's rating follows the spring tide.",
                      "The neap tide sets the storage."]}

@node
async def write(state):
    for word in "Tidal power is predictable.".split():
        emit(word + " ")
    return {"draft": "Tidal power is predictable: " + " ".join(state["notes"])}

@node
def send(state):
    call = {"to": "editors@example.org", "subject": "Tidal energy overview"}
    decided = approve("send_report", call, question="Send the report?", show=["draft"])
    return {"sent": decided.kind}

START >> plan >> [web, papers] >> write >> send >> END
""",
    'run = research.start({"topic": "tidal energy"}, thread="tidal-1")\nrun',
)


def asking(page: Page, lab: Lab) -> Notebook:
    """A notebook whose run asks, with an argument of the call edited."""
    notebook = Notebook.open(lab, page, CELLS, name="research", screenshots=lab.folder)
    page.evaluate("() => jupyterapp.commands.execute('application:toggle-left-area')")
    for place in range(len(CELLS)):
        notebook.run(place)
    shown = notebook.output(len(CELLS) - 1)
    expect(shown.locator(".nbf-question")).to_be_visible(timeout=60_000)
    shown.get_by_text("Edit arguments").click()
    shown.get_by_label("subject", exact=True).fill("Tidal energy: a draft for comment")
    return notebook


def taken(notebook: Notebook, theme: str) -> Path:
    """The view in a theme, as a file."""
    notebook.theme(theme)
    notebook.page.mouse.move(0, 0)
    notebook.page.wait_for_timeout(1_000)  # what follows from a key is drawn, no button is lit
    path = ROOT / "notebooks" / f"view-{theme}.png"
    shown = notebook.output(len(CELLS) - 1)
    shown.locator(".widget-vbox").first.screenshot(path=str(path))
    return path


def main() -> int:
    """Both pictures."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        lab = Lab(Path(folder))
        try:
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=list(CHROMIUM_ARGUMENTS)
            )
            page = browser.new_page(viewport=SIZE, device_scale_factor=1.5)  # type: ignore[arg-type]
            page.set_default_timeout(60_000)
            notebook = asking(page, lab)
            for theme in ("light", "dark"):
                path = taken(notebook, theme)
                size = path.stat().st_size
                print(f"{path.relative_to(ROOT)}: {size:,} bytes")
                if size > MOST:
                    print(f"that is more than {MOST:,}", file=sys.stderr)
                    return 1
            browser.close()
        finally:
            lab.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
