"""
What each kind of channel makes of writes, inputs and edits; one order for what has none. (R17, R18)
"""

import enum
import operator
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbagent import (
    END,
    START,
    Graph,
    GraphError,
    NodeError,
    StateError,
    Topic,
    branch,
    each,
    interrupt,
    node,
)
from nbagent.engine.model.channels import Channel
from nbagent.engine.model.order import in_order
from nbagent.stores.memory import MemoryStore


def run(state, *functions, given=None, thread="t"):
    with Graph("g", state, store=MemoryStore()) as made:
        last = START
        for place, one in enumerate(functions):
            last = last >> node(one, name=f"n{place}")
        last >> END
    return made, made.run(given or {}, thread)


@dataclass(frozen=True, slots=True)
class Highest(Channel):
    """A kind of channel that the package does not have."""

    folds = True

    def merge(self, current, writes):
        return max([write.value for write in writes] + ([current] if current else []))


def test_a_new_kind_of_channel_is_one_class():
    class State(TypedDict, total=False):
        best: Annotated[int, Highest]

    with Graph("g", State, store=MemoryStore()) as made:
        START >> [node(lambda s, n=n: {"best": n}, name=f"n{n}") for n in (1, 3, 2)] >> END

    assert {"best": 3} == made.run({"best": 2})


def test_an_input_means_the_same_on_a_new_thread_and_on_a_done_one():
    """It goes through the reducer, from the field's default or from what is there."""

    class State(TypedDict, total=False):
        tags: Annotated[list[str], lambda a, b: sorted({*a, *b})]
        last: Annotated[list[int], lambda a, b: [*a, *b][-3:]]

    class Model(pydantic.BaseModel):
        best: Annotated[int, max] = 5

    given = {"tags": ["b", "a", "b"], "last": [1, 2, 3, 4, 5]}
    made, first = run(State, lambda s: None, given=given)
    assert {"tags": ["a", "b"], "last": [3, 4, 5]} == first == made.run(given, "t")
    assert {"best": 5} == run(Model, lambda s: None, given={"best": 3})[1]


@pytest.mark.parametrize("what, expected", [("one", ["one"]), (None, []), (["a"], ["a"])])
def test_a_write_is_what_the_reducer_takes(what, expected):
    """Unchecked where it does not say, else of the type of its second parameter."""

    def loose(old, new):
        return [*old, new] if isinstance(new, str) else [] if new is None else [*old, *new]

    def strict(old: list[str], new: str | None) -> list[str]:
        return loose(old, new)

    class Loose(TypedDict, total=False):
        xs: Annotated[list[str], loose]

    class Strict(TypedDict, total=False):
        xs: Annotated[list[str], strict]

    assert {"xs": expected} == run(Loose, lambda s: {"xs": what})[1]
    if isinstance(what, list):
        with pytest.raises(NodeError, match=r"node 'n0' wrote a value that does not fit.*xs"):
            run(Strict, lambda s: {"xs": what})
    else:
        assert {"xs": expected} == run(Strict, lambda s: {"xs": what})[1]


def test_what_a_reducer_returns_fits_the_field_to_its_elements():
    """The writer is named, with what to do."""

    class State(TypedDict, total=False):
        v: Annotated[list[int], lambda a, b: a + [str(one) for one in b]]
        bounded: Annotated[int, pydantic.Field(le=3), operator.add]

    with pytest.raises(StateError, match=r"v\[0\]: .*integer.*node 'n0'.*rerun"):
        run(State, lambda s: {"v": [2]})
    with pytest.raises(StateError, match=r"bounded: .*less than or equal to 3"):
        run(State, lambda s: {"bounded": 2}, lambda s: {"bounded": 2})


@given(st.lists(st.lists(st.integers() | st.text(), max_size=3), max_size=4))
def test_elements_of_a_growing_list_are_checked(writes):
    """Whatever is written in however many steps: all of the list's type, or refused."""

    class State(TypedDict, total=False):
        xs: Annotated[list[int], operator.add]

    steps = [lambda s, w=w: {"xs": w} for w in writes] or [lambda s: None]
    flat = [item for write in writes for item in write]
    if all(isinstance(item, int) for item in flat):
        assert {"xs": flat} == run(State, *steps)[1]
    else:
        with pytest.raises(NodeError, match=r"xs\["):
            run(State, *steps)


