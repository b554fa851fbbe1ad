"""What a node is told of its task, and of what its run was given beside the state."""

import asyncio
import dataclasses
import functools
import sqlite3
from typing import TypedDict

import pydantic
import pytest

import nbagent
from nbagent import (
    END,
    START,
    Graph,
    NbagentError,
    NodeError,
    Retry,
    StateError,
    TaskInfo,
    branch,
    interrupt,
    node,
)
from nbagent.errors import ThreadError
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


class State(TypedDict, total=False):
    x: int
    said: str


@dataclasses.dataclass
class User:
    name: str = "nobody"


@dataclasses.dataclass
class Needed:
    name: str


def looped(turns, seen, **options):
    with Graph("looped", State, store=MemoryStore(), **options) as graph:

        @node
        def turn(state, task):
            seen.append(task)
            return {"x": state["x"] + 1}

        START >> turn
        turn >> branch(lambda s: "on" if s["x"] < turns else "off", on=turn, off=END)
    return graph


def test_a_node_is_told_its_task():
    """Graph, thread, super-step, node, attempt, and how many super-steps may follow."""
    seen = []
    looped(3, seen).run({"x": 0}, thread="t", step_limit=5)

    assert [(1, 4), (2, 3), (3, 2)] == [(task.step, task.remaining_steps) for task in seen]
    assert {("looped", "t", "turn", 1)} == {(t.graph, t.thread, t.node, t.attempt) for t in seen}
    assert [None] * 3 == [task.context for task in seen]
    assert [{}] * 3 == [task.metadata for task in seen]


def test_the_remaining_steps_end_a_loop_before_the_limit():
    """The last super-step that may be made has none behind it."""
    with Graph("g", State, store=MemoryStore()) as graph:

        @node
        def turn(state, *, task):
            return {"x": state["x"] + 1, "said": "end" if not task.remaining_steps else "on"}

        START >> turn
        turn >> branch("said", on=turn, end=END)

    assert {"x": 4, "said": "end"} == graph.run({"x": 0}, step_limit=4)


def test_the_attempt_is_counted():
    """The first is 1; what stands in for the node is told as well."""
    seen = []

    def instead(state, task):
        return {"said": f"{task.node} {task.attempt}"}

    with Graph("g", State, store=MemoryStore()) as graph:

        @node(retry=Retry(attempts=2, wait=0, on=ValueError), fallback=instead)
        def fails(state, task):
            seen.append(task.attempt)
            raise ValueError

        START >> fails >> END

    assert "fails 3" == graph.run({"x": 0})["said"]
    assert [1, 2] == seen


@pytest.mark.parametrize("arity", [1, 2])
def test_a_recover_function_is_told_its_task(arity):
    """Beside the error, or beside the state and the error."""

    def alone(error, task):
        return {"said": f"{task.node}: {error}"}

    def both(state, error, *, task):
        return {"said": f"{task.node} {state['x']}: {error}"}

    with Graph("g", State, store=MemoryStore()) as graph:

        @node(recover={ValueError: alone if arity == 1 else both})
        def fails(state):
            raise ValueError("no")

        START >> fails >> END

    assert ("fails: no" if arity == 1 else "fails 7: no") == graph.run({"x": 7})["said"]


def test_only_a_parameter_of_that_name_is_the_task():
    """Others keep their defaults; the first is the state, whatever its name."""

    def other(state, tasks=3, *, more=4):
        return {"x": tasks + more}

    def state_alone(task):
        return {"x": task["x"] + 1}

    def bound(state, task):
        return {"x": task}

    def optional(state, task=None):
        return {"x": task.step}

    async def coroutine(state, task: TaskInfo):
        await asyncio.sleep(0)
        return {"x": task.step}

    class Called:
        def __call__(self, state, task):
            return {"x": task.step}

    def x_of(function):
        with Graph("g", State, store=MemoryStore()) as graph:
            START >> node(function, name="n") >> END
        return graph.run({"x": 10})["x"]

    functions = [
        *(other, state_alone, functools.partial(bound, task=5), optional, coroutine, Called()),
        functools.partial(bound, task=6),
    ]
    assert [7, 11, 5, 1, 1, 1, 6] == [x_of(function) for function in functions]


async def test_the_task_is_there_anywhere_inside_a_node():
    """In what it calls, awaits, and runs on a thread; outside it is an error."""
    seen = []

    def deep():
        seen.append(nbagent.task().node)

    async def deeper():
        deep()
        await asyncio.to_thread(deep)

    with Graph("g", State, store=MemoryStore()) as graph:

        @node
        async def outer(state):
            await asyncio.gather(deeper(), deeper())

        START >> outer >> END
    await graph.arun({"x": 0})

    assert ["outer"] * 4 == seen
    with pytest.raises(NbagentError, match=r"task\(\) works only inside a node"):
        nbagent.task()


def test_a_node_is_tested_alone_with_a_task_of_ones_own():
    """It is an ordinary object."""

    @node
    def greet(state, task: TaskInfo[User]):
        return {"said": f"Dear {task.context.name}"}

    assert {"said": "Dear Ada"} == greet({}, TaskInfo(context=User("Ada")))


# ---------------------------------------------------------------------------------- the context


