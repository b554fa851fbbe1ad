"""In a real kernel: the stop button, prints, and a kernel that dies. (W9, W10)"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, TypedDict

import pytest
from jupyter_client.manager import KernelManager, start_new_kernel

from nbagent import END, START, Graph, NbagentError, node
from nbagent.stores.memory import MemoryStore

SETUP = """
import time, asyncio
from typing import TypedDict
from nbagent import END, START, Graph, node
class State(TypedDict):
    x: int
with Graph("g", State) as g:
    @node
    def quick(state): return {"x": 1}
    @node
    def slow(state):
        time.sleep(state.get("pace", 8))
        return {"x": 2}
    START >> quick >> slow >> END
"""


class State(TypedDict):
    x: int


class Kernel:
    """A kernel in a folder, driven by its protocol."""

    def __init__(self, folder: Path) -> None:
        self.manager: KernelManager
        self.manager, self.client = start_new_kernel(cwd=str(folder))

    def run(self, code: str, *, interrupt_after: float | None = None, cell: str = "") -> str:
        """What the cell printed or raised; the stop button is pressed after so many seconds.

        cell   its id, as a notebook's page sends it
        """
        content = {"code": code, "silent": False, "store_history": True, "stop_on_error": True}
        metadata = {"cellId": cell} if cell else {}
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(message)
        asked = message["header"]["msg_id"]
        said = []
        deadline = time.monotonic() + 30
        pressed = interrupt_after is None
        started = time.monotonic()
        while time.monotonic() < deadline:
            if not pressed and time.monotonic() - started > (interrupt_after or 0):
                self.manager.interrupt_kernel()
                pressed = True
            try:
                message = self.client.get_iopub_msg(timeout=0.1)
            except Exception:
                continue
            if message["parent_header"].get("msg_id") != asked:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                said.append(content["text"])
            elif message["msg_type"] == "error":
                said.append(content["ename"] + (f": {content['evalue']}" if cell else ""))
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                return "".join(said)
        raise TimeoutError("".join(said))

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(tmp_path: Path):
    """A kernel that has run the setup."""
    made = Kernel(tmp_path)
    made.run(SETUP)
    yield made
    made.stop()


@pytest.mark.parametrize(
    "waiting", ["run = g.start({}, 't'); await run", "g.run({}, 't')", "await g.arun({}, 't')"]
)
def test_the_stop_button_ends_in_a_committed_pause(kernel: Kernel, waiting: str) -> None:
    """Also under a `def` node that blocks for eight seconds; the thread can be resumed. (W9)"""
    started = time.monotonic()
    kernel.run(waiting, interrupt_after=1.0)
    look = "t = g.thread('t')\nfor _ in range(60):\n    if t.status != 'running': break\n    "
    said = kernel.run(look + "time.sleep(0.1)\nprint(t.status, t.state, t.next)")

    assert "paused {'x': 1} ('slow',)" == said.strip()
    assert 7 > time.monotonic() - started


def test_a_run_goes_on_while_a_cell_computes(kernel: Kernel) -> None:
    """Its loop is its own. (C2, W10)"""
    kernel.run("run = g.start({}, 't')\nrun.thread")
    kernel.run("g.thread('t').run.stop()")
    kernel.run(SETUP.replace("8))", "0.3))"))
    said = kernel.run(
        "run = g.thread('t').resume()\nend = time.time() + 1.5\n"
        "while time.time() < end: pass\nprint(run.status)"
    )
    assert "done" == said.strip()


KERNELS = """
%load_ext nbagent
import asyncio
from typing import TypedDict
from nbagent import END, START, Graph, node
class State(TypedDict):
    same: bool
mine = asyncio.get_running_loop()
with Graph("k", State, loop="kernel") as k:
    @node
    async def which(state):
        await asyncio.sleep(0.05)
        return {"same": asyncio.get_running_loop() is mine}
    START >> which >> END
"""


def test_a_graph_can_run_on_the_kernels_own_loop(kernel: Kernel) -> None:
    """Awaited; waited for without `await`, for which asyncio is patched then and not before;
    resumed by another cell. (C2, C5)"""
    kernel.run(KERNELS)
    patched = "hasattr(type(mine), '_nest_patched') or hasattr(mine, '_nest_patched')"
    said = kernel.run(f"print((await k.start({{}}, 'a'))['same'], {patched})")
    assert "True False" == said.strip()
    told, said = kernel.run("print(k.run({}, 'b')['same'])").strip().split("\n")
    assert "nest-asyncio2" in told
    assert "True" == said
    assert "True" == kernel.run("print(k.run({}, 'd')['same'])").strip()  # it is told once
    kernel.run("run = k.start({}, 'c')")
    assert "done" == kernel.run("await run; print(run.status)").strip()


@pytest.mark.parametrize("work", ["await asyncio.sleep(0.1)", "time.sleep(0.1)"])
def test_the_stop_button_pauses_a_run_on_the_kernels_own_loop(kernel: Kernel, work: str) -> None:
    """A run that is waited for without `await` pauses, is committed, and does not go on by itself;
    what the loop was at when the button was pressed is not hurt. (W9)"""
    kernel.run(
        KERNELS.split("with Graph", 1)[0]
        + f"""
from nbagent import branch
class Counted(TypedDict):
    x: int
ticks = 0
async def tick():
    global ticks
    while True:
        await asyncio.sleep(0.02)
        ticks += 1
clock = asyncio.ensure_future(tick())
with Graph("i", Counted, loop="kernel") as i:
    @node
    async def count(state):
        {work}
        return {{"x": state.get("x", 0) + 1}}
    START >> count >> branch(lambda s: "on" if s["x"] < 400 else "off", on=count, off=END)
""",
    )
    said = kernel.run("i.run({}, 't')", interrupt_after=1.0)
    assert "KeyboardInterrupt" in said

    look = "t = i.thread('t'); print(t.status, t.state['x'], t.next, clock.done())"
    first = kernel.run(look)
    assert first.startswith("paused ")
    assert first.endswith("('count',) False\n")
    kernel.run("before = ticks\nawait asyncio.sleep(0.5)")
    assert (first, "True") == (kernel.run(look), kernel.run("print(ticks > before)").strip())


async def test_the_kernels_loop_outside_a_kernel() -> None:
    """In a coroutine it is the running one; where none runs, that is said."""
    with Graph("k", State, store=MemoryStore(), loop="kernel") as graph:
        loops: list[object] = []

        @node
        async def which(state: Any) -> None:
            loops.append(asyncio.get_running_loop())

        START >> which >> END
    await graph.arun({"x": 1})
    assert [asyncio.get_running_loop()] == loops
    with pytest.raises(NbagentError, match="here none runs"):
        await asyncio.to_thread(graph.start, {"x": 1})
