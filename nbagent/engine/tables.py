"""
Lists of facts as tables and pictures, without knowing what these are.

The engine has only the standard library; `nbagent` registers pandas as the factory. (C5)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, Any]]


def _plain(rows: Rows, columns: Sequence[str]) -> Any:
    return [{name: row.get(name) for name in columns} for row in rows]


_factory: list[Callable[[Rows, Sequence[str]], Any]] = [_plain]


def register_table(factory: Callable[[Rows, Sequence[str]], Any]) -> None:
    """Build tables with `factory(rows, columns)` from now on."""
    _factory[0] = factory


def table(rows: Rows, columns: Sequence[str]) -> Any:
    """The rows as a table with these columns: a pandas DataFrame where nbagent is imported."""
    return _factory[0](rows, columns)


_plotters: list[Callable[[Any, Any], Any]] = []


def register_plotter(plotter: Callable[[Any, Any], Any]) -> None:
    """Draw traces with `plotter(trace, ax)` from now on."""
    _plotters[:] = [plotter]


def plot(trace: Any, ax: Any) -> Any:
    """The trace drawn, by whoever has registered for that."""
    return _plotters[0](trace, ax)
