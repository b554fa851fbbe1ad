"""What changed is small, and applying it gives the new value. (W15)"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nbagent.engine.snapshot import FrozenDict, FrozenList, freeze, frozen_dict, frozen_list
from nbagent.stores.codec import decode, encode, same
from nbagent.stores.delta import apply, diff

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
