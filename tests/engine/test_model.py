"""
Random graphs, crashed at a random write and resumed, against the reference. (R5, R8, R17, W1)

Their nodes ask, fail, take too long, start tasks of their own, are graphs, and call graphs.

NBAGENT_GRAPHS sets how many graphs are drawn.
"""

import asyncio
import collections
import itertools
import operator
import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbagent.engine.model.channels import LastValue, Reduced
from nbagent.engine.node.calls import acall, call
from nbagent.engine.node.interrupts import interrupt
from nbagent.engine.node.subgraph import Subgraph
from nbagent.errors import ConflictError, GraphError, NodeError, StoreError
from nbagent.stores.memory import MemoryStore
from tests.engine.build import (
    END,
    START,
    Branch,
    Each,
    Edge,
    Join,
    guarded,
    program,
    sync,
    task,
    thread,
)
from tests.engine.reference import Spec, Stuck, chosen, interpret, part, written

GRAPHS = int(os.environ.get("NBAGENT_GRAPHS", "80"))
SOON = 0.02  # seconds that a slow node has
WRITES = ("commit", "put_tasks", "put_journal")


class Crashing:
    """A store whose process dies at its n-th write, before or after the write is made."""

    def __init__(self, store, at, after):
        self.store, self.at, self.after, self.count, self.dead = store, at, after, 0, False

    def __getattr__(self, name):
        found = getattr(self.store, name)
        if not callable(found):
            return found

        def call(*args, **kwargs):
            if self.dead:
                raise StoreError("dead")
            if name not in WRITES:
                return found(*args, **kwargs)
            self.count += 1
            self.dead = self.count == self.at
            if self.dead and not self.after:
                raise StoreError("dead")
            result = found(*args, **kwargs)
            if self.dead:
                raise StoreError("dead")
            return result

        return call


SIMPLE = ["plain", "plain", "ask", "fail", "set", "group", "slow"]


def _draw_inner(draw, spec, name, kind, kinds):
    """The nodes inside of a node that is a graph, or calls one: two levels of them."""
    if kind in ("sub", "call"):
        inner = spec.inner[name] = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3))
        for place, below in enumerate(inner):
            _draw_inner(draw, spec, part(name, place), below, SIMPLE)


@st.composite
def specs(draw):
    """Forward edges, joins and fan-outs; branches that lead anywhere."""
    count = draw(st.integers(1, 6))
    nodes = [f"n{place}" for place in range(count)]
    spec = Spec(nodes, {name: draw(st.sampled_from([*SIMPLE, "sub", "call"])) for name in nodes})
    for name in nodes:
        _draw_inner(draw, spec, name, spec.kinds[name], [*SIMPLE, "sub", "call"])
    for place, name in enumerate(nodes):
        sources = ["START", *nodes[:place]]
        how = draw(st.sampled_from(["edge", "edge", "join", "each", "on"]))
        if how == "join" and place > 1:
            size = draw(st.integers(2, min(3, place)))
            chosen_ones = draw(st.permutations(nodes[:place]))[:size]
            spec.joins.append((tuple(chosen_ones), name))
        elif how == "each" and spec.kinds[name] != "sub":  # a graph is not sent a number
            source = draw(st.sampled_from(sources))
            if all(target != name for _, target, _ in spec.eaches):
                spec.eaches.append((source, name, draw(st.integers(0, 3))))
        elif how == "on" and spec.kinds[name] not in ("set", "sub"):
            spec.subscribers[name] = "x"
        else:
            spec.edges.append((draw(st.sampled_from(sources)), name))
        if draw(st.integers(0, 3)) == 0:
            spec.branches[name] = draw(
                st.lists(st.sampled_from([*nodes, "END"]), min_size=1, max_size=3)
            )
        elif draw(st.booleans()):
            spec.edges.append((name, "END"))
    return spec


