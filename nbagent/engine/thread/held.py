"""
A thread under its lease, for whoever changes it. (R22, W4)

Rule 1: whatever changes the thread (a run, an edit, an answer) takes its lease first and gives
        it back; somebody else's lease is a `ThreadBusy` that says whose.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from nbagent.engine.model.checkpoint import Lease, ThreadInfo
from nbagent.engine.store.ownership import found_as, give_back, take
from nbagent.engine.thread.look import StoredThread
from nbagent.engine.thread.options import OnChange
from nbagent.errors import ThreadBusy, WrongGraph


class HeldThread(StoredThread):
    """A thread whose lease can be taken and given back."""

    @contextmanager
    def _held(
        self,
        *,
        create: bool = False,
        take_over: bool = False,
        parent: str | None = None,
        place: str = "",
        on_change: OnChange = "ask",
    ) -> Iterator[Lease]:
        """Hold the lease; the body releases it or hands it on. On an error all is as before, and
        a thread that was made for it is gone.

        parent     the thread that a new one is forked from
        place      where it is made, see `CheckpointStore.acquire`
        on_change  "go-on": a thread of a graph of another name is this graph's from now on
        """
        inside, place = self.within or (parent, place)
        lease = take(
            self.store,
            self.id,
            graph=self.program.name if create or self.within else "",
            create=create,
            take_over=take_over,
            parent=inside,
            place=place,
        )
        try:
            if lease.before is not None and self._is_of_another_graph(lease.before):
                if on_change != "go-on":
                    raise self._wrong_graph(lease.before)
                before = lease.before
                again = self.store.acquire(self.id, lease.owner, graph=self.program.name)
                lease = replace(again, before=before)
            yield lease
        except BaseException:
            with suppress(ThreadBusy):  # somebody has taken it over meanwhile
                give_back(self.store, lease)
            raise

    def _is_of_another_graph(self, info: ThreadInfo) -> bool:
        return self.within is None and info.graph != self.program.name

    def _wrong_graph(self, info: ThreadInfo) -> WrongGraph:
        return WrongGraph(
            f"thread {self.id!r} is of graph {info.graph!r}, and this is graph "
            f"{self.program.name!r}: take another thread id. If the graph was renamed, give it "
            f'its old name, as in Graph({info.graph!r}, …), or resume with on_change="go-on"',
            thread=self.id,
            graph=info.graph,
        )

    def _release_as_found(self, lease: Lease) -> None:
        """Give the thread back with the status that it had; what was written to it stays."""
        assert lease.before is not None
        self.store.release(lease, found_as(lease.before), error=lease.before.error)


def next_id(lease: Lease) -> int:
    """Above every id in the store, those that can no longer be read included."""
    return lease.before.checkpoint + 1 if lease.before is not None else 1
