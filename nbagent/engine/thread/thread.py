"""
A thread: the durable life of one agent, whether or not anything runs. (R22, R31, W4, W12)

Its verbs stand in three files: what can be seen without its lease in `look`, what runs and changes
it in `drive`, and here what it takes other parts for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from nbagent.engine.ports import Url
from nbagent.engine.store import upkeep
from nbagent.engine.store.opening import resolve_store
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.engine.thread.drive import DrivenThread
from nbagent.engine.thread.edits import user
from nbagent.engine.thread.escalation import Escalation, Pick, escalate
from nbagent.engine.thread.held import next_id
from nbagent.engine.thread.live import live_runs
from nbagent.engine.thread.replay import replay
from nbagent.engine.thread.run import Run
from nbagent.engine.thread.standin import finished
from nbagent.engine.watch.events import Event


class Thread(DrivenThread):
    """The durable handle of one thread. Made by `graph.thread(id)`."""

    @property
    def run(self) -> Run | None:
        """The run that drives it in this process, if one does."""
        for run in live_runs():
            if run.thread.id == self.id and run.thread.store is self.store:
                found: Run = run
                return found
        return None

    def replay(self, *, since: int | None = None, until: int | None = None) -> Iterator[Event]:
        """Its events again, from the store, along the line to the latest checkpoint.

        since, until  only what led from one checkpoint to another, by their ids
        """
        return replay(self, since, until)

    def escalate(
        self,
        graph: Any,
        input: Mapping[str, Any] | None = None,
        *,
        question: str | None = None,
        answer: Pick = None,
    ) -> Escalation:
        """Let another graph take over; this thread goes on with what it found.

        graph     a `Graph`, which runs in a thread under this one
        input     its input; by default the fields that both states have
        question  the id of the question that it is to answer, where several are open
        answer    what of its last state is the answer: a field, or a function of the state; by
                  default all of it. A thread that asks nothing gets the fields that both states
                  have, that field, or the dict that the function returns, as an edit

        Call it again after a restart, with the same graph, to go on where it was.
        """
        return escalate(self, graph.compile(), input, question=question, answer=answer)

    def finish(self, note: str | None = None) -> int:
        """End it, as a person decides; the id of the checkpoint made, which says who and why.

        What has finished of the super-step under way is kept, what it asks is asked no more. Its
        status is done: a new input goes on from its state. One that is done already stays as it is.
        """
        with self._held() as lease:
            assert lease.before is not None
            loaded = self.latest()
            if lease.before.status == "done":
                self._release_as_found(lease)
                return loaded.checkpoint.id
            id = next_id(lease)
            end = finished(self.program, loaded, id=id, note=note or "", actor=user())
            self.store.commit(lease, end)
            self.store.release(lease, "done")
        return id

    # -------------------------------------------------------------------------------- keeping

    def copy(
        self, to: Url | CheckpointStore, id: str | None = None, *, plain: bool = False
    ) -> None:
        """Copy it with its whole history into another store (a URL, a path or an open one), or
        under another id into this one: whole, or not at all. While it runs, it is copied as a kill
        at this moment would leave it.

        plain  write in the clear what is encrypted here
        """
        upkeep.copy(self.store, self.id, resolve_store(to), id, plain=plain)

    def export(self, path: str | os.PathLike[str], *, plain: bool = False) -> None:
        """Write it to a file of its own: `import_threads(path)` takes it into a store, and
        `Graph(store="sqlite:///PATH")` goes on in the file itself. Of an encrypted store the file
        has the key, unless it is to be `plain`."""
        upkeep.export(self.store, self.id, path, plain=plain)

    def delete(self) -> None:
        """Throw it away, with the threads under it. `ThreadBusy` while it runs."""
        upkeep.delete(self.store, self.id)
