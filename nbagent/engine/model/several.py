"""
Several writes of one task to one field: what the nodes of a subgraph wrote, one after another.

The parent's reducer folds them as it would if the nodes were its own, whatever the reducer is and
whoever else writes the field in that super-step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Several:
    """The values in the order of writing, frozen. Part of a task's record, never of a state."""

    values: tuple[Any, ...]


def each_write(value: Any) -> tuple[Any, ...]:
    """The writes that a task's record holds for a field: one, or several."""
    return value.values if type(value) is Several else (value,)
