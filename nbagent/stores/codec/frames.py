"""
pandas tables, columns and indexes for the codec, without importing pandas until a value needs it.

A column is stored by its dtype: bytes for numpy's numbers and dates, codes for categories, values
and mask for nullable numbers, and a list of cells for text and objects.

Rule 1: a table comes back with its dtypes, its index (names, levels, frequency), its `attrs` and
        its flags, and every cell as the object that it was.
Rule 2: what a file claims about a size is compared with what is there before room is made for it.
"""

from __future__ import annotations

import sys
from typing import Any

from nbagent.errors import CodecError
from nbagent.stores.codec import arrays


def take_apart(value: Any) -> tuple[str, Any] | None:
    """Tag and content of an array, table, series, index or timestamp; None for all else."""
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if numpy is not None:
        if type(value) is numpy.ndarray:
            return "ndarray", arrays.take_apart(value)
        if isinstance(value, numpy.generic):
            return "npscalar", arrays.take_apart(numpy.asarray(value))
    if pandas is None:
        return None
    if value is pandas.NA:
        return "pandas.NA", None
    if value is pandas.NaT:
        return "pandas.NaT", None
    kind = type(value)
    if kind is pandas.Timestamp:
        naive = value.tz_convert("UTC").tz_localize(None) if value.tz is not None else value
        return "pandas.Timestamp", [int(naive.asm8.view("i8")), naive.unit, _zone(value.tz)]
    if kind is pandas.Timedelta:
        return "pandas.Timedelta", [int(value.asm8.view("i8")), value.unit]
    if kind is pandas.Period:
        return "pandas.Period", [value.ordinal, value.freqstr]
    if kind is pandas.Interval:
        return "pandas.Interval", [value.left, value.right, value.closed]
    if kind is pandas.DataFrame:
        columns = [_column(value.iloc[:, place]) for place in range(value.shape[1])]
        return kind_of(value), [_index(value.columns), _index(value.index), columns, *_more(value)]
    if kind is pandas.Series:
        return kind_of(value), [value.name, _index(value.index), _column(value), *_more(value)]
    if isinstance(value, pandas.Index):
        return "pandas.Index", _index(value)
    return None


def kind_of(value: Any) -> str:
    """The tag of a table or column."""
    return f"pandas.{type(value).__name__}"


def _more(value: Any) -> list[Any]:
    """`attrs` and flags, where they are not as they always are."""
    if not value.attrs and value.flags.allows_duplicate_labels:
        return []
    return [{"attrs": value.attrs, "duplicates": value.flags.allows_duplicate_labels}]


def _with(made: Any, more: Any) -> Any:
    for said in more:
        made.attrs = said["attrs"]
        if not said["duplicates"]:
            made = made.set_flags(allows_duplicate_labels=False)
    return made


def build(tag: Any, content: Any) -> Any:
    """The value that `take_apart` described; `CodecError` for an unknown tag."""
    if tag == "ndarray":
        return arrays.put_together(content)
    if tag == "npscalar":
        return arrays.put_together(content)[()]
    made = _BUILD.get(tag) if isinstance(tag, str) else None
    if made is None:
        raise CodecError(f"unknown kind of value {tag!r}: written by a newer nbagent?")
    import pandas

    return made(pandas, content)


def _timestamp(pandas: Any, content: Any) -> Any:
    import numpy

    number, unit, zone = content
    naive = pandas.Timestamp(numpy.datetime64(number, unit))
    return naive if zone is None else naive.tz_localize("UTC").tz_convert(_unzone(zone))


def _timedelta(pandas: Any, content: Any) -> Any:
    import numpy

    return pandas.Timedelta(numpy.timedelta64(*content))


def _series(pandas: Any, content: Any) -> Any:
    name, index, column, *more = content
    cells = _uncolumn(column)
    rows = _unindex(index, len(cells))
    return _with(pandas.Series(cells, index=rows, name=name, dtype=cells.dtype), more)


def _frame(pandas: Any, content: Any) -> Any:
    names, index, columns, *more = content
    cells = [_uncolumn(column) for column in columns]
    rows = _unindex(index, len(cells[0]) if cells else _MOST_EMPTY)
    return _with(_table(pandas, cells, rows, _unindex(names, len(cells))), more)


def _table(pandas: Any, cells: list[Any], rows: Any, names: Any) -> Any:
    made = pandas.DataFrame(
        {place: pandas.Series(one, index=rows, dtype=one.dtype) for place, one in enumerate(cells)},
        index=rows,
    )
    made.columns = names
    return made


_BUILD = {
    "pandas.NA": lambda pandas, content: pandas.NA,
    "pandas.NaT": lambda pandas, content: pandas.NaT,
    "pandas.Timestamp": _timestamp,
    "pandas.Timedelta": _timedelta,
    "pandas.Period": lambda pandas, c: pandas.Period(ordinal=c[0], freq=c[1]),
    "pandas.Interval": lambda pandas, c: pandas.Interval(*c),
    "pandas.Index": lambda pandas, content: _unindex(content, _MOST_EMPTY),
    "pandas.Series": _series,
    "pandas.DataFrame": _frame,
}
_MOST_EMPTY = 1 << 28  # rows of an index that no column shows the length of


