"""
C code changes a list, a dict or a set without calling its methods. Whoever does so is named, the
others see nothing of it, and nothing of it is committed; what is read is rebuilt, copied and
dumped as the plain thing that it looks like. (R14, R15, W6)
"""

import bisect
import collections
import copy
import dataclasses
import functools
import heapq
import json
import operator
import pickle
import threading
from typing import Annotated, Any, TypedDict

import msgspec
import numpy
import pydantic
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import nbagent
from nbagent import END, START, Graph, NodeError, Send, StateError, branch, node
from nbagent.engine.model.values import freeze, isolate, thaw
from nbagent.stores.memory import MemoryStore


class State(TypedDict, total=False):
    value: Any
    log: Annotated[list[Any], operator.add]


LIST = [3, 1, 2]
DICT = {"q": [7, 5], "n": 1}
CHANGES = {
    "heappush": (LIST, lambda v: heapq.heappush(v, 0)),
    "heapreplace": (LIST, lambda v: heapq.heapreplace(v, 99)),
    "heapify": (LIST, heapq.heapify),
    "swap": (LIST, lambda v: list.__setitem__(v, slice(0, 2), [v[1], v[0]])),
    "append": (LIST, lambda v: list.append(v, 4)),
    "sort": (LIST, list.sort),
    "reverse": (LIST, list.reverse),
    "pop": (LIST, list.pop),
    "iadd": (LIST, lambda v: list.__iadd__(v, [4])),
    "update": (DICT, lambda v: dict.update(v, n=2)),
    "setdefault": (DICT, lambda v: dict.setdefault(v, "m", 2)),
    "popitem": (DICT, dict.popitem),
    "in a dict": (DICT, lambda v: heapq.heappush(v["q"], 0)),
    "in a dict's items": (DICT, lambda v: [heapq.heappush(q, 0) for k, q in v.items() if k == "q"]),
    "in a list": ([[2, 1]], lambda v: heapq.heapify(v[0])),
    "in a tuple": (({"a": [2, 1]},), lambda v: list.sort(v[0]["a"])),
    "set": ({1, 2}, lambda v: set.add(v, 3)),
    "set of the same size": ({1, 2}, lambda v: (set.discard(v, 1), set.add(v, 3))),
    "beside an array": ([numpy.zeros(2), [2, 1]], lambda v: heapq.heapify(v[1])),
    "arrays swapped": (
        [[numpy.zeros(2)], [numpy.ones(2)]],
        lambda v: list.__setitem__(v, slice(0, 2), [v[1], v[0]]),
    ),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("kind", ["dict", "dataclass", "model", "sent"])
def test_who_changes_what_it_reads_is_named(what, kind):
    """Its sibling, which reads before and after, sees the value; so does who reads it later."""
    value, change = CHANGES[what]
    changed, looked = threading.Event(), []

    @dataclasses.dataclass
    class Data:
        value: Any = None
        log: Annotated[list[Any], operator.add] = dataclasses.field(default_factory=list)

    class Model(pydantic.BaseModel):
        value: Any = None
        log: Annotated[list[Any], operator.add] = []

    def read(state):
        if kind == "sent":
            return state
        return state["value"] if kind == "dict" else state.value

    state = {"dataclass": Data, "model": Model}.get(kind, State)
    with Graph("g", state, store=MemoryStore()) as made:

        @node
        def bad(state):
            change(read(state))
            changed.set()

        @node
        def sibling(state):
            before = repr(read(state))
            assert changed.wait(5)
            looked.append((before, repr(read(state))))

        if kind == "sent":
            sends = [Send(bad, value), Send(sibling, value)]
            START >> node(lambda s: None, name="first") >> branch(lambda s: sends)
        else:
            START >> [bad, sibling]
        bad >> END
        sibling >> END
    with pytest.raises(StateError, match=r"changed in place by node 'bad'.*thaw") as caught:
        made.run({"value": value}, "t")

    assert isinstance(caught.value, NodeError)
    assert ("bad", None if kind == "sent" else "value") == (caught.value.node, caught.value.field)
    assert [(repr(freeze(value)), repr(freeze(value)))] == looked
    assert repr(value) == repr(made.thread("t").state["value"])
    assert ("bad",) == made.thread("t").next


@pytest.mark.parametrize("what", CHANGES)
def test_a_branch_function_and_a_reducer_are_told_as_well(what):
    """They have copies of their own: the checkpoint stays as it is."""
    value, change = CHANGES[what]

    def reducer(old, new):
        change(old)
        return old

    class Folded(TypedDict, total=False):
        value: Annotated[Any, reducer]

    with Graph("g", Folded, store=MemoryStore()) as folds:
        START >> node(lambda state: {"value": value}, name="n") >> END
    with Graph("b", State, store=MemoryStore()) as branches:
        START >> node(lambda state: None, name="n")
        folds_to = branch(lambda state: change(state["value"]) or "end", end=END)
        branches.nodes["n"] >> folds_to
    with pytest.raises(StateError, match=r"the reducer of 'value'.*changed in place"):
        folds.run({"value": value}, "t")
    with pytest.raises(NodeError, match="changed in place"):
        branches.run({"value": value}, "t")
    for made in (folds, branches):
        assert repr(value) == repr(made.thread("t").state["value"])


VALUES = st.recursive(
    st.none() | st.integers() | st.text() | st.frozensets(st.integers(), max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3), inner, max_size=4)
        | st.tuples(inner, inner)
        | st.sets(st.integers(), max_size=3)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_a_readers_copy_is_the_value_and_writes_back_as_itself(value):
    """Equal, apart from the original, and no change when it is returned. (R19)"""
    frozen = freeze(value)
    own = isolate(frozen)

    assert value == own == thaw(own)
    assert freeze(own) is frozen or freeze(own) == frozen
    if type(frozen) in (type(freeze([])), type(freeze({})), type(freeze(set()))):
        assert freeze(own) is frozen
        assert own is not frozen


WAYS = {
    "type": lambda v: type(v)(v),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda v: pickle.loads(pickle.dumps(v)),
    "thaw": thaw,
}


@given(VALUES)
def test_what_is_read_is_rebuilt_as_the_plain_thing(value):
    read = isolate(freeze(value))
    if not isinstance(read, (list, dict, set)):
        return
    for way in WAYS.values():
        made = way(read)
        assert value == made
        assert type(value) is type(made)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-100, 100) | st.text(st.characters(codec="ascii")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc", max_size=3), inner),
    max_leaves=8,
)


