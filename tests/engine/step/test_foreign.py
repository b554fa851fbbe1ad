"""
Nobody else's control flow decides how a run ends: not a TaskGroup's, not an exception's, not a
call's that hangs. (W19)
"""

import asyncio
import contextlib
import contextvars
import gc
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import time
from typing import Annotated, TypedDict

import anyio
import pytest

from nbagent import END, START, Graph, NodeError, Retry, StateError, each, interrupt, node, span
from nbagent.engine.node.executor import Threads
from nbagent.engine.step import calls
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


class State(TypedDict, total=False):
    x: int
    said: str


def one_node(function, store=None, **options):
    """A graph of one node, and a second one that shows that the run goes on."""
    with Graph("g", State, store=store or MemoryStore()) as graph:

        @node
        async def after(state):
            await asyncio.sleep(0)
            return {"said": "and on"}

        START >> node(function, name="a", **options) >> after >> END
    return graph


async def child_fails():
    await asyncio.sleep(0.001)
    raise ValueError("child failed")


# ----------------------------------------------------------------------- what a node handles


async def handles_a_task_group(state):
    with contextlib.suppress(BaseExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(child_fails())
            group.create_task(asyncio.sleep(5))
    return {"x": 1}


async def handles_a_timeout(state):
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.sleep(5)
    return {"x": 1}


async def handles_an_anyio_scope(state):
    with anyio.move_on_after(0.001):
        await anyio.sleep(5)
    return {"x": 1}


async def cancels_its_scope_and_returns(state):
    scope = anyio.CancelScope()
    scope.__enter__()
    scope.cancel()
    return {"x": 1}


async def cancels_itself_and_goes_on(state):
    asyncio.current_task().cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(5)
    await asyncio.sleep(0.001)
    return {"x": 1}


async def cancels_itself_and_returns(state):
    asyncio.current_task().cancel()
    return {"x": 1}


async def is_cancelled_after_its_end(state):
    asyncio.get_running_loop().call_later(0.01, asyncio.current_task().cancel)
    return {"x": 1}


async def stops_the_loop(state):
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)
    return {"x": 1}


async def leaves_a_child_that_ends_the_process(state):
    async def ends():
        raise SystemExit(3)

    asyncio.get_running_loop().create_task(ends())
    await asyncio.sleep(0.01)
    return {"x": 1}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "function",
    [
        handles_a_task_group,
        handles_a_timeout,
        handles_an_anyio_scope,
        cancels_its_scope_and_returns,
        cancels_itself_and_goes_on,
        cancels_itself_and_returns,
        is_cancelled_after_its_end,
        stops_the_loop,
        leaves_a_child_that_ends_the_process,
    ],
)
def test_what_a_node_does_with_its_own_task_is_its_own(function):
    """It returned, so it is done, and the next node runs."""
    graph = one_node(function)
    assert {"x": 1, "said": "and on"} == graph.start({}, thread="t").result(5)
    assert "done" == graph.thread("t").status
    assert {"x": 1, "said": "and on"} == graph.start({}, thread="next").result(5)
    gc.collect()


own = contextvars.ContextVar("own", default="nobody's")


@pytest.mark.parametrize("waits", [True, False])
def test_a_node_sees_a_task_and_a_context_that_are_not_the_engines(waits):
    """Also where it awaits nothing: what it sets is gone behind it, and its task is no run's."""
    seen = []

    async def waiting(state):
        await asyncio.sleep(0)
        return look(state)

    async def straight(state):
        return look(state)

    def look(state):
        seen.append((own.get(), asyncio.current_task()))
        own.set("the node's")
        return {"x": state.get("x", 0) + 1}

    with Graph("g", State, store=MemoryStore()) as graph:
        first = node(waiting if waits else straight, name="a")
        START >> first >> node(waiting if waits else straight, name="b") >> END
    run = graph.start({}, thread="t")
    assert 2 == run.result(5)["x"]
    assert ["nobody's"] * 2 == [said for said, _ in seen]
    assert all(isinstance(task, asyncio.Task) and task.done() for _, task in seen)


