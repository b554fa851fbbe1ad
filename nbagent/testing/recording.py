"""
To test an agent without a model: record what it does, stop it where you want, compare with a file.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from nbagent.engine.model.values import MISSING, thaw
from nbagent.engine.thread.run import Run
from nbagent.engine.watch import events as ev

Kind = TypeVar("Kind", bound=ev.Event)


class Recording:
    """An observer that keeps every event: `recording = Recording(); run.watch(recording)`.

    `recording.text()` is what happened as text that is the same in every run: no times, no ids
    that are made up, siblings in the order of the graph.
    """

    def __init__(self) -> None:
        self.events: list[ev.Event] = []

    def __call__(self, event: ev.Event) -> None:
        self.events.append(event)

    def of(self, kind: type[Kind]) -> list[Kind]:
        """The events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def nodes(self) -> list[str]:
        """The nodes that finished, in the order in which they did."""
        return [event.node for event in self.of(ev.NodeFinished)]

    def text(self) -> str:
        """A line for each thing that happened."""
        lines: list[str] = []
        within: list[str] = []
        for event in self.events:
            line = _line(event)
            if isinstance(event, ev.NodeEvent):
                within += [line] if line else []
                continue
            lines += sorted(within)
            within = []
            lines += [line] if line else []
        return "\n".join([*lines, *sorted(within)]) + "\n"

    def matches(self, path: str | os.PathLike[str]) -> bool:
        """Compare `text()` with a file. It is written where it is not there, and anew when the
        environment has NBAGENT_UPDATE=1. Use it as `assert recording.matches(...)`."""
        file = Path(path)
        if not file.exists() or os.environ.get("NBAGENT_UPDATE") == "1":
            file.write_text(self.text(), encoding="utf-8")
        return file.read_text(encoding="utf-8") == self.text()


def run_to(graph: Any, input: Mapping[str, Any], step: int, thread: str | None = None) -> Run:
    """Run until `step` super-steps are made; the run, which is paused there (or has ended).

    Look at `run.thread.state`, change it with `run.thread.edit`, go on with `run.thread.resume()`.
    """
    id = thread or f"{graph.name}-{uuid.uuid4().hex[:6]}"
    run: Run = graph.thread(id).start(input, steps=step)
    run.result()
    return run


def _line(event: ev.Event) -> str:
    if isinstance(event, ev.StepReconciled):
        changes = ", ".join(
            f"{name} = {thaw(after)!r}" if after is not MISSING else f"{name} is gone"
            for name, (_, after) in event.changes.items()
        )
        return f"step {event.step}: {changes or 'nothing changed'}"
    if isinstance(event, ev.RunEnded):
        asked = "".join(f"\n  asks {q.node}: {q.question!r}" for q in event.questions)
        return f"{event.status}{f': {event.error}' if event.error else ''}{asked}"
    if isinstance(event, ev.NodeFinished):
        return f"  {event.node} wrote {', '.join(event.update) or 'nothing'}"
    if isinstance(event, ev.NodeFailed):
        return f"  {event.node} failed: {event.failure.type}: {event.failure.message}"
    if isinstance(event, ev.NodeRetried):
        return f"  {event.node} failed and is tried again: {event.failure.type}"
    if isinstance(event, ev.NodeEmitted):
        return f"  {event.node} emitted {thaw(event.value)!r}"
    return ""
