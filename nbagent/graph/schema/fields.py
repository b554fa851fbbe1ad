"""
What a state class declares: its fields, each with its channel, its checks and its default.

Rule: a class is read as Python means it. `ClassVar`, `KW_ONLY` and `InitVar` are no fields;
`Required`, `NotRequired` and `ReadOnly` say something about a field and are no part of its type;
in `Annotated`, a channel or a function is for nbagent, a constraint for pydantic, and all else
(a text, say) for others.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import typing
from collections.abc import Callable, Mapping
from typing import Any

import annotated_types
import pydantic
import typing_extensions
from pydantic.fields import FieldInfo

from nbagent.engine.model.channels import UNCHECKED, Channel, channel_of
from nbagent.errors import GraphError
from nbagent.graph.schema.adapters import (
    adapter_of,
    hints_of,
    is_typed_dict,
    origin_of,
    unwrapped,
)
from nbagent.graph.schema.checks import Check, checks_of_model

Make = Callable[[], Any]
_EMPTY: dict[type, Make] = {
    list: list,
    dict: dict,
    set: set,
    frozenset: frozenset,
    tuple: tuple,
    str: str,
    int: int,
    float: float,
}
_CONSTRAINTS = (FieldInfo, annotated_types.BaseMetadata, annotated_types.GroupedMetadata)


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One state field.

    annotation  its type, with the constraints that are for pydantic
    check       of its whole value
    write       of what one node writes; None where nothing says what that is
    adapter     its JSON Schema, and its values as JSON
    default     what makes it, where it has one
    required    an input has to give it
    is_fixed    no node may write it (`ReadOnly`)
    is_bounded  the type says more of the whole than of its parts
    parts       dict or list, where its type says nothing of the whole but what each part is
    alias       another name that an input or edit may use
    note        a text that stands in its `Annotated`
    at_once     pydantic's own function for a write, where nothing else is to be asked
    """

    name: str
    annotation: Any
    channel: Channel
    check: Check
    write: Check | None
    adapter: pydantic.TypeAdapter[Any]
    default: Make | None = None
    required: bool = False
    is_fixed: bool = False
    is_bounded: bool = False
    parts: type | None = None
    alias: str | None = None
    note: str = ""
    at_once: Callable[..., Any] | None = None


@dataclasses.dataclass(slots=True)
class _Found:
    """What a class says of one field, whatever kind of class it is."""

    hint: Any
    metadata: tuple[Any, ...] = ()
    default: Make | None = None
    required: bool = False
    info: FieldInfo | None = None
    check: Check | None = None
    qualifiers: set[Any] = dataclasses.field(default_factory=set)


def is_model(kind: Any) -> bool:
    """True for pydantic's models."""
    return isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)


def is_pydantic(kind: Any) -> bool:
    """True for pydantic's models and dataclasses."""
    return is_model(kind) or (
        isinstance(kind, type) and pydantic.dataclasses.is_pydantic_dataclass(kind)
    )


def fields_of(state: Any) -> dict[str, Field]:
    """The fields of a state class; `GraphError`."""
    kind = origin_of(state)
    title = getattr(kind, "__name__", repr(kind))
    if not (is_typed_dict(kind) or (isinstance(kind, type) and _has_fields(kind))):
        raise GraphError(
            f"the state {title!r} is neither a TypedDict, a dataclass nor a pydantic "
            "model: write `class State(TypedDict):` with a line `name: type` for each field"
        )
    try:
        found = _of_pydantic(kind) if is_pydantic(kind) else _of_hints(state, kind)
    except NameError as error:
        raise GraphError(
            f"the state class {title!r} names a type that is not defined: {error}"
        ) from error
    if not found:
        raise GraphError(f"the state class {title!r} has no fields: declare at least one")
    return {name: _field(title, name, one) for name, one in found.items()}


def _has_fields(kind: type) -> bool:
    return dataclasses.is_dataclass(kind) or is_model(kind)


