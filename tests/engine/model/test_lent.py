"""
A reader of a long list of dicts gets copies of those that it looks at; who looks cannot tell.
"""

import copy
import heapq
import json
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbagent.engine.model import values
from nbagent.engine.model.untouched import is_untouched
from nbagent.engine.model.values import FrozenDict, freeze, isolate, thaw

PLAIN = [{"n": number, "parts": [number, {"deep": [number]}]} for number in range(60)]
VALUE = freeze(PLAIN)

LOOKS = {
    "the last": lambda rows: [rows[-1]],
    "a few": lambda rows: rows[3:9:2],
    "most": lambda rows: rows[3:],
    "all": list,
    "backwards": lambda rows: list(reversed(rows)),
    "a sum": lambda rows: rows + [1],  # noqa: RUF005
    "a sum from the left": lambda rows: [1] + rows,  # noqa: RUF005
    "an operator": lambda rows: operator.add([1], rows),
    "a sum of two": lambda rows: rows + rows,
    "a product": lambda rows: 2 * rows,
    "another product": lambda rows: rows * 2,
    "unpacked": lambda rows: [*rows],
    "taken apart": lambda rows: (lambda first, *rest: [first, *rest])(*rows),
    "extended": lambda rows: operator.iadd([1], rows),
    "put in": lambda rows: operator.setitem(made := [1, 2], slice(0, 1), rows) or made,
    "sorted": lambda rows: sorted(rows, key=lambda row: -row["n"]),
    "the largest": lambda rows: heapq.nlargest(3, rows, key=lambda row: row["n"]),
    "a tuple": lambda rows: [*tuple(rows)],
    "a copy": lambda rows: rows.copy(),
    "copied": copy.copy,
    "copied deeply": copy.deepcopy,
    "thawed": thaw,
    "as JSON": lambda rows: json.loads(json.dumps(rows)),
    "in pairs": lambda rows: [one for pair in zip(rows, rows, strict=True) for one in pair],
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_what_a_reader_is_handed_is_its_own(look):
    """Whichever way it looks, nothing that it gets is the state's; and it gets what a plain list
    would give."""
    own = isolate(VALUE)
    got = look(own)

    assert look(PLAIN) == got
    assert type(got) is list
    shared = {id(part) for row in VALUE for part in (row, row["parts"], row["parts"][1])}
    for row in got:
        if isinstance(row, dict):
            assert not shared & {id(row), id(row["parts"]), id(row["parts"][1])}
    assert is_untouched(own)


@given(st.lists(st.one_of(st.integers(-60, 59), st.slices(60)), max_size=6))
def test_it_is_handed_the_same_each_time(looks):
    """One by one, in slices, and when it has looked at all."""
    own = isolate(VALUE)
    seen = [(look, own[look]) for look in looks]
    everything = list(own)

    for look, got in seen:
        again = everything[look]
        pairs = zip(got, again, strict=True) if isinstance(look, slice) else [(got, again)]
        assert all(one is other for one, other in pairs)
    assert all(freeze(mine) is item for mine, item in zip(everything, VALUE, strict=True))
    assert freeze(own) is VALUE


def test_who_looks_at_the_last_costs_one_copy(monkeypatch):
    """Of a dict, a list in it and a dict in that."""
    own, made = isolate(VALUE), []
    new = values._new_dict
    monkeypatch.setattr(values, "_new_dict", lambda items: made.append(1) or new(items))
    assert (59, 59, 60) == (own[-1]["n"], own[59]["n"], len(own))

    assert len(made) <= 2
    assert {59} == own.lent.keys()


CHANGES = {
    "a dict in it": lambda rows: dict.update(rows[-1], n=0),
    "a list in that": lambda rows: list.append(rows[5]["parts"], 0),
    "a dict in that": lambda rows: dict.clear(rows[5]["parts"][1]),
    "a slice's": lambda rows: dict.clear(rows[2:5][1]),
    "the list": lambda rows: list.append(rows, 1),
    "an item": lambda rows: list.__setitem__(rows, 3, FrozenDict(a=1)),
    "the list, then all of it read": lambda rows: (list.pop(rows), list(rows)),
    "an item, then all of it read": lambda rows: (dict.clear(rows[3]), list(rows)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_changed_behind_its_back_is_found_and_seen_by_nobody(change):
    """Whether it has looked at a part of it or at all."""
    own, before = isolate(VALUE), copy.deepcopy(VALUE)
    change(own)

    assert not is_untouched(own)
    assert before == VALUE == isolate(VALUE)


def test_it_is_indexed_as_a_list_is():
    """Also where there is nothing."""
    own = isolate(VALUE)
    for wrong in (60, -61):
        with pytest.raises(IndexError):
            own[wrong]
    with pytest.raises(TypeError):
        own["n"]
    with pytest.raises(TypeError):
        own + (1,)  # noqa: RUF005
    assert (PLAIN[True], []) == (own[True], own[5:5])
    assert (PLAIN[7] in own, own.index(PLAIN[7]), own.count(PLAIN[7])) == (True, 7, 1)
