"""Going back to a point inside a graph that a node has run."""

import operator
from typing import Annotated, TypedDict

import pytest

from nbagent import END, START, Graph, errors, interrupt, node
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    word: str


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    made = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "a.db")
    yield made
    made.close()


def build(store, ran, asks=False):
    def make(name):
        def run(state):
            ran.append(name)
            said = interrupt("Go on?") if asks and name == "third" else state.get("word", "")
            return {"log": [f"{name} {said}".strip()]}

        return node(run, name=name)

    with Graph("inner", State, store=store) as inner:
        START >> make("first") >> make("second") >> make("third") >> END
    with Graph("outer", State, store=store) as outer:
        START >> make("before") >> inner >> make("after") >> END
    return outer


def test_it_goes_on_from_a_point_inside(store):
    """A fork from inside: what the graph had done up to the point counts and is not done again,
    what came after it is; the first thread is as it was."""
    ran = []
    outer = build(store, ran)
    whole = outer.run({}, "t")["log"]
    forked = outer.thread("t").fork(step=1, inside="inner", edits={"word": "anew"}, id="f")
    ran.clear()

    assert ("paused", ("inner",)) == (forked.status, forked.next)
    state = forked.resume().result()
    assert ["second", "third", "after"] == ran
    assert ["before", "first", "second anew", "third anew", "after anew"] == state["log"]
    assert (whole, "done") == (outer.thread("t").state["log"], outer.thread("t").status)


def test_in_place_while_it_asks(store):
    """In place, also while the graph asks: the question is asked again behind the point."""
    ran = []
    outer = build(store, ran, asks=True)
    outer.run({}, "t")
    thread = outer.thread("t")
    assert "waiting" == thread.status
    thread.fork(step=0, inside=outer.nodes["inner"], in_place=True)
    ran.clear()
    thread.resume().result()
    assert (["first", "second", "third"], "waiting") == (ran, thread.status)
    assert ["Go on?"] == [one.question for one in thread.questions]
    state = thread.resume("yes").result()
    assert ["before", "first", "second", "third yes", "after"] == state["log"]


def test_where_there_is_no_inside(store):
    """A node that runs no graph, has run none yet, or is none, is named; nothing changes."""
    outer = build(store, [])
    thread = outer.thread("t")
    thread.start({}, steps=1).result()
    for name, said in (("before", "runs no graph"), ("inner", "not run its"), ("x", "no node 'x'")):
        with pytest.raises(errors.ThreadError, match=said):
            thread.fork(step=0, inside=name)
    outer.run({}, "u")
    with pytest.raises(errors.ThreadError, match="has no super-step 9"):
        outer.thread("u").fork(step=9, inside="inner")
    assert 1 == sum(info.parent == "u" for info in store.threads())
