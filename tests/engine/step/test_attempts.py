"""
An attempt that was given up begins nothing more; what stands in for a node's result is not its
result; a person's word is kept until what follows from it is. (R4, R6, R7, W2, W11, W14)
"""

import asyncio
import functools
import itertools
import sqlite3
import threading
import time
from types import MappingProxyType
from typing import Any, TypedDict

import pytest

from nbagent import (
    END,
    PERSON,
    START,
    Breaker,
    Cache,
    Graph,
    RateLimit,
    Retry,
    StateError,
    aeffect,
    branch,
    cached,
    each,
    effect,
    emit,
    interrupt,
    node,
    resume_due,
)
from nbagent.engine.model.transient import retry_after
from nbagent.engine.thread.thread import Thread
from nbagent.errors import NbagentError
from nbagent.graph.fingerprint import fingerprint
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore
from nbagent.testing import FakeClock


class State(TypedDict):
    q: str
    x: Any


class Typed(TypedDict):
    q: str
    x: int


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    made = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "a.db")
    yield made
    made.close()


def one_node(store, function, state=State, **policies):
    with Graph("g", state, store=store) as made:
        START >> node(function, name="a", **policies) >> END
    return made


# ----------------------------------------------------------- a call that goes on by itself


def test_a_def_call_that_took_too_long_pays_nothing_more(store):
    """Its thread goes on, and its effect is refused: the next attempt has made it. (R7, W2)"""
    paid, ended = [], threading.Event()
    refused: list[BaseException] = []

    def a(state):
        first = not paid and not refused and threading.current_thread() not in seen
        seen.add(threading.current_thread())
        if first and len(seen) == 1:
            time.sleep(0.5)
            try:
                effect("pay", lambda: paid.append("late"))
            except NbagentError as error:
                refused.append(error)
            ended.set()
            return {"x": "late"}
        effect("pay", lambda: paid.append("second"))
        return {"x": "second"}

    seen: set[threading.Thread] = set()
    graph = one_node(store, a, timeout=0.2, retry=Retry(2, wait=0.01))
    assert "second" == graph.run({}, thread="t")["x"]
    assert ended.wait(5)

    assert ["second"] == paid
    assert "attempt 1 has ended" in str(refused[0])


@pytest.mark.parametrize(
    "late",
    [
        lambda: cached("c", lambda: "again"),
        lambda: interrupt("Really?"),
        lambda: effect("e", lambda: "again"),
    ],
    ids=["cached", "interrupt", "effect"],
)
def test_a_call_from_an_attempt_that_has_ended_is_refused(late):
    """Also after the run: nothing is asked, called or journalled for it."""
    store, result = MemoryStore(), []
    said = threading.Event()

    def a(state):
        time.sleep(0.3)
        emit("nobody hears this")
        try:
            late()
        except NbagentError as error:
            result.append(error)
        said.set()

    run = one_node(store, a, timeout=0.1).start({}, thread="t")
    with pytest.raises(NbagentError, match=r"longer than 0\.1 seconds"):
        run.result(5)
    assert said.wait(5)

    assert "nothing was begun" in str(result[0])
    assert () == store.latest("t").journal


def test_an_effect_under_way_when_the_time_is_up_is_recorded_when_it_ends(store):
    """It is ambiguous while it lasts; then its result is known, and nobody pays again."""
    calls, go_on = [], threading.Event()

    def pay():
        calls.append(1)
        assert go_on.wait(5)
        return "receipt"

    graph = one_node(
        store, lambda s: {"x": effect("pay", pay)}, timeout=0.2, retry=Retry(2, wait=0.01)
    )
    run = graph.start({}, thread="t")
    assert "waiting" == (run.result(5), run.status)[1]
    assert "no result of it was recorded" in run.questions[0].question
    go_on.set()

    # The question may have been asked in vain; whatever is answered, it is not called again.
    assert [1] == calls
    state = graph.thread("t").resume({"result": "receipt"}).result(5)
    assert "receipt" == state["x"]
    assert [1] == calls


