"""
The worker: threads of its graphs, run where no notebook is. `nbagent worker FILE` is one.

Rule 1: it takes what nobody has to decide about: threads that were answered, whose deadline has
        passed, whose wait for a server is over, or whose owner is dead. What a person paused or
        stopped, and what failed, is left alone.
Rule 2: who takes a thread is decided by its lease, so any number of workers may look at one store.
Rule 3: told to stop, it takes nothing new and lets what runs come to the next super-step's end;
        what it leaves behind so is taken by the next worker.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from nbagent.engine.model.checkpoint import ThreadInfo
from nbagent.engine.model.span import Span
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.engine.thread import asked
from nbagent.engine.thread.run import Run
from nbagent.engine.thread.thread import Thread
from nbagent.errors import NbagentError, ThreadBusy
from nbagent.graph.builder import Graph
from nbagent.service.schedule import Schedules

log = logging.getLogger("nbagent.worker")
LEFT = "left"  # a span: the checkpoint at which a worker that had to stop left a thread
GRACE = 30.0  # seconds that what runs may take to come to a super-step's end


class Worker:
    """Runs threads of these graphs that are in a store, several at once.

    concurrency  how many at once
    poll         seconds between two looks at the store
    """

    def __init__(
        self,
        graphs: Mapping[str, Graph],
        store: CheckpointStore | None = None,
        *,
        concurrency: int = 4,
        poll: float = 1.0,
    ) -> None:
        self._programs = {graph.name: graph.compile() for graph in graphs.values()}
        own = dict.fromkeys(graph.store for graph in graphs.values())
        self._stores = [store] if store is not None else list(own)
        self._concurrency, self._poll = concurrency, poll
        self._running: dict[tuple[str, str], Run] = {}
        self._refused: dict[tuple[str, str], str] = {}
        self._stopping = threading.Event()
        self._schedules = Schedules(graphs)

    def stop(self) -> None:
        """Take nothing new, and end when what runs has come to a super-step's end."""
        self._stopping.set()

    def run(self, *, once: bool = False) -> None:
        """Look for threads until it is stopped; `once`: until there is nothing to do."""
        try:
            while not self._stopping.is_set():
                self._sweep()
                self._schedules.start_due()
                begun = sum(self._look(store) for store in self._stores)
                if once and not begun and not self._running:
                    return
                self._stopping.wait(0.02 if once else self._poll)
        finally:
            self._drain()

    # --------------------------------------------------------------------------------- inside

    def _sweep(self) -> None:
        for key, run in list(self._running.items()):
            if run.status == "running":
                continue
            del self._running[key]
            if run.error is not None:
                log.warning("thread %r: %s", run.thread.id, run.error)
            else:
                log.info("thread %r is %s", run.thread.id, run.status)

    def _look(self, store: CheckpointStore) -> int:
        """Begin what is to be run, as far as there are places; how many those were."""
        begun = 0
        try:
            infos = store.threads()
        except NbagentError as error:
            log.warning("%r cannot be read, and is looked at again: %s", store, error)
            return 0
        for info in sorted(infos, key=lambda info: info.updated):
            if self._stopping.is_set() or len(self._running) >= self._concurrency:
                break
            key = (store.url, info.id)
            if info.is_nested or info.graph not in self._programs or key in self._running:
                continue
            thread = Thread(info.id, program=self._programs[info.graph], store=store)
            try:
                if not self._is_to_run(thread, info):
                    continue
                run = thread.resume(**self._context(thread))
            except ThreadBusy:
                continue  # another one was faster
            except NbagentError as error:
                if self._refused.get(key) != str(error):  # said once
                    self._refused[key] = str(error)
                    log.warning("thread %r is left: %s", info.id, error)
                continue
            log.info("thread %r goes on", info.id)
            self._refused.pop(key, None)
            self._running[key] = run
            begun += 1
        return begun

    def _is_to_run(self, thread: Thread, info: ThreadInfo) -> bool:
        if info.status == "waiting" and info.checkpoint:
            questions = thread.questions
            if questions and thread.program.on_question is not None:
                asked.tell(thread, questions)
            at = thread.resume_at
            return not questions or (at is not None and at <= thread.clock())
        if info.status == "stopped" and info.owner is not None and info.checkpoint:
            at = thread.resume_at
            return at is None or at <= thread.clock()
        return info.status == "paused" and _is_left(thread, info)

    def _context(self, thread: Thread) -> dict[str, Any]:
        """What the graph's nodes are given beside the state: a new one of the graph's class."""
        make = thread.program.read_context
        if make is None:
            return {}
        return {"context": make(None)}

    def _drain(self) -> None:
        for run in self._running.values():
            run.pause(within=GRACE)
        until = time.monotonic() + GRACE + 5
        for run in self._running.values():
            try:
                run.result(max(0.0, until - time.monotonic()))
            except (NbagentError, TimeoutError) as error:
                log.warning("thread %r: %s", run.thread.id, error)
            if run.status == "paused":
                _leave(run.thread)
        self._running.clear()


def _leave(thread: Thread) -> None:
    now, at = thread.clock(), str(thread.checkpoint_id)
    thread.store.put_spans([Span(thread.id, LEFT, at, started=now, ended=now)])


def _is_left(thread: Thread, info: ThreadInfo) -> bool:
    """True where a worker paused it because it had to stop, and nobody has touched it since."""
    left = [span for span in thread.store.spans(info.id) if span.kind == LEFT]
    return bool(left) and left[-1].name == str(info.checkpoint)