# ------------------------------------------------------------------------------------- changes


def diff(old: Any, new: Any) -> list[Any] | None:
    """What leads from one table to another that shares columns with it; None where none does.

    [names, for each column its place in the old table or its content]
    """
    pandas = sys.modules.get("pandas")
    if pandas is None or type(new) is not pandas.DataFrame or type(old) is not pandas.DataFrame:
        return None
    if old.attrs or new.attrs or old.flags != new.flags:
        return None
    known = {_buffer(old.iloc[:, place]): place for place in range(old.shape[1])}
    known.pop(None, None)
    places = [known.get(_buffer(new.iloc[:, place])) for place in range(new.shape[1])]
    if all(place is None for place in places) or not (
        new.index is old.index or _index(new.index) == _index(old.index)
    ):
        return None
    columns = []
    for number, place in enumerate(places):
        columns.append(_proven(new.iloc[:, number]) if place is None else place)
    return [_index(new.columns), columns]


def _proven(column: Any) -> list[Any]:
    """The column's content, from which it is known to come back."""
    content = _column(column)
    if _column(_again(content)) != content:
        raise CodecError(f"a column of dtype {column.dtype} would not come back equal")
    return content


def _again(content: Any) -> Any:
    import pandas

    cells = _uncolumn(content)
    return pandas.Series(cells, dtype=cells.dtype)


def apply(old: Any, names: Any, columns: Any) -> Any:
    """The table that `diff` compared `old` with."""
    import pandas

    cells = [old.iloc[:, one].array if isinstance(one, int) else _uncolumn(one) for one in columns]
    made = _table(pandas, cells, old.index, _unindex(names, len(cells)))
    return _with(made, [{"attrs": {}, "duplicates": old.flags.allows_duplicate_labels}])


def _buffer(column: Any) -> Any:
    """What two columns that share their memory have in common; None where that cannot be told."""
    import numpy
    import pandas

    dtype, array = column.dtype, column.array
    arrow = getattr(array, "_pa_array", None)
    if arrow is not None:
        return id(arrow)
    is_plain = isinstance(dtype, numpy.dtype) and dtype.kind in "biufcmM"
    if not is_plain and not isinstance(dtype, pandas.StringDtype):
        return None  # cells of other kinds are copied, not shared
    one, two = array.to_numpy(copy=False), array.to_numpy(copy=False)
    face = one.__array_interface__
    if face["data"] != two.__array_interface__["data"]:
        return None  # made anew at each look, so that its place in memory says nothing
    return (face["data"][0], face["shape"], face["strides"], str(dtype))


# ------------------------------------------------------------------------------------- columns


def _column(series: Any) -> list[Any]:
    import numpy
    import pandas

    dtype, array = series.dtype, series.array
    if isinstance(dtype, numpy.dtype):
        return ["numpy", arrays.take_apart(series.to_numpy())]
    if isinstance(dtype, pandas.CategoricalDtype):
        codes = arrays.take_apart(array.codes)
        return ["category", codes, _index(dtype.categories), bool(dtype.ordered)]
    if isinstance(dtype, pandas.DatetimeTZDtype):
        naive = series.dt.tz_convert("UTC").dt.tz_localize(None)
        return ["zoned", arrays.take_apart(naive.to_numpy()), _zone(dtype.tz)]
    if isinstance(dtype, pandas.PeriodDtype):
        word = dtype.name.removeprefix("period[").removesuffix("]")
        return ["period", arrays.take_apart(array.asi8), word]
    if isinstance(dtype, pandas.IntervalDtype):
        return ["interval", _index(array.left), _index(array.right), array.closed]
    if isinstance(dtype, pandas.StringDtype):
        gap = "NA" if getattr(dtype, "na_value", pandas.NA) is pandas.NA else "nan"
        cells = [None if gone else cell for cell, gone in zip(array, array.isna(), strict=True)]
        return ["text", dtype.storage, gap, cells]
    if str(dtype) in _MASKED:
        kind = numpy.dtype(str(dtype).lower().replace("boolean", "bool"))
        gone = array.isna()
        values = array.to_numpy(dtype=kind, na_value=kind.type(0))
        return ["masked", arrays.take_apart(values), arrays.take_apart(numpy.asarray(gone))]
    raise CodecError(f"a column of dtype {dtype} cannot be stored: convert it with astype first")


_MASKED = frozenset(
    ["boolean", "Float32", "Float64"]
    + [f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)]
)
_BY_CELL = _MASKED | {"str", "string"}


