"""A value comes back as it was written, to the last bit, or it is refused by name. (W6, W16)"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import math
import subprocess
import sys
import textwrap
import threading
import zoneinfo
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar

import msgspec
import numpy
import pandas
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbagent import END, START, CodecError, Graph, NbagentError, NodeError, node, register_type
from nbagent.engine.model.checkpoint import Checkpoint, TaskRecord
from nbagent.engine.model.values import freeze, frozen_dict, isolate
from nbagent.engine.store.ownership import current_owner
from nbagent.stores.codec.values import decode, encode, encode_checked, same
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


class Colour(enum.Enum):
    RED = 1


class Rights(enum.Flag):
    READ = 1
    WRITE = 2
    ADMIN = 7


class Bits(enum.IntFlag):
    LOW = 1


@dataclasses.dataclass
class Job:
    """`tries` is no field, `total` a cached property."""

    name: Any

    def __post_init__(self) -> None:
        self.tries = 0

    @functools.cached_property
    def total(self) -> Any:
        return [self.name]


class Roomy:
    __slots__ = ("note",)


@dataclasses.dataclass(slots=True)
class Slotted(Roomy):
    name: Any


class Budget(pydantic.BaseModel):
    limit: Any = None
    _spent: Any = pydantic.PrivateAttr(default=0.0)

    @functools.cached_property
    def half(self) -> Any:
        return (self.limit, 2)


class Open(pydantic.BaseModel, extra="allow"):
    name: Any = pydantic.Field(default=None, alias="title")

    def model_post_init(self, context: Any) -> None:
        self.name = "changed by its own code"


class Packed(msgspec.Struct, dict=True):
    name: Any

    def __post_init__(self) -> None:
        self.name = "changed by its own code"


class Pair(NamedTuple):
    left: Any
    right: Any = None


T = TypeVar("T")


@dataclasses.dataclass
class Box(Generic[T]):
    inside: T


@dataclasses.dataclass
class Odd:
    """Its copies, and what it says of its state, are not what it is."""

    name: Any

    def __deepcopy__(self, memo: Any) -> Odd:
        return Odd("copied")

    def __getstate__(self) -> Any:
        return {"name": "state"}

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


KINDS = [Colour, Rights, Bits, Job, Slotted, Budget, Open, Packed, Pair, Box, Odd]
for kind in KINDS:
    register_type(kind)


def job(name: Any, tries: Any, look: bool) -> Job:
    made = Job(name)
    made.tries = tries
    if look:
        assert made.total
    return made


def slotted(name: Any, note: Any) -> Slotted:
    made = Slotted(name)
    made.note = note
    return made


def budget(limit: Any, spent: Any, look: bool) -> Budget:
    made = Budget(limit=limit)
    made._spent = spent
    if look:
        assert made.half
    return made


def opened(name: Any, extra: Any) -> Open:
    made = Open(more=extra)
    made.name = name
    return made


def packed(name: Any, note: Any) -> Packed:
    made = Packed(name)
    made.name, made.note = name, note
    return made


FLOATS = st.one_of(st.floats(), st.sampled_from([-0.0, math.nan, math.inf]))
ZONES = st.sampled_from(
    [
        None, BERLIN, zoneinfo.ZoneInfo("UTC"), datetime.UTC,
        datetime.timezone(datetime.timedelta(hours=1), "CET"),
        datetime.timezone(-datetime.timedelta(hours=5, minutes=30)),
    ]
)  # fmt: skip
ATOMS = st.one_of(
    st.none(), st.booleans(), st.integers(), FLOATS, st.complex_numbers(), st.text(),
    st.text(st.characters()), st.binary(max_size=9), st.decimals(),
    st.sampled_from(list(Colour)),
    st.sampled_from([Rights(0), Rights.READ, Rights.READ | Rights.WRITE, Rights.ADMIN, Bits(9)]),
    st.builds(
        lambda at, zone, fold: at.replace(tzinfo=zone, fold=fold),
        st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2100, 1, 1)),
        ZONES,
        st.integers(0, 1),
    ),
    st.times(), st.timedeltas(),
    st.builds(numpy.float32, st.floats(width=32)), st.builds(numpy.int8, st.integers(-99, 99)),
    st.just(pandas.NA), st.just(pandas.NaT), st.just(pandas.Timestamp(5, tz=BERLIN)),
    st.sampled_from([fractions.Fraction(1, 3), object(), collections.deque([1]), len, "\ud800"]),
)  # fmt: skip
EXACT = st.decimals(allow_nan=False)
KEYS = st.one_of(st.text(max_size=2), st.integers(), FLOATS, st.tuples(FLOATS), EXACT)
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
        st.sets(KEYS, max_size=3),
        st.builds(job, inner, inner, st.booleans()),
        st.builds(slotted, inner, inner),
        st.builds(budget, inner, inner, st.booleans()),
        st.builds(opened, inner, inner),
        st.builds(packed, inner, inner),
        st.builds(Pair, inner, inner),
        st.builds(Box[int], inner),
        st.builds(Odd, inner),
        st.lists(inner, max_size=3).map(lambda cells: pandas.Series(cells, dtype=object)),
    ),
    max_leaves=8,
)


def exactly(a: Any, b: Any) -> bool:
    """Equal by what the two hold, found another way than the codec does it."""
    if type(a).__name__.removeprefix("Frozen").lower() != (
        type(b).__name__.removeprefix("Frozen").lower()
    ):
        return False
    if isinstance(a, pandas.Series):
        return a.dtype == b.dtype and exactly(list(a), list(b))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(exactly, a, b))
    if isinstance(a, dict):
        return exactly(list(a), list(b)) and exactly(list(a.values()), list(b.values()))
    if isinstance(a, (set, frozenset)):
        return sorted(map(repr, a)) == sorted(map(repr, b))
    if isinstance(a, (Job, Odd, Box)):
        return exactly(
            {k: v for k, v in vars(a).items() if k != "__orig_class__"},
            {k: v for k, v in vars(b).items() if k != "__orig_class__"},
        )
    if isinstance(a, Slotted):
        return exactly([a.name, a.note], [b.name, b.note])
    if isinstance(a, pydantic.BaseModel):
        return all(
            exactly(getattr(a, name), getattr(b, name))
            for name in ("__dict__", "__pydantic_private__", "__pydantic_extra__")
        )
    if isinstance(a, Packed):
        return exactly([a.name, a.note], [b.name, b.note])
    if isinstance(a, datetime.datetime) and not isinstance(a, pandas.Timestamp):
        return repr(a) == repr(b) and a.fold == b.fold
    return repr(a) == repr(b)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Any:
    file = SqliteStore(tmp_path_factory.mktemp("exact") / "a.db", durability="process")
    yield MemoryStore(), file
    file.close()


def written(store: Any, value: Any) -> Any:
    """What a store gives back for the value, or its refusal; then the last checkpoint stays."""
    empty = frozen_dict({})
    lease = store.acquire("t", current_owner(), create=True)
    store.delete(lease)
    lease = store.acquire("t", current_owner(), create=True)
    first = Checkpoint(1, None, 0, "input", frozen_dict({"v": None}), empty, (), (), 1)
    store.commit(lease, first)
    try:
        frozen = freeze(value)
        record = TaskRecord(1, "1:a", "a", "done", frozen_dict({"v": frozen}))
        store.put_tasks(lease, [record])
        second = dataclasses.replace(first, id=2, parent=1, values=frozen_dict({"v": frozen}))
        store.commit(lease, second, [record])
    except CodecError as error:
        assert "v" == error.field and "'v'" in str(error) and "'a'" in str(error)
        assert 1 == store.latest("t").checkpoint.id
        return str(error)
    finally:
        store.release(lease, "paused")
    return store.latest("t").checkpoint.values


@settings(max_examples=300)
@given(VALUES)
def test_all_stores_keep_a_value_exactly_or_refuse_it_in_the_same_words(
    stores: Any, value: Any
) -> None:
    """What a node returned is what the next one reads, and what the file gives back."""
    kept, stored = (written(store, value) for store in stores)
    if isinstance(stored, str):
        assert stored == kept
        return
    for found in (kept["v"], stored["v"], isolate(kept["v"]), isolate(stored["v"])):
        assert same(found, value)
        assert exactly(found, value), (found, value)


def column(cells: Any, **more: Any) -> pandas.Series:
    return pandas.Series(cells, **more)


DAYS = pandas.to_datetime(["2020-03-29", None, "2020-10-25"])
COLUMNS = {
    "None and exact ids": column([2**53 + 1, None], dtype=object),
    "texts": column(["a", "b"], dtype=object),
    "dates in objects": column([datetime.datetime(2020, 1, 1)] * 2, dtype=object),
    "zoned in objects": column([datetime.datetime(2020, 1, 1, tzinfo=BERLIN), None], dtype=object),
    "exact": column([decimal.Decimal("1.10"), decimal.Decimal("NaN")], dtype=object),
    "lists": column([[1], [2]], dtype=object),
    "arrays": column([numpy.array([1, 2]), numpy.array([3, 4])], dtype=object),
    "mixed": column([1, True, 1.0, "1", (1,), numpy.float32(1), pandas.NA, math.nan], dtype=object),
    "whole": pandas.Series(pandas.array([1, None], dtype="Int64")),
    "nan beside NA": pandas.Series(
        pandas.arrays.FloatingArray(numpy.array([math.nan, 1.0]), numpy.array([False, True]))
    ),
    "flags": pandas.Series(pandas.array([True, None], dtype="boolean")),
    "string": pandas.Series(pandas.array(["a", None], dtype="string")),
    "years": pandas.Series(pandas.period_range("2020", "2022", freq="Y")),
    "cut": pandas.Series(pandas.cut([1, 5, 9], 3)),
    "category": pandas.Series(pandas.Categorical(["x", None], ["y", "x"], ordered=True)),
    "days": pandas.Series(DAYS),
    "seconds": pandas.Series(DAYS.as_unit("s")),
    "zoned": pandas.Series(DAYS.tz_localize("Europe/Berlin")),
    "utc": pandas.Series(DAYS.tz_localize(datetime.UTC)),
    "utc by name": pandas.Series(DAYS.tz_localize(zoneinfo.ZoneInfo("UTC"))),
    "minus nought": column([-0.0, math.nan]),
    "big endian": column(numpy.array([1, 2], dtype=">u2")),
    "named": column([1], name=("a", 1)),
}
INDEXES = {
    "frequency": pandas.date_range("2020", periods=2, freq="D", tz="Europe/Berlin", name="when"),
    "levels": pandas.MultiIndex.from_tuples([("a", 1), ("b", None)], names=["x", None]),
    "unused levels": pandas.MultiIndex.from_product([[1, 2], [3, 4]])[:2],
    "categories": pandas.CategoricalIndex(["x", "y"], ["y", "x"], name=("t", 1)),
    "objects": pandas.Index([1, "a"], dtype=object),
    "texts as objects": pandas.Index(["a", "b"], dtype=object),
    "twice": pandas.Index([0, 0]),
    "intervals": pandas.IntervalIndex.from_breaks([0, 1, 2], closed="left"),
    "months": pandas.period_range("2020-01", periods=2, freq="M"),
    "every third": pandas.RangeIndex(0, 6, 3, name="n"),
}


def tables() -> dict[str, Any]:
    made: dict[str, Any] = {**COLUMNS, **INDEXES}
    for name, one in COLUMNS.items():
        made[f"{name}, as a table"] = one.to_frame(name)
    for name, index in INDEXES.items():
        made[f"rows: {name}"] = pandas.DataFrame({"a": [1, 2]}, index=index)
        made[f"columns: {name}"] = pandas.DataFrame([[1, "x"]], columns=index)
    marked = pandas.DataFrame({"a": [1, 2]}).set_flags(allows_duplicate_labels=False)
    marked.attrs = {"source": ("a", [1]), "at": datetime.date(2020, 1, 1)}
    made["marked"] = marked
    made["a marked column"] = marked["a"].copy()
    made["no columns"] = pandas.DataFrame(index=range(5))
    made["no rows"] = pandas.DataFrame(columns=["a", "b"])
    made["mixed names"] = pandas.DataFrame({1: [1], "b": [2], (1, 2): [3]})
    return made


@pytest.mark.parametrize("name", tables())
def test_a_table_is_never_changed(name: str, stores: Any) -> None:
    """Its dtypes, cells, index and notes: as the node returned it, for the next and in the file."""
    table = tables()[name]
    kind = "index"
    if not isinstance(table, pandas.Index):
        kind = "frame" if table.ndim == 2 else "series"
    check = getattr(pandas.testing, f"assert_{kind}_equal")
    more: Any = {"check_exact": True} if kind == "index" else {"check_flags": True}
    more |= {} if kind == "index" else {"check_freq": True, "check_exact": True}
    for store in stores:
        found = written(store, table)["v"]
        for one in (freeze(table), found, isolate(found)):
            check(one, table, **more)
            assert encode(one) == encode(table)
            if kind == "index":
                assert getattr(one, "freq", None) == getattr(table, "freq", None)
                continue
            assert one.attrs == table.attrs
            if kind == "series" and table.dtype == object:
                assert list(map(type, one)) == list(map(type, table))
                assert list(map(repr, one)) == list(map(repr, table))


ARRAYS = {
    "records": numpy.array([(1, 2.0, "x")], dtype=[("a", "<i4"), ("b", ">f8"), ("c", "U3")]),
    "aligned": numpy.ones(2, numpy.dtype({"names": ["a", "b"], "formats": ["u1", "f8"]}, True)),
    "nested": numpy.ones(2, dtype=[("p", [("x", "f4"), ("y", "f4", (2,))])]),
    "days": numpy.array(["2020", "NaT"], dtype="M8[D]"),
    "no dimension": numpy.array(5.0),
    "an object": numpy.array({"a": (1,)}, dtype=object),
    "big endian": numpy.arange(3, dtype=">i4"),
    "by column": numpy.asfortranarray(numpy.arange(6.0).reshape(2, 3)),
    "every second": numpy.arange(6)[::2],
    "empty": numpy.zeros((0, 3)),
    "noughts in text": numpy.array(["a\u0000b"]),
    "void": numpy.zeros(2, dtype="V5"),
    "complex": numpy.array([1 + 2j, math.nan]),
    "half": numpy.array([1.5], dtype="f2"),
    "a record": numpy.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])[0],
    "a day": numpy.datetime64("2020-01-01", "D"),
    "no day": numpy.datetime64("NaT", "D"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_is_never_changed(name: str, stores: Any) -> None:
    """Its dtype with byte order and fields, its shape and its bytes."""
    array = ARRAYS[name]
    for store in stores:
        found = written(store, array)["v"]
        for one in (freeze(array), found, isolate(found)):
            assert (type(array), array.dtype, array.shape) == (type(one), one.dtype, one.shape)
            assert repr(array.tolist()) == repr(one.tolist())


@pytest.mark.parametrize(
    "value",
    [
        numpy.ma.masked_array([1, 2], [0, 1]), numpy.array([[1]]).view(numpy.matrix),
        numpy.rec.array([(1,)], dtype=[("a", "i4")]), pandas.Series(pandas.arrays.SparseArray([0])),
        pandas.Series([[numpy.ma.masked]], dtype=object), collections.OrderedDict(a=1),
        bytearray(b"a"), {math.nan: 1}, {(1, math.nan)}, {decimal.Decimal("NaN")}, {pandas.NaT: 1},
        ["\ud800"], {"\ud800": 1}, threading.Event, collections.Counter("a"),
        datetime.datetime(2020, 1, 1, tzinfo=type("Mine", (datetime.tzinfo,), {})()),
    ],
    ids=lambda value: repr(value).replace("\n", " ")[:40],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_by_name(value: Any, stores: Any) -> None:
    """Masks, subclasses, what is equal to nothing as a key, halves of characters."""
    kept, stored = (written(store, {"deep": [value]}) for store in stores)

    assert kept == stored
    assert "field 'v' (written by node 'a')" in stored


def test_the_place_inside_is_named(stores: Any) -> None:
    """Whatever it is inside of: fields, private attributes, what `__post_init__` set."""
    for value, place in (
        ([{"a": object()}], ", at [0]['a']:"),
        (Budget(limit=[object()]), ", at .limit[0]:"),
        (budget(1, object(), False), ", at ._spent:"),
        (job(1, object(), False), ", at .tries:"),
        (slotted(1, object()), ", at .note:"),
        (opened(1, object()), ", at .more:"),
    ):
        assert all(place in written(store, value) for store in stores)


def test_a_class_that_also_is_something_else_is_refused() -> None:
    """Its items or arguments are in no attribute."""

    @register_type
    @dataclasses.dataclass
    class Failed(Exception):
        code: int

    with pytest.raises(CodecError, match="also a Exception"):
        encode(Failed(3))


def test_a_member_that_has_gone_is_a_sentence() -> None:
    """It says which one, and what to do."""
    data = encode(Rights.READ | Rights.WRITE)
    gone = encode(Colour.RED).replace(b"RED", b"TAN")

    assert Rights.READ | Rights.WRITE is decode(data)
    for bad, name in ((gone, "Colour.TAN"), (data.replace(b"READ", b"ROAD"), "Rights.ROAD")):
        with pytest.raises(CodecError, match=f"{name}, and .* no such member any more: add it"):
            decode(bad)


def test_an_equality_of_the_classes_own_proves_nothing() -> None:
    """A class that calls all of its instances equal does not hide that one was changed."""
    assert not same(Odd(1), Odd(2))
    assert "a" == decode(encode_checked(freeze(Odd("a")))).name


def test_fields_that_a_class_has_lost_are_there_for_migrations() -> None:
    """Nothing is dropped because the class no longer names it. (R47)"""
    data = encode(Job("Ada")).replace(b"name", b"nome")

    assert "Ada" == decode(data).nome


def test_a_changed_column_is_never_taken_for_the_old_one(stores: Any) -> None:
    """Columns of pandas' own dtypes, whose cells numpy sees in passing only."""
    zoned = pandas.Series(pandas.to_datetime(["2020", "2021"])).dt.tz_localize("Europe/Berlin")
    whole = pandas.Series(pandas.array([1, 2], dtype="Int64"))
    old = freeze(pandas.DataFrame({"same": [1.0, 2.0], "zoned": zoned, "whole": whole}))
    new = isolate(old)
    new["zoned"] = zoned + pandas.Timedelta(days=1)
    new["whole"] = whole + 1
    new = freeze(new)
    store = stores[1]
    lease = store.acquire("columns", current_owner(), create=True)
    empty = frozen_dict({})
    one = Checkpoint(1, None, 0, "input", frozen_dict({"t": old}), empty, (), (), 1)
    store.commit(lease, one)
    values = frozen_dict({"t": new})
    store.commit(lease, dataclasses.replace(one, id=2, parent=1, values=values))
    store.release(lease, "paused")

    pandas.testing.assert_frame_equal(new, store.latest("columns").checkpoint.values["t"])


