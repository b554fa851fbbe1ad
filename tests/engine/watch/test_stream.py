"""Readers of a run, fast and slow, early and late; the same events again from the store. (R36)"""

import asyncio
import gc
import operator
import threading
import weakref
from typing import Annotated, TypedDict

import pytest

from nbagent import END, START, Graph, NbagentError, NodeError, emit, interrupt, node
from nbagent.engine.watch import events as ev
from nbagent.engine.watch.backlog import Backlog
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


class State(TypedDict):
    x: int
    log: Annotated[list[str], operator.add]


def made(store=None, go_on=None):
    async def first(state):
        for number in range(3):
            emit(number)
            await asyncio.sleep(0.02)
        if go_on is not None:
            await asyncio.to_thread(go_on.wait, 5)
        print("printed")
        return {"x": 1, "log": ["first"]}

    with Graph("g", State, store=store or MemoryStore()) as graph:
        START >> node(first) >> node(lambda s: {"log": ["second"]}, name="second") >> END
    return graph


async def collect(stream):
    return [item async for item in stream]


async def test_several_readers_see_the_same(capsys):
    """Each from the start, in its own mode; one that comes late too. (R37)"""
    run = made().start({"x": 0, "log": []}, thread="t")
    events, updates, values, emitted = await asyncio.gather(
        *(collect(run.stream(mode)) for mode in ("events", "updates", "values", "emitted"))
    )
    assert list(range(1, len(events) + 1)) == [event.number for event in events]
    assert [{"first": {"x": 1, "log": ["first"]}}, {"second": {"log": ["second"]}}] == updates
    assert [["first"], ["first", "second"]] == [state["log"] for state in values]
    assert [("first", 0), ("first", 1), ("first", 2)] == emitted
    assert events == await collect(run.stream())
    assert [] == await collect(run.stream(start="now"))


async def test_a_reader_from_now_has_no_past(capsys):
    """It begins with what comes next."""
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    run = made(go_on=go_on).start({"x": 0, "log": []})
    run.watch(
        lambda event: isinstance(event, ev.NodeEmitted) and loop.call_soon_threadsafe(begun.set)
    )
    await begun.wait()
    late = run.stream(start="now")
    go_on.set()
    events = await collect(late)
    assert ev.RunStarted not in map(type, events)
    assert ev.RunEnded is type(events[-1])


async def test_a_slow_reader_is_told_what_it_missed_and_slows_nothing():
    """Its buffer holds so many; the run does not wait for it."""

    def chatty(state):
        for number in range(5000):
            emit(number)

    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(chatty) >> END
    run = graph.start({"x": 0, "log": []})
    slow = run.stream(buffer=100)
    first = await anext(slow)
    await run  # the reader sleeps meanwhile
    read = [first, *[event async for event in slow]]
    missed = [event.count for event in read if isinstance(event, ev.EventsMissed)]
    seen = [event for event in read if not isinstance(event, ev.EventsMissed)]
    assert sum(missed) >= 1000
    assert seen[-1].number == sum(missed) + len(seen)
    assert ev.RunEnded is type(seen[-1])


async def test_a_run_that_fails_ends_its_readers():
    """A reader of a run gets the events; `graph.stream` raises what the run raised."""

    def fails(state):
        raise ValueError("no")

    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(fails) >> END
    events = await collect(graph.start({"x": 0, "log": []}).stream())
    assert "failed" == events[-1].status
    with pytest.raises(NodeError):
        await collect(graph.stream({"x": 0, "log": []}))
    with pytest.raises(NbagentError, match="one of events"):
        await collect(graph.stream({"x": 0, "log": []}, mode="evnts"))


async def test_a_finished_run_is_replayed_from_the_store(tmp_path, capsys):
    """In the order in which it was, without what is not kept: as by another process."""
    store = SqliteStore(tmp_path / "a.db")
    live = await collect(made(store).stream({"x": 0, "log": []}, thread="t"))
    store.close()
    again = SqliteStore(tmp_path / "a.db")
    replayed = list(made(again).thread("t").replay())

    def told(events):
        return [
            (type(event), event.step, getattr(event, "node", ""), getattr(event, "update", None))
            for event in events
            if not isinstance(event, ev.NodeEmitted)
        ]

    assert told(live) == told(replayed)
    assert [e.changes for e in live if isinstance(e, ev.StepReconciled)] == [
        e.changes for e in replayed if isinstance(e, ev.StepReconciled)
    ]
    assert list(range(1, len(replayed) + 1)) == [event.number for event in replayed]
    times = [event.at for event in replayed]
    assert times == sorted(times)
    again.close()


