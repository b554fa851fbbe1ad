"""
Values to bytes and back, equal and of the same type. (W5, W6)

Rule 1: no pickle, and nothing is imported or called because a file says so. A type that a file
        names is looked up among those that this process knows (`registry`), or it is an error.
Rule 2: what JSON can say, and bytes, is MessagePack as everybody writes it; all else is one
        extension type holding `[tag, content]`, which no user data can be mistaken for.
Rule 3: whatever bytes come in, the answer is a value or a `CodecError`.
Rule 4: what is taken apart is all of a value, or it is refused, with the place inside of it.

msgspec does the MessagePack: it is small, fast and refuses nothing that the format allows.
"""

from __future__ import annotations

import datetime
import decimal
import hashlib
import math
import pathlib
import uuid
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import msgspec

from nbagent.engine.model.secrets import Secret
from nbagent.engine.model.values import FrozenDict, FrozenList, FrozenSet, freeze
from nbagent.errors import CodecError
from nbagent.stores.codec import arrays, frames, objects
from nbagent.stores.codec.registry import register_type, register_types_in, type_name

__all__ = [
    "DEPTH", "cache_key", "decode", "decode_each", "encode", "encode_checked", "encode_plain",
    "is_plain",
    "register_type", "register_types_in", "same", "to_look", "type_name",
]  # fmt: skip
DEPTH = 200  # nesting beyond this is refused, in and out
_EXT = 17
_SCALARS = frozenset((str, type(None), bool, float, bytes))
_INT64 = 1 << 63
_DIGITS = 10_000  # bits of an int beyond which Python writes no decimal digits


# ------------------------------------------------------------------------------------ encoding


def encode(value: Any) -> bytes:
    """The value's bytes; `CodecError` with the `path` to what cannot be stored."""
    try:
        return _encoder.encode(_pack(value, (), 0))
    except CodecError:
        raise
    except Exception as error:
        raise _not_bytes(error) from error


def encode_plain(value: Any) -> bytes:
    """The bytes of what MessagePack can say by itself."""
    try:
        return _encoder.encode(value)
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError) as error:
        raise _not_bytes(error) from error


def _not_bytes(error: Exception) -> CodecError:
    if isinstance(error, UnicodeEncodeError):
        return CodecError(
            "a text holds half of a character (a surrogate), which no file takes: "
            'repair it with text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")'
        )
    return CodecError(f"the value cannot be stored: {error}")


_encoder = msgspec.msgpack.Encoder()


def is_plain(value: Any, depth: int = 0) -> bool:
    """True for what MessagePack alone brings back equal: JSON's types, bytes, ints of 64 bits."""
    kind = type(value)
    if kind in _SCALARS:
        return True
    if kind is int:
        return bool(-_INT64 <= value < _INT64)
    if depth > DEPTH:
        return False
    if kind is FrozenList or kind is list:
        for item in value:
            if type(item) not in _SCALARS and not is_plain(item, depth + 1):
                return False
        return True
    if kind is FrozenDict or kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                return False
            if type(item) not in _SCALARS and not is_plain(item, depth + 1):
                return False
        return True
    return False


def _pack(value: Any, path: tuple[Any, ...], depth: int) -> Any:
    if is_plain(value, depth):
        return value
    if depth > DEPTH:
        raise CodecError(f"the value is nested more than {DEPTH} deep", path=path)
    kind = type(value)
    if kind is FrozenList or kind is list:
        return [_pack(item, (*path, i), depth + 1) for i, item in enumerate(value)]
    if (kind is FrozenDict or kind is dict) and all(type(key) is str for key in value):
        return {key: _pack(item, (*path, key), depth + 1) for key, item in value.items()}
    tag, content = _take_apart(value, kind, path)
    if tag in objects.TAGS and tag not in ("enum", "flag"):
        content = _pack_object(content, path, depth + 1)
    else:
        content = _pack(content, path, depth + 1)
    return msgspec.msgpack.Ext(_EXT, _encoder.encode([tag, content]))


