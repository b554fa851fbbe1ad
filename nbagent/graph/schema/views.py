"""
The state as a node reads it: a dict of a TypedDict's fields, or an object of the state class.

What is read of either is the reader's own (see `engine.model.values`), and rebuilding, copying or
dumping it gives the plain thing: `type(state)(…)`, `dataclasses.replace`, `copy`, `pickle`.
"""

from __future__ import annotations

import copy
import dataclasses
import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import pydantic_core

from nbagent.engine.model.state_view import view_of
from nbagent.engine.model.values import isolate
from nbagent.errors import StateError, nearest

View = Callable[[Mapping[str, Any], Sequence[str]], Any]  # values, and what is kept aside


def dict_view(fields: Collection[str]) -> View:
    """What makes a view of values for the nodes of a TypedDict graph."""
    known = (fields, ())
    return lambda values, aside: view_of(values, (fields, aside) if aside else known)


def object_view(state: type, fields: Collection[str]) -> View:
    """What makes a view of values as a read-only object of the state class."""
    reader = _reader_of(state, fields)
    is_model = hasattr(state, "model_fields")

    def view(values: Mapping[str, Any], aside: Sequence[str]) -> Any:
        made: Any = object.__new__(reader)
        own = {name: isolate(value) for name, value in values.items()}
        if is_model:
            object.__setattr__(made, "__pydantic_extra__", None)
            object.__setattr__(made, "__pydantic_private__", _private(state, own))
            object.__setattr__(made, "__pydantic_fields_set__", set(values))
        for name, value in own.items():
            object.__setattr__(made, name, value)
        return made

    return view


def _private(state: Any, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """A model's private attributes: as `model_post_init` makes them of the fields, where all
    that it needs has been written; else as they are by default."""
    if not state.__private_attributes__:
        return None
    try:
        whole = state.model_construct(set(values), **values)
        return dict(whole.__pydantic_private__ or {})
    except Exception:  # the user's code, on a state that is not complete yet
        return {
            name: attribute.get_default()
            for name, attribute in state.__private_attributes__.items()
            if attribute.default is not pydantic_core.PydanticUndefined
            or attribute.default_factory is not None
        }


def _reader_of(state: type, fields: Collection[str]) -> type:
    def make(cls: type, *args: Any, **kwargs: Any) -> Any:
        return state(*args, **kwargs)

    def refuse(self: Any, name: str, *value: Any) -> None:
        raise StateError(
            f"a node cannot set state.{name}: return {{{name!r}: new_value}} instead", field=name
        )

    def lacks(self: Any, name: str) -> Any:
        inherited = getattr(state, "__getattr__", None)
        if inherited is not None and name not in fields:
            try:
                return inherited(self, name)
            except AttributeError:
                pass
        if name in fields:
            said = f"{name!r} has not been written yet: give it in the input, or give it a default"
        else:
            said = f"the state has no {name!r}{nearest(name, fields)}"
        raise AttributeError(said, name=name, obj=None)

    def written(self: Any) -> Iterable[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in fields if hasattr(self, name)]

    def plain(self: Any) -> Any:
        made: Any = object.__new__(state)
        for name, value in written(self):
            object.__setattr__(made, name, value)
        for slot in _SLOTS:
            if hasattr(self, slot):
                object.__setattr__(made, slot, copy.copy(getattr(self, slot)))
        return made

    def same(self: Any, other: Any) -> Any:
        mine = plain(self)
        return mine == (plain(other) if type(other) is type(self) else other)

    namespace: dict[str, Any] = {
        "__new__": make,
        "__setattr__": refuse,
        "__delattr__": refuse,
        "__getattr__": lacks,
        "__handed_out__": written,
        "__copy__": plain,
        "__deepcopy__": lambda self, memo: copy.deepcopy(plain(self), memo),
        "__reduce_ex__": lambda self, protocol: (operator.itemgetter(0), ((plain(self),),)),
        "__module__": state.__module__,
        "__qualname__": state.__qualname__,
        "__doc__": state.__doc__,
    }
    if dataclasses.is_dataclass(state):
        namespace["__eq__"] = same
        namespace["__hash__"] = None
    return type(state)(state.__name__, (state,), namespace)


_SLOTS = ("__pydantic_extra__", "__pydantic_private__", "__pydantic_fields_set__")