async def test_siblings_that_are_a_loops_first_calls_find_themselves_in_a_task_that_has_ended():
    """So what one does to it reaches no other; one that is stopped before it begins is closed."""
    ended = []

    async def first():
        task = asyncio.current_task()
        ended.append((task.done(), task.cancel()))
        return 1

    who = ("a", lambda *kind, **facts: None)
    stopped = asyncio.ensure_future(calls.finish(first(), who))
    siblings = [asyncio.ensure_future(calls.finish(first(), who)) for _ in range(3)]
    await asyncio.sleep(0)
    stopped.cancel()
    assert [1, 1, 1] == await asyncio.gather(*siblings)
    assert [(True, False)] * 3 == ended
    with pytest.raises(asyncio.CancelledError):
        await stopped


def test_a_loop_that_is_closed_is_not_kept():
    """Who runs a graph in one `asyncio.run` after another does not gather loops."""

    async def one():
        return 1

    async def run():
        return asyncio.get_running_loop(), await calls.finish(one(), ("a", lambda *_, **__: None))

    loops = {asyncio.run(run()) for _ in range(3)}
    assert [1] * 3 == [value for _, value in loops]
    assert 1 >= len({loop for loop, _ in loops} & set(calls._ended))


# ------------------------------------------------------------------------ what a node raises


class Broken(Exception):
    def __str__(self):
        raise RuntimeError("no words")

    __repr__ = __str__


class Exits(Exception):
    def __str__(self):
        raise SystemExit(1)


RAISED = [
    asyncio.CancelledError(),
    StopIteration(),
    StopAsyncIteration(),
    GeneratorExit(),
    SystemExit(2),
    KeyboardInterrupt(),
    ExceptionGroup("several", [ValueError("a"), KeyError("b")]),
    BaseExceptionGroup("several", [SystemExit(1)]),
    Broken(),
    Exits(),
    ValueError("half of a pair: \ud83d"),
    ValueError("a null: \0"),
    type("Odd\N{PILE OF POO}", (Exception,), {})("named oddly"),
    RecursionError("deep"),
    MemoryError(),
]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("way", ["def", "async def", "awaited"])
@pytest.mark.parametrize("options", [{}, {"retry": Retry(1), "timeout": 5}], ids=["", "guarded"])
def test_whatever_a_node_raises_is_its_failure(error, way, options, tmp_path):
    """The thread is failed, nobody owns it, and the same process runs on."""
    is_broken = [True]

    def fails(state):
        if is_broken:
            raise error
        return {"x": 1}

    async def afails(state):
        await asyncio.sleep(0)
        return fails(state)

    function = {"def": fails, "async def": afails, "awaited": lambda state: afails(state)}[way]
    store = SqliteStore(tmp_path / "a.db")
    graph = one_node(function, store, **options)
    with pytest.raises(NodeError, match="node 'a' failed"):
        graph.start({}, thread="t").result(5)

    thread = graph.thread("t")
    assert ("failed", None) == (thread.status, thread.info.owner)
    assert ["error"] == [row.status for row in thread.trace().itertuples() if row.kind == "node"]
    is_broken.clear()
    assert {"x": 1, "said": "and on"} == thread.resume().result(5)
    store.close()


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), Broken(), GeneratorExit()])
def test_whatever_a_reducer_raises_fails_the_thread_and_loses_nothing(error):
    """What was paid for is kept, and the error is no exit of whoever waits for the run."""
    is_broken, calls = [True], []

    def reducer(old, new):
        if is_broken:
            raise error
        return old + new

    class Sum(TypedDict):
        x: Annotated[int, reducer]

    def paid(state):
        calls.append(1)
        return {"x": 2}

    with Graph("g", Sum, store=MemoryStore()) as graph:
        START >> node(paid) >> END
    with pytest.raises(StateError, match="the reducer of 'x'"):
        is_broken.clear()
        run = graph.thread("t").start({"x": 1}, steps=0)
        run.result(5)
        is_broken.append(True)
        graph.thread("t").resume().result(5)
    thread = graph.thread("t")
    assert ("failed", None) == (thread.status, thread.info.owner)
    is_broken.clear()
    assert {"x": 3} == thread.resume().result(5)
    assert [1] == calls