def _uncolumn(content: Any) -> Any:
    """The cells as an array of pandas', whose dtype nobody guesses anew."""
    import pandas

    kind, *rest = content
    if kind == "numpy":
        made = arrays.put_together(rest[0])
        if made.ndim != 1:
            raise CodecError("a stored column has not one dimension")
        return pandas.arrays.NumpyExtensionArray(made)
    if kind == "category":
        codes, categories, ordered = rest
        codes = arrays.put_together(codes)
        found = _unindex(categories, _MOST_CATEGORIES)
        return pandas.Categorical.from_codes(codes, categories=found, ordered=ordered)
    if kind == "zoned":
        naive = pandas.Series(arrays.put_together(rest[0]))
        return naive.dt.tz_localize("UTC").dt.tz_convert(_unzone(rest[1])).array
    if kind == "period":
        return pandas.arrays.PeriodArray(
            arrays.put_together(rest[0]), dtype=pandas.PeriodDtype(rest[1])
        )
    if kind == "interval":
        left, right, closed = rest
        start = _unindex(left, _MOST_CATEGORIES)
        return pandas.arrays.IntervalArray.from_arrays(
            start, _unindex(right, len(start)), closed=closed
        )
    if kind == "text":
        storage, gap, cells = rest
        return pandas.array(cells, dtype=_text(pandas, storage, gap))
    if kind == "masked":
        values, gone = map(arrays.put_together, rest)
        kinds = pandas.arrays
        made = {"b": kinds.BooleanArray, "f": kinds.FloatingArray}.get(values.dtype.kind)
        return (made or kinds.IntegerArray)(values, gone)
    if kind == "cells" and rest[0] in _BY_CELL:
        return pandas.array(rest[1], dtype=rest[0])
    raise CodecError(f"unknown kind of column {kind!r}")


_MOST_CATEGORIES = 1 << 24


def _text(pandas: Any, storage: str, gap: str) -> Any:
    if gap == "NA":
        return pandas.StringDtype(storage)
    return pandas.StringDtype(storage, na_value=float("nan"))


# ------------------------------------------------------------------------------------- indexes


def _index(index: Any) -> list[Any]:
    import pandas

    if type(index) is pandas.RangeIndex:
        return ["range", index.start, index.stop, index.step, index.name]
    if isinstance(index, pandas.MultiIndex):
        levels = [_index(level) for level in index.levels]
        codes = [arrays.take_apart(numbers) for numbers in index.codes]
        return ["levels", levels, codes, list(index.names), index.sortorder]
    freq = getattr(index, "freq", None) if type(index) in _timed(pandas) else None
    said = ["index", _column(pandas.Series(index, dtype=index.dtype)), index.name]
    return said if freq is None else [*said, freq.freqstr]


def _timed(pandas: Any) -> tuple[type, ...]:
    return (pandas.DatetimeIndex, pandas.TimedeltaIndex)


def _unindex(content: Any, most: int) -> Any:
    """The index; `most` entries are what a range of it may claim."""
    import pandas

    kind, *rest = content
    if kind == "range":
        made = pandas.RangeIndex(*rest[:3], name=rest[3])
        if len(made) > most:
            raise CodecError("a stored index claims more rows than there are")
        return made
    if kind == "multi":  # how an index of several levels was written at first
        lengths = [len(_uncolumn(level[1])) for level in rest[0] if level[0] == "index"]
        levels = [_unindex(level, max(lengths, default=0)) for level in rest[0]]
        return pandas.MultiIndex.from_arrays(levels, names=[level.name for level in levels])
    if kind == "levels":
        levels, codes, names, order = rest
        return pandas.MultiIndex(
            levels=[_unindex(level, _MOST_CATEGORIES) for level in levels],
            codes=[arrays.put_together(numbers) for numbers in codes],
            names=names,
            sortorder=order,
        )
    cells = _uncolumn(rest[0])
    made = pandas.Index(cells, name=rest[1], dtype=cells.dtype)
    if len(rest) > 2:
        made.freq = rest[2]
    return made


def _zone(zone: Any) -> Any:
    """A time zone as pandas names it; one of Python's own with its kind, which it would change."""
    import datetime
    import zoneinfo

    if type(zone) is zoneinfo.ZoneInfo and zone.key:
        return ["zone", zone.key]
    if zone is datetime.UTC:
        return ["offset", 0.0, None]
    if type(zone) is datetime.timezone:
        name = zone.tzname(None)
        is_own = name != datetime.timezone(zone.utcoffset(None)).tzname(None)
        return ["offset", zone.utcoffset(None).total_seconds(), name if is_own else None]
    return None if zone is None else str(zone)


def _unzone(said: Any) -> Any:
    import datetime
    import zoneinfo

    if not isinstance(said, list):
        return said
    if said[0] == "zone":
        return zoneinfo.ZoneInfo(said[1])
    offset = datetime.timedelta(seconds=said[1])
    return datetime.timezone(offset, said[2]) if said[2] else datetime.timezone(offset)
