"""
The events of a thread again, from its store: what watched the run can watch it later. (R24, R36)

Rule 1: they are those of the line that leads to the latest checkpoint, in order, with the times
        that were kept; what was emitted, and attempts that failed, are not among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nbagent.engine.model.checkpoint import Checkpoint, TaskRecord
from nbagent.engine.model.values import MISSING, equal
from nbagent.engine.thread.look import StoredThread
from nbagent.engine.watch import events as ev
from nbagent.errors import ThreadError


def replay(
    thread: StoredThread, since: int | None = None, until: int | None = None
) -> Iterator[ev.Event]:
    """See `StoredThread.replay`."""
    for number, (event, at) in enumerate(_events(thread, since, until), 1):
        ev.stamp(event, number, at)
        yield event


def _events(
    thread: StoredThread, since: int | None, until: int | None
) -> Iterator[tuple[ev.Event, float]]:
    id, info = thread.id, thread.info
    line = thread.line(until or thread.checkpoint_id)
    first = next((place for place, entry in enumerate(line) if entry.id == since), 0)
    if since is not None and (not line or line[first].id != since):
        raise ThreadError(
            f"checkpoint {since} does not lead to {until or thread.checkpoint_id}", thread=id
        )
    line = line[first:]
    printed = {s.task: s.attributes["text"] for s in thread.store.spans(id) if s.kind == "output"}
    loaded = thread.load(line[0].id)
    before = loaded.checkpoint
    common: dict[str, Any] = {"thread": id}
    started = ev.RunStarted(
        **common, step=before.step + 1, graph=thread.program.name, checkpoint=before
    )
    yield started, line[0].at
    for entry in line[1:]:
        records = {record.task: record for record in loaded.tasks}
        loaded = thread.load(entry.id)
        after = loaded.checkpoint
        common["step"] = after.step
        if after.kind == "step":
            done = [records[task] for task in after.ran if task in records]
            began = min((record.started for record in done), default=entry.at)
            tasks = {record.task: record.node for record in done}
            yield ev.StepPlanned(**common, tasks=tasks), began
            yield from _of_tasks(common, done, printed)
            changes = changed(before, after, entry.updated)
            yield ev.StepReconciled(**common, changes=changes), entry.at
        yield ev.Checkpointed(**common, checkpoint=after), entry.at
        before = after
    if until is not None:
        return
    common["step"] = before.step
    yield (
        ev.RunEnded(
            **common,
            status=info.status,
            next=thread.next,
            questions=thread.questions,
            error=info.error,
        ),
        info.updated,
    )


def _of_tasks(
    common: Mapping[str, Any], records: list[TaskRecord], printed: Mapping[str, str]
) -> Iterator[tuple[ev.Event, float]]:
    """What the tasks told, by time."""
    told: list[tuple[ev.Event, float]] = []
    for record in records:
        facts = {**common, "node": record.node, "task": record.task}
        told.append((ev.NodeStarted(**facts, attempt=record.attempt), record.started))
        if record.task in printed:
            text = printed[record.task]
            told.append((ev.NodePrinted(**facts, stream="stdout", text=text), record.ended))
        duration = record.ended - record.started
        finished = ev.NodeFinished(
            **facts, update=record.update, duration=duration, attempt=record.attempt
        )
        told.append((finished, record.ended))
    yield from sorted(told, key=lambda each: each[1])


def changed(
    before: Checkpoint, after: Checkpoint, updated: Iterable[str]
) -> dict[str, tuple[Any, Any]]:
    """What the super-step says that it changed: two tables read from a file cannot be compared."""
    both = {n: (before.values.get(n, MISSING), after.values.get(n, MISSING)) for n in updated}
    return {name: pair for name, pair in both.items() if not equal(*pair)}
