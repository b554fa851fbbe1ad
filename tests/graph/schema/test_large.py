"""A large value costs what changed in it: what is the same object is checked, frozen and compared
once. All that a type says holds all the same."""

from __future__ import annotations

import functools
import operator
from typing import Annotated, Any, TypedDict

import annotated_types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbagent import END, START, Graph, node
from nbagent.engine.model.channels import Reduced, Write
from nbagent.engine.model.values import MISSING, equal, freeze
from nbagent.errors import NbagentError, StateError
from nbagent.graph.schema import StateSchema
from nbagent.graph.schema.checks import unlike
from nbagent.stores.sql.delta import apply, diff

KEYS = st.one_of(st.integers(0, 300), st.booleans(), st.text(max_size=2))
VALUES = st.one_of(st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=2))


class State(TypedDict):
    table: dict[str, int]
    rows: list[int]
    few: Annotated[dict[str, int], annotated_types.Len(0, 150)]
    grown: Annotated[list[int], operator.add, annotated_types.Len(0, 3)]
    merged: Annotated[dict[str, int], operator.or_, annotated_types.Len(0, 3)]


SCHEMA = StateSchema(State)
TABLE = freeze({f"k{number}": 1000 + number for number in range(150)})
ROWS = freeze(list(range(1000, 1150)))


@pytest.mark.parametrize(
    "table",
    [
        {**TABLE, "k7": "seven"},
        {**TABLE, "new": "seven"},
        {**TABLE, 7: 7},
        {**TABLE, "k7": True},
        {"first": "x", **TABLE},
        dict.fromkeys(TABLE, 1.0),
    ],
)
def test_a_large_dict_of_which_a_part_does_not_fit_is_refused(table):
    """Whichever part it is, whatever is the same in it as before."""
    with pytest.raises(StateError, match="does not fit"):
        SCHEMA.check_write("table", table, "a", TABLE)


def test_a_part_that_does_not_fit_is_named_by_its_place_in_the_whole():
    """The 120th of a list, the others of which are as they were."""
    rows = [*ROWS]
    rows[120] = "x"
    with pytest.raises(StateError) as refused:
        SCHEMA.check_write("rows", rows, "a", ROWS)

    assert ("rows", 120) == refused.value.path
    SCHEMA.check_write("rows", [*ROWS, 5], "a", ROWS)
    SCHEMA.check_write("rows", [], "a", ROWS)


def test_what_is_said_of_the_whole_is_asked_of_the_whole():
    """One key more is one too many, where the others are as they were."""
    with pytest.raises(StateError, match="150"):
        SCHEMA.check_write("few", {**TABLE, "more": 1}, "a", TABLE)


@pytest.mark.parametrize("field, one", [("grown", [1, 2]), ("merged", {"a": 1, "b": 2})])
def test_what_a_reducer_grows_is_bounded(field, one):
    """Each write is short enough, and what they come to is not."""
    other = [3, 4] if field == "grown" else {"c": 3, "d": 4}
    with Graph("bounded", State, store="memory://") as bounded:
        first = node(lambda state: {field: one}, name="first")
        then = node(lambda state: {field: other}, name="then")
        START >> first >> then >> END

    with pytest.raises(NbagentError, match="at most 3"):
        bounded.run({})


class Counted:
    """A type whose instances count how often they are looked at by pydantic."""

    looks = 0

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        def look(value: Any) -> Any:
            Counted.looks += 1
            return value

        return core_schema.no_info_plain_validator_function(look)


class Looked(TypedDict):
    table: dict[str, Annotated[Any, Counted]]
    rows: list[Annotated[Any, Counted]]


class Merged(TypedDict):
    table: Annotated[dict[str, Annotated[Any, Counted]], operator.or_]


@pytest.mark.parametrize("field, before", [("table", TABLE), ("rows", ROWS)])
def test_only_what_changed_is_checked(field, before):
    """One part of 150, once."""
    schema = StateSchema(Looked)
    written = dict(before) if field == "table" else list(before)
    written["k7" if field == "table" else 7] = 5
    Counted.looks = 0
    schema.check_write(field, written, "a", before)
    changed = Counted.looks
    schema.check_write(field, written, "a", MISSING)

    assert (1, 151) == (changed, Counted.looks)


@given(st.dictionaries(KEYS, VALUES, min_size=1), st.dictionaries(KEYS, VALUES), st.booleans())
def test_a_change_of_a_dict_leads_to_the_very_dict(before, more, whole):
    """Types of keys and values, and the order, included; whatever is in both."""
    old = freeze(before)
    new = freeze({**old, **more} if not whole else {**more, **old})
    change = diff(old, new)

    if change is not None:
        made = apply(old, change)
        assert list(map(repr, new.items())) == list(map(repr, made.items()))


@given(st.dictionaries(KEYS, VALUES, min_size=1), st.lists(st.dictionaries(KEYS, VALUES)))
def test_a_dict_that_is_written_over_is_what_the_operator_makes(before, more):
    """Whether its change is known or looked for, and whatever is in it."""
    old = freeze(before)
    writes = [Write("a", "a", freeze(one)) for one in [{}, *more]]
    new = Reduced("table", operator.or_).merge(old, writes)
    plain = freeze(functools.reduce(operator.or_, [before, *more]))
    change = diff(old, new)

    assert list(map(repr, plain.items())) == list(map(repr, new.items()))
    assert (plain.nested, plain.opaque) == (new.nested, new.opaque) or new.nested
    assert equal(old, plain) == equal(old, new)
    if change is not None:
        assert list(map(repr, plain.items())) == list(map(repr, apply(old, change).items()))


def test_a_reducer_that_takes_the_change_costs_the_change():
    """Neither checked nor compared is what was there: one part of a thousand is looked at."""
    seen = []

    def write(state):
        seen.append(Counted.looks)
        return {"table": {"k7": 5}}

    with Graph("merged", Merged, store="memory://") as graph:
        START >> node(write, name="a") >> END
    graph.run({"table": {f"k{number}": number for number in range(1000)}})

    assert 1 == Counted.looks - seen[0]


@given(st.dictionaries(KEYS, VALUES), st.booleans())
def test_what_is_unlike_and_what_was_there_is_all(more, is_first):
    """No part is left out of the check that was not there, as the same object, before."""
    before = dict(TABLE)
    value = {**more, **before} if is_first else {**before, **more}
    part = unlike(value, before, dict)
    kept = [key for key in value if key not in part]

    assert all(before[key] is value[key] for key in kept)
    assert all(part[key] is value[key] for key in part)