def build(spec, failures):
    """The spec as a Program. `failures` says how often each node of kind "fail" still fails."""
    names = {"START": START, "END": END}

    def ask(name):
        assert f"{name}?" == interrupt(f"{name}?")

    def fail(name):
        if failures[name] > 0:
            failures[name] -= 1
            raise RuntimeError(name)

    async def in_a_group(name):
        """A child of a TaskGroup fails, or asks, while another is under way."""

        async def child():
            fail(name)
            ask(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(child())
            group.create_task(asyncio.sleep(0.001))

    async def take_long(name):
        if failures[name] > 0:
            failures[name] -= 1
            await asyncio.sleep(30)

    def inner(name):
        """The graph inside of a node, a chain."""
        names = [part(name, place) for place in range(len(spec.inner[name]))]
        nodes = [node(one, kind) for one, kind in zip(names, spec.inner[name], strict=True)]
        wires = [Edge(a, b) for a, b in itertools.pairwise([START, *names, END])]
        return program(*nodes, reduced={"log": operator.add}, wires=wires, name=name)

    def node(name, kind, place=0):
        """A node; every second one is a `def`, where its kind does not say."""
        on = (spec.subscribers[name],) if name in spec.subscribers else ()
        if kind == "sub":
            below = inner(name)
            into = {"log": Reduced("log", operator.add), "x": LastValue("x")}
            return task(name, Subgraph(below, None, None, into), on=on, program=below)
        called = inner(name) if kind == "call" else None

        def run(given, came=None):
            item = given if isinstance(given, int) else None
            log, x = ([], 0) if item is not None else (given["log"], given["x"])
            if kind == "ask":
                ask(name)
            if kind == "fail":
                fail(name)
            if kind == "call":
                came = came or call(called, {"log": [], "x": x})
                entry = (name, len(log), x, item, came["log"], came["x"])
                return {"log": [entry]}
            entries, value = written(spec, kind, name, log, x, item)
            return {"log": entries} if value is None else {"log": entries, "x": value}

        async def arun(given):
            if kind == "group":
                await in_a_group(name)
            if kind == "slow":
                await take_long(name)
            x = 0 if isinstance(given, int) else given["x"]
            return run(given, await acall(called, {"log": [], "x": x}) if called else None)

        if place % 2 or kind in ("group", "slow"):
            made = task(name, arun, on=on)
            return guarded(made, timeout=SOON) if kind == "slow" else made
        return sync(name, run, on=on)

    def count_of(number):
        return lambda state: list(range(number))

    def choice(source):
        return lambda state: chosen(spec, source, state["log"])

    wires = [Edge(names.get(a, a), names.get(b, b)) for a, b in dict.fromkeys(spec.edges)]
    wires += [Join(sources, target) for sources, target in spec.joins]
    wires += [
        Branch(source, choice(source), {t: (names.get(t, t),) for t in [*targets, "END"]}, "")
        for source, targets in spec.branches.items()
    ]
    wires += [Each(names.get(a, a), count_of(n), b, "") for a, b, n in spec.eaches]
    nodes = [node(name, spec.kinds[name], place) for place, name in enumerate(spec.nodes)]
    return program(*nodes, reduced={"log": operator.add}, wires=wires)


def finish(one, run):
    """Answer, retry and go on until the thread is done; the state."""
    for _ in range(400):
        try:
            state = run.result(20)
        except NodeError:
            run = one.resume()
            continue
        if run.status == "waiting":
            run = one.resume(answers={q.id: q.question for q in one.questions[:2]})
            continue
        assert "done" == run.status
        return state
    raise AssertionError("it does not end")


@settings(
    max_examples=GRAPHS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(specs(), st.integers(1, 25), st.booleans(), st.integers(0, 2))
def test_a_crash_at_any_write_changes_nothing(spec, at, after, fails):
    """Whatever the graph and wherever it dies, the resumed run ends as the reference does. (R1)"""
    spec.edges = list(dict.fromkeys(spec.edges))
    try:
        log, x, steps = interpret(spec)
    except Stuck:
        expected = GraphError
    except ValueError:
        expected = ConflictError
    except RecursionError:
        return
    else:
        expected = None

    failures = collections.defaultdict(lambda: fails)
    made = build(spec, failures)
    inner = MemoryStore()
    crashing = Crashing(inner, at, after)
    one = thread(made, store=inner)
    try:
        try:
            state = finish(
                thread(made, store=crashing),
                thread(made, store=crashing).start({"log": [], "x": 0}),
            )
        except StoreError:
            for each in inner._threads.values():
                each.lease_until = 0.0  # its process is dead
            if inner._threads["t"].checkpoints:
                state = finish(one, one.resume())
            else:
                state = finish(one, one.start({"log": [], "x": 0}))
    except (GraphError, ConflictError) as error:
        assert expected is not None and isinstance(error, expected)
        return
    assert expected is None
    assert log == state["log"]
    assert (x, steps) == (state["x"], one.latest().checkpoint.step)
