"""
numpy arrays and pandas tables for the codec, without importing either until a value needs it.

A column is stored by its dtype: bytes for numpy's numbers and dates, codes for categories, and
a list of cells for text, objects and nullable types.
"""

from __future__ import annotations

import sys
from typing import Any

from nbagent.errors import CodecError


def take_apart(value: Any) -> tuple[str, Any] | None:
    """Tag and content of an array, table, series, index or timestamp; None for all else."""
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if numpy is not None:
        if isinstance(value, numpy.ndarray) and type(value) is numpy.ndarray:
            return "ndarray", _array(value)
        if isinstance(value, numpy.generic):
            return "npscalar", _array(numpy.asarray(value))
    if pandas is None:
        return None
    if value is pandas.NA:
        return "pandas.NA", None
    if value is pandas.NaT:
        return "pandas.NaT", None
    kind = type(value)
    if kind is pandas.Timestamp:
        zone = str(value.tz) if value.tz is not None else None
        naive = value.tz_convert("UTC").tz_localize(None) if zone else value
        return "pandas.Timestamp", [int(naive.asm8.view("i8")), naive.unit, zone]
    if kind is pandas.Timedelta:
        return "pandas.Timedelta", [int(value.asm8.view("i8")), value.unit]
    if kind is pandas.DataFrame:
        columns = [_column(value.iloc[:, place]) for place in range(value.shape[1])]
        return "pandas.DataFrame", [_index(value.columns), _index(value.index), columns]
    if kind is pandas.Series:
        return "pandas.Series", [value.name, _index(value.index), _column(value)]
    if isinstance(value, pandas.Index):
        return "pandas.Index", _index(value)
    return None


def build(tag: Any, content: Any) -> Any:
    """The value that `take_apart` described; `CodecError` for an unknown tag."""
    if tag == "ndarray":
        return _unarray(content)
    if tag == "npscalar":
        return _unarray(content)[()]
    if not isinstance(tag, str) or not tag.startswith("pandas."):
        raise CodecError(f"unknown kind of value {tag!r}: written by a newer nbagent?")
    import numpy
    import pandas

    if tag == "pandas.NA":
        return pandas.NA
    if tag == "pandas.NaT":
        return pandas.NaT
    if tag == "pandas.Timestamp":
        number, unit, zone = content
        naive = pandas.Timestamp(numpy.datetime64(number, unit))
        return naive.tz_localize("UTC").tz_convert(zone) if zone else naive
    if tag == "pandas.Timedelta":
        return pandas.Timedelta(numpy.timedelta64(*content))
    if tag == "pandas.Index":
        return _unindex(content)
    if tag == "pandas.Series":
        name, index, column = content
        return pandas.Series(_uncolumn(column), index=_unindex(index), name=name)
    if tag == "pandas.DataFrame":
        names, index, columns = content
        rows = _unindex(index)
        made = pandas.DataFrame(
            {place: pandas.Series(_uncolumn(c), index=rows) for place, c in enumerate(columns)},
            index=rows,
        )
        made.columns = _unindex(names)
        return made
    raise CodecError(f"unknown kind of value {tag!r}: written by a newer nbagent?")


def diff(old: Any, new: Any) -> list[Any] | None:
    """What leads from one table to another that shares columns with it; None where none does.

    [names, for each column its place in the old table or its content]
    """
    pandas = sys.modules.get("pandas")
    if pandas is None or type(new) is not pandas.DataFrame or type(old) is not pandas.DataFrame:
        return None
    known = {_buffer(old.iloc[:, place]): place for place in range(old.shape[1])}
    known.pop(None, None)
    places = [known.get(_buffer(new.iloc[:, place])) for place in range(new.shape[1])]
    if all(place is None for place in places) or not (
        new.index is old.index or new.index.identical(old.index)
    ):
        return None
    columns = [
        _column(new.iloc[:, number]) if place is None else place
        for number, place in enumerate(places)
    ]
    return [_index(new.columns), columns]


def apply(old: Any, names: Any, columns: Any) -> Any:
    """The table that `diff` compared `old` with."""
    import pandas

    made = pandas.DataFrame(
        {
            number: old.iloc[:, column]
            if isinstance(column, int)
            else pandas.Series(_uncolumn(column), index=old.index)
            for number, column in enumerate(columns)
        },
        index=old.index,
    )
    made.columns = _unindex(names)
    return made


