"""Subgraphs side by side give what plain nodes would, for any reducer. (R10, R18)"""

import itertools
import operator
from decimal import Decimal
from typing import Annotated, Any, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbagent import END, START, Graph, interrupt, node
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


def last_four(old, new):
    return (old + new)[-4:]


def by_id(old, new):
    return list(({one["id"]: one for one in old} | {one["id"]: one for one in new}).values())


def halves(old, new):
    """Neither associative nor commutative: only the order of plain nodes gives its result."""
    return old / 2 + new


TEXTS = st.lists(st.text("ab", min_size=1, max_size=2), max_size=3)
IDS = st.lists(st.fixed_dictionaries({"id": st.integers(0, 3), "v": st.integers(0, 9)}), max_size=3)
KINDS: dict[str, tuple[Any, Any, Any]] = {  # reducer, values, the first one
    "a list": (operator.add, TEXTS, []),
    "the last four": (last_four, TEXTS, ["m1", "m2", "m3", "m4"]),
    "by id": (by_id, IDS, [{"id": 1, "v": 0}]),
    "floats": (operator.add, st.floats(-1, 1), 0.1),
    "Decimal": (operator.add, st.decimals(-9, 9, places=2), Decimal("0.10")),
    "halves": (halves, st.floats(0, 9), 1.0),
    "a dict": (operator.or_, st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)), {"a": 0}),
    "the largest": (max, st.integers(0, 9), 3),
}


def graphs(reducer, left, right, store, asks=False):
    """The writes of `left` one after another, beside those of `right`: as plain nodes of one
    super-step each, and as two subgraphs."""

    class State(TypedDict):
        value: Annotated[Any, reducer]

    def says(value, name, asks=False):
        def say(state):
            if asks:
                interrupt("go on?")
            return {"value": value}

        return node(say, name=name)

    with Graph("plain", State, store=store) as plain:
        chains = [
            [says(v, f"{side}{n}") for n, v in enumerate(values)]
            for side, values in (("l", left), ("r", right))
        ]
        # All of `left` merges before `right`: a subgraph's writes come together.
        line = [*chains[0], *chains[1]]
        START >> line[0]
        for one, two in itertools.pairwise(line):
            one >> two
        line[-1] >> END

    def sub(name, values):
        with Graph(name, State, store=store) as made:
            line = [says(v, f"s{n}", asks and n == len(values) - 1) for n, v in enumerate(values)]
            START >> line[0]
            for one, two in itertools.pairwise(line):
                one >> two
            line[-1] >> END
        return made

    with Graph("nested", State, store=store) as nested:
        START >> [sub("left", left), sub("right", right)] >> node(lambda s: {}, name="fin") >> END
    return plain, nested


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_subgraphs_side_by_side_are_as_plain_nodes(kind, data):
    reducer, values, first = KINDS[kind]
    left, right = (data.draw(st.lists(values, min_size=1, max_size=3)) for _ in "lr")
    plain, nested = graphs(reducer, left, right, MemoryStore())

    expected, found = (graph.run({"value": first})["value"] for graph in (plain, nested))

    assert (type(expected), expected) == (type(found), found)


@pytest.mark.parametrize("kind", KINDS)
def test_what_they_wrote_before_a_restart_counts_once(kind, tmp_path):
    """Their last nodes ask; the file is opened anew before each answer."""
    reducer, _, first = KINDS[kind]
    drawn = {
        "a list": (["a", "b"], ["c"]), "the last four": (["a", "b"], ["c"]),
        "by id": ({"id": 1, "v": 5}, {"id": 2, "v": 6}), "floats": (0.1, 0.2),
        "Decimal": (Decimal("0.1"), Decimal("0.2")), "halves": (3.0, 5.0),
        "a dict": ({"b": 1}, {"a": 2}), "the largest": (4, 9),
    }[kind]  # fmt: skip
    a, b = ([one] if kind == "by id" else one for one in drawn)
    plain, _ = graphs(reducer, [a, b, a], [b, a], MemoryStore())
    expected = plain.run({"value": first})["value"]

    answers = 0
    while True:
        store = SqliteStore(tmp_path / "a.db")
        _, nested = graphs(reducer, [a, b, a], [b, a], store, asks=True)
        if not answers:
            nested.run({"value": first}, "t")
        thread = nested.thread("t")
        if thread.status == "done":
            break
        thread.resume(answers={thread.questions[0].id: "yes"}).result(10)
        store.close()
        answers += 1
    found = thread.state["value"]
    store.close()

    assert (2, type(expected), expected) == (answers, type(found), found)


def test_an_edit_inside_a_subgraph_is_given_back():
    """What a person has set there is no write of a node: the parent gets the change."""

    class State(TypedDict):
        total: Annotated[int, operator.add]

    store = MemoryStore()
    with Graph("inner", State, store=store) as inner:

        @node
        def add(state):
            return {"total": 5}

        @node
        def ask(state):
            interrupt("go on?")
            return {}

        START >> add >> ask >> END
    with Graph("outer", State, store=store) as outer:
        START >> inner >> END
    outer.run({"total": 1}, "t")
    (question,) = outer.thread("t").questions

    inner.thread(question.thread).edit({"total": 100})

    assert 100 == outer.thread("t").resume("yes").result(10)["total"]
