"""
The work of a super-step: its tasks, what of them has been done, and what they ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from nbagent.engine.model.checkpoint import (
    JournalEntry,
    Loaded,
    Question,
    TaskRecord,
)
from nbagent.engine.model.fact import fact
from nbagent.engine.model.ids import node_of, read_called, task_of
from nbagent.engine.model.values import MISSING

KIND = "interrupt"
EFFECT = "effect"


def to_question(entry: JournalEntry) -> Question:
    """The question that an open journal entry stands for."""
    payload: Mapping[str, Any] = entry.payload
    return Question(
        id=entry.call_id,
        node=payload["node"],
        task=entry.task,
        question=payload["question"],
        show=tuple(payload["show"]),
        schema=payload["schema"],
        deadline=payload["deadline"],
        on_expiry=payload["on_expiry"],
    )


@fact
class Task:
    """One execution of one node in this super-step; `input` is MISSING when it reads the state.

    timeout  seconds that one attempt may take, in place of the node's own
    """

    id: str
    node: str
    input: Any = MISSING
    timeout: float | None = None


@fact
class Work:
    """What has been done already of the super-step that a checkpoint's plan asks for.

    done, failed   by task id
    journal        task id -> position -> entry
    calls          task id -> the places of the threads that its code has called graphs in
    """

    done: Mapping[str, TaskRecord] = field(default_factory=dict)
    failed: Mapping[str, TaskRecord] = field(default_factory=dict)
    journal: Mapping[str, Mapping[int, JournalEntry]] = field(default_factory=dict)
    calls: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def questions(self) -> tuple[Question, ...]:
        """The open questions, by task and position."""
        entries = (entry for calls in self.journal.values() for entry in calls.values())
        return tuple(map(to_question, filter(is_open_question, entries)))

    def answered(self) -> tuple[Question, ...]:
        """The answered questions of tasks that have not finished: they can be answered anew."""
        return tuple(
            to_question(entry)
            for task, entries in self.journal.items()
            if task not in self.done
            for entry in entries.values()
            if entry.kind == KIND and entry.status == "done" and not _is_of_effect(entry, entries)
        )


NOTHING_DONE = Work()


def is_open_question(entry: JournalEntry) -> bool:
    """True for a question that nobody has answered."""
    return entry.kind == KIND and entry.status == "open"


def _is_of_effect(entry: JournalEntry, entries: Mapping[int, JournalEntry]) -> bool:
    """True for an effect, and for the question what came of one."""
    before = entries.get(entry.position - 1)
    is_question = entry.kind == KIND and before is not None and before.kind == EFFECT
    return entry.kind == EFFECT or is_question


def undone(loaded: Loaded, rerun: Sequence[str]) -> tuple[list[TaskRecord], list[JournalEntry]]:
    """What the tasks of nodes that are to run again have written, taken back: their results, the
    answers that they got and what they had cached. Their effects have happened, and stay."""
    records = [
        replace(record, status="waiting", update={}, goto=())
        for record in loaded.tasks
        if record.node in rerun and record.status == "done"
    ]
    own = [entry for entry in loaded.journal if node_of(entry.task) in rerun]
    placed = {(entry.task, entry.position): entry for entry in own}
    entries = []
    for entry in own:
        before = placed.get((entry.task, entry.position - 1))
        around = {} if before is None else {before.position: before}
        if not _is_of_effect(entry, around):
            entries.append(replace(entry, status="void"))
    return records, entries


def work_of(loaded: Loaded, rerun: Sequence[str] = (), nested: Sequence[str] = ()) -> Work:
    """What has been done of the super-step under way, without the nodes of `rerun`: of these only
    the effects are kept, which have happened, and what a person has said of them.

    nested   the places of the threads that are nested in this one
    """
    journal: dict[str, dict[int, JournalEntry]] = {}
    for entry in loaded.journal:
        journal.setdefault(entry.task, {})[entry.position] = entry
    for entry in undone(loaded, rerun)[1]:
        journal[entry.task][entry.position] = entry
    kept = [record for record in loaded.tasks if record.node not in rerun]
    return Work(
        done={record.task: record for record in kept if record.status == "done"},
        failed={record.task: record for record in kept if record.status == "failed"},
        journal=journal,
        calls=_calls(nested) if nested else {},
    )


def _calls(nested: Sequence[str]) -> dict[str, list[str]]:
    calls: dict[str, list[str]] = {}
    for place in nested:
        task = task_of(place)
        if task is not None and read_called(place):
            calls.setdefault(task, []).append(place)
    return calls
