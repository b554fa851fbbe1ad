"""
What a state class says is enforced on input, write, reducer result and edit, and shown. (R34, W6)
"""

import dataclasses
import datetime
import operator
import typing
import uuid
from typing import Annotated, Any, Generic, Literal, TypedDict, TypeVar

import annotated_types
import pandas as pd
import pydantic
import pytest
import typing_extensions
from hypothesis import given
from hypothesis import strategies as st

from nbagent import END, START, Graph, NodeError, StateError, interrupt, node
from nbagent.stores.memory import MemoryStore

T = TypeVar("T")


def graph_of(state, *functions, **more):
    """The functions one after the other; then a question, so that the thread can be edited."""
    with Graph("g", state, store=MemoryStore(), **more) as made:
        ends = [node(one, name=f"n{place}") for place, one in enumerate(functions)]
        ends.append(node(lambda state: interrupt("?") and None, name="ask"))
        last = START
        for one in ends:
            last = last >> one
        last >> END
    return made


class Bounded(pydantic.BaseModel):
    n: int = pydantic.Field(0, ge=0, le=10, description="how many")
    first: str

    @pydantic.field_validator("first")
    @classmethod
    def low(cls, value):
        if not value.islower():
            raise ValueError("lower case only")
        return value


class BoundedDict(TypedDict, total=False):
    n: Annotated[int, annotated_types.Ge(0), annotated_types.Le(10)]
    first: typing_extensions.Required[Annotated[str, pydantic.Field(pattern="^[a-z]+$")]]


@dataclasses.dataclass
class BoundedClass:
    first: Annotated[str, pydantic.Field(pattern="^[a-z]+$")]
    n: Annotated[int, annotated_types.Interval(ge=0, le=10)] = 0


@pydantic.dataclasses.dataclass
class BoundedPydantic:
    first: Annotated[str, pydantic.Field(pattern="^[a-z]+$")]
    n: int = pydantic.Field(0, ge=0, le=10)


KINDS = [Bounded, BoundedDict, BoundedClass, BoundedPydantic]


@pytest.mark.parametrize("kind", KINDS)
@given(n=st.integers(-20, 20), first=st.sampled_from(["a", "A", "ab", "aB"]))
def test_a_bound_holds_wherever_a_value_comes_in(kind, n, first):
    """Input, write and edit take the same values, and a refusal names the field."""
    fits = 0 <= n <= 10 and first.islower()
    values = {"n": n, "first": first}
    wrong = {"first"} if 0 <= n <= 10 else {"n"} if first.islower() else {"n", "first"}

    def enter():
        return graph_of(kind).run(values, "t")

    def write():
        return graph_of(kind, lambda state: values).run({"first": "a"}, "t")

    def edit():
        made = graph_of(kind)
        made.run({"first": "a"}, "t")
        made.thread("t").edit(values)
        return made.thread("t").state

    for way in (enter, write, edit):
        if fits:
            assert values == dict(way())
        else:
            with pytest.raises((StateError, NodeError)) as caught:
                way()
            cause = caught.value.__cause__ if isinstance(caught.value, NodeError) else caught.value
            assert cause.field in wrong


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_required_is_asked_for_and_shown(kind):
    """An input without it is refused; the form says the bounds and what is required."""
    schema = graph_of(kind).schema.json_schema()
    assert ["first"] == schema["required"]
    assert (0, 10) == (schema["properties"]["n"]["minimum"], schema["properties"]["n"]["maximum"])
    with pytest.raises(StateError, match="first: is needed"):
        graph_of(kind).run({"n": 1}, "t")


def test_a_models_description_is_in_the_form():
    assert "how many" == graph_of(Bounded).schema.json_schema()["properties"]["n"]["description"]


def test_fields_that_do_not_go_together_are_refused():
    """A model validator and `__post_init__` see the whole state, after every step and edit."""

    class Model(pydantic.BaseModel):
        low: int = 0
        high: int = 10

        @pydantic.model_validator(mode="after")
        def ordered(self):
            if self.low > self.high:
                raise ValueError("low is above high")
            return self

    @dataclasses.dataclass
    class Data:
        low: int = 0
        high: int = 10

        def __post_init__(self):
            if self.low > self.high:
                raise ValueError("low is above high")

    for kind in (Model, Data):
        with pytest.raises(StateError, match=r"low is above high.*node 'n0'.*rerun"):
            graph_of(kind, lambda state: {"low": 11}).run({}, "t")
        with pytest.raises(StateError, match="low is above high"):
            graph_of(kind).run({"low": 11}, "t")
        made = graph_of(kind)
        made.run({}, "t")
        with pytest.raises(StateError, match="low is above high"):
            made.thread("t").edit({"low": 11})
        made.thread("t").edit({"low": 11, "high": 12})
        assert (11, 12) == (made.thread("t").state["low"], made.thread("t").state["high"])


