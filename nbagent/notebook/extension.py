"""
What one notebook session knows: its shell, its graphs by name, and the runs it shows.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from nbagent.engine.thread.loop import use_kernel_loop
from nbagent.notebook.host import has_widgets


def load(shell: Any) -> None:
    """Register the magics and the displays with an IPython shell."""
    from nbagent.notebook.display import register_formatters
    from nbagent.notebook.magic.completion import complete
    from nbagent.notebook.magic.export import failed, note_failure
    from nbagent.notebook.magic.magics import AgentMagics

    shell.register_magics(AgentMagics(shell))
    if _help_alone not in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.append(_help_alone)
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
    for name in ("agent", "graph"):
        shell.magics_manager.magics["line"].pop(name, None)
    shell.magics_manager.magics["cell"].pop("graph", None)


def _help_alone(lines: list[str]) -> list[str]:
    """IPython refuses a cell magic without a body, so `%%graph --help` becomes a line magic."""
    if lines and lines[0].startswith("%%graph") and not "".join(lines[1:]).strip():
        return [lines[0][1:]]
    return lines
