"""
A thread that an earlier version of the state class wrote. (R47)
"""

import dataclasses
import operator
import re
import sys
import types
import uuid
from types import MappingProxyType
from typing import Annotated, Any, TypedDict

import pytest

from nbagent import END, START, Graph, interrupt, node
from nbagent.engine.watch.events import RunStarted
from nbagent.errors import CodecError, NodeError, StateError
from nbagent.stores.codec.registry import registry
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


class First(TypedDict):
    topic: str
    count: int


@pytest.fixture
def store(tmp_path):
    made = SqliteStore(tmp_path / "a.db")
    yield made
    made.close()


def graph_of(state, store, seen=None, **more):
    with Graph("g", state, store=store, **more) as made:

        @node
        def ask(state):
            if seen is not None:
                seen.append(state)
            interrupt("Go on?")
            return {}

        START >> ask >> END
    return made


@pytest.fixture
def old(store):
    """A thread of `First` that waits."""
    graph_of(First, store).run({"topic": "bees", "count": 3}, "t")


def test_an_added_field_gets_its_default(store, old):
    """It is there when the node runs again, and the run says so."""

    @dataclasses.dataclass
    class Second:
        topic: str = ""
        count: int = 0
        tone: str = "calm"
        notes: Annotated[list[str], operator.add] = dataclasses.field(default_factory=list)

    seen, events = [], []
    made = graph_of(Second, store, seen)
    run = made.thread("t").resume("yes")
    run.watch(events.append)
    state = run.result(10)

    assert ("calm", [], 3) == (seen[0].tone, seen[0].notes, seen[0].count)
    assert {"topic": "bees", "count": 3, "tone": "calm", "notes": []} == state
    notice = next(e.notice for e in events if isinstance(e, RunStarted))
    assert "The state class has changed: added tone, notes." in notice


def test_a_removed_field_is_kept_aside_and_comes_back(store, old):
    """Nodes do not see it; nothing of it is lost."""

    class Second(TypedDict):
        topic: str

    seen = []
    one = graph_of(Second, store, seen).thread("t")
    assert "kept aside count" in one.latest().notice
    one.resume("yes").result(10)

    assert {"topic": "bees"} == seen[-1]
    assert 3 == graph_of(First, store).thread("t").state["count"]


def test_a_changed_type_is_refused_and_nothing_is_lost(store, old):
    """The field and what to do about it are named."""

    class Second(TypedDict):
        topic: str
        count: list[int]

    one = graph_of(Second, store).thread("t")
    with pytest.raises(StateError, match=r"'t'.*count: .*list.*migrate=") as caught:
        one.resume("yes")

    assert "count" == caught.value.field
    back = graph_of(First, store).thread("t")
    assert "waiting" == back.status
    assert 3 == back.resume("yes").result(10)["count"]


def test_a_migration_makes_it_fit(store, old):
    """`migrate=` gets all fields and returns those of the new class."""

    class Second(TypedDict):
        subject: str
        counts: list[int]

    def migrate(values):
        return {"subject": values["topic"], "counts": [values["count"]]}

    one = graph_of(Second, store, migrate=migrate).thread("t")

    assert {"subject": "bees", "counts": [3]} == one.state
    assert "migrated" in one.latest().notice
    assert {"subject": "bees", "counts": [3]} == one.resume("yes").result(10)
    assert "" == one.latest().notice


def test_a_migration_is_checked(store, old):
    """A value that does not fit afterwards, or no dict at all, is refused."""

    class Second(TypedDict):
        counts: list[int]

    with pytest.raises(StateError, match="counts"):
        graph_of(Second, store, migrate=lambda v: {"counts": "3"}).thread("t").resume("yes")
    with pytest.raises(StateError, match="return the fields as a dict"):
        graph_of(Second, store, migrate=lambda v: None).thread("t").resume("yes")


def test_a_fork_of_an_old_checkpoint_is_adopted(store, old):
    """Also a checkpoint that is not the latest."""

    class Second(TypedDict):
        topic: str
        count: int
        total: Annotated[int, operator.add]

    one = graph_of(Second, store).thread("t")
    one.resume("yes").result(10)

    assert 0 == one.fork(step=0).state["total"]


