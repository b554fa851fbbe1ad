"""
Rate limits, breakers, recovery, caching, and waits that outlive the process. (R4, W14)
"""

import operator
import socket
import subprocess
import time
import urllib.error
from email.message import Message
from typing import Annotated, Any, TypedDict

import pytest

import nbagent
from nbagent import (
    END,
    PERSON,
    START,
    Breaker,
    Cache,
    Graph,
    GraphError,
    NodeError,
    RateLimit,
    Retry,
    cached,
    each,
    interrupt,
    node,
)
from nbagent.engine.model.checkpoint import Owner
from nbagent.engine.thread.thread import Thread
from nbagent.engine.watch.events import NodeDelayed, NodeFinished, NodeRetried
from nbagent.errors import CircuitOpen, CodecError
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore
from nbagent.testing import FakeClock


class State(TypedDict):
    x: Any
    items: list[int]
    said: str
    log: Annotated[list[Any], operator.add]


def too_many(seconds):
    headers = Message()
    headers["Retry-After"] = str(seconds)
    return urllib.error.HTTPError("http://model", 429, "slow down", headers, None)


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    made = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "a.db")
    yield made
    made.close()


def dead_owner():
    """A kernel that was killed: its thread says that it runs."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return Owner("token", socket.gethostname(), process.pid, "1", "a kernel that died")


def one_node(store, function, **policies):
    with Graph("g", State, store=store) as made:
        START >> node(function, name="a", **policies) >> END
    return made


def timed(graph, clock, id="t"):
    """A thread whose waits cost no time."""
    return Thread(id, program=graph.compile(), store=graph.store, clock=clock)


# ------------------------------------------------------------------------------- rate limit


def test_a_rate_limit_lets_so_many_through_and_then_one_by_one():
    """A burst of `calls`, then one in `per / calls` seconds."""
    limit = RateLimit(3, per=6.0)

    assert [0.0, 0.0, 0.0, 2.0, 4.0] == [limit.reserve(100.0) for _ in range(5)]
    assert 0.0 == limit.reserve(110.0)


def test_siblings_share_a_limit(store):
    """Seven items and three calls in six seconds take eight seconds of the clock."""
    clock = FakeClock(1000.0)
    calls = []

    async def work(item):
        calls.append(clock())
        return {"log": [item]}

    with Graph("g", State, store=store) as made:
        worker = node(work, name="worker", rate_limit=RateLimit(3, per=6.0))
        START >> each("items", worker) >> END
    seen = []
    run = timed(made, clock).start({"items": list(range(7))})
    run.watch(seen.append)

    assert list(range(7)) == run.result(10)["log"]
    assert [0.0, 0.0, 0.0, 2.0, 4.0, 6.0, 8.0] == [round(at - 1000.0, 3) for at in sorted(calls)]
    assert 4 == sum(isinstance(event, NodeDelayed) for event in seen)


def test_what_one_sibling_is_told_holds_for_all(store):
    """A 429 with Retry-After stops everybody who shares the limit. (W14)"""
    clock = FakeClock(1000.0)
    limit = RateLimit(100, per=1.0)
    told, calls = [], []

    async def first(state):
        calls.append(("first", clock() - 1000.0))
        if not told:
            told.append(True)
            raise too_many(600)

    async def second(state):
        calls.append(("second", clock() - 1000.0))

    with Graph("g", State, store=store) as made:
        START >> node(first, name="first", rate_limit=limit, retry=2) >> END
        START >> node(lambda s: None, name="wait") >> node(second, name="second", rate_limit=limit)
        "second" >> END
    timed(made, clock).start({}).result(10)

    assert [("first", 0.0), ("first", 600.0), ("second", 600.0)] == calls


def test_a_wait_outlives_the_process(store):
    """Stopped in a wait of ten minutes: the next process waits for the rest of it. (W14)"""
    clock = FakeClock(1000.0, instant=False)
    calls = []

    async def asks(state):
        calls.append(clock())
        if len(calls) == 1:
            raise too_many(600)
        return {"x": 1}

    one = timed(one_node(store, asks, retry=Retry(attempts=3)), clock)
    seen = []
    run = one.start({})
    run.watch(seen.append)
    clock.wait_for_sleepers(1)
    assert 1600.0 == one.resume_at
    run.stop()
    run.result(5)
    assert "stopped" == one.status
    clock.advance(200)

    again = one.resume()
    waits = []
    again.watch(lambda e: waits.append(e.wait) if isinstance(e, NodeRetried) else None)
    clock.wait_for_sleepers(1)
    assert [400.0] == waits
    clock.advance(400)

    assert {"x": 1} == {"x": again.result(5)["x"]}
    assert [1000.0, 1600.0] == calls


def test_a_pause_does_not_wait_for_a_wait(store):
    """A pause during a long wait comes at once, and nothing is lost."""
    clock = FakeClock(1000.0, instant=False)
    calls = []

    async def asks(state):
        calls.append(clock())
        if len(calls) == 1:
            raise too_many(600)
        return {"x": 1}

    one = timed(one_node(store, asks, retry=3), clock)
    run = one.start({})
    clock.wait_for_sleepers(1)
    run.pause()
    run.result(5)

    assert "paused" == one.status
    clock.advance(600)
    assert 1 == one.resume().result(5)["x"]
    assert [1000.0, 1600.0] == calls


def test_resume_due_picks_up_what_is_due(store):
    """A wait that is over and a question that has expired; nothing else. (W13, W14)"""
    asked = []

    async def asks(state):
        asked.append(1)
        if len(asked) == 1:
            raise too_many(0.3)
        return {"x": 1}

    def question(state):
        return {"x": interrupt("Well?", deadline=0.2, on_expiry="silence")}

    with Graph("waits", State, store=store) as waits:
        START >> node(asks, name="a", retry=2) >> END
    run = waits.start({}, "w")
    while not asked:
        time.sleep(0.01)
    run.stop()
    run.result(5)
    with Graph("asks", State, store=store) as expires:
        START >> node(question, name="a") >> END
    expires.run({}, "q")
    with Graph("open", State, store=store) as stays:
        START >> node(lambda s: {"x": interrupt("Well?")}, name="a") >> END
    stays.run({}, "o")
    graphs = [waits, expires, stays]

    assert [] == nbagent.resume_due(graphs)
    time.sleep(0.4)
    runs = nbagent.resume_due(graphs)
    assert ["q"] == [one.thread.id for one in runs]  # a person has stopped the other
    store.acquire("w", dead_owner())
    runs += nbagent.resume_due(graphs)
    for one in runs:
        one.result(5)

    assert {"w": 1, "q": "silence"} == {one.thread.id: one.thread.state["x"] for one in runs}
    assert "waiting" == stays.thread("o").status
    assert [] == nbagent.resume_due(graphs)


# ---------------------------------------------------------------------------------- breaker


def test_a_breaker_stops_calling_and_tries_again(store):
    """Open after so many failures in a row; one call to see; closed when that goes well."""
    clock = FakeClock(1000.0)
    breaker = Breaker(failures=2, reset=30.0)
    calls, down = [], [True]

    async def asks(state):
        calls.append(clock())
        if down:
            raise ConnectionError("down")
        return {"x": 1}

    made = one_node(store, asks, breaker=breaker)
    for id in ("1", "2", "3"):
        with pytest.raises(NodeError) as caught:
            timed(made, clock, id).start({}).result(5)

    assert 2 == len(calls)
    assert isinstance(caught.value.__cause__, CircuitOpen)
    assert 30.0 == caught.value.__cause__.wait
    assert "open" == breaker.state(clock())
    clock.advance(31)
    assert "half-open" == breaker.state(clock())
    down.clear()
    assert 1 == timed(made, clock, "4").start({}).result(5)["x"]
    assert "closed" == breaker.state(clock())


def test_a_retry_waits_until_the_breaker_lets_it(store):
    """An open circuit is transient: the wait is what is left of its time."""
    clock = FakeClock(1000.0)
    calls = []

    async def asks(state):
        calls.append(clock() - 1000.0)
        if len(calls) < 3:
            raise ConnectionError("down")
        return {"x": 1}

    made = one_node(
        store, asks, breaker=Breaker(2, reset=30.0), retry=Retry(5, wait=1.0, jitter=False)
    )
    timed(made, clock).start({}).result(5)

    assert [0.0, 1.0, 31.0] == calls


def test_an_error_that_says_nothing_of_the_server_does_not_open_it(store):
    """A mistake in the node counts for nothing."""
    breaker = Breaker(failures=1)

    def mistaken(state):
        raise KeyError("x")

    with pytest.raises(NodeError):
        one_node(store, mistaken, breaker=breaker).run({}, "t")
    assert "closed" == breaker.state(time.time())


# --------------------------------------------------------------------------------- recovery


def test_what_a_model_can_mend_goes_back_into_the_state(store):
    """The error becomes a field, and the graph goes on to where it is mended."""
    tries = []
    with Graph("g", State, store=store) as made:

        @node(recover={ValueError: "said"})
        def parse(state):
            tries.append(state.get("said"))
            if len(tries) == 1:
                raise ValueError("no JSON")
            return {"said": "", "x": "parsed"}

        (
            START
            >> parse
            >> nbagent.branch(lambda s: "ok" if not s["said"] else "no", ok=END, no=parse)
        )
    state = made.run({}, "t")

    assert [None, "ValueError: no JSON"] == tries
    assert "parsed" == state["x"]


def test_a_function_recovers(store):
    """It gets the exception and returns what the node would have."""
    made = one_node(
        store,
        lambda state: {}["gone"],
        recover={KeyError: lambda error: {"x": f"no {error.args[0]}"}},
    )
    assert "no gone" == made.run({}, "t")["x"]


def test_what_a_person_must_mend_is_a_question(store):
    """ "Try again" runs the node again, and asks again; an update stands in for it."""
    keys = []

    def login(state):
        if len(keys) < 2:
            raise PermissionError("the key has expired")
        return {"x": "in"}

    made = one_node(store, login, recover={PermissionError: PERSON})
    made.run({}, "t")
    one = made.thread("t")
    assert "PermissionError: the key has expired" in one.questions[0].question
    keys.append(1)
    one.resume("try again").result(5)
    assert "waiting" == one.status
    keys.append(2)
    assert "in" == one.resume("try again").result(5)["x"]

    keys.clear()
    made.run({}, "u")
    assert "by hand" == made.thread("u").resume({"update": {"x": "by hand"}}).result(5)["x"]


def test_what_is_not_named_fails_the_thread(store):
    """Resumable, with the traceback in the store."""
    made = one_node(store, lambda state: 1 / 0, recover={KeyError: "said"})
    with pytest.raises(NodeError, match="ZeroDivisionError"):
        made.run({}, "t")
    assert "failed" == made.thread("t").status


def test_all_attempts_together_have_a_time(store):
    """`total_timeout` ends retries that would go on."""

    async def down(state):
        raise ConnectionError("down")

    made = one_node(
        store, down, retry=Retry(1000, wait=0.02, jitter=False, longest=0.02), total_timeout=0.2
    )
    begun = time.monotonic()
    with pytest.raises(NodeError, match=r"longer than 0\.2 seconds in all"):
        made.run({}, "t")
    assert time.monotonic() - begun < 5


# ------------------------------------------------------------------------------------ cache


def test_a_cached_node_is_called_once_for_equal_inputs(store):
    """In any thread; the event says so."""
    calls = []

    def work(state):
        calls.append(state["x"])
        return {"log": [state["x"]]}

    made = one_node(store, work, cache=Cache(key="x"))
    seen = []
    for id, x in (("1", 1), ("2", 1), ("3", 2), ("4", True)):
        run = made.start({"x": x, "said": id}, id)
        run.watch(lambda e: seen.append(e.is_cached) if isinstance(e, NodeFinished) else None)
        run.result(5)

    assert [1, 2, True] == calls
    assert [False, True, False, False] == seen
    assert [1] == made.thread("2").state["log"]


def test_a_cached_result_has_its_time(store):
    """After `ttl` seconds the node is called again."""
    clock = FakeClock(1000.0)
    calls = []
    made = one_node(store, lambda state: calls.append(1), cache=60)
    timed(made, clock, "1").start({"x": 1}).result(5)
    clock.advance(59)
    timed(made, clock, "2").start({"x": 1}).result(5)
    assert 1 == len(calls)
    clock.advance(2)
    timed(made, clock, "3").start({"x": 1}).result(5)
    assert 2 == len(calls)


def test_a_changed_node_is_called_again(store):
    """The fingerprint is part of the key."""
    one_node(store, lambda state: {"x": "old"}, cache=True).run({"said": "a"}, "1")

    changed = one_node(store, lambda state: {"x": "new"}, cache=True)
    assert "new" == changed.run({"said": "a"}, "2")["x"]


def test_inputs_that_cannot_be_compared_are_said(store):
    """With what to do."""

    class Odd:
        pass

    made = one_node(store, lambda state: None, cache=Cache(key=lambda state: Odd()))
    with pytest.raises(NodeError, match=r"cannot be compared.*cache=Cache\(key=") as caught:
        made.run({"x": 1}, "t")
    assert isinstance(caught.value.__cause__, CodecError)


def test_a_cached_call_before_a_question_is_not_repeated(store):
    """`cached` returns what it returned when the node runs again. (R6)"""
    calls = []

    def work(state):
        draft = cached("draft", lambda: calls.append(1) or "a draft")
        return {"x": (draft, interrupt("Good?"))}

    made = one_node(store, work)
    made.run({}, "t")

    assert ("a draft", "yes") == made.thread("t").resume("yes").result(5)["x"]
    assert [1] == calls


def test_what_recover_and_cache_name_must_exist():
    """Said when the graph is made."""
    with pytest.raises(GraphError, match=r"'sayd'.*said"):
        one_node(MemoryStore(), lambda s: None, recover={ValueError: "sayd"})
    with pytest.raises(GraphError, match="exception types"):
        one_node(MemoryStore(), lambda s: None, recover={"ValueError": "said"})
    with pytest.raises(GraphError, match="'y'"):
        one_node(MemoryStore(), lambda s: None, cache=Cache(key=["x", "y"]))


def test_one_thread_that_cannot_be_resumed_does_not_stop_the_others(store, caplog):
    """Its state is of another class: that is logged, and the next one goes on. (R47, W13)"""

    def make(kind):
        class Changed(TypedDict):
            x: kind

        def ask(state):
            return {"x": interrupt("Well?", deadline=0.01, on_expiry=kind(1))}

        with Graph("g", Changed, store=store) as made:
            START >> node(ask, name="ask") >> END
        return made

    make(int).run({"x": 0}, "old")
    graph = make(str)
    graph.run({"x": "0"}, "new")
    time.sleep(0.05)

    assert ["new"] == [run.thread.id for run in nbagent.resume_due([graph])]
    assert "thread 'old' is due and cannot be resumed" in caplog.text