async def test_a_question_inside_somebody_elses_group_waits():
    """In a TaskGroup, in gather, in anyio: the thread is `waiting`, and goes on with the answer."""

    async def asks():
        return interrupt("ok?")

    async def in_a_group(state):
        async with asyncio.TaskGroup() as group:
            one = group.create_task(asks())
            group.create_task(asyncio.sleep(0.01))
        return {"said": one.result()}

    async def in_gather(state):
        return {"said": (await asyncio.gather(asks(), asyncio.sleep(0.01)))[0]}

    async def in_anyio(state):
        found = []

        async def keep():
            found.append(await asks())

        async with anyio.create_task_group() as group:
            group.start_soon(keep)
        return {"said": found[0]}

    for function in (in_a_group, in_gather, in_anyio):
        for options in ({}, {"retry": Retry(3, on=Exception, wait=0)}):
            with Graph("g", State, store=MemoryStore()) as graph:
                START >> node(function, name="a", **options) >> END
            await graph.arun({}, thread="t")
            thread = graph.thread("t")
            assert ("waiting", 1) == (thread.status, len(thread.questions))
            assert {"said": "yes"} == await thread.resume("yes")


def test_a_question_that_was_swallowed_is_not_a_failure_to_retry():
    """Also where the node raised something else over it."""
    calls = []

    def asks(state):
        calls.append(1)
        try:
            answer = interrupt("ok?")
        except BaseException as error:
            raise ConnectionError("over it") from error
        return {"said": answer}

    graph = one_node(asks, retry=Retry(5, wait=0), recover={ConnectionError: "said"})
    graph.run({}, thread="t")
    assert ("waiting", [1]) == (graph.thread("t").status, calls)


# --------------------------------------------------------------------------------- its time


@pytest.mark.parametrize("option", ["timeout", "total_timeout"])
def test_a_late_result_does_not_count(option):
    """Whoever caught the cancellation and returned something."""

    async def late(state):
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            return {"x": 1}

    graph = one_node(late, **{option: 0.05})
    with pytest.raises(NodeError, match=r"took longer than 0\.05 seconds"):
        graph.start({}, thread="t").result(5)
    assert {} == graph.thread("t").state


@pytest.mark.parametrize("option", ["timeout", "total_timeout"])
def test_an_attempt_ends_at_its_time(option, caplog):
    """A coroutine that does not end is left behind, and said so."""
    over = threading.Event()

    async def deaf(state):
        while not over.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)
        return {"x": 1}

    graph = one_node(deaf, **{option: 0.05})
    began = time.monotonic()
    with pytest.raises(NodeError, match="does not end when cancelled"):
        graph.start({}, thread="t").result(5)
    assert time.monotonic() - began < 20
    over.set()
    assert "node 'a' was cancelled and goes on" in caplog.text
    assert "failed" == graph.thread("t").status


def test_a_question_that_comes_too_late_is_not_asked():
    """What a coroutine does while it is cleaning up begins nothing more."""

    async def late(state):
        try:
            await asyncio.sleep(5)
        finally:
            interrupt("still there?")

    graph = one_node(late, timeout=0.05)
    with pytest.raises(NodeError, match="took longer"):
        graph.start({}, thread="t").result(5)
    assert ("failed", ()) == (graph.thread("t").status, graph.thread("t").questions)


def test_a_retry_comes_after_a_late_attempt():
    """Attempt by attempt, each with its own time."""
    begun = []

    async def late(state):
        begun.append(1)
        if len(begun) == 3:
            return {"x": len(begun)}
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(5)
        return {"x": -1}

    graph = one_node(late, timeout=0.05, retry=Retry(5, wait=0))
    assert 3 == graph.start({}).result(5)["x"]


def test_a_subgraph_that_takes_too_long_can_be_tried_again():
    """Its run has ended, and its thread is free, before the next attempt begins."""
    begun = []
    with Graph("inner", State, store=MemoryStore()) as inner:

        @node
        async def deaf(state):
            begun.append(1)
            until = time.monotonic() + 1.5
            while len(begun) == 1 and time.monotonic() < until:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.1)
            return {"x": len(begun)}

        START >> deaf >> END
    with Graph("outer", State, store=MemoryStore()) as outer:
        START >> node(inner, timeout=0.05, retry=Retry(3, wait=0)) >> END
    assert 2 == outer.start({}).result(10)["x"]


def test_a_stop_does_not_wait_for_a_node_that_will_not_end(monkeypatch):
    """It is given a moment; then the thread is free."""
    monkeypatch.setattr(calls, "PATIENCE", 0.1)
    over, began = threading.Event(), threading.Event()

    async def deaf(state):
        began.set()
        while not over.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)

    graph = one_node(deaf)
    run = graph.start({}, thread="t")
    began.wait(5)
    run.stop()
    run.result(2)
    over.set()
    assert ("stopped", None) == (graph.thread("t").status, graph.thread("t").info.owner)


