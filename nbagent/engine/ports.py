"""
What the engine lets others do for it, because it has only the standard library. (C5)

Rule 1: a port is one slot with one form: `nbagent.wiring` fills it, the engine calls it. What
        happens where it is empty is said here, so the engine also works alone.
Rule 2: nothing here knows a type of the engine's, so every floor may call a port.
"""

from __future__ import annotations

import array
import hashlib
import math
import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, ParamSpec, TypeVar

from nbagent.errors import NbagentError, StoreError

P = ParamSpec("P")
R = TypeVar("R")
Url = str | os.PathLike[str]
Rows = Sequence[Mapping[str, Any]]


class Port(Generic[P, R]):
    """A function that somebody else is to give; `empty` stands in for it until then."""

    __slots__ = ("_functions",)

    def __init__(self, empty: Callable[P, R]) -> None:
        self._functions: tuple[Callable[P, R], ...] = (empty,)

    def fill(self, function: Callable[P, R]) -> None:
        """Call `function` from now on, and nothing else."""
        self._functions = (function,)

    def also(self, function: Callable[P, R]) -> None:
        """Call `function` after those that are there; its result is the port's. Once is enough."""
        if function not in self._functions:
            self._functions += (function,)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        *others, last = self._functions
        for function in others:
            function(*args, **kwargs)
        return last(*args, **kwargs)


def _plain_table(rows: Rows, columns: Sequence[str]) -> Any:
    return [{name: row.get(name) for name in columns} for row in rows]


def _plain_cosines(one: bytes, others: Sequence[bytes]) -> list[float]:
    mine = array.array("f", one)
    length = math.sqrt(sum(x * x for x in mine))
    found = []
    for other in others:
        theirs = array.array("f", other)
        size = length * math.sqrt(sum(x * x for x in theirs))
        found.append(sum(map(operator.mul, mine, theirs)) / size if size else 0.0)
    return found


def _nothing(*args: Any) -> Any:
    return None


def _shortened(value: Any) -> str:
    text = repr(value).encode("utf-8", "replace")
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def _no_store(url: Url) -> Any:
    raise StoreError(f"no store for {url!r}: `import nbagent` brings SQLite, PostgreSQL and memory")


def _no_file(path: Any, store: Any, to_read: bool) -> Any:
    return _no_store(path)


def _as_given(schema: Any, answer: Any) -> Any:
    return answer


def _as_it_is(url: Url, folder: str) -> Url:
    return url


def _no_choice(store: Any, rows: Rows, columns: Sequence[str], choice: Mapping[str, Any]) -> Rows:
    raise StoreError("threads(where=…) takes what `import nbagent` brings")


def _no_plot(trace: Any, ax: Any) -> Any:
    raise NbagentError("a trace is drawn with matplotlib, which `import nbagent` finds")


make_table = Port[[Rows, Sequence[str]], Any](_plain_table)
"""(rows, columns) -> a table with these columns. Empty: a list of dicts."""

choose_rows = Port[[Any, Rows, Sequence[str], Mapping[str, Any]], Rows](_no_choice)
"""(store, rows, columns, choice) -> the rows of threads that `where`, `params`, `order_by`, `limit`
and `state` choose. Empty: `StoreError`."""

draw_trace = Port[[Any, Any], Any](_no_plot)
"""(trace, ax) -> the trace drawn on matplotlib's ax, or on a new one for None."""

open_url = Port[[Url], Any](_no_store)
"""(url or path) -> the `CheckpointStore` that it names. Empty: `StoreError`."""

open_file = Port[[Any, Any, bool], Any](_no_file)
"""(path, store, to_read) -> a store in a file, encrypted as `store` is: to be read as it stands,
without a mark on it, or new. Empty: `StoreError`."""

locate = Port[[Url, str], Url](_as_it_is)
"""(url or path, folder) -> the same, with a relative path in it made absolute. Empty: as it is."""

identify = Port[[Url], str](str)
"""(url or path) -> a text that all spellings of one store have in common. Empty: its text."""

check_answer = Port[[Any, Any], Any](_as_given)
"""(JSON Schema or None, answer) -> the answer as it is kept, or `StateError` where it does not
fit. For a thread whose graph, which would do it, is not at hand. Empty: every answer fits."""

find_tracer = Port[[], Any](_nothing)
"""() -> a `Bridge` to somebody else's tracer, at the start of each run. Empty: there is none."""

nest_loop = Port[[Any], None](_nothing)
"""(loop) -> makes a running event loop one that can be waited for from inside."""

digest = Port[[Any], str](_shortened)
"""(value) -> a short text that is the same for equal values in any process. Empty: of its repr."""

declared = Port[[Any], None](_nothing)
"""(annotation) -> told of every annotation that a state declares: its values may be stored."""

gained = Port[[type, Iterable[str]], None](_nothing)
"""(class, fields) -> told that an instance was stored before its class had these fields, and that
they got their defaults."""

lost = Port[[type, Iterable[str]], None](_nothing)
"""(class, fields) -> told that an instance was stored with fields that its class has no more."""

find_copier = Port[[type], Callable[[Any], Any] | None](_nothing)
"""(type) -> how a value of it is copied for one reader. Empty or None: `copy.deepcopy`."""

find_cell = Port[[], tuple[str, str] | None](_nothing)
"""() -> which cell of a notebook is being executed, and which execution that is, as texts that are
the same in any kernel. Empty or None: none, or it is not known."""

find_parts = Port[[type], Callable[[Any], Any] | None](_nothing)
"""(type) -> what a value of it holds, as built-in values. Empty or None: what pickle is told."""

cosines = Port[[bytes, Sequence[bytes]], list[float]](_plain_cosines)
"""(vector, vectors) -> how near each is to the first, from -1 to 1; vectors are 32-bit floats."""

run_began = Port[[Any], None](_nothing)
"""(run) -> told of every run that begins in this process, those of subgraphs apart."""