async def test_a_thread_with_an_edit_and_a_question_is_replayed():
    """An edit is a checkpoint of its own; at the end it waits."""
    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(lambda s: {"x": interrupt("Well?")}, name="ask") >> END
    graph.run({"x": 0, "log": []}, thread="t")
    graph.thread("t").edit({"x": 5})
    kinds = [event for event in graph.thread("t").replay()]
    assert ["edit"] == [e.checkpoint.kind for e in kinds if isinstance(e, ev.Checkpointed)]
    assert ("waiting", 1) == (kinds[-1].status, len(kinds[-1].questions))


def test_a_late_observer_is_shown_the_beginning_and_the_end_of_a_long_past():
    """Bounded in number; what is gone is told, the first event never is."""
    past = Backlog(most=10)
    events = [ev.NodeStarted(thread="t", step=n, number=n, node="a", task="a") for n in range(100)]
    for event in events:
        past.add(event)
    shown = list(past)

    assert (events[0], events[-10:]) == (shown[0], shown[2:])
    assert (ev.EventsMissed, 89) == (type(shown[1]), shown[1].count)
    short = Backlog()
    short.add(events[0])
    assert [events[0]] == list(short)


def test_old_events_do_not_keep_large_values_alive():
    """A run that makes a new table at each super-step holds on to the latest ones only. (R20)"""

    class Table:
        nbytes = 40_000_000

    past, tables = Backlog(), []
    for step in range(20):
        table = Table()
        tables.append(weakref.ref(table))
        past.add(ev.StepReconciled(thread="t", step=step, changes={"x": (None, table)}))
    del table
    gc.collect()

    assert 3 >= sum(table() is not None for table in tables)
    assert past.missed > 10


@pytest.mark.parametrize(
    "made",
    [
        lambda: {n: n for n in range(500_000)},
        lambda: list(range(5_000_000)),
        lambda: {"inner": {"rows": list(range(5_000_000))}},
        lambda: [0, 1, 2, ["a" * 40_000_000]],
    ],
)
@pytest.mark.parametrize("kind", ["changes", "emitted"])
def test_large_lists_and_dicts_weigh_as_well(kind, made):
    """Each version has a table of its own, also of what is nested; so has what a node emits."""
    value, past = made(), Backlog()
    for step in range(20):
        if kind == "changes":
            past.add(ev.StepReconciled(thread="t", step=step, changes={"x": (None, value)}))
        else:
            past.add(ev.NodeEmitted(thread="t", step=step, node="a", task="a", value=value))

    assert past.missed > 10


@pytest.mark.parametrize("pause", [0, 0.01])
async def test_a_stream_loses_nothing_that_its_buffer_holds(pause):
    """Its reader is there before the run begins, and other events take none of its places."""
    with Graph("many", State, store=MemoryStore()) as many:

        @node
        def talk(state):
            for number in range(5000):
                emit(number)
                if not number % 500:
                    print(number)
            return {}

        START >> talk >> END
    read = []
    async for _, value in many.stream({"log": []}, mode="emitted"):
        read.append(value)
        if pause and not len(read) % 1000:
            await asyncio.sleep(pause)

    assert list(range(5000)) == read


@pytest.mark.parametrize("how", ["node", "call"])
async def test_what_a_subgraph_emits_is_in_its_parents_stream(how):
    """However deep, as if it were the parent's own; the other modes are the graph's alone."""
    with Graph("inner", State, store=MemoryStore()) as inner:

        @node
        async def talk(state):
            for token in ("to", "ken"):
                emit(token)
            return {"log": ["said"]}

        START >> talk >> END
    with Graph("outer", State, store=MemoryStore()) as outer:
        if how == "node":
            START >> inner >> END
        else:
            START >> node(lambda state: {"log": inner.run(state)["log"]}, name="calls") >> END
    with Graph("top", State, store=MemoryStore()) as top:
        START >> outer >> END

    read = [item async for item in top.stream({"log": []}, mode="emitted")]
    updates = [item async for item in top.stream({"log": []}, mode="updates")]

    assert [("talk", "to"), ("talk", "ken")] == read
    assert ["outer"] == [name for update in updates for name in update]
