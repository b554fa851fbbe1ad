"""
The graphs and stores that a notebook's variables hold, and threads found in them by id.
"""

from __future__ import annotations

import sys
from typing import Any

from nbagent.engine.store.opening import resolve_store
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.engine.thread.thread import Thread
from nbagent.errors import GraphError, nearest
from nbagent.graph.builder import Graph


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


def names_here() -> dict[str, Any]:
    """The notebook's variables; none outside IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell.user_ns if shell is not None else {}


def as_defined_now(thread: Thread) -> Thread:
    """The thread with its graph as the notebook has it now: the graph's cell may have been run
    again since. A thread under another one, or of a graph that is not here, stays as it is."""
    graph = graphs(names_here()).get(thread.program.name)
    if graph is None or thread.within is not None or graph.store is not thread.store:
        return thread
    program = graph.compile()
    return thread if program is thread.program else thread.sibling(thread.id, program)


def variable_of(name: str) -> str:
    """The variable that holds the graph of that name; the name, where none does."""
    own = {n: one for n, one in names_here().items() if isinstance(one, Graph) and n[0] != "_"}
    return name if name in own else next((n for n, g in own.items() if g.name == name), name)


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
