"""
The isolated snapshot that a node reads. (R14, R15, R19)

Rule 1: a value is frozen once, when it is written; what is frozen already is kept by identity,
        so freezing costs what changed, not the size of the state.
Rule 2: lists, dicts and sets become subclasses that read like the originals, are rebuilt, copied
        and dumped as the originals, and whose mutators raise a `StateError` that says what to do.
Rule 3: each reader gets lists, dicts and sets of its own, made when it first reads the field, and
        copies of what cannot be frozen (a DataFrame, a custom object), which is *opaque*.
Rule 4: what one reader's copy was made from is known, so writing it back is no change.
Rule 5: `thaw` gives a private copy that may be changed at will.

Why rule 3: C code changes a list without calling its methods (`heapq.heappush`, `list.append(x,
…)`). Such a change stays in the reader's own copy: no sibling sees it, the checkpoint never has
it, and `check_untouched` finds it by comparing the copy with what it was made from, both at the
speed of C. A kept tuple beside each shared list would find it as well, but only after a sibling
has read it, and could not say whose change it was.

What it costs: a list of texts or numbers, or a dict of them, is copied and compared, about 3 ns an
item of a list and 10 ns a key of a dict. A dict in a list costs 0.4 us where it is copied. So the
copy of a reader who has returned is lent to the next (see `spares`), also after the list has grown:
0.08 us a dict of two keys where the memory is warm, 0.13 us in a chat of 1,000 messages, a quarter
of it for the comparison and the rest for what says that it may be lent.
"""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import pathlib
import types
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from nbagent.engine import ports
from nbagent.engine.model.missing import MISSING as MISSING
from nbagent.engine.model.outcome import Outcome
from nbagent.engine.model.secrets import Secret
from nbagent.engine.model.several import Overwrite, Several
from nbagent.engine.model.spares import Shelf, Spare
from nbagent.errors import StateError

ATOMS: frozenset[type] = frozenset(
    (
        type(None), bool, int, float, complex, str, bytes, range, type(Ellipsis), decimal.Decimal,
        uuid.UUID, datetime.datetime, datetime.date, datetime.time, datetime.timedelta,
        datetime.timezone, types.FunctionType, types.BuiltinFunctionType, type,
    )
)  # fmt: skip
_MANY = 32  # items; a copy of fewer is made sooner than a spare is looked over
_IMMUTABLE_BASES = (enum.Enum, pathlib.PurePath, datetime.tzinfo, Secret, Several, Overwrite)


class _Plain(type):
    """The class of what looks like a plain list, dict or set: libraries that look a type up by
    its `__mro__` (yaml's dumpers, `functools.singledispatch`) find the plain one."""

    @property
    def __mro__(cls) -> tuple[type, ...]:
        known: tuple[type, ...] = type.__dict__["__mro__"].__get__(cls)
        return tuple(kind for kind in known if not isinstance(kind, _Plain))


def _refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
    kind = type(self).__mro__[0].__name__
    raise StateError(
        f"a node cannot change the {kind} that it reads from the state: "
        "return the new value instead, as in `return {field: new_value}` "
        "(`nbagent.thaw(value)` gives a private copy that can be changed)"
    )


