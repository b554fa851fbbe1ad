"""
From a stored thread to what a run begins with: the work done, the questions, their answers.

A question of a subgraph has the id `TASK/ID`: the task that runs the subgraph, and the
question's id in the subgraph's own thread, as many levels deep as there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nbagent.engine.checkpoint import JournalEntry, Loaded, Question
from nbagent.engine.edits import node_of
from nbagent.engine.program import Schema
from nbagent.engine.snapshot import freeze
from nbagent.engine.task import Work, is_open_question
from nbagent.errors import UnknownQuestion

THE_ONE = ""  # stands for the id of the only open question


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


def match(
    thread: str,
    schema: Schema,
    questions: Sequence[Question],
    answers: Mapping[str, Any],
) -> dict[str, Any]:
    """Question id -> answer, each checked against its question; `THE_ONE` has got its id."""
    given = dict(answers)
    by_id = {question.id: question for question in questions}
    listed = ", ".join(by_id) or "none"
    if THE_ONE in given:
        if len(by_id) != 1:
            raise UnknownQuestion(
                f"thread {thread!r} has {len(by_id)} open questions, and one answer "
                f"was given: use answers={{question id: answer}} (open: {listed})",
                thread=thread,
            )
        given[next(iter(by_id))] = given.pop(THE_ONE)
    for id, value in given.items():
        if id not in by_id:
            raise UnknownQuestion(
                f"thread {thread!r} has no open question {id!r} (open: {listed})",
                thread=thread,
                question=id,
            )
        schema.check_answer(by_id[id].schema, value)
    return given


def split(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Answers to the thread's own questions, and task -> answers to its subgraph's."""
    own: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {}
    for id, value in given.items():
        task, slash, rest = id.partition("/")
        if slash:
            nested.setdefault(task, {})[rest] = value
        else:
            own[id] = value
    return own, nested


def answered(loaded: Loaded, given: Mapping[str, Any]) -> list[JournalEntry]:
    """The journal's entries for the thread's own questions that are answered now."""
    return [
        replace(entry, status="done", result=freeze(given[id]))
        for entry in loaded.journal
        if is_open_question(entry) and (id := f"{entry.task}:{entry.position}") in given
    ]


def expired(loaded: Loaded, given: Mapping[str, Any], now: float) -> list[JournalEntry]:
    """Open questions whose deadline has passed, answered as their expiry policy says. (W13)"""
    return [
        replace(entry, status="done", result=entry.payload["on_expiry"])
        for entry in loaded.journal
        if is_open_question(entry)
        and f"{entry.task}:{entry.position}" not in given
        and entry.payload["deadline"] is not None
        and entry.payload["deadline"] <= now
        and entry.payload["on_expiry"] is not None
    ]
