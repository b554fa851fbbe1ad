"""A call is found by what it is, in whatever order it comes. (R6, R7, W2, W3)"""

import asyncio
import contextlib
import contextvars
import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbagent import START as BEGIN
from nbagent import Graph, node
from nbagent.engine.model.checkpoint import JournalEntry
from nbagent.engine.model.policy import Retry
from nbagent.engine.node.cached import acached, cached
from nbagent.engine.node.effects import aeffect, effect, idempotency_key
from nbagent.engine.node.interrupts import interrupt
from nbagent.engine.store.ownership import current_owner
from nbagent.errors import NodeError
from nbagent.stores.memory import MemoryStore
from tests.engine.build import END, START, Edge, program, sync, task, thread

WIRES = [Edge(START, "a"), Edge("a", END)]


def only(function, store=None, is_async=False, **more):
    """A thread of one node."""
    made = (task if is_async else sync)("a", function, **more)
    return thread(program(made, wires=WIRES), store=store)


class Broken(Exception):
    """What ends an attempt."""


# -------------------------------------------------------------------------------- any order


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_effect_happens_once_in_whatever_order_the_attempts_make_them(data):
    """Law: after attempts that break off anywhere, each effect has happened once, and each call got
    its own result. Questions and cached calls between them change nothing."""
    names = data.draw(st.lists(st.sampled_from("abcdef"), unique=True, min_size=1))
    kinds = {name: data.draw(st.sampled_from(["effect", "cached", "interrupt"])) for name in names}
    orders = [
        (data.draw(st.permutations(names)), data.draw(st.integers(0, len(names)))) for _ in range(3)
    ]
    orders.append((data.draw(st.permutations(names)), len(names) + 1))
    happened = []

    def make(name):
        happened.append(name)
        return f"result of {name}"

    def run(state):
        order, breaks_at = attempt.pop(0) if len(attempt) > 1 else attempt[0]
        got = {}
        for number, name in enumerate(order):
            if number == breaks_at:
                raise Broken
            kind = kinds[name]
            if kind == "interrupt":
                got[name] = interrupt(f"{name}?")
            else:
                got[name] = (effect if kind == "effect" else cached)(name, make, name)
        if breaks_at == len(names):
            raise Broken
        return {"x": got}

    attempt, one = orders, only(run)
    run_ = one.start({})
    for _ in range(3 + len(names) * 2):
        with contextlib.suppress(NodeError):
            run_.result(5)
        if one.status == "done":
            break
        answers = {q.id: f"result of {q.question[0]}" for q in one.questions}
        run_ = one.resume(answers=answers)

    assert {"x": {name: f"result of {name}" for name in names}} == one.state
    assert sorted(name for name in names if kinds[name] != "interrupt") == sorted(happened)


@pytest.mark.parametrize("around", ["gather", "group", "threads", "to_thread"])
def test_effects_side_by_side_are_found_by_their_keys(around):
    """Other latencies at the second attempt are another order, and nothing else."""
    sent, waits = [], [{"a": 0.01, "b": 0.04, "c": 0.07}, {"a": 0.07, "b": 0.04, "c": 0.01}]
    attempts = []

    async def mail(name):
        await asyncio.sleep(waits[len(attempts) - 1][name])
        return await aeffect(f"mail {name}", send, name)

    def send(name):
        sent.append(name)
        return f"sent {name}"

    async def gathered(state):
        attempts.append(1)
        if around == "gather":
            got = await asyncio.gather(*map(mail, "abc"))
        elif around == "to_thread":
            got = await asyncio.gather(
                *(asyncio.to_thread(effect, f"mail {name}", send, name) for name in "abc")
            )
        else:
            async with asyncio.TaskGroup() as group:
                made = [group.create_task(mail(name)) for name in "abc"]
            got = [one.result() for one in made]
        if len(attempts) == 1:
            raise Broken
        return {"x": got}

    def threaded(state):
        attempts.append(1)
        order = "abc" if len(attempts) == 1 else "cba"
        with ThreadPoolExecutor() as pool:
            made = {
                name: pool.submit(
                    contextvars.copy_context().run, effect, f"mail {name}", send, name
                )
                for name in order
            }
        if len(attempts) == 1:
            raise Broken
        return {"x": [made[name].result() for name in "abc"]}

    one = only(threaded) if around == "threads" else only(gathered, is_async=True)
    with pytest.raises(NodeError):
        one.start({}).result(5)

    assert {"x": ["sent a", "sent b", "sent c"]} == one.resume().result(5)
    assert ["a", "b", "c"] == sorted(sent)


