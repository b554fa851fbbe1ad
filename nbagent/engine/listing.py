"""
Threads, checkpoints and differences as tables: pandas DataFrames where pandas is there. (R24)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nbagent.engine.checkpoint import CheckpointInfo, CheckpointStore, resolve_store
from nbagent.engine.edits import node_of
from nbagent.engine.snapshot import MISSING, equal, thaw
from nbagent.engine.tables import table


def threads(store: str | CheckpointStore | None = None, *, nested: bool = False) -> Any:
    """All threads of a store (by default the current one), newest first, one a row.

    nested  those of subgraphs, too
    """
    columns = ["thread", "graph", "status", "step", "checkpoint", "updated", "error"]
    rows = [
        {
            "thread": info.id,
            "graph": info.graph,
            "status": info.status,
            "step": info.step,
            "checkpoint": info.checkpoint,
            "updated": info.updated,
            "error": info.error,
        }
        for info in resolve_store(store).threads()
        if nested or not info.is_nested
    ]
    return table(rows, columns)


def history_table(infos: Sequence[CheckpointInfo]) -> Any:
    """Checkpoints, one a row, in the order of writing."""
    columns = ["checkpoint", "parent", "step", "kind", "ran", "updated", "at", "note", "actor"]
    rows = [
        {
            "checkpoint": info.id,
            "parent": info.parent,
            "step": info.step,
            "kind": info.kind,
            "ran": ", ".join(dict.fromkeys(map(node_of, info.ran))),
            "updated": ", ".join(info.updated),
            "at": info.at,
            "note": info.note,
            "actor": info.actor,
        }
        for info in infos
    ]
    return table(rows, columns)


def diff_table(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> Any:
    """What differs between two states: a row a field, with both values."""
    rows = [
        {"field": name, "before": thaw(earlier.get(name)), "after": thaw(later.get(name))}
        for name in dict.fromkeys([*earlier, *later])
        if not equal(earlier.get(name, MISSING), later.get(name, MISSING))
    ]
    return table(rows, ["field", "before", "after"])
