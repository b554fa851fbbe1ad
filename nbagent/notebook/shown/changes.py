"""
What differs between two values, as a page shows it: by path, texts by words, tables by cells.

Values of a state are immutable and shared between checkpoints, so what is one object on both
sides is passed over without a look into it: a diff costs what changed, not what there is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from nbagent.engine.model.readable import parts_of, type_name
from nbagent.engine.model.values import MISSING, equal
from nbagent.notebook.shown.preview import cell_text, cut, label_text, preview, rows_of
from nbagent.notebook.shown.records import compared, records

DEEPEST = 50  # levels that are looked into
PARTS = 30  # differences of one field that are listed
WORDS = 1_500  # words of a text, or else its lines, that are compared one by one
ALL_WORDS = 4_000  # and in all texts of one field
CONTEXT = 60  # characters of unchanged text that stay beside a change
ROWS = 20  # changed rows of a table
_TOKEN = re.compile(r"\s+|\w+|[^\w\s]")

Part = dict[str, Any]


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What differs between two states, a field each."""
    names = dict.fromkeys([*before, *after])
    pairs = {name: (before.get(name, MISSING), after.get(name, MISSING)) for name in names}
    return [
        change(name, *pair)
        for name, pair in pairs.items()
        if pair[0] is not pair[1] and not equal(*pair)
    ]


def change(name: str, before: Any, after: Any) -> dict[str, Any]:
    """`{"field", "type", "kind", "counts", "parts", "more"}`.

    kind   "added", "removed", "grown" (a list that only got longer) or "changed"
    parts  what differs inside: each has a `path`, and `before` and `after` as previews, or `words`
           ([op, text], op one of "=", "-", "+", "…"), or a `table`, or `records`
    counts what was added, removed and changed, as short texts: ["+2", "−1", "~1"]
    more   differences that are not listed
    """
    if before is MISSING:
        return _made(name, after, "added", [{"path": "", "after": preview(after)}])
    if after is MISSING:
        return _made(name, before, "removed", [{"path": "", "before": preview(before)}])
    if (rows := _records(before, after)) is not None:
        kind = "grown" if not rows["minus"] and not rows["mod"] else "changed"
        return _made(name, after, kind, [{"path": "", "records": rows}])
    found = _Differences()
    found.compare("", before, after)
    only_added = found.parts and all("before" not in part for part in found.parts)
    is_list = isinstance(before, (list, tuple)) and isinstance(after, (list, tuple))
    grown = is_list and only_added and all(part.get("is_new") for part in found.parts)
    return _made(name, after, "grown" if grown else "changed", found.parts, found.more)


def _made(name: str, value: Any, kind: str, parts: list[Part], more: int = 0) -> dict[str, Any]:
    counts = _counts(kind, parts, more)
    return {
        "field": name, "type": cut(type_name(value), 60), "kind": kind, "counts": counts,
        "parts": parts, "more": more,
    }  # fmt: skip


def _counts(kind: str, parts: list[Part], more: int) -> list[str]:
    """How much was added, removed and changed, in the units of what it is."""
    first = parts[0] if len(parts) == 1 else {}
    if "records" in first:
        told = first["records"]
        return _signed(told["plus"], told["minus"], told["mod"])
    if "words" in first:
        plus, minus = (
            sum(len(text.split()) for op, text in first["words"] if op == sign) for sign in "+-"
        )
        unit = " words" if plus != 1 else " word"
        added, gone = f"+{plus}{unit}", f"−{minus}{'' if plus else ' words'}"
        return [added] * bool(plus) + [gone] * bool(minus)
    if "table" in first:
        return [f"~{first['table']['text']}"]
    if kind in ("added", "removed") or not any(part.get("path") for part in parts):
        return []
    plus = sum("after" in part and "before" not in part for part in parts)
    minus = sum("before" in part and "after" not in part for part in parts)
    return _signed(plus, minus, len(parts) - plus - minus + more)


def _signed(plus: int, minus: int, mod: int) -> list[str]:
    pairs = (("+", plus), ("−", minus), ("~", mod))
    return [f"{sign}{count}" for sign, count in pairs if count]


def _records(before: Any, after: Any) -> dict[str, Any] | None:
    """A list of records as a table of what differs; None where it is none."""
    if not isinstance(before, (list, tuple)) or not isinstance(after, (list, tuple)):
        return None
    try:
        old, new = records(before, _named), records(after, _named)
        return compared(old, new) if old is not None and new is not None else None
    except Exception:  # a user's object must not stop a view
        return None


