"""
What cached nodes have returned, thrown away.
"""

from __future__ import annotations

from typing import Any

from nbagent.engine.model.program import Program
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.errors import GraphError, StoreError, nearest


def clear_cache(program: Program, store: CheckpointStore, node: Any = None) -> int:
    """Forget what the graph's cached nodes have returned, or one of them; how many results. With
    all of them, those of its subgraphs."""
    name = None if node is None else node if isinstance(node, str) else node.name
    if name is not None and name not in program.nodes:
        raise GraphError(
            f"graph {program.name!r} has no node {name!r}{nearest(name, program.nodes)}"
        )
    forget = getattr(store, "forget_results", None)
    if forget is None:
        raise StoreError(f"{store!r} cannot forget results: it has no method `forget_results`")
    count = 0
    for one in program.nodes.values():
        if name is None and one.program is not None:
            count += clear_cache(one.program, store)
        if name in (None, one.name) and one.policy.cache is not None:
            count += forget(one.name, one.captured)
    return count