def test_the_same_class_is_not_looked_at(store, old):
    """Opening a thread of the same class costs no validation."""
    made = graph_of(First, store)
    made.schema.adopt = None

    assert 3 == made.thread("t").state["count"]


def finished_sibling(store, name, rename=None, more=MappingProxyType({})):
    """A graph whose `work` has finished writing the field `name` while `ask` waits."""
    state = TypedDict("State", {name: str, "ok": str, **more})
    with Graph("g", state, store=store, migrate=rename) as made:
        work = node(lambda s: {name: "1"}, name="work")
        ask = node(lambda s: {"ok": interrupt("Well?")}, name="ask")
        START >> [work, ask] >> END
    return made


@pytest.mark.parametrize(
    "name, rename",
    [
        ("summary", lambda v: {("summary" if k == "note" else k): x for k, x in v.items()}),
        ("summary", None),
        ("note", lambda v: {**v, "note": "made anew", "more": ""}),
    ],
    ids=["renamed", "removed", "made anew"],
)
def test_what_a_sibling_has_finished_is_not_lost(store, name, rename):
    """Its write does not fit the new class: it is refused before anything is changed. (W1, R47)"""
    finished_sibling(store, "note").run({"note": "0", "ok": "-"}, "t")
    thread = finished_sibling(store, name, rename, {"more": str}).thread("t")
    with pytest.raises(StateError, match="'work' has finished"):
        thread.resume("yes", on_change="go-on")
    assert ("waiting", ["Well?"]) == (thread.status, [q.question for q in thread.questions])

    # With the class as it was the thread goes on; so it does when the node runs again.
    again = thread.resume("yes", rerun=["work"]).result(5)
    assert ("1", "yes") == (again[name], again["ok"])


def test_what_a_sibling_has_finished_is_kept_where_the_class_only_grew(store):
    """An added field is no reason to pay again."""
    calls = []

    def graph(state):
        with Graph("g", state, store=store) as made:
            work = node(lambda s: calls.append(1) or {"note": "paid"}, name="work")
            ask = node(lambda s: {"ok": interrupt("Well?")}, name="ask")
            START >> [work, ask] >> END
        return made

    class Small(TypedDict):
        note: str
        ok: str

    class Grown(TypedDict):
        note: str
        ok: str
        more: str

    graph(Small).run({"note": "", "ok": ""}, "t")
    assert "paid" == graph(Grown).thread("t").resume("yes", on_change="go-on").result(5)["note"]
    assert [1] == calls


@pytest.mark.parametrize("value", [b"\xfe", {frozenset({1}): 2}, float("nan")])
def test_an_edit_takes_what_json_cannot_say(value):
    """Bytes, keys that are no text, numbers that are none: an edit is not JSON."""

    class Any_(TypedDict):
        x: Any

    with Graph("g", Any_, store=MemoryStore()) as graph:
        START >> node(lambda state: None, name="one") >> END
    graph.run({"x": 1}, "t")
    graph.thread("t").edit({"x": value})
    found = graph.thread("t").state["x"]

    assert found == value or found != found


NESTED = """
import dataclasses, typing, msgspec, pydantic
from typing import Annotated, Any, NamedTuple, TypedDict
from nbagent import END, START, Graph, interrupt, node

class Model(pydantic.BaseModel):
    {body}

@dataclasses.dataclass
class Data:
    {body}

class Dict(TypedDict):
    {body}

class State(TypedDict, total=False):
    model: list[Model]
    data: dict[str, Data]
    plain: Dict
    ok: Any
"""


def nested(store, body, first=None, **more):
    """A graph whose state has three classes with this body; `first` is what the thread holds."""
    space = {"__name__": "nested_evolution"}
    exec(NESTED.format(body=body.replace("\n", "\n    ")), space)
    with Graph("g", space["State"], store=store, **more) as made:
        put = node(lambda state: first(space) if first else None, name="put")
        START >> put >> node(lambda state: {"ok": interrupt("?")}, name="ask") >> END
    return made


