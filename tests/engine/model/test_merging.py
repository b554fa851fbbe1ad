"""What each kind of field makes of one super-step's writes. (R17, R18)"""

import functools
import operator

import pytest

from nbagent.engine.model.callables import name_of
from nbagent.engine.model.channels import Ephemeral, LastValue, Reduced, Topic, Write
from nbagent.engine.model.policy import Cache
from nbagent.engine.model.values import MISSING, FrozenList, freeze, isolate
from nbagent.errors import ConflictError, StateError


def writes(*values):
    """One write of each, by nodes a, b, c."""
    return [Write(name, f"1:{name}", value) for name, value in zip("abc", values, strict=False)]


@pytest.mark.parametrize("channel", [LastValue("x"), Ephemeral("x")])
def test_one_writer_is_kept_and_two_are_a_conflict(channel):
    """Whatever was there before; the error names the field and both."""
    assert 2 == channel.merge(1, writes(2)) == channel.merge(MISSING, writes(2))
    with pytest.raises(ConflictError, match="'x' was written by 'a' and 'b'") as told:
        channel.merge(1, writes(2, 3))
    assert ("x", ("a", "b")) == (told.value.field, tuple(told.value.nodes))


def test_what_is_gone_after_a_step():
    """A topic and an ephemeral field; the others stay."""
    channels = [LastValue("x"), Reduced("x", operator.add), Topic("x"), Ephemeral("x")]

    assert [False, False, True, True] == [channel.transient for channel in channels]


def test_a_topic_collects_in_order():
    assert [1, 2, 3] == Topic("x").merge([0], writes(1, 2, 3))


@pytest.mark.parametrize(
    ("reducer", "before", "after"),
    [
        (operator.add, MISSING, "bc"),
        (operator.add, "a", "abc"),
        (max, "z", "z"),
        (lambda old, new: new, "a", "c"),
    ],
)
def test_a_reducer_folds_in_order(reducer, before, after):
    """The first write to a field that was never written is taken as it is."""
    assert after == Reduced("x", reducer).merge(before, writes("b", "c"))


def test_a_list_grows_by_what_is_written():
    before = freeze([1])
    grown = Reduced("x", operator.add).merge(before, writes(freeze([2]), freeze([3, 4])))

    assert (FrozenList, [1, 2, 3, 4], [1]) == (type(grown), list(grown), list(before))


def test_a_reducer_that_fails_says_on_whose_write():
    with pytest.raises(StateError, match="failed on what node 'b' wrote") as told:
        Reduced("x", operator.add).merge(1, writes(2, "text"))
    assert ("x", "b") == (told.value.field, told.value.node)


def test_a_tuple_is_private_where_what_is_in_it_cannot_be_frozen():
    """Also inside a dict; what is frozen beside it is as it was."""

    class Bag:
        def __init__(self):
            self.items = []

    bag, plain = Bag(), freeze([1, 2])
    read = isolate(freeze({"pair": (bag, plain)}))
    read["pair"][0].items.append(1)

    assert [] == bag.items
    assert plain == read["pair"][1]


def test_a_function_is_called_what_people_call_it():
    """A partial by what it calls, an object by its class."""

    class Chooser:
        def __call__(self, state):
            return None

    assert "max" == name_of(functools.partial(functools.partial(max, 1), 2))
    assert "Chooser" == name_of(Chooser())


def test_a_cache_key_that_cannot_be_called_with_the_state_is_refused():
    with pytest.raises(TypeError, match="give a plain function of the state"):
        Cache(key=lambda: "x")