def _of_pydantic(kind: Any) -> dict[str, _Found]:
    if is_model(kind):
        kind.model_rebuild()
        infos: Mapping[str, FieldInfo] = kind.model_fields
    else:
        pydantic.dataclasses.rebuild_dataclass(kind)
        infos = kind.__pydantic_fields__
    checks = checks_of_model(kind)
    return {
        name: _Found(
            info.annotation,
            tuple(info.metadata),
            default=_default_of(info),
            required=info.is_required(),
            info=info,
            check=checks.get(name),
        )
        for name, info in infos.items()
    }


def _default_of(info: FieldInfo) -> Make | None:
    if info.is_required():
        return None
    return functools.partial(info.get_default, call_default_factory=True, validated_data={})


def _of_hints(state: Any, kind: type) -> dict[str, _Found]:
    hints = hints_of(state)
    if not dataclasses.is_dataclass(kind):
        found = {name: _Found(hint) for name, hint in hints.items()}
        fixed: frozenset[str] = getattr(kind, "__readonly_keys__", frozenset())
        for name, one in found.items():
            if name in fixed:
                one.qualifiers.add(typing_extensions.ReadOnly)
        return found
    found = {}
    for field in dataclasses.fields(kind):
        one = found[field.name] = _Found(hints[field.name])
        if isinstance(field.default, FieldInfo):
            one.metadata, one.default = (field.default,), _default_of(field.default)
        elif field.default is not dataclasses.MISSING:
            one.default = functools.partial(_same, field.default)
        elif field.default_factory is not dataclasses.MISSING:
            one.default = field.default_factory
        one.required = one.default is None and field.init
    return found


def _field(title: str, name: str, found: _Found) -> Field:
    inner, metadata, qualifiers = unwrapped(found.hint)
    metadata, qualifiers = (*metadata, *found.metadata), qualifiers | found.qualifiers
    kept = [item for item in metadata if _is_constraint(item)]
    for item in metadata:
        if isinstance(item, str) and hasattr(operator, item):  # other texts are for people
            raise GraphError(
                f"field {name!r} of {title} has the reducer {item!r}, which cannot be called: "
                "give a function of two values, as in Annotated[list, operator.add]"
            )
    channel = channel_of(name, [item for item in metadata if not _is_constraint(item)])
    annotation = typing.Annotated[inner, *kept] if kept else inner
    shown = typing.Annotated[inner, found.info] if found.info else annotation
    adapter = _adapter(title, name, shown)
    check = found.check or Check(adapter.validator)
    default = found.default
    if default is None and channel.begins_empty:
        default = _EMPTY.get(_outer(inner))
    required = found.required or typing.Required in qualifiers
    written = channel.write_type(annotation)
    write: Check | None = check
    if written is not annotation:
        write = None if written is UNCHECKED else Check(_adapter(title, name, written).validator)
    is_fixed = typing_extensions.ReadOnly in qualifiers
    parts = _outer(inner) if _outer(inner) in (dict, list) else None
    is_plain = write is not None and write.name is None and not is_fixed
    return Field(
        name=name,
        annotation=annotation,
        channel=channel,
        check=check,
        write=write,
        adapter=adapter,
        default=default,
        required=required and default is None and not channel.transient and channel.stored,
        is_fixed=is_fixed,
        at_once=write.validator.validate_python if write is not None and is_plain else None,
        is_bounded=bool(kept),
        parts=parts if not kept and found.check is None and write is check else None,
        alias=_alias(found.info or next((i for i in kept if isinstance(i, FieldInfo)), None)),
        note=next((item for item in metadata if isinstance(item, str)), ""),
    )


def _is_constraint(item: Any) -> bool:
    return isinstance(item, _CONSTRAINTS) or hasattr(item, "__get_pydantic_core_schema__")


def _alias(info: FieldInfo | None) -> str | None:
    if info is None:
        return None
    alias = info.validation_alias or info.alias
    return alias if isinstance(alias, str) else None


def _adapter(title: str, name: str, annotation: Any) -> pydantic.TypeAdapter[Any]:
    try:
        return adapter_of(annotation)
    except pydantic.errors.PydanticUserError as error:
        raise GraphError(
            f"field {name!r} of {title} has a type that cannot be checked: {error}"
        ) from error


def _outer(annotation: Any) -> Any:
    """The class that every value of the annotation is of, where there is one."""
    return typing.get_origin(annotation) or annotation


def _same(value: Any) -> Any:
    return value
