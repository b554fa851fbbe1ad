"""
What one notebook session knows: its shell, its graphs by name, and the runs it shows.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from nbagent.engine.checkpoint import CheckpointStore, resolve_store
from nbagent.engine.loop import use_kernel_loop
from nbagent.engine.names import nearest
from nbagent.engine.thread import Thread
from nbagent.errors import GraphError
from nbagent.graph.builder import Graph
from nbagent.notebook.frontend import has_widgets


def load(shell: Any) -> None:
    """Register the magics and the displays with an IPython shell."""
    from nbagent.notebook.completion import complete
    from nbagent.notebook.display import register_formatters
    from nbagent.notebook.export import failed, note_failure
    from nbagent.notebook.magics import AgentMagics

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


def graphs(namespace: dict[str, Any]) -> dict[str, Graph]:
    """The graphs that the notebook's variables hold, by the graphs' own names."""
    own = {
        name: value
        for name, value in namespace.items()
        if isinstance(value, Graph) and not name.startswith("_")
    }
    return {graph.name: graph for graph in own.values()} | own


def graph_named(name: str, namespace: dict[str, Any]) -> Graph:
    """The graph of that name; an error that says which there are."""
    found = graphs(namespace)
    if name not in found:
        known = ", ".join(found) or "none yet"
        raise GraphError(
            f"no graph {name!r} is defined here{nearest(name, found)} (there are: {known}): run "
            "the cell that defines it first"
        )
    return found[name]


def stores(namespace: dict[str, Any]) -> list[CheckpointStore]:
    """The stores in use: the current one, and those of the graphs here."""
    own = [graph.store for graph in graphs(namespace).values()]
    return list(dict.fromkeys([resolve_store(None), *own]))


def thread_named(
    id: str, namespace: dict[str, Any], store: CheckpointStore | None = None
) -> Thread:
    """The thread of that id, with the graph that it belongs to; by default from any store here."""
    error: Exception | None = None
    for one in [store] if store is not None else stores(namespace):
        try:
            info = one.thread(id)
        except Exception as unknown:
            error = error or unknown
            continue
        graph = graph_named(info.graph, namespace)
        return Thread(id, program=graph.compile(), store=one)
    assert error is not None
    raise error
