"""
What a form is made of: JSON Schema, values as JSON, and answers. (R34)
"""

from __future__ import annotations

import datetime
import functools
import json
import uuid
from collections.abc import Mapping
from typing import Any

import pydantic
import pydantic_core

from nbagent.engine.model.approval import asks_for_one, kept_of
from nbagent.engine.model.values import thaw
from nbagent.errors import FieldProblem, StateError
from nbagent.graph.schema.adapters import adapter_of
from nbagent.graph.schema.checks import Check, state_error
from nbagent.graph.schema.fields import Field


def json_schema(title: str, fields: Mapping[str, Field]) -> Mapping[str, Any]:
    """The JSON Schema (2020-12) of the state, an object with a property a field."""
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for name, field in fields.items():
        properties[name] = _property(field, definitions)
        properties[name].setdefault("title", name)
        if field.note:
            properties[name].setdefault("description", field.note)
    schema: dict[str, Any] = {"title": title, "type": "object", "properties": properties}
    required = [name for name, field in fields.items() if field.required]
    if required:
        schema["required"] = required
    if definitions:
        schema["$defs"] = definitions
    return schema


def _property(field: Field, definitions: dict[str, Any]) -> dict[str, Any]:
    try:
        schema = dict(field.adapter.json_schema())
    except pydantic.errors.PydanticInvalidForJsonSchema:
        name = getattr(field.annotation, "__name__", str(field.annotation))
        return {"x-opaque": name, "readOnly": True, "title": name}
    definitions.update(schema.pop("$defs", {}))
    if "$ref" in schema and len(schema) > 1:
        return schema
    return schema


def to_json(fields: Mapping[str, Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as JSON types; what JSON cannot say is `{"$opaque": "what it is"}`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        try:
            found[name] = fields[name].adapter.dump_python(thaw(value), mode="json")
            json.dumps(found[name])
        except (KeyError, TypeError, ValueError, pydantic_core.PydanticSerializationError):
            shape = getattr(value, "shape", None)
            size = f" {'×'.join(map(str, shape))}" if isinstance(shape, tuple) else ""
            found[name] = {"$opaque": f"{type(value).__name__}{size}"}
    return found


def answer_schema(schema: Any) -> Mapping[str, Any] | None:
    """The JSON Schema of an interrupt's `schema=`; `StateError` if it has none."""
    if schema is None or isinstance(schema, Mapping):
        return schema
    try:
        return dict(adapter_of(schema).json_schema())
    except pydantic.errors.PydanticUserError as error:
        raise StateError(
            f"interrupt(schema={schema!r}) has no JSON Schema, so no form can ask for it: "
            "give a type such as bool, Literal[…], a dataclass or a pydantic model"
        ) from error


def check_answer(schema: Mapping[str, Any] | None, answer: Any) -> Any:
    """The answer as it is kept; `StateError` when it does not fit the question's JSON Schema."""
    if schema is None:
        return answer
    if asks_for_one(schema):
        answer = kept_of(answer)
    plain = pydantic_core.to_jsonable_python(thaw(answer), fallback=repr)
    import jsonschema  # seconds where it knows all formats, and most graphs ask nothing

    validator = jsonschema.Draft202012Validator(thaw(schema), format_checker=_formats())
    problems = [
        FieldProblem(("answer", *error.absolute_path), error.message)
        for error in validator.iter_errors(plain)
    ]
    if problems:
        raise state_error(problems, None, "the answer does not fit the question")
    return answer


def read_answer(schema: Any, answer: Any) -> Any:
    """The answer as the node gets it: of the type that `schema=` asked for."""
    if schema is None or isinstance(schema, Mapping):
        return answer
    adapter = adapter_of(schema)
    try:
        return adapter.validate_python(answer, strict=True)
    except pydantic.ValidationError:
        pass
    try:
        return adapter.validate_json(json.dumps(answer, default=repr))
    except pydantic.ValidationError as error:  # what no JSON Schema can say, such as a validator
        problems = Check(None).problems_of(("answer",), error)
        raise state_error(problems, None, "the answer does not fit the question") from error


@functools.cache
def _formats() -> Any:
    """Texts that are to be a date and the like: as pydantic reads them, whatever is installed."""
    import jsonschema

    checker = jsonschema.FormatChecker(formats=())
    for name, kind in _FORMATS.items():
        adapter = pydantic.TypeAdapter(kind)

        def fits(value: Any, adapter: Any = adapter) -> bool:
            if isinstance(value, str):  # others are the schema's "type" to judge
                adapter.validate_json(json.dumps(value))
            return True

        checker.checks(name, raises=pydantic.ValidationError)(fits)
    return checker


_FORMATS: dict[str, Any] = {
    "date": datetime.date,
    "date-time": datetime.datetime,
    "time": datetime.time,
    "duration": datetime.timedelta,
    "uuid": uuid.UUID,
}


def takes_text(schema: Mapping[str, Any]) -> bool:
    """True when a plain word is a value of this JSON Schema as it stands."""
    if "enum" in schema:
        return any(isinstance(value, str) for value in schema["enum"])
    return schema.get("type") == "string" or isinstance(schema.get("const"), str)