def _pack_object(content: Any, path: tuple[Any, ...], depth: int) -> list[Any]:
    """Name and parts of an object; the place of what it holds is its attribute."""
    name, *parts = content
    return [name, *(_pack_parts(part, path, depth + 1) for part in parts)]


def _pack_parts(part: Any, path: tuple[Any, ...], depth: int) -> Any:
    if type(part) is list:
        return [_pack_parts(one, path, depth + 1) for one in part]
    if type(part) is not dict or not all(type(key) is str for key in part):
        return _pack(part, path, depth)
    return {
        key: _pack_parts(item, path, depth + 1)
        if key in objects.GROUPS
        else _pack(item, (*path, f".{key}"), depth + 1)
        for key, item in part.items()
    }


def _take_apart(value: Any, kind: type, path: tuple[Any, ...]) -> tuple[str, Any]:
    simple = _SIMPLE.get(kind)
    if simple is not None:
        try:
            return simple[0], simple[1](value)
        except CodecError as error:
            raise CodecError(str(error), path=path + error.path) from None
        except Exception as error:
            raise CodecError(f"a {kind.__name__} cannot be stored: {error}", path=path) from error
    if isinstance(value, pathlib.PurePath) and kind in _PATHS:
        return "path", [kind.__name__, str(value)]
    shape = objects.shape_of(kind)
    if shape is not None:
        return objects.take_apart(value, shape, path)
    try:
        foreign = frames.take_apart(value)
    except CodecError as error:
        raise CodecError(str(error), path=path) from None
    if foreign is not None:
        return foreign
    raise CodecError(
        f"a {type_name(kind)} cannot be stored: keep it as a dict, a dataclass or a pydantic "
        "model, or build it again from such a value",
        path=path,
    )


_PATHS = (
    pathlib.PosixPath, pathlib.WindowsPath, pathlib.PurePosixPath, pathlib.PureWindowsPath,
)  # fmt: skip


def cache_key(node: str, fingerprint: str, inputs: Any) -> str:
    """What identifies a cached result: equal for equal inputs, in any process."""
    try:
        data = encode(inputs)
    except CodecError as error:
        raise CodecError(
            f"node {node!r} is cached, and what it reads cannot be compared: {error}. Name what "
            "its result depends on with cache=Cache(key=…)",
            node=node,
        ) from error
    digest = hashlib.blake2b(data, digest_size=16, person=fingerprint.encode()[:16])
    return f"{node}:{fingerprint}:{digest.hexdigest()}"


def _sorted(values: Any) -> list[Any]:
    """A set's members in an order that depends on nothing but them."""
    for value in values:
        _check_key(value, "a member of the set")
    return sorted(values, key=encode)


def _pairs(mapping: Mapping[Any, Any]) -> list[list[Any]]:
    for key in mapping:
        _check_key(key, "a key of the dict")
    return [[key, item] for key, item in mapping.items()]


def _check_key(key: Any, what: str) -> None:
    """`CodecError` for what is equal to nothing, not even to itself when it is read again."""
    if isinstance(key, (tuple, frozenset)):
        for part in key:
            _check_key(part, what)
    elif _is_odd(key):
        raise CodecError(
            f"{key!r} is {what}, and nobody could find it there again, because it is equal to "
            "nothing: use None or a text"
        )


def _is_odd(key: Any) -> bool:
    try:
        return bool(key != key)
    except Exception:  # what has no single truth, such as pandas.NA
        return False


def _zone(zone: datetime.tzinfo | None) -> Any:
    if zone is None:
        return None
    if type(zone) is zoneinfo.ZoneInfo and zone.key:
        return zone.key
    if type(zone) is datetime.timezone:
        offset = zone.utcoffset(None)
        own = zone.tzname(None)
        is_named = own != datetime.timezone(offset).tzname(None)
        return [offset.total_seconds(), own] if is_named else offset.total_seconds()
    raise CodecError(
        f"the time zone {zone!r} cannot be stored: use zoneinfo.ZoneInfo or datetime.timezone"
    )


