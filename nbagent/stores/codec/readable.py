"""
A value as JSON text, for people who open a checkpoint file with other tools.

It is for reading only: what the codec wrote is what is loaded.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
from collections.abc import Set
from typing import Any

from nbagent.engine.model.values import thaw

LONGEST = 100_000  # characters of JSON for one field; longer ones are described


def to_json(value: Any, stored: int = 0) -> str:
    """JSON of the value; what JSON cannot say, or what is too long, is `{"$opaque": "a …"}`.

    stored   bytes that it takes in the store, so that what is far too long is not even tried
    """
    if stored > 4 * LONGEST:
        return json.dumps(_opaque(value, f"{stored:,} bytes"), ensure_ascii=False)
    try:
        text = json.dumps(thaw(value), default=_plain, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(_opaque(value), ensure_ascii=False)
    if len(text) > LONGEST:
        return json.dumps(_opaque(value, f"{len(text):,} characters of JSON"), ensure_ascii=False)
    return text


def _plain(value: Any) -> Any:
    """What `json` does not know, as what it knows."""
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Set):
        return sorted(value, key=repr)
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return _opaque(value)


def _opaque(value: Any, more: str = "") -> dict[str, str]:
    shape = getattr(value, "shape", None)
    size = "×".join(map(str, shape)) if isinstance(shape, tuple) else ""
    if not size and hasattr(value, "__len__"):
        size = f"of {len(value):,}"
    return {"$opaque": " ".join(filter(None, [type(value).__name__, size, more]))}
