"""
Values as people read them: as JSON in a file, in a form, in a preview.

It is for reading only: what the codec wrote is what is loaded.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import uuid
from collections.abc import Mapping, Set
from pathlib import PurePath
from typing import Any

LONGEST = 100_000  # characters of JSON for one field; longer ones are described
AS_TEXT = (datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID, PurePath)
_DEEPEST = 200


def to_json(value: Any, stored: int = 0) -> str:
    """JSON of the value; what JSON cannot say, or what is too long, is `{"$opaque": "a …"}`.

    stored   bytes that it takes in the store, so that what is far too long is not even tried
    """
    if stored > 4 * LONGEST:
        return json.dumps(opaque(value, f"{stored:,} bytes"), ensure_ascii=False)
    try:
        text = json.dumps(value, default=_part, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # keys that are no text, not-a-number
        text = json.dumps(to_plain(value), ensure_ascii=False)
    if len(text) > LONGEST:
        return json.dumps(opaque(value, f"{len(text):,} characters of JSON"), ensure_ascii=False)
    return text


def to_plain(value: Any, depth: int = 0) -> Any:
    """The value as JSON's types; what they cannot say is `opaque`."""
    if value is None or (isinstance(value, (bool, int, str)) and not isinstance(value, enum.Enum)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else opaque(value, str(value))
    if depth > _DEEPEST:
        return opaque(value)
    if isinstance(value, Mapping):
        return {_key(key): to_plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item, depth + 1) for item in value]
    found = _part(value)
    return to_plain(found, depth + 1)


def _key(key: Any) -> str:
    return key if isinstance(key, str) else repr(key)


def _part(value: Any) -> Any:
    """What `json` does not know, as what is nearer to what it knows."""
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, AS_TEXT):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Set):
        return sorted(value, key=repr)
    parts = parts_of(value)
    return opaque(value) if parts is None else dict(parts)


def parts_of(value: Any) -> list[tuple[Any, Any]] | None:
    """What a value consists of, by key; None for what is one thing."""
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    if isinstance(value, Set):
        return list(enumerate(sorted(value, key=safe_repr)))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(f.name, getattr(value, f.name, None)) for f in dataclasses.fields(value)]
    if hasattr(value, "model_dump") and hasattr(value, "__dict__"):
        return list(value.__dict__.items())
    names = getattr(type(value), "__struct_fields__", None)  # msgspec's
    return None if names is None else [(name, getattr(value, name, None)) for name in names]


def safe_repr(value: Any) -> str:
    """`repr`, or a word about why there is none: a user's object must not stop a view."""
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__name__} whose repr failed: {type(error).__name__}>"


def opaque(value: Any, more: str = "") -> dict[str, str]:
    """`{"$opaque": "DataFrame 3×4"}`: what stands for a value that JSON cannot say."""
    shape = getattr(value, "shape", None)
    size = "×".join(map(str, shape)) if isinstance(shape, tuple) else ""
    if not size and not isinstance(shape, tuple) and hasattr(type(value), "__len__"):
        try:
            size = f"of {len(value):,}"
        except Exception:  # a user's object must not stop a view
            size = ""
    return {"$opaque": " ".join(filter(None, [type_name(value), size, more]))}


def type_name(value: Any) -> str:
    """The type's name as people know it."""
    name = type(value).__name__
    return {
        "FrozenList": "list",
        "FrozenDict": "dict",
        "FrozenSet": "set",
        "NoneType": "None",
    }.get(name, name)
