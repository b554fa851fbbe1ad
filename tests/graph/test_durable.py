"""The functional form: steps done once, loops that go on, questions, effects, values."""

import asyncio
import dataclasses
import operator
from collections import Counter
from typing import Annotated, TypedDict

import pytest

import nbagent
from nbagent import (
    END,
    START,
    Graph,
    GraphError,
    NbagentError,
    NodeError,
    Retry,
    StateError,
    durable,
    each_once,
    effect,
    emit,
    errors,
    interrupt,
    node,
    step,
)
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore
from nbagent.testing.faults import FaultyStore


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    is_file = request.param == "sqlite"
    made = SqliteStore(tmp_path / "a.db", durability="process") if is_file else MemoryStore()
    yield made
    made.close()


@dataclasses.dataclass
class City:
    name: str
    people: int = 0


def test_a_function_is_a_thread(store):
    """What it returns is the value; its arguments and it are the state; equal types come back."""

    @durable(store=store)
    def grow(city: City, *more: int, by: int = 1) -> City:
        return City(city.name, city.people + by + sum(more))

    outcome = grow.run(City("Oslo", 1), 2, 3, thread="t")
    assert City("Oslo", 7) == outcome.value
    assert ("done", "t") == (outcome.status, outcome.thread.id)
    assert City("Oslo", 7) == grow.thread("t").state["value"]
    assert City("Bergen", 5) == grow.run(City("Bergen"), by=5, thread="t").value  # a new call
    assert City("Oslo", 2) == grow(City("Oslo", 1))  # the plain function
    assert City("Oslo", 2) == grow.start(City("Oslo", 1)).result().value
    with pytest.raises(TypeError, match="city"):
        grow.run()
    with pytest.raises(StateError, match="city"):
        grow.run("Oslo")


def test_steps_are_done_once(store):
    """After an error the steps that were done give back what they returned, however the function
    is written; the n-th call with equal arguments is the n-th step. (R5, R6)"""
    calls = Counter()
    broken = [True]

    def fetch(what):
        calls[what] += 1
        return f"{what} {calls[what]}"

    @durable(store=store)
    def job(topic):
        first = step(fetch)(topic)
        again = step(fetch)(topic)
        other = step(fetch)("other")
        if broken[0]:
            raise RuntimeError("down")
        return [first, again, other]

    with pytest.raises(NodeError, match="down"):
        job.run("bees", thread="t")
    broken[0] = False
    outcome = job.thread("t").resume().result()
    assert ["bees 1", "bees 2", "other 1"] == outcome.value
    assert Counter(bees=2, other=1) == calls
    steps = job.thread("t").trace().query("kind == 'span'")
    assert ["fetch"] * 3 == [name.rpartition(".")[2] for name in steps.name]


async def test_an_async_function_and_its_parallel_steps(store):
    """`async` functions and steps, side by side in a gather."""
    calls = Counter()

    async def fetch(n):
        calls[n] += 1
        await asyncio.sleep(0)
        return n * n

    @durable(store=store, retry=Retry(attempts=2, on=OSError, wait=0))
    async def squares(count):
        found = await asyncio.gather(*(step(fetch)(n % 2) for n in range(count)))
        calls["attempts"] += 1
        if calls["attempts"] == 1:
            raise OSError("once more")
        return sum(found)

    assert 2 == (await squares.arun(4)).value
    assert Counter({0: 2, 1: 2, "attempts": 2}) == calls


def test_a_question_inside(store):
    """interrupt asks a person; steps before it are not done again; there is no value yet."""
    calls = []

    @durable(store=store)
    def letter(name):
        draft = step(lambda n: calls.append(n) or f"Dear {n}")(name)
        return draft + interrupt("Sign?")

    outcome = letter.run("Ada", thread="t")
    assert ("waiting", ["Sign?"]) == (outcome.status, [one.question for one in outcome.questions])
    with pytest.raises(errors.ThreadError, match="has not returned"):
        outcome.value  # noqa: B018
    with pytest.raises(errors.ThreadError, match="waiting"):
        letter.run("Bob", thread="t")
    assert "Dear Ada, yours" == letter.thread("t").resume(", yours").result().value
    assert ["Ada"] == calls
    letter.run("Bob", thread="u")
    assert "waiting" == letter.run("Cy", thread="u", anew=True).status
    assert "Dear Cy!" == letter.thread("u").resume("!").result().value


@pytest.mark.parametrize("nested", [False, True])
def test_a_loop_goes_on(store, nested):
    """Of a loop that broke, the items whose bodies were completed are not done again; the one that
    was under way goes on with its own steps done; what follows is done. (R5)"""
    done, effects, breaks = [], [], iter([True, False, True, False, False, False])

    def work(item, part):
        done.append((item, part))
        return part

    @durable(store=store)
    def job(items):
        total = 0
        for item in each_once(items, "items"):
            parts = each_once(range(2), "parts") if nested else range(2)
            for part in parts:
                step(work)("same", part)
                total += 1
            effect("mail", effects.append, item)
            if item % 2 and next(breaks):
                raise RuntimeError(f"down at {item}")
        step(work)("after", 0)
        return total

    with pytest.raises(NodeError, match="down at 1"):
        job.run([0, 1, 2, 3, 4], thread="t")
    with pytest.raises(NodeError, match="down at 3"):
        job.thread("t").resume().result()
    job.thread("t").resume().result()
    assert [("same", 0), ("same", 1)] * 5 + [("after", 0)] == done
    assert [0, 1, 2, 3, 4] == effects


