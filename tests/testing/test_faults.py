"""The tools that `nbagent.testing` gives to users do what they say. (R45)"""

import operator
import time
from typing import Annotated, TypedDict

import pytest

from nbagent import END, START, Graph, NodeError, Retry, effect, interrupt, node
from nbagent.engine.model.checkpoint import Checkpoint
from nbagent.engine.model.values import frozen_dict
from nbagent.engine.store.ownership import fresh_owner
from nbagent.engine.store.protocol import together
from nbagent.errors import StoreError, ThreadBusy
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore
from nbagent.testing import FakeClock, FaultyStore, flaky, scripted


class State(TypedDict):
    log: Annotated[list[str], operator.add]


def agent(store, calls):
    def slow(state):
        time.sleep(0.05)
        return {"log": ["slow"]}

    with Graph("agent", State, store=store) as made:

        @node
        def quick(state):
            effect("mail", calls.append, "mail", probe=lambda: "mail" in calls)
            return {"log": ["quick"]}

        @node
        def ask(state):
            return {"log": [interrupt("Go on?")]}

        START >> [quick, node(slow, name="slow")] >> ask >> END
    return made


PASSED = {"acquire": 2, "commit": 2, "put_tasks": 1, "put_journal": 2, "release": 2}
POINTS = [
    (f"{method}.{when}", count)
    for method, often in PASSED.items()
    for when in ("before", "after")
    for count in range(1, often + 1)
]


@pytest.mark.parametrize(("point", "count"), POINTS)
def test_a_store_that_fails_once_anywhere_costs_nothing(point, count, tmp_path):
    """The run ends with the store's error or goes past it; going on gives the same result.
    (R45, W20)"""

    def full():
        raise StoreError("the disk is full")

    now = time.time()
    inner = SqliteStore(tmp_path / "a.db", lease=60, clock=lambda: now)
    store = FaultyStore(inner, point, count, full)
    calls = []
    one = agent(store, calls).thread("t")
    failed = 0
    while one.stored() is None or one.stored().status != "done":
        try:
            if one.stored() is None or one.stored().checkpoint == 0:
                one.start({}).result(10)
            else:
                answers = {question.id: "yes" for question in one.questions}
                one.resume(answers=answers, take_over=True).result(10)
        except (StoreError, NodeError):
            failed += 1
            assert failed < 3
        except ThreadBusy:  # it was acquired, and only that was not told: the lease runs out
            now += 61

    assert store.passed[point] >= count
    assert ["quick", "slow", "yes"] == one.state["log"]
    assert ["mail"] == calls
    inner.close()


def test_a_flaky_node_fails_so_often():
    """And then works."""
    function = flaky(lambda state: {"log": ["ok"]}, 2, lambda: ConnectionError("dropped"))
    with Graph("g", State, store=MemoryStore()) as made:
        START >> node(function, name="a", retry=Retry(3, wait=0.0)) >> END

    assert ["ok"] == made.run({}, "t")["log"]


def test_a_scripted_node_returns_what_the_script_says():
    """One value a call; an exception is raised."""
    function = scripted({"log": ["1"]}, ValueError("no"), {"log": ["2"]})
    with Graph("g", State, store=MemoryStore()) as made:
        first = node(function, name="first")
        START >> first >> node(lambda state: function(state), name="second") >> END

    with pytest.raises(NodeError, match="ValueError: no"):
        made.run({}, "t")
    assert ["1", "2"] == made.thread("t").resume().result(5)["log"]


async def test_an_instant_clock_wakes_sleepers_in_their_order():
    """Hours pass in no time, and who waits less comes first."""
    import asyncio

    clock, woken = FakeClock(0.0), []

    async def sleeper(seconds):
        await clock.sleep(seconds)
        woken.append((seconds, clock()))

    await asyncio.gather(*map(sleeper, (7200, 60, 3600)))

    assert [(60, 60.0), (3600, 3600.0), (7200, 7200.0)] == woken


def test_waiting_for_sleepers_that_do_not_come_is_an_error():
    """Not a test that hangs."""
    with pytest.raises(TimeoutError, match="0 of 1 wait"):
        FakeClock().wait_for_sleepers(1, timeout=0.05)


def test_what_is_stored_together_is_told_when_all_of_it_is(tmp_path):
    """Also where one such part is inside of another: nothing of it is durable before."""
    told = []
    store = FaultyStore(SqliteStore(tmp_path / "a.db"), told=told.append)
    begun = Checkpoint(1, None, 0, "input", frozen_dict({}), frozen_dict({}), (), (), 1)
    leases = [store.acquire(id, fresh_owner(), create=True) for id in "ab"]
    with together(store, None):
        with together(store, "a"):
            store.commit(leases[0], begun)
        store.commit(leases[1], begun)
        assert [] == told
    assert ["committed a 1", "committed b 1"] == told
    for lease in leases:
        store.release(lease, "paused")
    store.store.close()