def test_a_generic_state_holds_what_it_was_made_for():
    """Of a model, a dataclass and a TypedDict."""

    class Model(pydantic.BaseModel, Generic[T]):
        v: T

    @dataclasses.dataclass
    class Data(Generic[T]):
        v: T

    kinds = [Model[int], Data[int]]

    class Dict(TypedDict, Generic[T]):
        v: list[T]

    made = graph_of(Dict[int])
    assert {"v": [1]} == made.run({"v": [1]}, "t")
    with pytest.raises(StateError, match=r"v\[0\]"):
        made.run({"v": ["1"]}, "u")
    for kind in kinds:
        with pytest.raises(NodeError, match="v: "):
            graph_of(kind, lambda state: {"v": "text"}).run({"v": 1}, "t")


def test_an_alias_is_another_name_for_those_who_give_values():
    class Model(pydantic.BaseModel):
        size: int = pydantic.Field(alias="max-size")

    made = graph_of(Model)
    assert {"size": 3} == made.run({"max-size": 3}, "t")
    made.thread("t").edit({"max-size": 4})
    assert {"size": 4} == made.thread("t").state


def test_a_discriminated_union_is_read_by_its_tag():
    """An edit in JSON becomes the model that its tag names."""

    class Cat(pydantic.BaseModel):
        kind: Literal["cat"] = "cat"
        lives: int = 9

    class Dog(pydantic.BaseModel):
        kind: Literal["dog"] = "dog"
        tricks: int = 0

    class Model(pydantic.BaseModel):
        pet: Cat | Dog = pydantic.Field(default_factory=Cat, discriminator="kind")

    made = graph_of(Model)
    made.run({}, "t")
    made.thread("t").edit({"pet": {"kind": "dog", "tricks": 2}})
    assert Dog(tricks=2) == made.thread("t").state["pet"]
    with pytest.raises(StateError, match="pet"):
        made.thread("t").edit({"pet": {"kind": "fox"}})


class Part(pydantic.BaseModel):
    t: int


@dataclasses.dataclass
class Piece:
    t: int


@pytest.mark.parametrize("kind", [Part, Piece])
def test_a_dict_is_no_model_where_a_node_writes_it(kind):
    """What is read equals what was written; an input or edit that JSON carried is that model."""

    class State(TypedDict, total=False):
        m: kind
        ms: list[kind]

    with pytest.raises(NodeError, match=rf"m: Input should be .*{kind.__name__}, not"):
        graph_of(State, lambda state: {"m": {"t": 3}}).run({}, "t")
    with pytest.raises(NodeError, match="ms"):
        graph_of(State, lambda state: {"ms": [{"t": 3}]}).run({}, "t")
    made = graph_of(State)
    assert {"m": kind(t=1)} == made.run({"m": {"t": 1}}, "t")
    made.thread("t").edit({"ms": [{"t": 2}]})
    assert [kind(t=2)] == made.thread("t").state["ms"]


@pytest.mark.parametrize("bad", [Part.model_construct(t="x"), Part.model_construct(), Piece("x")])
def test_an_instance_is_looked_into_where_a_person_gives_it(bad):
    """It may have been made past its checks."""

    class State(TypedDict, total=False):
        m: Part | Piece

    made = graph_of(State)
    made.run({}, "t")
    with pytest.raises(StateError, match=r"m\.t"):
        made.thread("t").edit({"m": bad})


def test_a_value_that_its_type_would_change_is_refused():
    """A validator that strips a text strips what a person gives, and says so to a node."""

    class State(TypedDict, total=False):
        name: Annotated[str, pydantic.StringConstraints(strip_whitespace=True)]

    with pytest.raises(NodeError, match="name: the field's type makes 'x' of ' x'"):
        graph_of(State, lambda state: {"name": " x"}).run({}, "t")
    assert {"name": "x"} == graph_of(State).run({"name": " x"}, "t")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_what_fits_is_what_was_written(value):
    """Checking changes nothing, numbers that are none included."""

    class State(TypedDict, total=False):
        v: Any
        listed: list[Any]
        named: dict[str, Any]

    made = graph_of(State, lambda state: {"v": value, "listed": [value], "named": {"k": value}})
    read = made.run({}, "t")
    assert repr([value, [value], {"k": value}]) == repr(
        [read[name] for name in State.__annotations__]
    )


