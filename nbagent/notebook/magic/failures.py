"""
How an error of nbagent looks in a cell: its message and the user's own lines, not fifty of ours.
"""

from __future__ import annotations

import linecache
from typing import Any

from nbagent.errors import GraphError, NbagentError, NodeError

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
        text = error.traceback.rstrip()
        if text:
            lines += ["", *text.splitlines()]
    return lines


def install() -> None:
    """Let IPython ask `render` for the text of every nbagent error."""

    def traceback(self: NbagentError, *_: Any) -> list[str]:
        return render(self)

    NbagentError._render_traceback_ = traceback  # type: ignore[attr-defined]
