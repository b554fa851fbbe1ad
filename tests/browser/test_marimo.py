"""In marimo, graph, run, thread and batch show themselves and work. (C3, W10)"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Locator, Page, expect

from tests.conftest import require

NOTEBOOK = """\
import marimo

app = marimo.App()


@app.cell
def _():
    import os
    import time
    from typing import TypedDict

    from nbagent import END, START, Graph, interrupt, node, view

    class State(TypedDict):
        name: str
        draft: str
        verdict: str

    with Graph("letter", State) as letter:

        @node
        def write(state):
            while state["name"] == "Ada" and not os.path.exists("go"):
                time.sleep(0.05)
            return {"draft": f"Dear {state['name']}, thank you."}

        @node
        def ask(state):
            return {"verdict": interrupt("Send it?", show=["draft"])}

        START >> write >> ask >> END
    return letter, view


@app.cell
def _(letter):
    letter
    return


@app.cell
def _(letter):
    run = letter.start({"name": "Ada"})
    run
    return (run,)


@app.cell
def _(run):
    run.thread
    return


@app.cell
def _(letter):
    letter.map([{"name": "Bo"}, {"name": "Cy"}], name="batch")
    return


if __name__ == "__main__":
    app.run()
"""


@pytest.fixture
def marimo(chromium: str, tmp_path: Path) -> Iterator[str]:
    """The address of marimo's editor, with the notebook open, in a folder of its own."""
    require("marimo", "marimo (pip install marimo)")
    (tmp_path / "letter.py").write_text(NOTEBOOK, encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "marimo", "edit", "letter.py", "--headless", "--no-token"]
    homes = {name: str(tmp_path) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")}
    root = str(Path(__file__).parents[2])
    with (tmp_path / "marimo.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--skip-update-check", "--host", "127.0.0.1", "-p", str(port)],
            cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            env={**os.environ, **homes, "PYTHONPATH": root},
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{url}/health", timeout=2).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > end:
                    raise RuntimeError((tmp_path / "marimo.log").read_text()) from None
                time.sleep(0.1)
        yield url
    finally:
        family = psutil.Process(server.pid).children(recursive=True)
        server.terminate()
        server.wait(10)
        for one in family:
            if one.is_running():
                one.send_signal(signal.SIGKILL)


def shown(page: Page, cell: int) -> Locator:
    """The output of a cell."""
    return page.locator(".marimo-cell").nth(cell)


def run_all(page: Page) -> None:
    """Run every cell; a click that comes before the page has its kernel is lost."""
    graph = shown(page, 1).get_by_role("img", name="graph")
    end = time.monotonic() + 120
    while not graph.is_visible():
        assert time.monotonic() < end
        with contextlib.suppress(PlaywrightError):  # it is off while they run
            page.get_by_test_id("run-button").last.click(timeout=1_000)
        with contextlib.suppress(PlaywrightError):
            graph.wait_for(timeout=10_000)


def test_a_letter_in_marimo(marimo: str, page: Page, tmp_path: Path, screenshots: Path) -> None:
    """The graph is a picture; the run is live, also as its thread; a page that is loaded anew shows
    it again; the form's answer ends it; a run cell that runs again shows its own thread; a thread
    of a batch is opened by a click."""
    page.goto(marimo)
    run_all(page)
    first, thread, batch = (shown(page, cell).locator(".nba-root").first for cell in (2, 3, 4))
    expect(shown(page, 1).get_by_role("img", name="graph")).to_be_visible(timeout=60_000)
    expect(first).to_contain_text("running")
    (tmp_path / "go").touch()
    expect(first).to_contain_text("waiting")
    expect(thread).to_contain_text("waiting")
    page.screenshot(path=str(screenshots / "marimo.png"))
    page.reload()
    expect(first).to_contain_text("waiting")
    form = shown(page, 2).locator(".nbf-root").first
    expect(form).to_contain_text("Send it?")
    form.get_by_label("answer").fill("yes")
    form.get_by_role("button", name="Answer and resume").click()
    expect(first).to_contain_text("done")
    expect(thread).to_contain_text("done")

    expect(batch).to_contain_text("2 threads")
    batch.get_by_role("button", name="batch-1").click()
    opened = shown(page, 4).locator(".nba-root").nth(1)
    expect(opened).to_contain_text("batch-1")
    expect(opened).to_contain_text("waiting")
    shown(page, 2).hover()
    shown(page, 2).get_by_test_id("run-button").first.click()
    expect(first).to_contain_text("waiting")
    expect(shown(page, 2).locator(".nbf-root").first).to_contain_text("Send it?")
