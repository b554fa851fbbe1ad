"""
What a row's text says, whoever wrote it: read as its type, or it is damaged. (W5, W8)

Rule: a file may hold anything. A text that is not what it should be is a `CorruptError`, however
      deep or odd, and never an error of the parser's.
"""

from __future__ import annotations

import functools
import json
import zlib
from typing import Any

import msgspec

from nbagent.engine.model.checkpoint import Failure, Owner
from nbagent.errors import CorruptError


def names(text: str) -> tuple[str, ...]:
    """A list of names, such as the fields that a checkpoint changed."""
    found: tuple[str, ...] = _read(text, tuple[str, ...])
    return found


def numbers(text: str) -> dict[str, int]:
    """Names with numbers: the row of `versions` of each field."""
    found: dict[str, int] = _read(text, dict[str, int])
    return found


def words(text: str) -> dict[str, str]:
    """Names with texts: nodes and their fingerprints."""
    found: dict[str, str] = _read(text, dict[str, str])
    return found


def facts(text: str) -> dict[str, Any]:
    """Names with whatever JSON says."""
    try:
        found = json.loads(text)  # half a character, which a node may print, is no JSON to msgspec
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"a row is damaged in the file: {error}", thread="") from error
    if not isinstance(found, dict):
        raise CorruptError("a row is damaged in the file: its facts are no object", thread="")
    return found


def failure(text: str) -> Failure:
    """What is kept of an exception."""
    found: Failure = _read(text, Failure)
    return found


def read_owner(text: str | None) -> Owner | None:
    """Who holds a thread; nobody, where the text does not say whom."""
    if not text:
        return None
    try:
        found: Owner = _read(text, Owner)
    except CorruptError:
        return None
    return found


def is_owner(text: str | None) -> bool:
    """False for a text that should name an owner and does not."""
    return not text or read_owner(text) is not None


def to_text(value: Any) -> str:
    """JSON of names and numbers, in a sixth of the time that `json` takes."""
    try:
        return _encoder.encode(value).decode()
    except TypeError:  # a name of a kind of its own, such as numpy's
        return json.dumps(value)


def whole(text: str) -> str:
    """The text without halves of characters, which no database takes: a node may print them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def checksum(control: bytes, versions: str) -> int:
    """The checksum of a checkpoint's row."""
    return zlib.crc32(versions.encode(), zlib.crc32(control))


_encoder = msgspec.json.Encoder()


@functools.cache
def _decoder(kind: Any) -> Any:
    return msgspec.json.Decoder(kind)  # one for all: a history has thousands of texts


def _read(text: str, kind: Any) -> Any:
    try:
        return _decoder(kind).decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        pass
    try:
        return msgspec.convert(json.loads(text), kind)  # it may hold halves of characters
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"a row is damaged in the file: {error}", thread="") from error
