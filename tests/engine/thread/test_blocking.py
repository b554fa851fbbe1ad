"""
An `async def` node that blocks the loop: it is named, and the run still ends when told to. (W9)
"""

import asyncio
import threading
import time

import pytest

from nbagent.engine.thread import watchdog
from nbagent.engine.watch.events import NodeBlocking
from tests.engine.build import END, START, Edge, Node, program, sync, task, thread


@pytest.fixture
def gate():
    """What the blocking node waits for; opened at the end, so that no thread stays behind."""
    made = threading.Event()
    yield made
    made.set()


def blocking(gate, calls):
    async def stuck(state):
        calls.append("stuck")
        if calls.count("stuck") == 1:
            calls.append(asyncio.get_running_loop())
            gate.wait(20)  # blocks the loop
        return {"x": calls.count("stuck")}

    return program(
        sync("first", lambda state: {"x": 0}),
        task("stuck", stuck),
        wires=(Edge(START, "first"), Edge("first", "stuck"), Edge("stuck", END)),
    )


def started(one, calls):
    run = one.start({})
    until = time.monotonic() + 5
    while not calls and time.monotonic() < until:
        time.sleep(0.01)
    return run


def test_it_is_named(gate):
    """An event tells the node and its line."""
    calls, seen, named = [], [], threading.Event()
    run = started(thread(blocking(gate, calls)), calls)
    run.watch(lambda event: isinstance(event, NodeBlocking) and (seen.append(event), named.set()))
    assert named.wait(10)
    gate.set()
    run.result(5)

    (told,) = seen
    assert "stuck" == told.node
    assert told.where.startswith("test_blocking.py, line ")
    assert told.where.endswith(": gate.wait(20)  # blocks the loop")
    assert told.seconds >= watchdog.BLOCKED


@pytest.mark.parametrize(("way", "status"), [("stop", "stopped"), ("pause", "paused")])
def test_a_stop_and_a_pause_end_in_a_committed_checkpoint(gate, way, status):
    """The thread is free although the node still blocks; its late result is ignored."""
    calls = []
    one = thread(blocking(gate, calls))
    run = started(one, calls)
    if way == "stop":
        run.stop()
    else:
        run.pause(within=0.0)
    run.result(10)

    assert status == one.status == run.status
    assert 1 == one.latest().checkpoint.step
    assert {"x": 2} == one.resume().result(5)  # on a loop of its own
    gate.set()
    for _ in range(20):  # rounds of the loop on which the late result arrives
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), calls[1]).result(5)
    assert {"x": 2} == one.state


def test_the_kernels_interrupt_pauses(gate, monkeypatch):
    """Ctrl-C in the waiting cell: the run is paused before it is raised."""
    calls = []
    one = thread(blocking(gate, calls))
    run = started(one, calls)

    async def cell():
        waiting = asyncio.ensure_future(run._wait())
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(cell())
    until = time.monotonic() + 10
    while run.status == "running" and time.monotonic() < until:
        time.sleep(0.05)

    assert "paused" == one.status


def test_a_node_that_swallows_its_cancelling_is_let_go(monkeypatch):
    """Such a node cannot keep its thread for ever."""
    monkeypatch.setattr(watchdog, "PATIENCE", 0.5)
    calls = []

    async def deaf(state):
        calls.append("deaf")
        while calls.count("deaf") == 1:
            try:
                await asyncio.sleep(20)
            except asyncio.CancelledError:
                continue
        return {"x": 1}

    one = thread(program(task("deaf", deaf), wires=(Edge(START, "deaf"), Edge("deaf", END))))
    run = started(one, calls)
    run.stop()
    run.result(10)

    assert "stopped" == one.status
    assert {"x": 1} == one.resume().result(5)


def test_a_sibling_that_only_waits_is_not_blamed(gate):
    """Many seconds of awaiting block nothing."""
    seen = []

    async def slow(state):
        await asyncio.sleep(watchdog.BLOCKED + 1.0)
        return {"x": 1}

    made = program(Node("slow", slow, is_async=True), wires=(Edge(START, "slow"),))
    run = thread(made).start({})
    run.watch(seen.append)
    run.result(5)

    assert [] == [event for event in seen if isinstance(event, NodeBlocking)]


def test_a_run_whose_nodes_never_wait_leaves_room_for_others():
    """A long loop of instant nodes does not stop its neighbours, and is not blamed for it. (W9)"""

    async def count(state):
        return {"x": state.get("x", 0) + 1}

    async def nap(state):
        await asyncio.sleep(0.01)
        return {"x": 1}

    endless = program(task("count", count), wires=(Edge(START, "count"), Edge("count", "count")))
    short = program(task("nap", nap), wires=(Edge(START, "nap"), Edge("nap", END)))
    loop = thread(endless, "endless").start({}, step_limit=10**9)
    seen = []
    loop.watch(seen.append, past=False)
    for number in range(20):
        thread(short, f"short-{number}").start({}).result(5)
    loop.stop()
    loop.result(5)

    assert loop.checkpoint.step > 100
    assert not [event for event in seen if isinstance(event, NodeBlocking)]
