"""
What `sys.stdout` and `sys.stderr` are from the first run on: one router each, for good.

Rule 1: the interpreter holds the router and nothing else, and never lets go of it. `print()` only
        borrows the stream that it writes to (CPython's gh-130163): a stream that another thread
        puts in its place, or takes away, kills the process.
Rule 2: who reads `sys.stdout` outside a node has the stream that was put there, and who sets it
        sets where the router writes to: pytest, IPython and `redirect_stdout` notice nothing.
Rule 3: inside a node, what is written is the node's. A stream that a node's own code sets is for
        that node alone.
Rule 4: a stream that writes to what it has replaced reaches what it has replaced, not itself.
"""

from __future__ import annotations

import collections
import contextvars
import importlib
import io
import sys
import threading
from collections.abc import Iterator
from typing import Any

from nbagent.engine.model.secrets import strike_out
from nbagent.engine.node.context import TaskContext, aside, running

STREAMS = ("stdout", "stderr")
_DEEPEST = 64  # streams set over each other; of more, those beneath are forgotten


class Layer:
    """A stream, and the layer that was written to before it was set; `task` if a node set it."""

    __slots__ = ("below", "depth", "stream", "task")

    def __init__(self, stream: Any, below: Layer | None, task: TaskContext | None = None) -> None:
        self.stream = stream
        self.below = below
        self.depth: int = below.depth + 1 if below is not None else 0
        self.task = task

    def down(self) -> Iterator[Layer]:
        """This layer and those below it."""
        layer: Layer | None = self
        while layer is not None:
            yield layer
            layer = layer.below


_NODE = Layer(None, None)  # the running node itself


def _after_set(top: Layer, value: Any, task: TaskContext | None = None) -> Layer:
    """Where is written once `value` is set: back at its layer if it had one, else above all."""
    for layer in top.down():
        if layer.stream is value and layer is not _NODE:
            return layer
    if top.depth < _DEEPEST:
        return Layer(value, top, task)
    kept = list(top.down())[: _DEEPEST // 2]
    shorter = _NODE if task is not None else None
    for layer in reversed(kept):
        shorter = Layer(layer.stream, shorter, task)
    return Layer(value, shorter, task)


class _Writing(threading.local):
    """Where a write goes that the write under way on this thread makes."""

    layer: Layer | None = None


class Router:
    """Stands in for a stream of `sys` and asks who writes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._top = Layer(None, None)
        self._lock = threading.Lock()
        self._own: contextvars.ContextVar[Layer] = contextvars.ContextVar(f"nbagent_{name}")
        self._writing = _Writing()
        self.of_nodes = _NodeStream(self)

    # ------------------------------------------------------------- what `sys` says, and is told

    def seen(self) -> Any:
        """What `sys.stdout` is to whoever reads it."""
        task = running()
        if task is None:
            return self._top.stream
        own = self._own_layer(task)
        return self.of_nodes if own is _NODE else own.stream

    def set(self, value: Any) -> None:
        """`sys.stdout = value`; the router itself stands for what was there before the last."""
        task = running()
        if task is not None:
            own = self._own_layer(task)
            is_ours = value is self or value is self.of_nodes
            self._own.set(_NODE if is_ours else _after_set(own, value, task))
            return
        with self._lock:
            if value is not self:
                self._top = _after_set(self._top, value)
            elif self._top.below is not None:
                self._top = self._top.below

    def begin(self, value: Any) -> None:
        """What is there before the router is."""
        with self._lock:
            self._top = Layer(value, None)

    def _own_layer(self, task: TaskContext) -> Layer:
        own = self._own.get(_NODE)
        return own if own.task is task else _NODE

    # ------------------------------------------------------------------------------ writing

    def layer(self) -> Layer:
        """Where something written now goes, or would if no node wrote it."""
        task = running()
        own = _NODE if task is None else self._own_layer(task)
        return self._top if own is _NODE else own

    def show(self, layer: Layer, text: str) -> None:
        """Write to a layer of before; where its stream is gone, to what is there of those below."""
        top = self._top
        there = {id(other.stream) for other in top.down()}
        for one in (*layer.down(), top):
            is_there = one.task is not None or (one is not _NODE and id(one.stream) in there)
            if is_there and not getattr(one.stream, "closed", False):
                self._write(one, text)
                return

    def write(self, text: str) -> int:
        return self._write(self._now(), text)

    def write_of_node(self, text: str | bytes) -> int:
        """Give it to the running node; what none writes goes on."""
        task = running()
        if task is not None and not task.is_closed:
            task.outlet.write(self.name, text)
            return len(text)
        shown = text if isinstance(text, str) else text.decode("utf-8", "replace")
        if task is None:
            now = self._now()  # of an observer, it may be the node that it is told of
            self._write(self._top if now is _NODE else now, shown)
        else:  # a call that was given up may still have a secret to tell
            self._write(self._top, strike_out(shown))
        return len(text)

    def flush(self) -> None:
        """Flush what is written to; what may be the beginning of a secret waits all the same."""
        layer = self._now()
        self._flush(self._top if layer is _NODE else layer)

    def flush_beneath(self) -> None:
        """Flush what no node has set."""
        self._flush(self._top if running() is not None else self._now())

    def beneath(self) -> Any:
        """The stream that no node has set."""
        return self._top.stream

    def _now(self) -> Layer:
        """Where a write goes: below the one that is under way, if it comes from there."""
        if self._writing.layer is not None:
            return self._writing.layer
        task = running()
        return self._top if task is None else self._own_layer(task)

    def _write(self, layer: Layer, text: str) -> int:
        if layer is _NODE:
            return self.write_of_node(text)
        if layer.stream is None:
            return len(text)
        writing = self._writing
        before, writing.layer = writing.layer, layer.below or layer
        try:
            count: int = layer.stream.write(text)
            return count
        finally:
            writing.layer = before

    def _flush(self, layer: Layer) -> None:
        if layer.stream is None:
            return
        before, self._writing.layer = self._writing.layer, layer.below or layer
        try:
            layer.stream.flush()
        finally:
            self._writing.layer = before

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.layer().stream, name)


class _NodeStream:
    """What `sys.stdout` is to a node: what is written here is the node's.

    Kept by somebody for later, it writes to where `sys.stdout` is then.
    """

    def __init__(self, router: Router) -> None:
        self._router = router

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        return self._router.write_of_node(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._router.flush_beneath()

    @property
    def buffer(self) -> Any:
        """The bytes below: a node's are its output as well."""
        return self._router.beneath().buffer if running() is None else _Bytes(self._router)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._router.beneath(), name)