def ada(space):
    return {
        "model": [space["Model"](name="Ada")],
        "data": {"k": space["Data"](name="Ada")},
        "plain": {"name": "Ada"},
    }


@pytest.mark.parametrize(
    "body, place",
    [
        ("full_name: str", "model[0].full_name"),
        ("name: str\nage: int", "model[0].age"),
        ("name: int", "model[0].name"),
        ("name: Annotated[str, pydantic.Field(min_length=9)]", "model[0].name"),
    ],
    ids=["renamed", "needed", "another type", "a bound"],
)
def test_a_change_inside_of_the_state_is_noticed(store, body, place):
    """A model, a dataclass and a TypedDict: refused, with every place, before anything runs."""
    nested(store, "name: str", ada).run({}, "t")
    thread = nested(store, body).thread("t")
    with pytest.raises(StateError, match="another state class") as caught:
        thread.resume("yes")
    places = {".".join(map(str, problem.path)) for problem in caught.value.errors}
    last = place.rpartition(".")[2]

    assert place in str(caught.value)
    assert {f"model.0.{last}", f"data.k.{last}", f"plain.{last}"} == places
    assert "yes" == nested(store, "name: str").thread("t").resume("yes").result(5)["ok"]


def test_a_field_with_a_default_is_added_inside_of_the_state(store):
    """Nothing stands in the way of the thread."""

    def small(space):
        return {name: value for name, value in ada(space).items() if name != "plain"}

    nested(store, "name: str", small).run({}, "t")
    later = nested(store, "name: str\ntone: str").schema
    assert later.fingerprint != nested(store, "name: str").schema.fingerprint
    grown = NESTED.replace(
        "class Dict(TypedDict):\n    {body}", "class Dict(TypedDict):\n    name: str"
    )
    space = {"__name__": "nested_evolution"}
    exec(grown.format(body="name: str\n    tone: str = 'calm'"), space)
    thread = graph_of(space["State"], store).thread("t")
    state = thread.state

    assert ("Ada", "calm") == (state["model"][0].name, state["model"][0].tone)
    assert ("Ada", "calm") == (state["data"]["k"].name, state["data"]["k"].tone)
    assert "The state class has changed: added model.tone, data.tone." == thread.latest().notice


def test_a_migration_gets_what_was_stored_inside_of_the_state(store):
    """Not an emptied object; what it returns is checked as well."""
    seen = []

    def migrate(values):
        seen.append(values)
        old = values["model"][0].__dict__["name"], values["data"]["k"].__dict__["name"]
        assert ("Ada", "Ada") == old
        return {
            **values,
            "model": [{"full_name": values["model"][0].name}],
            "data": {"k": {"full_name": "Ada"}},
            "plain": {"full_name": values["plain"]["name"]},
        }

    nested(store, "name: str", ada).run({}, "t")
    thread = nested(store, "full_name: str", migrate=migrate).thread("t")
    state = thread.resume("yes").result(5)

    assert ("Ada", "Ada") == (state["model"][0].full_name, state["data"]["k"].full_name)
    assert {"full_name": "Ada"} == state["plain"]
    with pytest.raises(StateError, match="full_name"):
        nested(store, "name: str", ada).run({}, "u")
        nested(store, "full_name: str", migrate=lambda v: v).thread("u").resume("yes")


def test_a_renamed_field_is_told_of(store, old):
    """Where one went and another came without a value: the notice and the node's error say so."""

    class Second(TypedDict):
        subject: str
        count: int

    def read(state):
        return {"subject": state["subject"]}

    thread = graph_of(Second, store).thread("t")
    said = r"the thread keeps 'topic' from an earlier state class: .*migrate=function"
    assert re.search(rf"nothing yet for subject \({said}", thread.latest().notice)
    with Graph("g", Second, store=store) as made:
        ask = node(lambda state: interrupt("Go on?") and None, name="ask")
        START >> ask >> node(read, name="read") >> END
    with pytest.raises(NodeError, match=f"'subject' has not been written yet.*{said}"):
        made.thread("t").resume("yes", on_change="go-on").result(5)


