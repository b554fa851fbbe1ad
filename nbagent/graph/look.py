"""
How a status looks, and the colours of everything that is drawn: `look.json`, for all languages.

Rule 1: icons and colours stand in `look.json` alone. SVG and HTML take them from here, the page's
        JavaScript imports the file, and its CSS gets `colours` as variables (`--look-NAME`).
Rule 2: a status is told by its icon, too, never by its colour alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOOK: dict[str, Any] = json.loads(Path(__file__).with_name("look.json").read_text("utf-8"))
COLOURS: dict[str, str] = LOOK["colours"]


@dataclass(frozen=True, slots=True)
class Look:
    """An icon, and three colours that are readable on a light card."""

    icon: str
    fill: str
    stroke: str
    ink: str


_LOOKS = {
    status: Look(one["icon"], **LOOK["tones"][one["tone"]])
    for status, one in LOOK["statuses"].items()
}


def look(status: str) -> Look:
    """The look of a node's or a thread's status; a status that is not known looks idle."""
    return _LOOKS.get(status, _LOOKS["idle"])
