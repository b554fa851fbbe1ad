"""
The live view of a run: an observer of its events, a widget on the page. (C3, W10)

Rule 1: events come on the engine's thread and only mark the model; one flusher thread for all
        views sends what changed, at most 20 times a second.
Rule 2: a command from the page may come on any thread; what it raises is shown in the view.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from nbagent.engine.events import Event, RunEnded
from nbagent.graph.draw import Drawing
from nbagent.notebook.widgets.run_model import RunModel

log = logging.getLogger("nbagent")
_STATIC = Path(__file__).parent.parent / "static"
INTERVAL = 0.05  # seconds between two messages to the page
COMMANDS = ("pause", "resume", "step", "stop")


class RunView(anywidget.AnyWidget):
    """A run on the page. Call it with events; `on_command(name, payload)` gets the buttons."""

    _esm = _STATIC / "run_view.js"
    _css = _STATIC / "run_view.css"
    drawing = traitlets.Dict().tag(sync=True)
    snapshot = traitlets.Dict().tag(sync=True)
    uid = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        drawing: Drawing,
        *,
        thread: str,
        graph: str,
        on_command: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self.model = RunModel(thread, graph, drawing)
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._on_command = on_command
        super().__init__(
            drawing=drawing.to_json(), snapshot=self.model.snapshot(), uid=uuid.uuid4().hex
        )
        self.on_msg(self._receive)

    def __repr__(self) -> str:
        return f"<RunView of {self.model.state['thread']!r}>"

    def __call__(self, event: Event) -> None:
        with self._lock:
            self.model.apply(event)
        _flusher.mark(self)
        if isinstance(event, RunEnded):
            self.flush()

    def flush(self) -> None:
        """Send what changed; with the end of a run, all of it."""
        # Taken and sent as one, or an older patch could arrive behind the end of the run.
        with self._sending:
            with self._lock:
                patch = self.model.take_patch()
                ended = self.model.state["status"] not in ("running", "new")
                snapshot = self.model.snapshot() if ended else {}
            if patch is None or self.comm is None:
                return
            self.send({"type": "patch", "patch": patch})
            if ended:
                self.snapshot = snapshot

    def show_error(self, text: str) -> None:
        """A sentence above the graph, until the next command."""
        self.send({"type": "error", "text": text})

    def _receive(self, _: Any, content: Any, __: Any) -> None:
        kind = content.get("type") if isinstance(content, dict) else None
        if kind == "hello":  # a page that came late, a second one, or one that heard nothing
            with self._sending:
                with self._lock:
                    snapshot = self.model.snapshot()
                self.send({"type": "patch", "patch": snapshot})
        elif kind == "command" and content.get("name") in COMMANDS:
            try:
                self._on_command(content["name"], content)
            except Exception as error:
                self.show_error(str(error))


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
            with self._lock:
                views, self._marked = self._marked, set()
            for view in views:
                try:
                    view.flush()
                except Exception:
                    log.exception("the view of thread %r was not sent", view.model.state["thread"])
            time.sleep(INTERVAL)


_flusher = _Flusher()
