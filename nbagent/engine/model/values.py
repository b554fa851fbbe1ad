"""
The isolated snapshot that a node reads. (R14, R15, R19)

Rule 1: a value is frozen once, when it is written; what is frozen already is kept by identity,
        so freezing costs what changed, not the size of the state.
Rule 2: lists, dicts and sets become subclasses that read like the originals and whose mutators
        raise a `StateError` that says what to do instead.
Rule 3: what cannot be frozen (a DataFrame, a custom object) is *opaque*: copied when written and
        copied again for each node that reads it.
Rule 4: `thaw` gives a private copy that may be changed at will.

C code that changes a list without calling its methods (`heapq.heappush`) gets past rule 2. Lists
know how long they were, so that `check_untouched` finds it before anything is committed.
"""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import pathlib
import types
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from nbagent.engine import ports
from nbagent.engine.model.secrets import Secret
from nbagent.errors import CodecError, StateError

_ATOMS: frozenset[type] = frozenset(
    (
        type(None),
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        range,
        type(Ellipsis),
        decimal.Decimal,
        uuid.UUID,
        datetime.datetime,
        datetime.date,
        datetime.time,
        datetime.timedelta,
        datetime.timezone,
        types.FunctionType,
        types.BuiltinFunctionType,
        type,
    )
)
_IMMUTABLE_BASES = (enum.Enum, pathlib.PurePath, datetime.tzinfo, Secret)


class _Missing:
    """The value of a field that was never written."""

    _instance: _Missing | None = None

    def __new__(cls) -> _Missing:
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING = _Missing()


def _refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
    kind = type(self).__mro__[1].__name__
    raise StateError(
        f"a node cannot change the {kind} that it reads from the state: "
        "return the new value instead, as in `return {field: new_value}` "
        "(`nbagent.thaw(value)` gives a private copy that can be changed)"
    )


