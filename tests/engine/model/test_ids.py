"""Ids are made and taken apart in one place; any text is a thread's id."""

from typing import TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbagent import END, START, Graph, interrupt, node, prune
from nbagent.engine.model import ids
from nbagent.errors import GraphError
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


class State(TypedDict):
    said: str


NAMES = st.text(st.sampled_from("ab0123_- "), min_size=1)


@given(st.integers(1, 10**6), NAMES, st.none() | st.integers(0, 99), NAMES, st.none() | st.just(0))
def test_tasks_are_told_apart(anchor, name, sent, other, other_sent):
    """A task's id gives its node and its checkpoint back, and two tasks never share one. (W17)"""
    task = ids.task_id(anchor, name, sent)

    assert name == ids.node_of(task)
    assert anchor == ids.anchor_of(task)
    if (name, sent) != (other, other_sent):
        assert task != ids.task_id(anchor, other, other_sent)


@given(st.integers(1, 99), NAMES, NAMES, st.integers(0, 9))
def test_a_question_is_found_through_the_tasks_above_it(anchor, outer, inner, position):
    own = ids.call_id(ids.task_id(anchor, inner), position)
    asked = ids.inner_question(ids.task_id(anchor, outer), own)

    assert (None, own) == ids.split_question(own)
    assert (ids.task_id(anchor, outer), own) == ids.split_question(asked)


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    made = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "a.db")
    yield made
    made.close()


def asking(store, name="ask"):
    """A graph whose node asks, and one that has it as a node."""
    with Graph("inner", State, store=store) as inner:

        @node(name=name)
        def ask(state):
            return {"said": interrupt("Well?")}

        START >> ask >> END
    with Graph("outer", State, store=store) as outer:
        START >> node(inner, name="sub graph") >> END
    return inner, outer


@pytest.mark.parametrize("name", ["a/b", "a#0", "50%", "x:1", "a+b>c"])
def test_a_nodes_name_cannot_be_taken_for_another_part_of_an_id(store, name):
    with pytest.raises(GraphError, match="cannot be a node's name"):
        asking(store, name)[0].compile()


def test_deleting_a_thread_leaves_others_whose_ids_begin_alike(store):
    """An id says nothing about other threads: not a slash, not a task's name. (W17)"""
    inner, _ = asking(store)
    for id in ("proj", "proj/notes", "proj/1:ask", "proj/2:sub", "proj-1"):
        inner.run({}, id)
    inner.thread("proj").fork(id="proj/what-if")

    inner.thread("proj").delete()

    assert ["proj-1", "proj/1:ask", "proj/2:sub", "proj/notes", "proj/what-if"] == sorted(
        one.id for one in store.threads()
    )
    assert not any(one.is_nested for one in store.threads())


def test_pruning_a_thread_leaves_others_whose_ids_begin_alike(store):
    inner, _ = asking(store)
    for id in ("proj", "proj/1:ask"):
        inner.run({}, id)
        inner.thread(id).resume("yes").result(10)

    prune(store, keep=1, threads=["proj"])

    assert 2 == len(store.threads())
    assert 2 == len(store.history("proj/1:ask"))


def test_what_is_nested_goes_with_its_parent(store):
    _, outer = asking(store)
    outer.run({}, "t")
    outer.thread("t").copy(store, "copy")

    outer.thread("t").delete()

    assert [("copy", ""), ("copy", "1:sub graph")] == sorted(
        (one.parent or one.id, one.place) for one in store.threads()
    )
    assert "yes" == outer.thread("copy").resume("yes").result(10)["said"]


def test_a_nested_thread_finds_its_id_taken(store):
    """It gets another one, and neither of the two takes the other for itself."""
    inner, outer = asking(store)
    taken = ids.nested_thread("t", "1:sub graph")
    inner.run({"said": "mine"}, taken)

    outer.run({}, "t")
    (question,) = outer.thread("t").questions

    assert question.thread != taken
    assert "yes" == outer.thread("t").resume("yes").result(10)["said"]
    assert ["mine", "waiting"] == [inner.thread(taken).state["said"], inner.thread(taken).status]
