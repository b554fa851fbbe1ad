"""
The end of a super-step: all writes merged in the order of the plan, then where they lead. Pure, as
the reducers of the user must be; only a route that is `async` is waited for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nbagent.engine.model.channels import Barrier, Write, writes_of
from nbagent.engine.model.checkpoint import Checkpoint, TaskRecord
from nbagent.engine.model.fact import fact
from nbagent.engine.model.ids import (
    BUDGET_CHANNEL,
    END_CHANNEL,
    PAUSE_CHANNEL,
    START_CHANNEL,
    node_of,
    read_channel,
    to_channel,
)
from nbagent.engine.model.program import START, Program
from nbagent.engine.model.values import (
    MISSING,
    equal,
    freeze,
    frozen_dict,
    replaced,
    seal,
)
from nbagent.engine.model.work import Task
from nbagent.engine.step.routes import MustWait, Onward, at_once, reading
from nbagent.engine.step.updates import check_field
from nbagent.errors import StateError


@fact
class Reconciled:
    """The next checkpoint, what changed (field -> before, after) and which edges led on."""

    checkpoint: Checkpoint
    changes: Mapping[str, tuple[Any, Any]]
    took: tuple[tuple[str, str], ...]


async def reconcile(
    program: Program,
    checkpoint: Checkpoint,
    tasks: Sequence[Task],
    records: Mapping[str, TaskRecord],
    id: int,
    waiting: Callable[[], Awaitable[None]] | None,
) -> Reconciled:
    """Merge all writes in the order of `tasks`, then decide what they lead to.

    `id` is the next checkpoint's: above all that the store has. `waiting` is awaited before a
    route is; None where nobody can wait, and one that has to be is a `MustWait`.

    `ConflictError`, `StateError` from a reducer, or `NodeError` from a branch function: nothing
    has been changed then.
    """
    writes: dict[str, list[Write]] = {}
    for task in tasks:
        for name, value in records[task.id].update.items():
            writes.setdefault(name, []).extend(writes_of(task.node, task.id, value))
    values, changes = merge(program, checkpoint.values, writes)

    control = _carried_over(program, checkpoint, {task.node for task in tasks})
    onward = Onward(program, values, control, waiting)
    for name in dict.fromkeys([task.node for task in tasks]):
        own = None
        if len(tasks) > 1 and name in program.routes_from and name not in program.gathered:
            before, mine = checkpoint.values, [task for task in tasks if task.node == name]
            own = [reading(program, before, task, records[task.id]) for task in mine]
        await onward.leave(name, own)
    for task in tasks:
        if goto := records[task.id].goto:
            onward.go(task.node, goto)
    onward.finish()
    return Reconciled(
        checkpoint=Checkpoint(
            id=id,
            parent=checkpoint.id,
            step=checkpoint.step + 1,
            kind="step",
            values=values,
            control=seal(control),
            updated=tuple(sorted(changes)),
            ran=tuple([task.id for task in tasks]),
            anchor=id,
            nodes=program.fingerprints,
            schema=program.schema.fingerprint,
        ),
        changes=changes,
        took=onward.took,
    )


async def set_off(
    program: Program,
    checkpoint: Checkpoint,
    id: int,
    waiting: Callable[[], Awaitable[None]] | None,
) -> Reconciled:
    """The checkpoint behind START's routes, where the input could not wait for them."""
    control: dict[str, Any] = {}
    onward = Onward(program, checkpoint.values, control, waiting)
    await onward.leave(START)
    onward.finish()
    for channel in (PAUSE_CHANNEL, BUDGET_CHANNEL):
        if channel in checkpoint.control:
            control[channel] = checkpoint.control[channel]
    made = replace(checkpoint, id=id, parent=checkpoint.id, anchor=id, control=seal(control))
    return Reconciled(checkpoint=made, changes={}, took=onward.took)