class FrozenList(list):  # type: ignore[type-arg]
    """A list that cannot be changed. `opaque` is True when something inside must be copied.

    `token` stands for this very list, and `stem` for the one that `grown` made it from, so that
    a store knows what was appended without comparing what was not.
    """

    __slots__ = ("opaque", "size", "stem", "token")
    opaque: bool
    size: int
    token: object
    stem: object

    append = extend = insert = pop = remove = clear = sort = reverse = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse

    def grown(self, items: Iterable[Any]) -> FrozenList:
        """This list with `items` behind it: the cost is that of the new items."""
        added = frozen_list(items)
        result = FrozenList(self)
        list.extend(result, added)
        result.opaque = self.opaque or added.opaque
        result.size = len(result)
        result.token = object()
        result.stem = self.token
        return result

    def grew_from(self, earlier: Any) -> bool:
        """True when this is known to be `earlier` with items behind it."""
        return type(earlier) is FrozenList and self.stem is earlier.token

    def __copy__(self) -> list[Any]:
        return list(self)

    def copy(self) -> list[Any]:
        return list(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        return [copy.deepcopy(item, memo) for item in self]

    def __reduce__(self) -> tuple[Any, ...]:
        return (list, (list(self),))


class FrozenDict(dict):  # type: ignore[type-arg]
    """A dict that cannot be changed. `opaque` is True when something inside must be copied."""

    __slots__ = ("opaque",)
    opaque: bool

    __setitem__ = __delitem__ = __ior__ = _refuse
    update = setdefault = pop = popitem = clear = _refuse

    def __copy__(self) -> dict[Any, Any]:
        return dict(self)

    def copy(self) -> dict[Any, Any]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[Any, Any]:
        return {key: copy.deepcopy(value, memo) for key, value in self.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        return (dict, (dict(self),))


class FrozenSet(set):  # type: ignore[type-arg]
    """A set that cannot be changed; its members are hashable and need no copy."""

    __slots__ = ()

    add = discard = remove = pop = clear = update = _refuse
    difference_update = intersection_update = symmetric_difference_update = _refuse
    __ior__ = __iand__ = __ixor__ = __isub__ = _refuse

    def __copy__(self) -> set[Any]:
        return set(self)

    def copy(self) -> set[Any]:
        return set(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> set[Any]:
        return set(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return (set, (set(self),))


def is_opaque(value: Any) -> bool:
    """True when a frozen `value` holds something that must be copied for each reader."""
    kind = type(value)
    if kind in _ATOMS or kind is FrozenSet or kind is frozenset:
        return False
    if kind is FrozenList or kind is FrozenDict:
        return bool(value.opaque)
    if kind is tuple:
        return any(is_opaque(item) for item in value)
    return not isinstance(value, _IMMUTABLE_BASES)


def freeze(value: Any) -> Any:
    """The immutable form of `value`; the same object when it is frozen already."""
    kind = type(value)
    if kind in _ATOMS or kind is FrozenList or kind is FrozenDict or kind is FrozenSet:
        return value
    if kind is list:
        return frozen_list(value)
    if kind is dict:
        return frozen_dict(value)
    if kind is tuple:
        items = tuple(freeze(item) for item in value)
        return value if all(map(_same, items, value)) else items
    if kind is set:
        return FrozenSet(value)
    if kind is frozenset or isinstance(value, _IMMUTABLE_BASES):
        return value
    return copy_opaque(value)


def frozen_list(items: Iterable[Any]) -> FrozenList:
    """A `FrozenList` of the items, frozen."""
    frozen = FrozenList(items)
    frozen.opaque = False
    if not _ATOMS.issuperset(map(type, frozen)):  # long lists are mostly of texts or numbers
        frozen = FrozenList(map(freeze, frozen))
        frozen.opaque = any(map(is_opaque, frozen))
    frozen.size = len(frozen)
    frozen.token = object()
    frozen.stem = None
    return frozen


def frozen_dict(mapping: Mapping[Any, Any]) -> FrozenDict:
    """A `FrozenDict` of the mapping's items, values frozen, order kept."""
    return seal({key: freeze(item) for key, item in mapping.items()})


def seal(mapping: Mapping[Any, Any]) -> FrozenDict:
    """A `FrozenDict` of items that are frozen already; each stays the object that it is."""
    frozen = FrozenDict(mapping)
    frozen.opaque = any(map(is_opaque, frozen.values()))
    return frozen


def replaced(
    before: Mapping[str, Any], written: Mapping[str, Any], transient: Iterable[str] = ()
) -> FrozenDict:
    """`before` without what is transient, and with what was written, frozen already; each of the
    others stays the object that it is, in its place."""
    made = FrozenDict(before)
    for key in transient:
        if key not in written:
            dict.pop(made, key, None)
    dict.update(made, written)
    looked_at = made if getattr(before, "opaque", True) else written
    made.opaque = any(map(is_opaque, looked_at.values()))
    return made


def isolate(value: Any) -> Any:
    """A frozen value as one reader gets it: shared where immutable, copied where opaque."""
    if not is_opaque(value):
        return value
    if type(value) is FrozenList:
        fresh = FrozenList([isolate(item) for item in value])
        fresh.opaque, fresh.token, fresh.stem, fresh.size = True, object(), None, len(fresh)
        return fresh
    if type(value) is FrozenDict:
        isolated = FrozenDict((key, isolate(item)) for key, item in value.items())
        isolated.opaque = True
        return isolated
    if type(value) is tuple:
        return tuple(isolate(item) for item in value)
    return copy_opaque(value)


def thaw(value: Any) -> Any:
    """A private, mutable copy of a value read from the state."""
    kind = type(value)
    if kind is FrozenList or kind is list:
        return [thaw(item) for item in value]
    if kind is dict or isinstance(value, FrozenDict):
        return {key: thaw(item) for key, item in value.items()}
    if type(value) is FrozenSet:
        return set(value)
    if type(value) is tuple:
        return tuple(thaw(item) for item in value)
    return copy_opaque(value) if is_opaque(value) else value


def frozen_fields(written: Mapping[str, Any], node: str) -> FrozenDict:
    """What a node wrote, frozen; a refusal names the field and the node."""
    frozen: dict[str, Any] = {}
    for name, value in written.items():
        who = f"field {name!r} (written by node {node!r})"
        try:
            frozen[name] = freeze(value)
        except StateError as error:
            raise StateError(f"{who}: {error}", field=name, node=node) from error
        except RecursionError:
            raise CodecError(
                f"{who}: the value is nested too deep, or it is part of itself: keep what is in "
                "it by name, as a dict of parts does",
                field=name,
                node=node,
            ) from None
    return seal(frozen)


def check_untouched(values: Mapping[str, Any]) -> None:
    """`StateError` when a list of the state was changed behind its methods' backs."""
    for name, value in values.items():
        if type(value) is FrozenList and len(value) != value.size:
            raise StateError(
                f"field {name!r} was changed in place, by something like heapq.heappush, which "
                "does not ask the list: change a copy, as in `queue = nbagent.thaw(state"
                f"[{name!r}])`, and return it",
                field=name,
            )


def copy_opaque(value: Any) -> Any:
    """A private copy of a value that cannot be frozen; `StateError` if it cannot be copied."""
    kind = type(value)
    try:
        return (ports.find_copier(kind) or copy.deepcopy)(value)
    except RecursionError:  # it is part of itself
        raise
    except Exception as error:
        raise StateError(
            f"a {kind.__qualname__} cannot be kept in the state, because it cannot be copied "
            f"({error}): keep the data that it is made from instead"
        ) from error


def _same(a: Any, b: Any) -> bool:
    return a is b


def equal(a: Any, b: Any) -> bool:
    """Equal and of the same type. False for values, such as tables, that compare to no single
    truth: a new object of such a kind is a change."""
    if a is b:
        return True
    try:
        return type(a) is type(b) and bool(a == b)
    except Exception:
        return False
