"""
numpy arrays and scalars for the codec: their dtype, their shape and their bytes.

Rule: what a file claims of a size is compared with the bytes that are there before room is made.
"""

from __future__ import annotations

import math
from typing import Any

from nbagent.errors import CodecError


def take_apart(array: Any) -> list[Any]:
    """dtype, shape, and the bytes in C order; objects cell by cell, records field by field."""
    dtype = array.dtype
    shape = list(array.shape)
    if dtype.kind == "O":
        return ["O", shape, array.ravel().tolist()]
    if dtype.hasobject or dtype.kind not in "biufcmMSUV" or dtype.metadata:
        raise CodecError(
            f"a numpy array of dtype {dtype} cannot be stored: convert it with astype first"
        )
    if dtype.names is not None:
        return [_described(dtype), shape, [take_apart(array[name]) for name in dtype.names]]
    return [dtype.str, shape, array.tobytes()]


def put_together(content: Any) -> Any:
    """The array; `CodecError` where its parts do not fit."""
    import numpy

    said, shape, data = content
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise CodecError("a stored array has no shape")
    count = math.prod(shape)
    if said == "O":
        if not isinstance(data, list) or len(data) != count:
            raise CodecError("a stored array's shape does not fit its cells")
        flat = numpy.empty(count, dtype=object)
        for place, cell in enumerate(data):  # one by one: cells that are lists stay cells
            flat[place] = cell
        return flat.reshape(shape)
    dtype = _dtype(said)
    if dtype.names is not None:
        return _record(dtype, shape, data)
    if dtype.hasobject or not isinstance(data, bytes) or count * dtype.itemsize != len(data):
        raise CodecError("a stored array's shape does not fit its bytes")
    if not data and max(count, *shape, 0) > _MOST_EMPTY:
        raise CodecError("a stored array claims items that are not there")
    if not data:
        return numpy.empty(shape, dtype=dtype)
    return numpy.frombuffer(data, dtype=dtype).reshape(shape).copy()


_MOST_EMPTY = 1 << 20  # items that take no bytes, or a dimension of an array without items


def _record(dtype: Any, shape: list[int], data: Any) -> Any:
    import numpy

    parts = list(map(put_together, data))
    held = sum(part.dtype.itemsize * part.size for part in parts)
    if dtype.itemsize * math.prod(shape) > _MOST_PADDING * (held + 1):
        raise CodecError("a stored array of records claims more room than its fields take")
    made = numpy.zeros(shape, dtype=dtype)
    for name, part in zip(dtype.names, parts, strict=True):
        if (part.shape, part.dtype) != (made[name].shape, made[name].dtype):
            raise CodecError("a stored array of records has a field that does not fit it")
        made[name] = part
    return made


_MOST_PADDING = 64  # times the size of what stands in a record


def _described(dtype: Any) -> Any:
    """A dtype as lists: its own word for itself, or what a record is made of."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return ["array", _described(base), list(shape)]
    if dtype.names is None:
        return dtype.str
    fields = [
        [name, _described(dtype.fields[name][0]), *dtype.fields[name][1:]] for name in dtype.names
    ]
    return ["record", fields, dtype.itemsize, dtype.isalignedstruct]


def _dtype(said: Any) -> Any:
    import numpy

    if isinstance(said, str):
        return numpy.dtype(said)
    kind, content, *rest = said
    if kind == "array":
        return numpy.dtype((_dtype(content), tuple(rest[0])))
    described: Any = {
        "names": [field[0] for field in content],
        "formats": [_dtype(field[1]) for field in content],
        "offsets": [field[2] for field in content],
        "itemsize": rest[0],
    }
    if any(len(field) > 3 for field in content):
        described["titles"] = [field[3] if len(field) > 3 else None for field in content]
    return numpy.dtype(described, align=rest[1])


def same(a: Any, b: Any) -> bool:
    """Equal to the last byte, padding apart; for arrays of anything but objects."""
    import numpy

    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.names is not None:
        return all(same(a[name], b[name]) for name in a.dtype.names)
    return numpy.ascontiguousarray(a).tobytes() == numpy.ascontiguousarray(b).tobytes()
