"""
The plan of a super-step: which tasks a checkpoint asks for. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nbagent.engine.model.channels import Barrier
from nbagent.engine.model.checkpoint import Checkpoint
from nbagent.engine.model.ids import (
    END_CHANNEL,
    join_target,
    read_channel,
    task_id,
    timeout_channel,
)
from nbagent.engine.model.program import Program
from nbagent.engine.model.work import Task
from nbagent.errors import GraphChanged, GraphError, nearest


def plan(program: Program, checkpoint: Checkpoint) -> tuple[Task, ...]:
    """The tasks of the next super-step, in the order of reconciliation; none when all is done.

    Deferred nodes wait until nothing else is left.
    """
    triggered, inputs = _eligible(program, checkpoint)
    control = checkpoint.control
    names = list(triggered | inputs.keys()) if inputs else list(triggered)
    if len(names) > 1:
        names.sort(key=program.order.__getitem__)
        if not program.deferred.issuperset(names):
            names = [name for name in names if name not in program.deferred]
    tasks: list[Task] = []
    for name in names:
        if name in triggered:
            tasks.append(Task(task_id(checkpoint.anchor, name), name))
        if name not in inputs:
            continue
        timed: Mapping[str, float] = control.get(timeout_channel(name), {})
        for index, value in enumerate(inputs[name]):
            id, timeout = task_id(checkpoint.anchor, name, index), timed.get(str(index))
            tasks.append(Task(id, name, value, timeout))
    return tuple(tasks)


def _eligible(
    program: Program, checkpoint: Checkpoint
) -> tuple[set[str], dict[str, tuple[Any, ...]]]:
    """The nodes that a channel triggers, and those that were sent inputs."""
    triggered: set[str] = set()
    inputs: dict[str, tuple[Any, ...]] = {}
    for channel, content in checkpoint.control.items():
        kind, name = read_channel(channel)
        if kind in _NO_NODES:
            continue
        if kind == "join":
            join = program.join_of(channel)
            if join is None:
                raise _no_join(program, join_target(channel), content)
            if Barrier(join.sources).is_full(content):
                triggered.add(join.target)
            continue
        if name not in program.nodes:
            raise _changed(program, name)
        if kind == "to":
            triggered.add(name)
        else:
            inputs[name] = content
    if program.subscribers:
        for name in checkpoint.updated:
            triggered.update(program.subscribers.get(name, ()))
    return triggered, inputs


_NO_NODES = ("end", "start", "parent", "timeout", "pause", "budget", "memory")


def is_over(program: Program, checkpoint: Checkpoint, tasks: Sequence[Task]) -> bool:
    """True when a thread whose checkpoint asks for these tasks is done, and ended as it should."""
    if tasks:
        return False
    try:
        check_ended(program, checkpoint)
    except GraphError:
        return False
    return True


def check_ended(program: Program, checkpoint: Checkpoint) -> None:
    """`GraphError` when nothing is left to run, no path came to END, and a join still waits."""
    if END_CHANNEL in checkpoint.control:
        return
    for channel, arrived in checkpoint.control.items():
        kind, _ = read_channel(channel)
        join = program.join_of(channel) if kind == "join" else None
        if join is not None:
            missing = ", ".join(repr(name) for name in join.sources if name not in arrived)
            named = ", ".join(join.sources)
            waits = f"node {join.target!r}" if join.target else f"what follows [{named}]"
            raise GraphError(
                f"nothing is left to run, and {waits} still waits for {missing}: "
                "a join needs all of its sources; where one of them is enough, give each an "
                f"edge of its own, as in `{join.sources[0]} >> {join.target or '…'}`"
            )


def _no_join(program: Program, name: str, arrived: Sequence[str]) -> GraphChanged:
    if name and name not in program.nodes:
        return _changed(program, name)
    waits = f"node {name!r}" if name else "a branch"
    return GraphChanged(
        f"{waits} waited for {', '.join(map(repr, arrived))} and others, and graph "
        f"{program.name!r} joins them there no more: write the join as it was until the thread is "
        "past it, or fork the thread from an earlier step",
        nodes=[name] if name else list(arrived),
    )


def _changed(program: Program, name: str) -> GraphChanged:
    return GraphChanged(
        f"the thread is to run node {name!r}, which graph {program.name!r} does not have"
        f"{nearest(name, program.nodes)}: define it again under that name, "
        "or fork the thread from an earlier step",
        nodes=[name],
    )