# -------------------------------------------------------------------------------- its thread


def test_no_number_of_hung_calls_keeps_a_later_one_from_running():
    """Each that was given up has left its place."""
    hang = threading.Event()
    retry = Retry(100, on=TimeoutError, wait=0)
    hung = one_node(lambda state: hang.wait() and None, timeout=0.01, retry=retry)
    with pytest.raises(NodeError, match="took longer"):
        hung.start({}).result(30)
    good = one_node(lambda state: {"x": 1})
    assert 1 == good.start({}).result(5)["x"]
    hang.set()


def test_no_number_of_nested_runs_keeps_a_later_one_from_running():
    """A graph called by a `def` node, called by a `def` node, a hundred side by side."""
    inner = one_node(lambda state: {"x": state["x"] + 1})
    middle = one_node(lambda state: inner.run({"x": state["x"]}))
    found = []
    with Graph("outer", State, store=MemoryStore()) as outer:
        tool = node(lambda item: found.append(middle.run({"x": item})["x"]), name="tool")
        START >> each(lambda state: range(100), tool) >> END
    outer.start({}).result(60)
    assert list(range(1, 101)) == sorted(found)


def test_calls_that_wait_for_each_other_are_all_made():
    """More of them than may run at once: those that stand still let one more in."""
    threads = Threads(4)
    gate = threading.Barrier(6)

    async def main():
        return await asyncio.wait_for(
            asyncio.gather(*(threads.call(gate.wait, 10) for _ in range(6))), 10
        )

    assert 6 == len(asyncio.run(main()))


def test_a_thousand_quick_calls_take_few_threads():
    """Threads are used again; a call that was given up before it began is never made."""
    threads, seen = Threads(8), set()

    async def main():
        calls = [threads.call(lambda n: seen.add(threading.get_ident()), n) for n in range(1000)]
        await asyncio.gather(*calls)
        gate, late = threading.Event(), []
        running = [threads.call(gate.wait, 5) for _ in range(8)]
        waiting = [threads.call(late.append, n) for n in range(5)]
        for call in waiting:
            call.cancel()
        gate.set()
        await asyncio.gather(*running)
        assert 1 == await threads.call(len, [0])
        return late

    assert [] == asyncio.run(main())
    assert len(seen) <= 8


def test_a_script_ends_though_a_call_hangs():
    """No thread of ours keeps the process."""
    code = """
        import time
        from typing import Annotated, TypedDict
        from nbagent import Graph, node, START, END
        class S(TypedDict):
            x: int
        with Graph("hung", S, store="memory://") as g:
            START >> node(lambda s: time.sleep(60), name="a", timeout=0.2) >> END
        try: g.run({"x": 1})
        except Exception as error: print(type(error).__name__)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=40
    )
    assert (0, "NodeError\n") == (done.returncode, done.stdout)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_runs_graphs(tmp_path):
    """`def` and `async` nodes, while the parent runs its own; the parent's runs stay its own."""
    gate = threading.Event()
    store = SqliteStore(tmp_path / "a.db")
    held = one_node(lambda state: gate.wait(20) and {"x": 1}, store)
    run = held.start({}, thread="parents")
    url = f"sqlite:///{tmp_path}/b.db"

    def child(answers):
        graph = one_node(lambda state: {"x": state["x"] + 1}, url)
        from nbagent.engine.thread.live import live_runs

        answers.put((graph.start({"x": 1}).result(20)["x"], len(live_runs())))

    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=child, args=(answers,))
    process.start()
    assert (2, 0) == answers.get(timeout=30)
    process.join(10)
    gate.set()
    assert 1 == run.result(10)["x"]
    store.close()


def test_the_clock_is_everybodys():
    """Events, spans, runs and records tell one time."""
    from nbagent.engine.thread.thread import Thread
    from nbagent.testing import FakeClock

    def measured(state):
        with span("inner"):
            return {"x": 1}

    graph = one_node(measured)
    thread = Thread("t", program=graph.compile(), store=graph.store, clock=FakeClock(1000.0))
    run = thread.start({})
    seen = []
    run.watch(seen.append)
    run.result(5)
    assert {1000.0} == {event.at for event in seen}
    assert {1000.0} == {start.timestamp() for start in thread.trace()["start"]}
