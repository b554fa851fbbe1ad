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
from nbagent.engine.model.ids import node_of
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
    """What has been done already of the super-step that a checkpoint's plan asks for."""

    done: Mapping[str, TaskRecord] = field(default_factory=dict)
    failed: Mapping[str, TaskRecord] = field(default_factory=dict)
    journal: Mapping[str, Mapping[int, JournalEntry]] = field(default_factory=dict)

    def questions(self) -> tuple[Question, ...]:
        """The open questions, by task and position."""
        entries = (entry for calls in self.journal.values() for entry in calls.values())
        return tuple(map(to_question, filter(is_open_question, entries)))


NOTHING_DONE = Work()


def is_open_question(entry: JournalEntry) -> bool:
    """True for a question that nobody has answered."""
    return entry.kind == KIND and entry.status == "open"


def work_of(loaded: Loaded, rerun: Sequence[str] = ()) -> Work:
    """What has been done of the super-step under way, without the nodes of `rerun`."""
    journal: dict[str, dict[int, JournalEntry]] = {}
    for entry in loaded.journal:
        if node_of(entry.task) not in rerun:
            journal.setdefault(entry.task, {})[entry.position] = entry
    kept = [record for record in loaded.tasks if record.node not in rerun]
    return Work(
        done={record.task: record for record in kept if record.status == "done"},
        failed={record.task: record for record in kept if record.status == "failed"},
        journal=journal,
    )
