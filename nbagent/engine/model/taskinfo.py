"""
What a node is told of the task that it is. Type checkers read the file beside this one, where the
context's type has a default: `TaskInfo` alone means `TaskInfo[Any]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

C = TypeVar("C")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInfo(Generic[C]):
    """The task that a node is: its second parameter where that is named `task`, and what
    `nbagent.task()` gives anywhere inside.

    graph            the graph's name
    thread           the thread's id; of a subgraph, its own
    step             the super-step, from 1
    node, attempt    the node's name; which attempt this is, from 1, counted over restarts
    remaining_steps  super-steps that the run may make after this one, until `step_limit`
    context          what the run was given: `start(context=…)`
    metadata         what the run was given: `start(metadata=…)`

    To test a node alone, make one: `draft(state, TaskInfo(context=Context(user="ada")))`.
    """

    graph: str = ""
    thread: str = ""
    step: int = 1
    node: str = ""
    attempt: int = 1
    remaining_steps: int = 0
    context: C = None  # type: ignore[assignment]
    metadata: Mapping[str, Any] = field(default_factory=dict)
