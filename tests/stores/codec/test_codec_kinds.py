"""Every single kind of value that a state may hold: there, back, and what is refused. (W6, W16)"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import pathlib
import zoneinfo

import numpy
import pandas
import pytest

from nbagent.engine.model.readable import LONGEST, to_json
from nbagent.errors import CodecError
from nbagent.stores.codec import frames
from nbagent.stores.codec.values import decode, encode_checked, register_type, same, type_name

OSLO = zoneinfo.ZoneInfo("Europe/Oslo")
SCALARS = {
    "NA": pandas.NA,
    "NaT": pandas.NaT,
    "timestamp": pandas.Timestamp("2026-01-02 03:04:05.678901"),
    "timestamp in seconds": pandas.Timestamp("2026-01-02").as_unit("s"),
    "timestamp in a zone": pandas.Timestamp("2026-07-01 12:00", tz="Europe/Oslo"),
    "timedelta": pandas.Timedelta(days=1, milliseconds=3),
    "numpy's number": numpy.float32(0.5),
    "numpy's truth": numpy.bool_(True),
    "numpy's date": numpy.datetime64("2026-01-02"),
    "posix path": pathlib.PurePosixPath("/a/b"),
    "windows path": pathlib.PureWindowsPath("C:/a"),
    "time in a zone": datetime.datetime(2026, 10, 25, 2, 30, tzinfo=OSLO, fold=1),
    "utc": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    "offset": datetime.datetime(
        2026, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    ),
    "time": datetime.time(1, 2, 3, fold=1),
}
ARRAYS = {
    "numbers": numpy.arange(6, dtype=">i2").reshape(2, 3),
    "no dimension": numpy.array(4.5),
    "empty": numpy.zeros((0, 3)),
    "not in C order": numpy.arange(6).reshape(2, 3).T,
    "objects": numpy.array([{"a": 1}, None, "x"], dtype=object),
    "texts": numpy.array(["ab", "c"]),
    "records": numpy.zeros(2, dtype=[("a", "i4")]),
}
COLUMNS = {
    "whole": pandas.Series([1, 2], name="n"),
    "named index": pandas.Series([1.5, 2.5], index=pandas.Index(["a", "b"], name="key")),
    "steps": pandas.Series([1, 2], index=pandas.RangeIndex(10, 30, 10, name="r")),
    "two levels": pandas.Series(
        [1, 2], index=pandas.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", None])
    ),
    "categories": pandas.Series(pandas.Categorical(["b", None], ["b", "a"], ordered=True)),
    "zoned": pandas.Series(pandas.to_datetime(["2026-01-01", None]).tz_localize("Europe/Oslo")),
    "nullable": pandas.Series([1, None], dtype="UInt16"),
    "periods": pandas.Series(pandas.period_range("2026", periods=2, freq="Y")),
    "nullable truth": pandas.Series([True, None], dtype="boolean"),
    "text with gaps": pandas.Series(["x", None], dtype="str"),
    "durations": pandas.Series(pandas.to_timedelta([1, 2], unit="s")),
}
INDEXES = {
    "plain": pandas.Index([3, 1], name="i"),
    "range": pandas.RangeIndex(3),
    "dates": pandas.DatetimeIndex(["2026-01-01", "2026-01-02"], name="d"),
    "levels": pandas.MultiIndex.from_product([["a"], [1, 2]], names=["p", "q"]),
}
KINDS = [
    pytest.param(value, id=f"{kind}: {name}")
    for kind, values in (
        ("scalar", SCALARS),
        ("array", ARRAYS),
        ("series", COLUMNS),
        ("index", INDEXES),
        ("table", {name: column.to_frame("c") for name, column in COLUMNS.items()}),
    )
    for name, value in values.items()
]


@pytest.mark.parametrize("value", KINDS)
def test_it_comes_back(value):
    """By itself and inside others, and of the very same type."""
    (found, (again,)) = decode(encode_checked([value, (value,)]))

    assert same(value, found) and same(value, again)
    assert type(value) is type(found)
    if hasattr(value, "dtype"):
        assert value.dtype == found.dtype


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (numpy.arange(3), numpy.arange(3.0)),
        (numpy.arange(4), numpy.arange(4).reshape(2, 2)),
        (numpy.array([None], dtype=object), numpy.array([1], dtype=object)),
        (numpy.float32(1), numpy.float64(1)),
        (pandas.Series([1]), pandas.Series([1.0])),
        (pandas.Series([1], name="a"), pandas.Series([1], name="b")),
        (pandas.DataFrame({"a": [1]}), pandas.DataFrame({"a": [2]})),
        (pandas.Index([1], name="a"), pandas.Index([1], name="b")),
        (pandas.Index([1]), pandas.Index([1.0])),
        (pandas.NaT, pandas.NA),
    ],
    ids=str,
)
def test_what_differs_is_not_the_same(a, b):
    """In a value, a name, a shape, or only in a type: a write of one over the other is a change."""
    assert same(a, a) and same(b, b)
    assert not same(a, b) and not same(b, a)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (numpy.array(["a"], dtype=numpy.dtypes.StringDType()), "astype"),
        (pandas.Series(pandas.arrays.SparseArray([0, 1])), "astype"),
        (datetime.datetime(2026, 1, 1, tzinfo=type("Z", (datetime.tzinfo,), {
            "utcoffset": lambda self, when: None if when is None else datetime.timedelta(0),
        })()), "zoneinfo"),
    ],
    ids=["text of any length", "sparse", "a zone of one's own"],
)  # fmt: skip
def test_what_is_refused_says_what_to_do(value, said):
    with pytest.raises(CodecError, match=said):
        encode_checked(value)


@pytest.mark.parametrize(
    ("tag", "content"),
    [("tuple?", []), (7, []), ("pandas.Panel", []), ("pandas.Series", ["x", ["range", 0, 1, 1, ""],
     ["sparse", []]]), ("pandas.Series", ["x", ["range", 0, 1, 1, ""], ["cells", "object", []]])],
)  # fmt: skip
def test_what_a_newer_version_wrote_is_an_error(tag, content):
    """A kind of value or of column that is not known here is never guessed at."""
    with pytest.raises(CodecError, match="unknown kind"):
        frames.build(tag, content)


def test_a_field_that_a_class_has_gained_gets_its_default():
    """Also from a factory; one without a default stays unset, and one that is gone is not lost."""

    @dataclasses.dataclass
    class Fix:
        column: str
        gone: int = 0

    register_type(Fix)
    data = encode_checked(Fix("a", 3))

    @dataclasses.dataclass
    class Grown:
        column: str
        needed: int
        strict: bool = True
        notes: list[str] = dataclasses.field(default_factory=lambda: ["new"])

    Grown.__qualname__, Grown.__module__ = Fix.__qualname__, Fix.__module__
    register_type(Grown)
    found = decode(data)

    assert type_name(Fix) == type_name(Grown)
    assert ("a", True, ["new"]) == (found.column, found.strict, list(found.notes))
    assert not hasattr(found, "needed")
    assert 3 == found.gone


def test_a_name_that_is_another_kind_of_type_now_is_an_error():
    """What was an enum and is a dataclass now."""

    class Kind(enum.Enum):
        A = 1

    register_type(Kind)
    data = encode_checked(Kind.A)

    @dataclasses.dataclass
    class Other:
        a: int

    Other.__qualname__, Other.__module__ = Kind.__qualname__, Kind.__module__
    register_type(Other)
    with pytest.raises(CodecError, match="is not"):
        decode(data)


@dataclasses.dataclass
class Shown:
    when: datetime.date
    colours: frozenset[str]


class Size(enum.Enum):
    SMALL = "s"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ([1, "ü", None], [1, "ü", None]),
        (Shown(datetime.date(2026, 1, 2), frozenset({"b", "a"})),
         {"when": "2026-01-02", "colours": ["a", "b"]}),
        ({"at": datetime.datetime(2026, 1, 2, 3), "size": Size.SMALL},
         {"at": "2026-01-02T03:00:00", "size": "s"}),
        ({"x": numpy.zeros((2, 3))}, {"x": {"$opaque": "ndarray 2×3"}}),
        (float("nan"), {"$opaque": "float nan"}),
        ("x" * (LONGEST + 1), {"$opaque": "str of 100,001 100,003 characters of JSON"}),
        ({(1, 2): 3}, {"(1, 2)": 3}),
    ],
    ids=["plain", "dataclass", "date and enum", "array", "nan", "long", "keys"],
)  # fmt: skip
def test_what_other_tools_are_shown(value, shown):
    """JSON, and a word where JSON has none or it would be too long. (R25)"""
    assert shown == json.loads(to_json(value))


def test_what_is_far_too_long_is_not_even_tried():
    """It is told by the bytes that it takes."""
    assert {"$opaque": "list of 1 400,001 bytes"} == json.loads(to_json([1], 4 * LONGEST + 1))
