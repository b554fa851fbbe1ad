"""
Values to bytes and back, equal and of the same type. (W5, W6)

Rule 1: no pickle, and nothing is imported or called because a file says so. A type that a file
        names is looked up among those that this process has registered, or it is an error.
Rule 2: what JSON can say is MessagePack as everybody writes it; all else is one extension type
        holding `[tag, content]`, which no user data can be mistaken for.
Rule 3: whatever bytes come in, the answer is a value or a `CodecError`.

msgspec does the MessagePack: it is small, fast and refuses nothing that the format allows.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import hashlib
import pathlib
import sys
import typing
import uuid
import zoneinfo
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from nbagent.engine.model.secrets import Secret
from nbagent.engine.model.values import FrozenDict, FrozenList, FrozenSet, freeze
from nbagent.errors import CodecError
from nbagent.stores.codec import frames

DEPTH = 200  # nesting beyond this is refused, in and out
_EXT = 17
_SCALARS = frozenset((str, type(None), bool, float))
_INT64 = 1 << 63


class TypeRegistry:
    """The user's types by `module.QualName`; the latest of a name wins, as in a notebook."""

    def __init__(self) -> None:
        self._types: dict[str, type] = {}

    def register(self, kind: type) -> type:
        """Let values of `kind` be read back. Returns it, so it serves as a decorator."""
        self._types[type_name(kind)] = kind
        return kind

    def find(self, name: str) -> type:
        """The type of that name; `CodecError` that says how to make it known."""
        found = self._types.get(name) or _of_a_known_library(name)
        if found is None:
            raise CodecError(
                f"the stored value is a {name}, which is not known here: run the cell that "
                "defines it, or nbagent.register_type(the class), and try again"
            )
        return found


def _of_a_known_library(name: str) -> type | None:
    """The class, where its library is one we know to hold plain values and is imported already."""
    module, _, kind = name.rpartition(".")
    if not module.startswith(_PLAIN_LIBRARIES):
        return None
    found = getattr(sys.modules.get(module), kind, None)
    return found if isinstance(found, type) else None


_PLAIN_LIBRARIES = ("langchain_core.messages.",)
_registry = TypeRegistry()
register_type = _registry.register


def type_name(kind: type) -> str:
    """What a type is called in a file."""
    return f"{kind.__module__}.{kind.__qualname__}"


def register_types_in(annotation: Any) -> None:
    """Register the user's types that a state field's annotation names, at any depth."""
    _walk(annotation, set())


def _walk(annotation: Any, seen: set[int]) -> None:
    if id(annotation) in seen:
        return
    seen.add(id(annotation))
    for part in typing.get_args(annotation):
        _walk(part, seen)
    if isinstance(annotation, type) and _family(annotation) is not None:
        register_type(annotation)
    if isinstance(annotation, type) and annotation.__module__ != "builtins":
        try:
            hints = typing.get_type_hints(annotation, include_extras=True)
        except (NameError, TypeError):
            return
        for hint in hints.values():
            _walk(hint, seen)


def _family(kind: type) -> str | None:
    """How values of a user's type are taken apart; None when they cannot be."""
    if issubclass(kind, enum.Enum):
        return "enum"
    if issubclass(kind, msgspec.Struct):
        return "struct"
    if dataclasses.is_dataclass(kind):
        return "dataclass"
    if hasattr(kind, "model_fields") and hasattr(kind, "model_construct"):
        return "model"
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return "namedtuple"
    return None


# ------------------------------------------------------------------------------------ encoding


def encode(value: Any) -> bytes:
    """The value's bytes; `CodecError` with the `path` to what cannot be stored."""
    try:
        return _encoder.encode(_pack(value, (), 0))
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError) as error:
        raise CodecError(f"the value cannot be stored: {error}") from error


def encode_plain(value: Any) -> bytes:
    """The bytes of what MessagePack can say by itself."""
    try:
        return _encoder.encode(value)
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError) as error:
        raise CodecError(f"the value cannot be stored: {error}") from error


_encoder = msgspec.msgpack.Encoder()


def is_plain(value: Any, depth: int = 0) -> bool:
    """True for what MessagePack alone brings back equal: JSON's types, ints of 64 bits."""
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
    return msgspec.msgpack.Ext(_EXT, _encoder.encode([tag, _pack(content, path, depth + 1)]))


def _take_apart(value: Any, kind: type, path: tuple[Any, ...]) -> tuple[str, Any]:
    simple = _SIMPLE.get(kind)
    if simple is not None:
        return simple[0], simple[1](value)
    if isinstance(value, pathlib.PurePath):
        return "path", [kind.__name__, str(value)]
    family = _family(kind)
    if family is not None:
        register_type(kind)
        return family, [type_name(kind), _TAKE[family](value)]
    foreign = frames.take_apart(value)
    if foreign is not None:
        return foreign
    raise CodecError(
        f"a {type_name(kind)} cannot be stored: keep it as a dict, a dataclass or a pydantic "
        "model, or build it again from such a value",
        path=path,
    )


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
    return sorted(values, key=encode)


