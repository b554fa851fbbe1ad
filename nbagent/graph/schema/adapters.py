"""
A type as an annotation says it -> pydantic's adapter of it, in every Python.

Rule 1: a class that pydantic does not know (a table, an array) is checked by its class, at any
        depth: inside of a dataclass, a named tuple or a TypedDict too.
Rule 2: what the newest Python takes, the oldest does. Before 3.12 pydantic refuses a TypedDict of
        `typing`'s, so it is given one of typing_extensions' that says the same.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
import types
import typing
import warnings
from collections.abc import Mapping
from typing import Any

import pydantic
import typing_extensions
from pydantic_core import core_schema

_QUALIFIERS = (
    *(typing.Required, typing.NotRequired, typing.ClassVar, typing.Final),
    *(typing_extensions.Required, typing_extensions.NotRequired, typing_extensions.ReadOnly),
)


def adapter_of(annotation: Any) -> pydantic.TypeAdapter[Any]:
    """Pydantic's adapter; `PydanticUserError`."""
    annotation = portable(annotation)
    with warnings.catch_warnings():
        # An alias and ReadOnly mean nothing where a field's type stands alone: we see to both.
        warnings.simplefilter("ignore", UserWarning)
        try:
            return _adapter(annotation)
        except pydantic.errors.PydanticUserError as error:
            if error.code != "type-adapter-config-unused":
                raise
        try:
            return pydantic.TypeAdapter(annotation)
        except pydantic.errors.PydanticSchemaGenerationError:
            # It holds a class that pydantic does not know. Under a name of its own it is not
            # taken for a class that could say so itself.
            return _adapter(typing.NewType("Named", annotation))


