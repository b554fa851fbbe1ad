"""
An annotated state class -> channels, defaults, checks and JSON Schema. (R34, R47)

Rule 1: pydantic decides what fits a type, for a TypedDict, a dataclass or a pydantic model alike.
Rule 2: what a node writes is checked and never converted; an edit or answer that came through
        JSON is converted to the field's type first.
Rule 3: a field with a reducer begins empty where its type has an empty value.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import annotated_types
import jsonschema
import pydantic
import pydantic_core
from pydantic.fields import FieldInfo

from nbagent.engine.model.channels import Channel, Ephemeral, LastValue, Reduced, Topic
from nbagent.engine.model.values import FrozenDict, isolate, seal, thaw
from nbagent.engine.ports import declared
from nbagent.errors import FieldProblem, GraphError, StateError, nearest

Migrate = Callable[[dict[str, Any]], Mapping[str, Any]]
_EMPTY: dict[type, Callable[[], Any]] = {
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
    """One state field: its channel, pydantic's checks, and how to make its default, if any."""

    name: str
    annotation: Any
    channel: Channel
    adapter: pydantic.TypeAdapter[Any]
    default: Callable[[], Any] | None
    outer: type | None


class StateSchema:
    """The schema of a state class. See `nbagent.engine.model.program.Schema` for the methods."""

    def __init__(self, state: type, migrate: Migrate | None = None) -> None:
        self.state = state
        self.migrate = migrate
        self.fields = _fields(state)
        self.channels: dict[str, Channel] = {f.name: f.channel for f in self.fields.values()}
        self._view = _view_of(state)
        for field in self.fields.values():
            declared(field.annotation)

    def check_input(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        self._check_all(values, None)
        made = {
            name: field.default()
            for name, field in self.fields.items()
            if field.default is not None and name not in values
        }
        given = {**made, **values}
        return {name: given[name] for name in self.fields if name in given}

    def _check_all(self, values: Mapping[str, Any], node: str | None) -> None:
        problems: list[FieldProblem] = []
        for name, value in values.items():
            problems += self._problems(name, value)
        if problems:
            raise _state_error(problems, node, "the input does not fit the state")

    def check_write(self, field: str, value: Any, node: str | None) -> None:
        try:
            self.fields[field].adapter.validator.validate_python(value, strict=True)
            return
        except (KeyError, pydantic.ValidationError):
            problems = self._problems(field, value)
        if problems:
            who = f"node {node!r} wrote" if node else "the input gives"
            raise _state_error(problems, node, f"{who} a value that does not fit the state")

    def _problems(self, name: str, value: Any) -> list[FieldProblem]:
        field = self.fields.get(name)
        if field is None:
            message = f"is not a field of the state{nearest(name, self.fields)}"
            return [FieldProblem((name,), message)]
        try:
            field.adapter.validate_python(value, strict=True)
        except pydantic.ValidationError as error:
            return _problems_of(name, error)
        return []

    def check_edit(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        problems: list[FieldProblem] = []
        read: dict[str, Any] = {}
        for name, value in values.items():
            found = self._problems(name, value)
            if found and name in self.fields:
                try:
                    text = json.dumps(thaw(value))
                    read[name] = self.fields[name].adapter.validate_json(text, strict=True)
                    continue
                except (TypeError, ValueError) as error:
                    if isinstance(error, pydantic.ValidationError):
                        found = _problems_of(name, error)
            problems += found
            read[name] = value if found else self._as_declared(name, value)
        if problems:
            raise _state_error(problems, None, "the edit does not fit the state")
        return read

    def _as_declared(self, name: str, value: Any) -> Any:
        """A dict where the class says a model is that model, as long as nothing of it gets lost."""
        made = self.fields[name].adapter.validate_python(value, strict=True)
        if made is value:
            return value
        try:
            plain = [pydantic_core.to_jsonable_python(one, fallback=id) for one in (value, made)]
        except (ValueError, TypeError, RecursionError):  # no JSON: then it is no dict of a form
            return value
        return made if _holds(*plain) else value

    def check_reduced(self, field: str, value: Any) -> None:
        channel, outer = self.channels[field], self.fields[field].outer
        if isinstance(channel, Topic) or outer is None or isinstance(value, outer):
            return
        if outer is float and isinstance(value, int):
            return
        reducer = getattr(channel, "reducer", None)
        name = getattr(reducer, "__qualname__", repr(reducer))
        raise StateError(
            f"the reducer of {field!r}, {name}, returned a {type(value).__name__}, and the field "
            f"holds {outer.__name__}: let the reducer return {outer.__name__}",
            field=field,
        )

    def view(self, values: Mapping[str, Any]) -> Any:
        if not values.keys() <= self.fields.keys():  # some are kept aside
            values = seal({n: v for n, v in values.items() if n in self.fields})
        return self._view(values)

    @functools.cached_property
    def fingerprint(self) -> str:
        text = json.dumps(self.json_schema(), sort_keys=True, default=repr)
        names = [f"{name}={field.annotation!r}" for name, field in self.fields.items()]
        return hashlib.blake2b(f"{text} {names}".encode(), digest_size=8).hexdigest()

    def adopt(self, values: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
        migrated = ""
        if self.migrate is not None:
            made = self.migrate(thaw(values))
            if not isinstance(made, Mapping):
                raise StateError(
                    f"migrate= returned a {type(made).__name__}: let it return the fields as a dict"
                )
            values, migrated = made, "migrated"
        problems: list[FieldProblem] = []
        for name, value in values.items():
            if name in self.fields and not isinstance(self.channels[name], Topic):
                problems += self._problems(name, value)
        if problems:
            raise _state_error(problems, None, "what it holds does not fit")
        missing = {n: f.default for n, f in self.fields.items() if n not in values and f.default}
        aside = [name for name in values if name not in self.fields]
        done = [
            migrated,
            f"added {', '.join(missing)}" if missing else "",
            f"kept aside {', '.join(aside)}" if aside else "",
        ]
        said = "; ".join(filter(None, done))
        adopted = {**values, **{name: default() for name, default in missing.items()}}
        return adopted, f"The state class has changed: {said}." if said else ""

    def json_schema(self) -> Mapping[str, Any]:
        properties: dict[str, Any] = {}
        definitions: dict[str, Any] = {}
        for name, field in self.fields.items():
            properties[name] = _json_schema(field.adapter, field.annotation, definitions)
            properties[name].setdefault("title", name)
        schema: dict[str, Any] = {
            "title": self.state.__name__,
            "type": "object",
            "properties": properties,
        }
        if definitions:
            schema["$defs"] = definitions
        return schema

    def to_json(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values as JSON types; what JSON cannot say is `{"$opaque": "what it is"}`."""
        found: dict[str, Any] = {}
        for name, value in values.items():
            try:
                found[name] = self.fields[name].adapter.dump_python(thaw(value), mode="json")
                json.dumps(found[name])
            except (KeyError, TypeError, ValueError, pydantic_core.PydanticSerializationError):
                shape = getattr(value, "shape", None)
                size = f" {'×'.join(map(str, shape))}" if isinstance(shape, tuple) else ""
                found[name] = {"$opaque": f"{type(value).__name__}{size}"}
        return found

    def answer_schema(self, schema: Any) -> Mapping[str, Any] | None:
        if schema is None or isinstance(schema, Mapping):
            return schema
        try:
            return dict(pydantic.TypeAdapter(schema).json_schema())
        except pydantic.errors.PydanticUserError as error:
            raise StateError(
                f"interrupt(schema={schema!r}) has no JSON Schema, so no form can ask for it: "
                "give a type such as bool, Literal[…], a dataclass or a pydantic model"
            ) from error

    def check_answer(self, schema: Mapping[str, Any] | None, answer: Any) -> None:
        if schema is None:
            return
        plain = pydantic_core.to_jsonable_python(thaw(answer), fallback=repr)
        validator = jsonschema.Draft202012Validator(thaw(schema))
        problems = [
            FieldProblem(("answer", *error.absolute_path), error.message)
            for error in validator.iter_errors(plain)
        ]
        if problems:
            raise _state_error(problems, None, "the answer does not fit the question")

    def read_answer(self, schema: Any, answer: Any) -> Any:
        if schema is None or isinstance(schema, Mapping):
            return answer
        adapter = pydantic.TypeAdapter(schema)
        try:
            return adapter.validate_python(answer, strict=True)
        except pydantic.ValidationError:
            return adapter.validate_json(json.dumps(answer, default=repr))


def _holds(given: Any, made: Any) -> bool:
    """True when all of `given`, as JSON, is in `made`."""
    if isinstance(given, dict) and isinstance(made, dict):
        return all(name in made and _holds(part, made[name]) for name, part in given.items())
    if isinstance(given, list) and isinstance(made, list):
        return len(given) == len(made) and all(map(_holds, given, made))
    return bool(given == made or (given != given and made != made))


# ------------------------------------------------------------------------------ reading a class


def _fields(state: type) -> dict[str, Field]:
    try:
        hints = typing.get_type_hints(state, include_extras=True)
    except NameError as error:
        raise GraphError(
            f"the state class {state.__name__!r} names a type that is not defined: {error}"
        ) from error
    if not (_is_typed_dict(state) or dataclasses.is_dataclass(state) or _is_model(state)):
        raise GraphError(
            f"the state {state.__name__!r} is neither a TypedDict, a dataclass nor a pydantic "
            "model: write `class State(TypedDict):` with a line `name: type` for each field"
        )
    defaults = _defaults(state)
    if _is_model(state):
        hints = {name: hints[name] for name in state.model_fields}  # type: ignore[attr-defined]
    if not hints:
        raise GraphError(f"the state class {state.__name__!r} has no fields: declare at least one")
    return {name: _field(state, name, hint, defaults.get(name)) for name, hint in hints.items()}


def _field(state: type, name: str, hint: Any, default: Callable[[], Any] | None) -> Field:
    while typing.get_origin(hint) in (typing.Required, typing.NotRequired, typing.ClassVar):
        hint = typing.get_args(hint)[0]
    metadata: tuple[Any, ...] = ()
    inner = hint
    if typing.get_origin(hint) is typing.Annotated:
        inner, *rest = typing.get_args(hint)
        metadata = tuple(rest)
    channel: Channel = LastValue(name)
    kept: list[Any] = []
    for item in metadata:
        if item is Topic or item is Ephemeral:
            channel = item(name)
        elif isinstance(item, _CONSTRAINTS) or hasattr(item, "__get_pydantic_core_schema__"):
            kept.append(item)
        elif callable(item):
            channel = Reduced(name, item)
        else:
            raise GraphError(
                f"field {name!r} of {state.__name__} has the reducer {item!r}, which cannot be "
                "called: give a function of two values, as in Annotated[list, operator.add]"
            )
    annotation = typing.Annotated[inner, *kept] if kept else inner
    outer = _outer(inner)
    if default is None and isinstance(channel, Reduced) and outer in _EMPTY:
        default = _EMPTY[outer]
    # A topic's writers each write one item; the field collects them.
    checked = typing.get_args(inner)[0] if isinstance(channel, Topic) and outer is list else inner
    return Field(
        name=name,
        annotation=annotation,
        channel=channel,
        adapter=_adapter(name, annotation if checked is inner else checked),
        default=default,
        outer=outer,
    )


def _adapter(name: str, annotation: Any) -> pydantic.TypeAdapter[Any]:
    try:
        return pydantic.TypeAdapter(annotation, config={"arbitrary_types_allowed": True})
    except pydantic.errors.PydanticUserError as error:
        if error.code != "type-adapter-config-unused":
            raise GraphError(
                f"field {name!r} has a type that cannot be checked: {error}"
            ) from error
        return pydantic.TypeAdapter(annotation)


def _outer(annotation: Any) -> type | None:
    """The class that every value of the annotation is of, where there is one."""
    origin = typing.get_origin(annotation) or annotation
    if origin in (typing.Union, types.UnionType, typing.Literal, Any):
        return None
    if isinstance(origin, type) and not _is_typed_dict(origin):
        if origin.__module__ == "collections.abc" or getattr(origin, "_is_protocol", False):
            return None
        return origin
    return None


def _defaults(state: type) -> dict[str, Callable[[], Any]]:
    found: dict[str, Callable[[], Any]] = {}
    if _is_model(state):
        for name, info in state.model_fields.items():  # type: ignore[attr-defined]
            if not info.is_required():
                found[name] = functools.partial(info.get_default, call_default_factory=True)
    elif dataclasses.is_dataclass(state):
        for field in dataclasses.fields(state):
            if field.default is not dataclasses.MISSING:
                found[field.name] = functools.partial(_same, field.default)
            elif field.default_factory is not dataclasses.MISSING:
                found[field.name] = field.default_factory
    return found


def _same(value: Any) -> Any:
    return value


def _is_typed_dict(state: Any) -> bool:
    return typing.is_typeddict(state)


def _is_model(state: Any) -> bool:
    return isinstance(state, type) and issubclass(state, pydantic.BaseModel)


# ------------------------------------------------------------------------------------- views


class StateView(FrozenDict):
    """The state as a node of a TypedDict graph reads it."""

    __slots__ = ()

    def __missing__(self, name: str) -> Any:
        raise KeyError(
            f"{name!r} has not been written yet: give it in the input, or read it with "
            f"state.get({name!r})"
        )


def _view_of(state: type) -> Callable[[Mapping[str, Any]], Any]:
    if _is_typed_dict(state):
        return _dict_view
    reader = _read_only(state)

    def view(values: Mapping[str, Any]) -> Any:
        made: Any = object.__new__(reader)
        if _is_model(state):
            for slot in ("__pydantic_extra__", "__pydantic_private__"):
                object.__setattr__(made, slot, None)
            object.__setattr__(made, "__pydantic_fields_set__", set(values))
        for name, value in values.items():
            object.__setattr__(made, name, isolate(value))
        return made

    return view


def _dict_view(values: Mapping[str, Any]) -> StateView:
    opaque = getattr(values, "opaque", True)
    view = StateView({k: isolate(v) for k, v in values.items()} if opaque else values)
    view.opaque = opaque
    return view


def _read_only(state: type) -> type:
    def refuse(self: Any, name: str, *value: Any) -> None:
        raise StateError(
            f"a node cannot set state.{name}: return {{{name!r}: new_value}} instead", field=name
        )

    return type(
        state.__name__,
        (state,),
        {"__setattr__": refuse, "__delattr__": refuse, "__module__": state.__module__},
    )


# ------------------------------------------------------------------------------------- errors


def _problems_of(name: str, error: pydantic.ValidationError) -> list[FieldProblem]:
    return [FieldProblem((name, *problem["loc"]), _sentence(problem)) for problem in error.errors()]


def _sentence(problem: Any) -> str:
    message = str(problem["msg"])
    return f"{message}, not {_short(problem['input'])}" if problem["type"] != "missing" else message


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _state_error(problems: list[FieldProblem], node: str | None, what: str) -> StateError:
    first = problems[0]
    place = "".join(f"[{part!r}]" if i else str(part) for i, part in enumerate(first.path))
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return StateError(
        f"{what}: {place}: {first.message}{more}",
        field=str(first.path[0]),
        node=node,
        path=first.path,
        errors=problems,
    )


def _json_schema(
    adapter: pydantic.TypeAdapter[Any], annotation: Any, definitions: dict[str, Any]
) -> dict[str, Any]:
    try:
        schema = dict(adapter.json_schema())
    except pydantic.errors.PydanticInvalidForJsonSchema:
        name = getattr(annotation, "__name__", str(annotation))
        return {"x-opaque": name, "readOnly": True, "title": name}
    definitions.update(schema.pop("$defs", {}))
    return schema


def takes_text(schema: Mapping[str, Any]) -> bool:
    """True when a plain word is a value of this JSON Schema as it stands."""
    if "enum" in schema:
        return any(isinstance(value, str) for value in schema["enum"])
    return schema.get("type") == "string" or isinstance(schema.get("const"), str)
