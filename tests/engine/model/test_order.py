"""One order for what has none, whatever is in it and whatever seed texts are hashed with. (R17)"""

import enum
import random

import pytest

from nbagent.engine.model.order import in_order


class Level(enum.Enum):
    LOW = "z"
    HIGH = "a"


class Right(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Odd:
    """Nothing that compares with anything."""

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return f"Odd({self.name})"


IN_ORDER = [
    None,
    b"a",
    b"b",
    *Level,
    Right.READ,
    Right.WRITE,
    Right.READ | Right.WRITE,
    -1,
    0.5,
    2,
    float("inf"),
    frozenset({"a", "b"}),
    frozenset({"a", "c"}),
    "A",
    "a",
    "ä",
    (1, "a"),
    (1, "b"),
    Odd("x"),
    Odd("y"),
]


@pytest.mark.parametrize("seed", range(20))
def test_a_set_is_walked_in_one_order(seed):
    """However it was made: members of an enum as they are defined, numbers by value."""
    mixed = random.Random(seed).sample(IN_ORDER, len(IN_ORDER))
    found = list(in_order(frozenset(mixed)))

    assert IN_ORDER == found


def test_what_has_an_order_keeps_it():
    for items in (["b", "a"], ("b", "a"), {"b": 1, "a": 2}):
        assert items is in_order(items)


def test_what_is_no_number_comes_behind_the_numbers():
    first, last = in_order({float("nan"), 7.0})

    assert 7.0 == first and last != last
