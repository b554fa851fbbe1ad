"""
The work of a super-step: its tasks, what of them has been done, and what they ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
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
    """One execution of one node in this super-step; `input` is MISSING when it reads the state."""

    id: str
    node: str
    input: Any = MISSING


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


NOTHING_DONE = Work()


def is_open_question(entry: JournalEntry) -> bool:
    """True for a question that nobody has answered."""
    return entry.kind == KIND and entry.status == "open"


def work_of(loaded: Loaded, rerun: Sequence[str] = (), nested: Sequence[str] = ()) -> Work:
    """What has been done of the super-step under way, without the nodes of `rerun`.

    nested   the places of the threads that are nested in this one
    """
    journal: dict[str, dict[int, JournalEntry]] = {}
    for entry in loaded.journal:
        if node_of(entry.task) not in rerun:
            journal.setdefault(entry.task, {})[entry.position] = entry
    kept = [record for record in loaded.tasks if record.node not in rerun]
    return Work(
        done={record.task: record for record in kept if record.status == "done"},
        failed={record.task: record for record in kept if record.status == "failed"},
        journal=journal,
        calls=_calls(nested, rerun) if nested else {},
    )


def _calls(nested: Sequence[str], rerun: Sequence[str]) -> dict[str, list[str]]:
    calls: dict[str, list[str]] = {}
    for place in nested:
        task = task_of(place)
        if task is not None and read_called(place) and node_of(task) not in rerun:
            calls.setdefault(task, []).append(place)
    return calls
