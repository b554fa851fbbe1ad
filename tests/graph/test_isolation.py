"""
No task sees another's writes, whatever the value is and whoever changes it. (R14, R15, R19)
"""

import collections
import dataclasses
import heapq
import operator
import random
from typing import Annotated, Any, TypedDict

import msgspec
import numpy
import pandas
import pydantic
import pytest

import nbagent
from nbagent import END, START, Graph, NodeError, node
from nbagent.engine.model.values import freeze, isolate, thaw
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


class State(TypedDict):
    value: Any
    other: Any
    log: Annotated[list[Any], operator.add]


@dataclasses.dataclass
class Counter:
    number: int


class Struct(msgspec.Struct):
    number: int


class Model(pydantic.BaseModel):
    number: int


def run(first, second, value, store=None):
    """Two siblings that read `value`; what each returned, and the value afterwards."""
    with Graph("g", State, store=store or MemoryStore()) as made:
        nodes = [
            node(lambda state, f=f: {"log": [f(state["value"])]}, name=name)
            for name, f in (("first", first), ("second", second))
        ]
        START >> nodes
        for one in nodes:
            one >> END
    state = made.run({"value": value}, "t")
    return state["log"], state["value"]


def frame():
    return pandas.DataFrame({"a": [1, 2], "b": [[1], [2]]})


def change_frame(df):
    df.loc[0, "a"] = 99
    df["c"] = 5
    df["b"].iloc[0].append("x")
    return list(df.columns)


def change_series(series):
    series.iloc[0] = 99
    return int(series.iloc[0])


def change_array(array):
    array[0] = 99
    array.sort()
    return array.tolist()


def change_counter(counter):
    counter.number += 1
    return counter.number


@pytest.mark.parametrize(
    ("value", "change", "look", "expected"),
    [
        (frame(), change_frame, lambda df: df.to_dict("list"), {"a": [1, 2], "b": [[1], [2]]}),
        (pandas.Series([1, 2]), change_series, lambda s: s.tolist(), [1, 2]),
        (numpy.array([3, 1]), change_array, lambda a: a.tolist(), [3, 1]),
        (Counter(1), change_counter, lambda c: c.number, 1),
        ([Counter(1)], lambda cs: change_counter(cs[0]), lambda cs: cs[0].number, 1),
        ({"k": frame()}, lambda d: change_frame(d["k"]), lambda d: d["k"]["a"].tolist(), [1, 2]),
        (Struct(1), change_counter, lambda c: c.number, 1),
        (Model(number=1), change_counter, lambda c: c.number, 1),
    ],
    ids=["frame", "series", "array", "object", "in a list", "in a dict", "struct", "model"],
)  # fmt: skip
def test_what_cannot_be_frozen_is_private_to_each_reader(value, change, look, expected):
    """A node changes its own copy: neither its sibling nor the checkpoint sees that."""
    for order in ((change, look), (look, change)):
        log, kept = run(*order, value)

        assert expected == log[order.index(look)]
        assert expected == look(kept)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value["xs"].append(9),
        lambda value: value.update(ys=1),
        lambda value: random.shuffle(value["xs"]),
        lambda value: value["xs"].sort(),
        lambda value: operator.setitem(value["xs"], 0, 9),
        lambda value: operator.iadd(value["xs"], [9]),
        lambda value: value["set"].add(9),
        lambda value: value["nested"][0].clear(),
    ],
)
def test_what_is_frozen_refuses_and_says_what_to_do(change):
    """Also where a library does it."""
    value = {"xs": [3, 1, 2], "set": {1}, "nested": [{"k": [1]}]}
    with pytest.raises(NodeError, match=r"return the new value instead") as caught:
        run(change, len, value)

    assert caught.value.node == "first"


def test_a_change_behind_the_lists_back_is_found_and_nothing_is_committed(tmp_path):
    """heapq does not call the list's methods; the run fails, and the checkpoint is good."""
    store = SqliteStore(tmp_path / "a.db")
    with Graph("g", State, store=store) as made:

        @node
        def push(state):
            heapq.heappush(state["value"] if not fixed else thaw(state["value"]), 0)

        START >> push >> END
    fixed = []
    with pytest.raises(nbagent.StateError, match=r"'value' was changed in place.*thaw"):
        made.run({"value": [1, 2]}, "t")
    fixed.append(True)

    assert [1, 2] == made.thread("t").resume().result(5)["value"]
    store.close()


def test_what_a_node_keeps_and_changes_later_does_not_matter():
    """The value is frozen, or copied, when it is written. (W16)"""
    kept = {"list": [1], "frame": frame()}

    def write(value):
        return kept

    def later(value):
        return None

    with Graph("g", State, store=MemoryStore()) as made:
        first = node(lambda state: {"value": kept, "other": kept}, name="first")

        @node
        def second(state):
            kept["list"].append(2)
            kept["frame"].loc[0, "a"] = 99
            return {"log": [state["value"]["list"], state["other"]["frame"]["a"].tolist()]}

        START >> first >> second >> END

    assert [[1], [1, 2]] == made.run({}, "t")["log"]


def test_a_generator_is_refused_with_its_field():
    """It could be read only once, and no store can keep it."""
    with Graph("g", State, store=MemoryStore()) as made:
        START >> node(lambda state: {"value": (x for x in "ab")}, name="gen") >> END

    with pytest.raises(NodeError, match="a generator cannot be kept in the state"):
        made.run({}, "t")


def test_thaw_keeps_what_is_not_frozen_as_it_is():
    """An OrderedDict stays one; a private copy of it is made."""
    value = collections.OrderedDict(a=[1])
    copy = thaw(isolate(freeze(value)))

    assert copy == value
    assert type(copy) is collections.OrderedDict
    copy["a"].append(2)
    assert [1] == value["a"]
