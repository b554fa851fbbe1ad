"""A kernel lives through cells that print while runs begin and end. (R38, W9)"""

import os
import time
from queue import Empty

import pytest
from jupyter_client.manager import start_new_kernel

RUNS = int(os.environ.get("NBAGENT_RUNS", "400"))
SECONDS = 60 + RUNS / 20  # for all of them, on a slow machine

CELL = """
import contextlib, io, sys, threading
from typing import TypedDict
from nbagent import END, START, Graph, node

class State(TypedDict):
    x: int

with Graph("g", State, store="memory://") as graph:
    @node
    async def a(state):
        print("the node's")
        return {"x": 1}
    @node
    def b(state):
        with contextlib.redirect_stdout(io.StringIO()) as mine:
            print("for itself")
        assert "for itself\\n" == mine.getvalue()
        return {"x": 2}
    START >> a >> b >> END

before, lines = sys.stdout, 0
for number in range(%d):
    run = graph.start({"x": 0})
    while run.status == "running":
        %s
        lines += 1
    run.result(10)
assert before is sys.stdout
print("survived", lines > %d)
"""
PRINTS = {
    "print": 'print("a", "b", "c", "d")',
    "print to both": 'print("a", "b"); print("c", "d", file=sys.stderr)',
    "redirected": 'print("a", "b")\n        with contextlib.redirect_stdout(io.StringIO()) as kept:'
    '\n            print("c", "d")\n        assert "c d\\n" == kept.getvalue()',
}


def survives(code):
    """All that the cell has printed; fails where the kernel dies."""
    manager, client = start_new_kernel(kernel_name="python3")
    printed, until = [], time.monotonic() + SECONDS
    try:
        asked = client.execute(code)
        while time.monotonic() < until:
            try:
                message = client.get_iopub_msg(timeout=1)
            except Empty:
                assert manager.is_alive(), "the kernel has died"
                continue
            content = message["content"]
            assert "error" != message["msg_type"], "\n".join(content["traceback"])
            if message["parent_header"].get("msg_id") != asked:
                continue
            if content.get("name") == "stdout":
                printed.append(content["text"])
            if content.get("execution_state") == "idle":
                return "".join(printed)
        raise AssertionError(f"no end after {SECONDS} seconds")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("kind", PRINTS)
def test_a_cell_that_prints_while_runs_end_does_not_kill_the_kernel(kind, tmp_path, monkeypatch):
    """As many runs as NBAGENT_RUNS says, and nothing that nodes or the cell print is lost."""
    monkeypatch.chdir(tmp_path)

    printed = survives(CELL % (RUNS, PRINTS[kind], RUNS))

    assert "survived True" == printed.splitlines()[-1]
    assert RUNS == printed.count("the node's")
    assert 0 == printed.count("for itself")
