"""
What a run is given beside its state: where it is to pause, how many nodes at once, what is known
of it. Checked before anything is written.

Rule 1: where it is to pause is in the checkpoint that its input makes, and in those behind it until
        it has been passed: so a resume in another process pauses there, too.
Rule 2: what is known of a run is a mark beside the checkpoint that its input makes, and holds for
        those behind it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from nbagent.engine.model.budget import Budget, check_budget
from nbagent.engine.model.checkpoint import Checkpoint, Loaded
from nbagent.engine.model.fact import fact
from nbagent.engine.model.ids import BUDGET_CHANNEL, PAUSE_CHANNEL
from nbagent.engine.model.program import Program
from nbagent.engine.model.secrets import strike_out_of
from nbagent.engine.model.span import Span
from nbagent.engine.model.values import seal
from nbagent.engine.thread.budgets import budget_content
from nbagent.engine.thread.gate import KIND as BREAKPOINT
from nbagent.engine.thread.standin import check_node, name_of_node
from nbagent.errors import StateError, ThreadError

METADATA = "metadata"
EVERY = "*"
Pauses = tuple[tuple[str, str, int], ...]
"""Of each: "before" or "after", the node, and the checkpoint at which it had stopped there already
when it was told, or 0."""


def read_pauses(thread: str, program: Program, before: Any, after: Any) -> Pauses:
    """("before" or "after", node, 0) of each node that is named; "*" is every node."""
    found: list[tuple[str, str, int]] = []
    for place, given in (("before", before), ("after", after)):
        is_one = isinstance(given, str) or not isinstance(given, Iterable)
        for one in [given] if is_one else given:
            name = name_of_node(one)
            if name == EVERY:
                found += [(place, node, 0) for node in program.nodes]
                continue
            check_node(thread, program, name)
            found.append((place, name, 0))
    return tuple(dict.fromkeys(found))


@fact
class Given:
    """What a checkpoint has of what its run was given: where it pauses, what it may spend."""

    pauses: Pauses = ()
    budget: Budget | None = None

    def behind(self, loaded: Loaded) -> Given:
        """As a run is told that goes on: where the thread has stopped there, and goes on because
        of that, it pauses there the next time."""
        if not self.pauses:
            return self
        opened = {e.key for e in loaded.journal if e.kind == BREAKPOINT and e.status == "done"}
        anchor = loaded.checkpoint.anchor
        told = [(p, n, anchor if f"{p} {n}" in opened else 0) for p, n, _ in self.pauses]
        return replace(self, pauses=tuple(told))

    def put(self, checkpoint: Checkpoint) -> Checkpoint:
        """The checkpoint from which on that holds."""
        if not self.pauses and self.budget is None:
            return checkpoint
        control = dict(checkpoint.control)
        if self.pauses:
            listed = dict.fromkeys((*control.get(PAUSE_CHANNEL, ()), *self.pauses))
            control[PAUSE_CHANNEL] = tuple(listed)
        if self.budget is not None:
            control[BUDGET_CHANNEL] = budget_content(checkpoint, self.budget)
        return replace(checkpoint, control=seal(control))


NOTHING_GIVEN = Given()


def read_given(thread: str, program: Program, before: Any, after: Any, budget: Any) -> Given:
    """What a run is told of where it pauses and what it may spend, checked."""
    if not before and not after and budget is None:
        return NOTHING_GIVEN
    try:
        checked = check_budget(budget)
    except (TypeError, ValueError) as error:
        raise ThreadError(f"thread {thread!r}: {error}", thread=thread) from error
    return Given(read_pauses(thread, program, before, after), checked)


def check_at_once(thread: str, count: Any) -> int | None:
    """`max_concurrency`, or None; `ThreadError` for what is no number of nodes."""
    if count is None:
        return None
    if type(count) is not int or count < 1:
        raise ThreadError(
            f"thread {thread!r}: max_concurrency={count!r}: it is how many nodes may run at once, "
            "a whole number, at least 1",
            thread=thread,
        )
    return count


def read_metadata(given: Any) -> dict[str, Any] | None:
    """What is known of a run, as JSON has it; `StateError` for what JSON has not."""
    if given is None:
        return None
    try:
        if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
            raise TypeError("it is no dict of names")
        read: dict[str, Any] = json.loads(json.dumps(dict(given), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise StateError(
            f"metadata={given!r}: {error}; give a dict of texts, numbers, booleans, None, and "
            "lists and dicts of these"
        ) from error
    struck: dict[str, Any] = strike_out_of(read)
    return struck


def mark_metadata(thread: str, checkpoint: int, metadata: Mapping[str, Any], now: float) -> Span:
    """What is written beside the checkpoint."""
    known = {"metadata": dict(metadata)}
    return Span(thread, METADATA, str(checkpoint), started=now, ended=now, attributes=known)