def test_a_task_left_behind_by_an_async_node_pays_nothing():
    """`create_task` without `await`: the node's end is the end of its calls."""
    paid, errors = [], []

    async def behind(ended):
        await ended.wait()
        try:
            await aeffect("pay", lambda: paid.append(1))
        except NbagentError as error:
            errors.append(error)

    kept = []

    async def a(state):
        ended = asyncio.Event()
        kept.extend([ended, asyncio.create_task(behind(ended))])

    async def b(state):
        ended, task = kept
        ended.set()
        await asyncio.wait_for(asyncio.shield(task), 5)

    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(a) >> node(b) >> END
    graph.run({})

    assert [] == paid
    assert 1 == len(errors)


def test_a_fallback_has_calls_of_its_own(store):
    """Its effects take no place in the node's journal, so the order is not another one."""
    done = []

    def a(state):
        effect("send", lambda: done.append("send"))
        raise ValueError("after it")

    def instead(state):
        return {"x": effect("note", lambda: "noted")}

    assert "noted" == one_node(store, a, fallback=instead).run({}, thread="t")["x"]
    assert ["send"] == done


# ------------------------------------------------------------------------------ cached nodes


@pytest.mark.parametrize(
    "policies",
    [
        {"recover": {ConnectionError: "x"}},
        {"recover": {ConnectionError: lambda error: {"x": "instead"}}},
        {"fallback": lambda state: {"x": "instead"}},
    ],
    ids=["field", "function", "fallback"],
)
def test_what_stands_in_for_a_result_is_not_remembered(store, policies):
    """The next thread calls the node itself. (R6)"""
    calls = []

    def a(state):
        calls.append(1)
        if len(calls) == 1:
            raise ConnectionError("down")
        return {"x": "good"}

    graph = one_node(store, a, cache=Cache(key="q"), **policies)
    assert "good" != graph.run({"q": "1"})["x"]
    assert "good" == graph.run({"q": "1"})["x"]
    assert "good" == graph.run({"q": "1"})["x"]
    assert 2 == len(calls)


def test_a_person_is_asked_in_every_thread_of_a_cached_node(store):
    """What one thread's person said is not another's result."""
    graph = one_node(store, lambda s: {"x": interrupt("Send it?")}, cache=True)
    for thread in "AB":
        graph.run({"q": "same"}, thread=thread)

    assert "yes" == graph.thread("B").resume("yes").result(5)["x"]
    assert "no" == graph.thread("A").resume("no").result(5)["x"]


def test_an_effect_is_made_in_every_thread_of_a_cached_node(store):
    """A mail that one thread has sent is not sent for another by remembering it."""
    sent = []
    graph = one_node(store, lambda s: {"x": effect("mail", lambda: sent.append(1) or 1)}, cache=1e9)
    for thread in "AB":
        graph.run({"q": "same"}, thread=thread)
    assert 2 == len(sent)


def ask(state, model):
    return {"x": f"{model} says"}


class Agent:
    def __init__(self, model):
        self.model = model

    def ask(self, state):
        return {"x": f"{self.model} says"}

    def __call__(self, state):
        return self.ask(state)


@pytest.mark.parametrize(
    "of",
    [lambda model: functools.partial(ask, model=model), lambda m: Agent(m).ask, Agent],
    ids=["partial", "method", "callable object"],
)
def test_a_cached_node_knows_what_its_function_was_given(of):
    """The arguments of a partial and the object of a method are part of what it is. (W11)"""
    store = MemoryStore()
    said = [one_node(store, of(m), cache=True).run({"q": "hi"})["x"] for m in ("old", "new")]
    assert ["old says", "new says"] == said
    assert fingerprint(of("old")) == fingerprint(of("old")) != fingerprint(of("new"))


def test_a_cached_node_knows_the_dict_that_it_captures():
    """A changed setting is another result; yet to go on with a thread it is no changed code."""

    def made(model):
        settings = {"model": model}
        return lambda state: {"x": settings["model"]}

    store = MemoryStore()
    assert ["old", "new"] == [
        one_node(store, made(model), cache=True).run({"q": "hi"})["x"] for model in ("old", "new")
    ]
    assert fingerprint(made("old")) == fingerprint(made("new"))