PLAN = """
import os
from typing import *
import dataclasses, pydantic, abc
from nbagent import *

class Step(pydantic.BaseModel):
    note: str
class Search(Step):
    query: str
class Tool(abc.ABC):
    pass
@dataclasses.dataclass
class Web(Tool):
    url: str
@dataclasses.dataclass
class Beside:
    x: int
Many = TypeVar("Many")
class Page(pydantic.BaseModel, Generic[Many]):
    items: list[Many]
class State(TypedDict):
    plan: list[Step]
    tool: Tool
    free: Any
    ok: Any
with Graph("g", State, store="sqlite:///%s") as g:
    @node
    def put(state):
        return {"plan": [Search(note="n", query="bees")], "tool": Web("u"), "free": [Beside(1)]}
    @node
    def ask(state):
        return {"ok": interrupt("q")}
    START >> put >> ask >> END
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert not done.returncode, done.stderr
    return done.stdout.strip()


def test_a_subclass_is_found_again_in_the_next_session(tmp_path: Any) -> None:
    """Below what the state declares, or beside it: the cell that defines it has been run."""
    code = PLAN % (tmp_path / "a.db")
    run(code + "g.run({}, 't')")

    expected = "[Search(note='n', query='bees')] Web(url='u') [Beside(x=1)] y"
    ended = (
        "s = g.thread('t').resume('y').result(9); print(s['plan'], s['tool'], s['free'], s['ok'])"
    )
    assert expected == run(code + ended)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("Page[int](items=[1])", "name it in the state class"),
        ("pydantic.create_model('Made', __base__=Step, x=(int, 1))(note='n')", "register_type"),
        ("local()", "define it beside the state class"),
    ],
)
def test_a_class_that_the_next_session_would_not_find_is_refused_at_once(
    made: str, said: str, tmp_path: Any
) -> None:
    """It exists only because a node made it."""
    code = PLAN % (tmp_path / "a.db") + textwrap.dedent(
        f"""
        def local():
            class Local(Step):
                more: int = 1
            return Local(note="n")
        with Graph("h", State, store="memory://") as h:
            START >> node(lambda state: {{"free": {made}}}, name="a") >> END
        try:
            h.run({{}}, "t")
            print("kept")
        except CodecError as error:
            print(error.field, error.node, error)
        """
    )
    found = run(code)
    assert found.startswith("free a") and said in found


class State(TypedDict):
    v: Any


def around() -> Any:
    made: list[Any] = []
    made.append({"again": made})
    return made


def around_objects() -> Any:
    made = Job("a")
    made.name = (made,)
    return made


def deep(levels: int) -> Any:
    made: Any = 1
    for _ in range(levels):
        made = [made]
    return made


@pytest.mark.parametrize(
    "value",
    [around(), around_objects(), deep(250), deep(3000), Job(threading.Lock()), len, [object()]],
    ids=["a circle", "objects in a circle", "deep", "deeper", "a lock", "a function", "an object"],
)
def test_a_run_says_which_field_of_which_node_cannot_be_kept(value: Any, tmp_path: Any) -> None:
    """In the same words for every store; the thread is where it was and can be resumed."""
    said = []
    for store in (MemoryStore(), SqliteStore(tmp_path / "a.db")):
        with Graph("g", State, store=store) as graph:
            START >> node(lambda state: {"v": value}, name="a") >> END
        with pytest.raises(NbagentError) as caught:
            graph.run({"v": "before"}, thread="t")
        thread = graph.thread("t")
        assert ("failed", "before") == (thread.status, thread.state["v"])
        cause: Any = caught.value.__cause__ if isinstance(caught.value, NodeError) else caught.value
        assert ("v", "a") == (cause.field, cause.node)
        said.append(str(caught.value))
        store.close()

    assert said[0] == said[1]
    assert "field 'v' (written by node 'a')" in said[0]