@given(JSON)
def test_what_is_read_is_dumped_as_the_plain_thing(value):
    read = isolate(freeze(value))

    assert json.dumps(value) == json.dumps(read)
    assert yaml.safe_dump(value) == yaml.safe_dump(read)
    assert msgspec.json.encode(value) == msgspec.json.encode(read)
    assert value == msgspec.convert(msgspec.to_builtins(read), Any)
    anything = pydantic.TypeAdapter(Any)
    assert anything.dump_json(value) == anything.dump_json(read)
    assert value == anything.validate_python(read)


def test_a_library_that_looks_types_up_finds_the_plain_one():
    kind = functools.singledispatch(lambda value: "other")
    kind.register(list)(lambda value: "list")
    kind.register(dict)(lambda value: "dict")

    assert ["list", "dict"] == [kind(freeze([1])), kind(freeze({"a": 1}))]


@pytest.mark.parametrize("way", ["asdict", "replace", "copy", "deepcopy", "pickle", "type", "vars"])
def test_a_state_of_attributes_is_rebuilt_as_its_class(way):
    """As `dataclasses` and `copy` do it; the node that reads it still cannot change it."""
    ways = {
        "asdict": lambda s: Shape(**dataclasses.asdict(s)),
        "replace": lambda s: dataclasses.replace(s, n=1),
        "copy": copy.copy,
        "deepcopy": copy.deepcopy,
        "pickle": lambda s: pickle.loads(pickle.dumps(s)),
        "type": lambda s: type(s)(s.items, s.n),
        "vars": lambda s: Shape(**vars(s)),
    }
    found = []
    with Graph("g", Shape, store=MemoryStore()) as made:

        @node
        def look(state):
            rebuilt = ways[way](state)
            found.append((type(rebuilt), rebuilt == state, state == rebuilt, rebuilt.n))
            rebuilt.n = 2
            with pytest.raises(StateError, match="cannot set"):
                state.n = 2

        START >> look >> END
    made.run({"items": [{"a": [1]}], "n": 1}, "t")

    assert [(Shape, True, True, 1)] == found


@dataclasses.dataclass
class Shape:
    items: list[Any]
    n: int = 0


def test_the_state_itself_is_a_dict_in_every_way():
    """Whichever way a node reads a field, it is the node's own."""
    reads = [
        lambda s: s["value"],
        lambda s: s.get("value"),
        lambda s: dict(s)["value"],
        lambda s: {**s}["value"],
        lambda s: dict(s.items())["value"],
        lambda s: next(v for v in s.values() if v == [2, 1]),
        lambda s: (s | {})["value"],
        lambda s: ({} | s)["value"],
        lambda s: collections.ChainMap(s)["value"],
        lambda s: operator.itemgetter("value")(s),
        lambda s: s.copy()["value"],
    ]
    for read in reads:
        with Graph("g", State, store=MemoryStore()) as made:
            START >> node(lambda s, read=read: heapq.heapify(read(s)), name="bad") >> END
        with pytest.raises(StateError, match="changed in place by node 'bad'"):
            made.run({"value": [2, 1]}, "t")
        assert [2, 1] == made.thread("t").state["value"]
    assert issubclass(nbagent.StateError, nbagent.NbagentError)


@pytest.mark.parametrize("twice", [bisect.insort, lambda v, x: operator.iadd(v, [x])])
def test_what_asks_the_list_is_refused_at_once(twice):
    with Graph("g", State, store=MemoryStore()) as made:
        START >> node(lambda s: twice(s["value"], 1), name="bad") >> END
    with pytest.raises(NodeError, match=r"return the new value instead"):
        made.run({"value": [1, 2]}, "t")
