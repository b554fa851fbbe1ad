"""
Where the time of a node went: spans, which nest, beside what the tasks say of themselves. (R36)

Rule 1: a task's own span is its record (`TaskRecord`): nothing is written twice, and a node that
        opens no spans costs nothing.
Rule 2: spans are kept in the thread's store, some at a time; a kill loses those of the last second.
Rule 3: a `Bridge` (OpenTelemetry, where somebody has set that up) sees every run, super-step and
        attempt as it begins and ends, in the very context that the node runs in.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from nbagent.engine import ports
from nbagent.engine.model.secrets import strike_out, strike_out_of
from nbagent.engine.model.span import Bridge, Span
from nbagent.errors import StoreUnavailable, said

log = logging.getLogger("nbagent")
AT_ONCE = 100  # spans that are written together
SOON = 1.0  # seconds that the first of them waits at the most
AT_MOST = 10_000  # spans that wait for a store that cannot be written now


_NOTHING = nullcontext()
Beside = Callable[[Callable[[], None], Callable[[], None]], None]


def _here(write: Callable[[], None], over: Callable[[], None]) -> None:
    write()
    over()


class Recorder:
    """Collects the spans of a run and hands them to its store, from any thread."""

    def __init__(
        self, store: Any, clock: Callable[[], float] = time.time, beside: Beside = _here
    ) -> None:
        """beside: makes a call of the store where it keeps nobody waiting, then the other one."""
        self._store = store
        self.count: Callable[[Span], None] | None = None  # told of each span, where it counts
        self._beside = beside
        self.clock = clock
        self._lock = threading.Lock()
        self._waiting: list[Span] = []
        self._since = 0.0
        self._is_flushing = False
        self._in_part = 0
        self._run: Span | None = None
        self.bridge: Bridge | None = ports.find_tracer()

    def add(self, span: Span) -> None:
        """Keep a span that has ended, without what is secret."""
        if self.count is not None:
            self.count(span)
        span.name = strike_out_of(span.name)
        span.attributes = strike_out_of(span.attributes)
        with self._lock:
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting.append(span)
            due = len(self._waiting) >= AT_ONCE or time.monotonic() - self._since > SOON
        if due:
            self._flush_soon()

    def _flush_soon(self) -> None:
        """Write what waits; beside the loop where that would take long."""
        with self._lock:
            if self._is_flushing:
                return
            self._is_flushing = True
        self._beside(self.flush, self._flushed)

    def _flushed(self) -> None:
        with self._lock:
            self._is_flushing = False
            self._since = time.monotonic()

    def flush(self) -> None:
        """Write what waits. A store that cannot is not the run's misfortune; `StoreUnavailable`
        from one that can later: then it waits on."""
        with self._lock:
            batch, self._waiting = self._waiting, []
        if not batch:
            return
        try:
            self._put(batch)
        except StoreUnavailable:
            with self._lock:
                self._waiting = [*batch, *self._waiting][-AT_MOST:]
            raise

    def _put(self, batch: list[Span]) -> None:
        try:
            self._store.put_spans(batch)
        except StoreUnavailable:
            raise
        except Exception:  # if it is the store, the run's own commits say what is wrong with it
            log.warning("%d spans could not be stored", len(batch), exc_info=True)

    @contextmanager
    def around_run(self, thread: str, graph: str) -> Iterator[None]:
        """A run, which says what it continues where a tracer is set up."""
        self._run = Span(thread, "run", graph, started=self.clock())
        if self.bridge is None:
            yield
            return
        runs = [span for span in self._store.spans(thread) if span.kind == "run"]
        before = runs[-1].attributes.get("context", "") if runs else ""
        with self.bridge.run(thread, graph, before) as known:
            self._run.set(context=known)
            yield

    def end(self, status: str, error: str = "") -> None:
        """The run is over, however; what is still to be written is `flush`ed by its caller."""
        if self._run is not None:
            self._close(self._run, status, error)
            self.add(self._run)
            self._run = None

    def _close(self, run: Span, status: str, error: str = "") -> None:
        run.ended, run.status = self.clock(), status
        if error:
            run.set(**{"error.message": error})

    def put_all(self) -> None:
        """Write what waits and the run, which is done, as a part of what is written with it: it is
        kept until `written`."""
        with self._lock:
            batch = [*self._waiting]
        if self._run is not None:
            self._close(self._run, "done")
            batch.append(self._run)
        self._put(batch)
        self._in_part = len(batch)

    def written(self) -> None:
        """What `put_all` has put is stored."""
        with self._lock:
            del self._waiting[: self._in_part - (self._run is not None)]
        self._run, self._in_part = None, 0

    def around_step(self, thread: str, step: int) -> AbstractContextManager[None]:
        return self.bridge.step(thread, step) if self.bridge else _NOTHING


_current: contextvars.ContextVar[Span | None] = contextvars.ContextVar("nbagent_span", default=None)


@contextmanager
def recorded(
    recorder: Recorder | None, facts: Mapping[str, Any], name: str, attributes: Mapping[str, Any]
) -> Iterator[Span]:
    """A span inside what `facts` say (thread, step, node, task, attempt); kept when it ends."""
    outer = _current.get()
    span = Span(kind="span", name=name, attributes=dict(attributes), **facts)
    span.parent = outer.id if outer is not None and outer.task == span.task else None
    clock = time.time if recorder is None else recorder.clock
    span.started = clock()
    token = _current.set(span)
    bridged = recorder.bridge.span(span) if recorder and recorder.bridge else nullcontext()
    try:
        with bridged:
            yield span
    except BaseException as error:
        span.status = "error"
        span.attributes.setdefault("error.type", type(error).__name__)
        span.attributes.setdefault("error.message", strike_out(said(error)))
        raise
    finally:
        _current.reset(token)
        span.ended = clock()
        if recorder is not None:
            recorder.add(span)
