"""
Values as a page shows them: plain JSON, bounded in size, whatever the value is.
"""

from __future__ import annotations

import base64
from typing import Any

from nbagent.engine.model.readable import AS_TEXT, parts_of, safe_repr, type_name
from nbagent.notebook.shown.rich import PICTURES, formula, looks, shows_itself

TEXT = 2_000  # characters of one value's text
BUDGET = 20_000  # characters of one value with all of its parts
ITEMS = 30  # entries of one list or dict
# Terminal escapes and other controls as the pictures that Unicode has for them; not \t and \n.
# What turns the direction of text around, and so hides what it says, and halves of characters,
# which cannot be sent, are the mark of a lost character.
CONTROLS = {code: 0x2400 + code for code in range(32) if code not in (9, 10)}
_LOST = (range(127, 160), range(0x202A, 0x202F), range(0x2066, 0x206A), range(0xD800, 0xE000))
CONTROLS |= {code: 0xFFFD for codes in _LOST for code in codes}
DEEP = 4  # levels of a tree
ROWS, COLUMNS = 6, 8  # of a table
_PLAIN = (list, tuple, set, frozenset, dict)
PICTURE = 500_000  # bytes of an image, or characters of a document, that a page gets
_IMAGES = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif"}


class _Budget:
    """How many characters one preview may still have, over all of its parts."""

    def __init__(self, pictures: int = 4) -> None:
        self.left = BUDGET
        self.pictures = pictures

    def cut(self, text: str) -> str:
        shown = cut(text, max(0, min(TEXT, self.left)))
        self.left -= len(shown)
        return shown

    def text(self, text: str) -> dict[str, Any]:
        shown = self.cut(text)
        return {"text": shown, "cut": True} if len(shown) < len(text) else {"text": shown}


def preview(value: Any, depth: int = 0, budget: _Budget | None = None) -> dict[str, Any]:
    """`{"kind", "type", "text"}` and, for what has parts, `items` or a table's `rows`.

    kind  "text", "atom", "list", "dict", "table", "image" (with `src`, a data URL), "html" (with
          `html`, for a sandbox and nothing else) or "other"
    cut   true where a text is longer than what is here
    """
    name = type_name(value)
    budget = budget or _Budget()
    try:
        return _preview(value, name, depth, budget)
    except Exception:  # a user's object must not stop a view
        return {"kind": "other", "type": name, "text": budget.cut(safe_repr(value))}


def _preview(value: Any, name: str, depth: int, budget: _Budget) -> dict[str, Any]:
    budget.left -= 1  # what is empty costs, too
    if budget.left <= 0:
        return {"kind": "other", "type": name, "text": "…"}
    if isinstance(value, str):
        return {"kind": "text", "type": name, **budget.text(value)}
    if value is None or isinstance(value, (bool, int, float)):
        return {"kind": "atom", "type": name, "text": budget.cut(safe_repr(value))}
    if isinstance(value, AS_TEXT):
        return {"kind": "atom", "type": name, "text": budget.cut(str(value))}
    parts = parts_of(value)
    if parts is not None and not isinstance(value, _PLAIN) and shows_itself(value):
        shown = _rich(value, name, budget)
        if shown is not None:
            return shown
    if parts is not None:
        size = len(parts)
        made: dict[str, Any] = {"kind": "dict", "type": name, "text": f"{size} {_plural(value)}"}
        if isinstance(value, (list, tuple, set, frozenset)):
            made["kind"] = "list"
        if depth < DEEP:
            made["items"] = [
                [
                    cut(safe_repr(k) if not isinstance(k, str) else k, 200),
                    preview(v, depth + 1, budget),
                ]
                for k, v in parts[:ITEMS]
            ]
            made["more"] = max(0, size - ITEMS)
        return made
    if hasattr(value, "iloc") and hasattr(value, "shape"):
        return _table(value, name)
    shown = _rich(value, name, budget)
    if shown is not None:
        return shown
    return {"kind": "other", "type": name, "text": budget.cut(safe_repr(value))}