class FrozenList(list, metaclass=_Plain):  # type: ignore[type-arg]
    """A list that cannot be changed. `opaque` is True when something inside must be copied.

    nested  something inside is a container or opaque, so each reader gets its own of that, too
    origin  what this reader's copy was made from; None for the value itself
    token   stands for this very list, and `stem` for the one that `grown` made it from, so that
            a store knows what was appended without comparing what was not
    shelf   the spare copies of what is inside, where readers have brought some back
    spare   the one that this reader's copy is of, until it is brought back
    lent    of a reader's copy of which only some items are the reader's own yet: place -> item

    A copy inside of another has only its origin: `_opaque` tells.
    """

    __slots__ = ("lent", "nested", "opaque", "origin", "shelf", "spare", "stem", "token")
    lent: dict[int, Any] | None
    nested: bool
    opaque: bool
    origin: FrozenList | None
    token: object
    stem: object
    shelf: Shelf
    spare: Spare

    def __new__(cls, *args: Any) -> Any:
        return list(*args)  # `type(x)(…)` builds a list anew

    append = extend = insert = pop = remove = clear = sort = reverse = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse

    def grown(self, items: Iterable[Any]) -> FrozenList:
        """This list with `items` behind it: the cost is that of the new items."""
        added = frozen_list(items)
        made = _new_list(self[:])
        list.extend(made, added[:])
        made.opaque, made.nested = self.opaque or added.opaque, self.nested or added.nested
        made.token, made.stem, made.origin = object(), self.token, None
        if made.nested:
            with suppress(AttributeError):
                made.shelf = self.shelf  # who reads on reads this one: copies only lack its end
                del self.shelf
        return made

    def grew_from(self, earlier: Any) -> bool:
        """True when this is known to be `earlier` with items behind it."""
        return type(earlier) is FrozenList and self.stem is earlier.token

    def __getitem__(self, at: Any) -> Any:
        found = list.__getitem__(self, at)
        return found if self.lent is None else self._own(at, found)

    def _own(self, at: Any, found: Any) -> Any:
        """What is at a place, as this reader's own."""
        if type(at) is slice:
            places = range(len(self))[at]
            if len(places) < _MANY:
                return [self[place] for place in places]
            self._fill()
            return list.__getitem__(self, at)
        lent, place = self.lent, at.__index__()
        place += len(self) if place < 0 else 0
        if type(found) in ATOMS or lent is None or place in lent:
            return found
        lent[place] = own = isolate(found)
        list.__setitem__(self, place, own)
        return own

    def _fill(self) -> None:
        """Make all items the reader's own: they are about to be handed out."""
        lent, origin = self.lent, self.origin
        if lent is None or origin is None:
            return
        if list.__eq__(self, origin):
            spare = _spare_of(origin)
            items = spare.content[:]
            for place, item in lent.items():
                items[place] = item
            self.spare = spare
        else:  # changed behind its back, which is found when the reader returns
            known = set(map(id, lent.values()))
            items = [i if id(i) in known else isolate(i) for i in list.__iter__(self)]
        list.__setitem__(self, slice(None), items)
        self.lent = None  # the last: another of the reader's threads may look meanwhile

    def __iter__(self) -> Iterator[Any]:
        if self.lent is not None:
            self._fill()
        return list.__iter__(self)

    def __reversed__(self) -> Iterator[Any]:
        self._fill()
        return list.__reversed__(self)

    def __add__(self, other: Any) -> Any:
        self._fill()
        return list.__add__(self, list(other) if type(other) is FrozenList else other)

    def __radd__(self, other: Any) -> Any:
        return other + list(self) if isinstance(other, list) else NotImplemented

    def __mul__(self, times: Any) -> Any:
        self._fill()
        return list.__mul__(self, times)

    __rmul__ = __mul__

    def __copy__(self) -> list[Any]:
        return list(self)

    def copy(self) -> list[Any]:
        return list(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        return [copy.deepcopy(item, memo) for item in self]

    def __reduce__(self) -> tuple[Any, ...]:
        return (list, (list(self),))


class FrozenDict(dict, metaclass=_Plain):  # type: ignore[type-arg]
    """A dict that cannot be changed. The attributes are as in a `FrozenList`, but for

    token   there only when another was `merged` from it
    added   the keys that were set then
    """

    __slots__ = ("added", "nested", "opaque", "origin", "shelf", "spare", "stem", "token")
    added: tuple[Any, ...]
    token: object
    stem: object
    nested: bool
    opaque: bool
    origin: FrozenDict | None
    shelf: Shelf
    spare: Spare

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return dict(*args, **kwargs)

    __setitem__ = __delitem__ = __ior__ = _refuse
    update = setdefault = pop = popitem = clear = _refuse

    def merged(self, items: FrozenDict) -> FrozenDict:
        """This dict with `items` written over it: what it costs beside a copy is their number."""
        if not hasattr(self, "token"):
            self.token = object()
        made = _new_dict(self)
        dict.update(made, items)
        made.opaque, made.nested = self.opaque or items.opaque, self.nested or items.nested
        made.stem, made.added = self.token, tuple(items)
        return made

    def grew_from(self, earlier: Any) -> bool:
        """True when this is known to be `earlier` with what is at `added` written over it."""
        token = getattr(earlier, "token", None)
        return token is not None and getattr(self, "stem", None) is token

    def __copy__(self) -> dict[Any, Any]:
        return dict(self)

    def copy(self) -> dict[Any, Any]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[Any, Any]:
        return {key: copy.deepcopy(value, memo) for key, value in self.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        return (dict, (dict(self),))


class FrozenSet(set, metaclass=_Plain):  # type: ignore[type-arg]
    """A set that cannot be changed; its members are hashable and need no copy."""

    __slots__ = ("origin",)
    origin: FrozenSet | None

    def __new__(cls, *args: Any) -> Any:
        return set(*args)

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


def _new_list(items: Iterable[Any]) -> FrozenList:
    made: FrozenList = list.__new__(FrozenList)
    list.extend(made, items)
    made.lent = None
    return made


def _new_dict(items: Any) -> FrozenDict:
    made: FrozenDict = dict.__new__(FrozenDict)
    dict.update(made, items)
    made.origin = None
    return made


def _new_set(items: Iterable[Any], origin: FrozenSet | None = None) -> FrozenSet:
    made: FrozenSet = set.__new__(FrozenSet)
    set.update(made, items)
    made.origin = origin
    return made


def is_opaque(value: Any) -> bool:
    """True when a frozen `value` holds something that must be copied for each reader."""
    kind = type(value)
    if kind in ATOMS or kind is FrozenSet or kind is frozenset:
        return False
    if kind is FrozenList or kind is FrozenDict:
        return _opaque(value)
    if kind is tuple:
        return any(is_opaque(item) for item in value)
    return not isinstance(value, _IMMUTABLE_BASES)


def _opaque(value: FrozenList | FrozenDict) -> bool:
    """True when a copy must be made of something inside."""
    return (value if value.origin is None else value.origin).opaque


def _is_own(value: Any) -> bool:
    """True when each reader of a frozen `value` gets one of its own."""
    kind = type(value)
    if kind in ATOMS or kind is frozenset:
        return False
    if kind is tuple:
        return any(map(_is_own, value))
    return not isinstance(value, _IMMUTABLE_BASES)


def freeze(value: Any) -> Any:
    """The immutable form of `value`; the same object when it is frozen already."""
    kind = type(value)
    if kind in ATOMS:
        return value
    if kind is FrozenList or kind is FrozenDict:
        if value.origin is None:
            return value
        if not value.origin.opaque:
            return value.origin
        return frozen_list(value) if kind is FrozenList else frozen_dict(value)
    if kind is list:
        return frozen_list(value)
    if kind is dict:
        return frozen_dict(value)
    if kind is tuple:
        items = tuple(freeze(item) for item in value)
        return value if all(map(_same, items, value)) else items
    if kind is FrozenSet:
        return value if value.origin is None else value.origin
    if kind is set:
        return _new_set(value)
    if kind is frozenset or isinstance(value, _IMMUTABLE_BASES):
        return value if kind is not Overwrite else Overwrite(freeze(value.value))
    if isinstance(value, (FrozenDict, Outcome)):  # a view of the state, or what a run gave back
        return frozen_dict(value)
    return copy_opaque(value)


def frozen_list(items: Iterable[Any]) -> FrozenList:
    """A `FrozenList` of the items, frozen."""
    plain = list(items)
    if ATOMS.issuperset(map(type, plain)):  # long lists are mostly of texts or numbers
        frozen = _new_list(plain)
        frozen.opaque = frozen.nested = False
    else:
        frozen = _new_list(list(map(freeze, plain)))
        frozen.nested = any(map(_is_own, frozen))
        frozen.opaque = frozen.nested and any(map(is_opaque, frozen))
    frozen.token, frozen.stem, frozen.origin = object(), None, None
    return frozen


def frozen_dict(mapping: Mapping[Any, Any]) -> FrozenDict:
    """A `FrozenDict` of the mapping's items, values frozen, order kept."""
    plain = dict(mapping)
    if ATOMS.issuperset(map(type, plain.values())):  # as long dicts mostly are
        frozen = _new_dict(plain)
        frozen.nested = frozen.opaque = False
        return frozen
    return seal(dict(zip(plain, map(freeze, plain.values()), strict=True)))


def seal(mapping: Mapping[Any, Any]) -> FrozenDict:
    """A `FrozenDict` of items that are frozen already; each stays the object that it is."""
    frozen = _new_dict(mapping)
    frozen.nested = frozen.opaque = False
    if not ATOMS.issuperset(map(type, frozen.values())):
        frozen.nested = any(map(_is_own, frozen.values()))
        frozen.opaque = frozen.nested and any(map(is_opaque, frozen.values()))
    return frozen


def replaced(
    before: Mapping[str, Any], written: Mapping[str, Any], transient: Iterable[str] = ()
) -> FrozenDict:
    """`before` without what is transient, and with what was written, frozen already; each of the
    others stays the object that it is, in its place."""
    made = _new_dict(before)
    for key in transient:
        if key not in written:
            dict.pop(made, key, None)
    dict.update(made, written)
    looked_at = made if getattr(before, "opaque", True) else written
    made.opaque = any(map(is_opaque, looked_at.values()))
    made.nested = True  # nobody is given all of it, so it need not be known
    return made


def isolate(value: Any) -> Any:
    """A frozen value as one reader gets it: shared where immutable, else a copy of its own."""
    kind = type(value)
    if kind in ATOMS:
        return value
    if kind is FrozenList:
        return _own_list(value)
    if kind is FrozenDict:
        return _own_dict(value)
    if kind is FrozenSet:
        return _new_set(value, value)
    if kind is tuple:
        items = tuple(map(isolate, value))
        return value if all(map(_same, items, value)) else items
    if kind is frozenset or isinstance(value, _IMMUTABLE_BASES):
        return value
    return copy_opaque(value)


def _own_list(value: FrozenList) -> FrozenList:
    value = value if value.origin is None else value.origin
    if value.nested and not value.opaque and len(value) >= _MANY:
        own = _new_list(value[:])
        own.lent = {}
    else:
        own = _new_list(_isolated(value) if value.nested else value[:])
    own.origin, own.token, own.stem = value, value.token, value.stem
    return own


def _own_dict(value: FrozenDict) -> FrozenDict:
    value = value if value.origin is None else value.origin
    if value.nested and not value.opaque and len(value) >= _MANY:
        spare = _spare_of(value)
        own = _new_dict(spare.content)
        own.spare = spare
    else:
        own = _new_dict(
            zip(value, _isolated(value.values()), strict=True) if value.nested else value
        )
    own.origin = value
    return own


def _isolated(items: Iterable[Any]) -> list[Any]:
    """For a list of dicts, which is what long lists mostly are besides texts and numbers, what
    there is to do is done here and not in a call each."""
    made = []
    for item in items:
        if type(item) is FrozenDict and not item.nested and item.origin is None:
            own: FrozenDict = _make_dict(FrozenDict)
            _fill_dict(own, item)
            own.origin = item
            made.append(own)
        else:
            made.append(isolate(item))
    return made


def _spare_of(value: FrozenList | FrozenDict) -> Spare:
    """A copy of what is inside: one that an earlier reader has brought back, or a new one."""
    spare = value.shelf.lend() if hasattr(value, "shelf") else None
    if spare is None:
        spare = Spare([] if type(value) is FrozenList else {})
    if len(spare.content) < len(value):
        _complete(spare, value)
        spare.count()
    return spare


def _complete(spare: Spare, value: FrozenList | FrozenDict) -> None:
    """Copy what the spare does not have yet: all, or what a list has grown by."""
    parts: list[Any] = []
    if isinstance(value, FrozenList):
        had = len(spare.content)
        spare.content += _copied(value[had:] if had else value, parts)
    else:
        spare.content |= zip(value, _copied(value.values(), parts), strict=True)
    spare.take(parts)


def _copied(items: Iterable[Any], parts: list[Any]) -> list[Any]:
    """The same for a spare, which is told of each copy."""
    made = []
    for item in items:
        if type(item) is FrozenDict and not item.nested:
            own: FrozenDict = _make_dict(FrozenDict)
            _fill_dict(own, item)
            own.origin = item
            parts.append(own)
            made.append(own)
        else:
            made.append(_copy(item, parts))
    return made


_make_dict, _fill_dict = dict.__new__, dict.update


def _copy(item: Any, parts: list[Any]) -> Any:
    own: Any
    kind = type(item)
    if kind is FrozenList:
        own = _new_list(_copied(item, parts) if item.nested else item[:])
        own.origin, own.token, own.stem = item, item.token, item.stem
    elif kind is FrozenDict:
        own = _new_dict(zip(item, _copied(item.values(), parts), strict=True))
        own.origin = item
    elif kind is FrozenSet:
        own = _new_set(item, item)
    elif kind is tuple and any(map(_is_own, item)):
        own = tuple(_copied(item, parts))
    else:
        return item
    parts.append(own)
    return own


_HOLDERS = (FrozenList, FrozenDict)


def bring_back(value: Any) -> None:
    """Take what a reader was given, and has not changed, for the next who reads the same."""
    kind = type(value)
    if kind is tuple:
        for item in value:
            bring_back(item)
    elif kind not in _HOLDERS or value.origin is None or not value.origin.nested:
        return
    elif kind is FrozenList and value.lent is not None:
        for item in value.lent.values():
            bring_back(item)
    elif hasattr(value, "spare"):
        spare, origin = value.spare, value.origin
        del value.spare
        if not hasattr(origin, "shelf"):
            origin.shelf = Shelf()
        origin.shelf.put(spare)
    else:
        for item in value if kind is FrozenList else value.values():
            if type(item) is tuple or (type(item) in _HOLDERS and _has_nested(item)):
                bring_back(item)


def _has_nested(own: FrozenList | FrozenDict) -> bool:
    return own.origin is not None and own.origin.nested


def thaw(value: Any) -> Any:
    """A private, mutable copy of a value read from the state."""
    kind = type(value)
    if kind in ATOMS:
        return value
    if kind is FrozenList or kind is list:
        return [thaw(item) for item in value]
    if kind is dict or isinstance(value, FrozenDict):
        return {key: thaw(item) for key, item in value.items()}
    if kind is FrozenSet:
        return set(value)
    if kind is tuple:
        return tuple(thaw(item) for item in value)
    if kind is Several:
        return [thaw(item) for item in value.values]
    return copy_opaque(value) if is_opaque(value) else value


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
    if type(b) is FrozenDict and b.grew_from(a):
        return all(key in a and equal(a[key], b[key]) for key in b.added)
    try:
        return type(a) is type(b) and bool(a == b)
    except Exception:
        return False