def _zone(zone: datetime.tzinfo | None) -> Any:
    if zone is None:
        return None
    if isinstance(zone, zoneinfo.ZoneInfo) and zone.key:
        return zone.key
    offset = zone.utcoffset(None)
    if offset is None:
        raise CodecError(f"the time zone {zone!r} cannot be stored: use zoneinfo.ZoneInfo")
    return offset.total_seconds()


def _unzone(zone: Any) -> datetime.tzinfo | None:
    if zone is None:
        return None
    if isinstance(zone, str):
        return zoneinfo.ZoneInfo(zone)
    if zone == 0:
        return datetime.UTC
    return datetime.timezone(datetime.timedelta(seconds=zone))


def _from_datetime(v: datetime.datetime) -> list[Any]:
    naive = v.replace(tzinfo=None, fold=0)
    return [naive.isoformat(), v.fold, _zone(v.tzinfo)]


_SIMPLE: dict[type, tuple[str, Callable[[Any], Any]]] = {
    int: ("int", str),
    complex: ("complex", lambda v: [v.real, v.imag]),
    bytes: ("bytes", lambda v: v.hex()),
    tuple: ("tuple", list),
    set: ("set", _sorted),
    FrozenSet: ("set", _sorted),
    frozenset: ("frozenset", _sorted),
    dict: ("map", lambda v: [[key, item] for key, item in v.items()]),
    FrozenDict: ("map", lambda v: [[key, item] for key, item in v.items()]),
    datetime.datetime: ("datetime", _from_datetime),
    datetime.date: ("date", lambda v: v.isoformat()),
    datetime.time: (
        "time",
        lambda v: [v.replace(tzinfo=None, fold=0).isoformat(), v.fold, _zone(v.tzinfo)],
    ),
    datetime.timedelta: ("timedelta", lambda v: [v.days, v.seconds, v.microseconds]),
    decimal.Decimal: ("decimal", str),
    uuid.UUID: ("uuid", str),
    range: ("range", lambda v: [v.start, v.stop, v.step]),
    Secret: ("secret", lambda v: v.name),  # its name, never its value
}

_TAKE: dict[str, Callable[[Any], Any]] = {
    "enum": lambda v: v.name,
    "struct": lambda v: {name: getattr(v, name) for name in v.__struct_fields__},
    "dataclass": lambda v: {f.name: getattr(v, f.name) for f in dataclasses.fields(v)},
    "model": lambda v: [
        {**v.__dict__, **(getattr(v, "__pydantic_extra__", None) or {})},
        sorted(v.model_fields_set),
    ],
    "namedtuple": list,
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
        return build(content) if build is not None else frames.build(tag, content)


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


def _build_enum(content: Any) -> Any:
    name, member = content
    return _typed(name, "enum").__members__[member]


def _typed(name: str, family: str) -> Any:
    kind = _registry.find(name)
    if _family(kind) != family:
        raise CodecError(f"the stored value is a {family} named {name}, and {kind!r} is not")
    return kind


def _build_dataclass(content: Any) -> Any:
    """Fields set as they were; one that the class has gained since gets its default."""
    name, values = content
    kind = _typed(name, "dataclass")
    made = object.__new__(kind)
    for field in dataclasses.fields(kind):
        if field.name in values:
            object.__setattr__(made, field.name, values[field.name])
        elif field.default is not dataclasses.MISSING:
            object.__setattr__(made, field.name, field.default)
        elif field.default_factory is not dataclasses.MISSING:
            object.__setattr__(made, field.name, field.default_factory())
    return made


def _build_model(content: Any) -> Any:
    name, (values, fields_set) = content
    return _typed(name, "model").model_construct(_fields_set=set(fields_set), **values)


def _build_struct(content: Any) -> Any:
    name, values = content
    return _typed(name, "struct")(**values)


def _build_namedtuple(content: Any) -> Any:
    name, values = content
    return _typed(name, "namedtuple")(*values)


_BUILD: Mapping[str, Callable[[Any], Any]] = {
    "int": int,  # Python itself bounds the digits
    "complex": lambda c: complex(*c),
    "bytes": bytes.fromhex,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "map": lambda c: {key: item for key, item in c},
    "datetime": _build_datetime,
    "date": datetime.date.fromisoformat,
    "time": _build_time,
    "timedelta": lambda c: datetime.timedelta(*c),
    "decimal": decimal.Decimal,
    "uuid": uuid.UUID,
    "range": lambda c: range(*c),
    "secret": Secret,
    "path": _build_path,
    "enum": _build_enum,
    "dataclass": _build_dataclass,
    "model": _build_model,
    "struct": _build_struct,
    "namedtuple": _build_namedtuple,
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
    """Equal and of the same type, at every depth; not-a-number equals itself."""
    if a is b:
        return True
    if type(a) is not type(b):
        return type(freeze(a)) is type(freeze(b)) and type(a) in _FROZEN and same(a, freeze(b))
    if isinstance(a, float):
        return a == b or (a != a and b != b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    family = _family(type(a))
    if family in ("dataclass", "struct", "model"):
        return same(freeze(_TAKE[family](a)), freeze(_TAKE[family](b)))
    foreign = frames.same(a, b)
    return bool(a == b) if foreign is None else foreign


_FROZEN = (FrozenList, FrozenDict, FrozenSet)