def cut(text: str, limit: int = TEXT) -> str:
    """The text without control characters, cut with a mark of how much is missing."""
    missing = len(text) - limit
    text = text[: limit + 1].translate(CONTROLS)
    if missing > 0:
        return f"{text[:limit]}… (+{missing:,} characters)"
    return text


def short(value: Any, limit: int = 120) -> str:
    """One line for a value."""
    made = preview(value, DEEP, _Budget(pictures=0))
    if made["kind"] in ("list", "dict"):
        text = _inline(value)
        return text if len(text) <= limit else f"{made['type']} of {made['text']}"
    text = " ".join(str(made["text"]).split()) if made["kind"] == "text" else str(made["text"])
    return cut(text, limit)


def _rich(value: Any, name: str, budget: _Budget) -> dict[str, Any] | None:
    """An image, or what a value shows of itself in a notebook."""
    if isinstance(value, (bytes, bytearray)):
        kind = next((kind for magic, kind in _IMAGES.items() if value.startswith(magic)), None)
        return None if kind is None else _image(bytes(value), kind, name, budget)
    if budget.pictures <= 0:
        return None
    shown = looks(value)
    if shown is None:
        return None
    kind, data = shown
    if kind in PICTURES:
        return _image(_bytes(kind, data), kind.removeprefix("image/"), name, budget)
    text = str(data)
    if kind == "text/latex" and (made := formula(text)) is not None:
        return {**_image(made, "png", name, budget), "text": budget.cut(text)}
    if kind == "text/html" and len(text) <= PICTURE:
        told = budget.cut(safe_repr(value).split("\n", 1)[0])
        return {"kind": "html", "type": name, "text": told, "html": text}
    return None if kind == "text/html" else {"kind": "text", "type": name, **budget.text(text)}


def _bytes(kind: str, data: Any) -> bytes:
    """A picture's bytes: what is text is the picture itself (SVG), or base64 of it."""
    if not isinstance(data, str):
        return bytes(data)
    return data.encode() if kind == "image/svg+xml" else base64.b64decode(data)


def _image(data: bytes, kind: str, name: str, budget: _Budget) -> dict[str, Any]:
    text = f"{len(data):,} bytes"
    if len(data) > PICTURE or budget.pictures <= 0:
        return {"kind": "other", "type": name, "text": f"an image of {text}"}
    budget.pictures -= 1
    src = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return {"kind": "image", "type": name, "text": text, "src": src}


def _inline(value: Any) -> str:
    size = len(parts_of(value) or ())
    return safe_repr(value) if size <= 12 else "x" * 1000


def _plural(value: Any) -> str:
    word = "item" if isinstance(value, (list, tuple, set, frozenset)) else "field"
    return word if len(parts_of(value) or ()) == 1 else word + "s"


def rows_of(frame: Any) -> list[tuple[Any, ...]]:
    """A DataFrame's rows, each cell as its own column has it: integers beside floats stay so."""
    columns = (frame.iloc[:, place].tolist() for place in range(frame.shape[1]))
    return list(zip(*columns, strict=True))


def cell_text(cell: Any) -> str:
    """A cell of a table as short text."""
    return cut(str(cell), 60)


def label_text(label: Any) -> str:
    """A row's label as short text; of several levels, all of them."""
    return cut(", ".join(map(str, label)) if isinstance(label, tuple) else str(label), 60)


def _table(value: Any, name: str) -> dict[str, Any]:
    shape = "×".join(map(str, value.shape))
    made: dict[str, Any] = {"kind": "table", "type": name, "text": shape}
    try:
        frame = value.to_frame() if value.ndim == 1 else value
        head = frame.iloc[:ROWS, :COLUMNS]
        made["columns"] = [cut(str(column), 60) for column in head.columns]
        made["rows"] = [[cell_text(cell) for cell in row] for row in rows_of(head)]
        made["more"] = max(0, frame.shape[0] - ROWS)
        made["more_columns"] = max(0, frame.shape[1] - COLUMNS)
    except Exception:
        made["kind"] = "other"
    return made
