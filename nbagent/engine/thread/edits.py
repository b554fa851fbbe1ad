"""
Checkpoints that people make, and how one checkpoint differs from another. (R31, W11, W12)
"""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nbagent.engine.model.checkpoint import Checkpoint
from nbagent.engine.model.program import Program
from nbagent.engine.model.secrets import strike_out
from nbagent.engine.model.values import MISSING, equal, freeze, seal
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.errors import StaleEdit


def edit_checkpoint(
    checkpoint: Checkpoint, values: Mapping[str, Any], *, id: int, note: str, actor: str
) -> Checkpoint:
    """The checkpoint that an edit makes: the same point of the graph with fields set."""
    frozen = {name: freeze(value) for name, value in values.items()}
    changed = {
        name
        for name, value in frozen.items()
        if not equal(checkpoint.values.get(name, MISSING), value)
    }
    return replace(
        checkpoint,
        id=id,
        parent=checkpoint.id,
        kind="edit",
        values=seal({**checkpoint.values, **frozen}),
        updated=tuple(sorted({*checkpoint.updated, *changed})),
        ran=(),
        note=strike_out(note),
        actor=actor,
    )


def fork_checkpoint(
    checkpoint: Checkpoint, values: Mapping[str, Any], *, id: int, parent: int | None, note: str
) -> Checkpoint:
    """The checkpoint that a fork begins with: nothing of its next super-step has run."""
    edited = edit_checkpoint(checkpoint, values, id=id, note=note, actor=user())
    return replace(edited, parent=parent, kind="fork", anchor=id)


def check_expected(
    store: CheckpointStore,
    thread: str,
    expect: int | Mapping[str, Any] | None,
    checkpoint: Checkpoint,
) -> None:
    """`StaleEdit` when the thread is not where its editor saw it."""
    if expect is None:
        return
    if isinstance(expect, Mapping):
        moved = [
            name
            for name, value in expect.items()
            if not equal(checkpoint.values.get(name, MISSING), freeze(value))
        ]
        seen = checkpoint.id
    elif expect == checkpoint.id:
        return
    else:
        seen = expect
        earlier = store.load(thread, expect).checkpoint.values
        moved = [
            name
            for name in dict.fromkeys([*earlier, *checkpoint.values])
            if not equal(earlier.get(name, MISSING), checkpoint.values.get(name, MISSING))
        ]
    if isinstance(expect, Mapping) and not moved:
        return
    raise StaleEdit(
        f"thread {thread!r} has moved on from checkpoint {seen} to {checkpoint.id}"
        f"{'; changed since: ' + ', '.join(moved) if moved else ''}: look again and repeat "
        "the edit",
        thread=thread,
        expected=seen,
        actual=checkpoint.id,
        fields=moved,
    )


def changed_nodes(checkpoint: Checkpoint, program: Program) -> list[str]:
    """Nodes whose code is not what it was when the checkpoint was written."""
    return [
        name
        for name, node in program.nodes.items()
        if name in checkpoint.nodes and checkpoint.nodes[name] != node.fingerprint
    ]


def changed_notice(changed: Sequence[str]) -> str:
    if not changed:
        return ""
    return (
        f"Changed since the last super-step: {', '.join(changed)}. What they wrote before is kept; "
        "from here on the new code runs."
    )


def user() -> str:
    """Who uses this machine; "" where it does not say."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""
