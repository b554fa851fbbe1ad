"""
What a run holds beside the state: the values of fields that are never stored (`Untracked`).

Rule: they become part of what nodes read when the super-step that wrote them is committed, as all
      writes do, and are gone with the run. They are handed out as they are: a client or a
      connection cannot be copied for each reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nbagent.engine.model.channels import Write
from nbagent.engine.model.program import START, Program
from nbagent.engine.model.several import each_write
from nbagent.engine.model.state_view import StateView
from nbagent.engine.model.values import FrozenDict, seal
from nbagent.engine.model.work import Task


def apart(program: Program, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """An input without what is never stored, and that; `StateError` for what does not fit."""
    held = {name: given[name] for name in program.untracked if name in given}
    for name, value in held.items():
        program.schema.check_write(name, value, START)
    return {name: value for name, value in given.items() if name not in held}, held


class Held:
    """The values of one run, and what the tasks of the super-step under way have written."""

    def __init__(self, program: Program, values: Mapping[str, Any]) -> None:
        self._program = program
        self.values = {name: values[name] for name in program.untracked if name in values}
        self._written: dict[str, Mapping[str, Any]] = {}

    def keep(self, task: str, update: Mapping[str, Any]) -> FrozenDict:
        """Take what is never stored out of what a task wrote; the rest."""
        own = {name: update[name] for name in self._program.untracked if name in update}
        if own:
            self._written[task] = own
        return seal({name: value for name, value in update.items() if name not in own})

    def merged(self, tasks: Iterable[Task]) -> dict[str, Any]:
        """The values once the super-step is committed; `ConflictError` for two that wrote one."""
        writes: dict[str, list[Write]] = {}
        for task in tasks:
            for name, value in self._written.get(task.id, {}).items():
                for one in each_write(value):
                    writes.setdefault(name, []).append(Write(task.node, task.id, one))
        made = {name: self._program.fields[name].merge(None, some) for name, some in writes.items()}
        return {**self.values, **made}

    def commit(self, values: dict[str, Any]) -> None:
        """The super-step is committed."""
        self.values, self._written = values, {}

    def lend(self, view: Any) -> Any:
        """Show the values in what a node is about to read."""
        for name, value in self.values.items():
            if type(view) is StateView:
                dict.__setitem__(view, name, value)
                view.own += (name,)
            else:
                object.__setattr__(view, name, value)
        return view
