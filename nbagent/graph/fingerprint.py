"""
What a node's code is, as one short text: compared at resume to notice a changed cell (W11), and
part of what a cached result depends on (R6).

Rule 1: what the code uses counts: functions and classes of the user's, wherever they are, and what
        they use; what is captured in closures, defaults, partials and decorators; globals that the
        bytecode loads, and attributes of modules. A name that is only an attribute's does not.
Rule 2: what can change as the code goes (a list, a table, a client) is what it works on, and counts
        in the strict form only, which a cached result depends on.
Rule 3: nothing of the user's is run, and the text is the same in every process. Libraries count by
        their names.
Rule 4: what is too much to look at makes a strict text that is like no other: a result is computed
        once more, and never a wrong one reused.
"""

from __future__ import annotations

import dis
import enum
import functools
import hashlib
import importlib.machinery
import secrets
import sys
import types
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbagent.engine.model.digest import (
    Digest,
    attributes,
    can_change,
    code_parts,
    is_a,
    is_librarys,
    is_librarys_file,
)
from nbagent.engine.model.program import Program

_MOST = 1_000_000  # values that are looked at for one text
_LONGEST = 1_000_000  # bytes of a module that a function imports
_BOOKKEEPING = (types.MemberDescriptorType, types.GetSetDescriptorType)
_FUNCTIONS = (
    types.FunctionType, property, staticmethod, classmethod, functools.cached_property,
    functools.partialmethod, functools.singledispatchmethod,
)  # fmt: skip


def fingerprint(function: Any, *, strict: bool = False) -> str:
    """16 hex digits that change with the function's code and with what it uses.

    Bytecode, not source: comments and layout do not matter, and code without a source file has a
    fingerprint, too. It differs between minor versions of Python.
    """
    return _Code(strict).text(function)


def fingerprint_of(program: Program, *joints: Any, strict: bool = False) -> str:
    """The fingerprint of a graph as a node: its nodes, its wires, its state, and `joints`, which
    join it to its parent."""

    def of_node(node: Any) -> Any:
        inner = node.function
        if not strict:
            return node.fingerprint
        if node.program is None:
            return fingerprint(inner, strict=True)
        return fingerprint_of(node.program, inner.inputs, inner.outputs, strict=True)

    nodes = tuple(program.nodes.values())
    wired = (
        tuple((node.name, of_node(node)) for node in nodes),
        tuple((edge.source, edge.target) for edge in program.edges),
        tuple((join.sources, join.target) for join in program.joins),
        tuple(
            (branch.source, branch.choose, _fixed(branch.targets)) for branch in program.branches
        ),
        tuple((each.source, each.items, each.target) for each in program.eaches),
        tuple((node.name, node.on, node.defer) for node in nodes),
        tuple(
            (name, type(kind), getattr(kind, "reducer", None))
            for name, kind in program.fields.items()
        ),
        program.schema.fingerprint,
        tuple(map(_fixed, joints)),
    )
    return _Code(strict).text(wired)


def _fixed(value: Any) -> Any:
    return tuple(value.items()) if isinstance(value, dict) else value


class _TooMuch(Exception):
    """There is more to look at than is looked at."""


