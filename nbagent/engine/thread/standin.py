"""
A person in the graph's place: for a node, for what the plan says, for the end. Pure.

Rule 1: what had finished of the super-step under way was paid for: its writes are kept, merged as
        the super-step would have merged them, and only what had not finished is left behind.
Rule 2: whatever a person decides here is a checkpoint of its own, with who and why, whose anchor is
        its own: the questions of what was left behind are open no more.
Rule 3: a breakpoint that the thread has stopped at stays one that its next resume opens, where the
        thread still stands before or after that node.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nbagent.engine.model.channels import Barrier, Write, writes_of
from nbagent.engine.model.checkpoint import (
    Checkpoint,
    JournalEntry,
    Loaded,
    Status,
    TaskRecord,
)
from nbagent.engine.model.fact import keyword_fact
from nbagent.engine.model.ids import (
    END_CHANNEL,
    START_CHANNEL,
    gate_id,
    join_target,
    read_channel,
    sent_of,
    to_channel,
)
from nbagent.engine.model.program import END, START, Program, Send
from nbagent.engine.model.secrets import strike_out
from nbagent.engine.model.span import Span
from nbagent.engine.model.values import MISSING, equal, seal
from nbagent.engine.model.work import Task, Work, is_open_question, work_of
from nbagent.engine.step.plan import check_ended, plan
from nbagent.engine.step.reconcile import Reconciled, merge, reconcile, set_off
from nbagent.engine.step.routes import MustWait, Onward
from nbagent.engine.step.updates import read_goto
from nbagent.engine.thread.gate import KIND as BREAKPOINT
from nbagent.errors import GraphError, NbagentError, ThreadError, nearest


@keyword_fact
class StoodIn:
    """What it takes to write down that a person stood in for a node.

    edited    the checkpoint with the person's values, committed with `records`
    records   what the node's tasks are taken to have done
    void      journal entries of questions that nobody has to answer any more
    onward    the checkpoint behind it, where nothing of its super-step is left to do
    gates     the breakpoints that the thread still stands at
    status    of the thread from now on
    """

    edited: Checkpoint
    records: Sequence[TaskRecord]
    void: Sequence[JournalEntry]
    onward: Checkpoint | None
    gates: Sequence[JournalEntry]
    status: Status


def check_node(thread: str, program: Program, name: str, *others: str) -> None:
    """`ThreadError` with the nearest name for a node that the graph does not have."""
    if name not in program.nodes and name not in others:
        raise ThreadError(
            f"thread {thread!r}: graph {program.name!r} has no node {name!r}"
            f"{nearest(name, program.nodes)}",
            thread=thread,
        )


def name_of_node(node: Any) -> str:
    """The name of a node that is given as itself or by its name."""
    return node if isinstance(node, str) else str(getattr(node, "name", node))


def stand_in(
    program: Program, before: Loaded, edited: Checkpoint, node: str, status: Status, now: float
) -> StoodIn:
    """The person's values stand for what the node's tasks write, and its edges are followed.

    Where the node is to run (or runs in the super-step under way), its siblings stay as they are.
    Else it stands where the thread is: what was planned there is left behind.
    """
    changed = {*edited.updated} - {*before.checkpoint.updated}
    loaded = replace(before, checkpoint=replace(edited, updated=before.checkpoint.updated))
    if not _is_planned(program, loaded.checkpoint, node):
        loaded = _moved_to(program, loaded, node, status == "done")
    at, work = loaded.checkpoint, work_of(loaded)
    records: list[TaskRecord] = []
    if node == START:
        following = set_off(program, at, at.id + 1, None)
        left: set[str] = set()
        onward = _at_once(following)
    else:
        tasks = plan(program, at)
        records = _taken(program, at, node, tasks, work, now)
        done = {**work.done, **{record.task: record for record in records}}
        left = {task.id for task in tasks} - done.keys()
        onward = None
        if not left:
            onward = _at_once(reconcile(program, at, tasks, done, at.id + 1, None))
    ids = {record.task for record in records}
    if onward is not None:
        onward = replace(onward, updated=tuple(sorted({*onward.updated, *changed})))
        then = _status_at(program, onward)
    else:  # who waits for an edited field runs beside what is left
        at = replace(at, updated=tuple(sorted({*at.updated, *changed})))
        then = _status_within(work, ids, left, status)
    return StoodIn(
        edited=at,
        records=records,
        void=[
            replace(entry, status="void")
            for entry in loaded.journal
            if entry.task in ids and is_open_question(entry)
        ],
        onward=onward,
        gates=carried_gates(before, onward or at),
        status=then,
    )


def _taken(
    program: Program,
    at: Checkpoint,
    node: str,
    tasks: Sequence[Task],
    work: Work,
    now: float,
) -> list[TaskRecord]:
    """What the node's tasks are taken to have done: those that are left, or all of them."""
    own = [task for task in tasks if task.node == node]
    records = []
    for task in [task for task in own if task.id not in work.done] or own:
        failed = work.failed.get(task.id)
        attempt = failed.attempt if failed is not None else 1
        record = TaskRecord(at.anchor, task.id, node, "done", attempt=attempt)
        records.append(replace(record, started=now, ended=now))
    # What is gone after the next super-step is written in this one.
    fleeting = {name: at.values[name] for name in program.transient if name in at.values}
    return [replace(records[0], update=fleeting), *records[1:]] if fleeting else records