def _unzone(zone: Any) -> datetime.tzinfo | None:
    if zone is None:
        return None
    if isinstance(zone, str):
        return zoneinfo.ZoneInfo(zone)
    if isinstance(zone, list):
        return datetime.timezone(datetime.timedelta(seconds=zone[0]), zone[1])
    if zone == 0:
        return datetime.UTC
    return datetime.timezone(datetime.timedelta(seconds=zone))


def _from_datetime(v: datetime.datetime | datetime.time) -> list[Any]:
    naive = v.replace(tzinfo=None, fold=0)
    return [naive.isoformat(), v.fold, _zone(v.tzinfo)]


_SIMPLE: dict[type, tuple[str, Callable[[Any], Any]]] = {
    int: ("int", lambda v: str(v) if v.bit_length() < _DIGITS else hex(v)),
    complex: ("complex", lambda v: [v.real, v.imag]),
    tuple: ("tuple", list),
    set: ("set", _sorted),
    FrozenSet: ("set", _sorted),
    frozenset: ("frozenset", _sorted),
    dict: ("map", _pairs),
    FrozenDict: ("map", _pairs),
    datetime.datetime: ("datetime", _from_datetime),
    datetime.date: ("date", lambda v: v.isoformat()),
    datetime.time: ("time", _from_datetime),
    datetime.timedelta: ("timedelta", lambda v: [v.days, v.seconds, v.microseconds]),
    decimal.Decimal: ("decimal", str),
    uuid.UUID: ("uuid", str),
    range: ("range", lambda v: [v.start, v.stop, v.step]),
    msgspec.UnsetType: ("unset", lambda v: None),
    Secret: ("secret", lambda v: v.name),  # its name, never its value
}


# ------------------------------------------------------------------------------------ decoding


def decode(data: bytes, *, loose: bool = False) -> Any:
    """The frozen value that `encode` made the bytes from; `loose`: its lists and dicts are not."""
    try:
        try:
            value = _plain_decoder.decode(data)
        except _NotPlain:
            value = _Reader().read(data)
        return value if loose else freeze(value)
    except CodecError:
        raise
    except RecursionError:
        raise CodecError(f"the stored value is nested more than {DEPTH} deep") from None
    except Exception as error:
        raise CodecError(f"the stored bytes are not a value of nbagent: {error}") from error


_to_look: ContextVar[bool] = ContextVar("nbagent_to_look", default=False)


@contextmanager
def to_look() -> Iterator[None]:
    """Read values only to show them: what is of a class that this process does not know, such as
    one of somebody's notebook, is a dict of what was stored, with the class's name at `$type`."""
    token = _to_look.set(True)
    try:
        yield
    finally:
        _to_look.reset(token)


def decode_each(some: list[bytes]) -> list[Any]:
    """`decode(…, loose=True)` of each."""
    try:
        found: list[Any] = _plain_decoder.decode(b"".join([_listed_head(len(some)), *some]))
        return found
    except Exception:  # what is not plain is read for itself, and an error is told as of one
        return [decode(data, loose=True) for data in some]


def _listed_head(count: int) -> bytes:
    return b"\xdd" + count.to_bytes(4, "big")  # MessagePack's word for a list of so many


class _NotPlain(Exception):
    """The bytes hold more than MessagePack says by itself."""


def _not_plain(code: int, data: memoryview) -> Any:
    raise _NotPlain


_plain_decoder = msgspec.msgpack.Decoder(ext_hook=_not_plain)  # one for all: they cost


class _Reader:
    """Reads one value, counting how deep extensions nest."""

    def __init__(self) -> None:
        self.depth = 0
        self._decoder = msgspec.msgpack.Decoder(ext_hook=self._extension)

    def read(self, data: bytes | memoryview) -> Any:
        return self._decoder.decode(data)

    def _extension(self, code: int, data: memoryview) -> Any:
        if code != _EXT:
            raise CodecError(f"unknown extension type {code}")
        self.depth += 1
        if self.depth > DEPTH:
            raise CodecError(f"the stored value is nested more than {DEPTH} deep")
        tag, content = self.read(bytes(data))
        self.depth -= 1
        build = _BUILD.get(tag)
        if build is not None:
            return build(content)
        try:
            known = tag in objects.TAGS
            return objects.build(tag, content) if known else frames.build(tag, content)
        except CodecError:
            if not _to_look.get():
                raise
            return objects.stand_in(tag, content)