def greeting(store=None, *, context=User, name="greeting"):
    with Graph(name, State, store=store or MemoryStore(), context=context) as graph:

        @node
        def greet(state, task):
            return {"said": f"Dear {task.context.name}"}

        @node
        def ask(state, task):
            return {"said": f"{interrupt('Well?')}, {task.context.name}"}

        START >> greet >> ask >> END
    return graph


class Model(pydantic.BaseModel):
    name: str


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (User, User("Ada")),
        (User, {"name": "Ada"}),
        (Model, {"name": "Ada"}),
        (Model, Model(name="Ada")),
    ],
)
def test_a_run_is_given_a_context_of_the_graphs_class(kind, given):
    """An object of it, or a dict that makes one; in the very object where it is one."""
    graph = greeting(context=kind)
    first = graph.run({}, thread="t", context=given)
    done = graph.thread("t").resume("yes", context=given).result()

    assert ("Dear Ada", "yes, Ada") == (first["said"], done["said"])


def test_a_context_of_the_wrong_class_is_refused_before_anything_runs():
    """With what is wrong; no thread is made."""

    class Dict(TypedDict):
        name: str

    wrong = [
        (User, "Ada", "is a str: give a User"),
        (User, {"nmae": "Ada"}, "cannot be made a User"),
        (Needed, None, "needs a context"),
        (Dict, {"nmae": "Ada"}, "did you mean 'name'"),
        (Dict, None, "needs a context with 'name'"),
        (Dict, 3, "give a dict"),
    ]
    for kind, given, match in wrong:
        graph = greeting(context=kind)
        with pytest.raises(StateError, match=match):
            graph.start({}, thread="t", context=given)
        assert [] == list(graph.store.threads())
    with pytest.raises(nbagent.GraphError, match="give a class"):
        greeting(context=3)


def test_a_context_is_made_where_its_class_needs_nothing():
    """And there is nothing to ask for at resume."""
    graph = greeting()

    assert "Dear nobody" == graph.run({}, thread="t")["said"]
    assert "yes, nobody" == graph.thread("t").resume("yes").result()["said"]


@pytest.mark.parametrize("kind", [User, Needed])
def test_a_context_is_asked_for_again_at_resume(tmp_path, kind):
    """It is in no store; a default does not take its place without a word."""
    store = SqliteStore(tmp_path / "a.db")
    greeting(store, context=kind).run({}, thread="t", context=kind("Ada"))
    store.close()
    again = SqliteStore(tmp_path / "a.db")
    graph = greeting(again, context=kind)

    with pytest.raises(ThreadError, match=r"give it again, as in resume\(…, context=…\)"):
        graph.thread("t").resume("yes")
    assert "waiting" == graph.thread("t").status
    done = graph.thread("t").resume("yes", context=kind("Grace")).result()
    assert "yes, Grace" == done["said"]
    again.close()


def test_a_context_that_no_class_was_said_of_is_asked_for_by_who_reads_it():
    """Where it is missing at resume, the node that wants its task fails, and says so."""
    graph = greeting(context=None)
    graph.run({}, thread="t", context=User("Ada"))
    with pytest.raises(NodeError, match="give it again"):
        graph.thread("t").resume("yes").result()

    assert "yes, Ada" == graph.thread("t").resume(context=User("Ada")).result()["said"]


def test_a_new_turn_asks_for_what_that_turn_was_given():
    """A turn that was given none may be resumed without."""
    graph = greeting()
    graph.run({}, thread="t", context=User("Ada"))
    graph.thread("t").resume("yes", context=User("Ada")).result()
    graph.run({}, thread="t")

    assert "no, nobody" == graph.thread("t").resume("no").result()["said"]


async def test_subgraphs_and_called_graphs_have_their_callers_context():
    """The same object; a call cannot be given another."""
    seen, user = [], User("Ada")
    with Graph("inner", State, store=MemoryStore()) as inner:

        @node
        def look(state, task):
            seen.append(task.context)

        START >> look >> END
    with Graph("outer", State, store=MemoryStore(), context=User) as outer:

        @node
        async def calls(state):
            await inner.arun({"x": 1})

        @node
        async def wrong(state):
            await inner.arun({"x": 2}, context=User("Eve"))

        START >> inner >> calls >> wrong >> END
    with pytest.raises(NodeError, match="has its caller's context"):
        await outer.arun({"x": 0}, context=user)

    assert [True, True] == [context is user for context in seen]


async def test_streams_and_batches_take_a_context():
    """As `start` does."""
    graph = greeting()
    read = [
        item async for item in graph.stream({}, mode="updates", thread="s", context=User("Ada"))
    ]
    batch = graph.map([{"x": 1}, {"x": 2}], context=User("Bob"))
    await batch

    assert [{"greet": {"said": "Dear Ada"}}] == read
    assert ["Dear Bob"] * 2 == [thread.state["said"] for thread in batch]


def test_nothing_of_a_context_is_in_the_file(tmp_path):
    """Not even what it looks like."""
    store = SqliteStore(tmp_path / "a.db")
    with Graph("g", State, store=store, context=User) as graph:
        START >> node(lambda s: {"x": 1}, name="n") >> END
    graph.run({}, thread="t", context=User("very-secret"))
    store.close()
    with sqlite3.connect(tmp_path / "a.db") as db:
        dump = "\n".join(db.iterdump())
    db.close()

    assert "User" in dump  # that there was one
    assert "very-secret" not in dump