def _is_planned(program: Program, checkpoint: Checkpoint, node: str) -> bool:
    return any(task.node == node for task in plan(program, checkpoint))


def _moved_to(program: Program, loaded: Loaded, node: str, is_done: bool) -> Loaded:
    """The thread stands at the node, whatever was planned."""
    edited = loaded.checkpoint
    control = {} if is_done else _waiting(program, edited.control, but=node)
    control[START_CHANNEL if node == START else to_channel(node)] = True
    values, _ = settled(program, loaded)
    moved = replace(
        edited, values=values, control=seal(control), updated=(), anchor=edited.id, ran=()
    )
    return Loaded(moved)


def _at_once(following: Coroutine[Any, Any, Reconciled]) -> Checkpoint | None:
    """The checkpoint behind a super-step of which nothing is left; None where a route has to be
    waited for: whoever runs the thread can."""
    try:
        following.send(None)
    except StopIteration as returned:
        made: Checkpoint = returned.value.checkpoint
        return made
    except MustWait:
        return None
    raise AssertionError("a route was waited for where nobody can wait")


def _status_at(program: Program, checkpoint: Checkpoint) -> Status:
    """Of a thread that stands at a checkpoint of which nothing has run."""
    try:
        if plan(program, checkpoint):
            return "paused"
        check_ended(program, checkpoint)
    except NbagentError:  # the resume says it
        return "paused"
    return "done"


def _status_within(work: Work, ids: set[str], left: set[str], before: Status) -> Status:
    """Of a thread of whose super-step something is left to do."""
    if left & work.failed.keys() and before == "failed":
        return "failed"
    if before == "waiting" and left:
        return "waiting"
    asks = any(question.task not in ids for question in work.questions())
    return "waiting" if asks else "paused"


# ------------------------------------------------------------------------------------- elsewhere


def going_to(
    program: Program, loaded: Loaded, goto: Any, status: Status, *, id: int, thread: str, actor: str
) -> tuple[Checkpoint, list[JournalEntry]]:
    """The checkpoint of a thread that a person lets go on elsewhere than was planned, and the
    breakpoints before where it goes: these are open, for a person has said so."""
    listed = [goto] if isinstance(goto, (str, Send)) or not isinstance(goto, Iterable) else goto
    named = [one if isinstance(one, Send) else name_of_node(one) for one in listed]
    for one in named:
        check_node(thread, program, name_of_node(one.node) if isinstance(one, Send) else one, END)
    if not named:
        raise ThreadError(f"thread {thread!r}: goto= names no node", thread=thread)
    there = read_goto(program, START, named)
    names = list(dict.fromkeys(target[1] for target in there))
    control = {} if status == "done" else _waiting(program, loaded.checkpoint.control)
    values, lost = settled(program, loaded)
    onward = Onward(program, values, control)
    onward.go(START, there)
    onward.finish()
    said = f"goto {', '.join('END' if name == END else name for name in names)}"
    made = _decided(program, loaded, values, control, id=id, note=_with(said, lost), actor=actor)
    gates = [
        JournalEntry(id, gate_id(id, "before", name), 0, BREAKPOINT, f"before {name}", "done")
        for name in names
        if name in program.breakpoints.get("before", ())
    ]
    return made, gates


def finished(program: Program, loaded: Loaded, *, id: int, note: str, actor: str) -> Checkpoint:
    """The checkpoint of a thread that a person ends."""
    values, lost = settled(program, loaded)
    said = _with(note or "finished", lost)
    end = {END_CHANNEL: True}
    return _decided(program, loaded, values, end, id=id, note=said, actor=actor)


