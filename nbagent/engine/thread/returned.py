"""
What a durable function gives back: its thread's state, with the value that it returned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from nbagent.errors import ThreadError

R = TypeVar("R")


class Returned(dict[str, Any], Generic[R]):
    """The state as a dict, and `value`, what the function returned."""

    def __init__(self, state: Mapping[str, Any], field: str, run: Any = None) -> None:
        super().__init__(state)
        self._field = field
        self._run = run

    @property
    def value(self) -> R:
        """What the function returned; `ThreadError` where it has not returned yet."""
        if self._field not in self:
            raise ThreadError(
                "the function has not returned: it asks, or is paused; answer and resume its "
                "thread, and take the value of what that gives",
                thread=self._run.thread.id if self._run is not None else "",
            )
        value: R = self[self._field]
        return value

    @property
    def status(self) -> str:
        """How the run ended: done, waiting, paused."""
        return "done" if self._run is None else str(self._run.status)

    @property
    def thread(self) -> Any:
        """Its thread."""
        return None if self._run is None else self._run.thread

    @property
    def questions(self) -> tuple[Any, ...]:
        """What it asks."""
        return () if self._run is None else tuple(self._run.questions)
