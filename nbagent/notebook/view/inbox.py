"""
The inbox: what all threads of a store ask, as a table that shows itself live and is answered in
place.
"""

from __future__ import annotations

from typing import Any

import pandas

from nbagent.engine.ports import Url
from nbagent.engine.store.opening import resolve_store
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.stores.lookup.questions import COLUMNS, questions_of


class Inbox(pandas.DataFrame):  # type: ignore[misc]  # pandas ships no types
    """The open questions of a store as a DataFrame that shows itself as a live table."""

    _metadata = ["store"]  # noqa: RUF012  (pandas reads it from the class)


def inbox(store: Url | CheckpointStore | None = None) -> Any:
    """All open questions of a store, what has waited longest first; in a notebook a table that
    moves, in which each is answered.

    Columns: thread, graph, node, question, show (the fields beside it), deadline and asked (times,
    UTC), id (for `resume(answers={id: …})`), schema (of the answer, JSON Schema or None).
    """
    found = resolve_store(store)
    made = Inbox(questions_of(found), columns=list(COLUMNS))
    for name in ("deadline", "asked"):
        made[name] = pandas.to_datetime(made[name], utc=True)
    made.store = found
    return made
