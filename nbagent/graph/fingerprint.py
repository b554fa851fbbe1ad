"""
What a node's code is, as one short text: compared at resume to notice a changed cell (W11), and
part of what a cached result depends on (R6).
"""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Iterable
from typing import Any

from nbagent.engine.model.program import Program

_DEPTH = 4  # how far helper functions of helper functions are followed
_MUTABLE = (list, dict, set)


def fingerprint(function: Any, *, strict: bool = False) -> str:
    """16 hex digits that change with the function's code and with the globals that it captures,
    with the arguments of a `partial`, and with the object of a method as it is now.

    Bytecode, not source: comments and layout do not matter, and code without a source file has a
    fingerprint, too. It differs between minor versions of Python. A list or dict that the code
    captures is what it works on, not what it is; `strict` counts what it holds all the same.
    """
    return _Digest(strict).of(function)


def fingerprint_of(program: Program, *joints: Any, strict: bool = False) -> str:
    """The fingerprint of a graph as a node: its nodes, its wires, its state, and `joints`, which
    join it to its parent."""
    nodes = program.nodes.values()
    wired = (
        [(node.name, node.fingerprint, node.function if strict else "") for node in nodes],
        [(edge.source, edge.target) for edge in program.edges],
        [(join.sources, join.target) for join in program.joins],
        [(branch.source, branch.choose, branch.targets) for branch in program.branches],
        [(each.source, each.items, each.target) for each in program.eaches],
        [(node.name, node.on, node.defer) for node in nodes],
        [(type(kind), getattr(kind, "reducer", None)) for kind in program.fields.values()],
        program.schema.fingerprint,
        joints,
    )
    return _Digest(strict).of(wired)


class _Digest:
    """What a value is, as far as text can say it: code, built-in values, an object's class."""

    def __init__(self, strict: bool) -> None:
        self._strict = strict
        self._digest = hashlib.blake2b(digest_size=8)
        self._seen: set[int] = set()

    def of(self, value: Any) -> str:
        self._add(value, _DEPTH)
        return self._digest.hexdigest()

    def _write(self, text: str) -> None:
        self._digest.update(text.encode())

    def _add(self, value: Any, depth: int) -> None:
        function = getattr(value, "__wrapped__", None) or value
        if isinstance(value, functools.partial):
            self._add((value.args, value.keywords), depth)
            self._add(value.func, depth)
        elif isinstance(value, types.MethodType):
            self._add_object(value.__self__, depth)
            self._add(value.__func__, depth)
        elif isinstance(value, (tuple, frozenset, *_MUTABLE)):
            self._add_items(value, depth)
        elif isinstance(value, (str, int, float, bytes, bool, type(None))):
            self._write(repr(value))
        elif isinstance(getattr(function, "__code__", None), types.CodeType):
            self._add_function(function, depth)
        else:
            named = value if hasattr(value, "__qualname__") else type(value)
            # A method of a built-in type (`str.upper`) has no module.
            self._write(f"{getattr(named, '__module__', '')}.{named.__qualname__}")
            call = getattr(type(value), "__call__", None)  # noqa: B004  (of a callable object)
            if isinstance(call, types.FunctionType):
                self._add_object(value, depth)
                self._add(call, depth)

    def _add_items(self, items: Any, depth: int) -> None:
        self._write(f"{type(items).__name__}{len(items)}")
        if depth <= 0:
            return
        if isinstance(items, dict):
            items = [part for pair in items.items() for part in pair]
        elif isinstance(items, (set, frozenset)):
            items = sorted(items, key=repr)
        for item in items:
            self._add(item, depth - 1)
            self._write(",")

    def _add_object(self, thing: Any, depth: int) -> None:
        """The object of a method, or one that is called: its class, what its attributes hold."""
        kind = thing if isinstance(thing, type) else type(thing)
        self._write(f"{kind.__module__}.{kind.__qualname__}")
        if thing is not kind and id(thing) not in self._seen and depth > 0:
            self._seen.add(id(thing))
            self._add_items(getattr(thing, "__dict__", {}), depth - 1)

    def _add_function(self, function: Any, depth: int) -> None:
        code = function.__code__
        if id(code) in self._seen:
            return
        self._seen.add(id(code))
        self._add_code(code)
        self._add_captured(getattr(function, "__defaults__", None) or (), depth)
        self._add_captured(_cells(function), depth)
        names = getattr(function, "__globals__", {})
        self._add_captured([names[name] for name in code.co_names if name in names], depth)

    def _add_captured(self, values: Iterable[Any], depth: int) -> None:
        for value in values:
            leads_on = isinstance(value, (types.FunctionType, types.MethodType, functools.partial))
            if isinstance(value, types.ModuleType):
                self._write(value.__name__)
            elif isinstance(value, _MUTABLE) and not self._strict:
                continue
            elif depth > 0 or not (leads_on or hasattr(value, "__wrapped__")):
                self._add(value, depth - 1)

    def _add_code(self, code: types.CodeType) -> None:
        self._digest.update(code.co_code)
        self._write(" ".join(code.co_names))
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._add_code(constant)
            else:
                self._write(_text(constant))


def _cells(function: Any) -> list[Any]:
    """What a closure has captured; a cell that is not filled yet is left out."""
    found = []
    for cell in getattr(function, "__closure__", None) or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:
            continue
    return found


def _text(constant: Any) -> str:
    """A constant as text that is the same in every process: a set has no order of its own."""
    if isinstance(constant, frozenset):
        return f"frozenset({sorted(map(repr, constant))})"
    return repr(constant)
