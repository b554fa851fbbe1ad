"""
The open questions of a store, all threads together.
"""

from __future__ import annotations

import contextlib
from typing import Any

from nbagent.engine.model.checkpoint import Question
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.engine.thread.leave_answer import open_questions
from nbagent.errors import NbagentError
from nbagent.stores.codec.values import to_look
from nbagent.stores.lookup.rows import moment

COLUMNS = (
    "thread", "graph", "node", "question", "show", "deadline", "asked", "id", "schema"
)  # fmt: skip


def question_facts(question: Question) -> dict[str, Any]:
    """What a program is told of a question."""
    return {
        "id": question.id,
        "node": question.node,
        "question": question.question,
        "show": list(question.show),
        "schema": question.schema,
        "deadline": moment(question.deadline),
    }


def questions_of(store: CheckpointStore) -> list[dict[str, Any]]:
    """A row for each open question, what has waited longest first; of threads that are nested in
    another, as that one asks it."""
    found = []
    waiting = [info for info in store.threads() if info.status == "waiting" and not info.is_nested]
    for info in sorted(waiting, key=lambda info: info.updated):
        with contextlib.suppress(NbagentError), to_look():
            for question in open_questions(store, info.id):
                found.append(
                    {
                        "thread": info.id,
                        "graph": info.graph,
                        "asked": moment(info.updated),
                        **question_facts(question),
                    }
                )
    return found
