"""
Models and dataclasses inside of values: do they hold what their class says? (R47)

Pydantic takes an instance as it is. One that a store gave back may be older than its class, and
one that a person gave may be made past its checks; so both are looked into, at every depth.

Rule: a field that a class has gained gets its default, and one that it has lost stays with the
instance (the codec sees to both). One that it needs and that was not stored is refused.
"""

from __future__ import annotations

import dataclasses
import enum
import re
import typing
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pydantic

from nbagent.engine import ports
from nbagent.errors import FieldProblem, GraphError, nearest
from nbagent.graph.schema.adapters import adapter_of, hints_of, is_typed_dict
from nbagent.graph.schema.checks import Check, Path, checks_of_model
from nbagent.graph.schema.fields import is_pydantic

_checks: weakref.WeakKeyDictionary[type, dict[str, Check]] = weakref.WeakKeyDictionary()
_LEAVES = frozenset((str, int, float, bool, type(None), bytes))


def problems_inside(value: Any, path: Path) -> list[FieldProblem]:
    """What the instances in a value hold against what their classes say."""
    kind = type(value)
    if kind in _LEAVES:
        return []
    found: list[FieldProblem] = []
    if isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            found += problems_inside(item, (*path, place))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            found += problems_inside(item, (*path, key))
    elif has_fields(kind):
        for name, check in _checks_of(kind).items():
            if not hasattr(value, name):
                found.append(FieldProblem((*path, name), _lacks(value, name)))
                continue
            inside = getattr(value, name)
            found += problems_inside(inside, (*path, name)) or check.problems(
                (*path, name), inside, exactly=False
            )
    return found


def unknown_inside(given: Any, made: Any, path: Path) -> list[FieldProblem]:
    """The keys of dicts that a person gave for models and dataclasses, and that these do not have:
    pydantic would drop them, and whoever has mistyped one would not know."""
    found: list[FieldProblem] = []
    if isinstance(made, pydantic.RootModel):
        return unknown_inside(given, made.root, path)
    if isinstance(given, Mapping):
        kind = type(made)
        if isinstance(made, Mapping):
            for key in given:
                if key in made:
                    found += unknown_inside(given[key], made[key], (*path, key))
        elif has_fields(kind) and (known := _known_to(kind)) is not None:
            for key, value in given.items():
                if key in known:
                    inside = getattr(made, known[key], None)
                    found += unknown_inside(value, inside, (*path, key))
                else:
                    hint = nearest(str(key), list(known))
                    said = f"is not a field of {kind.__name__}{hint}"
                    found.append(FieldProblem((*path, key), said))
    elif isinstance(given, (list, tuple)) and isinstance(made, (list, tuple)):
        for place, (value, inside) in enumerate(zip(given, made, strict=False)):
            found += unknown_inside(value, inside, (*path, place))
    return found


def _known_to(kind: Any) -> dict[Any, str] | None:
    """The names that a class takes -> its fields; None for one that takes what it likes."""
    if not is_pydantic(kind):
        return {field.name: field.name for field in dataclasses.fields(kind)}
    config: Any = getattr(kind, "model_config", None) or getattr(kind, "__pydantic_config__", {})
    validators = kind.__pydantic_decorators__.model_validators.values()
    if config.get("extra") is not None or any(one.info.mode != "after" for one in validators):
        return None
    fields: Any = getattr(kind, "model_fields", None) or kind.__pydantic_fields__
    known: dict[Any, str] = {}
    for name, info in fields.items():
        known[name] = name
        for alias in (info.alias, info.validation_alias):
            choices = getattr(alias, "choices", [alias])
            paths = [getattr(one, "path", [one]) for one in choices if one is not None]
            known |= {path[0]: name for path in paths}
    return known


def with_others(given: Any, made: Any) -> Any:
    """What pydantic has made, with the keys that a TypedDict does not name: these are left in
    peace."""
    if isinstance(given, Mapping) and isinstance(made, Mapping):
        kept = {k: with_others(v, made[k]) if k in made else v for k, v in given.items()}
        return {**kept, **{k: v for k, v in made.items() if k not in kept}}
    if type(given) in (list, tuple) and type(made) is type(given) and len(given) == len(made):
        return type(given)(map(with_others, given, made))
    return made


_gained: weakref.WeakKeyDictionary[type, dict[str, None]] = weakref.WeakKeyDictionary()


_lost: weakref.WeakKeyDictionary[type, dict[str, None]] = weakref.WeakKeyDictionary()


def _note(kind: type, names: Iterable[str]) -> None:
    _gained.setdefault(kind, {}).update(dict.fromkeys(names))


