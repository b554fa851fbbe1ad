"""
A stretch of time in a run, and somebody else's tracer that is told of it. (R36)
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(slots=True)
class Span:
    """A stretch of time inside a task, or a run.

    kind        "run", "attempt" (one that failed; `attributes["then"]` is what was done about it),
                "span"; without a length: "output" (what the node printed), "note" (a person's, on
                the checkpoint `name`) and "title" (of the thread), whose words are
                `attributes["text"]`, "input" (whose digest that is: see `graph.map`), "answer"
                (which `attributes["cell"]` gave it), "edit" (likewise, of checkpoint `name`),
                "rerun" (with which code the task `name` was to run again), "origin" (the checkpoint
                `name` of its parent that a fork began at), and "context" (the class `name` of what
                its run was given beside the state)
    parent      the id of the span around it; None directly in the task
    started, ended   Unix seconds
    status      "ok" or "error"; of a run, how it ended
    attributes  numbers, texts, booleans; names as OpenTelemetry has them where it has one
    """

    thread: str
    kind: str
    name: str
    step: int = 0
    node: str = ""
    task: str = ""
    attempt: int = 1
    started: float = 0.0
    ended: float = 0.0
    status: str = "ok"
    attributes: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: os.urandom(8).hex())
    parent: str | None = None

    def set(self, **attributes: Any) -> None:
        """Add what is known only now, such as the tokens that a call took."""
        self.attributes.update(attributes)


class Bridge(Protocol):
    """Somebody else's tracer. Each method gives a context manager; nothing in it may raise."""

    def run(self, thread: str, graph: str, before: str) -> AbstractContextManager[str]:
        """Around a run; `before` is what the thread's last run got from this. Gives a text to keep
        with the thread, so that the next run can say what it continues."""
        ...

    def step(self, thread: str, step: int) -> AbstractContextManager[None]:
        """Around a super-step."""
        ...

    def attempt(
        self, thread: str, step: int, node: str, task: str, attempt: int
    ) -> AbstractContextManager[None]:
        """Around one attempt of a task; an exception that leaves it is the attempt's."""
        ...

    def span(self, span: Span) -> AbstractContextManager[None]:
        """Around a span that a node has opened."""
        ...
