"""
The user's types by name: what a file may name, and nothing else. (W5)

Rule 1: nothing is imported because a file says so. A name is looked up among the types that were
        registered, the subclasses of those, the classes beside them in the modules that the
        state's types are from, and a few libraries of plain messages.
Rule 2: a type that the next session could not find is refused when it is first written. (W6)
"""

from __future__ import annotations

import dataclasses
import enum
import sys
import typing
from collections.abc import Container, Iterator
from typing import Any

import msgspec

from nbagent.engine.model.several import Overwrite, Several
from nbagent.errors import CodecError


def type_name(kind: type) -> str:
    """What a type is called in a file."""
    return f"{kind.__module__}.{kind.__qualname__}"


def family(kind: type) -> str | None:
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


class TypeRegistry:
    """The user's types by `module.QualName`; the latest of a name wins, as in a notebook."""

    def __init__(self) -> None:
        self._types: dict[str, type] = {}
        self._bases: dict[str, type] = {}
        self._scopes: set[str] = set()

    def register(self, kind: type) -> type:
        """Let values of `kind` be read back. Returns it, so it serves as a decorator."""
        self._types[type_name(kind)] = kind
        return kind

    def declare(self, kind: type) -> None:
        """A state names this class: its subclasses, and those defined beside it, are known."""
        self._bases[type_name(kind)] = kind
        self._scopes.add(_scope(kind))
        if family(kind) is not None:
            self.register(kind)

    def find(self, name: str) -> type:
        """The type of that name; `CodecError` that says how to make it known."""
        found = self._types.get(name) or self._near(name) or _of_a_known_library(name)
        if found is None:
            raise CodecError(
                f"the stored value is a {name}, which is not known here: run the cell that "
                "defines it, or nbagent.register_type(the class), and try again"
            )
        return found

    def admit(self, kind: type) -> None:
        """`CodecError` for a type that the next session will not find by its name."""
        name = type_name(kind)
        if name in self._types:
            return
        is_local = "<locals>" in name
        if is_local and _scope(kind) not in self._scopes:
            raise CodecError(
                f"a {name} could not be found in the next session, because it is defined inside "
                "a function: define it beside the state class, outside of the node"
            )
        generic = getattr(kind, "__pydantic_generic_metadata__", None) or {}
        if generic.get("origin") is not None or not (is_local or _is_there(kind)):
            raise CodecError(
                f"a {name} could not be found in the next session, because nothing is defined by "
                "that name: name it in the state class, or call nbagent.register_type(the class) "
                "where the state is defined"
            )
        if self._near(name) is None:
            self.register(kind)

    def _near(self, name: str) -> type | None:
        """A subclass of a declared class, or a class that is defined beside one."""
        found = _defined(name, self._scopes)
        if found is not None and type_name(found) == name and family(found):
            return found
        latest = None
        for base in list(self._bases.values()):
            for kind in _subclasses(base):
                if type_name(kind) == name and family(kind):
                    latest = kind
        return latest


def _defined(name: str, modules: Container[str]) -> type | None:
    """The class that stands under this name in one of these modules."""
    module, _, rest = name.rpartition(".")
    while module and module not in modules:
        module, _, more = module.rpartition(".")
        rest = f"{more}.{rest}"
    found: Any = sys.modules.get(module)
    for part in rest.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found if isinstance(found, type) else None


def _is_there(kind: type) -> bool:
    """True when a class of this name, maybe of a later run of its cell, is in its module."""
    found = _defined(type_name(kind), (kind.__module__,))
    return found is not None and type_name(found) == type_name(kind)


def _scope(kind: type) -> str:
    """Where the class is defined: its module, and the function in it, if any."""
    inside, mark, _ = kind.__qualname__.rpartition("<locals>.")
    return f"{kind.__module__}.{inside}{mark}" if mark else kind.__module__


def _subclasses(kind: type) -> Iterator[type]:
    """All below it, in the order of their definition."""
    try:
        below: list[type] = kind.__subclasses__()
    except TypeError:  # `type` itself
        return
    for one in below:
        yield one
        yield from _subclasses(one)


def _of_a_known_library(name: str) -> type | None:
    """The class, where its library is one we know to hold plain values and is imported already."""
    module, _, kind = name.rpartition(".")
    if not module.startswith(_PLAIN_LIBRARIES):
        return None
    found = getattr(sys.modules.get(module), kind, None)
    return found if isinstance(found, type) else None


_PLAIN_LIBRARIES = ("langchain_core.messages.",)
registry = TypeRegistry()
register_type = registry.register
register_type(Several)  # part of a task's record
register_type(Overwrite)


def register_types_in(annotation: Any) -> None:
    """Register the user's types that a state field's annotation names, at any depth."""
    _walk(annotation, set())


def _walk(annotation: Any, seen: set[int]) -> None:
    if id(annotation) in seen:
        return
    seen.add(id(annotation))
    for part in _parts(annotation):
        _walk(part, seen)
    if isinstance(annotation, type) and annotation.__module__ not in _PLAIN_MODULES:
        registry.declare(annotation)
        try:
            hints = typing.get_type_hints(annotation, include_extras=True)
        except (NameError, TypeError, AttributeError):
            return
        for hint in hints.values():
            _walk(hint, seen)


def _parts(annotation: Any) -> Iterator[Any]:
    """What an annotation is made of: `Box[int]` of Box and int, a type alias of what it names."""
    yield from typing.get_args(annotation)
    for name in ("__value__", "__supertype__", "__bound__"):
        part = getattr(annotation, name, None) if not isinstance(annotation, type) else None
        if part is not None:
            yield part
    yield from getattr(annotation, "__constraints__", ()) or ()
    origin = typing.get_origin(annotation)
    if isinstance(origin, type):
        yield origin


_PLAIN_MODULES = frozenset({"builtins", "typing", "types", "collections", "collections.abc"})