def _adapter(annotation: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(annotation, config={"arbitrary_types_allowed": True})


# ----------------------------------------------------------------------- what an annotation says


def origin_of(state: Any) -> type:
    """The class itself, also of `State[int]`."""
    origin = typing.get_origin(state)
    return origin if isinstance(origin, type) else state


def is_typed_dict(kind: Any) -> bool:
    return typing_extensions.is_typeddict(kind)


def hints_of(state: Any) -> dict[str, Any]:
    """The annotations of a class, its type variables replaced where it is `State[int]`."""
    kind = origin_of(state)
    hints = typing_extensions.get_type_hints(kind, include_extras=True)
    if kind is state:
        return hints
    given = dict(zip(kind.__parameters__, typing.get_args(state), strict=False))  # type: ignore[attr-defined]
    return {name: _with(hint, given) for name, hint in hints.items()}


def _with(hint: Any, given: Mapping[Any, Any]) -> Any:
    """The annotation with type variables replaced."""
    if isinstance(hint, typing.TypeVar):
        return given.get(hint, hint)
    variables = getattr(hint, "__parameters__", ())
    if not variables or isinstance(hint, type):
        return hint
    return hint[tuple(given.get(one, one) for one in variables)]


def unwrapped(hint: Any) -> tuple[Any, tuple[Any, ...], set[Any]]:
    """The bare type, what its `Annotated` says, and what is said of the field."""
    metadata: tuple[Any, ...] = ()
    qualifiers = set()
    while True:
        origin = typing.get_origin(hint)
        if origin is typing.Annotated:
            hint, *more = typing.get_args(hint)
            metadata = (*more, *metadata)
        elif origin in _QUALIFIERS:
            qualifiers.add(origin)
            (hint,) = typing.get_args(hint)
        else:
            return hint, metadata, qualifiers


# ------------------------------------------------------------------------------ in an older Python


def portable(annotation: Any) -> Any:
    """The annotation as pydantic takes it in this Python."""
    return _portable(annotation) if sys.version_info < (3, 12) else annotation


def _portable(annotation: Any) -> Any:
    origin = typing.get_origin(annotation)
    kind = origin or annotation
    if isinstance(kind, type) and _has_hints(kind):
        if not _holds(annotation, set()):
            return annotation
        if is_typed_dict(kind):
            return _as_extension(annotation)
        return typing.Annotated[annotation, _Fields(annotation)]
    named = getattr(annotation, "__value__", getattr(annotation, "__supertype__", None))
    if named is not None:  # a type alias, a NewType
        return _portable(named) if _holds(annotation, set()) else annotation
    args = typing.get_args(annotation)
    if not args or origin is typing.Literal:
        return annotation
    if origin is typing.Annotated:
        inner = _portable(args[0])
        return annotation if inner is args[0] else typing.Annotated[inner, *args[1:]]
    made = tuple(
        [_portable(one) for one in arg] if isinstance(arg, list) else _portable(arg) for arg in args
    )
    if all(new is old for new, old in zip(made, args, strict=True)):
        return annotation
    if origin in (typing.Union, types.UnionType):
        return typing.Union[made]  # noqa: UP007
    copy_with = getattr(annotation, "copy_with", None)
    return copy_with(made) if copy_with is not None else origin[made]


def _has_hints(kind: type) -> bool:
    """True for a class of annotated fields that pydantic has not made itself."""
    return not hasattr(kind, "__pydantic_core_schema__") and (
        is_typed_dict(kind)
        or dataclasses.is_dataclass(kind)
        or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
    )


def _holds(annotation: Any, seen: set[int]) -> bool:
    """True where a TypedDict of `typing`'s is in it, at any depth."""
    if id(annotation) in seen:
        return False
    seen.add(id(annotation))
    kind = typing.get_origin(annotation) or annotation
    if isinstance(kind, type) and typing.is_typeddict(kind):
        return True
    parts: list[Any] = list(typing.get_args(annotation))
    if isinstance(kind, type) and _has_hints(kind):
        try:
            parts += hints_of(annotation).values()
        except (NameError, TypeError):
            return False
    parts += [getattr(annotation, "__value__", getattr(annotation, "__supertype__", None))]
    return any(_holds(part, seen) for part in parts)


_extensions: dict[Any, Any] = {}  # a class may name itself


def _as_extension(annotation: Any) -> Any:
    if annotation in _extensions:
        return _extensions[annotation]
    kind = origin_of(annotation)
    hints = hints_of(annotation)
    name = kind.__name__
    made = _extensions[annotation] = typing_extensions.TypedDict(name, {})  # type: ignore[operator]
    required = kind.__required_keys__  # type: ignore[attr-defined]
    made.__annotations__.update(
        {
            key: hint if key in required else typing_extensions.NotRequired[hint]
            for key, hint in ((key, _bare(hint)) for key, hint in hints.items())
        }
    )
    made.__required_keys__ = frozenset(required)
    made.__optional_keys__ = frozenset(kind.__optional_keys__)  # type: ignore[attr-defined]
    made.__module__, made.__qualname__ = kind.__module__, kind.__qualname__
    made.__doc__ = kind.__doc__
    return made


def _bare(hint: Any) -> Any:
    """A field's type as pydantic takes it, without what is said of the field."""
    inner, metadata, _ = unwrapped(hint)
    bare = _portable(inner)
    return typing.Annotated[bare, *metadata] if metadata else bare


_building = threading.local()


class _Fields:
    """Tells pydantic of a dataclass or a named tuple whose fields hold a TypedDict: an instance of
    a dataclass is taken as it is, as pydantic takes one, and JSON makes one."""

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        kind = origin_of(self.annotation)
        ref = f"{kind.__module__}.{kind.__qualname__}:{id(kind)}"
        within: list[str] = _building.__dict__.setdefault("within", [])
        if ref in within:  # it names itself
            return core_schema.definition_reference_schema(ref)
        within.append(ref)
        try:
            parameters = self._parameters(kind, handler.generate_schema)
        finally:
            within.pop()
        by_place = not dataclasses.is_dataclass(kind)
        made = core_schema.call_schema(
            core_schema.arguments_schema(
                parameters, metadata={"pydantic_js_prefer_positional": by_place}
            ),
            kind,
        )
        # What is in a named tuple is checked, as pydantic checks it.
        instance = made if by_place else core_schema.is_instance_schema(kind)
        return core_schema.json_or_python_schema(json_schema=made, python_schema=instance, ref=ref)

    def _parameters(self, kind: Any, schema_of: Any) -> list[Any]:
        hints = hints_of(self.annotation)
        if not dataclasses.is_dataclass(kind):
            defaults: Mapping[str, Any] = getattr(kind, "_field_defaults", {})
            return [
                core_schema.arguments_parameter(
                    name, _with_default(schema_of(_bare(hints.get(name, Any))), name, defaults)
                )
                for name in getattr(kind, "_fields", ())
            ]
        found = []
        for field in kind.__dataclass_fields__.values():
            hint = hints[field.name]
            if unwrapped(hint)[2] & {typing.ClassVar} or not field.init:
                continue
            if isinstance(hint, dataclasses.InitVar):
                hint = hint.type
            schema = schema_of(_bare(hint))
            if field.default is not dataclasses.MISSING:
                schema = core_schema.with_default_schema(schema, default=field.default)
            elif field.default_factory is not dataclasses.MISSING:
                schema = core_schema.with_default_schema(
                    schema, default_factory=field.default_factory
                )
            found.append(core_schema.arguments_parameter(field.name, schema, mode="keyword_only"))
        return found


def _with_default(schema: Any, name: str, defaults: Mapping[str, Any]) -> Any:
    if name not in defaults:
        return schema
    return core_schema.with_default_schema(schema, default=defaults[name])