def left_behind(program: Program, loaded: Loaded) -> tuple[Checkpoint, str]:
    """Where a thread stands that gets a new input before it has ended, and what it left behind."""
    values, lost = settled(program, loaded)
    work = work_of(loaded)
    asked = [f"question {question.question!r} of {question.node}" for question in work.questions()]
    failed = [f"failed {record.node}" for record in work.failed.values()]
    try:
        planned = [task for task in plan(program, loaded.checkpoint) if task.id not in work.done]
    except GraphError:
        planned = []
    known = {question.task for question in work.questions()} | work.failed.keys()
    left = [f"unfinished {task.node}" for task in planned if task.id not in known]
    said = ", ".join(dict.fromkeys([*asked, *failed, *left]))
    checkpoint = replace(loaded.checkpoint, values=values)
    return checkpoint, _with(f"begun anew; left behind: {said}" if said else "begun anew", lost)


def settled(program: Program, loaded: Loaded) -> tuple[Mapping[str, Any], list[str]]:
    """The values with what has finished of the super-step under way; and what of that could not be
    merged, as words."""
    before = loaded.checkpoint.values
    records = [record for record in loaded.tasks if record.status == "done" and record.update]
    records.sort(
        key=lambda one: (program.order.get(one.node, len(program.order)), sent_of(one.task))
    )
    if not records:
        return before, []
    try:
        return merge(program, before, _writes(records))[0], []
    except NbagentError:  # what made the thread fail is not to keep it from going on elsewhere
        values, lost = before, []
        for record in records:
            try:
                values = merge(program, values, _writes([record]))[0]
            except NbagentError:
                lost.append(f"{', '.join(record.update)} of {record.node}")
        return values, lost


def _writes(records: Sequence[TaskRecord]) -> dict[str, list[Write]]:
    writes: dict[str, list[Write]] = {}
    for record in records:
        for name, value in record.update.items():
            writes.setdefault(name, []).extend(writes_of(record.node, record.task, value))
    return writes


def _waiting(program: Program, control: Mapping[str, Any], but: str = "") -> dict[str, Any]:
    """The joins that some have arrived at, and the end, where a path has come to it."""
    kept: dict[str, Any] = {}
    for channel, content in control.items():
        kind, _ = read_channel(channel)
        join = program.join_of(channel) if kind == "join" else None
        waits = join is not None and not Barrier(join.sources).is_full(content)
        if kind in ("end", "pause", "budget") or (
            waits and not (but and join_target(channel) == but)
        ):
            kept[channel] = content
    return kept


def _decided(
    program: Program,
    loaded: Loaded,
    values: Mapping[str, Any],
    control: Mapping[str, Any],
    *,
    id: int,
    note: str,
    actor: str,
) -> Checkpoint:
    before = loaded.checkpoint
    changed = [
        name
        for name in dict.fromkeys([*before.values, *values])
        if not equal(before.values.get(name, MISSING), values.get(name, MISSING))
    ]
    return replace(
        before,
        id=id,
        parent=before.id,
        kind="edit",
        values=values,
        control=seal(control),
        updated=() if program.subscribers else tuple(sorted(changed)),  # it triggers nobody
        ran=(),
        anchor=id,
        note=strike_out(note),
        actor=actor,
    )


def _with(note: str, lost: Sequence[str]) -> str:
    return f"{note}; could not be merged: {', '.join(lost)}" if lost else note


def attempts_made_up_for(thread: str, before: Loaded, made: StoodIn) -> list[Span]:
    """What the node had failed with: its record is replaced, and this stays with the thread."""
    ids = {record.task for record in made.records}
    return [
        Span(
            thread,
            "attempt",
            record.node,
            before.checkpoint.step + 1,
            record.node,
            record.task,
            record.attempt,
            started=record.started,
            ended=record.ended,
            status="error",
            attributes={
                "error.type": record.failure.type,
                "error.message": record.failure.message,
                "then": "a person stood in",
            },
        )
        for record in before.tasks
        if record.task in ids and record.status == "failed" and record.failure is not None
    ]


def carried_gates(before: Loaded, last: Checkpoint) -> list[JournalEntry]:
    """The breakpoints that the thread had stopped at, where its plan is another one now."""
    if last.anchor == before.checkpoint.anchor:
        return []
    found = []
    for entry in before.journal:
        if entry.kind == BREAKPOINT and entry.status == "open":
            place, _, node = entry.key.partition(" ")
            gate = gate_id(last.anchor, place, node)
            found.append(JournalEntry(last.anchor, gate, 0, BREAKPOINT, entry.key, "open"))
    return found
