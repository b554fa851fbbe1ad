"""
OpenTelemetry: run -> super-step -> node attempt -> what the user's libraries trace. (R36)

Rule 1: nbagent never sets OpenTelemetry up. Where somebody has (an SDK's provider is installed),
        its runs appear; where nobody has, this module is not even imported.
Rule 2: the attempt's span is current inside the node, on threads too, so the instrumentations of
        openai, httpx, LangChain … nest by themselves.
Rule 3: what they trace inside a node is kept with the thread as well: see `thread.trace()`.
Rule 4: a run that goes on with a thread links to the run before it, in whatever process that was.

Names are those of the semantic conventions for generative AI where there is one.
"""

from __future__ import annotations

import threading
import traceback
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

from nbagent.engine.model.secrets import strike_out
from nbagent.engine.model.span import Span
from nbagent.engine.node.context import running
from nbagent.engine.watch.spans import Recorder
from nbagent.errors import said

_SCOPE = "nbagent"


def find() -> OtelBridge | None:
    """A bridge to the provider that is installed; None where none is."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, (trace.ProxyTracerProvider, trace.NoOpTracerProvider)):
        return None
    with _lock:
        if provider not in _bridges:
            _bridges[provider] = OtelBridge(provider)
        return _bridges[provider]


_lock = threading.Lock()
_bridges: weakref.WeakKeyDictionary[Any, OtelBridge] = weakref.WeakKeyDictionary()


class OtelBridge:
    """See `nbagent.engine.model.span.Bridge`."""

    def __init__(self, provider: Any) -> None:
        self._tracer = provider.get_tracer(_SCOPE)
        add = getattr(provider, "add_span_processor", None)
        self._keeper = Keeper()
        if add is not None:
            add(self._keeper)

    @contextmanager
    def run(self, thread: str, graph: str, before: str) -> Iterator[str]:
        facts = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": graph,
            "gen_ai.conversation.id": thread,
        }
        links = [Link(_read(before))] if before else []
        with self._open(f"invoke_agent {graph}", facts, links) as span:
            here = span.get_span_context()
            yield f"{here.trace_id:032x}-{here.span_id:016x}"

    @contextmanager
    def step(self, thread: str, step: int) -> Iterator[None]:
        with self._open(f"step {step}", {"nbagent.thread": thread, "nbagent.step": step}):
            yield

    @contextmanager
    def attempt(self, thread: str, step: int, node: str, task: str, attempt: int) -> Iterator[None]:
        facts = {
            "nbagent.thread": thread,
            "nbagent.step": step,
            "nbagent.node": node,
            "nbagent.task": task,
            "nbagent.attempt": attempt,
        }
        with self._open(f"node {node}", facts):
            yield

    @contextmanager
    def span(self, span: Span) -> Iterator[None]:
        with self._open(span.name, span.attributes) as opened:
            span.id = f"{opened.get_span_context().span_id:016x}"
            self._keeper.known.add(span.id)
            try:
                yield
            finally:
                opened.set_attributes(_plain(span.attributes))
                self._keeper.known.discard(span.id)

    @contextmanager
    def _open(
        self, name: str, facts: Mapping[str, Any], links: list[Link] | None = None
    ) -> Iterator[trace.Span]:
        """A current span; an exception through it is its error, without what is secret."""
        with self._tracer.start_as_current_span(
            strike_out(name),
            attributes=_plain(facts),
            links=links,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except Exception as error:
                text = strike_out(said(error))
                span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {text}"))
                span.add_event(
                    "exception",
                    {
                        "exception.type": type(error).__qualname__,
                        "exception.message": text,
                        "exception.stacktrace": strike_out(
                            "".join(traceback.format_exception(error))
                        ),
                    },
                )
                raise


class Keeper:
    """A span processor: what other libraries trace inside a node is kept with its thread."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self._open: dict[int, tuple[Recorder, Span]] = {}

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        task = running()
        scope = span.instrumentation_scope
        if task is None or (scope and scope.name == _SCOPE):
            return
        at = task.place
        around = f"{span.parent.span_id:016x}" if span.parent else ""
        kept = Span(
            at.thread, "span", span.name, at.step, at.node, at.task, task.attempt,
            id=f"{span.get_span_context().span_id:016x}",
            parent=around if around in self.known else None,
        )  # fmt: skip
        self.known.add(kept.id)
        self._open[span.get_span_context().span_id] = (task.services.recorder, kept)

    def on_end(self, span: Any) -> None:
        found = self._open.pop(span.get_span_context().span_id, None)
        if found is None:
            return
        recorder, kept = found
        self.known.discard(kept.id)
        kept.name = span.name
        kept.started, kept.ended = span.start_time / 1e9, span.end_time / 1e9
        if span.status.status_code is StatusCode.ERROR:
            kept.status = "error"
            kept.set(**{"error.message": strike_out(span.status.description or "")})
        kept.set(**dict(span.attributes or {}))
        recorder.add(kept)

    def _on_ending(self, span: Any) -> None:
        pass

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as OpenTelemetry takes them, without what is secret."""
    return {
        name: value if isinstance(value, (bool, int, float)) else strike_out(_text(value))
        for name, value in facts.items()
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _read(text: str) -> SpanContext:
    ids = text.split("-")
    return SpanContext(int(ids[0], 16), int(ids[1], 16), True, TraceFlags(TraceFlags.SAMPLED))
