"""
What of the memory a thread sees: all that there is, but for what lies behind it on another branch
of its own line. A fork sees what its line had written where it began.
"""

from __future__ import annotations

from nbagent.engine.model.ids import anchor_of
from nbagent.engine.store.remembered import Hidden
from nbagent.engine.thread.look import StoredThread


class Sight:
    """What of the memory a run does not see; looked up when one of its nodes first asks."""

    def __init__(self, thread: StoredThread, at: int) -> None:
        self._thread, self._at = thread, at
        self._found: tuple[Hidden | None] | None = None

    def __call__(self) -> Hidden | None:
        if self._found is None:
            self._found = (hidden_from(self._thread, self._at),)
        return self._found[0]


def hidden_from(thread: StoredThread, at: int) -> Hidden | None:
    """What a run that begins at this checkpoint does not see; None where it sees all."""
    bounds: dict[str, tuple[int, frozenset[int]]] = {}  # thread -> its newest id, those seen
    gone: set[str] = set()  # threads that lie behind as a whole
    until: int | None = at
    while until is not None:
        history = thread.store.history(thread.id)
        newest = max((info.id for info in history), default=0)
        line = frozenset(info.id for info in thread.line(until))
        if len(line) < len(history):
            # What this run itself will write is numbered above all that is there.
            bounds[thread.id] = (newest if until == at else 1 << 62, line)
            gone |= {
                info.id
                for info in thread.store.under(thread.id)
                if info.parent == thread.id and anchor_of(info.place) not in line
            }
        until, info = thread.origin, thread.stored()
        if until is None or info is None or info.parent is None:
            break
        thread, at = thread.sibling(info.parent), -1
        if thread.stored() is None:
            break
    if not bounds and not gone:
        return None

    def hidden(writer: str, checkpoint: int) -> bool:
        if writer in gone:
            return True
        if writer not in bounds:
            return False
        newest, line = bounds[writer]
        return checkpoint <= newest and checkpoint not in line

    return hidden