def test_a_cached_subgraph_knows_its_wires():
    """Another branch function, other edges: another result. (W11)"""
    store = MemoryStore()

    def parent(choose):
        with Graph("inner", State) as inner:
            a = node(lambda s: {"x": "a"}, name="a")
            b = node(lambda s: {"x": "b"}, name="b")
            first = node(lambda s: None, name="first")
            START >> first >> branch(choose, a=a, b=b)
            a >> END
            b >> END
        return one_node(store, inner, cache=True)

    assert "a" == parent(lambda s: "a").run({"q": "1"})["x"]
    assert "b" == parent(lambda s: "b").run({"q": "1"})["x"]


def test_a_cached_subgraph_writes_all_it_would_have_written():
    """Also a field that was, in the first thread, what the subgraph made it."""
    with Graph("inner", State) as inner:
        START >> node(lambda s: {"x": 5}, name="five") >> END
    graph = one_node(MemoryStore(), inner, cache=Cache(key="q"))
    assert [5, 5] == [graph.run({"q": "a", "x": x})["x"] for x in (5, 7)]


# --------------------------------------------------------------------- what a server asks for


def test_the_wait_of_a_response_that_is_false_is_read():
    """`requests` says `bool(response)` is False of every 4xx."""

    class Response:
        headers = MappingProxyType({"retry-after": "60"})
        status_code = 429

        def __bool__(self):
            return False

    error = OSError("429")
    error.response = Response()
    assert 60.0 == retry_after(error)


class SlowDown(Exception):
    status = 429
    headers = MappingProxyType({"retry-after": "30"})


def test_after_a_wait_for_the_server_calls_come_one_by_one():
    """Siblings that had their places already get new ones, not all the same. (W14)"""
    clock, at = FakeClock(1000.0), []

    async def call(state):
        at.append(clock() - 1000.0)
        if len(at) == 1:
            raise SlowDown

    limit = RateLimit(1, per=2.0)
    with Graph("g", State, store=MemoryStore()) as graph:
        asked = node(call, name="call", rate_limit=limit, retry=Retry(3, on=SlowDown))
        START >> each(lambda s: list(range(5)), asked) >> END
    Thread("t", program=graph.compile(), store=graph.store, clock=clock).start({}).result(10)

    later = sorted(at)[1:]
    assert 30.0 <= later[0]
    assert all(b - a >= 2.0 - 1e-6 for a, b in itertools.pairwise(later))


@pytest.mark.parametrize("error, waits", [(SlowDown("429"), 30.0), (ConnectionError("blip"), 0.0)])
def test_after_a_restart_only_what_a_server_asked_for_holds_for_all(store, error, waits):
    """A plain backoff is one task's own. (W14)"""
    clock, fails = FakeClock(1000.0), [error]

    def a(state):
        if fails:
            raise fails.pop()

    before, after = RateLimit(100, per=1.0), RateLimit(100, per=1.0)

    def thread(limit):
        graph = one_node(
            store, a, rate_limit=limit, retry=Retry(3, on=Exception, wait=20.0, jitter=False)
        )
        return Thread("t", program=graph.compile(), store=store, clock=clock)

    run = thread(before).start({})
    run.watch(lambda event: run.pause() if type(event).__name__ == "NodeRetried" else None)
    run.result(5)
    assert "paused" == run.status
    held = []
    again = thread(after).resume()
    again.watch(lambda e: held.append(after.held(1000.0)) if "Retried" in type(e).__name__ else 0)
    again.result(5)

    assert [waits] == held
    assert "done" == again.status


def test_an_open_breaker_uses_up_no_attempts():
    """Siblings of the call that is let through to see wait for it; they were not called. (R4)"""
    clock, calls = FakeClock(0.0), []

    async def call(item):
        calls.append(item)
        if len(calls) == 1:
            raise ConnectionError("down")
        await clock.sleep(20.0)

    with Graph("g", State, store=MemoryStore()) as graph:
        asked = node(
            call, name="call", breaker=Breaker(1, reset=1.0), retry=Retry(2, wait=0.1, jitter=False)
        )
        START >> each(lambda s: list(range(3)), asked) >> END
    run = Thread("t", program=graph.compile(), store=graph.store, clock=clock).start({})
    run.result(10)
    assert "done" == run.status
    assert [0, 1, 2] == sorted(set(calls))


# ------------------------------------------------------------------------ recover=PERSON


