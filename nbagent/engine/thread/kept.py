"""
A graph inside of another that goes on from turn to turn: `keep=True`.

Rule 1: each turn is a thread of its own, nested in the parent's at its task, so its questions, its
        failures and its place in the history are what any nested thread's are.
Rule 2: it begins with what the turn before it ended with, on the parent's line: a fork of the
        parent remembers what had been there, and nothing of another branch.
Rule 3: what it shares with its parent it begins with anew; what it is given as an input goes
        through its reducers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nbagent.engine.model.checkpoint import Checkpoint, ThreadInfo
from nbagent.engine.model.ids import KEPT, anchor_of, node_of, read_called, sent_of, task_of
from nbagent.engine.model.values import seal
from nbagent.engine.node.subgraph import Kept
from nbagent.engine.thread.look import StoredThread
from nbagent.engine.thread.standin import left_behind


def kept_before(thread: StoredThread, parent: Any, given: Any) -> Checkpoint | None:
    """Where the turn before this one ended; None for the first, and for what keeps nothing."""
    if not isinstance(given, Kept) or thread.within is None:
        return None
    above, place = thread.within
    line = {info.id for info in parent.thread.line(parent.checkpoint.id)}
    turns = [
        info
        for info in thread.store.under(above)
        if info.parent == above
        and info.checkpoint
        and info.id != thread.id
        and anchor_of(info.place) in line
        and _is_same(info.place, place)
    ]
    if not turns:
        return None
    last = max(turns, key=_order)
    loaded = thread.sibling(last.id).latest()
    found = loaded.checkpoint
    if last.status != "done":
        found, _ = left_behind(thread.program, loaded)
    own = {name: value for name, value in found.values.items() if name not in given.shared}
    return replace(found, values=seal(own))


def _is_same(one: str, other: str) -> bool:
    called, mine = read_called(one), read_called(other)
    if called is None or mine is None:
        is_node = called is mine and task_of(one) == one
        return is_node and node_of(one) == node_of(other)
    return called[1] == mine[1] == KEPT and called[2] == mine[2]


def _order(info: ThreadInfo) -> tuple[int, int]:
    called = read_called(info.place)
    return anchor_of(info.place) or 0, called[0] if called else sent_of(info.place)
