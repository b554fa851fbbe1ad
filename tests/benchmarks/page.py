"""
How the page and the kernel bear heavy agents, run by hand: python tests/benchmarks/page.py

A real JupyterLab in headless Chromium shows the live view of each agent while it runs. Printed are
the time between two frames of the page (median, 95th percentile, longest; a screen makes 60 a
second, which is 17 ms), and the run's length in that kernel with nobody watching and with the view.
"""

from __future__ import annotations

import ast
import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from tests.browser.lab import CHROMIUM_ARGUMENTS, Lab, Notebook

SETUP = """\
%load_ext nbagent
import asyncio, operator, os, time
from typing import Annotated, Any, TypedDict
from nbagent import END, START, Graph, branch, each, emit, node

class State(TypedDict):
    n: int
    items: list[int]
    found: Annotated[list[int], operator.add]
    big: Any
"""
AGENTS = {
    "300 nodes, 30 deep and 10 wide": """\
with Graph("agent", State) as agent:
    before = [START]
    for level in range(30):
        async def work(state): await asyncio.sleep(0.05)
        row = [node(work, name=f"n{level}_{place}") for place in range(10)]
        for one in before: one >> row
        before = row
    for one in row: one >> END
given = {"n": 0}""",
    "1,000 parallel tasks": """\
async def fetch(item):
    await asyncio.sleep(0.2 + item / 500)
    return {"found": [item]}
with Graph("agent", State) as agent:
    one = node(fetch, name="fetch")
    START >> each("items", one)
    one >> END
given = {"items": list(range(1000))}""",
    "10,000 super-steps": """\
async def turn(state): return {"n": state["n"] + 1}
with Graph("agent", State) as agent:
    one = node(turn, name="turn")
    START >> one
    one >> branch(lambda s: "on" if s["n"] < 10_000 else "off", on=one, off=END)
given = {"n": 0}""",
    "a state of 50 MB": """\
async def load(state): return {"big": {str(n): "x" * 50_000 for n in range(1000)}}
async def turn(state):
    await asyncio.sleep(0.05)
    return {"n": state["n"] + 1, "big": {**state["big"], str(state["n"]): "y" * 50_000}}
with Graph("agent", State) as agent:
    first, one = node(load, name="load"), node(turn, name="turn")
    START >> first >> one
    one >> branch(lambda s: "on" if s["n"] < 60 else "off", on=one, off=END)
given = {"n": 0}""",
    "2,000 events a second": """\
async def talk(state):
    began = time.perf_counter()
    for second in range(5):
        for n in range(2000):
            emit({"token": n, "text": "word " * 5})
            left = began + second + n / 2000 - time.perf_counter()
            if n % 20 == 19: await asyncio.sleep(max(0, left))
with Graph("agent", State) as agent:
    one = node(talk, name="talk")
    START >> one >> END
given = {"n": 0}""",
}
ALONE = """\
began = time.perf_counter()
agent.run(given, 'alone', step_limit=20_000)
print(time.perf_counter() - began)"""
SHOWN = "run = agent.start(given, 'shown', step_limit=20_000)\nbegan = time.perf_counter()\nrun"
TOOK = """\
info = run.thread.info
spans = [s for s in run.thread.store.spans("shown") if s.kind == "run"]
print(spans[0].ended - spans[0].started)"""
FRAMES = """() => {
  const frames = []; let last = performance.now(); window.measuring = true;
  const tick = (now) => {
    frames.push(now - last); last = now;
    if (window.measuring) requestAnimationFrame(tick);
  };
  requestAnimationFrame((now) => { last = now; requestAnimationFrame(tick); });
  window.frames_ = frames;
}"""


def main() -> None:
    """Print the table."""
    folder = Path(tempfile.mkdtemp())
    lab = Lab(folder)
    print(f"{'':32} {'median':>7} {'95 %':>7} {'longest':>8}   {'alone':>7} {'shown':>7}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=list(CHROMIUM_ARGUMENTS)
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(120_000)
        for number, (name, agent) in enumerate(AGENTS.items()):
            place = f"os.makedirs('b{number}', exist_ok=True); os.chdir('b{number}')\n"
            cells = [SETUP + place + agent, ALONE, SHOWN, TOOK]
            notebook = Notebook.open(lab, page, cells, name=f"b{number}", screenshots=folder)
            notebook.run(0)
            notebook.run(1)
            page.evaluate(FRAMES)
            notebook.run(2)
            pill = notebook.output(2).locator(".nba-root .nba-header .nba-pill")
            expect(pill).to_contain_text("done", timeout=120_000)
            frames = sorted(page.evaluate("() => { window.measuring = false; return frames_ }"))
            notebook.cell(2).scroll_into_view_if_needed()
            notebook.screenshot(f"b{number}")
            notebook.run(3)
            alone, shown = (ast.literal_eval(notebook.outputs(cell).strip()) for cell in (1, 3))
            at = [frames[int(len(frames) * part)] for part in (0.5, 0.95)]
            print(
                f"{name:32} {at[0]:4.0f} ms {at[1]:4.0f} ms {frames[-1]:5.0f} ms   "
                f"{alone:5.1f} s {shown:5.1f} s  {shown / alone:.2f}",
                flush=True,
            )
            notebook.close()
        browser.close()
    lab.stop()
    print(f"pictures are in {folder}")


if __name__ == "__main__":
    main()
