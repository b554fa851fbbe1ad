"""
The events of a thread again, from its store: what watched the run can watch it later. (R24, R36)

Rule 1: they are those of the line that leads to the latest checkpoint, in order, with the times
        that were kept; what was emitted, and attempts that failed, are not among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nbagent.engine import events as ev
from nbagent.engine.checkpoint import Checkpoint, CheckpointInfo, TaskRecord
from nbagent.engine.snapshot import MISSING, equal

if TYPE_CHECKING:
    from nbagent.engine.stored import StoredThread


def replay(thread: StoredThread) -> Iterator[ev.Event]:
    """See `StoredThread.replay`."""
    for number, (event, at) in enumerate(_events(thread), 1):
        object.__setattr__(event, "number", number)  # nobody else has seen it
        object.__setattr__(event, "at", at)
        yield event


def _events(thread: StoredThread) -> Iterator[tuple[ev.Event, float]]:
    id, info = thread.id, thread.info
    line = _line(thread)
    printed = {s.task: s.attributes["text"] for s in thread.store.spans(id) if s.kind == "output"}
    before = thread.point(checkpoint=line[0].id)
    common: dict[str, Any] = {"thread": id}
    started = ev.RunStarted(
        **common, step=before.step + 1, graph=thread.program.name, checkpoint=before
    )
    yield started, line[0].at
    for entry in line[1:]:
        after = thread.point(checkpoint=entry.id)
        common["step"] = after.step
        if after.kind == "step":
            records = {r.task: r for r in thread.store.load(id, before.id).tasks}
            done = [records[task] for task in after.ran if task in records]
            began = min((record.started for record in done), default=entry.at)
            tasks = {record.task: record.node for record in done}
            yield ev.StepPlanned(**common, tasks=tasks), began
            yield from _of_tasks(common, done, printed)
            yield ev.StepReconciled(**common, changes=_changes(before, after)), entry.at
        yield ev.Checkpointed(**common, checkpoint=after), entry.at
        before = after
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


def _line(thread: StoredThread) -> list[CheckpointInfo]:
    """The history from the first checkpoint to the latest, without other branches."""
    by_id = {info.id: info for info in thread.store.history(thread.id)}
    at: int | None = thread.checkpoint_id
    line = []
    while at is not None and at in by_id:
        line.append(by_id[at])
        at = by_id[at].parent
    return line[::-1]


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


def _changes(before: Checkpoint, after: Checkpoint) -> dict[str, tuple[Any, Any]]:
    names = dict.fromkeys([*before.values, *after.values])
    both = {n: (before.values.get(n, MISSING), after.values.get(n, MISSING)) for n in names}
    return {name: pair for name, pair in both.items() if not equal(*pair)}
