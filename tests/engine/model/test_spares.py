"""
A reader's copy that has come back is lent to the next reader: as it was made, and to nobody else.
"""

import operator
import threading
from typing import Annotated, Any, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbagent import END, START, Graph, Retry, node
from nbagent.engine.model import spares, values
from nbagent.engine.model.untouched import is_untouched
from nbagent.engine.model.values import bring_back, freeze, isolate
from nbagent.stores.memory import MemoryStore


@pytest.fixture(autouse=True, scope="module")
def _short_ones_too():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "_MANY", 0)
        yield


def lend(value):
    """What a reader is given who has looked at all of it."""
    own = isolate(value)
    look(own)
    return own


def look(value):
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, (list, tuple, dict)):
            look(item)


def returned(own):
    """What the engine does when a reader has returned."""
    assert is_untouched(own)
    bring_back(own)


def messages(count):
    return freeze([{"role": "user", "n": number} for number in range(1000, 1000 + count)])


def test_what_has_come_back_is_lent_again():
    value = messages(3)
    first = lend(value)
    spare = first.spare
    returned(first)
    del first

    again = lend(value)

    assert again.spare is spare
    assert all(map(operator.is_, spare.content, again))
    assert value == again
    assert again is not value
    assert all(freeze(item) is mine for item, mine in zip(again, value, strict=True))


def test_it_is_never_lent_to_two():
    value = messages(3)
    returned(lend(value))

    one, two = lend(value), lend(value)

    assert not {*map(id, one)} & {*map(id, two)}


def test_what_has_grown_is_copied_at_its_end_only():
    value = messages(3)
    first = lend(value)
    spare = first.spare
    returned(first)
    del first
    grown = value.grown([{"role": "tool", "n": [1, {"a": 2}]}])

    again = lend(grown)

    assert again.spare is spare
    assert grown == again
    assert again[3] is not grown[3]
    assert again[3]["n"][1] is not grown[3]["n"][1]
    returned(again)
    del again
    third = lend(grown.grown([{"n": 5}]))
    assert third.spare is spare
    assert {"n": 5} == third[4]


NESTED = {
    "list of dicts": [{"a": 1, "b": [1, 2]}, {"a": (1, {"c": 0.0}), "b": {1}}],
    "dict of lists": {"a": [1], "b": [{"c": [1]}]},
    "one shape": [{"a": 1, "b": 0.0}, {"a": 2, "b": 3.5}],
    "twins": [{"a": 1, "b": 1}],
    "empty inside": [{}, [], ()],
}


@pytest.mark.parametrize("what", NESTED)
def test_whatever_is_inside_is_lent_again(what):
    value = freeze(NESTED[what])
    first = lend(value)
    spare = first.spare
    returned(first)
    del first
    again = lend(value)

    assert repr(value) == repr(again)
    assert again.spare is spare


HIDDEN = {
    "a bool for 1": lambda v: dict.__setitem__(v[0], "a", True),
    "a float for 1": lambda v: dict.__setitem__(v[0], "a", 1.0),
    "-0.0 for 0.0": lambda v: dict.__setitem__(v[0], "z", -0.0),
    "the order of keys": lambda v: dict.__setitem__(v[0], "a", dict.pop(v[0], "a")),
    "the order of twins": lambda v: dict.__setitem__(v[0], "c", dict.pop(v[0], "c")),
    "a key": lambda v: (dict.pop(v[0], 7), dict.__setitem__(v[0], 7.0, "x")),
    "in a list": lambda v: list.__setitem__(v[0]["l"], 0, True),
    "a list for a list": lambda v: dict.__setitem__(v[0], "l", [1, 2]),
    "in a set": lambda v: (set.discard(v[0]["s"], 1), set.add(v[0]["s"], True)),
    "another dict": lambda v: list.__setitem__(v, 1, {"a": 1}),
    "two that are equal": lambda v: list.__setitem__(v, slice(1, 3), [v[2], v[1]]),
    "an equal text": lambda v: dict.__setitem__(v[0], "t", Text("text")),
}


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize("what", HIDDEN)
def test_a_change_that_equality_does_not_see_is_not_lent(what):
    value = freeze(
        [
            {"a": 1, "z": 0.0, "b": None, "c": None, 7: "x", "l": [1, 2], "s": {1}, "t": "text"},
            {"a": 1},
            {"a": 1},
        ]
    )
    before = typed(value)
    first = lend(value)
    HIDDEN[what](first)
    returned(first)  # equal, so there is nothing to say
    del first

    assert before == typed(lend(value))
    assert before == typed(value)


@pytest.mark.parametrize("change", ["bool", "order", "text"])
def test_nor_is_it_where_all_are_of_one_shape(change):
    value = freeze([{"a": n, "b": "x"} for n in (1, 2, 3)])
    before = typed(value)
    first = lend(value)
    if change == "bool":
        dict.__setitem__(first[0], "a", True)
    elif change == "order":
        dict.__setitem__(first[1], "a", dict.pop(first[1], "a"))
    else:
        dict.__setitem__(first[2], "b", Text("x"))
    returned(first)
    del first

    assert before == typed(lend(value))