def test_a_topic_is_given_as_its_list_or_as_one_item():
    """By an input, new or later, and by an edit; nodes read a list in any case."""

    class State(TypedDict, total=False):
        t: Annotated[list[str], Topic]
        seen: Annotated[list[Any], operator.add]

    def look(state):
        return {"seen": [state.get("t")]}

    for value in ("x", ["x"], ["x", "y"], []):
        expected = [value] if isinstance(value, str) else value
        made, first = run(State, look, given={"t": value})
        assert [expected] == first["seen"]
        assert [expected] * 2 == made.run({"t": value}, "t")["seen"] or not value
        with Graph("asks", State, store=MemoryStore()) as asks:

            @node
            def ask(state):
                interrupt("?")
                return look(state)

            START >> ask >> END
        asks.run({}, "t")
        asks.thread("t").edit({"t": value})
        assert [expected] == asks.thread("t").resume("yes").result(5)["seen"]
    with pytest.raises(StateError, match="t"):
        run(State, look, given={"t": [1]})


class Letter(enum.Enum):
    A = "first"
    B = "second"


class Word(str, enum.Enum):  # noqa: UP042  (as people write it; its `str` is no value)
    A = "first"
    B = "second"


class Number(enum.IntEnum):
    A = 1
    B = 2


BRANCHES = [
    (Letter, list(Letter), ["A", "B"]),
    (Letter, list(Letter), ["first", "second"]),
    (Word, list(Word), ["first", "second"]),
    (Word, list(Word), ["A", "B"]),
    (Number, list(Number), ["A", "B"]),
    (bool, [True, False], ["true", "false"]),
    (bool, [True, False], ["True", "False"]),
    (Literal["x", "y"], ["x", "y"], ["x", "y"]),
    (Literal[1, 2], [1, 2], ["1", "2"]),
    (Literal[Letter.A, Letter.B], list(Letter), ["A", "B"]),
]


@pytest.mark.parametrize("kind, values, keys", BRANCHES)
def test_a_branch_is_spelt_as_its_values_are(kind, values, keys):
    """By field and by function; several at once, too."""

    class State(TypedDict, total=False):
        c: kind
        log: Annotated[list[str], operator.add]

    def graph(choose):
        with Graph("g", State, store=MemoryStore()) as made:
            start = node(lambda s: None, name="start")
            ends = [node(lambda s, k=k: {"log": [k]}, name=f"to{i}") for i, k in enumerate(keys)]
            START >> start >> branch(choose, **dict(zip(keys, ends, strict=True)))
            for end in ends:
                end >> END
        return made

    for value, key in zip(values, keys, strict=True):
        assert [key] == graph("c").run({"c": value})["log"]
        assert [key] == graph(lambda s: s["c"]).run({"c": value})["log"]
        assert keys == graph(lambda s: set(values)).run({"c": value})["log"]
    with pytest.raises(GraphError, match="has no target for"):
        keys, kept = keys[:1], keys
        try:
            graph("c")
        finally:
            keys = kept


def test_the_advice_is_python():
    class State(TypedDict, total=False):
        c: Any

    with Graph("g", State, store=MemoryStore()) as made:
        START >> node(lambda s: None, name="n") >> branch("c", x=END)
    for value, advice in ((Letter.A, "`A=`"), (True, "`true=`"), ("a b", r"`\*\*\{'a b': …\}`")):
        with pytest.raises(NodeError, match=f"add {advice} to the branch"):
            made.run({"c": value})


SCRIPT = """
import operator
from typing import Annotated, Any, TypedDict
from nbagent import END, START, Command, Graph, branch, each, node

class S(TypedDict, total=False):
    xs: set[Any]
    log: Annotated[list[Any], operator.add]

with Graph("g", S, store="memory://x") as g:
    start = node(lambda s: None, name="start")
    START >> start >> each("xs", node(lambda x: {"log": [x]}, name="b")) >> END
log = g.run({"xs": {"c", "a", ("t", "u"), 3, 1.5, None, frozenset({"x", "y"}), b"b"}})["log"]
print([sorted(x) if isinstance(x, frozenset) else x for x in log])
"""


def test_a_set_is_walked_in_one_order_in_every_process():
    """Whatever the hash seed is."""
    seen = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "123"
    }

    assert 1 == len(seen)
    assert ["a", "b"] == list(in_order({"b", "a"}))
    assert [1, 2, 10] == list(in_order({10, 2, 1}))
    assert list(Letter) == list(in_order({Letter.B, Letter.A}))


def test_each_over_a_set_keeps_that_order():
    class State(TypedDict, total=False):
        xs: set[str]
        log: Annotated[list[str], operator.add]

    with Graph("g", State, store=MemoryStore()) as made:
        START >> each("xs", node(lambda x: {"log": [x]}, name="b")) >> END

    assert list("abcdef") == made.run({"xs": set("fedcba")})["log"]
