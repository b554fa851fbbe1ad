"""Somebody else's tracer is told of runs, steps, attempts and spans as they nest. (R36, R41)"""

import contextlib

import pytest

from nbagent.engine import ports
from nbagent.engine.node.context import span
from nbagent.engine.node.interrupts import interrupt
from tests.engine.build import END, START, Edge, guarded, program, sync, task, thread


class Tracer:
    """Writes down what opens and closes."""

    def __init__(self):
        self.told = []

    @contextlib.contextmanager
    def around(self, *what, gives=None):
        self.told.append(("open", *what))
        try:
            yield gives
        except BaseException as error:
            self.told.append(("failed", *what, type(error).__name__))
            raise
        else:
            self.told.append(("close", *what))

    def run(self, thread, graph, before):
        return self.around("run", before, gives="mine")

    def step(self, thread, step):
        return self.around("step", step)

    def attempt(self, thread, step, node, task, attempt):
        return self.around("attempt", node, attempt)

    def span(self, span):
        return self.around("span", span.name)


@pytest.fixture
def tracer(monkeypatch):
    made = Tracer()
    monkeypatch.setattr(ports.find_tracer, "_functions", (lambda: made,))
    return made


@pytest.mark.parametrize("kind", [sync, task])
def test_a_failed_attempt_and_the_next_are_told_apart(tracer, kind):
    """The span is inside the attempt that opened it, and the attempt fails with its error."""
    calls = []

    def once():
        calls.append(1)
        with span("call"):
            if len(calls) == 1:
                raise ConnectionError("dropped")
        return {"x": 1}

    async def awaits(state):
        return once()

    node = kind("a", awaits if kind is task else lambda state: once())
    made = program(guarded(node, retry=2), wires=[Edge(START, "a"), Edge("a", END)])
    thread(made).start({}).result(10)

    inside = [told for told in tracer.told if told[1] != "run" and told[1] != "step"]
    assert [
        ("open", "attempt", "a", 1),
        ("open", "span", "call"),
        ("failed", "span", "call", "ConnectionError"),
        ("failed", "attempt", "a", 1, "ConnectionError"),
        ("open", "attempt", "a", 2),
        ("open", "span", "call"),
        ("close", "span", "call"),
        ("close", "attempt", "a", 2),
    ] == inside
    assert ("open", "run", "") == tracer.told[0]
    assert ("close", "run", "") == tracer.told[-1]


def test_the_next_run_says_what_it_continues(tracer):
    """What the tracer gave for the last run of the thread is given back to it."""
    made = program(
        sync("a", lambda state: {"x": interrupt("Go on?")}),
        wires=[Edge(START, "a"), Edge("a", END)],
    )
    one = thread(made)
    one.start({}).result(5)
    one.resume("yes").result(5)

    assert ["", "mine"] == [told[2] for told in tracer.told if told[:2] == ("open", "run")]
    assert {"x": "yes"} == one.state
