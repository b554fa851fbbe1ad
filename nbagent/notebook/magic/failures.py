"""
How an error of nbagent looks in a cell: its message and the user's own lines, not fifty of ours.
"""

from __future__ import annotations

import linecache
import os
from pathlib import Path
from typing import Any

from nbagent import errors
from nbagent.errors import GraphError, NbagentError, NodeError

_PACKAGE = f'"{Path(errors.__file__).parent}{os.sep}'
_RED, _BOLD, _PLAIN = "\x1b[31m", "\x1b[1m", "\x1b[0m"


def render(error: NbagentError) -> list[str]:
    """The lines that a notebook shows for the error, with ANSI colours."""
    lines = [f"{_RED}{type(error).__name__}{_PLAIN}: {error}"]
    location = getattr(error, "location", None)
    if isinstance(error, GraphError) and location is not None:
        source = linecache.getline(location.filename, location.line).rstrip()
        if source.strip():
            lines.append(f"  line {location.line}: {_BOLD}{source.strip()}{_PLAIN}")
    if isinstance(error, NodeError):
        own = _own_frames(error.traceback.rstrip().splitlines())
        lines += ["", *own] if own else []
    return lines


def _own_frames(traceback: list[str]) -> list[str]:
    """A traceback without the frames of this package: all that is left may be nothing new."""
    kept, is_ours, has_frames = [], False, False
    for line in traceback:
        if line.startswith("  File "):
            is_ours = _PACKAGE in line
            has_frames = has_frames or not is_ours
        elif not line.startswith("  "):
            is_ours = False
        if not is_ours:
            kept.append(line)
    return kept if has_frames else []


def install() -> None:
    """Let IPython ask `render` for the text of every nbagent error."""

    def traceback(self: NbagentError, *_: Any) -> list[str]:
        return render(self)

    NbagentError._render_traceback_ = traceback  # type: ignore[attr-defined]
