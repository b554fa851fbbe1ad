"""Graphs that a node's own code calls: their threads belong to the task. (R10, W1)"""

import asyncio
import concurrent.futures
import contextvars
import operator
import sys
import threading
from typing import Annotated, TypedDict

import pytest

from nbagent import END, START, Graph, NbagentError, NodeError, Retry, emit, interrupt, node
from nbagent.engine.watch.events import NodeEmitted, SubgraphEvent
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


class State(TypedDict, total=False):
    given: str
    said: Annotated[list[str], operator.add]


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    made = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "a.db")
    yield made
    made.close()


class World:
    """What is paid for, and how often a node named so is still to fail."""

    def __init__(self):
        self.paid = []
        self.failures = {}

    def pay(self, what):
        self.paid.append(what)
        if self.failures.get(what, 0):
            self.failures[what] -= 1
            raise RuntimeError(f"{what} failed")


def helper(store, world, asks=True, name="helper"):
    """A graph that pays for a look, asks a person, and pays for the end."""
    with Graph(name, State, store=store) as made:

        @node
        def look(state):
            world.pay(f"look {state['given']}")
            emit(f"looking at {state['given']}")
            return {}

        @node
        def ask(state):
            said = interrupt(f"Use {state['given']}?") if asks else "yes"
            return {"said": [f"{state['given']}: {said}"]}

        @node
        def end(state):
            world.pay(f"end {state['given']}")
            return {}

        START >> look >> ask >> end >> END
    return made


def caller(store, call, **policies):
    with Graph("caller", State, store=store) as made:
        tool = node(call, name="tool", **policies)
        START >> tool >> END
    return made


def test_its_question_is_the_tasks(store):
    """The parent waits, is answered itself, and nothing is paid twice."""
    world = World()
    inner = helper(store, world)

    def call(state):
        world.pay("before")
        return {"said": inner.run({"given": "bees"})["said"]}

    outer = caller(store, call)

    outer.run({}, "t")
    (question,) = outer.thread("t").questions
    assert ("Use bees?", "tool/ask") == (question.question, question.node)
    assert "waiting" == outer.thread("t").status

    assert ["bees: yes"] == outer.thread("t").resume("yes").result(10)["said"]
    assert ["before", "look bees", "before", "end bees"] == world.paid


def test_it_goes_on_after_a_failure(store):
    """What has finished in it is not paid for again, in the same run or in another. (W23)"""
    world = World()
    world.failures = {"end bees": 2}
    inner = helper(store, world, asks=False)
    outer = caller(store, lambda state: {"said": inner.run({"given": "bees"})["said"]})

    for _ in range(2):
        with pytest.raises(NodeError, match="end bees failed"):
            (outer.thread("t").resume().result if world.paid else lambda: outer.run({}, "t"))()
    assert ["bees: yes"] == outer.thread("t").resume().result(10)["said"]

    assert ["look bees", *["end bees"] * 3] == world.paid


def test_a_retry_goes_on_in_it(store):
    world = World()
    world.failures = {"end bees": 2}
    inner = helper(store, world, asks=False)
    outer = caller(
        store,
        lambda state: {"said": inner.run({"given": "bees"})["said"]},
        retry=Retry(attempts=3, on=RuntimeError, wait=0),
    )

    assert ["bees: yes"] == outer.run({}, "t")["said"]
    assert ["look bees", *["end bees"] * 3] == world.paid


def test_its_threads_are_nested(store):
    world = World()
    inner = helper(store, world, asks=False)
    outer = caller(store, lambda state: {"said": inner.run({"given": "bees"})["said"]})

    outer.run({}, "t")
    (one,) = store.under("t")

    assert ("t", "helper", "done", True) == (one.parent, one.graph, one.status, one.is_nested)
    outer.thread("t").delete()
    assert [] == store.threads()


def test_several_are_called_one_after_another(store):
    """Each is one thread; a question stops at the second, and the first is not made again."""
    world = World()
    inner = helper(store, world)

    def call(state):
        return {"said": [inner.run({"given": name})["said"][0] for name in ("ants", "bees")]}

    outer = caller(store, call)
    outer.run({}, "t")
    outer.thread("t").resume("yes").result(10)
    assert ["Use bees?"] == [q.question for q in outer.thread("t").questions]

    assert ["ants: yes", "bees: no"] == outer.thread("t").resume("no").result(10)["said"]
    assert ["look ants", "end ants", "look bees", "end bees"] == world.paid