class _Bytes(io.BufferedIOBase):
    """`sys.stdout.buffer` in a node: text in UTF-8."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._router.write_of_node(bytes(memoryview(data)))

    def flush(self) -> None:
        if not self.closed:
            self._router.flush_beneath()

    def fileno(self) -> int:
        number: int = self._router.beneath().fileno()
        return number


ROUTERS = {name: Router(name) for name in STREAMS}

_lock = threading.Lock()
_replaced: collections.deque[Any] = collections.deque(maxlen=1000)  # a print may still hold one


def _property(router: Router) -> property:
    return property(lambda _: router.seen(), lambda _, value: router.set(value),
                    lambda _: router.set(None))  # fmt: skip


_PROPERTIES = {name: _property(router) for name, router in ROUTERS.items()}


def install() -> None:
    """Put the routers in place; where they are already, nothing happens."""
    with _lock:
        values = vars(sys)
        is_first = any(getattr(type(sys), n, None) is not one for n, one in _PROPERTIES.items())
        if is_first:
            for name, router in ROUTERS.items():
                router.begin(getattr(sys, name, None))
            members = {
                **_PROPERTIES,
                "__module__": type(sys).__module__,
                "__doc__": type(sys).__doc__,
                # `pickle` and its kin know modules by their exact class.
                "__reduce__": lambda _: (importlib.import_module, ("sys",)),
            }
            sys.__class__ = type("module", (type(sys),), members)
        for name, router in ROUTERS.items():
            found = values.get(name)
            if found is router:
                continue
            _replaced.append(found)
            if not is_first:  # it was set past the class: by C, or in the dictionary
                with aside():
                    router.set(found)
            values[name] = router
