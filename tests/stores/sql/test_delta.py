"""What changed is small, and applying it gives the new value. (W15)"""

from typing import TypedDict

import numpy
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbagent import END, START, Graph, node
from nbagent.engine.model.values import FrozenDict, FrozenList, freeze, frozen_dict, frozen_list
from nbagent.errors import CodecError
from nbagent.stores.codec.values import decode, encode, same
from nbagent.stores.sql.delta import apply, diff
from nbagent.stores.sql.versions import followed
from nbagent.stores.sqlite import SqliteStore

LEAVES = st.one_of(st.none(), st.booleans(), st.integers(0, 3), st.floats(0, 2), st.text("ab"))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(st.text("abc", max_size=2), inner, max_size=5)
    ),
    max_leaves=15,
).map(freeze)


def mutate(value, pick):
    """A changed value that shares with the old one what did not change."""
    if isinstance(value, FrozenList):
        items = list(value)
        for _ in range(pick(st.integers(0, 3))):
            place = pick(st.integers(0, len(items)))
            what = pick(st.sampled_from(["insert", "drop", "change"]))
            if what == "insert":
                items.insert(place, pick(VALUES))
            elif place < len(items):
                items[place : place + 1] = [] if what == "drop" else [mutate(items[place], pick)]
        return frozen_list(items)
    if isinstance(value, FrozenDict):
        made = dict(value)
        for key in list(made):
            what = pick(st.sampled_from(["keep", "keep", "drop", "change"]))
            if what == "drop":
                del made[key]
            elif what == "change":
                made[key] = mutate(made[key], pick)
        made.update(pick(st.dictionaries(st.text("abc", max_size=2), VALUES, max_size=2)))
        return frozen_dict(made)
    return pick(VALUES)


@given(VALUES, st.data())
def test_applying_the_change_gives_the_new_value(old, data):
    """Types and the order of keys included, also through the file."""
    new = mutate(old, data.draw)
    change = diff(old, new)
    if change is not None:
        assert same(apply(old, change), new)
        assert same(apply(old, decode(encode(freeze(change)))), new)


@given(VALUES, VALUES)
def test_any_two_values(old, new):
    """Also when they share nothing: 1, True and 1.0 are never confused."""
    change = diff(old, new)
    assert change is None or same(apply(old, change), new)


def test_what_was_appended_is_all_that_is_stored():
    """For `operator.add`, and for any other way to a list with the same items before it."""
    old = frozen_list([{"message": "x" * 100} for _ in range(1000)])

    assert ["+", ["new"]] == diff(old, old.grown(["new"]))
    assert ["+", ["new"]] == diff(old, freeze([*old, "new"]))
    assert ["=", 500, 1, []] == diff(old, freeze([*old[:500], *old[501:]]))


def test_a_deep_change_is_small():
    """A nested dict stores only the path to what changed; text that grew, only its tail."""
    old = freeze({"a": {"b": {"c": "x" * 100, "d": 1}, "e": [1, 2]}, "f": "y" * 100})
    new = freeze({**old, "a": {**old["a"], "b": {**old["a"]["b"], "c": "x" * 100 + "!"}}})

    change = diff(old, new)
    assert len(encode(freeze(change))) < 40
    assert same(apply(old, change), new)


def test_a_table_costs_the_columns_that_changed(tmp_path):
    """One column of twenty is written anew; the file grows by that one, and all come back. (W15)"""

    class State(TypedDict):
        table: pandas.DataFrame

    def add(state):
        table = state["table"]
        table["c7"] = table["c7"] * 2.0
        table[f"new {table.shape[1]}"] = table["c1"] + 1.0
        return {"table": table}

    start = pandas.DataFrame({f"c{n}": numpy.random.rand(10_000) for n in range(20)})
    start["text"] = [f"row {n}" for n in range(10_000)]
    expected = [start.copy()]
    for _ in range(3):
        expected.append(add({"table": expected[-1].copy()})["table"])
    store = SqliteStore(tmp_path / "a.db")
    with Graph("g", State, store=store) as graph:
        START >> node(add, name="a") >> node(add, name="b") >> node(add, name="c") >> END
    graph.run({"table": start}, thread="t")
    store.close()

    again = SqliteStore(tmp_path / "a.db")
    first, *later = [info.size for info in again.history("t")]
    assert all(size < first / 8 for size in later)
    for id, table in enumerate(expected, 1):
        pandas.testing.assert_frame_equal(table, again.load("t", id).checkpoint.values["table"])
    again.close()


@pytest.mark.parametrize(
    "index", [None, list("abc"), pandas.MultiIndex.from_product([[1], list("abc")])]
)
def test_tables_that_share_columns_come_back(index):
    """Columns reordered, dropped, renamed, of every dtype; the delta leads to the same table."""
    old = pandas.DataFrame(
        {
            "i": [1, 2, 3],
            "f": [0.5, numpy.nan, 2.0],
            "s": ["x", None, "z"],
            "c": pandas.Categorical(["u", "v", "u"]),
            "d": pandas.to_datetime(["2026-01-01", None, "2026-01-03"]),
            "n": pandas.array([1, None, 3], dtype="Int64"),
            "o": [[1], {"k": 2}, None],
        },
        index=index,
    )
    new = old.copy(deep=False)[["d", "f", "s", "o", "n", "c"]].rename(columns={"f": "renamed"})
    new["added"] = [True, False, True]
    delta = decode(encode(freeze(diff(old, new))))
    pandas.testing.assert_frame_equal(new, apply(old, delta))
    assert diff(old, new.iloc[::-1]) is None
    assert diff(old, pandas.DataFrame({"i": [1, 2]})) is None


def test_a_list_that_grew_is_read_as_it_was_written():
    """Many appended tails, another change between them, and hostile ones."""
    value = freeze([1])
    changes = [["+", [2]], ["+", [3, 4]], ["=", 1, 1, ["x"]], ["+", [5]]]
    assert [1, "x", 3, 4, 5] == followed(value, changes)
    for bad in (5, [], ["+"], ["+", 5], "x", {"a": 1}):
        with pytest.raises(CodecError):
            followed(value, [["+", [2]], bad])


@given(st.lists(VALUES, max_size=6), st.data())
def test_a_window_that_moves_is_read_as_it_was_written(items, data):
    """The latest items of a list: some leave at its front, some come behind, in any order with what
    only grows; all at once it is what it is one by one."""
    first = now = freeze(items)
    changes = []
    for _ in range(data.draw(st.integers(1, 6))):
        drop = data.draw(st.integers(0, len(now)))
        new = freeze([*now[drop:], *data.draw(st.lists(VALUES, max_size=2))])
        change = diff(now, new)
        if change is not None:
            assert same(apply(now, change), new)
            changes.append(decode(encode(freeze(change)), loose=True))
            now = new

    assert same(followed(first, changes), now)


def test_a_window_costs_what_comes_in():
    """Keep the last 50: what is stored is the new item, and how many have gone. (W15)"""
    old = freeze([{"text": "x" * 1000, "n": n} for n in range(50)])
    new = freeze([*old[1:], {"text": "new"}])

    assert [">", 1, [{"text": "new"}]] == diff(old, new)
    for bad in ([">", 51, []], [">", -1, []], [">", "x", []], [">", 1, 5], [">", 1]):
        with pytest.raises(CodecError):
            followed(old, [["+", []], bad])
