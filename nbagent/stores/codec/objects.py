"""
Values of the user's own classes: the whole of an instance, taken apart and put together again.

Rule 1: what an instance holds is its `__dict__` and its slots, whatever the class says that its
        fields are: what `__post_init__` set, private attributes and cached properties are kept.
Rule 2: an instance is put together without its `__init__`. Fields that the class has gained since
        get their defaults; those that it has lost stay in the `__dict__`, for `migrate=`.
Rule 3: a class that also is a list, a text or an error holds what no attribute says, and is
        refused.
"""

from __future__ import annotations

import copy
import dataclasses
import enum
import functools
import types
import typing
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from nbagent.engine import ports
from nbagent.engine.model.values import FrozenDict, FrozenList
from nbagent.errors import CodecError
from nbagent.stores.codec.registry import family, registry, type_name

Path = tuple[Any, ...]
# What else a model holds; no attribute has such a name.
GROUPS = _EXTRA, _PRIVATE, _SLOTS, _MORE = ("+extra", "+private", "+slots", "+more")
_NAMES = "+names"  # of a named tuple's fields: where they stand may be another order by now


@dataclasses.dataclass(frozen=True, slots=True)
class _Shape:
    """What is the same for all instances of a class.

    fields   the names that the class declares
    optional those of them that have a default, and so are in every instance
    slots    the other attributes that instances have outside of their `__dict__`
    """

    family: str
    name: str
    fields: frozenset[str]
    optional: frozenset[str]
    slots: Mapping[str, Any]
    hidden: str | None


_shapes: weakref.WeakKeyDictionary[type, _Shape | None] = weakref.WeakKeyDictionary()


def shape_of(kind: type) -> _Shape | None:
    """The class's shape; None when its values cannot be taken apart."""
    try:
        return _shapes[kind]
    except KeyError:
        found = _shapes[kind] = _look_at(kind)
        return found


def _look_at(kind: type) -> _Shape | None:
    how = family(kind)
    if how is None:
        return None
    names, optional = _fields(kind, how)
    slots = {
        name: member
        for base in reversed(kind.__mro__)
        for name, member in vars(base).items()
        if type(member) is types.MemberDescriptorType and not name.startswith("__pydantic_")
    }
    if how == "struct":
        slots = {name: member for name, member in slots.items() if name not in names}
    return _Shape(
        how, type_name(kind), frozenset(names), frozenset(optional), slots, _hidden_base(kind, how)
    )


def _fields(kind: Any, how: str) -> tuple[Iterable[str], Iterable[str]]:
    """The names that the class declares; those of them that have a default."""
    if how == "dataclass":
        fields, nothing = dataclasses.fields(kind), dataclasses.MISSING
        given = [f for f in fields if not (f.default is nothing is f.default_factory)]
        stand = [f.name for f in given if not isinstance(vars(kind).get(f.name), property)]
        return [field.name for field in fields], stand
    if how == "model":
        infos = kind.model_fields
        return infos, [name for name, info in infos.items() if not info.is_required()]
    if how == "struct":
        return kind.__struct_fields__, kind.__struct_fields__
    return (kind._fields, kind._fields) if how == "namedtuple" else ((), ())


def _hidden_base(kind: type, how: str) -> str | None:
    """A base in C whose content no attribute says; None where there is none."""
    if how == "enum":
        return None
    for base in kind.__mro__:
        is_known = base in _BARE or (how == "namedtuple" and base is tuple)
        is_defined = base.__flags__ & _HEAP or base.__module__.startswith("msgspec")
        if not is_known and not is_defined:
            return base.__name__
    return None


_HEAP = 1 << 9  # Py_TPFLAGS_HEAPTYPE: it was defined by a `class` statement
_BARE = (object, typing.Generic, typing.Protocol)