def failing(calls, times):
    def a(state):
        calls.append(1)
        if len(calls) <= times:
            raise ConnectionError("down")
        return {"x": len(calls)}

    return a


def test_try_again_gives_all_attempts(store):
    """And then the person is asked again, with as many behind him. (R4)"""
    clock, calls = FakeClock(0.0), []
    graph = one_node(store, failing(calls, 8), retry=Retry(3), recover={ConnectionError: PERSON})
    thread = Thread("t", program=graph.compile(), store=store, clock=clock)
    thread.start({}).result(5)
    assert (3, "waiting") == (len(calls), thread.status)
    assert thread.resume_at is None
    thread.resume("try again").result(5)
    assert (6, "waiting") == (len(calls), thread.status)
    thread.resume("try again").result(5)
    assert (9, "done") == (len(calls), thread.status)


def test_an_update_that_does_not_fit_the_state_is_refused_and_asked_for_again(store):
    """Nothing is used up: the question is open as before. (R29)"""
    calls = []
    graph = one_node(store, failing(calls, 9), Typed, recover={ConnectionError: PERSON})
    graph.run({"q": "1", "x": 0}, thread="t")
    thread = graph.thread("t")
    for wrong in ({"update": {"x": "five"}}, {"update": {"nothing": 1}}, "whatever"):
        with pytest.raises(StateError):
            thread.resume(wrong)
    assert ("waiting", 1) == (thread.status, len(thread.questions))
    assert 5 == thread.resume({"update": {"x": 5}}).result(5)["x"]
    assert 1 == len(calls)


def test_what_a_person_said_is_there_until_it_is_written(tmp_path):
    """The process ends between the answer and the task's record: nobody is asked again. (W1)"""

    class Dying(SqliteStore):
        dies = False

        def commit(self, lease, checkpoint, records=()):
            if self.dies and list(records):
                raise SystemExit("killed")
            super().commit(lease, checkpoint, records)

    calls = []
    store = Dying(tmp_path / "a.db")
    graph = one_node(store, failing(calls, 9), Typed, recover={ConnectionError: PERSON})
    graph.run({"q": "1", "x": 0}, thread="t")
    store.dies = True
    with pytest.raises(SystemExit):
        graph.thread("t").resume({"update": {"x": 5}}).result(5)
    store.dies = False

    assert () == graph.thread("t").questions
    assert 5 == graph.thread("t").resume().result(5)["x"]
    assert 1 == len(calls)
    store.close()


def test_a_wait_before_a_question_is_over_when_the_question_is_asked(store):
    """`resume_due` leaves a thread alone that waits for a person. (W14)"""
    clock, calls = FakeClock(1000.0), []

    def a(state):
        calls.append(1)
        if len(calls) == 1:
            raise ConnectionError("down")
        return {"x": interrupt("Well?")}

    graph = one_node(store, a, retry=Retry(3))
    Thread("t", program=graph.compile(), store=store, clock=clock).start({}).result(5)
    assert "waiting" == graph.thread("t").status
    assert graph.thread("t").resume_at is None
    assert [] == resume_due([graph])


# ----------------------------------------------------------------------- a damaged checkpoint


def test_work_on_a_damaged_checkpoint_is_not_taken_for_work_on_its_successor(tmp_path):
    """The super-step is made again from the last good one; nothing is mixed. (W8)"""
    path, rounds = tmp_path / "a.db", []

    def first(state):
        rounds.append(1)
        return {"q": f"round {len(rounds)}"}

    def copies(state):
        return {"x": state["q"]}

    def fails(state):
        if len(rounds) == 1:
            raise ValueError("once")

    def graph(store):
        with Graph("g", State, store=store) as made:
            ends = [node(copies), node(fails)]
            START >> node(first) >> ends >> END
        return made

    store = SqliteStore(path)
    with pytest.raises(NbagentError):
        graph(store).run({}, thread="t")
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE checkpoints SET checksum = checksum + 1 WHERE id = 2")
    db.close()
    store = SqliteStore(path)
    state = graph(store).thread("t").resume(rerun=["first"]).result(5)

    assert ("round 2", "round 2") == (state["q"], state["x"])
    assert [1, 3, 4] == [info.id for info in store.history("t") if info.id != 2]
    store.close()
