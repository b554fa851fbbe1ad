"""
From a stored thread to what a run begins with: the work done, the questions, their answers.

A question of a subgraph has the id `TASK/ID`: the task that runs the subgraph, and the
question's id in the subgraph's own thread, as many levels deep as there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nbagent.engine.model.checkpoint import Checkpoint, JournalEntry, Loaded, Question
from nbagent.engine.model.ids import split_question
from nbagent.engine.model.program import Program
from nbagent.engine.model.several import each_write
from nbagent.engine.model.values import MISSING, equal, freeze
from nbagent.engine.model.work import KIND, is_open_question, work_of
from nbagent.errors import StaleAnswer, StateError, UnknownQuestion

THE_ONE = ""  # stands for the id of the only open question


def moved_fields(
    program: Program, before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[str, ...]:
    """The fields of a checkpoint that another state class does not have, or has otherwise."""
    return tuple(
        name
        for name, value in before.items()
        if name not in program.fields or not equal(value, after.get(name, MISSING))
    )


def check_kept(thread: str, program: Program, loaded: Loaded, rerun: Sequence[str]) -> None:
    """`StateError` when what has finished of the super-step under way no longer fits the state.

    It was paid for, so it is neither dropped nor guessed at.
    """
    for record in loaded.tasks:
        if record.status != "done" or record.node in rerun:
            continue
        for name, value in record.update.items():
            why = ""
            if name not in program.fields:
                why = "the state class has no more"
            elif name in loaded.moved:
                why = "migrate= makes anew from the state alone"
            else:
                try:
                    for one in each_write(value):
                        program.schema.check_write(name, one, record.node)
                except StateError as error:
                    why = f"does not fit the state class that there is now ({error})"
            if why:
                raise StateError(
                    f"node {record.node!r} has finished in the super-step under way of thread "
                    f"{thread!r}, and wrote {name!r}, which {why}. Nothing was changed: resume "
                    "with the class as it was until the super-step is over, or say "
                    f"resume(rerun=[{record.node!r}]) to run it again",
                    field=name,
                    node=record.node,
                )


def match(
    thread: str,
    check: Callable[[Mapping[str, Any] | None, Any], Any],
    questions: Sequence[Question],
    answers: Mapping[str, Any],
    seen: Mapping[str, Question] | None = None,
    *,
    answered: Sequence[Question] = (),
) -> dict[str, Any]:
    """Question id -> answer, each checked against its question; `THE_ONE` has got its id.

    check      gives an answer as it is kept; `StateError` where it does not fit its question
    answered   those that may be answered anew, by their id
    seen   the questions that whoever answers has looked at; None when that is not known
    """
    given = dict(answers)
    by_id = {question.id: question for question in questions}
    listed = ", ".join(by_id) or "none"
    if answered:
        anew = ", ".join(f"{one.id!r}" for one in answered)
        listed += f"; to be answered anew by answers={{id: …}}: {anew}"
    if THE_ONE in given:
        if len(by_id) != 1:
            raise UnknownQuestion(
                f"thread {thread!r} has {len(by_id)} open questions, and one answer "
                f"was given: use answers={{question id: answer}} (open: {listed})",
                thread=thread,
            )
        (only,) = questions
        if seen is not None and only.id not in seen:
            raise stale(thread, only, seen)
        given[only.id] = given.pop(THE_ONE)
    by_id |= {question.id: question for question in answered}
    for id, value in given.items():
        if id not in by_id:
            raise UnknownQuestion(
                f"thread {thread!r} has no open question {id!r} (open: {listed})",
                thread=thread,
                question=id,
            )
        given[id] = check(by_id[id].schema, value)
    return given


def stale(thread: str, asked: Question, seen: Mapping[str, Question]) -> StaleAnswer:
    """The error for an answer that was meant for another question."""
    others = " or ".join(repr(one.question) for one in seen.values())
    meant = f"the answer was given to {others}" if seen else "this answer was given before"
    return StaleAnswer(
        f"thread {thread!r}: {meant}, and by now the thread asks {asked.question!r}. If the "
        f"answer is meant for that, say so: resume(answers={{{asked.id!r}: …}})",
        thread=thread,
        asked=asked.id,
        seen=list(seen),
    )


def split(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Answers to the thread's own questions, and task -> answers to its subgraph's."""
    own: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {}
    for id, value in given.items():
        task, rest = split_question(id)
        if task is not None:
            nested.setdefault(task, {})[rest] = value
        else:
            own[id] = value
    return own, nested


def answered(loaded: Loaded, given: Mapping[str, Any]) -> list[JournalEntry]:
    """The journal's entries for the thread's own questions that are answered now, for the first
    time or anew. What a task has asked after an answer that is given anew is withdrawn: it asks
    again, if it still has to."""
    entries: list[JournalEntry] = []
    anew: dict[str, int] = {}
    for entry in loaded.journal:
        if entry.kind == KIND and entry.status != "void" and entry.call_id in given:
            entries.append(replace(entry, status="done", result=freeze(given[entry.call_id])))
            if entry.status == "done":
                anew[entry.task] = min(entry.position, anew.get(entry.task, entry.position))
    for entry in loaded.journal:
        is_later = entry.position > anew.get(entry.task, entry.position)
        if is_later and is_open_question(entry) and entry.call_id not in given:
            entries.append(replace(entry, status="void"))
    return entries


def shown_otherwise(loaded: Loaded, edited: Checkpoint) -> list[JournalEntry]:
    """The answered questions of unfinished tasks that show a field which an edit changes: whoever
    answered has not seen what it is now, so they are open again."""
    before = loaded.checkpoint.values
    changed = {
        name for name, value in edited.values.items() if not equal(before.get(name, MISSING), value)
    }
    shown = {one.id for one in work_of(loaded).answered() if not changed.isdisjoint(one.show)}
    return [
        replace(entry, status="open", result=None)
        for entry in loaded.journal
        if entry.kind == KIND and entry.call_id in shown
    ]


def expired(loaded: Loaded, given: Mapping[str, Any], now: float) -> list[JournalEntry]:
    """Open questions whose deadline has passed, answered as their expiry policy says."""
    return [
        replace(entry, status="done", result=entry.payload["on_expiry"])
        for entry in loaded.journal
        if is_open_question(entry)
        and entry.call_id not in given
        and entry.payload["deadline"] is not None
        and entry.payload["deadline"] <= now
        and entry.payload["on_expiry"] is not None
    ]