def take_apart(value: Any, shape: _Shape, path: Path) -> tuple[str, Any]:
    """Tag and content; `CodecError` for what cannot be kept whole."""
    try:
        registry.admit(type(value))
    except CodecError as error:
        raise CodecError(str(error), path=path) from None
    if shape.hidden is not None:
        raise CodecError(
            f"a {shape.name} cannot be stored, because it is also a {shape.hidden}, which its "
            "fields do not say: keep that in a field of it",
            path=path,
        )
    if shape.family == "enum":
        return _take_member(value, shape, path)
    content, rest = _parts(value, shape)
    return shape.family, [shape.name, content, rest] if rest else [shape.name, content]


def _parts(value: Any, shape: _Shape) -> tuple[Any, dict[str, Any]]:
    """What the class declares, and what else the instance holds."""
    own = held(value, shape)
    if shape.family == "namedtuple":
        return list(value), {**own, _NAMES: list(value._fields)}
    if shape.family == "struct":
        return {name: getattr(value, name) for name in value.__struct_fields__}, own
    if shape.family == "dataclass":
        return {name: own.pop(name) for name in list(own) if name in shape.fields}, own
    slots = {name: own.pop(name) for name in list(own) if name in shape.slots}
    fields = {name: own.pop(name) for name in list(own) if name in shape.fields}
    extra, private = value.__pydantic_extra__, value.__pydantic_private__
    content = [fields, sorted(value.__pydantic_fields_set__)]
    if extra is None and private is None and not slots and not own:
        return content, {}
    return content, {_EXTRA: extra, _PRIVATE: private, _SLOTS: slots, _MORE: own}


def copied(value: Any, memo: dict[int, Any] | None = None) -> Any:
    """A private copy with all that the value holds, past what its class says about copying.

    A class may drop or share things in its own `__deepcopy__` or `__getstate__`; then what the
    next node reads, and what is stored, would not be what was written.
    """
    kind = type(value)
    if kind in _ATOMS:
        return value
    memo = {} if memo is None else memo
    if id(value) in memo:
        return memo[id(value)][0]
    shape = None
    if kind in _LISTS:
        made: Any = [copied(item, memo) for item in value]
    elif kind in _DICTS:
        made = {key: copied(item, memo) for key, item in value.items()}
    elif kind is tuple:
        made = tuple([copied(item, memo) for item in value])
    else:
        shape = shape_of(kind)
        if shape is not None and shape.family != "enum" and shape.hidden is None:
            made = _copied_object(value, kind, shape, memo)
        else:
            copier = ports.find_copier(kind) if shape is None else None
            made = copier(value) if copier is not None else copy.deepcopy(value)
    memo[id(value)] = (made, value)  # held, so that no other value gets its id meanwhile
    return made


def _copied_object(value: Any, kind: Any, shape: _Shape, memo: dict[int, Any]) -> Any:
    if shape.family == "struct":
        content, rest = _parts(value, shape)
        return _build_struct(kind, copied(content, memo), inner=None, rest=copied(rest, memo))
    if shape.family == "namedtuple":
        made = tuple.__new__(kind, [copied(item, memo) for item in value])
    elif shape.family == "model":
        made = kind.__new__(kind)
        for name in _OF_MODELS:
            object.__setattr__(made, name, copied(getattr(value, name), memo))
        object.__setattr__(made, "__pydantic_fields_set__", set(value.__pydantic_fields_set__))
    else:
        made = object.__new__(kind)
    inside = getattr(value, "__dict__", None)
    if inside:
        own = made.__dict__
        for name, part in inside.items():
            own[name] = part if type(part) in _ATOMS else copied(part, memo)
    for member in shape.slots.values():
        with suppress(AttributeError):  # it may not be set
            member.__set__(made, copied(member.__get__(value), memo))
    return made


_OF_MODELS = ("__pydantic_extra__", "__pydantic_private__")
_ATOMS = frozenset((type(None), bool, int, float, str, bytes))
_LISTS = (list, FrozenList)
_DICTS = (dict, FrozenDict)


def held(value: Any, shape: _Shape) -> dict[str, Any]:
    """All that the instance holds, by name, in its `__dict__` and in its slots."""
    found = dict(getattr(value, "__dict__", ()))
    found.pop("__orig_class__", None)  # a note of typing's
    for name, member in shape.slots.items():
        with suppress(AttributeError):  # it may not be set
            found[name] = member.__get__(value)
    return found