class _Differences:
    """Collects the differences of one field."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.more = 0
        self._words = ALL_WORDS

    def add(self, path: str, **part: Any) -> None:
        if len(self.parts) >= PARTS:
            self.more += 1
            return
        for side in ("before", "after"):
            if side in part:
                part[side] = preview(part[side])
        self.parts.append({"path": path, **part})

    def compare(self, path: str, a: Any, b: Any, depth: int = 0) -> None:
        if a is b:
            return
        if len(self.parts) >= PARTS or depth > DEEPEST:
            if not equal(a, b):
                self.add(path, before=a, after=b)
            return
        if isinstance(a, str) and isinstance(b, str):
            words = None if a == b or self._words < 0 else word_diff(a, b)
            self._words -= (len(a) + len(b)) // 5
            if words is not None:
                self.add(path, words=words)
            elif a != b:
                self.add(path, before=a, after=b)
        elif isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
            self._lists(path, a, b, depth + 1)
        elif _is_table(a) and _is_table(b) and (found := _table_diff(a, b)) is not None:
            self.add(path, table=found)
        elif type(a) is type(b) and (named := _named(a)) is not None:
            self._named(path, named, _named(b) or {}, depth + 1)
        elif not equal(a, b):
            self.add(path, before=a, after=b)

    def _named(self, path: str, a: Mapping[Any, Any], b: Mapping[Any, Any], depth: int) -> None:
        for key in dict.fromkeys([*a, *b]):
            inner = f"{path}.{key}" if path else str(key)
            if key not in a:
                self.add(inner, after=b[key])
            elif key not in b:
                self.add(inner, before=a[key])
            else:
                self.compare(inner, a[key], b[key], depth)

    def _lists(self, path: str, a: Any, b: Any, depth: int) -> None:
        start, end = 0, 0
        most = min(len(a), len(b))
        while start < most and _same(a[start], b[start]):
            start += 1
        while end < most - start and _same(a[-1 - end], b[-1 - end]):
            end += 1
        old, new = len(a) - end, len(b) - end
        both = min(old, new)
        for index in range(start, both):
            self.compare(f"{path}[{index}]", a[index], b[index], depth)
        for index in range(both, old):
            self.add(f"{path}[{index}]", before=a[index])
        for index in range(both, new):
            self.add(f"{path}[{index}]", after=b[index], is_new=True)


def _same(a: Any, b: Any) -> bool:
    return a is b or equal(a, b)


def _named(value: Any) -> Mapping[Any, Any] | None:
    """What has named parts, as a mapping: a dict, a dataclass, a model."""
    if isinstance(value, (set, frozenset)):
        return None
    found = parts_of(value)
    return None if found is None else dict(found)


def word_diff(a: str, b: str) -> list[list[str]] | None:
    """Two texts as runs of equal, removed and added words; None where a look at both is better."""
    if len(a) + len(b) < 40 or not a or not b:
        return None
    old, new = _TOKEN.findall(a), _TOKEN.findall(b)
    if len(old) + len(new) > WORDS:
        old, new = a.splitlines(keepends=True), b.splitlines(keepends=True)
        if len(old) + len(new) > WORDS:
            return None
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    if matcher.quick_ratio() < 0.3:
        return None
    found: list[list[str]] = []
    for op, i1, i2, j1, j2 in matcher.get_opcodes():
        if op == "equal":
            found += _shortened("".join(old[i1:i2]))
            continue
        if i2 > i1:
            found.append(["-", cut("".join(old[i1:i2]))])
        if j2 > j1:
            found.append(["+", cut("".join(new[j1:j2]))])
    return _joined(found)


def _joined(parts: list[list[str]]) -> list[list[str]]:
    """Words that changed beside each other are one change, with the spaces between them."""
    made: list[list[str]] = []
    for place, (op, text) in enumerate(parts):
        around = parts[place - 1][0] + parts[place + 1][0] if 0 < place < len(parts) - 1 else ""
        is_between = op == "=" and text.isspace() and "\n" not in text and set(around) <= {"-", "+"}
        for sign, piece in [("-", text), ("+", text)] if is_between and around else [(op, text)]:
            _append(made, sign, piece)
    return made


def _append(made: list[list[str]], op: str, text: str) -> None:
    """Put it to the change that it belongs to: what was removed stands before what was added."""
    back = made[-1:] if op != "-" or len(made) < 2 or made[-1][0] != "+" else made[-2:-1]
    if op in ("-", "+") and back and back[0][0] == op:
        back[0][1] += text
    elif op == "-" and made and made[-1][0] == "+":
        made.insert(len(made) - 1, [op, text])
    else:
        made.append([op, text])


def _shortened(text: str) -> list[list[str]]:
    missing = len(text) - 2 * CONTEXT
    if missing < CONTEXT:
        return [["=", cut(text)]]
    paragraphs = text[CONTEXT : len(text) - CONTEXT].count("\n\n")
    left = f"{paragraphs:,} paragraphs" if paragraphs > 1 else f"{missing:,} characters"
    middle = ["…", f" … {left} the same … "]
    return [["=", cut(text[:CONTEXT])], middle, ["=", cut(text[-CONTEXT:])]]


def _count(number: int, word: str) -> str:
    return f"{number:,} {word if number == 1 else word + 's'}"


def _is_table(value: Any) -> bool:
    return hasattr(value, "iloc") and hasattr(value, "shape") and hasattr(value, "columns")


def _table_diff(a: Any, b: Any) -> dict[str, Any] | None:
    """The rows of a DataFrame that changed, each changed cell as [before, after]; None if the two
    have not the same columns."""
    if list(a.columns) != list(b.columns):
        return None
    if (told := _by_label(a, b)) is not None:
        return told
    both = min(len(a), len(b))
    left, right = a.iloc[:both], b.iloc[:both]
    try:
        same = (left.to_numpy() == right.to_numpy()) | (
            left.isna().to_numpy() & right.isna().to_numpy()
        )
        rows = [int(place) for place in (~same).any(axis=1).nonzero()[0]]
    except Exception:  # cells whose comparison is no truth value
        return None
    old, new = rows_of(left.iloc[rows[:ROWS]]), rows_of(right.iloc[rows[:ROWS]])
    marked = []
    for row, olds, news in zip(rows, old, new, strict=False):
        pairs = zip(same[row], map(cell_text, olds), map(cell_text, news), strict=True)
        marked.append(
            [label_text(left.index[row]), *(x if is_same else [x, y] for is_same, x, y in pairs)]
        )
    longer, sign = (b, 1) if len(b) > len(a) else (a, 0)
    extra = longer.iloc[both : both + ROWS - len(marked)]
    for label, cells in zip(extra.index, rows_of(extra), strict=True):
        texts = map(cell_text, cells)
        marked.append([label_text(label), *(["", text] if sign else [text, ""] for text in texts)])
    cells_changed = int((~same).sum())
    said = [f"{_count(cells_changed, 'cell')} changed"] if cells_changed else []
    if len(a) != len(b):
        said.append(f"{_count(abs(len(b) - len(a)), 'row')} {'added' if sign else 'removed'}")
    return {
        "text": ", ".join(said) or "the index or the types changed",
        "columns": ["", *(cut(str(column), 60) for column in a.columns)],
        "rows": marked,
        "same": both - len(rows),
    }


def _by_label(a: Any, b: Any) -> dict[str, Any] | None:
    """Two DataFrames whose rows have names of their own; None where places are all they have."""
    if a.index.equals(b.index) or not (a.index.is_unique and b.index.is_unique):
        return None
    if type(a.index).__name__ == "RangeIndex" or type(b.index).__name__ == "RangeIndex":
        return None
    kept = b.index[b.index.isin(a.index)]
    if not len(kept):
        return None
    inner = _table_diff(a.loc[kept], b.loc[kept])
    if inner is None:
        return None
    said = [inner["text"]] if inner["rows"] else []
    rows = list(inner["rows"])
    for frame, other, word in ((a, b, "removed"), (b, a, "added")):
        extra = frame[~frame.index.isin(other.index)]
        if not len(extra):
            continue
        said.append(f"{_count(len(extra), 'row')} {word}")
        shown = extra.iloc[: max(0, ROWS - len(rows))]
        for label, cells in zip(shown.index, rows_of(shown), strict=True):
            texts = map(cell_text, cells)
            pairs = (["", text] if word == "added" else [text, ""] for text in texts)
            rows.append([label_text(label), *pairs])
    text = ", ".join(said) or "the order changed"
    return {"text": text, "columns": inner["columns"], "rows": rows, "same": inner["same"]}
