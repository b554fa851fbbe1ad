"""
A widget's JavaScript as one module, which is what anywidget sends to a page.

The files in `static/` are plain ES modules that import each other, so that Node and the type
checker read them as they are. Here they are put behind each other, without the import lines.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

STATIC = Path(__file__).parent.parent / "static"
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', re.MULTILINE)


@functools.cache
def module(name: str) -> str:
    """The source of `static/NAME.js` with all that it imports before it, each file once."""
    found: dict[str, str] = {}
    _collect(name, found)
    return "\n".join(found.values())


def _collect(name: str, found: dict[str, str]) -> None:
    text = (STATIC / f"{name}.js").read_text(encoding="utf-8")
    for needed in _IMPORT.findall(text):
        if needed not in found:
            _collect(needed, found)
    found[name] = _IMPORT.sub("", text)