def test_effects_under_way_when_a_sibling_fails_are_recorded():
    """The node ends with the sibling's error; what they did is known, and nobody is asked."""
    sent, attempts = [], []

    async def run(state):
        attempts.append(1)

        async def fails():
            await asyncio.sleep(0.01)
            if len(attempts) == 1:
                raise Broken

        async def send():
            await asyncio.sleep(0.1)
            sent.append(1)
            return "sent"

        return {"x": (await asyncio.gather(aeffect("mail", send), fails()))[0]}

    one = only(run, is_async=True)
    with pytest.raises(NodeError):
        one.start({}).result(5)

    assert {"x": "sent"} == one.resume().result(5)
    assert [1] == sent


# -------------------------------------------------------------------------- one key, many calls


def test_called_twice_on_purpose_it_happens_twice():
    """And not a third time when the node runs again."""
    sent, attempts = [], []

    def run(state):
        attempts.append(1)
        got = [effect("ping", lambda: sent.append(1) or len(sent)) for _ in range(2)]
        if len(attempts) == 1:
            raise Broken
        return {"x": got}

    one = only(run)
    with pytest.raises(NodeError):
        one.start({}).result(5)

    assert {"x": [1, 2]} == one.resume().result(5)
    assert [1, 1] == sent


def test_one_key_with_other_arguments_in_one_attempt_is_an_error():
    """It could not be found again; the first one stands, and the error says what to do."""
    sent = []

    def run(state):
        for name in ("ada", "bob"):
            effect("mail", sent.append, name)

    with pytest.raises(NodeError, match=r"'mail' a second time, with other arguments.*key of its"):
        only(run).start({}).result(5)
    assert ["ada"] == sent


def test_an_effect_that_a_model_words_anew_is_the_same_effect():
    """What was done counts, and the trace says that the arguments differ. (W3)"""
    sent, words = [], iter(["Dear Ada", "Hello Ada", "Hi Ada"])

    def run(state):
        text = next(words)
        got = [effect("mail", lambda body: sent.append(body) or "sent", text)]
        return {"x": [*got, interrupt("ok?"), interrupt("sure?")]}

    one = only(run)
    one.start({}).result(5)
    one.resume("yes").result(5)

    assert {"x": ["sent", "yes", "very"]} == one.resume("very").result(5)
    assert ["Dear Ada"] == sent
    said = [span.attributes.get("error.message", "") for span in one.store.spans("t")]
    assert 2 == sum("arguments differ" in text for text in said)


def test_an_effect_whose_outcome_is_unknown_is_not_begun_in_other_words():
    """A person is asked, whatever the arguments are by now; the idempotency key stays. (W2)"""
    keys, words = [], iter(["Dear Ada", "Hello Ada", "Hi Ada"])

    def send(text):
        keys.append((idempotency_key(), text))
        if len(keys) == 1:
            raise ConnectionResetError
        return "sent"

    one = only(lambda state: {"x": effect("mail", send, next(words))})
    with pytest.raises(NodeError):
        one.start({}).result(5)
    one.resume().result(5)
    assert "Did 'mail' happen?" in one.questions[0].question

    assert {"x": "sent"} == one.resume("it did not happen").result(5)
    assert ["Dear Ada", "Hi Ada"] == [text for _, text in keys]
    assert 1 == len({key for key, _ in keys})


def test_several_effects_of_one_key_with_new_arguments_are_an_error():
    """Which of them it is cannot be told, and nothing is done."""
    sent, text = [], ["Dear"]

    def run(state):
        for _ in range(2):
            effect("mail", sent.append, text[0])
        interrupt("ok?")

    one = only(run)
    one.start({}).result(5)
    text[0] = "Hello"
    with pytest.raises(NodeError, match="made effect 'mail' 2 times"):
        one.resume("yes").result(5)
    assert ["Dear", "Dear"] == sent


def test_equal_closures_are_told_apart_by_what_they_have_captured():
    """Two calls of one key with no arguments, in another order at the second attempt: no swap."""
    orders, sent = ["ab", "ba"], []

    def run(state):
        order = orders.pop(0)
        got = {name: effect("mail", lambda name=name: sent.append(name) or name) for name in order}
        if orders:
            raise Broken
        return {"x": got}

    one = only(run)
    with pytest.raises(NodeError):
        one.start({}).result(5)

    assert {"x": {"a": "a", "b": "b"}} == one.resume().result(5)
    assert ["a", "b"] == sent


# ---------------------------------------------------------------------------- idempotency keys


def test_an_idempotency_key_is_its_threads_own():
    """Another store, another graph, a thread made anew under its id: another key; a retry, a
    resume: the same."""
    keys = []

    def send():
        keys.append(idempotency_key())
        if len(keys) % 2:
            raise ConnectionRefusedError
        return "sent"

    def run(state):
        return {"x": effect("mail", send)}

    store = MemoryStore()
    only(run, store, retry=Retry(2, wait=0.001)).start({}).result(5)
    one = only(run, store)
    one.delete()
    one = only(run, store)
    with pytest.raises(NodeError):
        one.start({}).result(5)
    one.resume().result(5)
    only(run, retry=Retry(2, wait=0.001)).start({}).result(5)

    assert [keys[0], keys[2], keys[4]] == [keys[1], keys[3], keys[5]]
    assert 3 == len(set(keys))


