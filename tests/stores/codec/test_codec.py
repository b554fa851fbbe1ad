"""Values come back equal and of the same type, and a file never runs code. (W5, W6)"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import decimal
import enum
import pathlib
import subprocess
import sys
import uuid
import zoneinfo
from typing import NamedTuple

import msgspec
import numpy
import pandas
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbagent.engine.model.values import freeze
from nbagent.errors import CodecError
from nbagent.stores.codec.values import decode, encode, encode_checked, register_types_in, same


class Colour(enum.Enum):
    RED = 1
    BLUE = "b"


@dataclasses.dataclass(frozen=True)
class Fix:
    column: str
    enabled: bool = True


class Model(pydantic.BaseModel):
    name: str
    fixes: tuple[int, ...] = ()


class Struct(msgspec.Struct):
    number: int


class Pair(NamedTuple):
    left: int
    right: str


ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(max_size=20),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.datetimes(),
    st.datetimes(timezones=st.just(datetime.UTC)),
    st.datetimes(
        min_value=datetime.datetime(1970, 1, 1),
        timezones=st.sampled_from([zoneinfo.ZoneInfo("Europe/Berlin"), zoneinfo.ZoneInfo("UTC")]),
    ),
    st.sampled_from(list(Colour)),
    st.builds(Fix, st.text("abc"), st.booleans()),
    st.builds(Pair, st.integers(), st.text("xyz")),
    st.just(pathlib.Path("/a/b")),
    st.just(pathlib.PurePosixPath("c/d")),
)
HASHABLE = st.one_of(st.integers(), st.text("abc"), st.booleans(), st.uuids(), st.dates())
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text("abc", max_size=3), inner, max_size=4),
        st.dictionaries(HASHABLE, inner, max_size=4),
        st.sets(HASHABLE, max_size=4),
        st.frozensets(HASHABLE, max_size=4),
    ),
    max_leaves=12,
)


@given(VALUES)
def test_a_round_trip_changes_nothing(value):
    """Equal and of the same type at every depth, for every nesting. (W6, W16)"""
    frozen = freeze(value)

    assert same(decode(encode(frozen)), frozen)
    assert encode(decode(encode(frozen))) == encode(frozen)


def test_one_true_and_one_point_nought_stay_apart():
    """Python calls them equal; a file must not confuse them."""
    back = decode(encode(freeze([1, True, 1.0, {1: "int"}])))

    assert [int, bool, float] == [type(item) for item in back[:3]]
    assert not same(freeze([1]), freeze([True]))


@pytest.mark.parametrize(
    "value",
    [Model(name="a", fixes=(1, 2)), Struct(3), numpy.float32(1.5), numpy.arange(6).reshape(2, 3)],
)
def test_objects_come_back(value):
    """pydantic models, structs, numpy scalars and arrays."""
    assert same(decode(encode_checked(freeze(value))), value)


def test_tables_come_back_with_their_dtypes():
    """Text with gaps, categories, dates with and without a zone, nullable integers, objects.
    (C5, W16)"""
    dates = pandas.to_datetime(pandas.Series(["2007-11-11", None, "2009-12-01"]))
    frame = pandas.DataFrame(
        {
            "text": pandas.Series(["a", None, "c"], dtype="str"),
            "code": pandas.Categorical(["x", "y", "x"]),
            "date": dates,
            "zoned": dates.dt.tz_localize("Europe/Berlin"),
            "count": pandas.array([1, None, 3], dtype="Int64"),
            "yes": [True, False, True],
            "mixed": pandas.Series([[1], {"a": (1,)}, None], dtype=object),
            "number": [1.5, float("nan"), 3.0],
        }
    ).drop(index=1)

    back = decode(encode_checked(freeze(frame)))
    pandas.testing.assert_frame_equal(frame, back)
    assert same(decode(encode_checked(frame["code"])), frame["code"])


def test_what_cannot_come_back_is_refused():
    """A custom object is a CodecError that says what to do; so is text that is not Unicode."""

    class Custom:
        pass

    with pytest.raises(CodecError, match="keep it as a dict") as caught:
        encode({"a": [Custom()]})
    assert ("a", 0) == caught.value.path
    with pytest.raises(CodecError):
        encode("\ud800")
    deep = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(CodecError):
        encode(freeze(deep))


def test_an_unknown_type_says_to_run_its_cell():
    """The name in the file is looked up, never imported. (W5)"""
    data = encode(Fix("a")).replace(b"Fix", b"Fox")

    with pytest.raises(CodecError, match="run the cell that defines it"):
        decode(data)


def test_types_of_an_annotation_are_known():
    """A state's field tells its types, nested ones too."""

    @dataclasses.dataclass
    class Inner:
        x: int

    register_types_in(dict[str, list[Inner] | None])
    assert Inner(1) == decode(encode(Inner(1)))


@given(st.binary(max_size=60))
def test_garbage_is_a_codec_error(data):
    """Whatever the bytes are, the answer is a value or a CodecError. (W5)"""
    with contextlib.suppress(CodecError):
        decode(data)


@given(VALUES, st.data())
def test_damaged_bytes_are_a_codec_error(value, data):
    """Also bytes that were right once."""
    good = bytearray(encode(freeze(value)))
    good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CodecError):
        decode(bytes(good))


def test_reading_imports_and_runs_nothing():
    """An audit hook sees no import, no exec and no file while hostile values are read. (W5)"""
    program = """
import sys, os
from nbagent.errors import CodecError
from nbagent.stores.codec.values import decode, encode
from nbagent.engine.model.values import freeze
import zoneinfo, datetime, msgspec
blobs = []
inner = msgspec.msgpack.Encoder()
for tag in ("dataclass", "model", "struct", "enum", "namedtuple", "path", "pandas.DataFrame", "x"):
    for name in ("os.system", "builtins.eval", "subprocess.Popen", "antigravity.x"):
        content = inner.encode([tag, [name, {"a": 1}]])
        blobs.append(inner.encode(msgspec.msgpack.Ext(17, content)))
blobs.append(encode(freeze({"a": (1, 2)})))
import pandas
seen = []
def hook(event, args):
    if event.split(".")[0] in ("import", "exec", "compile", "subprocess", "os", "pickle"):
        seen.append((event, args))
for blob in blobs:
    try: decode(blob)
    except CodecError: pass
sys.addaudithook(hook)
for blob in blobs:
    try: decode(blob)
    except CodecError: pass
assert not seen, seen
print("quiet")
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ("quiet", "") == (ran.stdout.strip(), ran.stderr)


def test_equal_values_have_equal_bytes():
    """A set's order in memory does not reach the file. (W7)"""
    names = [uuid.UUID(int=n) for n in range(50)]

    assert encode(freeze(set(names))) == encode(freeze(set(reversed(names))))
    assert decimal.Decimal("1.10").as_tuple() == decode(encode(decimal.Decimal("1.10"))).as_tuple()


def test_the_error_names_a_function_that_is_there():
    """What the codec tells people to call can be imported from the package."""
    import nbagent
    from nbagent.stores.codec import values as codec

    assert nbagent.register_type == codec.register_type
