"""
What a node prints and logs belongs to that node, in parallel siblings and on threads too. (R38)

Rule 1: `sys.stdout` and `sys.stderr` ask who writes (see `standard_streams`); what no node wrote
        goes where it went before.
Rule 2: what a node wrote becomes events, line by line, and is kept with its task up to a limit. It
        is shown where it would have been when the run began as well, unless a view of the run
        shows it.
Rule 3: a log record made inside a node is a line of that node; the handlers there are get it too.
Rule 4: secrets are struck out before the text goes any of these ways, also those that come in
        pieces.
"""

from __future__ import annotations

import codecs
import contextlib
import contextvars
import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nbagent.engine.model.secrets import Curtain, is_any, strike_out
from nbagent.engine.node.context import running
from nbagent.engine.node.standard_streams import ROUTERS, STREAMS, install

LONGEST = 20_000  # characters kept of one task
_MOMENT = 1.0  # seconds that a view may take to come
_expected: contextvars.ContextVar[bool] = contextvars.ContextVar("nbagent_view", default=False)


class _Flow:
    """What a task writes to one stream, as far as it is not told yet."""

    def __init__(self) -> None:
        self.curtain = Curtain()
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.begun: list[str] = []  # what has no newline yet
        self.length = 0
        self.is_returned = False  # it ends with a carriage return: what follows draws over it

    def take(self, text: str) -> str:
        """The whole lines that there are now; a line that grows without end is told in parts."""
        if "\n" in text or "\r" in text or self.is_returned:
            text = "".join((*self.begun, text))
            self.begun, self.length = [], 0
            if "\r" in text:
                text = "\n".join(map(_drawn, text.split("\n")))
        head, newline, rest = text.rpartition("\n")
        if rest:
            self.begun.append(rest)
            self.length += len(rest)
            self.is_returned = rest.endswith("\r")
        return head + newline + (self.end() if self.length > LONGEST else "")

    def end(self) -> str:
        rest = "".join(self.begun)
        self.begun, self.length, self.is_returned = [], 0, False
        return rest


def _drawn(line: str) -> str:
    """What is seen of a line in the end: a progress bar draws over itself."""
    text = line.rstrip("\r")
    return text.rpartition("\r")[2] + line[len(text) :]


class Output:
    """What one task has printed; `tell(stream, text)` gets whole lines, `echo` all at once."""

    def __init__(self, tell: Callable[[str, str], None], echo: Echo | None = None) -> None:
        self._tell = tell
        self._echo = echo
        self._lock = threading.RLock()  # a finalizer may print in the middle of a print
        self._flows: dict[str, _Flow] = {}
        self._kept: list[str] = []
        self._length = 0

    def write(self, stream: str, text: str | bytes) -> None:
        """Take a piece of text; what ends with a newline is told."""
        with self._lock:
            flow = self._flows.setdefault(stream, _Flow())
            if isinstance(text, bytes):
                text = flow.decoder.decode(text)
            text = flow.curtain.take(text)
            try:
                if text and self._echo is not None and stream in STREAMS:
                    self._echo(stream, text)
            finally:
                self._out(stream, flow.take(text))

    def end(self) -> str:
        """Tell what had no newline; all that was kept."""
        with self._lock:
            for stream, flow in tuple(self._flows.items()):
                rest = flow.curtain.take(flow.decoder.decode(b"", True)) + flow.curtain.end()
                self._out(stream, flow.take(rest) + flow.end())
                if rest and self._echo is not None and stream in STREAMS:
                    with contextlib.suppress(Exception):  # the node itself has not failed
                        self._echo(stream, rest)
            return "".join(self._kept)

    def _out(self, stream: str, text: str) -> None:
        if not text or self._length > LONGEST:
            return
        self._length += len(text)
        if self._length > LONGEST:
            text = f"{text[: len(text) - (self._length - LONGEST)]}\n… what follows is not kept\n"
        self._kept.append(text)
        self._tell(stream, text)


class Echo:
    """Writes what nodes print where it would have been, unless a view shows it.

    That is the stream that was there when the run began. Where a view is expected, what is printed
    first is held back a moment: the view has it from the start, and then it is not told twice.
    """

    def __init__(self) -> None:
        install()
        self.is_shown = False  # set by whoever shows `NodePrinted` to a person
        self._layers = {name: router.layer() for name, router in ROUTERS.items()}
        self._held: list[tuple[contextvars.Context, str, str]] = []
        self._until = time.monotonic() + _MOMENT if _expected.get() else 0.0
        self._lock = threading.RLock()

    def __call__(self, stream: str, text: str) -> None:
        with self._lock:
            if self.is_shown:
                return
            left = self._until - time.monotonic()
            if left <= 0:
                self._flush()
                self._show(stream, text)
                return
            if not self._held:
                timer = threading.Timer(left, self.flush)
                timer.daemon = True
                timer.start()
            # A kernel sees in the context which cell it is for.
            self._held.append((contextvars.copy_context(), stream, text))

    def flush(self) -> None:
        """Write what was held back, if no view has come."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        held, self._held = self._held, []
        for context, stream, text in held if not self.is_shown else ():
            context.run(self._show, stream, text)

    def _show(self, stream: str, text: str) -> None:
        ROUTERS[stream].show(self._layers[stream], text)


class _Handler(logging.Handler):
    """Gives log records to the node that made them."""

    def handle(self, record: logging.LogRecord) -> bool:
        # Without the lock of handlers: an observer may log while it is told of another's record.
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        task = running()
        if task is not None and not task.is_closed:
            task.outlet.write("log", f"{record.levelname} {record.name}: {record.getMessage()}\n")
        last = logging.lastResort
        if len(logging.root.handlers) > 1 or last is None or record.levelno < last.level:
            return
        # As if this handler were not there; what is the node's already is not its print as well.
        if task is None or task.is_closed:
            last.handle(record)
        else:
            task.services.echo("stderr", f"{last.format(record)}\n")


class _Records:
    """Makes log records as they were made before; those of nodes, and ours, tell no secret."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **options: Any) -> logging.LogRecord:
        record = self._make(*args, **options)
        if is_any() and (running() is not None or record.name.startswith("nbagent")):
            _strike_out_of(record)
        return record


def _strike_out_of(record: logging.LogRecord) -> None:
    """Only what has a secret in it is replaced: a handler may want the arguments as they were."""
    with contextlib.suppress(Exception):  # arguments that do not fit: the handler will say so
        message = record.getMessage()
        if message != (struck := strike_out(message)):
            record.msg, record.args = struck, None
    if record.exc_info and record.exc_info[0]:
        text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        if text != (struck := strike_out(text)):
            record.exc_text, record.exc_info = struck, None
    if record.stack_info:
        record.stack_info = strike_out(record.stack_info)


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
        install()
        if _handler not in logging.root.handlers:
            logging.root.addHandler(_handler)
        make = logging.getLogRecordFactory()
        if not isinstance(make, _Records):
            logging.setLogRecordFactory(_Records(make))


def let_go() -> None:
    """A run has ended; behind the last one log records are nobody's."""
    global _count
    with _lock:
        _count -= 1
        if _count <= 0:
            logging.root.removeHandler(_handler)