# ------------------------------------------------------------------------------------- cached


def test_a_cached_call_is_its_key_and_its_arguments():
    """Equal ones are one call, other arguments another, also when the node runs again. (R6)"""
    calls, order = [], [1, 2, 1]

    def fetch(number):
        calls.append(number)
        return number * 10

    def run(state):
        return {"x": [cached("page", fetch, number) for number in order] + [interrupt("ok?")]}

    one = only(run)
    one.start({}).result(5)
    order.reverse()
    order.append(3)

    assert {"x": [10, 20, 10, 30, "yes"]} == one.resume("yes").result(5)
    assert [1, 2, 3] == calls


def test_cached_calls_of_closures_are_not_mixed_up():
    """The functions differ only by what they have captured, be it a value or what can change."""
    pages = [{"url": "a"}, {"url": "b"}]

    def run(state):
        values = [cached("page", lambda: f"page {name}") for name in "ab"]  # noqa: B023
        items = [cached("item", lambda: f"item {page['url']}") for page in pages]  # noqa: B023
        return {"x": [*values, *items, interrupt("ok?")]}

    one = only(run)
    one.start({}).result(5)

    expected = ["page a", "page b", "item a", "item b", "yes"]
    assert {"x": expected} == one.resume("yes").result(5)


async def test_equal_cached_calls_at_once_are_one_call():
    """The second waits for the first, and makes the call itself where that fails. (R6)"""
    calls = []

    async def fetch(url):
        calls.append(url)
        await asyncio.sleep(0.02)
        if len(calls) == 1:
            raise Broken
        return f"page {url}"

    async def run(state):
        made = [acached("page", fetch, "u") for _ in range(3)]
        got = await asyncio.gather(*made, return_exceptions=True)
        return {"x": [type(one).__name__ if isinstance(one, Exception) else one for one in got]}

    made = program(task("a", run), wires=WIRES)
    assert {"x": ["Broken", "page u", "page u"]} == await thread(made).start({})
    assert ["u", "u"] == calls


def test_a_cached_call_inside_an_equal_one_does_not_wait_for_itself():
    """A recursive function that caches itself."""

    def fetch(deep):
        return 1 if deep else cached("page", functools.partial(fetch, True)) + 1

    def run(state):
        return {"x": cached("page", lambda: cached("page", lambda: 5) + 1)}

    assert {"x": 6} == only(run).start({}).result(5)
    assert {"x": 2} == only(lambda s: {"x": cached("page", fetch, False)}).start({}).result(5)


def test_equal_cached_calls_in_threads_are_one_call():
    """A thread waits for another's call."""
    calls, began = [], threading.Event()

    def fetch(url):
        calls.append(url)
        began.wait(0.1)
        return len(calls)

    def run(state):
        with ThreadPoolExecutor() as pool:
            made = [
                pool.submit(contextvars.copy_context().run, cached, "page", fetch, "u")
                for _ in range(4)
            ]
        return {"x": [one.result() for one in made]}

    assert {"x": [1, 1, 1, 1]} == only(run).start({}).result(5)


# ------------------------------------------------------------------------------------ older files


def test_entries_of_an_older_file_are_found_by_their_keys():
    """They say nothing of arguments: an effect keeps its result and its idempotency key, a cached
    call its result, in the order that they were made in. (R47)"""
    store, keys, calls = MemoryStore(), [], []

    def run(state):
        effect("log", calls.append, "again")
        got = [cached("page", calls.append, url) for url in "ab"]
        effect("mail", lambda: keys.append(idempotency_key()))
        return {"x": [*got, interrupt("ok?")]}

    one = only(lambda state: {"x": interrupt("ok?")}, store)
    one.start({}).result(5)
    lease = store.acquire("t", current_owner())
    (asked,) = store.latest("t").journal
    store.put_journal(
        lease,
        [
            JournalEntry(1, "1:a", 0, "effect", "log", "done", "key 1", "logged"),
            JournalEntry(1, "1:a", 2, "cached", "page", "done", None, "page a"),
            JournalEntry(1, "1:a", 3, "cached", "page", "done", None, "page b"),
            JournalEntry(1, "1:a", 4, "effect", "mail", "void", "key 2"),
            replace(asked, position=6),
        ],
    )
    store.release(lease, "waiting")

    assert {"x": ["page a", "page b", "yes"]} == only(run, store).resume("yes").result(5)
    assert (["key 2"], []) == (keys, calls)


# ------------------------------------------------------------------------------------- run again


