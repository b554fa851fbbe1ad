"""
What the nodes of a nested thread wrote, in the order in which its super-steps merged it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nbagent.engine.model.checkpoint import Checkpoint, TaskRecord
from nbagent.engine.model.several import each_write
from nbagent.engine.thread.look import StoredThread
from nbagent.engine.watch.events import Checkpointed, Event, NodeFinished

Values = Mapping[str, Any]
Writes = dict[str, list[Any] | None]


class Seen:
    """The writes of a run, taken from its events.

    done   the records of the tasks that had finished before it began
    """

    def __init__(self, done: Mapping[str, TaskRecord]) -> None:
        self._updates = {task: record.update for task, record in done.items()}
        self.writes: Writes = {}

    def see(self, event: Event) -> None:
        """Take note of an event of the run itself."""
        if isinstance(event, NodeFinished):
            self._updates[event.task] = event.update
        elif isinstance(event, Checkpointed):
            for task in event.checkpoint.ran:
                _add(self.writes, self._updates.pop(task, {}))

    def behind(self, before: Writes) -> Writes:
        """The writes of the runs before, and then this one's."""
        for name, values in self.writes.items():
            known = before.setdefault(name, [])
            if known is not None and values is not None:
                known.extend(values)
        return before


def written(thread: StoredThread, to: Checkpoint) -> Writes:
    """The writes along the line to a checkpoint, from the store. None for a field that a person
    has set in this very thread: what came of it is no write."""
    found: Writes = {}
    above = thread.within[0] if thread.within else ""
    for info in thread.line(to.id)[1:]:
        if info.kind == "step" and info.parent is not None:
            records = {record.task: record for record in thread.load(info.parent).tasks}
            for task in info.ran:
                if task in records:
                    _add(found, records[task].update)
        elif info.kind == "edit" and info.actor != above:
            found.update(dict.fromkeys(info.updated))
    return found


def _add(writes: Writes, update: Mapping[str, Any]) -> None:
    for name, value in update.items():
        known: Sequence[Any] | None = writes.setdefault(name, [])
        if isinstance(known, list):
            known.extend(each_write(value))


def since_its_start(thread: StoredThread, last: Checkpoint) -> tuple[Values, Values]:
    """The first values and the last ones of a subgraph that went on in another process.

    What no super-step has changed is one object in both, as it is in one process: two tables read
    from a file cannot be told to be equal.
    """
    line = thread.line(last.id)
    first = dict(thread.point(checkpoint=line[0].id).values)
    above = thread.within[0] if thread.within else ""
    for info in line:  # what a person set in the parent is where it began, not what it did
        if info.kind == "edit" and info.actor == above:
            values = thread.load(info.id).checkpoint.values
            first |= {name: values[name] for name in info.updated if name in values}
    touched = {name for info in line[1:] if info.actor != above for name in info.updated}
    same = [name for name in first if name in last.values and name not in touched]
    return {**first, **{name: last.values[name] for name in same}}, last.values
