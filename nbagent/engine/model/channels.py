"""
What a state field holds and how the writes of one super-step become its next value. (R18)

Every kind has one method, `merge(current, writes)`: pure, given all writes of the super-step in
the order of reconciliation. `current` is MISSING for a field never written.

    LastValue   one writer a super-step; the value written
    Reduced     any number of writers; folded with the reducer
    Topic       any number of writers; the tuple of this super-step's writes, as a list
    Ephemeral   one writer; gone after the next super-step

Joins and triggers are channels too (`Barrier`, and names in `Checkpoint.control`), kept apart
from the state because no person edits them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nbagent.engine.model.fact import fact
from nbagent.engine.model.values import MISSING, FrozenList
from nbagent.errors import ConflictError, StateError, said


@fact
class Write:
    """One node's write to one field. `task` is its id in the super-step."""

    node: str
    task: str
    value: Any


@dataclass(frozen=True, slots=True)
class LastValue:
    """Keeps the value written; two writers in one super-step are a conflict."""

    field: str
    transient = False
    folds = False

    def merge(self, current: Any, writes: Sequence[Write]) -> Any:
        if len(writes) > 1:
            raise _conflict(self.field, writes)
        return writes[0].value


@dataclass(frozen=True, slots=True)
class Ephemeral:
    """Keeps the value written for one super-step; then the field is absent again."""

    field: str
    transient = True
    folds = False

    def merge(self, current: Any, writes: Sequence[Write]) -> Any:
        if len(writes) > 1:
            raise _conflict(self.field, writes)
        return writes[0].value


@dataclass(frozen=True, slots=True)
class Topic:
    """Collects one super-step's writes into a list, which is gone after the next."""

    field: str
    transient = True
    folds = False

    def merge(self, current: Any, writes: Sequence[Write]) -> Any:
        return [write.value for write in writes]


@dataclass(frozen=True, slots=True)
class Reduced:
    """Folds writes with `reducer(current, written)`, in the order of reconciliation.

    The first write to an absent field becomes its value unreduced.
    """

    field: str
    reducer: Callable[[Any, Any], Any]
    transient = False
    folds = True  # what is written is merged into what is there

    def merge(self, current: Any, writes: Sequence[Write]) -> Any:
        if self.reducer is operator.add and _all_lists(current, writes):
            grown: FrozenList = current.grown(item for write in writes for item in write.value)
            return grown
        for write in writes:
            if current is MISSING:
                current = write.value
                continue
            try:
                current = self.reducer(current, write.value)
            except BaseException as error:  # its own, sys.exit() included
                raise StateError(
                    f"the reducer of {self.field!r}, {_name(self.reducer)}, failed on what node "
                    f"{write.node!r} wrote ({type(error).__name__}: {said(error)}): "
                    "let the node write what the reducer takes",
                    field=self.field,
                    node=write.node,
                ) from error
        return current


@dataclass(frozen=True, slots=True)
class Barrier:
    """Collects the names of those who arrived; full when all `sources` have."""

    sources: tuple[str, ...]

    def merge(self, arrived: tuple[str, ...], names: Sequence[str]) -> tuple[str, ...]:
        """Those who have arrived now, in the order of `sources`."""
        present = {*arrived, *names}
        return tuple(source for source in self.sources if source in present)

    def is_full(self, arrived: tuple[str, ...]) -> bool:
        return len(arrived) == len(self.sources)


Channel = LastValue | Reduced | Ephemeral | Topic


def _conflict(field: str, writes: Sequence[Write]) -> ConflictError:
    nodes = [write.node for write in writes]
    named = " and ".join(repr(name) for name in dict.fromkeys(nodes))
    return ConflictError(
        f"field {field!r} was written by {named} in one super-step and has no reducer: "
        f"declare it as Annotated[…, reducer] to merge the writes, or let one node write it",
        field=field,
        nodes=nodes,
    )


def _all_lists(current: Any, writes: Sequence[Write]) -> bool:
    """`operator.add` on lists is the reducer of every message log: it must cost what it adds."""
    return type(current) is FrozenList and all(type(write.value) is FrozenList for write in writes)


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", None) or repr(function)
