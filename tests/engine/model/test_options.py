"""Policies are checked when they are written, so that none hides what a node failed with. (R4)"""

import dataclasses
import inspect
import re
from datetime import timedelta
from typing import TypedDict

import pytest

from nbagent import (
    END,
    PERSON,
    START,
    Breaker,
    Budget,
    Cache,
    Graph,
    GraphError,
    NodeError,
    RateLimit,
    Retry,
    branch,
    each,
    node,
)
from nbagent.engine.model.policy import Policy
from nbagent.stores.memory import MemoryStore


class State(TypedDict, total=False):
    x: int
    said: str


async def waits(error):
    """Its coroutine would be taken for True."""


def one_node(function, **options):
    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(function, name="a", **options) >> END
    return graph


@pytest.mark.parametrize(
    "make",
    [
        lambda: Retry(wait=-1),
        lambda: Retry(wait="1"),
        lambda: Retry(wait=float("nan")),
        lambda: Retry(longest=-1),
        lambda: Retry(attempts=0),
        lambda: Retry(attempts=1.5),
        lambda: Retry(attempts=True),
        lambda: Retry(jitter=0.5),
        lambda: Retry(on="ValueError"),
        lambda: Retry(on=["ValueError"]),
        lambda: Retry(on=int),
        lambda: Retry(on=ValueError("one of them")),
        lambda: Retry(on=lambda: True),
        lambda: RateLimit(0),
        lambda: RateLimit(1.5),
        lambda: RateLimit(3, per=-1),
        lambda: RateLimit(3, per="minute"),
        lambda: Breaker(failures=0),
        lambda: Breaker(reset=0),
        lambda: Breaker(on=ConnectionError()),
        lambda: Cache(ttl=0),
        lambda: Cache(ttl="1h"),
        lambda: Cache(key=3),
        lambda: Cache(key=lambda: "x"),
        lambda: Retry(on=waits),
        lambda: Breaker(on=waits),
        lambda: Cache(key=waits),
    ],
)
def test_a_policy_that_cannot_work_is_not_made(make):
    """Whatever kind of nonsense it is, it never reaches a run."""
    with pytest.raises((TypeError, ValueError)):
        make()


@pytest.mark.parametrize(
    "options",
    [
        {"retry": "3"},
        {"retry": True},
        {"retry": [3]},
        {"retry": ValueError},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": "30"},
        {"timeout": True},
        {"timeout": timedelta(seconds=3)},
        {"total_timeout": float("nan")},
        {"stall": 0},
        {"fallback": "other"},
        {"fallback": lambda: {}},
        {"fallback": lambda a, b: {}},
        {"rate_limit": 5},
        {"breaker": RateLimit(1)},
        {"recover": ValueError},
        {"recover": {"ValueError": "said"}},
        {"recover": {int: "said"}},
        {"recover": {ValueError: 3}},
        {"recover": {ValueError: lambda: {}}},
        {"recover": {ValueError: "sayd"}},
        {"cache": "1h"},
        {"cache": Cache(key="y")},
        {"pause": "between"},
    ],
    ids=str,
)
def test_an_option_that_cannot_work_is_refused_at_the_nodes_line(options):
    """Not when the node fails: then its own error would be hidden."""
    with pytest.raises(GraphError) as caught:
        one_node(lambda state: {"x": 1}, **options)
    assert __file__ == caught.value.location.filename


@pytest.mark.parametrize(
    "options",
    [
        {"retry": 2},
        {"retry": [Retry(on=KeyError), Retry(2, on=ValueError, wait=0)]},
        {"retry": Retry(2, on=lambda error: 1 / 0, wait=0)},
        {"retry": Retry(2, on=lambda error: "yes", wait=0)},
        {"breaker": Breaker(on=lambda error: error.status)},
        {"recover": {(KeyError, OSError): "said"}},
        {"timeout": 5, "total_timeout": 5, "stall": 5},
    ],
    ids=str,
)
def test_the_nodes_own_error_is_what_is_told(options):
    """A policy that does not help, or fails itself, does not take its place."""

    def fails(state):
        raise ValueError("what really went wrong")

    with pytest.raises(NodeError, match="what really went wrong"):
        one_node(fails, **options).run({})


@pytest.mark.parametrize("function", [lambda: "x", lambda a, b: "x", 3], ids=str)
@pytest.mark.parametrize("make", [lambda f: branch(f, x=END), lambda f: each(f, "a")])
def test_a_route_that_cannot_be_asked_is_refused(function, make):
    """It is called with the state."""
    with pytest.raises(GraphError) as caught, Graph("g", State):
        START >> node(lambda state: None, name="a") >> make(function)
    assert __file__ == caught.value.location.filename


def test_exception_types_may_be_a_list():
    """As in other libraries."""
    assert Retry(on=[ValueError, KeyError]).applies(KeyError())
    assert not Retry(on=[ValueError, KeyError]).applies(OSError())


def test_the_first_retry_that_applies_decides():
    """Each kind of error has its own number of attempts."""
    calls = []

    def fails(state):
        calls.append(1)
        raise (KeyError if len(calls) == 1 else ValueError)("x")

    ways = [Retry(4, on=ValueError, wait=0), Retry(2, on=LookupError, wait=0)]
    with pytest.raises(NodeError, match="ValueError"):
        one_node(fails, retry=ways).run({})
    assert 4 == len(calls)


def test_retry_asks_a_function():
    """It is given the exception."""
    seen = []

    def fails(state):
        if len(seen) < 2:
            raise ValueError(len(seen))
        return {"x": len(seen)}

    retry = Retry(5, on=lambda error: seen.append(str(error)) or True, wait=0)
    assert {"x": 2} == one_node(fails, retry=retry).run({})
    assert ["0", "1"] == seen


def test_a_group_of_errors_is_what_is_in_it():
    """A TaskGroup's `ExceptionGroup` is tried again, and recovered from, as its errors are.
    (W19)"""
    calls = []

    def fails(state):
        calls.append(1)
        if len(calls) < 3:
            raise ExceptionGroup("all", [ConnectionError("a"), TimeoutError("b")])
        raise ExceptionGroup("all", [ValueError("c")])

    graph = one_node(fails, retry=Retry(9, wait=0), recover={ValueError: "said"})
    assert "ExceptionGroup: all" in graph.run({})["said"]
    assert 3 == len(calls)


def test_every_policy_is_an_option_of_node():
    """A policy is one field of one record, and the docstring of `node` tells of it."""
    names = {field.name for field in dataclasses.fields(Policy)}
    assert set() == names - set(inspect.signature(node).parameters)
    said = node.__doc__.partition("\n")[2]
    assert [] == [name for name in names if not re.search(rf"\b{name}\b", said)]


def test_every_policy_that_guards_the_call_is_asked_for():
    """One that is added is noticed without naming it anywhere else."""
    made = {
        "retry": (Retry(),),
        "timeout": 1,
        "idle_timeout": 1,
        "total_timeout": 1,
        "fallback": lambda state: None,
        "rate_limit": RateLimit(1),
        "breaker": Breaker(),
        "recover": {ValueError: PERSON},
        "cache": Cache(),
        "stall": 1,
        "budget": Budget(calls=1),
    }
    assert {field.name for field in dataclasses.fields(Policy)} == made.keys()
    beside = {name for name, one in made.items() if not Policy(**{name: one}).guards_the_call}
    assert {"budget", "cache", "stall"} == beside
