"""
The context of a run: what its nodes are given beside the state, and no store ever has.

Rule: a thread remembers that it had one, and nothing of it. Who goes on with it is asked for it
      again, before anything runs where the graph says what its context is.
"""

from __future__ import annotations

from typing import Any

from nbagent.engine.model.program import Program
from nbagent.engine.thread.look import StoredThread
from nbagent.errors import ThreadError

KIND = "context"


class Given:
    """The context of a run, for its nodes: its own, or that of the run that it is part of.

    is_asked  the thread may have had one, and this run was given none: then `ThreadError`
    """

    def __init__(
        self, thread: StoredThread, given: Any, is_asked: bool, around: Given | None
    ) -> None:
        self._thread, self._given, self._is_asked = thread, given, is_asked
        self._around = around

    def __call__(self) -> Any:
        if self._around is not None:
            given = self._around()
            return given if given is not None else first_context(self._thread.program, None)
        if self._given is None and self._is_asked:
            check_context(self._thread)
        return self._given


def first_context(program: Program, given: Any) -> Any:
    """The context that a run begins with; `StateError` for one that is not the graph's."""
    return given if program.read_context is None else program.read_context(given)


def next_context(thread: StoredThread, given: Any) -> Any:
    """The same for a run that goes on; `ThreadError` where the thread had one, and it is not
    given again."""
    program = thread.program
    if program.read_context is None:
        return given
    if given is None:
        check_context(thread)
    return program.read_context(given)


def check_context(thread: StoredThread) -> None:
    """`ThreadError` for a thread whose runs were given a context."""
    kinds = [span.name for span in thread.store.spans(thread.id) if span.kind == KIND]
    if kinds and kinds[-1]:
        raise ThreadError(
            f"thread {thread.id!r} was started with a context (a {kinds[-1]}), which is in no "
            "store: give it again, as in resume(…, context=…)",
            thread=thread.id,
        )
