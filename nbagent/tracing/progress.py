"""
A run as lines of text, for a terminal: what ended, what is tried again, what waits. (R38)

Rule 1: at most some lines a second; what is passed over is counted.
Rule 2: everything in a line that is not ours is text: no markup, no escapes.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.text import Text

from nbagent.engine.model.approval import worded
from nbagent.engine.watch import events as ev

SLOW = 1.0  # seconds after which a node that has not ended is named
LINES = 10  # a second, at the most, for what goes well


class _Lines:
    """How many lines may still be written in this second, over all runs of the process."""

    def __init__(self) -> None:
        self._second, self._count, self._passed = 0.0, 0, 0

    def take(self) -> str | None:
        """A line: "" or how many were passed over before it; None where there is none left."""
        now = time.monotonic()
        if now - self._second > 1:
            self._second, self._count = now, 0
        self._count += 1
        if self._count > LINES:
            self._passed += 1
            return None
        passed, self._passed = self._passed, 0
        return f"(and {passed:,} more)" if passed else ""


_lines = _Lines()


class Progress:
    """Writes what happens in a run to a console: `run.watch(Progress())`; by default to stderr."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._left: dict[str, int] = {}
        self._began: dict[str, float] = {}

    def __call__(self, event: ev.Event) -> None:
        if isinstance(event, ev.RunStarted):
            where = f"from super-step {event.step}" if event.step > 1 else ""
            self._say(event, "▶", "bold", event.graph, where, event.notice)
        elif isinstance(event, ev.StepPlanned):
            self._left = {}
            for node in event.tasks.values():
                self._left[node] = self._left.get(node, 0) + 1
        elif isinstance(event, ev.NodeStarted):
            self._started(event)
        elif isinstance(event, ev.NodeFinished):
            self._finished(event)
        elif isinstance(event, ev.NodeRetried):
            self._began.pop(event.task, None)
            why = f"{event.failure.type}: {event.failure.message}"
            self._say(event, "↻", "yellow", event.node, f"again in {event.wait:.1f} s", why)
        elif isinstance(event, ev.NodeDelayed):
            self._say(event, "…", "yellow", event.node, f"waits {event.wait:.1f} s for its rate")
        elif isinstance(event, ev.NodeStalled):
            self._say(event, "…", "yellow", event.node, f"silent for {event.seconds:.0f} s")
        elif isinstance(event, ev.NodeWroteNothing):
            self._say(event, "…", "yellow", event.node, "returned nothing: nothing was written")
        elif isinstance(event, ev.StoreAwaited) and event.reason:
            self._say(event, "…", "yellow", "waits for the store", event.reason)
        elif isinstance(event, ev.NodeCancelled):
            self._began.pop(event.task, None)
        elif isinstance(event, ev.NodeWaiting):
            self._began.pop(event.task, None)
            self._say(event, "?", "yellow", event.node, worded(event.question.question)[:500])
        elif isinstance(event, ev.NodeFailed):
            self._began.pop(event.task, None)
            why = f"{event.failure.type}: {event.failure.message}"
            self._say(event, "✕", "red", event.node, why)
        elif isinstance(event, ev.RunEnded):
            self._ended(event)

    def _started(self, event: ev.NodeStarted) -> None:
        self._began[event.task] = time.monotonic()
        with suppress(RuntimeError):  # told from another thread: nothing to look after
            loop = asyncio.get_running_loop()
            loop.call_later(SLOW, self._slow, event)

    def _slow(self, event: ev.NodeStarted) -> None:
        if event.task in self._began and self._left.get(event.node, 1) == 1:
            self._say(event, "▶", "dim", event.node, "running")

    def _finished(self, event: ev.NodeFinished) -> None:
        self._began.pop(event.task, None)
        left = self._left[event.node] = self._left.get(event.node, 1) - 1
        if left > 0:
            return
        passed = _lines.take()
        if passed is None:
            return
        took = "from the cache" if event.is_cached else f"{event.duration:.1f} s"
        self._say(event, "✓", "green", event.node, took, passed)

    def _ended(self, event: ev.RunEnded) -> None:
        self._began.clear()
        style = {"done": "green", "failed": "red"}.get(event.status, "yellow")
        nodes = f"next: {', '.join(event.next)}" if event.next else ""
        self._say(event, "■", style, event.status, nodes)

    def _say(self, event: ev.Event, sign: str, style: str, *words: Any) -> None:
        line = Text(f"{_plain(event.thread)} ", style="dim")
        line.append(f"{event.step:>3} ", style="dim")
        line.append(f"{sign} ", style=style)
        line.append(_plain(str(words[0])), style="bold" if style == "bold" else "")
        rest = "  ".join(" ".join(str(word).split()) for word in words[1:] if word)[:300]
        line.append(f"  {_plain(rest)}", style="dim" if style in ("green", "dim") else "")
        self._console.print(line, soft_wrap=True)


def _plain(text: str) -> str:
    """The text without what a terminal would obey."""
    return "".join(char if char.isprintable() else "�" for char in text)