BESIDE = """
import dataclasses, msgspec, typing
from typing import Any, NamedTuple, TypedDict

@dataclasses.dataclass
class Data:
    {data}

class Pair(NamedTuple):
    {pair}

class Packed(msgspec.Struct):
    {packed}

class State(TypedDict, total=False):
    data: Data
    pair: Pair
    packed: Packed
    any: Any
"""


def beside(store, name, first=None, **bodies):
    """A graph whose state has a dataclass, a named tuple and a struct, all in module `name`."""
    space = sys.modules.setdefault(name, types.ModuleType(name)).__dict__
    told = {"data": "a: int = 0", "pair": "a: int = 0", "packed": "a: int = 0", **bodies}
    exec(BESIDE.format(**told), space)
    with Graph("g", space["State"], store=store) as made:
        put = node(lambda state: first(space) if first else None, name="put")
        START >> put >> node(lambda state: interrupt("?") and None, name="ask") >> END
    return made


@pytest.fixture
def module():
    name = f"evolution_{uuid.uuid4().hex}"
    yield name
    sys.modules.pop(name, None)


def test_a_renamed_field_with_a_default_inside_is_told(store, module):
    """The new one has its default, the old one stays with the object; both are in the notice."""
    beside(store, module, lambda space: {"data": space["Data"](7)}).run({}, "t")
    thread = beside(store, module, data="b: list = dataclasses.field(default_factory=list)")
    found = thread.thread("t")

    assert "The state class has changed: added data.b; kept aside data.a." == found.latest().notice
    assert [] == found.state["data"].b
    assert 7 == beside(store, module).thread("t").state["data"].a


def test_the_fields_of_a_named_tuple_are_found_by_their_names(store, module):
    """In another order, and with a new one before them; a renamed one is refused by name."""
    two = {"pair": "a: int\n    b: int"}
    beside(store, module, lambda space: {"pair": space["Pair"](1, 2)}, **two).run({}, "t")
    swapped = beside(store, module, pair="b: int\n    a: int").thread("t").state["pair"]
    assert (2, 1) == (swapped.b, swapped.a) == tuple(swapped)
    grown = beside(store, module, pair="c: int = 3\n    b: int = 0\n    a: int = 0").thread("t")
    assert (3, 2, 1) == tuple(grown.state["pair"])
    with pytest.raises(CodecError, match="has the fields a, b, and its class now has a, bb"):
        _ = beside(store, module, pair="a: int\n    bb: int").thread("t").state


def test_a_struct_that_needs_what_was_not_stored_is_refused_by_name(store, module):
    beside(store, module, lambda space: {"packed": space["Packed"](1)}).run({}, "t")
    with pytest.raises(CodecError, match=r"Packed has the fields a, and its class now has b: add"):
        _ = beside(store, module, packed="b: int").thread("t").state


ALONE = """
import dataclasses
from typing import Any, TypedDict

@dataclasses.dataclass
class Alone:
    a: int

class State(TypedDict, total=False):
    any: Any
"""


def test_a_struct_whose_field_is_of_another_type_now_is_refused(store, module):
    """In a resume as in an edit."""
    beside(store, module, lambda space: {"packed": space["Packed"](1)}).run({}, "t")
    made = beside(store, module, packed="a: str")
    with pytest.raises(StateError, match=r"packed\.a: Input should be a valid string, not 1"):
        made.thread("t").resume("yes")
    kind = sys.modules[module].Packed
    with pytest.raises(StateError, match=r"packed\.a: Input should be a valid string, not 2"):
        made.run({"packed": kind(2)}, "u")


def test_what_is_defined_beside_the_state_is_found_again(store, module):
    """In a field of any type, in a session that has only defined the classes."""
    space = sys.modules.setdefault(module, types.ModuleType(module)).__dict__
    exec(ALONE, space)
    made = graph_of(space["State"], store)
    made.run({"any": [space["Alone"](7)]}, "t")
    registry._types.pop(f"{module}.Alone", None)  # as in another process
    registry._scopes.discard(module)
    exec(ALONE, space)

    assert 7 == graph_of(space["State"], store).thread("t").state["any"][0].a