def begin(
    program: Program,
    given: Mapping[str, Any],
    previous: Checkpoint | None,
    *,
    checkpoint_id: int = 1,
) -> Reconciled:
    """The checkpoint that an input makes, as if a node called START had written it.

    On a thread that is done, the input is merged into the state that it ended with. Either way
    it goes through the reducers.
    """
    values: Mapping[str, Any]
    if previous is None:
        values = frozen_dict(program.schema.check_input(given))
        changes = {name: (MISSING, values[name]) for name in program.fields if name in given}
    else:
        writes = {
            name: [Write(START, START, freeze(one)) for one in program.fields[name].of_input(value)]
            for name, value in program.read_more(given).items()
        }
        values, changes = merge(program, previous.values, {n: w for n, w in writes.items() if w})
    control: dict[str, Any] = {}
    onward = Onward(program, values, control)
    try:
        at_once(onward.leave(START))
        onward.finish()
    except MustWait:  # whoever runs the thread can: see `set_off`
        control = {START_CHANNEL: True}
    return Reconciled(
        checkpoint=Checkpoint(
            id=checkpoint_id,
            parent=previous.id if previous else None,
            step=previous.step if previous else 0,
            kind="input",
            values=values,
            control=seal(control),
            updated=tuple(sorted(changes)),
            ran=(),
            anchor=checkpoint_id,
            nodes=program.fingerprints,
            schema=program.schema.fingerprint,
        ),
        changes=changes,
        took=onward.took,
    )


def merge(
    program: Program, before: Mapping[str, Any], writes: Mapping[str, Sequence[Write]]
) -> tuple[Mapping[str, Any], dict[str, tuple[Any, Any]]]:
    """The values after `writes`, and what really changed: field -> (before, after)."""
    for name, written in writes.items():
        check_field(program, name, written[0].node)
    changes: dict[str, tuple[Any, Any]] = {}
    made: dict[str, Any] = {}
    for name in [name for name in program.fields if name in writes]:
        old, written = before.get(name, MISSING), writes[name]
        channel = program.fields[name]
        new = freeze(channel.merge(old, written))
        if channel.folds:
            try:
                parts_fit = channel.is_checked(old, new)
                program.schema.check_reduced(name, new, parts_fit=parts_fit)
            except StateError as error:
                raise _written_by(error, written) from error
        if not equal(old, new):
            changes[name] = (old, new)
        made[name] = new
    values = replaced(before, made, program.transient)
    if program.invariant is not None:
        try:
            program.invariant(values)
        except StateError as error:
            every = [write for some in writes.values() for write in some]
            raise _written_by(error, every) from error
    return values, changes


def _written_by(error: StateError, writes: Sequence[Write]) -> StateError:
    """The error with who wrote what does not fit: their tasks are done, and kept."""
    nodes = list(dict.fromkeys(write.node for write in writes if write.node != START))
    if not nodes:
        return error
    named = " and ".join(map(repr, nodes))
    return StateError(
        f"{error} (written by node {named}: mend it, and resume(rerun={nodes!r}))",
        field=error.field,
        node=nodes[0] if len(nodes) == 1 else None,
        path=error.path,
        errors=error.errors,
    )


_CARRIED = frozenset((END_CHANNEL, PAUSE_CHANNEL, BUDGET_CHANNEL))


def _not_passed(
    pauses: Sequence[tuple[str, str, int]], checkpoint: Checkpoint, ran: set[str]
) -> tuple[tuple[str, str, int], ...]:
    """Where the run is still to pause: before what has not run, after what this super-step has not
    begun behind. What it had stopped at already when it was told is passed once more."""
    passed = {"before": ran, "after": set(map(node_of, checkpoint.ran))}
    return tuple(
        [
            (place, node, anchor)
            for place, node, anchor in pauses
            if node not in passed[place] or anchor == checkpoint.anchor
        ]
    )


def _carried_over(program: Program, checkpoint: Checkpoint, ran: set[str]) -> dict[str, Any]:
    """Control channels that this super-step did not use up: part-full joins, deferred nodes."""
    control: dict[str, Any] = {}
    given = checkpoint.control
    if program.uses_up_control and given.keys().isdisjoint(_CARRIED):
        return control
    for channel, content in given.items():
        kind, name = read_channel(channel)
        if kind == "memory":
            continue
        if kind == "pause":
            if left := _not_passed(content, checkpoint, ran):
                control[channel] = left
            continue
        if kind in ("end", "budget"):
            control[channel] = content
            continue
        join = program.join_of(channel) if kind == "join" else None
        if join is not None:
            if join.target not in ran or not Barrier(join.sources).is_full(content):
                control[join.channel] = content
        elif name not in ran:
            control[channel] = content
    for name in checkpoint.updated if program.subscribers else ():
        for subscriber in program.subscribers.get(name, ()):
            if subscriber not in ran:
                control[to_channel(subscriber)] = True
    return control