def test_a_long_loop_costs_what_a_short_one_does(store):
    """What a resume reads does not grow with the items that are done."""
    stop = [True]

    @durable(store=store)
    def job(count):
        for item in each_once(range(count), "items"):
            step(str)(item)
            if item == count - 1 and stop[0]:
                raise RuntimeError("down")
        return "all"

    sizes = []
    for count in (70, 280):
        stop[0] = True
        with pytest.raises(NodeError):
            job.run(count, thread=f"t{count}")
        sizes.append(len(store.latest(f"t{count}").journal))
        stop[0] = False
        assert "all" == job.thread(f"t{count}").resume().result().value
    assert sizes[1] <= 140 and sizes[0] <= 140, sizes


def test_questions_and_keys_in_a_loop(store):
    """Each turn asks its own question, whose id is its own; an effect of one key in two turns has
    two idempotency keys. (W3, W17)"""
    keys = []

    @durable(store=store)
    def job():
        said = []
        for name in each_once(["Ada", "Bob"], "names"):
            answer = interrupt(f"{name}?")
            effect("mail", lambda: keys.append(nbagent.idempotency_key()))
            said.append(step(lambda a: a)(answer))
        return said

    first = job.run(thread="t").questions
    second = job.thread("t").resume(1).result().questions
    assert ["Ada?", "Bob?"] == [first[0].question, second[0].question]
    assert first[0].id != second[0].id
    # What the body of a turn that is over did is not done again, nor collected anew.
    assert [2] == job.thread("t").resume(2).result().value
    assert 2 == len(set(keys))


async def test_a_loop_over_what_comes(store):
    """`async for` over an async iterable, and a loop over a generator: those that were done are
    passed over."""
    seen, broken = [], [True]

    async def numbers():
        for n in range(5):
            yield n

    @durable(store=store)
    async def job():
        async for n in each_once(numbers(), "numbers"):
            if n == 3 and broken[0]:
                raise RuntimeError("down")
            seen.append(n)
        for n in each_once((n for n in range(2)), "more"):
            seen.append(n)
        for n in each_once([], "none"):
            seen.append(n)
        return len(seen)

    with pytest.raises(NodeError):
        await job.arun(thread="t")
    broken[0] = False
    assert 7 == (await job.thread("t").resume()).value
    assert [0, 1, 2, 3, 4, 0, 1] == seen


def test_other_items_are_noticed(store):
    """Where the items are not what they were, the loop says so, and does nothing."""
    items = [1, 2, 3]

    @durable(store=store)
    def job():
        for item in each_once(items, "items"):
            if item == 3:
                raise RuntimeError("down")

    with pytest.raises(NodeError, match="down"):
        job.run(thread="t")
    items.insert(0, 0)
    with pytest.raises(NodeError, match="has done 2 items, and now the last of them is another"):
        job.thread("t").resume().result()


def test_only_inside():
    """step() and each_once() outside a durable function are an error, in a graph's node too."""
    with pytest.raises(NbagentError, match="only inside a durable function"):
        step(str)(1)
    with pytest.raises(NbagentError, match="only inside a durable function"):
        each_once([1], "x")

    class S(TypedDict, total=False):
        log: Annotated[list[str], operator.add]

    with Graph("plain", S, store=MemoryStore()) as plain:
        START >> node(lambda state: {"log": [step(str)(1)]}, name="only") >> END
    with pytest.raises(NodeError, match="only inside a durable function"):
        plain.run({})
    with pytest.raises(GraphError, match="has a parameter 'thread'"):
        durable(lambda thread: thread)


def test_called_inside_and_streamed(store):
    """A durable function that another calls is a durable call; what it emits and how far it is are
    told; its code is compared at a resume."""

    @durable(store=store)
    def inner(n):
        for _ in each_once(range(n), "inner"):
            emit("tick")
        return n + 1

    @durable(store=store)
    def outer(n):
        return inner.run(n).value * 2

    events = []
    run = outer.start(3, thread="t")
    run.watch(events.append)
    assert 8 == run.result().value
    names = [type(getattr(event, "event", event)).__name__ for event in events]
    assert 3 == names.count("NodeEmitted") and "NodeProgress" in names


def test_beside_each_other(store):
    """Two loops at once cannot be told apart, and are refused."""

    @durable(store=store)
    def job():
        return list(zip(each_once([1, 2], "a"), each_once([3, 4], "b"), strict=True))

    with pytest.raises(NodeError, match="beside another each_once"):
        job.run()


@pytest.mark.parametrize("point", ["put_journal.before", "put_journal.after"])
def test_whatever_write_fails(point):
    """At whichever write of the journal the store breaks: who goes on does what was not done, and
    at the most the one call whose own result could not be written once more. (R5, R6)"""

    def outage():
        raise RuntimeError("the store broke")

    count, broke = 0, True
    while broke:
        count += 1
        done = Counter()
        store = FaultyStore(MemoryStore(), at=point, count=count, act=outage)

        @durable(store=store, name=f"job{count}")
        def job():
            total = 0
            for item in each_once(range(3), "items"):
                for part in each_once("ab", "parts"):
                    total += step(lambda *what: done.update([what]) or 1)(item, part)  # noqa: B023
                step(lambda: done.update(["same"]))()  # noqa: B023
            return step(lambda: "end")()

        broke = False
        try:
            job.run(thread="t")
        except (NodeError, RuntimeError):
            broke = True
            assert "end" == job.thread("t").resume().result().value
        again = [call for call, times in done.items() if times > (3 if call == "same" else 1)]
        assert 7 == len(done)
        assert len(again) <= (point == "put_journal.before"), (count, done)
    assert count > 15
