"""
What a person needs to know of a failed node: the line, what it read, the nearest name, the rest.

Rule 1: nothing is run or called for it; what cannot be found is left out.
"""

from __future__ import annotations

import difflib
import linecache
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nbagent.engine.model.checkpoint import Failure
from nbagent.engine.model.ids import node_of
from nbagent.engine.model.readable import type_name
from nbagent.engine.model.work import work_of
from nbagent.engine.thread.look import StoredThread
from nbagent.notebook.shown.preview import CONTROLS, cut, short

BEFORE, AFTER = 2, 1  # lines of code around the one that failed
LINE = 300  # characters of a line
READ = 160  # characters of what a field held
ROWS = 1_000  # rows that are looked through for a key
_FRAME = re.compile(
    r'^  File "(?P<file>[^"\n]*)", line (?P<line>\d+), in (?P<name>.*)$', re.MULTILINE
)
_CELL = re.compile(r"^(?:<ipython-input-(\d+)-|Cell (In\[\d+\]))")


def told(thread: StoredThread, node: str, read: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is known of a node's failure; `read` is what it read, where that is known."""
    loaded = thread.latest()
    record = next((r for r in loaded.tasks if r.node == node and r.failure is not None), None)
    failure = record.failure if record is not None else None
    if failure is None:
        return {"where": None, "read": [], "nearest": "", "kept": "", "attempts": [], "frames": 0}
    return {
        "where": where(failure.traceback),
        "read": [[name, held(value)] for name, value in (read or {}).items()],
        "nearest": nearest_name(failure, read if read is not None else loaded.checkpoint.values),
        "kept": kept(thread, loaded),
        "attempts": _attempts(thread, node),
        "frames": len(_FRAME.findall(failure.traceback)),
    }


def where(traceback: str) -> dict[str, Any] | None:
    """The line that failed, as its cell or file, and the lines around it where they are known."""
    frames = list(_FRAME.finditer(traceback))
    if not frames:
        return None
    last = frames[-1]
    file, line = last["file"], int(last["line"])
    return {
        "cell": cell_of(file), "file": cut(Path(file).name, LINE), "line": line,
        "name": cut(last["name"], LINE).translate(CONTROLS),
        "source": _source(file, line, last, traceback),
    }  # fmt: skip


def cell_of(file: str) -> str:
    """The cell that a traceback's file stands for, "In[3]"; "" is no cell of this kernel."""
    known = _CELL.match(file)
    if known is not None:
        return known[2] or f"In[{known[1]}]"
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    names: Mapping[str, Any] = getattr(getattr(shell, "compile", None), "_filename_map", {})
    number = names.get(file)
    return f"In[{number}]" if number is not None else ""


def _source(file: str, line: int, frame: re.Match[str], traceback: str) -> list[list[Any]]:
    lines = linecache.getlines(file)
    if 0 < line <= len(lines):
        first, last = max(1, line - BEFORE), min(len(lines), line + AFTER)
        return [
            [number, cut(lines[number - 1].rstrip("\n"), LINE).translate(CONTROLS)]
            for number in range(first, last + 1)
        ]
    after = traceback[frame.end() :].lstrip("\n").split("\n", 1)[0]
    is_code = after.startswith("    ")
    return [[line, cut(after.strip(), LINE).translate(CONTROLS)]] if is_code else []


def held(value: Any) -> str:
    """What a field held, in a line: "list of 240 dicts; the first: {…}"."""
    if isinstance(value, (list, tuple)) and len(value):
        kinds = {type_name(item) for item in value[:ROWS]}
        kind = f"{next(iter(kinds))}s" if len(kinds) == 1 else "values"
        return f"{type_name(value)} of {len(value):,} {kind}; the first: {short(value[0], READ)}"
    return short(value, READ)


def nearest_name(failure: Failure, read: Mapping[str, Any]) -> str:
    """The name that was probably meant, where a key or an attribute is missing; "" is none."""
    missing = _missing(failure)
    if missing is None:
        return ""
    found = _close(missing, map(str, read))
    if found:
        return f"the field {found}"
    for field, value in read.items():
        rows = [row for row in _rows(value) if isinstance(row, Mapping)]
        keys = dict.fromkeys(str(key) for row in rows for key in row)
        close = _close(missing, keys) or _part_of(missing, keys)
        if not close:
            continue
        having = sum(close in row for row in rows)
        if len(rows) == 1:
            return f"the key {close} of {field}"
        many = f"all {having:,}" if having == len(rows) else f"{having:,} of {len(rows):,}"
        return f"the key {close} is in {many} {field}"
    return ""


def _missing(failure: Failure) -> str | None:
    if failure.type == "KeyError":
        found = re.match(r"""^['"](.*)['"]$""", failure.message.strip())
        return found[1] if found else failure.message.strip()
    if failure.type not in ("NameError", "AttributeError", "StateError"):
        return None
    found = re.search(r"(?:name|attribute|field) '([^']+)'(?: is not defined|$)", failure.message)
    return found[1] if found else None


def _close(missing: str, known: Iterable[str]) -> str:
    """The name that is spelled most like it; "" is none."""
    return next(iter(difflib.get_close_matches(missing, list(known), n=1, cutoff=0.6)), "")


def _part_of(missing: str, keys: Iterable[str]) -> str:
    """A key that begins like the missing name, or goes on from it."""
    long = (key for key in keys if len(key) > 2)
    return next((k for k in long if missing.startswith(k) or k.startswith(missing)), "")


def _rows(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return [value]
    return value[:ROWS] if isinstance(value, (list, tuple)) else []


def kept(thread: StoredThread, loaded: Any) -> str:
    """What does not run again, and what does, in a sentence."""
    done = [node_of(task) for task in work_of(loaded).done]
    before = [node_of(task) for info in thread.line(thread.checkpoint_id) for task in info.ran]
    finished = list(dict.fromkeys([*before[-20:], *done]))
    failed = list(dict.fromkeys(r.node for r in loaded.tasks if r.failure is not None))
    finished = [name for name in finished if name not in failed]
    stay = f"{_listed(finished)} {'is' if len(finished) == 1 else 'are'} kept; "
    run = f"only {_listed(failed)} {'runs' if len(failed) == 1 else 'run'} again"
    return f"{stay if finished else ''}{run}"


def _listed(names: list[str]) -> str:
    if len(names) > 4:
        return f"{', '.join(names[-3:])} and {len(names) - 3} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _attempts(thread: StoredThread, node: str) -> list[float]:
    """How long each attempt at the step that failed took, in seconds."""
    step = thread.info.step
    spans = [s for s in thread.store.spans(thread.id) if s.kind == "attempt" and s.node == node]
    last = [span for span in spans if span.step > step] or spans
    return [round(span.ended - span.started, 3) for span in last[-10:]]