class Person(pydantic.BaseModel):
    full: str = pydantic.Field("", alias="fullName")
    pin: int = pydantic.Field(0, exclude=True)


@dataclasses.dataclass
class Place:
    who: Person
    floor: int = 0


class Loose(pydantic.BaseModel, extra="ignore"):
    n: int = 0


class Ready(pydantic.BaseModel):
    n: int

    @pydantic.model_validator(mode="before")
    @classmethod
    def of_text(cls, data):
        return {"n": int(data["text"])} if "text" in data else data


class Listed(pydantic.RootModel[list[Person]]):
    pass


class People(TypedDict, total=False):
    person: Person
    place: Place
    some: list[Person | None]
    loose: Loose
    ready: Ready
    listed: Listed


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"person": {"fullName": "Ada", "pin": 1}}, Person(fullName="Ada", pin=1)),
        ({"place": {"who": {"pin": 2}}}, Place(Person(pin=2))),
        ({"some": [{"pin": 1}, None]}, [Person(pin=1), None]),
        ({"loose": {"n": 1, "m": 2}}, Loose(n=1)),
        ({"ready": {"text": "7"}}, Ready(n=7)),
        ({"listed": [{"pin": 3}]}, Listed([Person(pin=3)])),
    ],
)
def test_a_dict_that_a_person_gives_is_read_as_what_the_field_is(given, made):
    """Also by an alias, with what is left out of a dump, and where a validator takes other keys."""
    thread = graph_of(People, lambda state: {}).start(given, "t").result(5).thread
    (name,) = given
    assert made == thread.state[name]
    assert type(made) is type(thread.state[name])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"person": {"fullname": "Ada"}}, r"person\.fullname: is not a field .* mean 'fullName'"),
        ({"place": {"who": {}, "flor": 1}}, r"place\.flor: is not a field of Place .* 'floor'"),
        ({"place": {"who": {"pni": 1}}}, r"place\.who\.pni: is not a field of Person"),
        ({"some": [None, {"pni": 1}]}, r"some\[1\]\.pni: is not a field of Person"),
        ({"listed": [{"pni": 1}]}, r"listed\[0\]\.pni: is not a field of Person"),
    ],
)
def test_a_key_that_a_model_does_not_have_is_no_quiet_loss(given, said):
    """In an input and in an edit: it is refused, and no dict stands where a model should."""
    made = graph_of(People, lambda state: {})
    with pytest.raises(StateError, match=said):
        made.run(given, "t")
    made.run({}, "u")
    with pytest.raises(StateError, match=said):
        made.thread("u").edit(given)


def test_a_message_may_have_more_keys_than_its_class_names():
    class Message(TypedDict):
        role: str

    class State(TypedDict):
        log: Annotated[list[Message], operator.add]

    written = {"role": "tool", "call": "c1"}
    assert {"log": [written]} == graph_of(State, lambda state: {"log": [written]}).run({}, "t")


# ------------------------------------------------------------- classes, as Python means them


@dataclasses.dataclass
class Odd:
    shared: typing.ClassVar[int] = 3
    a: int = 0
    _: dataclasses.KW_ONLY
    q: dataclasses.InitVar[int] = 1
    b: int = 2


class Words(TypedDict):
    v: Annotated[int, "a description"]
    w: typing.NotRequired[Annotated[list[int], operator.add, "with a reducer"]]
    x: Annotated[typing.NotRequired[int], "inside"]


class Extended(typing_extensions.TypedDict):
    n: int
    fixed: typing_extensions.ReadOnly[int]


def test_what_is_no_field_is_none():
    assert ["a", "b"] == list(graph_of(Odd).schema.fields)
    assert {"a": 0, "b": 2} == graph_of(Odd).run({}, "t")


def test_words_in_an_annotation_are_for_people():
    made = graph_of(Words, lambda state: {"w": [1]})
    assert {"v": 1, "w": [1]} == made.run({"v": 1}, "t")
    assert "a description" == made.schema.json_schema()["properties"]["v"]["description"]


def test_a_typed_dict_of_typing_extensions():
    """No node writes what is ReadOnly; an input does."""
    made = graph_of(Extended, lambda state: {"n": 1})
    assert {"n": 1, "fixed": 2} == made.run({"fixed": 2}, "t")
    with pytest.raises(NodeError, match="fixed: is ReadOnly"):
        graph_of(Extended, lambda state: {"fixed": 1}).run({"fixed": 2}, "t")


