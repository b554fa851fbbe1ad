"""
What a node's code is, as one short text: compared at resume to notice a changed cell. (W11)
"""

from __future__ import annotations

import hashlib
import types
from typing import Any

from nbagent.engine.program import Program

_DEPTH = 4  # how far helper functions of helper functions are followed


def fingerprint(function: Any) -> str:
    """16 hex digits that change with the function's code and with the globals that it captures.

    Bytecode, not source: comments and layout do not matter, and code without a source file has a
    fingerprint, too. It differs between minor versions of Python.
    """
    digest = hashlib.blake2b(digest_size=8)
    _add(digest, function, _DEPTH, set())
    return digest.hexdigest()


def fingerprint_of(program: Program, *joints: Any) -> str:
    """The fingerprint of a graph as a node: of its nodes' and of what joins it to its parent."""
    parts = [fingerprint(joint) if callable(joint) else repr(joint) for joint in joints]
    digest = hashlib.blake2b(digest_size=8)
    digest.update(" ".join([*parts, *map(" ".join, program.fingerprints.items())]).encode())
    return digest.hexdigest()


def _add(digest: Any, value: Any, depth: int, seen: set[int]) -> None:
    function = getattr(value, "__wrapped__", None) or getattr(value, "func", None) or value
    code = getattr(function, "__code__", None)
    if code is None:
        if isinstance(value, (str, int, float, bytes, bool, type(None))):
            digest.update(repr(value).encode())
        else:
            kind = value if isinstance(value, type) else type(value)
            digest.update(f"{kind.__module__}.{kind.__qualname__}".encode())
        return
    if id(code) in seen:
        return
    seen.add(id(code))
    _add_code(digest, code)
    _add_all(digest, getattr(function, "__defaults__", None) or (), depth, seen)
    for cell in getattr(function, "__closure__", None) or ():
        try:
            _add_all(digest, (cell.cell_contents,), depth, seen)
        except ValueError:
            continue  # a cell that is not filled yet
    names = getattr(function, "__globals__", {})
    captured = [names[name] for name in code.co_names if name in names]
    _add_all(digest, captured, depth, seen)


def _add_all(digest: Any, values: Any, depth: int, seen: set[int]) -> None:
    for value in values:
        own = isinstance(value, types.FunctionType) or hasattr(value, "__wrapped__")
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
