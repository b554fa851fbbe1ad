"""
An answer that is kept where the graph is not at hand: whoever runs the thread next goes on with it.

Rule 1: it is checked by the question's own schema, and written under the lease, like any other.
Rule 2: the thread still waits, as its status says, until somebody who has the graph runs it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from nbagent.engine import ports
from nbagent.engine.model.budget import as_answer
from nbagent.engine.model.checkpoint import Question
from nbagent.engine.store.ownership import found_as, fresh_owner
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.engine.thread import nested
from nbagent.engine.thread.answers import answered, match, split
from nbagent.engine.thread.budgets import grant
from nbagent.errors import ThreadError, UnknownQuestion


def open_questions(store: CheckpointStore, id: str) -> list[Question]:
    """What a thread asks, those nested in it included; its graph need not be at hand."""
    loaded = store.latest(id)
    return [] if loaded is None else nested.questions(store, store.under(id), id, loaded)


def leave_answer(
    store: CheckpointStore,
    id: str,
    answers: Mapping[str, Any],
    *,
    clock: Callable[[], float] = time.time,
) -> list[Question]:
    """Write answers by question id; "" is the one open question. What is open then.

    `UnknownQuestion` or `StateError` for one that does not fit, `ThreadBusy` while it runs.
    """
    answers = {one: as_answer(answer) for one, answer in answers.items()}
    lease = store.acquire(id, fresh_owner())
    status = found_as(lease.before) if lease.before is not None else "waiting"
    try:
        if status not in ("waiting", "paused", "stopped", "failed"):
            raise UnknownQuestion(f"thread {id!r} is {status} and asks nothing", thread=id)
        loaded = store.latest(id)
        if loaded is None:
            raise ThreadError(f"thread {id!r} has no checkpoint yet", thread=id)
        under = store.under(id)
        asked = nested.questions(store, under, id, loaded)
        before = nested.questions(store, under, id, loaded, are_answered=True)
        given = match(id, ports.check_answer, asked, answers, None, answered=before)
        nested.answer(store, under, id, loaded, given, now=clock(), take_over=False)
        own, _ = split(given)
        if entries := answered(loaded, own):
            grant(store, id, entries, clock())
            store.put_journal(lease, entries)
    finally:
        store.release(lease, status, error=lease.before.error if lease.before else "")
    return open_questions(store, id)