class Leaf(TypedDict):
    name: str
    below: "list[Leaf]"
    note: typing.NotRequired[str]


def test_a_typed_dict_inside_of_the_state():
    """typing's own, also before Python 3.12, also in itself, in an Optional and in a dict."""

    class State(TypedDict, total=False):
        tree: Leaf
        maybe: Leaf | None
        by_name: dict[str, Leaf]

    leaf = {"name": "a", "below": [{"name": "b", "below": []}]}
    made = graph_of(State, lambda state: {"maybe": None, "by_name": {"x": leaf}})
    assert {"tree": leaf, "maybe": None, "by_name": {"x": leaf}} == made.run({"tree": leaf}, "t")
    with pytest.raises(StateError, match=r"tree\.below\[0\]\.name"):
        made.run({"tree": {"name": "a", "below": [{"below": []}]}}, "u")


@dataclasses.dataclass
class Held:
    leaf: Leaf
    more: "list[Held]" = dataclasses.field(default_factory=list)
    given: dataclasses.InitVar[int] = 0


class Pair(typing.NamedTuple):
    leaf: Leaf
    n: int = 1


class Around(typing_extensions.TypedDict):
    leaf: Leaf


def test_a_typed_dict_inside_of_a_class_inside_of_the_state():
    """In a dataclass, also one that names itself, a named tuple, another's TypedDict, under a
    name of its own; and each is looked into."""
    leaf, bad = {"name": "a", "below": []}, {"name": 1, "below": []}

    class State(TypedDict, total=False):
        held: Held
        pair: Pair
        by_name: dict[str, Held]
        around: Around
        named: typing.NewType("Named", Leaf)
        listed: typing_extensions.TypeAliasType("Listed", list[Leaf])

    whole = {
        "held": Held(leaf, [Held(leaf)]),
        "pair": Pair(leaf, 2),
        "by_name": {"x": Held(leaf)},
        "around": {"leaf": leaf},
        "named": leaf,
        "listed": [leaf],
    }
    made = graph_of(State, lambda state: whole)
    assert whole == made.run({}, "t")
    thread = made.thread("t")
    thread.edit({"held": {"leaf": leaf, "more": [{"leaf": leaf}]}, "pair": [leaf]})
    assert (Held(leaf, [Held(leaf)]), Pair(leaf)) == (thread.state["held"], thread.state["pair"])
    for field, value, place in [
        ("held", {"leaf": bad}, r"held\.leaf\.name"),
        ("held", Held(leaf, [Held(bad)]), r"held\.more\[0\]\.leaf\.name"),
        ("pair", Pair(bad), r"pair\[0\]\.name"),
        ("by_name", {"x": Held(bad)}, r"by_name\.x\.leaf\.name"),
        ("around", {"leaf": bad}, r"around\.leaf\.name"),
        ("named", bad, r"named\.name"),
        ("listed", [bad], r"listed\[0\]\.name"),
    ]:
        with pytest.raises(StateError, match=place):
            thread.edit({field: value})


@dataclasses.dataclass
class Sheet:
    table: pd.DataFrame
    notes: "dict[str, Sheet]" = dataclasses.field(default_factory=dict)


class SheetDict(TypedDict):
    sheet: Sheet
    table: pd.DataFrame


class SheetTuple(typing.NamedTuple):
    table: pd.DataFrame


@pytest.mark.parametrize("kind", [Sheet, SheetDict, SheetTuple])
def test_a_class_that_pydantic_does_not_know_inside_of_one_that_it_does(kind):
    """A table in a dataclass, a TypedDict, a named tuple is checked by its class."""
    table = pd.DataFrame({"x": [1]})

    def whole(table):
        if kind is Sheet:
            return Sheet(table, {"below": Sheet(table)})
        return SheetTuple(table) if kind is SheetTuple else {"sheet": Sheet(table), "table": table}

    class State(TypedDict, total=False):
        part: kind

    made = graph_of(State, lambda state: {"part": whole(table)})
    read = made.run({}, "t")["part"]
    found = read["sheet"].table if kind is SheetDict else read.table
    pd.testing.assert_frame_equal(table, found)
    with pytest.raises(StateError, match=r"part.*DataFrame"):
        made.thread("t").edit({"part": whole(3)})
    assert made.compile().schema.json_schema()["properties"]["part"]["readOnly"]


