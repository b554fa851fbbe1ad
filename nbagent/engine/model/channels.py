"""
What a state field holds and how the writes of one super-step become its next value. (R18)

    LastValue   one writer a super-step; the value written
    Reduced     any number of writers; folded with the reducer
    Topic       any number of writers; this super-step's writes, as a list
    Ephemeral   one writer; gone after the next super-step
    Untracked   one writer; for the run only, and never stored

Rule 1: all that one kind does otherwise than another stands in its class; nobody asks which kind
        a channel is. A new kind is a class here, and a field is of that kind when its annotation
        names the class: `Annotated[T, Kind]`.
Rule 2: `merge` is pure. It gets all writes of the super-step in the order of reconciliation;
        `current` is MISSING for a field never written.

Joins and triggers are channels too (`Barrier`, and names in `Checkpoint.control`), kept apart
from the state because no person edits them.
"""

from __future__ import annotations

import inspect
import operator
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, ClassVar

from nbagent.engine.model.fact import fact
from nbagent.engine.model.several import Overwrite, Several, each_write
from nbagent.engine.model.untouched import is_untouched
from nbagent.engine.model.values import (
    MISSING,
    FrozenDict,
    FrozenList,
    bring_back,
    equal,
    freeze,
    isolate,
)
from nbagent.errors import ConflictError, StateError, said

UNCHECKED: Any = Any
"""What a write is where nothing says what it should be."""


@fact
class Write:
    """One node's write to one field. `task` is its id in the super-step."""

    node: str
    task: str
    value: Any


def writes_of(node: str, task: str, value: Any) -> list[Write]:
    """What a task's record holds for a field, as the writes that it is."""
    return [Write(node, task, one) for one in each_write(value)]


@dataclass(frozen=True, slots=True)
class Channel:
    """One field's channel; the methods are those of a field that holds what was written last.

    transient     the field is absent again after the next super-step
    begins_empty  it begins with its type's empty value, where it has one
    is_shared     a subgraph whose state has it too gives back what it made of it
    is_given      and begins with what the parent has
    stored        its value is part of the state; else only the run has it
    folds         a write is merged into what is there, and does not take its place
    """

    field: str
    transient: ClassVar[bool] = False
    begins_empty: ClassVar[bool] = False
    is_shared: ClassVar[bool] = True
    is_given: ClassVar[bool] = True
    folds: ClassVar[bool] = False
    stored: ClassVar[bool] = True

    def merge(self, current: Any, writes: Sequence[Write]) -> Any:
        """The field's next value, of at least one write."""
        if len(writes) > 1:
            raise _conflict(self.field, writes)
        return writes[0].value

    def write_type(self, annotation: Any) -> Any:
        """What one write is, where the field is of the type `annotation`."""
        return annotation

    def is_checked(self, before: Any, after: Any) -> bool:
        """True when `after`, which merge made of `before`, fits because its writes did."""
        return True

    def of_input(self, value: Any) -> Iterable[Any]:
        """The writes that an input is which gives the field's whole value."""
        return (value,)

    def change(self, before: Any, after: Any) -> Any:
        """What to write, so that `merge` makes `after` of `before`."""
        return after

    def folds_like(self, inner: Channel) -> bool:
        """True when a subgraph's writes to its own `inner` are this one's, one after another."""
        return False

    def together(self, values: Sequence[Any]) -> Any:
        """Several writes, at least one, as what one task's record holds of them."""
        return values[0] if len(values) == 1 else Several(tuple(values))

    def problem(self) -> str:
        """What is wrong with how it was declared; "" for nothing."""
        return ""


@dataclass(frozen=True, slots=True)
class LastValue(Channel):
    """Keeps the value written; two writers in one super-step are a conflict."""


@dataclass(frozen=True, slots=True)
class Ephemeral(Channel):
    """Keeps the value written for one super-step; then the field is absent again."""

    transient = True
    is_shared = False


