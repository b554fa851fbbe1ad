"""
Going back to a point inside a graph that a node has run.

Rule 1: the thread is forked where that node was planned, and the graph's thread there begins at the
        point: the node goes on inside it, and what the graph had done on the way counts.
Rule 2: what the graph had written on the way is told by what has changed, as after an edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nbagent.engine.model.checkpoint import Checkpoint, ThreadInfo
from nbagent.engine.model.ids import anchor_of, node_of, sent_of, task_id, task_of
from nbagent.engine.model.values import MISSING, equal
from nbagent.engine.step.updates import read_names
from nbagent.engine.thread.edits import fork_checkpoint, user
from nbagent.engine.thread.standin import check_node, name_of_node
from nbagent.errors import ThreadError


def fork_inside(
    thread: Any,
    inside: Any,
    step: int | None,
    checkpoint: int | None,
    edits: Mapping[str, Any] | None,
    *,
    id: str | None,
    in_place: bool,
    note: str,
    take_over: bool,
) -> Any:
    """The fork of a thread that goes on from a point inside of node `inside`; see `Thread.fork`."""
    name = name_of_node(inside)
    check_node(thread.id, thread.program, name)
    program = thread.program.nodes[name].program
    if program is None:
        raise ThreadError(
            f"thread {thread.id!r}: node {name!r} runs no graph, so there is no point inside it",
            thread=thread.id,
        )
    place = _latest(thread, name).place
    anchor, sent = anchor_of(place), sent_of(place)
    inner = thread.nested(place, program)
    point = inner.point(step, checkpoint)
    values = read_names(inner.program, edits or {}, None)
    checked = inner.program.schema.check_edit(values)
    inner.program.check_together({**point.values, **checked})
    other = thread.fork(checkpoint=anchor, id=id, in_place=in_place, note=note, take_over=take_over)
    number = other.latest().checkpoint.id
    at = task_id(number, name, None if sent < 0 else sent)
    made = other.nested(at, program)
    with made._held(create=True) as lease:
        for one in _line(inner.point(checkpoint=1), point, checked, note):
            made.store.commit(lease, one)
        made.store.release(lease, "paused")
    return other


def _latest(thread: Any, name: str) -> ThreadInfo:
    """The graph's thread that the node ran last, on the line to the latest checkpoint."""
    line = {info.id for info in thread.line()}
    ran = [
        info
        for info in thread.store.under(thread.id)
        if info.parent == thread.id
        and info.checkpoint
        and task_of(info.place) == info.place
        and node_of(info.place) == name
        and anchor_of(info.place) in line
    ]
    if not ran:
        raise ThreadError(
            f"thread {thread.id!r}: node {name!r} has not run its graph yet", thread=thread.id
        )
    latest: ThreadInfo = max(ran, key=lambda info: anchor_of(info.place) or 0)
    return latest


def _line(
    first: Checkpoint, point: Checkpoint, edits: Mapping[str, Any], note: str
) -> list[Checkpoint]:
    """Where the graph began, what it had done up to the point, and the branch from there."""
    began = replace(first, id=1, parent=None, anchor=1)
    changed = [
        name
        for name in dict.fromkeys([*first.values, *point.values])
        if not equal(first.values.get(name, MISSING), point.values.get(name, MISSING))
    ]
    done = replace(
        point,
        id=2,
        parent=1,
        kind="edit",
        updated=tuple(sorted(changed)),
        ran=(),
        anchor=2,
        note=f"as at checkpoint {point.id}",
        actor=user(),
    )
    return [began, done, fork_checkpoint(point, edits, id=3, parent=2, note=note)]
