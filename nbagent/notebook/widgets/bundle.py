"""
A widget's JavaScript as one module, and its CSS as one sheet: what anywidget sends to a page.

The files in `page/` are plain ES modules and plain CSS that import each other, so that Node, the
type checker and an editor read them as they are. Here they are put into one text.

Rule 1: a module keeps a scope of its own, so that two may use one name for different things.
Rule 2: a form of import or export that is not known here is an error, never left in the text.
Rule 3: icons and colours come from `graph/look.json`, which JavaScript imports and a sheet gets
        as variables.
"""

from __future__ import annotations

import functools
import json
import os
import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "page"
LOOK = "../../graph/look.json"  # from PAGE
_IMPORT = re.compile(r'^import \{([^}]*)\} from "(\.[^"]*\.js)";$', re.MULTILINE)
_JSON = re.compile(r'^import (\w+) from "(\.[^"]*\.json)" with \{ type: "json" \};$', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?function|const|class) (\w+)", re.MULTILINE)
_DEFAULT = re.compile(r"^export default ", re.MULTILINE)
_UNKNOWN = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
_SHEET = re.compile(r'^@import "(\.[^"]*)";\n', re.MULTILINE)


@functools.cache
def module(name: str, page: Path = PAGE) -> str:
    """`page/NAME.js` with all that it imports before it, each once; its default is exported."""
    entry = (page / f"{name}.js").resolve()
    found: dict[Path, str] = {}
    _collect(entry, page.resolve(), found, ())
    return "\n".join([*found.values(), f"export default {_scope(entry, page.resolve())}.default;"])


@functools.cache
def style(name: str, page: Path = PAGE) -> str:
    """`page/NAME.css` with all that it imports before it, each once."""
    found: dict[Path, str] = {}
    _sheets((page / f"{name}.css").resolve(), found)
    colours = json.loads((page / LOOK).read_text(encoding="utf-8"))["colours"]
    named = " ".join(f"--look-{colour}: {value};" for colour, value in colours.items())
    return "\n".join([f":is(.nba-root, .nbf-root) {{ {named} }}", *found.values()])


def _collect(path: Path, page: Path, found: dict[Path, str], above: tuple[Path, ...]) -> None:
    text = path.read_text(encoding="utf-8")
    for _, target in _IMPORT.findall(text):
        needed = (path.parent / target).resolve()
        if needed in (*above, path):
            raise ValueError(f"{path.name} and {needed.name} import each other: cut one of the two")
        if needed not in found:
            _collect(needed, page, found, (*above, path))
    names = [name for _, name in _EXPORT.findall(text)]
    text = _JSON.sub(lambda seen: f"const {seen[1]} = {_compact(path.parent / seen[2])};", text)
    text = _IMPORT.sub(lambda seen: _taken(seen, path, page), text)
    text = _EXPORT.sub(r"\1 \2", text)
    text, defaults = _DEFAULT.subn("const $default = ", text)
    unknown = _UNKNOWN.search(text)
    if unknown is not None:
        raise ValueError(
            f"{path.name}: {unknown[0]!r} is in no form that a bundle knows: import {{names}} from "
            'a "./file.js", export a function, class or const where it is defined'
        )
    made = ", ".join([*names, *["default: $default"] * bool(defaults)])
    own = _scope(path, page)
    found[path] = f"// {path.name}\nconst {own} = (() => {{\n{text}\nreturn {{ {made} }};\n}})();"


def _taken(seen: re.Match[str], path: Path, page: Path) -> str:
    """An import as what it takes out of the scope of a module that stands before."""
    needed = (path.parent / seen[2]).resolve()
    names = [name.strip() for name in seen[1].split(",") if name.strip()]
    known = {name for _, name in _EXPORT.findall(needed.read_text(encoding="utf-8"))}
    missing = [name for name in names if name.split(" as ")[0] not in known]
    if missing:
        raise ValueError(f"{path.name}: {needed.name} exports no {', '.join(missing)}")
    parts = ", ".join(name.replace(" as ", ": ") for name in names)
    return f"const {{ {parts} }} = {_scope(needed, page)};"


def _compact(path: Path) -> str:
    return json.dumps(json.loads(path.read_text(encoding="utf-8")), separators=(",", ":"))


def _scope(path: Path, page: Path) -> str:
    return "$" + re.sub(r"\W", "_", os.path.relpath(path.with_suffix(""), page))


def _sheets(path: Path, found: dict[Path, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for target in _SHEET.findall(text):
        needed = (path.parent / target).resolve()
        if needed not in found:
            _sheets(needed, found)
    found[path] = _SHEET.sub("", text)