@pytest.mark.parametrize("how", ["gather", "TaskGroup", "threads"])
def test_several_are_called_at_once(store, how):
    """All their questions are asked together, answered in any order, and no two are swapped."""
    world = World()
    inner = helper(store, world)
    names = ["ants", "bees", "wasps"]

    async def gather(state):
        made = await asyncio.gather(*[inner.arun({"given": name}) for name in names])
        return {"said": [one["said"][0] for one in made]}

    async def group(state):
        async with asyncio.TaskGroup() as together:
            made = [together.create_task(inner.arun({"given": name})) for name in names]
        return {"said": [one.result()["said"][0] for one in made]}

    async def threads(state):
        names.reverse()  # they come in another order when the node runs again
        made = await asyncio.gather(
            *[asyncio.to_thread(inner.run, {"given": name}) for name in names]
        )
        return {"said": sorted(one["said"][0] for one in made)}

    outer = caller(store, {"gather": gather, "TaskGroup": group, "threads": threads}[how])
    outer.run({}, "t")
    asked = {q.question: q.id for q in outer.thread("t").questions}
    assert {"Use ants?", "Use bees?", "Use wasps?"} == asked.keys()

    outer.thread("t").resume(answers={asked["Use bees?"]: "B"}).result(10)
    left = {q.question: q.id for q in outer.thread("t").questions}
    assert {"Use ants?", "Use wasps?"} == left.keys()
    answers = {left["Use wasps?"]: "W", left["Use ants?"]: "A"}

    said = outer.thread("t").resume(answers=answers).result(10)["said"]
    assert ["ants: A", "bees: B", "wasps: W"] == said
    assert sorted(f"{what} {name}" for what in ("look", "end") for name in names) == sorted(
        world.paid
    )


def test_a_question_does_not_break_off_what_another_call_pays_for(store):
    """One asks at once; the other is slow, and is done before the node ends."""
    world = World()
    inner = helper(store, world)
    with Graph("slow", State, store=store) as slow:

        @node
        async def work(state):
            world.pay("begun")
            await asyncio.sleep(0.3)
            world.pay("done")
            return {"said": ["slow"]}

        START >> work >> END

    async def call(state):
        async with asyncio.TaskGroup() as together:
            a = together.create_task(inner.arun({"given": "bees"}))
            b = together.create_task(slow.arun({}))
        return {"said": [*a.result()["said"], *b.result()["said"]]}

    outer = caller(store, call)
    outer.run({}, "t")

    assert ["bees: yes", "slow"] == outer.thread("t").resume("yes").result(10)["said"]
    assert (1, 1) == (world.paid.count("begun"), world.paid.count("done"))


def test_a_call_that_is_worded_anew_is_the_same_call(store):
    """A model writes another input when the node runs again: the call that has no other goes on."""
    world = World()
    inner = helper(store, world)
    words = iter(["bees", "the bees"])
    outer = caller(store, lambda state: {"said": inner.run({"given": next(words)})["said"]})

    outer.run({}, "t")

    assert ["bees: yes"] == outer.thread("t").resume("yes").result(10)["said"]


def test_it_is_found_by_another_process(store):
    """A new graph object of the same name, as after a restart, goes on in the same threads.
    (W23)"""
    world = World()
    for first in (True, False):
        inner = helper(store, world)

        async def call(state, inner=inner):
            return {"said": (await inner.arun({"given": "bees"}))["said"]}

        outer = caller(store, call)
        if first:
            outer.run({}, "t")

    assert ["bees: yes"] == outer.thread("t").resume("yes").result(10)["said"]
    assert ["look bees", "end bees"] == world.paid


def test_what_it_emits_nests(store):
    world = World()
    inner = helper(store, world, asks=False)
    outer = caller(store, lambda state: {"said": inner.run({"given": "bees"})["said"]})
    run, seen = outer.start({}, "t"), []
    run.watch(seen.append)
    run.result(10)

    inside = [one.event for one in seen if isinstance(one, SubgraphEvent)]
    assert ["looking at bees"] == [one.value for one in inside if isinstance(one, NodeEmitted)]


