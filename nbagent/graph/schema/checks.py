"""
Does a value fit a type? A `Check` says it, and what does not.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, compress, repeat
from typing import Any

import pydantic
import pydantic_core
from pydantic_core import core_schema

from nbagent.engine.model.values import thaw
from nbagent.errors import FieldProblem, StateError

Path = tuple[str | int, ...]
_LONG = 100  # parts; fewer are checked sooner than compared


class Check:
    """Pydantic's validator for one field.

    name   of the field, where the validator wants it in a dict: then validators that look at the
           other fields find none
    """

    __slots__ = ("name", "validator")

    def __init__(self, validator: Any, name: str | None = None) -> None:
        self.validator = validator
        self.name = name

    def python(self, value: Any) -> Any:
        """What pydantic makes of the value; `ValidationError`."""
        if self.name is None:
            return self.validator.validate_python(value, strict=True)
        try:
            made = self.validator.validate_python({self.name: value}, strict=True)
        except (pydantic.ValidationError, StateError):
            raise
        except Exception:  # a validator that looks at other fields: they are checked together
            return value
        return made[0][self.name]

    def json(self, value: Any) -> Any:
        """The same for a value as JSON says it; `ValueError`, `TypeError`."""
        if self.name is None:
            return self.validator.validate_json(json.dumps(thaw(value)), strict=True)
        text = json.dumps({self.name: thaw(value)})
        return self.validator.validate_json(text, strict=True)[0][self.name]

    def problems(self, path: Path, value: Any, *, exactly: bool = True) -> list[FieldProblem]:
        """Why the value is not of the type; `exactly`: nor what pydantic would make of it."""
        try:
            made = self.python(value)
        except pydantic.ValidationError as error:
            return self.problems_of(path, error)
        if exactly and made is not value and not is_alike(value, made):
            return [FieldProblem(path, _would_be(value, made))]
        return []

    def problems_of(self, path: Path, error: pydantic.ValidationError) -> list[FieldProblem]:
        skip = 0 if self.name is None else 1
        return [
            FieldProblem((*path, *problem["loc"][skip:]), _sentence(problem))
            for problem in error.errors()
        ]


def checks_of_model(kind: Any) -> dict[str, Check]:
    """Field -> its check, of a pydantic model or dataclass: with its validators, by its name and
    not by its alias."""
    schema: Any = kind.__pydantic_core_schema__
    definitions: list[Any] = []
    config: Any = None
    while schema["type"] not in ("model-fields", "dataclass-args"):
        if schema["type"] == "definitions":
            definitions = schema["definitions"]
        config = schema.get("config", config)
        if schema["type"] == "definition-ref":
            ref = schema["schema_ref"]
            schema = next(one for one in definitions if one.get("ref") == ref)
            continue
        if "schema" not in schema:  # a root model, or one that makes itself by other means
            return {}
        schema = schema["schema"]
    listed = schema["fields"]
    if isinstance(listed, Mapping):
        fields = {name: field["schema"] for name, field in listed.items()}
    else:
        fields = {field["name"]: field["schema"] for field in listed}
    found = {}
    for name, inner in fields.items():
        alone: Any = core_schema.model_fields_schema({name: core_schema.model_field(inner)})
        if definitions:
            alone = core_schema.definitions_schema(alone, definitions)
        found[name] = Check(pydantic_core.SchemaValidator(alone, config), name)
    return found


def is_alike(value: Any, made: Any) -> bool:
    """True when `made` says the same as `value`, so that nothing would be converted."""
    try:
        if bool(value == made):
            return True
        if isinstance(value, Mapping) and isinstance(made, Mapping):
            # Keys that a TypedDict does not name are left in peace.
            return all(key in value and is_alike(value[key], made[key]) for key in made)
        if isinstance(value, (list, tuple)) and isinstance(made, (list, tuple)):
            return len(value) == len(made) and all(map(is_alike, value, made))
        return bool(value != value and made != made)  # not a number
    except Exception:  # arrays and the like, which compare to no single truth
        return True


def unlike(value: Any, before: Any, kind: Any) -> Any:
    """What a long dict or list holds besides the very parts of `before`, as one of its kind; all
    of it where that takes longer to say."""
    is_kind = (value.__class__ is kind) and isinstance(before, kind)
    if not is_kind or len(value) < _LONG or len(value) < len(before):
        return value
    if kind is list:
        return list(compress(value, _others(value, before)))
    if not all(map(operator.is_, value, before)):  # other keys, or in another order
        return value
    return dict(compress(value.items(), _others(value.values(), before.values())))


def _others(parts: Iterable[Any], before: Iterable[Any]) -> Iterable[bool]:
    """For each part whether it is another object than that of `before`."""
    return chain(map(operator.is_not, parts, before), repeat(True))


def _would_be(value: Any, made: Any) -> str:
    if isinstance(value, Mapping) and not isinstance(made, Mapping):
        kind = type(made).__name__
        return f"Input should be a {kind}, not a dict: write {kind}(…) itself"
    return f"the field's type makes {_short(made)} of {_short(value)}: write that"


def _sentence(problem: Any) -> str:
    message = str(problem["msg"])
    return f"{message}, not {_short(problem['input'])}" if problem["type"] != "missing" else message


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def state_error(problems: Sequence[FieldProblem], node: str | None, what: str) -> StateError:
    """All problems in one error, whose message is about the first."""
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return StateError(
        f"{what}: {_place(first.path)}: {first.message}{more}",
        field=str(first.path[0]) if first.path else None,
        node=node,
        path=first.path,
        errors=problems,
    )


def _place(path: Iterable[Any]) -> str:
    """`plan.steps[0].note`, as Python would say it."""
    first, *others = (*path,) or ("the state",)
    return str(first) + "".join(
        f".{part}" if isinstance(part, str) and part.isidentifier() else f"[{part!r}]"
        for part in others
    )