def _note_lost(kind: type, names: Iterable[str]) -> None:
    _lost.setdefault(kind, {}).update(dict.fromkeys(names))


ports.gained.also(_note)
ports.lost.also(_note_lost)


def gained_inside(value: Any, path: Path) -> list[str]:
    """The fields that classes in a value have gained since, and that hold their defaults."""
    kind = type(value)
    if kind in _LEAVES:
        return []
    if isinstance(value, (list, tuple)):
        return [place for item in value for place in gained_inside(item, path)]
    if isinstance(value, Mapping):
        return [place for item in value.values() for place in gained_inside(item, path)]
    if not has_fields(kind):
        return []
    found = [".".join((*map(str, path), name)) for name in _gained.get(kind, ())]
    for name in _names_of(kind):
        found += gained_inside(getattr(value, name, None), (*path, name))
    return found


def lost_inside(value: Any, path: Path) -> list[str]:
    """The fields that classes in a value have lost since, and that stay with the instances."""
    kind = type(value)
    if kind in _LEAVES:
        return []
    if isinstance(value, (list, tuple)):
        return [place for item in value for place in lost_inside(item, path)]
    if isinstance(value, Mapping):
        return [place for item in value.values() for place in lost_inside(item, path)]
    if not has_fields(kind):
        return []
    names = _names_of(kind)
    gone = [name for name in _lost.get(kind, ()) if name not in names and hasattr(value, name)]
    found = [".".join((*map(str, path), name)) for name in gone]
    for name in names:
        found += lost_inside(getattr(value, name, None), (*path, name))
    return found


def _lacks(value: Any, name: str) -> str:
    """What an instance holds instead of a field, where its class had another one then."""
    names = _names_of(type(value))
    others = [other for other in getattr(value, "__dict__", ()) if other not in names]
    held = f" (it holds {', '.join(map(repr, others))})" if others else ""
    return f"is missing{nearest(name, others) or held}"


def _names_of(kind: Any) -> dict[str, bool]:
    """Field -> whether an instance cannot be without a value for it."""
    if hasattr(kind, "model_fields"):
        return {name: info.is_required() for name, info in kind.model_fields.items()}
    if dataclasses.is_dataclass(kind):
        nothing = dataclasses.MISSING
        return {
            field.name: field.default is nothing and field.default_factory is nothing
            for field in dataclasses.fields(kind)
        }
    names: Sequence[str] = getattr(kind, "__struct_fields__", ()) or getattr(kind, "_fields", ())
    defaults: Any = getattr(kind, "__struct_defaults__", ()) or getattr(kind, "_field_defaults", ())
    return {name: place < len(names) - len(defaults) for place, name in enumerate(names)}


def _checks_of(kind: Any) -> dict[str, Check]:
    if kind not in _checks:
        _checks[kind] = checks_of_model(kind) if is_pydantic(kind) else _checks_of_hints(kind)
    return _checks[kind]


def _checks_of_hints(kind: Any) -> dict[str, Check]:
    """Of a dataclass or a struct; without those whose types nobody can check."""
    found: dict[str, Check] = {}
    try:
        hints = hints_of(kind)
    except (NameError, TypeError):
        return found
    for name in _names_of(kind):
        try:
            found[name] = Check(adapter_of(hints[name]).validator)
        except (GraphError, pydantic.errors.PydanticUserError):
            continue
    return found


def has_fields(kind: Any) -> bool:
    """True for a class whose instances hold checked fields."""
    return is_pydantic(kind) or dataclasses.is_dataclass(kind) or hasattr(kind, "__struct_fields__")


def shape_of(annotation: Any) -> str:
    """What the types in an annotation are made of, at any depth: another text when they change."""
    found: dict[str, str] = {}
    _shape(annotation, found)
    return re.sub(r" at 0x[0-9a-f]+", "", " ".join(f"{k}={v}" for k, v in found.items()))


def _shape(annotation: Any, found: dict[str, str]) -> None:
    for part in typing.get_args(annotation):
        _shape(part, found)
    kind = typing.get_origin(annotation) or annotation
    if not isinstance(kind, type) or f"{kind.__module__}.{kind.__qualname__}" in found:
        return
    name = f"{kind.__module__}.{kind.__qualname__}"
    if issubclass(kind, enum.Enum):
        found[name] = repr([(member.name, member.value) for member in kind])
        return
    if not (has_fields(kind) or is_typed_dict(kind)):
        return
    found[name] = ""
    try:
        hints = hints_of(kind)
    except (NameError, TypeError):
        return
    needed = _names_of(kind)
    found[name] = repr(sorted((n, repr(hint), needed.get(n)) for n, hint in hints.items()))
    for hint in hints.values():
        _shape(hint, found)