def test_a_synchronous_call_on_an_event_loop_is_refused(store):
    """Before anything starts, naming what to write."""
    world = World()
    inner = helper(store, world, asks=False)

    async def call(state):
        return {"said": inner.run({"given": "bees"})["said"]}

    outer = caller(store, call)
    with pytest.raises(NodeError, match=r"await helper\.arun"):
        outer.run({}, "t")

    assert ([], []) == (world.paid, store.under("t"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who started a thread")
@pytest.mark.parametrize("how", ["def", "async"])
@pytest.mark.parametrize("start", ["thread", "pool"])
def test_a_call_on_a_thread_of_the_nodes_own_is_refused(store, how, start):
    """Without its context nobody could say whose call it is; with it, it is the task's."""
    world = World()
    inner = helper(store, world, asks=False)
    made = []

    def call(state):
        context = contextvars.copy_context()
        for run in (inner.run, lambda given: context.run(inner.run, given)):
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                made.append(pool.submit(run, {"given": "bees"}))
        return {}

    def on_a_thread(state):
        def run():
            try:
                made.append(inner.run({"given": "bees"}))
            except NbagentError as error:
                made.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return {}

    async def acall(state):
        future = asyncio.get_running_loop().run_in_executor(
            concurrent.futures.ThreadPoolExecutor(1), inner.run, {"given": "bees"}
        )
        await asyncio.wait([future])
        made.append(future)
        return {
            "said": (
                await asyncio.get_running_loop().run_in_executor(None, inner.run, {"given": "bees"})
            )["said"]
        }

    node_code = acall if how == "async" else on_a_thread if start == "thread" else call
    outer = caller(store, node_code)
    outer.run({}, "t")

    refused = made[0] if isinstance(made[0], Exception) else made[0].exception()
    assert "await helper.arun" in str(refused)
    owned = 0 if node_code is on_a_thread else 1
    assert (owned, ["t"]) == (
        len(store.under("t")),
        [one.id for one in store.threads() if not one.is_nested],
    )


def test_a_call_on_a_loop_of_the_nodes_own(store):
    world = World()
    inner = helper(store, world)

    def call(state):
        return {"said": asyncio.run(inner.arun({"given": "bees"}))["said"]}

    outer = caller(store, call)
    outer.run({}, "t")

    assert ["bees: yes"] == outer.thread("t").resume("yes").result(10)["said"]


def test_a_call_that_takes_too_long_is_stopped_and_goes_on(store):
    world = World()
    with Graph("slow", State, store=store) as slow:

        @node
        def first(state):
            world.pay("first")
            return {}

        @node
        async def second(state):
            world.pay("second")
            await asyncio.sleep(30 if world.paid.count("second") == 1 else 0)
            return {"said": ["done"]}

        START >> first >> second >> END

    async def call(state):
        return {"said": (await slow.arun({}))["said"]}

    outer = caller(store, call, timeout=1.0, retry=Retry(attempts=2, wait=0))

    assert ["done"] == outer.run({}, "t")["said"]
    assert ["first", "second", "second"] == world.paid


def test_a_thread_that_is_named_is_its_own(store):
    world = World()
    inner = helper(store, world, asks=False)
    outer = caller(store, lambda state: {"said": inner.run({"given": "x"}, thread="mine")["said"]})

    outer.run({}, "t")

    assert ([], None) == (store.under("t"), store.thread("mine").parent)


def test_a_call_in_a_called_graph(store):
    """A question three threads down is asked at the top."""
    world = World()
    inner = helper(store, world)
    middle = caller(store, lambda state: {"said": inner.run({"given": "bees"})["said"]})
    middle.name = "middle"
    outer = caller(store, lambda state: {"said": middle.run({})["said"]})
    outer.run({}, "t")

    (question,) = outer.thread("t").questions
    assert ("Use bees?", 2) == (question.question, question.id.count("/"))
    assert ["bees: yes"] == outer.thread("t").resume("yes").result(10)["said"]
    assert ["look bees", "end bees"] == world.paid


def test_more_calls_than_threads_of_a_pool(store):
    """Sixty-five `def` nodes each wait for a graph with a `def` node."""
    world = World()
    inner = helper(store, world, asks=False)

    def call(state):
        with concurrent.futures.ThreadPoolExecutor(1):
            return {"said": inner.run({"given": "bees"})["said"]}

    with Graph("wide", State, store=store) as wide:
        for number in range(70):
            START >> node(call, name=f"tool{number}") >> END

    assert 70 == len(wide.start({}, "t").result(60)["said"])


def test_a_pause_reaches_it(store):
    world, started = World(), threading.Event()
    with Graph("slow", State, store=store) as slow:

        @node
        async def first(state):
            world.pay("first")
            await asyncio.to_thread(started.wait, 10)
            run.pause()
            return {}

        @node
        def second(state):
            world.pay("second")
            return {"said": ["done"]}

        START >> first >> second >> END
    outer = caller(store, lambda state: {"said": slow.run({})["said"]})

    run = outer.start({}, "t")
    started.set()
    run.result(10)
    assert ("paused", ["first"]) == (outer.thread("t").status, world.paid)

    assert ["done"] == outer.thread("t").resume().result(10)["said"]
    assert ["first", "second"] == world.paid


def test_outside_a_node_nothing_changes(store):
    world = World()
    inner = helper(store, world, asks=False)

    assert ["bees: yes"] == inner.run({"given": "bees"})["said"]
    with pytest.raises(NbagentError):
        inner.run({"nobody": 1})
