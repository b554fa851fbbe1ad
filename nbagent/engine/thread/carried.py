"""
Effects of a graph that has begun anew: its node runs again; what has happened, has happened. (R7)

Rule 1: an effect of an earlier life is found by its node, its key and its arguments, wherever in
        the graph the node stands by now; one alone of its key counts whatever its arguments.
Rule 2: each is found once. Who has taken it has an entry of its own, which names it.
Rule 3: where it cannot be told which one a call is, that is an error, and nothing is done.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from nbagent.engine.model import ids
from nbagent.engine.model.checkpoint import CheckpointInfo, JournalEntry, ThreadInfo
from nbagent.engine.model.secrets import is_named
from nbagent.engine.model.work import EFFECT
from nbagent.engine.node.journal import TAKEN, fits
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.errors import StateError

_lock = threading.Lock()
_Life = tuple[str, int | None]  # a thread, and the checkpoint that its next life began with


class Carried:
    """The effects that earlier lives of a thread have left; read when it is first asked."""

    def __init__(self, store: CheckpointStore, thread: str, taken: set[str]) -> None:
        self._store = store
        self._thread = thread
        self._taken = taken  # by all threads of the run
        self._found: dict[str, JournalEntry] | None = None

    def take(self, node: str, key: str, arguments: str) -> tuple[str, JournalEntry] | None:
        """The effect that a call is, and what names it; None where it is a new one."""
        with _lock:
            if self._found is None:
                self._found = self._read()
            left = {
                name: entry
                for name, entry in self._found.items()
                if is_named(entry.key, key)
                and ids.node_of(entry.task) == node
                and name not in self._taken
            }
            fitting = [name for name, entry in left.items() if fits(entry, arguments)]
            if not fitting and len(left) > 1:
                raise StateError(
                    f"node {node!r} has made effect {key!r} {len(left)} times before its graph "
                    "began anew, and now calls it with arguments that none of them had, so it "
                    "cannot be told which one this is: give each effect a key of its own, and the "
                    "same arguments when the node runs again",
                    node=node,
                )
            for name in (*fitting, *left):
                self._taken.add(name)
                return name, left[name]
            return None

    def _read(self) -> dict[str, JournalEntry]:
        lives = list(_earlier(self._store, self._store.thread(self._thread)))
        found: dict[str, JournalEntry] = {}
        for thread, before in lives:
            for entry in _effects(self._store, thread):
                if before is None or entry.anchor < before:
                    found[f"{thread} {entry.call_id}"] = entry
        for thread in {self._thread, *(thread for thread, _ in lives)} if found else ():
            for entry in _effects(self._store, thread):
                if TAKEN in entry.payload:
                    self._taken.add(entry.payload[TAKEN])
        return found


def _earlier(store: CheckpointStore, info: ThreadInfo) -> Iterator[_Life]:
    """The lives that the thread, and those that its node or call had in its place, have had."""
    if not info.is_nested or info.parent is None:
        return
    if (begin := life_of(store, info.id)) > 1:
        yield info.id, begin
    under = [one for one in store.under(info.parent) if one.parent == info.parent]
    task, is_call = ids.task_of(info.place), ids.read_called(info.place) is not None
    for one in under:  # the other calls of the task: which is which may be another order now
        is_other = one.id != info.id and ids.task_of(one.place) == task
        if is_call and is_other and one.graph == info.graph:
            begin = life_of(store, one.id)
            if begin > 1:
                yield one.id, begin
    for thread, before in _earlier(store, store.thread(info.parent)):
        for one in store.under(thread):
            anchor = ids.anchor_of(one.place)
            if (
                one.parent == thread
                and one.id != info.id
                and ids.node_of(one.place) == ids.node_of(info.place)
                and (before is None or (anchor is not None and anchor < before))
            ):
                yield one.id, None


def life_of(store: CheckpointStore, thread: str) -> int:
    """The checkpoint that the thread has last begun with."""
    by_id = {info.id: info for info in store.history(thread)}
    at = max(by_id, default=1)
    while (parent := by_id[at].parent if at in by_id else None) is not None:
        if by_id[at].note == ANEW:
            return at
        at = parent
    return at


ANEW = "begun anew, with its node"


def _effects(store: CheckpointStore, thread: str) -> Iterator[JournalEntry]:
    """All effects that a thread has begun, in all its lives."""
    lines: Sequence[CheckpointInfo] = store.history(thread)
    for line in lines:
        for entry in store.load(thread, line.id).journal:
            if entry.kind == EFFECT and entry.status != "void":
                yield entry
