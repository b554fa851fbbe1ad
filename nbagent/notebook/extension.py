"""
What one notebook session knows: its shell, its graphs by name, and the runs it shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import textwrap
from typing import Any

from nbagent.engine.thread.loop import use_kernel_loop
from nbagent.notebook.host import has_widgets
from nbagent.notebook.magic.parsers import BELOW


def load(shell: Any) -> None:
    """Register the magics and the displays with an IPython shell."""
    from nbagent.notebook.display import register_formatters
    from nbagent.notebook.magic.completion import complete
    from nbagent.notebook.magic.export import failed, note_failure
    from nbagent.notebook.magic.magics import AgentMagics, below

    shell.register_magics(AgentMagics(shell))
    shell.register_magic_function(below, "line", BELOW)
    for one in (_at_the_top, _help_alone):
        if one not in shell.input_transformers_cleanup:
            shell.input_transformers_cleanup.append(one)
    register_formatters(shell)
    if has_widgets(shell):
        with contextlib.suppress(RuntimeError):  # a shell without a loop of asyncio's
            use_kernel_loop(asyncio.get_running_loop())
    if note_failure not in shell.events.callbacks["post_run_cell"]:
        failed.clear()  # another shell
        shell.events.register("post_run_cell", note_failure)
    if hasattr(shell, "set_hook"):
        shell.set_hook("complete_command", complete, str_key="%agent")


def unload(shell: Any) -> None:
    """Take the magics back. What runs goes on."""
    for name in ("agent", "graph", BELOW):
        shell.magics_manager.magics["line"].pop(name, None)
    shell.magics_manager.magics["cell"].pop("graph", None)


def _at_the_top(lines: list[str]) -> list[str]:
    """An indented `%%graph` is no cell magic to IPython, and none below a comment: the first is
    put right, the second is a mistake of its own, and not one in the lines below it."""
    first = next((n for n, line in enumerate(lines) if not _says_nothing(line)), 0)
    found = re.match(r"\s*%%graph(\s.*|)$", lines[first].rstrip("\r\n")) if lines else None
    if found is None or (first == 0 and lines[0].startswith("%%")):
        return lines
    if any(line.strip() for line in lines[:first]):
        return [f"get_ipython().run_line_magic({BELOW!r}, {found[1].strip()!r})\n"]
    return [lines[first].lstrip(), *textwrap.dedent("".join(lines[first + 1 :])).splitlines(True)]


def _says_nothing(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _help_alone(lines: list[str]) -> list[str]:
    """IPython refuses a cell magic without a body, so `%%graph --help` becomes a line magic."""
    if lines and lines[0].startswith("%%graph") and not "".join(lines[1:]).strip():
        return [lines[0][1:]]
    return lines
