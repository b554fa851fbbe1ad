"""
What a view knows of the ground that a run moves on: the nodes of a drawing, and its ways back.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from nbagent.engine.model.checkpoint import CheckpointInfo
from nbagent.engine.model.ids import node_of
from nbagent.graph.layout import Drawing


def names_in(drawing: Drawing) -> list[str]:
    """The nodes that a drawing shows, those in stacks and in open graphs included."""
    names: dict[str, None] = {}
    for box in drawing.boxes:
        if box.kind in ("node", "area"):
            names[box.name] = None
        names.update(dict.fromkeys(box.members))
    return list(names)


def back_edges(drawing: Drawing) -> frozenset[tuple[str, str]]:
    """The edges that lead up, or back to where they came from."""
    at = {box.name: box.y for box in drawing.boxes}
    return frozenset(
        (wire.source, wire.target) for wire in drawing.wires
        if wire.source in at and wire.target in at and at[wire.target] <= at[wire.source]
    )  # fmt: skip


def walked(
    line: Sequence[CheckpointInfo], back: frozenset[tuple[str, str]]
) -> list[tuple[str, str]]:
    """The edges back that a line of checkpoints went, as far as what ran tells it."""
    found = []
    for before, after in pairwise(line):
        ran, then = set(map(node_of, before.ran)), set(map(node_of, after.ran))
        found += [edge for edge in back if edge[0] in ran and edge[1] in then]
    return found
