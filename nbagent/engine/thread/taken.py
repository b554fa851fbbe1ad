"""
Answers on their way from who gives them to the journals of those who asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbagent.engine import ports
from nbagent.engine.model.checkpoint import Lease, Loaded, ThreadInfo
from nbagent.engine.model.ids import anchor_of
from nbagent.engine.thread import nested
from nbagent.engine.thread.answers import THE_ONE, answered, expired, match, split, stale
from nbagent.engine.thread.budgets import grant
from nbagent.engine.thread.look import StoredThread


def matched(
    thread: StoredThread, loaded: Loaded, given: Mapping[str, Any], under: list[ThreadInfo]
) -> dict[str, Any]:
    """The answers by their questions' ids. `StaleAnswer` for one without an id to a question
    that its giver has not seen, also when the cell that is executed has given it before."""
    asked = nested.questions(thread.store, under, thread.id, loaded)
    before = nested.questions(thread.store, under, thread.id, loaded, are_answered=True)
    answers = match(
        thread.id, thread.program.schema.check_answer, asked, given, thread.seen, answered=before
    )
    cell = ports.find_cell() if THE_ONE in given else None
    if cell is not None:
        digest, execution = cell
        given_before = [
            span.name
            for span in thread.store.spans(thread.id)
            if span.kind == "answer"
            and span.attributes.get("cell") == digest
            and span.attributes["text"] != execution
        ]
        if given_before and not thread.seen:
            began = thread.line(loaded.checkpoint.id)[0].id  # it may have begun afresh since
            if any((anchor_of(question) or 0) >= began for question in given_before):
                raise stale(thread.id, asked[0], {})
        thread._remark("answer", asked[0].id, execution, cell=digest)
    return answers


def take_answers(
    thread: StoredThread,
    lease: Lease,
    loaded: Loaded,
    given: Mapping[str, Any],
    under: list[ThreadInfo],
    take_over: bool,
) -> None:
    """Write the answers given, and those of questions that have expired, to the journal."""
    now = thread.clock()
    nested.answer(thread.store, under, thread.id, loaded, given, now=now, take_over=take_over)
    own, _ = split(given)
    entries = answered(loaded, own) + expired(loaded, own, now)
    if entries:
        grant(thread.store, thread.id, entries, now)
        thread.store.put_journal(lease, entries)
