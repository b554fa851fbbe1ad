"""
A person's edit of a thread, as the graphs that its tasks run are to have it. (R31)

Rule 1: a graph that waits, and began with what was edited, goes on with the edit: a subgraph at
        once, a called graph when the node calls it again, which is the only one to know its input.
Rule 2: where it has changed the field itself meanwhile, that is said, with where to edit it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from nbagent.engine.model.checkpoint import Loaded
from nbagent.engine.model.ids import is_sent, node_of, task_of
from nbagent.engine.model.program import Node, Program
from nbagent.engine.model.values import MISSING, equal
from nbagent.engine.model.work import work_of
from nbagent.engine.node.subgraph import Subgraph
from nbagent.engine.step.reconcile import begin
from nbagent.engine.thread import nested
from nbagent.engine.thread.inner_writes import since_its_start
from nbagent.engine.thread.look import StoredThread
from nbagent.errors import StateError, said

log = logging.getLogger("nbagent")
Values = Mapping[str, Any]


def shared_with(
    program: Program, node: Node, task: str, before: Values, edited: Values
) -> dict[str, Any]:
    """What an edit sets in the subgraph that the task runs; `edited` are the fields alone."""
    run = node.function
    if not isinstance(run, Subgraph) or is_sent(task):  # it began with what it was sent
        return {}
    if not callable(run.inputs):
        return {n: edited[outer] for n, outer in run.begins_with().items() if outer in edited}
    view = program.schema.view
    try:
        was, made = run.inputs(view(before)), run.inputs(view({**before, **edited}))
    except Exception as error:
        raise StateError(
            f"inputs= of node {node.name!r}, whose graph waits, failed on the edited state: "
            f"{type(error).__name__}: {said(error)}. Nothing was changed",
            node=node.name,
        ) from error
    return {n: value for n, value in made.items() if not equal(was.get(n, MISSING), value)}


def sharing(
    parent: StoredThread, loaded: Loaded, edited: Values
) -> list[tuple[Any, dict[str, Any]]]:
    """The threads of subgraphs that wait and began with an edited field, and what they are to
    have in its place. `StateError` where one has changed it itself."""
    if not parent.program.has_subgraphs:
        return []
    work, found = work_of(loaded), []
    for one in nested.unfinished(parent.store.under(parent.id), parent.id, loaded, work):
        node = parent.program.nodes[node_of(one.task)]
        if not isinstance(node.function, Subgraph) or task_of(one.info.place) != one.info.place:
            continue
        values = loaded.checkpoint.values
        shared = shared_with(parent.program, node, one.task, values, edited)
        if shared:
            thread = parent.nested(one.info.place, node.function.program)
            refuse_changed(thread, node.name, shared)
            found.append((thread, shared))
    return found


def refuse_changed(thread: StoredThread, node: str, names: Values) -> None:
    """`StateError` where the graph has changed one of the fields itself."""
    first, last = since_its_start(thread, thread.latest().checkpoint)
    for name in names:
        if not equal(first.get(name, MISSING), last.get(name, MISSING)):
            raise StateError(
                f"field {name!r} is being changed by graph {thread.program.name!r}, which node "
                f"{node!r} runs and which waits: edit it there, in thread {thread.id!r}, or when "
                "the node has finished. Nothing was changed",
                field=name,
                node=node,
            )


def owed_to(
    parent: StoredThread, thread: StoredThread, node: str, given: Values, edit: int
) -> dict[str, Any]:
    """What a called graph is to have of the parent's edit, the checkpoint `edit`: the fields of its
    input that are others by now. Nothing, where it began after the edit or was edited since."""
    info = thread.stored()
    if info is None or not info.checkpoint or info.status == "done":
        return {}
    at = next((entry.at for entry in parent.line() if entry.id == edit), None)
    known = [entry.at for entry in thread.line() if entry.kind != "step"]
    if at is None or max(known) > at:
        return {}
    first = thread.point(checkpoint=thread.line()[0].id).values
    now = begin(thread.program, given, None).checkpoint.values
    owed = {n: now[n] for n in given if n in now and not equal(first.get(n, MISSING), now[n])}
    begun, last = since_its_start(thread, thread.latest().checkpoint)
    for name in list(owed):
        # What collects things, as messages, has been added to since: it is not set back.
        channel = thread.program.fields[name]
        if channel.folds and not equal(begun.get(name, MISSING), last.get(name, MISSING)):
            del owed[name]
            log.warning(
                "thread %r: an edit has changed %r, which graph %r was called with and has added "
                "to since: it goes on with what it has; edit it there, in thread %r",
                parent.id, name, thread.program.name, thread.id,
            )  # fmt: skip
    refuse_changed(thread, node, owed)
    return owed
