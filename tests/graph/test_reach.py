"""A graph is refused for what is certain: a Command may come from anywhere. (R46)"""

import functools
import operator
from collections import deque
from typing import Annotated, TypedDict

import pytest

import nbagent
from nbagent import END, PERSON, START, Graph, GraphError, Send, branch, interrupt, node
from nbagent import Command as Go
from nbagent.stores.memory import MemoryStore
from tests.graph import test_builder


class State(TypedDict, total=False):
    n: int
    log: Annotated[list[str], operator.add]


def helper(target):
    return nbagent.Command(goto=target)


class Agent:
    def __init__(self, target):
        self.target = target

    def __call__(self, state):
        return self.make()

    def make(self):
        return Go(goto=self.target)


class Ways:
    ahead = staticmethod(lambda: Go(goto="b"))


class Further(Go):
    pass


def plain(state):
    return nbagent.Command(goto="b")


def through(state):
    return helper("b")


def of_a_class(state):
    return Ways.ahead()


def of_a_subclass(state):
    return Further(goto="b")


def from_another_module(state):
    return test_builder.Command(goto="b")


def imported_inside(state):
    from nbagent import Command as Anything

    return Anything(goto="b")


def found_by_name(state):
    return getattr(nbagent, "Com" + "mand")(goto="b")


READY, QUEUE = {"on": Go(goto="b")}, deque([Go(goto="b")])


def ready_made(state):
    return READY["on"]


def from_a_queue(state):
    return QUEUE[0]


def nested(state):
    def inner():
        return next(Go(goto="b") for _ in range(1))

    return inner()


async def waits(state):
    return helper("b")


def decorated(function):
    @functools.wraps(function)
    def wrapper(state):
        return function(state)

    return wrapper


def fails(state):
    raise ValueError("x")


def closes_over(made):
    return lambda state: made(goto="b")


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (plain, {}),
        (through, {}),
        (functools.partial(plain), {}),
        (functools.partial(lambda make, state: make("b"), helper), {}),
        (Agent("b"), {}),
        (Agent("b").__call__, {}),
        (lambda state: Agent("b").make(), {}),
        (of_a_class, {}),
        (of_a_subclass, {}),
        (from_another_module, {}),
        (imported_inside, {}),
        (found_by_name, {}),
        (ready_made, {}),
        (from_a_queue, {}),
        (nested, {}),
        (waits, {}),
        (decorated(through), {}),
        (closes_over(Go), {}),
        (fails, {"recover": {ValueError: lambda error: helper("b")}}),
        (fails, {"fallback": through}),
        (fails, {"fallback": functools.partial(plain)}),
    ],
)
@pytest.mark.parametrize("wired", [False, True])
def test_a_node_that_a_command_leads_to_is_reached(function, options, wired):
    """Whoever makes the Command, and whether or not the node has edges of its own."""
    with Graph("g", State, store=MemoryStore()) as graph:
        a = node(function, name="a", **options)

        @node
        def b(state):
            return {"n": 1}

        START >> a
        b >> END
        if wired:
            a >> END
    assert 1 == graph.run({})["n"]


def test_a_route_that_sends_is_followed():
    """With targets or without, from a helper or itself; the node that it sends to has no edges."""

    def sends(target):
        return Send(target, {"n": 1})

    for targets in ({}, {"end": END}):
        with Graph("g", State, store=MemoryStore()) as graph:

            @node
            def a(state):
                return None

            @node
            def b(item):
                return {"n": item["n"]}

            START >> a >> branch(lambda state: [sends("b")], **targets)
            b >> END
        assert 1 == graph.run({})["n"]


def asks(state):
    answer = interrupt("ok?")
    return {"log": [str(answer).strip().lower() + ", ".join(map(str, range(3)))]}


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (asks, {}),
        (lambda state: {"n": len(state["log"])}, {}),
        (functools.partial(operator.itemgetter, "n"), {}),
        (asks, {"recover": {ValueError: PERSON, KeyError: "log"}, "fallback": asks}),
    ],
)
def test_a_node_that_was_forgotten_is_told(function, options):
    """Where it can be seen that no node makes a Command."""
    with pytest.raises(GraphError, match="node 'lost' is never reached"), Graph("g", State):
        node(lambda state: None, name="lost")
        START >> node(function, name="a", **options) >> END


def logged(function):
    def wrapper(state):
        return function(state)

    return wrapper


@logged
def one(state):
    return {"log": ["one"]}


@logged
def two(state):
    return {"log": ["two"]}


def test_two_functions_of_one_name_are_refused():
    """The second one would silently never run."""
    with (
        pytest.raises(GraphError, match="two functions named 'wrapper'") as caught,
        Graph("g", State),
    ):
        START >> [one, two] >> END
    assert __file__ == caught.value.location.filename
    with Graph("g", State, store=MemoryStore()) as graph:
        START >> [one, node(two, name="zwei")] >> END
    assert ["one", "two"] == sorted(graph.run({})["log"])


def test_one_function_is_one_node_however_often_it_is_named():
    """Also a method, which is another object each time, and a partial."""

    class Writer:
        def write(self, state):
            return {"log": ["written"]}

    writer, half = Writer(), functools.partial(lambda word, state: {"log": [word]}, "half")
    with Graph("g", State, store=MemoryStore()) as graph:
        START >> writer.write
        writer.write >> node(half, name="half") >> END
    assert ["written", "half"] == graph.run({})["log"]
    named = functools.partial(one)
    with Graph("h", State, store=MemoryStore()) as graph:
        START >> named
        named >> END
    assert ["one"] == graph.run({})["log"]
