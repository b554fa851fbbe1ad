"""
Writes to a field that are more than a value to merge: several of one task, and one that replaces
what is there.

What the nodes of a subgraph wrote, one after another, the parent's reducer folds as it would if
the nodes were its own, whatever the reducer is and whoever else writes the field in that
super-step. So it is with a node that returns several updates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Several:
    """The values in the order of writing, frozen. Part of a task's record, never of a state."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Overwrite:
    """A write that replaces a field with a reducer, and does not go through it:
    `return {"messages": Overwrite([summary])}`.

    What else is written to the field in that super-step is replaced as well; two nodes that
    overwrite it are a `ConflictError`.
    """

    value: Any


def each_write(value: Any) -> tuple[Any, ...]:
    """The writes that a task's record holds for a field: one, or several."""
    return value.values if type(value) is Several else (value,)