def _take_member(value: Any, shape: _Shape, path: Path) -> tuple[str, Any]:
    """An Enum's member by its name, a Flag's combination by the names in it."""
    kind: Any = type(value)
    name = value.name
    if name is not None and kind.__members__.get(name) is value:
        return "enum", [shape.name, name]
    if isinstance(value, enum.Flag):
        known, rest = [], value.value
        for member in kind:
            if member.value and member.value & value.value == member.value:
                known.append(member.name)
                rest &= ~member.value
        return "flag", [shape.name, known, rest]
    raise CodecError(
        f"{value!r} cannot be stored, because {shape.name} has no member of that name: add one",
        path=path,
    )


# ------------------------------------------------------------------------------------ building


def build(tag: str, content: Any) -> Any:
    """The value that `take_apart` described."""
    name, inner, *more = content
    if tag in ("enum", "flag"):
        return _MEMBERS[tag](_typed(name, "enum"), inner, *more)
    kind = _typed(name, tag)
    rest = more[0] if more else None
    values = _stored(tag, kind, inner, rest)
    made = functools.partial(_BUILD[tag], kind, inner=inner, rest=rest)
    shape: Any = shape_of(kind)
    if values.keys() <= shape.fields and values.keys() >= shape.optional:
        return made(values)
    return _outgrown(kind, made, values)


def stand_in(tag: str, content: Any) -> Any:
    """What a value that cannot be built here is shown as: what was stored of it."""
    name, inner = (
        (content[0], content[1]) if isinstance(content, list) and content[1:] else ("", {})
    )
    if tag in ("enum", "flag"):
        return inner
    if tag == "model" and isinstance(inner, (list, tuple)) and inner:
        inner = inner[0]
    held = inner if isinstance(inner, Mapping) else {"$value": inner}
    return {"$type": str(name or tag), **held}


def _outgrown(
    kind: Any, made: Callable[[Mapping[str, Any]], Any], values: Mapping[str, Any]
) -> Any:
    """An object whose class has other fields now: new ones get their defaults, lost ones stay."""
    shape: Any = shape_of(kind)
    if gone := [name for name in values if name not in shape.fields]:
        ports.lost(kind, gone)
    return made(values)


def _stored(tag: str, kind: Any, inner: Any, rest: Any) -> Mapping[str, Any]:
    """The fields that an object was stored with, by name."""
    if tag == "namedtuple":  # at first without their names
        names = [*kind._fields, *map(str, range(len(kind._fields), len(inner)))]
        return dict(zip((rest or {}).get(_NAMES, names), inner, strict=False))
    found: Mapping[str, Any] = inner[0] if tag == "model" else inner
    if tag == "model" and kind.model_config.get("extra") == "allow":
        return {name: found[name] for name in found if name in kind.model_fields}
    return found


def _typed(name: str, how: str) -> Any:
    kind = registry.find(name)
    if family(kind) != how:
        raise CodecError(f"the stored value is a {how} named {name}, and {kind!r} is not")
    return kind


def _build_member(kind: Any, member: str) -> Any:
    found = kind.__members__.get(member)
    if found is None:
        raise CodecError(
            f"the stored value is {kind.__qualname__}.{member}, and {type_name(kind)} has no such "
            "member any more: add it again, if only as another name of the one that took its place"
        )
    return found


def _build_flag(kind: Any, members: list[str], rest: int) -> Any:
    made = kind(rest)
    for member in members:
        made |= _build_member(kind, member)
    return made


def _fill(made: Any, values: Mapping[str, Any]) -> None:
    """Set the instance's attributes as they were, past what its class says about setting them."""
    shape = shape_of(type(made))
    inside = getattr(made, "__dict__", None)
    for name, value in values.items():
        member = shape.slots.get(name) if shape is not None else None
        if member is not None:
            member.__set__(made, value)
        elif inside is not None:
            inside[name] = value
        else:
            raise CodecError(
                f"the stored {type_name(type(made))} has a {name!r}, and its class has no such "
                "field any more: add it again, and take it over with migrate="
            )