class _Code(Digest):
    """The digest of code and of what it uses. Functions and classes are looked at one after
    another, however they refer to each other; in values they stand as their number."""

    def __init__(self, strict: bool) -> None:
        super().__init__()
        self._strict = strict
        self._left = _MOST
        self._numbers: dict[int, tuple[Any, int]] = {}
        self._waiting: deque[Any] = deque()
        self._first: Any = None

    def text(self, value: Any) -> str:
        self._first = value.__self__ if is_a(value, types.MethodType) else value
        try:
            parts = [self.encode(value)]
            while self._waiting:
                thing = self._waiting.popleft()
                look = self._in_class if is_a(thing, type) else self._in_function
                parts.append(self.hash("code", look(thing)))
        except (_TooMuch, RecursionError):
            return secrets.token_hex(8) if self._strict else "0" * 16
        return hashlib.blake2b(b"".join(parts), digest_size=8).hexdigest()

    # ---------------------------------------------------------------------------------- values

    def encode(self, value: Any) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise _TooMuch
        return super().encode(value)

    def compound(self, value: Any, kind: type) -> bytes:
        module = kind.__module__
        if module.startswith("nbagent.graph."):
            return self._of_graphs(value, kind)
        if kind.__module__ == "functools" and is_a(wrapped := _wrapped(value), types.FunctionType):
            return self.hash("wrapped", [self.named(kind), self.encode(wrapped)])  # with a cache
        if not self._strict and can_change(value):
            # Of the node itself, where it is an object or an object's method, what it holds.
            held = [self.state(value)] if value is self._first and not is_librarys(kind) else []
            return self.hash("changes", [self.of_class(kind), *held])
        return super().compound(value, kind)

    def _of_graphs(self, value: Any, kind: type) -> bytes:
        """A node or a graph that the code calls: its function, its functions."""
        held = dict(attributes(value))
        if "function" in held:
            return self.hash("node", [self.encode(held["function"])])
        nodes = held.get("nodes")
        called = tuple(nodes.items()) if isinstance(nodes, dict) else ()
        return self.hash("graph", [self.named(kind), *map(self.encode, called)])

    # ------------------------------------------------------------------------------------ code

    def of_class(self, kind: type) -> bytes:
        return self.named(kind) if is_librarys(kind) else self._number(kind)

    def of_function(self, function: types.FunctionType) -> bytes:
        if not is_librarys(function):
            return self._number(function)
        # What a library's decorator has made of the user's function, and of its arguments.
        held = [*_cells(function).values(), _wrapped(function)]
        registry = vars(function).get("registry")  # of what functools.singledispatch has made
        if is_a(registry, types.MappingProxyType):
            held.append(registry)
        return self.hash("library", [self.named(function), *map(self.encode, held)])

    def _number(self, thing: Any) -> bytes:
        """A function or a class by its number; it is looked at later."""
        if id(thing) not in self._numbers:
            self._numbers[id(thing)] = (thing, len(self._numbers))
            self._waiting.append(thing)
        return b"n%d" % self._numbers[id(thing)][1]

    def _in_function(self, function: types.FunctionType) -> Iterator[bytes]:
        code = function.__code__
        yield from code_parts(code)
        yield self.encode((function.__defaults__, *sorted((function.__kwdefaults__ or {}).items())))
        yield self.encode(tuple(sorted(vars(function).items(), key=lambda item: str(item[0]))))
        cells = _cells(function)
        for name, held in cells.items():
            yield name.encode() + b"=" + self.encode(held)
        for kind, name, path in _uses(code):
            if kind == "import":
                yield self._of_import(name, function.__globals__)
                continue
            names = cells if kind == "cell" else function.__globals__
            if name in names and (kind != "cell" or is_a(names[name], types.ModuleType)):
                yield f"{name}.{'.'.join(path)}=".encode() + self._found(names[name], path)

    def _found(self, value: Any, path: tuple[str, ...]) -> bytes:
        """What a name stands for, and past a module what its attribute does."""
        for name in path:
            if not is_a(value, types.ModuleType):
                break
            held = vars(value)
            if name not in held or is_librarys_file(str(held.get("__file__") or "")):
                break
            value = held[name]
        return self.encode(value)

    def _of_import(self, name: str, names: dict[str, Any]) -> bytes:
        """A module that the function imports itself: its file, for it may not be loaded yet."""
        level = len(name) - len(name.lstrip("."))
        if level:
            package = str(names.get("__package__") or "").split(".")
            base = package[: len(package) - level + 1]
            name = ".".join([*base, *filter(None, [name[level:]])])
        path = _file_of(name)
        parts = () if path is None else _file_parts(path, Path(path).stat().st_mtime_ns)
        return self.hash("import", [name.encode(), *parts])

    def _in_class(self, kind: type) -> Iterator[bytes]:
        yield self.named(kind)
        for base in kind.__bases__:
            yield self.of_class(base)
        if not is_librarys(type(kind)):  # its metaclass
            yield b"made by" + self.of_class(type(kind))
        held = vars(kind)
        is_enum = issubclass(kind, enum.Enum)
        if is_enum:
            members = held["_member_map_"].items()
            yield self.encode(tuple((name, one._value_) for name, one in members))
        for name in sorted(held):
            value = held[name]
            is_code = issubclass(type(value), _FUNCTIONS)
            is_hidden = name.startswith("__") and name.endswith("__")
            if is_code or not (
                is_hidden or is_enum or name == "_abc_impl" or type(value) in _BOOKKEEPING
            ):
                yield name.encode() + b"=" + self.encode(value)
        for name, facts in _OF_FIELDS.items():
            fields = held.get(name)
            for field, made in fields.items() if isinstance(fields, dict) else ():
                given = tuple(_plain(getattr(made, fact, None)) for fact in facts)
                yield str(field).encode() + b"=" + self.encode(given)
        for name in _OF_RECORDS:
            if (given := _plain(getattr(kind, name, None))) is not None:
                yield name.encode() + b"=" + self.encode(given)


