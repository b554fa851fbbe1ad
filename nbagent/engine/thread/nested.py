"""
The threads that are nested in one: of the graphs that its tasks run. What they ask, and when there
is something to do for them, is read from the store alone: their graphs need not be at hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nbagent.engine.model import ids
from nbagent.engine.model.checkpoint import Loaded, Question, ThreadInfo
from nbagent.engine.model.fact import fact
from nbagent.engine.model.work import Work, work_of
from nbagent.engine.node.subgraph import as_parents
from nbagent.engine.store.ownership import give_back, take
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.engine.thread.answers import answered, expired, split
from nbagent.engine.thread.budgets import grant
from nbagent.engine.thread.carried import ANEW


@fact
class Nested:
    """A thread that an unfinished task runs. `call` names it in the ids of its questions."""

    info: ThreadInfo
    task: str
    call: str


def unfinished(
    nested: list[ThreadInfo], thread: str, loaded: Loaded, work: Work
) -> Iterator[Nested]:
    """Those nested in `thread` that belong to the super-step under way and have not ended."""
    for info in nested:
        task = ids.task_of(info.place)
        if (
            info.parent == thread
            and info.checkpoint
            and info.status != "done"
            and task is not None
            and ids.anchor_of(task) == loaded.checkpoint.anchor
            and task not in work.done
        ):
            yield Nested(info, task, ids.call_of(info.place))


def questions(
    store: CheckpointStore,
    nested: list[ThreadInfo],
    thread: str,
    loaded: Loaded,
    *,
    are_answered: bool = False,
) -> list[Question]:
    """What the thread asks, and what those nested in it ask, as it asks it.

    are_answered   instead of the open questions those that may be answered anew
    """
    work = work_of(loaded)
    found = list(work.answered() if are_answered else work.questions())
    for one in unfinished(nested, thread, loaded, work):
        inner = store.latest(one.info.id)
        if inner is not None:
            node = ids.node_of(one.task)
            asked = questions(store, nested, one.info.id, inner, are_answered=are_answered)
            found += [as_parents(q, one.call, node, one.info.id) for q in asked]
    return found


def times(
    store: CheckpointStore, nested: list[ThreadInfo], thread: str, loaded: Loaded
) -> Iterator[float]:
    """When there is something to do: a wait for a server is over, a question has expired."""
    work = work_of(loaded)
    asked = {question.task for question in work.questions()}
    for record in work.failed.values():
        if record.task not in asked and record.resume_at is not None:
            yield record.resume_at
    for question in work.questions():
        if question.on_expiry is not None and question.deadline is not None:
            yield question.deadline
    for one in unfinished(nested, thread, loaded, work):
        inner = store.latest(one.info.id)
        if inner is not None:
            yield from times(store, nested, one.info.id, inner)


def answer(
    store: CheckpointStore,
    nested: list[ThreadInfo],
    thread: str,
    loaded: Loaded,
    given: Mapping[str, Any],
    *,
    now: float,
    take_over: bool,
) -> None:
    """Write answers to the questions of those nested in `thread` to their journals."""
    _, inner = split(given)
    for one in unfinished(nested, thread, loaded, work_of(loaded)) if inner else ():
        if one.call not in inner:
            continue
        lease = take(store, one.info.id, take_over=take_over)
        try:
            latest = store.latest(one.info.id)
            if latest is not None:
                own, _ = split(inner[one.call])
                answer(
                    store, nested, one.info.id, latest, inner[one.call],
                    now=now, take_over=take_over,
                )  # fmt: skip
                if entries := answered(latest, own) + expired(latest, own, now):
                    grant(store, one.info.id, entries, now)
                    store.put_journal(lease, entries)
        finally:
            give_back(store, lease)


def begin_anew(store: CheckpointStore, info: ThreadInfo, *, take_over: bool) -> None:
    """Let a nested thread begin again: its node is to run again as a whole. Its next run gives it
    its input anew; until then it stands at the first one."""
    lease = take(store, info.id, take_over=take_over)
    try:
        newest = lease.before.checkpoint if lease.before is not None else 0
        first = store.load(info.id, 1).checkpoint
        number = newest + 1
        store.commit(
            lease, replace(first, id=number, parent=1, kind="fork", anchor=number, note=ANEW)
        )
        store.release(lease, "paused")
    except BaseException:
        give_back(store, lease)
        raise


def to_run_anew(
    nested: list[ThreadInfo], thread: str, loaded: Loaded, rerun: Sequence[str]
) -> list[ThreadInfo]:
    """The threads that nodes of the super-step under way have run, and are to run again."""
    return [
        info
        for info in nested
        if info.parent == thread
        and info.checkpoint
        and ids.node_of(info.place) in rerun
        and ids.anchor_of(info.place) == loaded.checkpoint.anchor
    ]
