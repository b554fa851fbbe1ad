"""
The state as one reader gets it: `state[field]`. See `values`, rule 3.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from nbagent.engine.model.values import ATOMS, FrozenDict, isolate
from nbagent.errors import nearest


class StateView(FrozenDict):
    """The state as a node of a TypedDict graph reads it: a field becomes the node's own when it
    is first read.

    names  those that the state has, and those of what is kept from a class that had them
    own    those that have been read
    """

    __slots__ = ("names", "own")
    names: tuple[Collection[str], Sequence[str]]
    own: tuple[str, ...]

    def __getitem__(self, name: Any) -> Any:
        value = dict.__getitem__(self, name)
        if type(value) in ATOMS or name in self.own:
            return value
        self.own += (name,)
        value = isolate(value)
        dict.__setitem__(self, name, value)
        return value

    def __missing__(self, name: Any) -> Any:
        fields, aside = self.names
        if name not in fields:
            raise KeyError(f"{name!r} is not a field of the state{nearest(str(name), fields)}")
        raise KeyError(
            f"{name!r} has not been written yet: give it in the input, or read it with "
            f"state.get({name!r}){perhaps_renamed(aside)}"
        )

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name not in StateView.__slots__ and name in self.names[0]:
            raise AttributeError(f"a field is read as state[{name!r}], not as state.{name}")
        raise AttributeError(f"the state of a node has no attribute {name!r}")

    def get(self, name: Any, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401  (this is that `get`)

    def __iter__(self) -> Iterator[str]:
        return dict.__iter__(self)  # said here, so that `dict(state)` asks __getitem__

    def items(self) -> Any:
        return self._all().items()

    def values(self) -> Any:
        return self._all().values()

    def _all(self) -> dict[str, Any]:
        return {name: self[name] for name in self}

    def __or__(self, other: Any) -> Any:
        return self._all() | other

    def __ror__(self, other: Any) -> Any:
        return other | self._all()

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[Any, Any]:
        return copy.deepcopy(self._all(), memo)


def perhaps_renamed(aside: Sequence[str]) -> str:
    """The hint where a field is missing and the thread holds others that the class had once."""
    if not aside:
        return ""
    return (
        f" (the thread keeps {', '.join(map(repr, aside))} from an earlier state class: where a "
        "field was renamed, Graph(…, migrate=function) gives it that)"
    )


def view_of(values: Mapping[str, Any], names: tuple[Collection[str], Sequence[str]]) -> StateView:
    """The state as one reader gets it: `state[field]`."""
    view: StateView = dict.__new__(StateView)
    dict.update(view, values)
    view.names, view.own = names, ()
    return view
