"""
Where the time of a thread went, as a table: its runs, its tasks, and the spans inside them. (R36)
"""

from __future__ import annotations

from typing import Any

from nbagent.engine.checkpoint import CheckpointStore
from nbagent.engine.keeping import family
from nbagent.engine.spans import Span
from nbagent.engine.tables import table

TRACE = (
    "thread", "step", "node", "task", "attempt", "kind", "name", "start", "duration", "status",
    "tokens", "cost", "error", "id", "parent",
)  # fmt: skip


def trace_table(store: CheckpointStore, thread: str) -> Any:
    """Runs, tasks and spans of a thread and of those under it: see `Thread.trace`."""
    return table(trace_rows(store, thread), TRACE)


def trace_rows(store: CheckpointStore, thread: str) -> list[dict[str, Any]]:
    """The rows of a thread's trace, by their start."""
    rows: list[dict[str, Any]] = []
    for info in family(store, thread):
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
                    "status": "ok" if record.status == "done" else "error",
                    "error": f"{failure.type}: {failure.message}" if failure else "",
                }
            )
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
    }


_TIMED = ("run", "attempt", "span")
_TOKENS = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")