def typed(value):
    """All that can be told of a value, in the order that it has."""
    if isinstance(value, dict):
        return [(typed(key), typed(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple, set)):
        return [typed(item) for item in value]
    return type(value), repr(value)


HELD = {
    "all": lambda own: own,
    "a part": lambda own: own[0],
    "a part's part": lambda own: own[0]["a"],
    "an iterator": lambda own: iter(own[0].items()),
}


@pytest.mark.parametrize("held", HELD)
def test_what_somebody_still_holds_is_not_lent(held):
    """Whoever kept a part of an earlier step's copy cannot disturb who reads now."""
    value = freeze([{"a": [1]}, {"a": [2]}])
    first = lend(value)
    kept, spare = HELD[held](first), first.spare
    returned(first)
    del first

    again = lend(value)

    assert kept is not None
    assert again.spare is not spare
    assert not {*map(id, spare.content)} & {*map(id, again)}


def test_a_long_list_inside_of_something_short_is_lent(monkeypatch):
    monkeypatch.setattr(values, "_MANY", 32)
    value = freeze(({"log": [[{"n": n}] for n in range(40)]}, [1]))
    first = lend(value)
    spare = first[0]["log"].spare
    assert not hasattr(first[0], "spare")
    returned(first)
    del first

    again = lend(value)

    assert again[0]["log"].spare is spare
    assert value == again


def test_what_was_put_in_is_not_taken_for_a_copy(monkeypatch):
    """Equal, so it is no change; frozen, so it is nobody's copy."""
    monkeypatch.setattr(values, "_MANY", 32)
    value = freeze([{"a": [1]}])
    own = lend(value)
    list.__setitem__(own, 0, freeze({"a": [1]}))
    returned(own)

    assert value == lend(value)


def test_what_they_hold_together_is_bounded(monkeypatch):
    """The values that were read last keep their spares."""
    monkeypatch.setattr(spares, "_PARTS", 100)
    read = [messages(30) for _ in range(5)]
    for value in read:
        returned(lend(value))

    assert [0, 0, 1, 1, 1] == [len(value.shelf.spares) for value in read]
    for _ in range(2 * spares._EACH):
        returned(lend(read[4]))
    assert [0, 0, 0, 0, 1] == [len(value.shelf.spares) for value in read]


def test_what_each_value_has_is_bounded():
    value = messages(2)
    many = [lend(value) for _ in range(2 * spares._EACH)]
    for own in many:
        returned(own)

    assert spares._EACH == len(value.shelf.spares)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.floats(-1, 1) | st.sampled_from("ab"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from("abc") | st.integers(0, 2), inner, max_size=4)
        | st.tuples(inner, inner)
        | st.sets(st.integers(0, 3), max_size=3)
    ),
    max_leaves=12,
)


@given(st.lists(st.lists(VALUES, max_size=3), min_size=1, max_size=4))
def test_every_reader_reads_the_value_while_it_grows(added):
    """Whatever is inside; and writes it back as itself."""
    value = freeze([])
    for items in added:
        value = value.grown(items)
        for _ in range(2):
            own = lend(value)
            assert typed(value) == typed(own)
            assert freeze(own) is value
            returned(own)
            del own


def test_threads_that_read_at_once_get_copies_of_their_own():
    value = messages(50)
    at_once, wrong = threading.Barrier(4), []

    def read(number):
        at_once.wait()
        for turn in range(200):
            own = lend(value)
            if any(item["n"] != n for n, item in enumerate(own, 1000)):
                wrong.append(number)
            dict.__setitem__(own[number], "n", -1)
            if turn % 2:
                dict.__setitem__(own[number], "n", value[number]["n"])
                returned(own)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == wrong
    assert messages(50) == value


class State(TypedDict, total=False):
    n: int
    messages: Annotated[list[dict[str, Any]], operator.add]


def test_a_chat_is_copied_once():
    """Each step and the reducer read on in what the step before has brought back."""
    spares_seen = []

    def read(state):
        assert all(message["n"] == n for n, message in enumerate(state["messages"]))
        spares_seen.append(state["messages"].spare)
        return {"messages": [{"n": len(state["messages"])}]}

    with Graph("g", State, store=MemoryStore()) as made:
        START >> node(read, name="a") >> node(read, name="b") >> node(read, name="c") >> END
    made.run({"messages": [{"n": 0}]}, "t")

    assert 3 == len(spares_seen)
    assert 1 == len({*map(id, spares_seen)})


def test_an_attempt_has_a_copy_of_its_own():
    """The thread that attempt 1 left behind changes what is nobody else's."""
    go, changed = threading.Event(), threading.Event()
    read = []

    with Graph("g", State, store=MemoryStore()) as made:

        @node(timeout=1.0, retry=Retry(attempts=2, wait=0.01, on=TimeoutError))
        def slow(state):
            mine = state["messages"]
            read.append(mine)
            if len(read) == 1:
                go.wait(5)
                dict.__setitem__(mine[0], "n", -1)
                list.append(mine, {"n": 9})
                changed.set()
                return {}
            go.set()
            assert changed.wait(5)
            return {"n": mine[0]["n"]}

        START >> slow >> END
    assert {"n": 1, "messages": [{"n": 1}]} == made.run({"messages": [{"n": 1}]}, "t")
