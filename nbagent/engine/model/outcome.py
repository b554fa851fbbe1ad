"""
What a run gives back: its last state, a dict that knows how the run has ended.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from nbagent.engine.model.checkpoint import Question, Status

_SHORT = 60  # characters of a question


class Outcome(dict[str, Any]):
    """The state that a run ended with: a dict like any other, and equal to a plain one.

    status     how it ended: "done", "paused", "waiting", "stopped"
    thread     its `Thread`: `outcome.thread.resume(answer)` goes on
    questions  what it waits for: each with .id, .node, .question, .show, .schema

    Shown, it says how the run has ended, and what to do where that was not at its end. Copies of
    it, and what a node writes of it, are plain dicts.
    """

    __slots__ = ("questions", "status", "thread")

    def __init__(
        self,
        state: Mapping[str, Any],
        *,
        status: Status = "done",
        thread: Any = None,
        questions: Sequence[Question] = (),
    ) -> None:
        super().__init__(state)
        self.status: Status = status
        self.thread = thread
        self.questions = tuple(questions)

    def __repr__(self) -> str:
        return f"{dict.__repr__(self)}  # {self.told()}"

    def __missing__(self, name: Any) -> Any:
        raise KeyError(
            name if self.status == "done" else f"{name!r} is not there yet: {self.told()}"
        )

    def told(self, handle: str = ".thread") -> str:
        """How the run has ended, in a line, and how to go on with `handle`."""
        id = getattr(self.thread, "id", "")
        if not self.questions:
            how = "" if self.status == "done" else f": go on with {handle}.resume()"
            return f"{self.status}, thread {id!r}{how}"
        asked = ", and ".join(repr(_shortened(one.question)) for one in self.questions)
        if len(self.questions) == 1:
            return f"{self.status}, thread {id!r} asks {asked}: answer with {handle}.resume(…)"
        ids = ", ".join(f"{one.id!r}: …" for one in self.questions)
        return (
            f"{self.status}, thread {id!r} asks {asked}: answer with "
            f"{handle}.resume(answers={{{ids}}})"
        )

    def copy(self) -> dict[str, Any]:
        return dict(self)

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return copy.deepcopy(dict(self), memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (dict(self),)


def _shortened(question: Any) -> str:
    text = " ".join(str(question).split())
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"
