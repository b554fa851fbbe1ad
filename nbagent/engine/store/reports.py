"""
Threads, checkpoints and differences as tables: pandas DataFrames where pandas is there. (R24)
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

from nbagent.engine.model.checkpoint import CheckpointInfo
from nbagent.engine.model.ids import anchor_of, node_of
from nbagent.engine.model.span import Span
from nbagent.engine.model.values import MISSING, equal, thaw
from nbagent.engine.ports import Url, choose_rows, make_table
from nbagent.engine.store.opening import resolve_store
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.engine.store.upkeep import family

THREADS = ("thread", "graph", "status", "step", "checkpoint", "updated", "error", "metadata")


def threads(
    store: Url | CheckpointStore | None = None,
    *,
    nested: bool = False,
    where: str | None = None,
    params: Sequence[Any] | Mapping[str, Any] = (),
    order_by: str | None = None,
    limit: int | None = None,
    state: Mapping[str, Any] | None = None,
) -> Any:
    """All threads of a store (by default the current one), newest first, one a row.

    nested    those of subgraphs, too
    where     a condition in SQL over the table's columns, as in "status = ? and graph = ?"; times
              are UTC, as text: "updated > '2026-11-01'"
    params    the values of its `?`, in their order
    order_by  columns in SQL, as in "graph, updated desc"
    limit     so many at most
    state     fields that the latest state has, as in {"topic": "bees"}

    Columns: thread, graph, status, step, checkpoint, updated, error, metadata (a dict; in `where`
    it is JSON: "metadata ->> 'user' = ?").
    """
    found = resolve_store(store)
    known = found.metadata() if hasattr(found, "metadata") else {}
    rows = [
        {
            "thread": info.id,
            "graph": info.graph,
            "status": info.status,
            "step": info.step,
            "checkpoint": info.checkpoint,
            "updated": info.updated,
            "error": info.error,
            "metadata": known.get(info.id, {}),
        }
        for info in found.threads()
        if nested or not info.is_nested
    ]
    choice = {
        "where": where, "params": params, "order_by": order_by, "limit": limit, "state": state
    }  # fmt: skip
    if any(given is not None for given in (where, order_by, limit, state)):
        return make_table(choose_rows(found, rows, THREADS, choice), THREADS)
    return make_table(rows, THREADS)


def history_table(store: CheckpointStore, thread: str) -> Any:
    """Checkpoints, one a row, in the order of writing, with what failed in the super-step that
    followed each: see `Thread.history`."""
    columns = ["checkpoint", "parent", "step", "kind", "ran", "updated", "at", "note", "actor"]
    infos = store.history(thread)
    failed = _failures(store, thread, infos)
    marks = metadata_marks(store, thread)
    known: dict[int, dict[str, Any]] = {}
    for info in infos:  # what is known of a checkpoint is known of those behind it
        known[info.id] = marks.get(info.id, known.get(info.parent or 0, {}))
    rows = [
        {
            "checkpoint": info.id,
            "parent": info.parent,
            "step": info.step,
            "kind": info.kind,
            "ran": ", ".join(dict.fromkeys(map(node_of, info.ran))),
            "updated": ", ".join(info.updated),
            "at": info.at,
            "note": info.note,
            "actor": info.actor,
            "failed": "; ".join(failed.get(info.id, ())),
            "metadata": known[info.id],
        }
        for info in infos
    ]
    return make_table(rows, [*columns, "failed", "metadata"])


def metadata_marks(store: CheckpointStore, thread: str) -> dict[int, dict[str, Any]]:
    """Checkpoint -> what is known of it and of those behind it."""
    spans = [span for span in store.spans(thread) if span.kind == "metadata"]
    return {int(span.name): span.attributes["metadata"] for span in spans}


def _failures(
    store: CheckpointStore, thread: str, infos: Sequence[CheckpointInfo]
) -> dict[int, list[str]]:
    """Checkpoint -> the attempts that failed in the super-step after it, in order: the node and
    which attempt, its error, and what was done about it. A run that failed otherwise is there too,
    at the checkpoint that it stood at."""
    spans = store.spans(thread)
    found = [
        (one.ended, one.task, one.node, one.attempt, _error_of(one), one.attributes["then"])
        for one in spans
        if one.kind == "attempt"
    ]
    kept = {(task, attempt) for _, task, _, attempt, _, _ in found}
    for record in store.outcomes(thread):
        failure, attempt = record.failure, record.attempt
        if failure is not None and (record.task, attempt) not in kept:  # nothing done about it yet
            error = f"{failure.type}: {failure.message}"
            found.append((record.ended, record.task, record.node, attempt, error, ""))
    listed: dict[int, list[str]] = {}
    for _, task, node, attempt, error, then in sorted(found, key=operator.itemgetter(0)):
        text = f"{node}, attempt {attempt}: {error}{f' → {then}' if then else ''}"
        listed.setdefault(anchor_of(task) or 0, []).append(text)
    errors = [error for *_, error, _ in found]
    for one in spans:
        error = _error_of(one)
        if one.kind == "run" and one.status == "failed" and not any(e in error for e in errors):
            at = max((info.id for info in infos if info.at <= one.ended), default=0)
            listed.setdefault(at, []).append(error)
    return listed


def _error_of(span: Span) -> str:
    """What it ended with; a run's names the error's type itself."""
    kind, message = span.attributes.get("error.type"), span.attributes.get("error.message", "")
    return f"{kind}: {message}" if kind else str(message)


def diff_table(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> Any:
    """What differs between two states: a row a field, with both values."""
    rows = [
        {"field": name, "before": thaw(earlier.get(name)), "after": thaw(later.get(name))}
        for name in dict.fromkeys([*earlier, *later])
        if not equal(earlier.get(name, MISSING), later.get(name, MISSING))
    ]
    return make_table(rows, ["field", "before", "after"])


TRACE = (
    "thread", "step", "node", "task", "attempt", "kind", "name", "start", "duration", "status",
    "tokens", "cost", "error", "then", "id", "parent",
)  # fmt: skip


def trace_table(store: CheckpointStore, thread: str) -> Any:
    """Runs, tasks and spans of a thread and of those under it: see `Thread.trace`."""
    return make_table(trace_rows(store, thread), TRACE)


def trace_rows(store: CheckpointStore, thread: str) -> list[dict[str, Any]]:
    """The rows of a thread's trace, by their start."""
    rows: list[dict[str, Any]] = []
    tasks: dict[tuple[str, str], str] = {}  # (thread, task) -> the id of its last row
    for info in family(store, thread):
        above = tasks.get((info.parent or "", info.place)) if info.id != thread else None
        steps = {line.id: line.step + 1 for line in store.history(info.id)}
        for record in store.outcomes(info.id):
            failure = record.failure
            rows.append(
                {
                    "thread": info.id,
                    "step": steps.get(record.anchor, 0),
                    "node": record.node,
                    "task": record.task,
                    "attempt": record.attempt,
                    "kind": "node",
                    "name": record.node,
                    "start": record.started,
                    "duration": record.ended - record.started,
                    "status": "error" if record.status == "failed" else "ok",
                    "error": f"{failure.type}: {failure.message}" if failure else "",
                    "then": "",
                    "id": f"{info.id}/{record.anchor}/{record.task}",
                    "parent": above,
                }
            )
            tasks[info.id, record.task] = rows[-1]["id"]
        rows += [_span_row(span) for span in store.spans(info.id) if span.kind in _TIMED]
    rows.sort(key=lambda row: row["start"])
    return rows


def _span_row(span: Span) -> dict[str, Any]:
    facts = span.attributes
    counts = [facts.get(name) for name in _TOKENS]
    known = [count for count in counts if isinstance(count, (int, float))]
    return {
        **{name: getattr(span, name) for name in TRACE if hasattr(span, name)},
        "start": span.started,
        "duration": span.ended - span.started,
        "tokens": sum(known) if known else None,
        "cost": facts.get("cost"),
        "error": facts.get("error.message", ""),
        "then": facts.get("then", ""),
    }


_TIMED = ("run", "attempt", "span")
_TOKENS = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")
