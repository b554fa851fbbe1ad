"""
What a node's code is, as one short text: compared at resume to notice a changed cell. (W11)
"""

from __future__ import annotations

import functools
import hashlib
import types
from typing import Any

from nbagent.engine.program import Program

_DEPTH = 4  # how far helper functions of helper functions are followed
_MUTABLE = (list, dict, set)


def fingerprint(function: Any) -> str:
    """16 hex digits that change with the function's code and with the globals that it captures,
    with the arguments of a `partial`, and with the object of a method as it is now.

    Bytecode, not source: comments and layout do not matter, and code without a source file has a
    fingerprint, too. It differs between minor versions of Python.
    """
    digest = hashlib.blake2b(digest_size=8)
    _add(digest, function, _DEPTH, set())
    return digest.hexdigest()


def fingerprint_of(program: Program, *joints: Any) -> str:
    """The fingerprint of a graph as a node: its nodes, its wires, its state, and `joints`, which
    join it to its parent."""
    digest = hashlib.blake2b(digest_size=8)
    wired = (
        sorted(program.fingerprints.items()),
        [(edge.source, edge.target) for edge in program.edges],
        [(join.sources, join.target) for join in program.joins],
        [(branch.source, branch.choose, branch.targets) for branch in program.branches],
        [(each.source, each.items, each.target) for each in program.eaches],
        [(node.name, node.on, node.defer) for node in program.nodes.values()],
        [(type(kind), getattr(kind, "reducer", None)) for kind in program.fields.values()],
        program.schema.fingerprint,
        joints,
    )
    _add(digest, wired, _DEPTH, set())
    return digest.hexdigest()


def _add(digest: Any, value: Any, depth: int, seen: set[int]) -> None:
    """What a value is as far as text can say it: code, built-in values, an object's class."""
    if isinstance(value, functools.partial):
        _add(digest, [value.args, value.keywords], depth, seen)
        return _add(digest, value.func, depth, seen)
    if isinstance(value, types.MethodType):
        _add_object(digest, value.__self__, depth, seen)
        return _add(digest, value.__func__, depth, seen)
    if isinstance(value, (list, tuple, set, frozenset, dict)):
        return _add_items(digest, value, depth, seen)
    function = getattr(value, "__wrapped__", None) or value
    code = getattr(function, "__code__", None)
    if not isinstance(code, types.CodeType):
        if isinstance(value, (str, int, float, bytes, bool, type(None))):
            digest.update(repr(value).encode())
        else:
            named = value if hasattr(value, "__qualname__") else type(value)
            digest.update(f"{named.__module__}.{named.__qualname__}".encode())
            call = getattr(type(value), "__call__", None)  # noqa: B004  (of a callable object)
            if isinstance(call, types.FunctionType):
                _add_object(digest, value, depth, seen)
                _add(digest, call, depth, seen)
        return None
    if id(code) in seen:
        return None
    seen.add(id(code))
    _add_code(digest, code)
    _add_all(digest, getattr(function, "__defaults__", None) or (), depth, seen)
    for cell in getattr(function, "__closure__", None) or ():
        try:
            _add_all(digest, (cell.cell_contents,), depth, seen)
        except ValueError:
            continue  # a cell that is not filled yet
    names = getattr(function, "__globals__", {})
    # A list or dict among the globals is what code works on, not what it is.
    captured = [names[name] for name in code.co_names if name in names]
    _add_all(digest, [v for v in captured if not isinstance(v, _MUTABLE)], depth, seen)
    return None


def _add_items(digest: Any, items: Any, depth: int, seen: set[int]) -> None:
    digest.update(f"{type(items).__name__}{len(items)}".encode())
    if depth <= 0:
        return
    if isinstance(items, dict):
        items = [part for pair in items.items() for part in pair]
    elif isinstance(items, (set, frozenset)):
        items = sorted(items, key=repr)
    for item in items:
        _add(digest, item, depth - 1, seen)
        digest.update(b",")


def _add_object(digest: Any, thing: Any, depth: int, seen: set[int]) -> None:
    """The object of a method, or one that is called: its class, and what its attributes hold."""
    kind = thing if isinstance(thing, type) else type(thing)
    digest.update(f"{kind.__module__}.{kind.__qualname__}".encode())
    held = {} if thing is kind else getattr(thing, "__dict__", {})
    if id(thing) not in seen and depth > 0:
        seen.add(id(thing))
        _add_items(digest, held, depth - 1, seen)


def _add_all(digest: Any, values: Any, depth: int, seen: set[int]) -> None:
    for value in values:
        own = isinstance(value, (types.FunctionType, types.MethodType, functools.partial))
        own = own or hasattr(value, "__wrapped__")
        if isinstance(value, types.ModuleType):
            digest.update(value.__name__.encode())
        elif not own or depth > 0:
            _add(digest, value, depth - 1, seen)


def _add_code(digest: Any, code: types.CodeType) -> None:
    digest.update(code.co_code)
    digest.update(" ".join(code.co_names).encode())
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            _add_code(digest, constant)
        else:
            digest.update(_text(constant).encode())


def _text(constant: Any) -> str:
    """A constant as text that is the same in every process: a set has no order of its own."""
    if isinstance(constant, frozenset):
        return f"frozenset({sorted(map(repr, constant))})"
    return repr(constant)