@dataclass(frozen=True, slots=True)
class Untracked(Channel):
    """Keeps the value written for as long as the run goes on, in this process, and never stores it:
    `client: Annotated[Client, Untracked]`. What resumes the thread has none until a node writes
    one. A subgraph whose state has the field reads its parent's."""

    is_shared = False
    is_given = False
    stored = False


@dataclass(frozen=True, slots=True)
class Topic(Channel):
    """Collects one super-step's writes into a list, which is gone after the next."""

    transient = True
    is_shared = False
    is_given = False

    def merge(self, current: Any, writes: Sequence[Write]) -> Any:
        return [write.value for write in writes]

    def write_type(self, annotation: Any) -> Any:
        """One item."""
        if typing.get_origin(annotation) is typing.Annotated:
            annotation = typing.get_args(annotation)[0]
        if (typing.get_origin(annotation) or annotation) is not list:
            return annotation
        return (*typing.get_args(annotation), UNCHECKED)[0]

    def of_input(self, value: Any) -> Iterable[Any]:
        return list(value.value if type(value) is Overwrite else value)


@dataclass(frozen=True, slots=True)
class Reduced(Channel):
    """Folds writes with `reducer(current, written)`, in the order of reconciliation.

    The first write to an absent field becomes its value unreduced. What one write may be, the
    reducer's second parameter says; what it returns must be of the field's type.
    """

    reducer: Callable[[Any, Any], Any]
    begins_empty = True
    folds = True

    def merge(self, current: Any, writes: Sequence[Write]) -> Any:
        if self.reducer is operator.add and _all_are(FrozenList, current, writes):
            grown: FrozenList = current.grown(item for write in writes for item in write.value)
            return grown
        if self.reducer is operator.or_ and _all_are(FrozenDict, current, writes):
            first: FrozenDict = writes[0].value
            for write in writes[1:]:
                first = first.merged(write.value)
            merged: FrozenDict = current.merged(first)
            return merged
        if any(type(write.value) is Overwrite for write in writes):
            current, writes = _overwritten(self.field, writes)
        lent: list[Any] = []
        for write in writes:
            if current is MISSING:
                current = write.value
                continue
            value = write.value
            if not self._takes_its_own:
                # What a reducer changes in place is its own copy, and it is told.
                current, value = isolate(current), isolate(value)
                lent += (current, value)
            try:
                current = self.reducer(current, value)
            except BaseException as error:  # its own, sys.exit() included
                raise StateError(
                    f"the reducer of {self.field!r}, {_name(self.reducer)}, failed on what node "
                    f"{write.node!r} wrote ({type(error).__name__}: {said(error)}): "
                    "let the node write what the reducer takes",
                    field=self.field,
                    node=write.node,
                ) from error
        if not all(map(is_untouched, lent)):
            raise StateError(
                f"the reducer of {self.field!r}, {_name(self.reducer)}, changed in place what it "
                "was given, with something like heapq.heappush: let it change a copy, as in "
                "`new = list(old)`, and return that",
                field=self.field,
            )
        for value in lent:
            bring_back(value)
        return current

    @property
    def _takes_its_own(self) -> bool:
        """True for reducers known to change nothing, whose two arguments are of one type."""
        return any(self.reducer is one for one in _OPERATORS)

    def write_type(self, annotation: Any) -> Any:
        if self._takes_its_own:
            return annotation
        try:
            names = list(inspect.signature(self.reducer).parameters)
            hints = typing.get_type_hints(self.reducer, include_extras=True)
        except (TypeError, ValueError, NameError, AttributeError):
            return UNCHECKED
        found = hints.get(names[1], UNCHECKED) if len(names) > 1 else UNCHECKED
        return UNCHECKED if _has_variables(found) else found

    def folds_like(self, inner: Channel) -> bool:
        return type(inner) is type(self) and inner.reducer == self.reducer

    def together(self, values: Sequence[Any]) -> Any:
        if self.reducer is operator.add and all(type(value) is FrozenList for value in values):
            return freeze([item for value in values for item in value])
        return Channel.together(self, values)

    def is_checked(self, before: Any, after: Any) -> bool:
        is_known = type(after) is FrozenList or type(after) is FrozenDict
        return self._takes_its_own and is_known and after.grew_from(before)

    def change(self, before: Any, after: Any) -> Any:
        if before is MISSING:
            return after
        for change in _candidates(before, after):
            try:
                write = Write("", "", freeze(change))
                if equal(freeze(self.merge(before, [write])), after):
                    return write.value
            except Exception:  # the reducer does not take this kind of change
                continue
        raise StateError(
            f"field {self.field!r} is shared with a subgraph, and its reducer gives no way to "
            "tell what the subgraph added: say what to write with node(graph, outputs=function)",
            field=self.field,
        )

    def problem(self) -> str:
        try:
            inspect.signature(self.reducer).bind(None, None)
        except ValueError:
            return ""  # a built-in that does not say what it takes
        except TypeError as error:
            return (
                f"the reducer of field {self.field!r}, {_name(self.reducer)}, does not take two "
                f"values ({error}): it is called with what is there and what a node wrote"
            )
        return ""


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


