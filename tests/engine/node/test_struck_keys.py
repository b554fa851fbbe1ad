"""
Effects, cached calls and questions whose keys have something secret in them: written down without
it, and found all the same. (W2, W5)
"""

from typing import TypedDict

import pytest

from nbagent import END, START, Graph, NodeError, cached, effect, interrupt, node
from nbagent.engine.model import secrets
from nbagent.stores.memory import MemoryStore


class State(TypedDict):
    x: int


CALLS = []


def call(what):
    CALLS.append(what)
    return len(CALLS)


@pytest.fixture
def pattern(monkeypatch):
    """What is secret, as this process knows it; a test may say that it does not."""
    known = []
    monkeypatch.setattr(secrets, "_patterns", known)
    return lambda is_known: known.__setitem__(
        slice(None), [secrets.re.compile(r"\S+@\S+")] * is_known
    )


@pytest.mark.parametrize("at_first, later", [(1, 1), (1, 0), (0, 1)])
def test_an_effect_is_found_whether_its_secret_is_known_or_not(pattern, at_first, later):
    """A restart that has not run `redact` yet, or has run it for the first time, repeats nothing;
    two keys that differ in what is struck out alone are two."""
    CALLS.clear()
    broken = [True]
    with Graph("mails", State, store=MemoryStore()) as graph:

        @node
        def mail(state):
            for to in ("a@b.c", "d@e.f"):
                effect(f"mail {to}", call, to)
                cached(f"look {to}", call, f"look {to}")
            if broken:
                raise ValueError("broken")
            return {"x": 1}

        START >> mail >> END
    pattern(at_first)
    with pytest.raises(NodeError):
        graph.run({"x": 0}, thread="t")
    written = [entry.key for entry in graph.store.latest("t").journal]
    assert bool(at_first) == all("•••" in key and "@" not in key for key in written)
    broken.clear()
    pattern(later)

    assert {"x": 1} == graph.thread("t").resume().result(10)
    assert ["a@b.c", "look a@b.c", "d@e.f", "look d@e.f"] == CALLS


@pytest.mark.parametrize("at_first, later", [(1, 1), (1, 0), (0, 1)])
def test_an_answer_reaches_its_question(pattern, at_first, later):
    """Of two questions that differ in what is struck out, each gets its own."""
    with Graph("asks", State, store=MemoryStore()) as graph:

        @node
        def ask(state):
            first = interrupt("Write to a@b.c ?")
            return {"x": 10 * first + interrupt("Write to d@e.f ?")}

        START >> ask >> END
    pattern(at_first)
    graph.run({"x": 0}, thread="t")
    [asked] = graph.thread("t").questions
    assert ("Write to ••• ?" if at_first else "Write to a@b.c ?") == asked.question
    pattern(later)
    graph.thread("t").resume(answers={asked.id: 1}).result(10)
    [asked] = graph.thread("t").questions

    assert {"x": 12} == graph.thread("t").resume(answers={asked.id: 2}).result(10)


def test_an_idempotency_key_is_of_the_key_itself(pattern):
    """It is the same whether what is in it is known to be secret or not."""
    from nbagent.engine.node.effects import idempotency_key

    made = []
    for is_known in (0, 1):
        pattern(is_known)
        broken = [True]
        with Graph("mails", State, store=MemoryStore()) as graph:

            @node
            def mail(state, broken=broken):
                def send():
                    made.append(idempotency_key())
                    if broken:
                        raise OSError("it may have happened")

                effect("mail a@b.c", send, idempotent=True)

            START >> mail >> END
        with pytest.raises(NodeError):
            graph.run({"x": 0}, thread="t")
        broken.clear()
        pattern(1 - is_known)
        graph.thread("t").resume().result(10)

    assert made[0] == made[1]
    assert made[2] == made[3]
