"""
What a node prints and logs belongs to that node, in parallel siblings and on threads too. (R38)

Rule 1: while runs live, `sys.stdout` and `sys.stderr` ask who writes; what no node wrote goes where
        it went before.
Rule 2: what a node wrote becomes events, line by line, and is kept with its task up to a limit. It
        is shown where it would have been as well, unless a view of the run shows it.
Rule 3: a log record made inside a node is a line of that node; the handlers there are get it too.
"""

from __future__ import annotations

import contextvars
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nbagent.engine.model.secrets import strike_out
from nbagent.engine.node.context import running

LONGEST = 20_000  # characters kept of one task
STREAMS = ("stdout", "stderr")
_MOMENT = 1.0  # seconds that a view may take to come
_expected: contextvars.ContextVar[bool] = contextvars.ContextVar("nbagent_view", default=False)


class Output:
    """What one task has printed; `tell(stream, text)` gets whole lines."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._begun: dict[str, str] = {}  # what has no newline yet
        self._kept: list[str] = []
        self._length = 0

    def write(self, stream: str, text: str) -> None:
        """Take a piece of text; what ends with a newline is told."""
        with self._lock:
            begun, newline, rest = (self._begun.get(stream, "") + text).rpartition("\n")
            self._begun[stream] = rest
            if newline:
                self._out(stream, begun + newline)

    def end(self) -> str:
        """Tell what had no newline; all that was kept."""
        with self._lock:
            for stream, rest in self._begun.items():
                if rest:
                    self._out(stream, rest)
                    self._begun[stream] = ""
            return "".join(self._kept)

    def _out(self, stream: str, text: str) -> None:
        if self._length > LONGEST:
            return
        text = strike_out(text)
        self._length += len(text)
        if self._length > LONGEST:
            text = f"{text[: len(text) - (self._length - LONGEST)]}\n… what follows is not kept\n"
        self._kept.append(text)
        self._tell(stream, text)


class Echo:
    """Writes what nodes print where it would have been, unless a view shows it.

    Where a view is expected, what is printed first is held back a moment: the view has it from
    the start, and then it is not told twice.
    """

    def __init__(self) -> None:
        self.is_shown = False  # set by whoever shows `NodePrinted` to a person
        self._held: list[tuple[Callable[[str], Any], str]] = []
        self._until = time.monotonic() + _MOMENT if _expected.get() else 0.0
        self._lock = threading.Lock()

    def __call__(self, write: Callable[[str], Any], text: str) -> None:
        with self._lock:
            if self.is_shown:
                return
            left = self._until - time.monotonic()
            if left <= 0:
                self._flush()
                write(text)
                return
            if not self._held:
                timer = threading.Timer(left, self.flush)
                timer.daemon = True
                timer.start()
            self._held.append((write, text))

    def flush(self) -> None:
        """Write what was held back, if no view has come."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        held, self._held = self._held, []
        for write, text in held if not self.is_shown else ():
            write(text)


class _Router:
    """Stands in for a stream of `sys`."""

    def __init__(self, name: str, original: Any) -> None:
        self._name = name
        self.original = original

    def write(self, text: str) -> int:
        task = running()
        if task is None or task.is_closed:
            count: int = self.original.write(text)
            return count
        task.outlet.write(self._name, text)
        task.services.echo(self.original.write, text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


class _Handler(logging.Handler):
    """Gives log records to the node that made them."""

    def emit(self, record: logging.LogRecord) -> None:
        task = running()
        if task is not None and not task.is_closed:
            task.outlet.write("log", f"{record.levelname} {record.name}: {record.getMessage()}\n")
            if task.services.echo.is_shown:
                return
        last = logging.lastResort
        if len(logging.root.handlers) == 1 and last and record.levelno >= last.level:
            last.handle(record)  # as if this handler were not there


@contextmanager
def view_follows() -> Iterator[None]:
    """Runs that begin inside are likely to be shown at once."""
    token = _expected.set(True)
    try:
        yield
    finally:
        _expected.reset(token)


_lock = threading.Lock()
_count = 0
_handler = _Handler()


def catch() -> None:
    """A run begins: from here on, output is asked whose it is."""
    global _count
    with _lock:
        _count += 1
        for name in STREAMS:
            stream = getattr(sys, name)
            if stream is not None and not isinstance(stream, _Router):
                setattr(sys, name, _Router(name, stream))
        if _handler not in logging.root.handlers:
            logging.root.addHandler(_handler)


def let_go() -> None:
    """A run has ended; behind the last one all is as it was."""
    global _count
    with _lock:
        _count -= 1
        if _count > 0:
            return
        for name in STREAMS:
            stream = getattr(sys, name)
            if isinstance(stream, _Router):
                setattr(sys, name, stream.original)
        logging.root.removeHandler(_handler)