def channel_of(field: str, metadata: Sequence[Any]) -> Channel:
    """The channel that a field's `Annotated` metadata asks for; by default it keeps what was
    written last."""
    for item in metadata:
        if isinstance(item, type) and issubclass(item, Channel):
            return item(field)
    for item in metadata:
        if callable(item):
            return Reduced(field, item)
    return LastValue(field)


_OPERATORS: tuple[Any, ...] = (
    *(operator.add, operator.concat, operator.or_, operator.and_, operator.xor, max, min),
)


def _conflict(field: str, writes: Sequence[Write]) -> ConflictError:
    nodes = [write.node for write in writes]
    named = " and ".join(repr(name) for name in dict.fromkeys(nodes))
    return ConflictError(
        f"field {field!r} was written by {named} in one super-step and has no reducer: "
        f"declare it as Annotated[…, reducer] to merge the writes, or let one node write it",
        field=field,
        nodes=nodes,
    )


def _overwritten(field: str, writes: Sequence[Write]) -> tuple[Any, Sequence[Write]]:
    """The value that takes the field's place, and what the same task has written behind it."""
    tasks = [write.task for write in writes if type(write.value) is Overwrite]
    if len(set(tasks)) > 1:
        nodes = [write.node for write in writes if type(write.value) is Overwrite]
        named = " and ".join(repr(name) for name in dict.fromkeys(nodes))
        raise ConflictError(
            f"field {field!r} was overwritten by {named} in one super-step: let one node do so",
            field=field,
            nodes=nodes,
        )
    own = [write for write in writes if write.task == tasks[0]]
    last = max(at for at, write in enumerate(own) if type(write.value) is Overwrite)
    return own[last].value.value, own[last + 1 :]


def _candidates(before: Any, after: Any) -> Iterator[Any]:
    """What may lead from `before` to `after`, the smallest first."""
    if isinstance(after, Mapping) and isinstance(before, Mapping):
        yield {k: v for k, v in after.items() if not equal(before.get(k, MISSING), v)}
    elif isinstance(after, AbstractSet) and isinstance(before, AbstractSet):
        yield after - before
    elif isinstance(after, Sequence) and isinstance(before, Sequence):
        if equal(freeze(after[: len(before)]), before):
            yield after[len(before) :]
    elif isinstance(after, (int, float, complex)) and isinstance(before, (int, float, complex)):
        yield after - before
    yield after


def _all_are(kind: type, current: Any, writes: Sequence[Write]) -> bool:
    """True for what `operator.add` makes of lists, and `operator.or_` of dicts: the reducers of
    every message log and table must cost what is written."""
    return type(current) is kind and all(type(write.value) is kind for write in writes)


def _has_variables(annotation: Any) -> bool:
    return isinstance(annotation, typing.TypeVar) or bool(getattr(annotation, "__parameters__", ()))


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", None) or repr(function)
