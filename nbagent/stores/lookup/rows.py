"""
What is in a thread, as rows of plain values: the one place that says which columns there are.

A value that is no text, number or None is JSON. Values of classes that this process does not know
are shown as what was stored of them.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nbagent.engine.model.checkpoint import JournalEntry
from nbagent.engine.model.ids import node_of
from nbagent.engine.model.readable import to_json
from nbagent.engine.model.work import EFFECT, KIND
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.engine.store.reports import trace_rows
from nbagent.errors import NbagentError
from nbagent.stores.codec.values import to_look

Row = dict[str, Any]

COLUMNS: dict[str, tuple[str, ...]] = {
    "threads": (
        "thread", "graph", "status", "step", "checkpoint", "created", "updated", "error", "parent",
    ),
    "state": ("thread", "checkpoint", "field", "value"),
    "history": (
        "thread", "checkpoint", "parent", "step", "kind", "at", "updated", "ran", "note", "actor",
    ),
    "trace": (
        "thread", "step", "node", "task", "attempt", "kind", "name", "start", "duration", "status",
        "tokens", "cost", "error", "then",
    ),
    "questions": (
        "thread", "id", "node", "question", "status", "answer", "deadline", "show",
    ),
    "effects": ("thread", "node", "key", "status", "result"),
    "printed": ("thread", "step", "node", "text"),
}  # fmt: skip
"""The tables of a store, and what is in them. `at`, `start`, `created`, `updated` of a thread and
`deadline` are UTC as text; `duration` is in seconds, `cost` in the currency of whoever set it."""


def rows_of(table: str, store: CheckpointStore, thread: str) -> list[Row]:
    """What one thread has in a table; `UnknownThread` if the store has none."""
    with to_look():
        return [
            {name: row.get(name) for name in COLUMNS[table]}
            for row in _TABLES[table](store, thread)
        ]


def thread_rows(store: CheckpointStore) -> list[Row]:
    """All threads, the nested ones, too, newest first."""
    return [
        {
            "thread": info.id,
            "graph": info.graph,
            "status": info.status,
            "step": info.step,
            "checkpoint": info.checkpoint,
            "created": moment(info.created),
            "updated": moment(info.updated),
            "error": info.error,
            "parent": info.parent,
        }
        for info in store.threads()
    ]


def state_rows(store: CheckpointStore, thread: str, checkpoint: int | None = None) -> list[Row]:
    """A thread's fields at a checkpoint, by default at the latest one; none before the first."""
    id, values = _values(store, thread, checkpoint)
    return [
        {"thread": thread, "checkpoint": id, "field": name, "value": plain(value)}
        for name, value in values.items()
    ]


def state_of(store: CheckpointStore, thread: str, checkpoint: int | None = None) -> Row:
    """The same as one object of JSON's types: field -> value."""
    _, values = _values(store, thread, checkpoint)
    return {name: json.loads(to_json(value)) for name, value in values.items()}


def _values(
    store: CheckpointStore, thread: str, checkpoint: int | None
) -> tuple[int, Mapping[str, Any]]:
    with to_look():
        loaded = store.latest(thread) if checkpoint is None else store.load(thread, checkpoint)
    return (0, {}) if loaded is None else (loaded.checkpoint.id, loaded.checkpoint.values)


def plain(value: Any) -> Any:
    """What a cell of a database takes: a text, a number, None, or else JSON."""
    if value is None or type(value) is str or (type(value) is float and math.isfinite(value)):
        return value
    if type(value) is int and -(1 << 63) <= value < 1 << 63:
        return value
    return to_json(value)


def moment(seconds: float | None) -> str | None:
    """Unix seconds as `2026-11-25 16:12:05.250`, UTC."""
    if seconds is None:
        return None
    try:
        found = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, OSError, ValueError):
        return str(seconds)
    return found.strftime("%Y-%m-%d %H:%M:%S.") + f"{found.microsecond // 1000:03}"


def texts_in(value: Any) -> Iterator[str]:
    """The words of a value: its texts and its keys, not JSON's signs."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)
    elif value is not None:
        yield str(value)


def words_of(cell: Any) -> str:
    """A cell as text to search in."""
    if not isinstance(cell, str) or cell[:1] not in ("{", "["):
        return "" if cell is None else str(cell)
    try:
        return "\n".join(texts_in(json.loads(cell)))
    except ValueError:
        return cell


def _history(store: CheckpointStore, thread: str) -> Iterator[Row]:
    for info in store.history(thread):
        yield {
            "thread": thread,
            "checkpoint": info.id,
            "parent": info.parent,
            "step": info.step,
            "kind": info.kind,
            "at": moment(info.at),
            "updated": ", ".join(info.updated),
            "ran": ", ".join(dict.fromkeys(map(node_of, info.ran))),
            "note": info.note,
            "actor": info.actor,
        }


def _trace(store: CheckpointStore, thread: str) -> Iterator[Row]:
    for row in trace_rows(store, thread):
        if row["thread"] == thread:
            yield {**row, "start": moment(row["start"])}


def _journal(store: CheckpointStore, thread: str) -> list[JournalEntry]:
    """All that a thread's journal holds. What an answer or an effect is stays with the checkpoint
    that its task was planned on."""
    found: dict[tuple[int, str, int], JournalEntry] = {}
    latest = store.latest(thread)
    anchors = {record.anchor for record in store.outcomes(thread)}
    for entry in latest.journal if latest is not None else ():
        found[entry.anchor, entry.task, entry.position] = entry
    if latest is not None:
        anchors.discard(latest.checkpoint.anchor)
    for anchor in sorted(anchors):
        try:
            for entry in store.load(thread, anchor).journal:
                found[entry.anchor, entry.task, entry.position] = entry
        except NbagentError:
            continue  # its checkpoint was pruned, or cannot be read
    return [found[key] for key in sorted(found)]


def _questions(store: CheckpointStore, thread: str) -> Iterator[Row]:
    for entry in _journal(store, thread):
        if entry.kind != KIND:
            continue
        asked = entry.payload or {}
        yield {
            "thread": thread,
            "id": entry.call_id,
            "node": node_of(entry.task),
            "question": plain(asked.get("question")),
            "status": {"open": "open", "done": "answered"}.get(entry.status, "dropped"),
            "answer": plain(entry.result) if entry.status == "done" else None,
            "deadline": moment(asked.get("deadline")),
            "show": ", ".join(asked.get("show") or ()),
        }


def _effects(store: CheckpointStore, thread: str) -> Iterator[Row]:
    words = {"done": "happened", "void": "did not happen", "open": "begun, outcome unknown"}
    for entry in _journal(store, thread):
        if entry.kind == EFFECT:
            yield {
                "thread": thread,
                "node": node_of(entry.task),
                "key": entry.key,
                "status": words[entry.status],
                "result": plain(entry.result) if entry.status == "done" else None,
            }


def _printed(store: CheckpointStore, thread: str) -> Iterator[Row]:
    for span in store.spans(thread):
        if span.kind == "output":
            text = str(span.attributes.get("text", ""))
            yield {"thread": thread, "step": span.step, "node": span.node, "text": text}


_TABLES: dict[str, Callable[[CheckpointStore, str], Any]] = {
    "state": state_rows,
    "history": _history,
    "trace": _trace,
    "questions": _questions,
    "effects": _effects,
    "printed": _printed,
}
