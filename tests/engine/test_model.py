"""
Random graphs, crashed at a random write and resumed, against the reference. (R5, R8, R17, W1)

NBAGENT_GRAPHS sets how many graphs are drawn.
"""

import collections
import operator
import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbagent.engine.node.interrupts import interrupt
from nbagent.errors import ConflictError, GraphError, NodeError, StoreError
from nbagent.stores.memory import MemoryStore
from tests.engine.build import END, START, Branch, Each, Edge, Join, program, sync, task, thread
from tests.engine.reference import Spec, Stuck, chosen, interpret, written

GRAPHS = int(os.environ.get("NBAGENT_GRAPHS", "150"))
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


@st.composite
def specs(draw):
    """Forward edges, joins and fan-outs; branches that lead anywhere."""
    count = draw(st.integers(1, 6))
    nodes = [f"n{place}" for place in range(count)]
    kinds = {
        name: draw(st.sampled_from(["plain", "plain", "ask", "fail", "set"])) for name in nodes
    }
    spec = Spec(nodes, kinds)
    for place, name in enumerate(nodes):
        sources = ["START", *nodes[:place]]
        how = draw(st.sampled_from(["edge", "edge", "join", "each", "on"]))
        if how == "join" and place > 1:
            size = draw(st.integers(2, min(3, place)))
            chosen_ones = draw(st.permutations(nodes[:place]))[:size]
            spec.joins.append((tuple(chosen_ones), name))
        elif how == "each":
            source = draw(st.sampled_from(sources))
            if all(target != name for _, target, _ in spec.eaches):
                spec.eaches.append((source, name, draw(st.integers(0, 3))))
        elif how == "on" and kinds[name] != "set":
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

    def node(name):
        def run(given):
            item = given if isinstance(given, int) else None
            if spec.kinds[name] == "ask":
                assert name == interrupt(f"{name}?")
            if spec.kinds[name] == "fail" and failures[name] > 0:
                failures[name] -= 1
                raise RuntimeError(name)
            log, x = ([], 0) if item is not None else (given["log"], given["x"])
            entry, value = written(spec.kinds[name], name, log, x, item)
            return {"log": [entry]} if value is None else {"log": [entry], "x": value}

        async def arun(given):
            return run(given)

        on = (spec.subscribers[name],) if name in spec.subscribers else ()
        make = sync if spec.nodes.index(name) % 2 else task
        return make(name, run if spec.nodes.index(name) % 2 else arun, on=on)

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
    return program(*map(node, spec.nodes), reduced={"log": operator.add}, wires=wires)


def finish(one, run):
    """Answer, retry and go on until the thread is done; the state."""
    for _ in range(400):
        try:
            state = run.result(20)
        except NodeError:
            run = one.resume()
            continue
        if run.status == "waiting":
            run = one.resume(answers={q.id: q.node for q in one.questions[:2]})
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

    failures = collections.Counter({name: fails for name in spec.nodes})
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
            inner._threads["t"].lease_until = 0.0  # its process is dead
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
