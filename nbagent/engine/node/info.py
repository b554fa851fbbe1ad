"""
What a node can know of the task that it is, and of the run around it.

Rule 1: the context that a run is given (a user's id, a client, a connection) is in this process
        only: it is in no store. Whoever goes on with the thread gives it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbagent.engine.model.callables import takes_task
from nbagent.engine.model.taskinfo import TaskInfo
from nbagent.engine.node.context import current


def task() -> TaskInfo[Any]:
    """The task that runs here; `NbagentError` where none does."""
    inside = current("task")
    at, facts = inside.place, inside.services.facts
    return TaskInfo(
        graph=facts.graph,
        thread=at.thread,
        step=at.step,
        node=at.node,
        attempt=inside.attempt,
        remaining_steps=facts.left(),
        context=facts.context(),
        metadata=facts.metadata(),
    )


def with_task(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, given its task where it has a parameter for that."""
    if not takes_task(function):
        return function

    def call(*args: Any) -> Any:
        return function(*args, task=task())

    return call
