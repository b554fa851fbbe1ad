"""
The schema of a state class: what the engine asks about values. (R34, R47)
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pydantic

from nbagent.engine.model.channels import Channel, Write
from nbagent.engine.model.program import START
from nbagent.engine.model.several import Overwrite
from nbagent.engine.model.state_view import perhaps_renamed
from nbagent.engine.model.values import (
    MISSING,
    freeze,
    seal,
    thaw,
)
from nbagent.engine.ports import declared
from nbagent.errors import FieldProblem, StateError, nearest
from nbagent.graph.schema import forms
from nbagent.graph.schema.adapters import is_typed_dict, origin_of
from nbagent.graph.schema.checks import Check, is_alike, state_error, unlike
from nbagent.graph.schema.faces import faces_of
from nbagent.graph.schema.fields import (
    fields_of,
    is_model,
    is_pydantic,
)
from nbagent.graph.schema.instances import (
    gained_inside,
    lost_inside,
    problems_inside,
    shape_of,
    unknown_inside,
    with_others,
)
from nbagent.graph.schema.tools import call_schema
from nbagent.graph.schema.views import dict_view, object_view

Migrate = Callable[[dict[str, Any]], Mapping[str, Any]]


class StateSchema:
    """The schema of a state class. See `nbagent.engine.model.program.Schema` for the methods.

    aliases    another name that an input or edit may use -> the field's
    invariant  checks all values together, where the class has something to say on that
    """

    def __init__(
        self,
        state: type,
        migrate: Migrate | None = None,
        *,
        takes: type | None = None,
        gives: type | None = None,
    ) -> None:
        self.state = state
        self.migrate = migrate
        self.fields = fields_of(state)
        self.faces = faces_of(self.fields, takes, gives)
        self.channels: dict[str, Channel] = {f.name: f.channel for f in self.fields.values()}
        self.aliases = {f.alias: f.name for f in self.fields.values() if f.alias}
        kind = origin_of(state)
        view = dict_view if is_typed_dict(kind) else functools.partial(object_view, kind)
        self._view = view(self.fields)
        self.invariant = self._check_together if _has_invariant(kind) else None
        declared(kind)  # what is defined beside it may be written to a field of any type
        for field in self.fields.values():
            if field.channel.stored:
                declared(field.annotation)

    # ------------------------------------------------------------------------------ what comes in

    def check_input(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        read, problems = self._read_input(values)
        takes = self.fields if self.faces.takes is None else self.faces.takes
        for name, field in takes.items():
            if name not in read and field.default is not None and takes is not self.fields:
                read[name] = field.default()
        problems += [
            FieldProblem((name,), "is needed, and was not given")
            for name, field in takes.items()
            if (field.required or self.fields[name].required) and name not in read
        ]
        if problems:
            raise state_error(problems, None, "the input does not fit the state")
        return self._begun(read)

    def check_more(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """A later input, checked and converted as the first."""
        read, problems = self._read_input(values)
        if problems:
            raise state_error(problems, None, "the input does not fit the state")
        return read

    def _read_input(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[FieldProblem]]:
        problems: list[FieldProblem] = []
        read: dict[str, Any] = {}
        for name, value in self._named(values).items():
            field = self.fields.get(name)
            if field is not None and (problem := self.faces.problem(name)) is not None:
                problems.append(problem)
                continue
            if self.faces.takes is not None and field is not None:
                value = self._as_given(name, value, problems)
            replaces = type(value) is Overwrite
            whole = replaces or field is None or not field.channel.begins_empty
            given = value.value if replaces else value
            self._read(name, given, self._check(name, whole=whole), read, problems)
            if replaces and name in read and field is not None and field.channel.folds:
                read[name] = Overwrite(read[name])
        return read, problems

    def _as_given(self, name: str, value: Any, problems: list[FieldProblem]) -> Any:
        """The value as the input's class has it, which may say more than the state's."""
        assert self.faces.takes is not None
        own = self.faces.takes[name]
        if own.annotation == self.fields[name].annotation or type(value) is Overwrite:
            return value
        found, made = _read_as(own.check, name, value)
        problems += found
        return made

    def _begun(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a thread begins with: its defaults, and the input written over them."""
        values: dict[str, Any] = {}
        for name, field in self.fields.items():
            if not field.channel.stored:
                continue
            default = field.default() if field.default is not None else MISSING
            if name not in given:
                if default is not MISSING:
                    values[name] = default
                continue
            before, channel = freeze(default), field.channel
            writes = [Write(START, START, freeze(one)) for one in channel.of_input(given[name])]
            values[name] = freeze(channel.merge(before, writes)) if writes else given[name]
            if channel.folds:
                parts_fit = channel.is_checked(before, values[name])
                self.check_reduced(name, values[name], parts_fit=parts_fit)
        if self.invariant is not None:
            self.invariant(values)
        return values

    def check_edit(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        problems: list[FieldProblem] = []
        read: dict[str, Any] = {}
        for name, value in self._named(values).items():
            value = value.value if type(value) is Overwrite else value  # as an edit does anyway
            if name in self.fields and not self.fields[name].channel.stored:
                problems.append(FieldProblem((name,), "is Untracked: only a run has it"))
                continue
            self._read(name, value, self._check(name, whole=True), read, problems)
        if problems:
            raise state_error(problems, None, "the edit does not fit the state")
        return read

    def _named(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values by their fields' names, where some are by an alias."""
        return {self.aliases.get(name, name): value for name, value in values.items()}

    def _check(self, name: str, *, whole: bool) -> Check | None:
        field = self.fields.get(name)
        if field is None:
            return None
        return field.check if whole else field.write

    def _read(
        self,
        name: str,
        value: Any,
        check: Check | None,
        read: dict[str, Any],
        problems: list[FieldProblem],
    ) -> None:
        """Read a value that a person or another program gave, into `read` or `problems`."""
        field = self.fields.get(name)
        if field is None:
            problems.append(self._unknown(name))
            return
        if check is None:  # the reducer takes what it takes; what fits the field is read as that
            found, made = _read_as(field.check, name, value)
            read[name] = value if found else made
            return
        found, made = _read_as(check, name, value)
        if found and check is field.check and field.write not in (None, check):
            # One item of a field that collects them.
            single, item = _read_as(field.write, name, value)
            if not single:
                found, made = _read_as(check, name, [item])
        problems += found
        read[name] = made

    def _unknown(self, name: str) -> FieldProblem:
        return FieldProblem((name,), f"is not a field of the state{nearest(name, self.fields)}")

    # ------------------------------------------------------------------------------ what is written

    def check_write(self, field: str, value: Any, node: str | None, before: Any = MISSING) -> None:
        found = self.fields.get(field)
        if found is not None and found.at_once is not None:
            part = value
            if found.parts is not None and before is not MISSING:
                part = unlike(value, before, found.parts)
            try:
                made = found.at_once(part, strict=True)
                if made is part or is_alike(part, made):
                    return
            except pydantic.ValidationError:  # said below, with the place
                pass
        problems: list[FieldProblem] = []
        if found is None:
            problems = [self._unknown(field)]
        elif found.is_fixed and node not in (None, START):
            problems = [FieldProblem((field,), "is ReadOnly: only an input or an edit sets it")]
        elif type(value) is Overwrite:
            problems = found.check.problems((field,), value.value)
        elif found.write is not None:
            problems = found.write.problems((field,), value)
        if problems:
            who = f"node {node!r} wrote" if node not in (None, START) else "the input gives"
            raise state_error(problems, node, f"{who} a value that does not fit the state")

    def check_reduced(self, field: str, value: Any, *, parts_fit: bool = False) -> None:
        found = self.fields[field]
        if parts_fit and not found.is_bounded:
            return
        problems = found.check.problems((field,), value)
        if problems:
            reducer = getattr(found.channel, "reducer", None)
            name = getattr(reducer, "__qualname__", repr(reducer))
            raise state_error(
                problems, None, f"the reducer {name} returned what does not fit the state"
            )

    def _check_together(self, values: Mapping[str, Any]) -> None:
        kind: Any = origin_of(self.state)
        given = {name: values[name] for name in self.fields if name in values}
        if any(
            name not in given and (field.required or not field.channel.stored)
            for name, field in self.fields.items()
        ):
            return
        try:
            if is_pydantic(kind):
                kind.__pydantic_validator__.validate_python(
                    given, strict=True, by_name=True, by_alias=False
                )
            else:
                kind(**thaw({n: v for n, v in given.items() if n in _initial(kind)}))
        except pydantic.ValidationError as error:
            problems = Check(None).problems_of((), error)
            what = f"the fields of {kind.__name__} do not fit together"
            raise state_error(problems, None, what) from error
        except (ValueError, TypeError, AssertionError) as error:
            raise StateError(
                f"the fields of {kind.__name__} do not fit together: {error}"
            ) from error

    # ------------------------------------------------------------------------------- what is read

    def view(self, values: Mapping[str, Any]) -> Any:
        if values.keys() <= self.fields.keys():
            return self._view(values, ())
        aside = [name for name in values if name not in self.fields]
        return self._view(seal({n: v for n, v in values.items() if n in self.fields}), aside)

    # ---------------------------------------------------------------------- when the class changes

    @functools.cached_property
    def fingerprint(self) -> str:
        text = json.dumps(self.json_schema(), sort_keys=True, default=repr)
        names = [f"{name}={field.annotation!r}" for name, field in self.fields.items()]
        shapes = " ".join(filter(None, (shape_of(f.annotation) for f in self.fields.values())))
        whole = f"{text} {names} {shapes}" if shapes else f"{text} {names}"
        return hashlib.blake2b(whole.encode(), digest_size=8).hexdigest()

    def adopt(self, values: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
        done: list[str] = []
        problems: list[FieldProblem] = []
        if self.migrate is not None:
            values = self._migrated(values, problems)
            done.append("migrated")
        added: list[str] = []
        lost: list[str] = []
        for name, value in values.items():
            if name in self.fields:
                problems += self._misfits(name, value)
                added += gained_inside(value, (name,))
                lost += lost_inside(value, (name,))
        if problems:
            raise state_error(problems, None, "what it holds does not fit")
        missing = {
            n: f.default
            for n, f in self.fields.items()
            if n not in values and f.default and f.channel.stored
        }
        aside = [name for name in values if name not in self.fields]
        if added or missing:
            done.append(f"added {', '.join([*missing, *dict.fromkeys(added)])}")
        if aside or lost:
            named = ", ".join([*aside, *dict.fromkeys(lost)])
            hint = self._perhaps_renamed(values, aside) if aside else ""
            done.append(f"kept aside {named}{hint}")
        return (
            {**values, **{name: default() for name, default in missing.items()}},
            f"The state class has changed: {'; '.join(done)}." if done else "",
        )

    def _migrated(
        self, values: Mapping[str, Any], problems: list[FieldProblem]
    ) -> Mapping[str, Any]:
        assert self.migrate is not None
        made = self.migrate(thaw(values))
        if not isinstance(made, Mapping):
            raise StateError(
                f"migrate= returned a {type(made).__name__}: let it return the fields as a dict"
            )
        read = dict(made)
        for name, value in made.items():
            if name in self.fields:
                found, read[name] = _read_as(self.fields[name].check, name, value)
                problems += found
        return read

    def _misfits(self, name: str, value: Any) -> list[FieldProblem]:
        check = self.fields[name].check
        return check.problems((name,), value, exactly=False) or problems_inside(value, (name,))

    def _perhaps_renamed(self, values: Mapping[str, Any], aside: Sequence[str]) -> str:
        """The hint where a field went and another came that has no value."""
        for name, field in self.fields.items():
            if name not in values and not field.default and not field.channel.transient:
                return f"; there is nothing yet for {name}{perhaps_renamed(aside)}"
        return ""

    # --------------------------------------------------------------------------------- its form

    def form_schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the fields that concern a person."""
        shown = self.faces.shown
        if shown is None:
            return self.json_schema()
        fields = {
            name: field
            for name, field in self.fields.items()
            if name in shown and field.channel.stored
        }
        return forms.json_schema(origin_of(self.state).__name__, fields)

    def json_schema(self) -> Mapping[str, Any]:
        stored = {name: field for name, field in self.fields.items() if field.channel.stored}
        return forms.json_schema(origin_of(self.state).__name__, stored)

    def to_json(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return forms.to_json(self.fields, values)

    answer_schema = staticmethod(forms.answer_schema)
    call_schema = staticmethod(call_schema)
    check_answer = staticmethod(forms.check_answer)
    read_answer = staticmethod(forms.read_answer)


def _read_as(check: Check, name: str, value: Any) -> tuple[list[FieldProblem], Any]:
    """What is wrong with a value that came from outside, else what it is: where JSON cannot say
    what the type wants (a model, a date), what pydantic makes of it."""
    try:
        made = check.python(value)
    except pydantic.ValidationError as error:
        found = check.problems_of((name,), error)
        try:
            made = check.json(value)
        except pydantic.ValidationError as second:
            if any(one["type"] == "needs_python_object" for one in second.errors()):
                return found, value  # JSON cannot say it
            return check.problems_of((name,), second), value
        except (TypeError, ValueError, RecursionError):
            return found, value
    else:
        wrong = problems_inside(value, (name,))
        if wrong:
            return wrong, value
    lost = unknown_inside(value, made, (name,))
    return (lost, value) if lost else ([], with_others(value, made))


def _has_invariant(kind: Any) -> bool:
    """True when the class checks its fields together."""
    if is_pydantic(kind):
        decorators = kind.__pydantic_decorators__
        looks = any(_looks_at_others(one.func) for one in decorators.field_validators.values())
        return (
            bool(decorators.model_validators or decorators.root_validators or decorators.validators)
            or looks
            or (not is_model(kind) and hasattr(kind, "__post_init__"))
        )
    return hasattr(kind, "__post_init__")


def _looks_at_others(validator: Any) -> bool:
    code = getattr(getattr(validator, "__func__", validator), "__code__", None)
    return code is not None and "info" in code.co_varnames[: code.co_argcount]


def _initial(kind: Any) -> Collection[str]:
    return [field.name for field in kind.__dataclass_fields__.values() if field.init]