def two(store, first, **more):
    """A graph of which the first node finishes and the second asks."""

    class State(TypedDict):
        x: str
        y: str

    with Graph("g", State, store=store) as graph:
        ask = node(lambda state: {"y": interrupt("ok?")}, name="ask")
        BEGIN >> [node(first, name="first", **more), ask] >> END
    return graph


@pytest.mark.parametrize("how", [{"on_change": "rerun"}, {"rerun": ["first"]}], ids=str)
def test_a_node_that_runs_again_does_not_repeat_its_effects(how):
    """Its code is new, its mail has gone: the result is there, and its questions are asked anew."""
    sent, store = [], MemoryStore()

    def send(state):
        return {"x": effect("mail", lambda: sent.append(1) or "sent")}

    def send_and_shout(state):
        said = effect("mail", lambda: sent.append(1) or "sent")
        return {"x": said.upper() + interrupt("sure?")}

    two(store, send).run({}, thread="t")
    one = two(store, send_and_shout).thread("t")
    (asked,) = one.questions
    one.resume(answers={asked.id: "yes"}, **how).result(5)
    assert ["sure?"] == [question.question for question in one.questions]

    assert {"x": "SENT!", "y": "yes"} == one.resume("!").result(5)
    assert [1] == sent


# --------------------------------------------------------------------------- what stands in


class Down(Exception):
    """With a fact of its own."""

    def __init__(self, status):
        super().__init__(f"status {status}")
        self.status = status


@pytest.mark.parametrize("way", ["fallback", "recover"])
def test_what_stands_in_is_tried_again_without_paying_the_node_again(way):
    """It fails once: at resume it is called, for the same error, and the node is not. (R6)"""
    calls, broken = [], [1]

    def stand_in(given):
        calls.append("stand-in")
        if broken:
            broken.clear()
            raise RuntimeError("stand-in is down")
        return {"x": 1 if way == "fallback" else (type(given).__name__, str(given), given.status)}

    def costly(state):
        calls.append("costly")
        raise Down(503)

    handler = stand_in if way == "fallback" else {Down: stand_in}
    one = only(costly, **{way: handler})
    with pytest.raises(NodeError, match="stand-in is down"):
        one.start({}).result(5)

    expected = 1 if way == "fallback" else ("Down", "status 503", 503)
    assert {"x": expected} == one.resume().result(5)
    assert ["costly", "stand-in", "stand-in"] == calls


def test_a_node_whose_state_a_person_has_mended_is_called_itself():
    """What it failed on is no longer there, so there is nothing to stand in for."""

    def costly(state):
        return {"y": 1 / state["x"]}

    def stand_in(state):
        raise RuntimeError("stand-in is down")

    made = program(sync("a", costly, fallback=stand_in), fields=("x", "y"), wires=WIRES)
    one = thread(made)
    with pytest.raises(NodeError, match="stand-in is down"):
        one.start({"x": 0}).result(5)
    one.edit({"x": 2})

    assert {"x": 2, "y": 0.5} == one.resume().result(5)


# --------------------------------------------------------------------------- cached subgraphs


@pytest.mark.parametrize("what", ["question", "effect", "question two levels down"])
def test_a_cached_graph_that_has_acted_is_not_remembered(what):
    """Each thread's person is asked, and each thread's mail goes. (R6, W2)"""

    class State(TypedDict):
        x: str

    store, sent, parts = MemoryStore(), [], []
    with Graph("inner", State) as inner:

        @node
        def act(state):
            if what == "effect":
                return {"x": effect("mail", lambda: sent.append(1) or "sent")}
            return {"x": interrupt("ok?")}

        START >> act >> END
    parts.append(inner)
    if what == "question two levels down":
        with Graph("middle", State) as middle:
            START >> node(inner, name="inner") >> END
        parts.append(middle)
    with Graph("outer", State, store=store) as outer:
        START >> node(parts[-1], name="sub", cache=True) >> END
    for id in ("monday", "tuesday"):
        outer.run({"x": ""}, thread=id)
        if what != "effect":
            assert ["ok?"] == [question.question for question in outer.thread(id).questions]
            assert f"yes {id}" == outer.thread(id).resume(f"yes {id}").result(5)["x"]

    assert ([1, 1] if what == "effect" else []) == sent


def test_a_cached_graph_that_only_computes_is_remembered():
    """It runs once for equal inputs."""

    class State(TypedDict):
        x: int

    store, ran = MemoryStore(), []
    with Graph("inner", State) as inner:
        START >> node(lambda state: ran.append(1) or {"x": state["x"] + 1}, name="add") >> END
    with Graph("outer", State, store=store) as outer:
        START >> node(inner, name="sub", cache=True) >> END

    assert [2, 2] == [outer.run({"x": 1})["x"] for _ in range(2)]
    assert [1] == ran
