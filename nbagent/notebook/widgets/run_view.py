"""
The live view of a run: an observer of its events, a widget on the page. (C3, W10)

Rule 1: an event is only put aside on the engine's thread; one flusher thread for all views takes
        in what came and sends what changed, at most 20 times a second.
Rule 2: a command or a question from the page may come on any thread; what it raises is shown in
        the view.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import traitlets
from ipywidgets import widget_serialization

from nbagent.engine.watch.events import Event
from nbagent.graph.layout import Drawing
from nbagent.notebook.shown.run_model import RunModel
from nbagent.notebook.widgets.base import PageWidget
from nbagent.notebook.widgets.bundle import style

log = logging.getLogger("nbagent")
INTERVAL = 0.05  # seconds between two messages to the page
BACKLOG = 5_000  # events that may wait; then the engine's thread takes them in itself
COMMANDS = ("pause", "resume", "step", "stop", "fork", "branch", "open", "afresh", "again")


class RunView(PageWidget):
    """A run on the page. Call it with events.

    on_command  gets the buttons: a name and what belongs to it
    on_ask      answers what the page asks about the past, as JSON
    uid         marks the picture that the view hides while it lives
    """

    NAME = "view/run_view"
    _css = style("view/run_view")  # a path would be watched
    drawing = traitlets.Dict().tag(sync=True)
    snapshot = traitlets.Dict().tag(sync=True)
    uid = traitlets.Unicode().tag(sync=True)
    form = traitlets.Any().tag(sync=True, **widget_serialization)  # the widget that stands in it

    def __init__(
        self,
        drawing: Drawing,
        *,
        model: RunModel,
        on_command: Callable[[str, dict[str, Any]], None],
        on_ask: Callable[[str, dict[str, Any]], Any],
        uid: str = "",
    ) -> None:
        self._model = model
        self._events: deque[Event] = deque()
        self._is_marked = False
        self._lock = threading.RLock()
        self._sending = threading.Lock()
        self._on_command = on_command
        self._on_ask = on_ask
        self.is_seen = False  # by a page
        super().__init__(drawing=drawing.to_json(), snapshot=model.snapshot(), uid=uid)
        self.on_msg(self._receive)

    def __repr__(self) -> str:
        return f"<RunView of {self._model.thread!r}>"

    def emptied(self) -> dict[str, Any]:
        return {**super().emptied(), "drawing": {}, "snapshot": {}}

    def __call__(self, event: Event) -> None:
        self._events.append(event)
        if len(self._events) > BACKLOG:
            self._take_in()
        self.mark()

    def mark(self) -> None:
        """Send what changed soon."""
        if not self._is_marked:
            self._is_marked = True
            _flusher.mark(self)

    @contextmanager
    def model(self) -> Iterator[RunModel]:
        """The model as it stands, held still. What is set in it is sent soon."""
        with self._lock:
            self._take_in()
            yield self._model
        if self._model.is_changed:
            self.mark()

    def show(self, drawing: Drawing, model: RunModel) -> None:
        """Show another thread from now on."""
        with self._sending:
            with self._lock:
                self._events.clear()
                self._model = model
            self.drawing = drawing.to_json()
        self.flush()

    def _take_in(self) -> None:
        with self._lock:
            events = self._events
            while events:
                self._model.apply(events.popleft())

    def flush(self) -> None:
        """Send what changed; with the end of a run, all of it."""
        self._is_marked = False
        # Taken and sent as one, or an older patch could arrive behind the end of the run.
        with self._sending:
            with self._lock:
                self._take_in()
                ended = self._model.status not in ("running", "new")
                patch = self._model.take_patch()
                if patch is None or self.comm is None:
                    return
                self.send({"type": "patch", "patch": patch})
                snapshot = self._model.snapshot() if ended else {}
            if ended:
                self.snapshot = snapshot

    def show_error(self, text: str, view: str | None = None) -> None:
        """A sentence above the graph, until the next command: in one view of it, or in all."""
        to = {"view": view} if view is not None else {}
        self.send({"type": "error", "text": text, **to})

    def _receive(self, _: Any, content: Any, __: Any) -> None:
        kind = content.get("type") if isinstance(content, dict) else None
        if kind == "hello":  # a page that came late, a second one, or one that heard nothing
            self.is_seen = True
            with self._sending, self.model() as model:
                self.send({"type": "patch", "patch": {**model.snapshot(), "whole": True}})
        elif kind == "command" and content.get("name") in COMMANDS:
            try:
                self._on_command(content["name"], content)
            except Exception as error:
                self.show_error(str(error), content.get("view"))
        elif kind == "ask":
            # Every page that shows this hears it: the view says whose question it answers.
            reply = {"type": "reply", "id": content.get("id"), "view": content.get("view")}
            try:
                reply["data"] = self._on_ask(str(content.get("what")), content)
            except Exception as error:
                reply["error"] = str(error)
            self.send(reply)


class _Flusher:
    """The one thread that talks to pages."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._marked: set[RunView] = set()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def mark(self, view: RunView) -> None:
        """Send the view's changes soon."""
        with self._lock:
            self._marked.add(view)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._serve, name="nbagent-views")
                self._thread.daemon = True
                self._thread.start()
        self._wake.set()

    def _serve(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            self._flush()
            time.sleep(INTERVAL)

    def _flush(self) -> None:
        # In a method of its own: the last views are not held while nothing happens.
        with self._lock:
            views, self._marked = self._marked, set()
        for view in views:
            try:
                view.flush()
            except Exception:
                log.exception("the view of thread %r was not sent", view._model.thread)


_flusher = _Flusher()
