"""
What a person changes of a thread: its state, where it stands, and forks of it. (R31, W12)

Rule 1: what is refused is refused before anything is written; all its problems are told at once.
Rule 2: what has been paid for stays: finished tasks, open questions, and the way here.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from nbagent.engine.model.checkpoint import Checkpoint, Lease, Loaded, TaskRecord
from nbagent.engine.model.ids import PART, fork
from nbagent.engine.model.program import START
from nbagent.engine.step.updates import read_names
from nbagent.engine.thread.answers import shown_otherwise
from nbagent.engine.thread.edits import check_expected, edit_checkpoint, fork_checkpoint, user
from nbagent.engine.thread.fork_inside import fork_inside
from nbagent.engine.thread.held import HeldThread, next_id
from nbagent.engine.thread.inner_edits import sharing
from nbagent.engine.thread.standin import (
    attempts_made_up_for,
    check_node,
    name_of_node,
    stand_in,
)
from nbagent.errors import ThreadError


class CorrectedThread(HeldThread):
    """What a `Thread` can do to its own state and history."""

    def edit(
        self,
        values: Mapping[str, Any],
        *,
        note: str = "",
        expect: int | Mapping[str, Any] | None = None,
        actor: str | None = None,
        as_node: Any = None,
        take_over: bool = False,
    ) -> int:
        """Set state fields, without their reducers; the id of the checkpoint made.

        expect  the checkpoint id that the editor looked at, or the values that the edited fields
                had then; `StaleEdit` if the thread is elsewhere now
        note    the reason, kept with it
        actor   who does it; by default the user of this machine
        as_node the node that these values stand in for, by name (or START): it does not run, or
                not again, its questions are asked no more, and its edges are followed. Where it is
                not to run now, what was planned in its place is left behind

        Values are checked against the schema; all problems are in `StateError.errors`, and
        nothing is written then. What finished in the super-step under way stays finished, and
        open questions stay open. Where a node that has finished wrote the field (see `unmerged`),
        a reducer merges that into the edit, and a field without one keeps the edit. A question that
        was answered, and shows an edited field, is open again where its node has not finished; one
        whose text has changed with the edit is asked as it is now. A subgraph that waits, and
        began with the field, gets the edit, too; `StateError` where it has changed the field
        itself meanwhile.
        """
        values = read_names(self.program, values, None)
        node = None if as_node is None else name_of_node(as_node)
        if node is not None:
            check_node(self.id, self.program, node, START)
        with self._held(take_over=take_over) as lease:
            loaded = self.latest()
            checkpoint = loaded.checkpoint
            check_expected(self.store, self.id, expect, checkpoint)
            checked = self.program.schema.check_edit(values)
            edited = edit_checkpoint(
                checkpoint, checked, id=next_id(lease), note=note, actor=actor or user()
            )
            self.program.check_together(edited.values)
            without = self._without(loaded, checked)
            if node is not None:
                return self._stand_in(lease, loaded, edited, without, node)
            for below, shared in sharing(self, loaded, checked):
                below.edit(shared, note=note, actor=self.id)
            if reopened := shown_otherwise(loaded, edited):
                self.store.put_journal(lease, reopened)
            self.store.commit(lease, edited, without)
            self._release_as_found(lease)
        return edited.id

    def _stand_in(
        self,
        lease: Lease,
        loaded: Loaded,
        edited: Checkpoint,
        without: Sequence[TaskRecord],
        node: str,
    ) -> int:
        """Write down that a person's values stand for a node; the id of the last checkpoint."""
        assert lease.before is not None
        replaced = {record.task: record for record in without}
        tasks = tuple(replaced.get(record.task, record) for record in loaded.tasks)
        before = replace(loaded, tasks=tasks)
        edited = replace(edited, note=edited.note or f"stands in for node {node!r}")
        made = stand_in(self.program, before, edited, node, lease.before.status, self.clock())
        if made.void:
            self.store.put_journal(lease, made.void)
        own = {record.task: record for record in (*without, *made.records)}
        kept = [record for record in own.values() if record.anchor == made.edited.anchor]
        self.store.commit(lease, made.edited, kept)
        if made.onward is not None:
            self.store.commit(lease, made.onward)
        if made.gates:
            self.store.put_journal(lease, made.gates)
        self.store.put_spans(attempts_made_up_for(self.id, loaded, made))
        failed = made.status == "failed"
        self.store.release(lease, made.status, error=lease.before.error if failed else "")
        return (made.onward or made.edited).id

    def _without(self, loaded: Loaded, edited: Mapping[str, Any]) -> list[TaskRecord]:
        """What finished tasks wrote, without the fields that a person has set since."""
        fields = {name for name in edited if not self.program.fields[name].folds}
        return [
            replace(record, update={n: v for n, v in record.update.items() if n not in fields})
            for record in loaded.tasks
            if record.status == "done" and not fields.isdisjoint(record.update)
        ]

    def fork(
        self,
        step: int | None = None,
        id: str | None = None,
        *,
        checkpoint: int | None = None,
        edits: Mapping[str, Any] | None = None,
        inside: Any = None,
        in_place: bool = False,
        note: str = "",
        take_over: bool = False,
    ) -> Self:
        """A thread that goes on from an earlier point; this one is never changed.

        step, checkpoint  where from: a super-step of this thread's latest line, or a checkpoint's
                          id; by default the latest checkpoint
        id                the new thread's id; by default `ID-fork-N`
        edits             fields to set in it
        inside            a node that runs a graph: the point, and the fields, are of that graph as
                          the node ran it last, and it goes on from there, inside the node
        in_place          grow a new branch in this thread instead, whose history keeps the old one
        """
        if inside is not None:
            forked: Self = fork_inside(
                self, inside, step, checkpoint, edits,
                id=id, in_place=in_place, note=note, take_over=take_over,
            )  # fmt: skip
            return forked
        source = self.point(step, checkpoint)
        checked = self.program.schema.check_edit(read_names(self.program, edits or {}, None))
        self.program.check_together({**source.values, **checked})
        if in_place:
            with self._held(take_over=take_over) as lease:
                number = next_id(lease)
                made = fork_checkpoint(source, checked, id=number, parent=source.id, note=note)
                self.store.commit(lease, made)
                self.store.release(lease, "paused")
            return self
        other = self.sibling(id or self._fork_id())
        if other.stored() is not None:
            raise ThreadError(
                f"thread {other.id!r} exists already: fork to another id", thread=other.id
            )
        # As a part, so that nobody sees it, after a kill either, before it is whole.
        with other._held(create=True, parent=self.id, place=PART) as lease:
            made = fork_checkpoint(source, checked, id=1, parent=None, note=note)
            self.store.commit(lease, made)
            other._remark("origin", str(source.id), "")
            self.store.release(lease, "paused")
        return other

    def _fork_id(self) -> str:
        taken = {info.id for info in self.store.threads()}
        return next(id for n in itertools.count(1) if (id := fork(self.id, n)) not in taken)
