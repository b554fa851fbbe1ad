"""
What differs between two lists of records: rows matched by what they are, not by where they stand.

Rule 1: equal rows are matched first, then those with the same key, then the most alike; what is
        left was removed or added.
Rule 2: a record is a mapping, a dataclass or a model; its fields are the columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nbagent.engine.model.values import equal
from nbagent.notebook.shown.preview import cut, short

Record = Mapping[Any, Any]
LEAST = 0.5  # of the cells of two rows that must be equal for them to be one row
MOST = 400  # rows of each side that are compared one by one
COLUMNS = 12
ROWS = 40  # rows that are told
CELL = 120  # characters of a cell
_KEYS = ("id", "key", "uid", "uuid", "name", "title", "url", "path")


def records(rows: Any, named: Callable[[Any], Record | None]) -> list[Record] | None:
    """The rows of a list as mappings; None where one of them is no record."""
    found: list[Record] = []
    for row in rows:
        one = named(row)
        if one is None or not one or not all(isinstance(name, str) for name in one):
            return None
        found.append(one)
    return found or None


def compared(before: Sequence[Record], after: Sequence[Record]) -> dict[str, Any] | None:
    """`columns`, `rows` and counts; None where the two are too long, or too unlike, for a table.

    A row is `[op, cells]`: "+", "-", "~", or `["=", count]` for rows that are the same. A cell is a
    text, None where the field is not there, or `[before, after]`.
    """
    columns = list(dict.fromkeys(name for row in (*after, *before) for name in row))
    if len(columns) > COLUMNS or max(len(before), len(after)) > MOST:
        return None
    pairs = matched(before, after)
    rows: list[list[Any]] = []
    counts = {"+": 0, "-": 0, "~": 0}
    for old, new in ordered(pairs, len(before), len(after)):
        if old is not None and new is not None:
            if _alike(before[old], after[new]) == 1.0:
                _same(rows)
                continue
            rows.append(["~", [_both(before[old], after[new], name) for name in columns]])
        else:
            row = after[new] if new is not None else before[old or 0]
            rows.append(["+" if new is not None else "-", [_cell(row, name) for name in columns]])
        counts[rows[-1][0]] += 1
    return {
        "columns": [cut(name, 60) for name in columns], "rows": rows[:ROWS],
        "more": max(0, len(rows) - ROWS), "plus": counts["+"], "minus": counts["-"],
        "mod": counts["~"],
    }  # fmt: skip


def _same(rows: list[list[Any]]) -> None:
    if rows and rows[-1][0] == "=":
        rows[-1][1] += 1
    else:
        rows.append(["=", 1])


def matched(before: Sequence[Record], after: Sequence[Record]) -> dict[int, int]:
    """Place before -> place after, of the rows that are one row."""
    left = dict(enumerate(before))
    free = dict(enumerate(after))
    pairs: dict[int, int] = {}

    def take(old: int, new: int) -> None:
        pairs[old] = new
        del left[old], free[new]

    for old, row in list(left.items()):
        at = [new for new in ((old,) if old in free else ()) if _alike(row, free[new]) == 1.0]
        found = at or [new for new, other in free.items() if row is other or _equal(row, other)]
        if found:
            take(old, found[0])
    key = _key(before, after)
    if key is not None:
        places = {str(row[key]): new for new, row in free.items()}
        for old, row in list(left.items()):
            if (new := places.get(str(row[key]))) in free and new is not None:
                take(old, new)
    near = sorted(
        ((_alike(row, other), -abs(old - new), old, new)
         for old, row in left.items() for new, other in free.items()),
        reverse=True,
    )  # fmt: skip
    for share, _, old, new in near:
        if share >= LEAST and old in left and new in free:
            take(old, new)
    return pairs


def ordered(
    pairs: Mapping[int, int], before: int, after: int
) -> list[tuple[int | None, int | None]]:
    """All rows in the order of after; one that was removed stands where it was."""
    back = {new: old for old, new in pairs.items()}
    found: list[tuple[int | None, int | None]] = []
    gone = [old for old in range(before) if old not in pairs]
    for new in range(after):
        old = back.get(new)
        while gone and old is not None and gone[0] < old:
            found.append((gone.pop(0), None))
        found.append((old, new))
    # What was removed stands before what was added in its place.
    found += [(old, None) for old in gone]
    for place in range(len(found) - 1, 0, -1):
        (_, was), (then, now) = found[place - 1], found[place]
        if now is None and found[place - 1][0] is None and was is not None and then is not None:
            found[place - 1], found[place] = found[place], found[place - 1]
    return found


def _key(before: Sequence[Record], after: Sequence[Record]) -> str | None:
    """The field that tells rows apart, in both."""
    for name in _KEYS:
        for rows in (before, after):
            values = [str(row.get(name, "")) for row in rows]
            if "" in values or len(set(values)) < len(values):
                break
        else:
            return name
    return None


def _equal(a: Record, b: Record) -> bool:
    return len(a) == len(b) and _alike(a, b) == 1.0


def _alike(a: Record, b: Record) -> float:
    """The share of cells that are equal."""
    if a is b:
        return 1.0
    names = a.keys() | b.keys()
    same = sum(name in a and name in b and (a[name] is b[name] or equal(a[name], b[name]))
               for name in names)  # fmt: skip
    return same / len(names) if names else 1.0


def _both(a: Record, b: Record, name: str) -> Any:
    if name in a and name in b and (a[name] is b[name] or equal(a[name], b[name])):
        return _cell(b, name)
    return [_cell(a, name), _cell(b, name)]


def _cell(row: Record, name: str) -> str | None:
    if name not in row:
        return None
    value = row[name]
    return cut(value, CELL) if isinstance(value, str) else short(value, CELL)