def _build_dataclass(kind: Any, values: Mapping[str, Any], *, inner: Any, rest: Any) -> Any:
    made = object.__new__(kind)
    if not values.keys() >= kind.__dataclass_fields__.keys():
        values = {**_defaults(kind, values), **values}
    _fill(made, values)
    _fill(made, rest or {})
    return made


def _defaults(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.name in values:
            continue
        if field.default is not dataclasses.MISSING:
            found[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            found[field.name] = field.default_factory()
    ports.gained(kind, found)
    return found


def _build_model(kind: Any, values: Mapping[str, Any], *, inner: Any, rest: Any) -> Any:
    made = kind.__new__(kind)
    inside = dict(values)
    if not inside.keys() >= kind.model_fields.keys():
        for name, info in kind.model_fields.items():
            if name not in inside and not info.is_required():
                inside[name] = info.get_default(call_default_factory=True)
        ports.gained(kind, [name for name in inside if name not in values])
    stored, fields_set = inner
    if rest is None:  # extras stood beside the fields at first
        allows = kind.model_config.get("extra") == "allow"
        extra = {n: v for n, v in stored.items() if n not in values} if allows else None
        rest = {}
    else:
        extra = rest[_EXTRA]
        inside.update(rest[_MORE])
    object.__setattr__(made, "__dict__", inside)
    object.__setattr__(made, "__pydantic_fields_set__", set(fields_set))
    object.__setattr__(made, "__pydantic_extra__", extra)
    object.__setattr__(made, "__pydantic_private__", _private(kind, rest.get(_PRIVATE)))
    _fill(made, rest.get(_SLOTS) or {})
    return made


def _private(kind: Any, stored: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Private attributes as they were; those that the class has gained since by their defaults."""
    if not kind.__private_attributes__:
        return None if stored is None else dict(stored)
    found = dict(stored or {})
    for name, attribute in kind.__private_attributes__.items():
        if stored is None or name not in stored:
            default = attribute.get_default()
            if type(default).__name__ != "PydanticUndefinedType":
                found[name] = default
    return found


def _build_struct(kind: Any, values: Mapping[str, Any], *, inner: Any, rest: Any) -> Any:
    known = {name: values[name] for name in values if name in kind.__struct_fields__}
    try:
        made = kind(**known)
    except TypeError:
        raise CodecError(
            f"the stored {type_name(kind)} has the fields {', '.join(values)}, and its class now "
            f"has {', '.join(kind.__struct_fields__)}: add those that are missing again, or give "
            "new ones a default"
        ) from None
    for name, value in known.items():  # whatever `__post_init__` made of them
        msgspec.structs.force_setattr(made, name, value)
    _fill(made, {name: values[name] for name in values if name not in known})
    _fill(made, rest or {})
    return made


def _build_namedtuple(kind: Any, values: Mapping[str, Any], *, inner: Any, rest: Any) -> Any:
    known = {**kind._field_defaults, **values}
    if not values.keys() <= set(kind._fields) or not known.keys() >= set(kind._fields):
        raise CodecError(
            f"the stored {type_name(kind)} has the fields {', '.join(values)}, and its class now "
            f"has {', '.join(kind._fields)}: add those that are missing again, or give new ones a "
            "default"
        )
    made = tuple.__new__(kind, [known[name] for name in kind._fields])
    ports.gained(kind, [name for name in kind._fields if name not in values])
    _fill(made, {name: value for name, value in (rest or {}).items() if name != _NAMES})
    return made


_MEMBERS: Mapping[str, Callable[..., Any]] = {"enum": _build_member, "flag": _build_flag}
_BUILD: Mapping[str, Callable[..., Any]] = {
    "dataclass": _build_dataclass,
    "model": _build_model,
    "struct": _build_struct,
    "namedtuple": _build_namedtuple,
}
TAGS = frozenset((*_MEMBERS, *_BUILD))
