"""
What changed between two frozen values, as data that is small when the change is small. (W15)

    ["+", tail]                   a list or text with `tail` behind it
    [">", drop, tail]             a list without its first so many items, with `tail` behind it
    ["=", keep, drop, items]      a list: keep a prefix, drop so many, insert `items`
    ["{", set, delete, nested]    a dict: keys set, keys deleted, keys whose values have a delta
    ["#", names, columns]         a table: each column new, or its place in the old table

Rule 1: `apply(old, diff(old, new)) == new`, types and the order of dict keys included.
Rule 2: what did not change is found by identity, because values are frozen and shared. Equal
        values that are not the same object count as changed: right, only larger.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from itertools import compress
from typing import Any

from nbagent.engine.model.values import FrozenDict, FrozenList, frozen_dict, frozen_list
from nbagent.errors import CodecError
from nbagent.stores.codec import frames

Delta = list[Any]


def diff(old: Any, new: Any) -> Delta | None:
    """The delta that leads from `old` to `new`; None where storing `new` whole is as good."""
    kind = type(new)
    if kind is not type(old) or kind is int or kind is float or kind is bool:
        return None
    if kind is FrozenList:
        return _diff_lists(old, new)
    if kind is FrozenDict:
        return _diff_dicts(old, new)
    if kind is str and len(new) > len(old) > 64 and new.startswith(old):
        return ["+", new[len(old) :]]
    table = frames.diff(old, new)
    return None if table is None else ["#", *table]


def _diff_lists(old: FrozenList, new: FrozenList) -> Delta | None:
    if new.grew_from(old):
        return ["+", list(new[len(old) :])]
    shorter = min(len(old), len(new))
    prefix = _common(old, new, shorter)
    if prefix == len(old):
        return ["+", list(new[prefix:])]
    if prefix == 0 and (window := _window(old, new)) is not None:
        return window
    suffix = _common(reversed(old), reversed(new), shorter - prefix)
    if prefix + suffix == 0:
        return None
    return ["=", prefix, len(old) - prefix - suffix, list(new[prefix : len(new) - suffix])]


def _window(old: FrozenList, new: FrozenList) -> Delta | None:
    """The delta of a list that keeps its latest items: some go at its front, some come behind."""
    if not new:
        return None
    tries = 0
    for drop, item in enumerate(old):
        if item is new[0] and drop:
            kept = len(old) - drop
            if kept <= len(new) and all(map(operator.is_, old[drop:], new)):
                return [">", drop, list(new[kept:])]
            tries += 1
            if tries == _TRIES:  # the same item again and again
                break
    return None


_TRIES = 8


def _common(a: Any, b: Any, limit: int) -> int:
    """How many items the two have in common from their start, by identity."""
    count = 0
    for same in map(operator.is_, a, b):
        if not same or count >= limit:
            return count
        count += 1
    return count


def _diff_dicts(old: FrozenDict, new: FrozenDict) -> Delta | None:
    if new.grew_from(old):
        changed, nested = _changed(old, new, [key for key in new.added if _is_other(key, old, new)])
        return ["{", changed, [], nested] if len(changed) < len(new) or not old else None
    if len(old) == len(new) and all(map(operator.is_, old, new)):  # in C, for it may be long
        parts = map(operator.is_not, old.values(), new.values())
        changed, nested = _changed(old, new, compress(new, parts))
        return ["{", changed, [], nested] if len(changed) < len(new) or not old else None
    deleted = [key for key in old if key not in new]
    kept = [key for key in old if key in new]
    order = list(new)
    if order[: len(kept)] != kept or list(map(type, order[: len(kept)])) != list(map(type, kept)):
        return None  # setting and deleting cannot bring keys into this order
    others = [key for key, value in new.items() if key not in old or old[key] is not value]
    changed, nested = _changed(old, new, others)
    if kept and not len(changed) < len(new):
        return None
    return ["{", changed, deleted, nested]


def _is_other(key: Any, old: FrozenDict, new: FrozenDict) -> bool:
    return key not in old or old[key] is not new[key]


def _changed(old: FrozenDict, new: FrozenDict, others: Iterable[Any]) -> tuple[Delta, Delta]:
    """What the keys `others` are set to, and those of them whose values have a delta."""
    changed: list[list[Any]] = []
    nested: list[list[Any]] = []
    for key in others:
        value = new[key]
        inner = diff(old[key], value) if key in old else None
        if inner is None:
            changed.append([key, value])
        else:
            nested.append([key, inner])
    return changed, nested


def apply(old: Any, delta: Any) -> Any:
    """The frozen value that `diff` compared `old` with; `CodecError` if they do not fit."""
    try:
        sign, *rest = delta
        if sign == "+" and isinstance(old, str):
            return old + rest[0]
        if sign == "+" and isinstance(old, FrozenList):
            return old.grown(rest[0])
        if sign == ">" and isinstance(old, FrozenList):
            drop, tail = rest
            if not 0 <= drop <= len(old):
                raise CodecError("a stored change does not fit the list that it changes")
            return frozen_list([*old[drop:], *tail])
        if sign == "=" and isinstance(old, FrozenList):
            keep, drop, items = rest
            if not (0 <= keep <= len(old) and 0 <= drop <= len(old) - keep):
                raise CodecError("a stored change does not fit the list that it changes")
            return frozen_list([*old[:keep], *items, *old[keep + drop :]])
        if sign == "{" and isinstance(old, FrozenDict):
            changed, deleted, nested = rest
            made = {key: value for key, value in old.items() if key not in deleted}
            made.update((key, value) for key, value in changed)
            made.update((key, apply(old[key], inner)) for key, inner in nested)
            return frozen_dict(made)
        if sign == "#":
            return frames.apply(old, *rest)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise CodecError(f"a stored change does not fit what it changes: {error}") from error
    raise CodecError(f"a stored change {sign!r} does not fit a {type(old).__name__}")