_OF_FIELDS = {
    "__dataclass_fields__": ("default", "default_factory"),
    "__pydantic_fields__": (
        *("default", "default_factory", "annotation", "metadata"),
        *("alias", "validation_alias", "discriminator", "exclude"),
    ),
}
_OF_RECORDS = ("__struct_defaults__", "__attrs_attrs__")  # of msgspec's and attrs' classes


def _plain(value: Any) -> Any:
    """A list of a class's own, which does not change, as a tuple."""
    return tuple(value) if isinstance(value, list) else value


def _wrapped(value: Any) -> Any:
    return vars(value).get("__wrapped__") if hasattr(value, "__dict__") else None


def _cells(function: Any) -> dict[str, Any]:
    """What a closure has captured; a cell that is not filled yet is left out."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            continue
    return found


@functools.lru_cache(maxsize=4096)
def _uses(code: types.CodeType) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """What the bytecode, and that inside it, reaches by a name: ("global" or "cell", the name, the
    attributes that it goes on with), or ("import", the module, ()) with a dot for each level."""
    found: dict[tuple[str, str, tuple[str, ...]], None] = {}
    now: tuple[str, str, tuple[str, ...]] | None = None
    before: list[Any] = [None, None]
    module = ""
    for step in dis.get_instructions(code):
        operation, value = step.opname, step.argval
        if operation in ("LOAD_ATTR", "LOAD_METHOD") and now is not None:
            now = (now[0], now[1], (*now[2], str(value)))
            continue
        if now is not None:
            found[now] = None
            now = None
        if operation in ("LOAD_GLOBAL", "LOAD_NAME") or operation.startswith("LOAD_FROM_DICT"):
            now = ("global", str(value), ())
        elif "DEREF" in operation and operation.startswith("LOAD"):
            now = ("cell", str(value), ())
        elif operation == "IMPORT_NAME":
            level = before[0] if isinstance(before[0], int) else 0
            module = "." * level + str(value)
            found["import", module, ()] = None
        elif operation == "IMPORT_FROM":
            joint = "" if module.endswith(".") else "."
            found["import", f"{module}{joint}{value}", ()] = None
        if operation.startswith("LOAD_CONST") or operation == "LOAD_SMALL_INT":
            before = [before[1], value]
    if now is not None:
        found[now] = None
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found.update(dict.fromkeys(_uses(constant)))
    return tuple(found)


def _file_of(name: str) -> str | None:
    """The file of a user's module, found without importing anything; None where there is none."""
    locations: Any = None
    path = ""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        full = ".".join(parts[:count])
        if full.partition(".")[0] in sys.stdlib_module_names:
            return None
        try:
            spec = importlib.machinery.PathFinder.find_spec(full, locations)
        except Exception:  # an entry of sys.path that is not what it should be
            return None
        if spec is None:
            return None
        path, locations = str(spec.origin or ""), spec.submodule_search_locations
        if locations is None and count < len(parts):
            return None
    return path if path.endswith(".py") and not is_librarys_file(path) else None


@functools.lru_cache(maxsize=512)
def _file_parts(path: str, changed: int) -> tuple[bytes, ...]:
    """What the code in a file is; `changed` is when it was last written."""
    try:
        source = Path(path).read_bytes()
        if len(source) > _LONGEST:
            return (source,)
        return code_parts(compile(source, path, "exec", dont_inherit=True))
    except (OSError, SyntaxError, ValueError):
        return ()
