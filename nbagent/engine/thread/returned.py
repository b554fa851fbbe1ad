"""
What a durable function gives back: its thread's state, with the value that it returned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from nbagent.engine.model.outcome import Outcome
from nbagent.errors import ThreadError

R = TypeVar("R")


class Returned(Outcome, Generic[R]):
    """The outcome, and `value`, what the function returned."""

    def __init__(self, state: Mapping[str, Any], field: str, run: Any = None) -> None:
        if run is None:
            super().__init__(state)
        else:
            super().__init__(state, status=run.status, thread=run.thread, questions=run.questions)
        self._field = field

    @property
    def value(self) -> R:
        """What the function returned; `ThreadError` where it has not returned yet."""
        if self._field not in self:
            raise ThreadError(
                "the function has not returned: it asks, or is paused; answer and resume its "
                "thread, and take the value of what that gives",
                thread=getattr(self.thread, "id", ""),
            )
        value: R = self[self._field]
        return value