def test_what_a_node_of_a_class_state_returns():
    """A model or dataclass writes what was set in it and is not as it was read."""

    class Model(pydantic.BaseModel):
        a: int = 0
        log: Annotated[list[str], operator.add] = []

    class Part(pydantic.BaseModel):
        log: list[str]

    made = graph_of(
        Model,
        lambda state: state.model_copy(update={"a": state.a + 1}),
        lambda state: Model(a=state.a + 1),
        lambda state: Part(log=["x"]),
    )
    assert {"a": 2, "log": ["in", "x"]} == made.run({"log": ["in"]}, "t")

    @dataclasses.dataclass
    class Data:
        a: int = 0
        log: Annotated[list[str], operator.add] = dataclasses.field(default_factory=list)

    made = graph_of(Data, lambda state: dataclasses.replace(state, a=5))
    assert {"a": 5, "log": ["in"]} == made.run({"log": ["in"]}, "t")
    assert {"a": 5, "log": ["in"]} == made.run(Data(log=["in"]), "u")


def test_private_attributes_are_there_to_read():
    class Model(pydantic.BaseModel):
        a: int
        _n: int = pydantic.PrivateAttr(default=3)
        _twice: int = pydantic.PrivateAttr()

        def model_post_init(self, context):
            self._twice = 2 * self.a

    assert {"a": 13} == graph_of(Model, lambda state: {"a": state._n + state._twice}).run(
        {"a": 5}, "t"
    )


def test_an_unknown_name_gets_the_nearest_one():
    """In an input, which is no edit, and where a node reads."""

    class State(TypedDict, total=False):
        notes: list[str]

    @dataclasses.dataclass
    class Data:
        notes: list[str] = dataclasses.field(default_factory=list)

    with pytest.raises(StateError, match=r"the input gives 'noets'.*did you mean 'notes'"):
        graph_of(State).run({"noets": []}, "t")
    with pytest.raises(NodeError, match=r"'noets' is not a field.*did you mean 'notes'"):
        graph_of(State, lambda state: {"notes": state["noets"]}).run({"notes": []}, "t")
    with pytest.raises(NodeError, match=r"no 'noets' \(did you mean 'notes'"):
        graph_of(Data, lambda state: {"notes": state.noets}).run({}, "t")
    with pytest.raises(NodeError, match="'notes' has not been written yet"):
        graph_of(State, lambda state: {"notes": state["notes"]}).run({}, "t")


class Verdict(TypedDict):
    ok: bool


class Rated(pydantic.BaseModel):
    stars: int

    @pydantic.field_validator("stars")
    @classmethod
    def few(cls, stars):
        assert stars <= 5
        return stars


def asking(schema):
    with Graph("g", TypedDict("S", {"v": Any}, total=False), store=MemoryStore()) as made:
        ask = node(lambda state: {"v": interrupt("?", schema=schema)}, name="ask")
        START >> ask >> END
    made.run({}, "t")
    return made.thread("t")


@pytest.mark.parametrize(
    ("schema", "bad", "answer", "value"),
    [
        (Verdict, {"ok": "yes"}, {"ok": True}, {"ok": True}),
        (list[Verdict], [{}], [{"ok": True}], [{"ok": True}]),
        (datetime.date, "soon", "2026-01-02", datetime.date(2026, 1, 2)),
        (datetime.datetime, "soon", "2026-01-02T03:04", datetime.datetime(2026, 1, 2, 3, 4)),
        (datetime.time, "noon", "12:00", datetime.time(12)),
        (datetime.timedelta, "long", "PT1H", datetime.timedelta(hours=1)),
        (uuid.UUID, "1", str(uuid.UUID(int=1)), uuid.UUID(int=1)),
    ],
)
def test_an_answer_is_of_the_type_that_was_asked_for(schema, bad, answer, value):
    """Another is refused before anything is written; a text is read as the type."""
    thread = asking(schema)
    with pytest.raises(StateError, match="the answer does not fit the question"):
        thread.resume(bad)
    assert "waiting" == thread.status

    assert value == thread.resume(answer).result(5)["v"]


def test_an_answer_that_only_a_validator_refuses_can_be_given_anew():
    """JSON Schema cannot say it, so the node does, in the same words."""
    thread = asking(Rated)
    (question,) = thread.questions
    with pytest.raises(NodeError, match=r"does not fit the question: answer\.stars.*give another"):
        thread.resume({"stars": 9}).result(5)

    again = thread.resume(answers={question.id: {"stars": 5}})
    assert Rated(stars=5) == again.result(5)["v"]
