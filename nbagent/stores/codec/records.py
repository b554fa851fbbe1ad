"""
What a thread's records become as bytes; a refusal says which field and which node. (W6)

Every store refuses here, so that all refuse the same in the same words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nbagent.engine.model.checkpoint import JournalEntry, TaskRecord
from nbagent.errors import CodecError
from nbagent.stores.codec.values import encode, encode_checked


def task_bytes(
    record: TaskRecord, own: Mapping[str, Any], there: Mapping[str, Any] | None = None
) -> bytes:
    """What a task wrote and where it goes: [field -> value, control, field -> row of versions]."""
    content = [own, list(record.goto), there] if there else [own, list(record.goto)]
    try:
        return encode_checked(content)
    except CodecError as error:
        part, *path = error.path or (0,)
        if part == 0 and path:
            raise refused(error, str(path[0]), record.node, tuple(path[1:])) from error
        raise refused(error, _suspect(own), record.node, ()) from error


def _suspect(own: Mapping[str, Any]) -> str | None:
    """The field whose value does not come back, where the error does not say it."""
    for name, value in own.items():
        try:
            encode_checked(value)
        except CodecError:
            return name
    return None


def writer_of(field: str, records: Iterable[TaskRecord]) -> str | None:
    """The node that wrote the field; None where no task did."""
    return next((record.node for record in records if field in record.update), None)


def journal_bytes(entry: JournalEntry) -> bytes:
    """A call's payload and its result."""
    try:
        return encode_checked([entry.payload, entry.result])
    except CodecError as error:
        raise CodecError(
            f"what {entry.kind} {entry.key!r} of task {entry.task!r} gave or got: {error}",
            path=error.path,
        ) from error


def control_bytes(control: Mapping[str, Any]) -> bytes:
    """Where a thread goes on, with what is sent there."""
    try:
        return encode(dict(control))
    except CodecError as error:
        target = str(error.path[0]).partition(":")[2] if error.path else ""
        who = f"what is sent to node {target!r}" if target else "what is sent on"
        raise CodecError(f"{who}: {error}", path=error.path) from error


def refused(
    error: CodecError, field: str | None, node: str | None, path: tuple[Any, ...]
) -> CodecError:
    """The error with the field and the node by name; `path` leads from the field inwards."""
    who = f" (written by node {node!r})" if node else ""
    steps = [_step(part) for part in path]
    if len(steps) > 8:
        steps[4:-3] = [" … "]
    at = f", at {''.join(steps)}" if steps else ""
    what = "what is sent on" if field is None else f"field {field!r}"
    whole = path if field is None else (field, *path)
    return CodecError(f"{what}{who}{at}: {error}", field=field, node=node, path=whole)


def _step(part: Any) -> str:
    return part if isinstance(part, str) and part.startswith(".") else f"[{part!r}]"