def _build_path(content: Any) -> Any:
    name, text = content
    pure = {"PurePosixPath": pathlib.PurePosixPath, "PureWindowsPath": pathlib.PureWindowsPath}
    return pure.get(name, pathlib.Path)(text)  # a path of the other system becomes one of this


def _build_datetime(content: Any) -> datetime.datetime:
    text, fold, zone = content
    return datetime.datetime.fromisoformat(text).replace(fold=fold, tzinfo=_unzone(zone))


def _build_time(content: Any) -> datetime.time:
    text, fold, zone = content
    return datetime.time.fromisoformat(text).replace(fold=fold, tzinfo=_unzone(zone))


def _listed(content: Any) -> list[Any]:
    """The items, where they are there: not a range, say, that claims to have so many."""
    if type(content) is not list:
        raise CodecError("the items of a stored value are no list")
    return content


_BUILD: Mapping[str, Callable[[Any], Any]] = {
    "int": lambda c: int(c, 16 if "x" in c[:3] else 10),
    "complex": lambda c: complex(*c),
    "bytes": bytes.fromhex,  # as they were written at first
    "tuple": lambda c: tuple(_listed(c)),
    "set": lambda c: set(_listed(c)),
    "frozenset": lambda c: frozenset(_listed(c)),
    "map": lambda c: {key: item for key, item in _listed(c)},
    "datetime": _build_datetime,
    "date": datetime.date.fromisoformat,
    "time": _build_time,
    "timedelta": lambda c: datetime.timedelta(*c),
    "decimal": decimal.Decimal,
    "uuid": uuid.UUID,
    "range": lambda c: range(*c),
    "secret": Secret,
    "path": _build_path,
    "unset": lambda c: msgspec.UNSET,
}


# ---------------------------------------------------------------------------------- round trip


def encode_checked(value: Any) -> bytes:
    """`encode`, after proof that the value comes back equal; `CodecError` if it does not."""
    if is_plain(value):
        return encode_plain(value)
    data = encode(value)
    if not same(decode(data), value):
        raise CodecError(
            f"a {type_name(type(value))} would not come back equal from the store: keep it in a "
            "form that does, such as a dict or a dataclass of plain values"
        )
    return data


def same(a: Any, b: Any) -> bool:
    """Equal and of the same type, at every depth and to the last bit; not-a-number equals itself.

    Objects are equal when all that they hold is, whatever they say of themselves.
    """
    if a is b:
        return True
    kind = type(a)
    if kind is not type(b):
        if kind in _FROZEN or type(b) in _FROZEN:
            return type(freeze(a)) is type(freeze(b)) and same(freeze(a), freeze(b))
        return type_name(kind) == type_name(type(b)) and _same_parts(a, b)  # its cell was run again
    if kind is float:
        return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (a != a and b != b)
    if kind in _ITSELF:
        return bool(a == b)
    if kind is FrozenList or kind is list or kind is tuple:
        return len(a) == len(b) and all(map(same, a, b))
    if kind is FrozenDict or kind is dict:
        return len(a) == len(b) and all(
            same(key, other) and same(a[key], b[other]) for key, other in zip(a, b, strict=True)
        )
    return _same_parts(a, b)


def _same_parts(a: Any, b: Any) -> bool:
    """Whether the two are taken apart to the same."""
    try:
        tag, content = _take_apart(a, type(a), ())
        other, parts = _take_apart(b, type(b), ())
    except CodecError:
        return False
    if tag != other:
        return False
    if tag in ("ndarray", "npscalar") and content[0] != "O":
        return arrays.same(a, b)
    return same(content, parts)


_ITSELF = (str, int, bool, bytes)
_FROZEN = (FrozenList, FrozenDict, FrozenSet)