def _buffer(column: Any) -> Any:
    """What two columns that share their memory have in common; None where that cannot be told."""
    array = column.array
    arrow = getattr(array, "_pa_array", None)
    if arrow is not None:
        return id(arrow)
    try:
        face = array.to_numpy(copy=False).__array_interface__
    except (AttributeError, TypeError, ValueError):
        return None
    if column.dtype.kind not in "biufcmM":  # cells of other kinds are copied, not shared
        return None
    return (face["data"][0], face["shape"], face["strides"], str(column.dtype))


def same(a: Any, b: Any) -> bool | None:
    """Whether two such values are equal with their dtypes; None for values of other kinds."""
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if numpy is not None and isinstance(a, (numpy.ndarray, numpy.generic)):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        if a.dtype.hasobject:
            return bool(a.tolist() == b.tolist())
        return bool(numpy.ascontiguousarray(a).tobytes() == numpy.ascontiguousarray(b).tobytes())
    if pandas is None:
        return None
    if isinstance(a, (pandas.DataFrame, pandas.Series)):
        try:
            check = getattr(pandas.testing, f"assert_{_word(pandas, a)}_equal")
            check(a, b, check_exact=True, check_freq=False)
        except AssertionError:
            return False
        return True
    if isinstance(a, pandas.Index):
        return bool(a.equals(b) and a.dtype == b.dtype and a.names == b.names)
    return True if a is pandas.NaT and b is pandas.NaT else None


def _word(pandas: Any, value: Any) -> str:
    return "frame" if isinstance(value, pandas.DataFrame) else "series"


def _array(array: Any) -> list[Any]:
    """dtype, shape, and the bytes in C order; objects cell by cell."""
    if array.dtype.hasobject:
        return ["O", list(array.shape), array.ravel().tolist()]
    if array.dtype.fields is not None:
        raise CodecError("a numpy array of records cannot be stored: keep it as a DataFrame")
    return [array.dtype.str, list(array.shape), array.tobytes()]


def _unarray(content: Any) -> Any:
    import numpy

    dtype, shape, data = content
    if dtype == "O":
        flat = numpy.empty(len(data), dtype=object)
        flat[:] = data
        return flat.reshape(shape)
    return numpy.frombuffer(data, dtype=numpy.dtype(dtype)).reshape(shape).copy()


def _column(series: Any) -> list[Any]:
    import numpy
    import pandas

    dtype = series.dtype
    if isinstance(dtype, numpy.dtype):
        return ["numpy", _array(series.to_numpy())]
    if isinstance(dtype, pandas.CategoricalDtype):
        codes = _array(series.cat.codes.to_numpy())
        return ["category", codes, _index(dtype.categories), bool(dtype.ordered)]
    if isinstance(dtype, pandas.DatetimeTZDtype):
        naive = series.dt.tz_convert("UTC").dt.tz_localize(None)
        return ["zoned", _array(naive.to_numpy()), str(dtype.tz)]
    if str(dtype) in _BY_CELL:
        cells = [None if cell is pandas.NA or cell != cell else cell for cell in series.tolist()]
        return ["cells", str(dtype), cells]
    raise CodecError(f"a column of dtype {dtype} cannot be stored: convert it with astype first")


_BY_CELL = frozenset(
    ["str", "string", "boolean", "Float32", "Float64"]
    + [f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)]
)


def _uncolumn(content: Any) -> Any:
    import pandas

    kind, *rest = content
    if kind == "numpy":
        return _unarray(rest[0])
    if kind == "category":
        codes, categories, ordered = rest
        return pandas.Categorical.from_codes(
            _unarray(codes), categories=_unindex(categories), ordered=ordered
        )
    if kind == "zoned":
        naive = pandas.Series(_unarray(rest[0]))
        return naive.dt.tz_localize("UTC").dt.tz_convert(rest[1]).array
    if kind == "cells" and rest[0] in _BY_CELL:
        return pandas.array(rest[1], dtype=rest[0])
    raise CodecError(f"unknown kind of column {kind!r}")


def _index(index: Any) -> list[Any]:
    import pandas

    if type(index) is pandas.RangeIndex:
        return ["range", index.start, index.stop, index.step, index.name]
    if isinstance(index, pandas.MultiIndex):
        levels = [_index(index.get_level_values(place)) for place in range(index.nlevels)]
        return ["multi", levels]
    return ["index", _column(index.to_series()), index.name]


def _unindex(content: Any) -> Any:
    import pandas

    kind, *rest = content
    if kind == "range":
        return pandas.RangeIndex(*rest[:3], name=rest[3])
    if kind == "multi":
        levels = [_unindex(level) for level in rest[0]]
        return pandas.MultiIndex.from_arrays(levels, names=[level.name for level in levels])
    return pandas.Index(_uncolumn(rest[0]), name=rest[1])
