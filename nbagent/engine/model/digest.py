"""
What a value is, as one short text: equal values have equal digests, in every process.

Rule 1: no code of a user's runs. An object of a user's class is its class and what its attributes
        hold; an object of a library's is what it would tell pickle.
Rule 2: no address, no hash order, no order of a dict's keys, and no sharing of objects counts.
Rule 3: what only a process can hold (a lock, a socket, a generator), and a library's object that
        holds one (a client with its connections), is the name of its class.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import os
import pathlib
import re
import sys
import sysconfig
import types
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from nbagent.engine import ports
from nbagent.engine.model.secrets import Secret
from nbagent.engine.model.values import FrozenDict, FrozenList, FrozenSet

_SIMPLE = frozenset((type(None), bool, float, complex, type(Ellipsis), type(NotImplemented)))
_BASES: dict[type, Callable[[Any], Any]] = {
    str: str.__str__, int: int.__int__, float: float.__float__
}  # fmt: skip
_SHOWN = (
    decimal.Decimal, fractions.Fraction, uuid.UUID, pathlib.PurePath, datetime.date, datetime.time,
    datetime.timedelta, range,
)  # fmt: skip
_ITEMS = (list, tuple, dict, set, frozenset, collections.deque)
_CALLED = (
    types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType,
    functools.partial, functools.partialmethod, functools.singledispatchmethod,
    staticmethod, classmethod, property, functools.cached_property,
)  # fmt: skip
_FROZEN = (FrozenList, FrozenDict, FrozenSet)
_DEEPEST = 120  # nested objects; what is deeper counts by its class
_LIBRARIES = (
    *(path + os.sep for name, path in sysconfig.get_paths().items() if name.endswith(("lib",))),
    str(pathlib.Path(__file__).parents[2]) + os.sep,  # and our own package
)


def digest(value: Any) -> str:
    """32 hex digits, equal for equal values."""
    return hashlib.blake2b(Digest().encode(value), digest_size=16).hexdigest()


class _Held(Exception):
    """Inside a library's object is something that only a process can hold."""


class Digest:
    """Makes the digests of values; what it has met once, it does not look at again."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, bytes]] = {}  # with the value, whose id stays its own
        self._path: set[int] = set()  # the objects that are being looked at
        self._in_librarys = 0

    # ------------------------------------------------------------------------------- values

    def encode(self, value: Any) -> bytes:
        """The value as bytes: itself where that is short, else a digest of it."""
        kind = type(value)
        if kind is str:
            return b"s" + str(value).encode("utf-8", "surrogatepass")
        if kind is int:
            return f"i{value:x}".encode()
        if kind in _SIMPLE:
            return repr(value).encode()
        place = id(value)
        if place in self._known:
            return self._known[place][1]
        if place in self._path:
            return b"itself"
        if len(self._path) > _DEEPEST:
            return self.named(kind)
        self._path.add(place)
        try:
            made = self.compound(value, kind)
        finally:
            self._path.discard(place)
        self._known[place] = (value, made)
        return made

    def compound(self, value: Any, kind: type) -> bytes:
        """What is more than a number or a text."""
        # By its type: `isinstance` asks the object, which may be a proxy.
        if issubclass(kind, type):
            return self.of_class(value)
        if issubclass(kind, enum.Enum):
            return self.hash("enum", [self.of_class(kind), self.encode(value._value_)])
        if issubclass(kind, _CALLED):
            return self._of_called(value, kind)
        if issubclass(kind, types.MappingProxyType):
            pairs = [self.encode(k) + b"=" + self.encode(v) for k, v in value.items()]
            return self.hash("proxy", sorted(pairs))
        if issubclass(kind, _ITEMS):
            return self._of_items(value, kind)
        own: Any = next(base for base in kind.__mro__ if is_librarys(base))
        if issubclass(kind, _SHOWN):
            return self.hash(own.__name__, [own.__repr__(value).encode()])
        if issubclass(kind, (bytes, bytearray, memoryview)):
            return self.hash(kind.__name__, [memoryview(value).tobytes()])
        if issubclass(kind, re.Pattern):
            return self.hash("pattern", [self.encode(value.pattern), b"%d" % value.flags])
        if issubclass(kind, Secret):
            return self.hash("secret", [value.name.encode()])
        if (parts := ports.find_parts(own)) is not None:
            return self.hash("parts", [self.of_class(kind), self.encode(parts(value))])
        return self.of_other(value, kind)

    def of_other(self, value: Any, kind: type) -> bytes:
        """An object of a class that is not Python's own."""
        if issubclass(kind, types.SimpleNamespace):
            return self.hash("object", [self.of_class(kind), self.state(value)])
        if is_librarys(kind):
            return self._of_librarys(value, kind)
        held = [self.of_class(kind), self.state(value)]
        for base, plain in _BASES.items():
            if issubclass(kind, base):
                held.append(self.encode(plain(value)))
        if issubclass(kind, BaseException):
            held.append(self.encode(BaseException.args.__get__(value)))  # type: ignore[attr-defined]
        return self.hash("object", held)

    def _of_items(self, value: Any, kind: type) -> bytes:
        plain: Any = next(
            base for base in kind.__mro__ if base.__module__ in ("builtins", "collections")
        )
        extra = [] if is_librarys(kind) else [self.of_class(kind), self.state(value)]
        if issubclass(kind, dict):
            pairs = [self.encode(k) + b"=" + self.encode(v) for k, v in dict.items(value)]
            return self.hash(plain.__name__, [*extra, *sorted(pairs)])
        items = [self.encode(item) for item in plain.__iter__(value)]
        if issubclass(kind, (set, frozenset)):
            items.sort()
        return self.hash(plain.__name__, [*extra, *items])

    def _of_librarys(self, value: Any, kind: type) -> bytes:
        """As pickle would be told; the class alone where it could not be."""
        self._in_librarys += 1
        try:
            told = value.__reduce_ex__(4)
            if isinstance(told, str):
                return self.hash("global", [self.named(kind), told.encode()])
            make, arguments, state, items, pairs = (*told, None, None, None)[:5]
            held = [None if part is None else list(part) for part in (items, pairs)]
            parts = [self._told(part) for part in (make, arguments, state, *held)]
            return self.hash("told", [self.named(kind), *parts])
        except Exception as error:
            if self._in_librarys > 1:
                raise _Held from error
            return self.hash("held", [self.named(kind)])
        finally:
            self._in_librarys -= 1

    def _told(self, part: Any) -> bytes:
        """What pickle is told; a list or dict in it is how that is said, nothing that changes."""
        kind = type(part)
        if kind is tuple:
            return self.hash("tuple", map(self._told, part))
        return self._of_items(part, kind) if kind in (list, dict) else self.encode(part)

    def state(self, value: Any) -> bytes:
        """What the attributes hold; nothing is asked of the class's own code."""
        held = [self.encode(name) + b"=" + self.encode(item) for name, item in attributes(value)]
        return self.hash("state", sorted(held))

    # --------------------------------------------------------------------------------- code

    def of_class(self, kind: type) -> bytes:
        """A class as such; here its name."""
        return self.named(kind)

    def of_function(self, function: types.FunctionType) -> bytes:
        """A function of Python; here its name and its code, so that two lambdas are two."""
        return self.hash("function", [_name(function), *code_parts(function.__code__)])

    def of_module(self, module: types.ModuleType) -> bytes:
        return self.hash("module", [module.__name__.encode()])

    def _of_called(self, value: Any, kind: type) -> bytes:
        if issubclass(kind, types.FunctionType):
            return self.of_function(value)
        if issubclass(kind, types.ModuleType):
            return self.of_module(value)
        parts: tuple[Any, ...]
        what = str(kind.__name__)
        if issubclass(kind, types.MethodType):
            parts = (value.__self__, value.__func__)
        elif issubclass(kind, functools.singledispatchmethod):
            parts = (value.dispatcher, value.func)
        elif issubclass(kind, (functools.partial, functools.partialmethod)):
            parts = (value.func, value.args, tuple(value.keywords.items()))
        elif issubclass(kind, property):
            parts = (value.fget, value.fset, value.fdel)
        elif issubclass(kind, functools.cached_property):
            parts = (value.func,)
        elif issubclass(kind, (staticmethod, classmethod)):
            parts = (value.__func__,)
        else:  # a built-in function belongs to its module, a built-in method to its object
            owner = value.__self__
            parts = (None if is_a(owner, types.ModuleType) else owner,)
            return self.hash("builtin", [_name(value), *map(self.encode, parts)])
        return self.hash(what, map(self.encode, parts))

    # ------------------------------------------------------------------------------- inside

    def named(self, kind: Any) -> bytes:
        """A class, or a function, by its name."""
        return self.hash("class", [_name(kind)])

    def hash(self, what: str, parts: Iterable[bytes]) -> bytes:
        made = hashlib.blake2b(what.encode(), digest_size=16)
        for part in parts:
            made.update(b"%d:" % len(part))
            made.update(part)
        return b"#" + made.hexdigest().encode()


def is_a(value: Any, kinds: Any) -> bool:
    """`isinstance` by the type alone: of a proxy that would ask the object, whose code may run."""
    return issubclass(type(value), kinds)


def attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """What an object holds, by name: its `__dict__` and its slots, past its class's own code. What
    a `cached_property` has left there is no more than what it was made from."""
    kind = type(value)
    try:
        held = object.__getattribute__(value, "__dict__")
    except AttributeError:
        held = {}
    for name, item in list(held.items()) if isinstance(held, dict) else ():
        if not is_a(find_in_class(kind, name), functools.cached_property):
            yield str(name), item
    for base in kind.__mro__:
        for name, slot in vars(base).items():
            if type(slot) is types.MemberDescriptorType and name != "__pydantic_fields_set__":
                try:
                    yield name, slot.__get__(value, kind)
                except AttributeError:  # it was never set
                    continue


def can_change(value: Any) -> bool:
    """True for what its code may change as it goes: a list, a table, an object with a state."""
    kind = type(value)
    if issubclass(kind, _FROZEN):
        return False
    if issubclass(kind, (list, dict, set, bytearray, collections.deque)):
        return True
    if kind.__module__ in ("builtins", "operator") or issubclass(
        kind, (type, enum.Enum, *_CALLED, *_SHOWN)
    ):
        return False
    return find_in_class(kind, "__hash__") in (None, object.__hash__)


def find_in_class(kind: type, name: str) -> Any:
    """The class's attribute as it stands there, no descriptor asked; None without one."""
    return next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)


@functools.lru_cache(maxsize=4096)
def code_parts(code: types.CodeType) -> tuple[bytes, ...]:
    """What a piece of code is, the code inside it included; where it stands does not matter."""
    parts = [code.co_code, " ".join(code.co_names).encode("utf-8", "surrogatepass")]
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            parts += code_parts(constant)
        else:
            parts.append(Digest().encode(constant))
    return tuple(parts)


def is_librarys(thing: Any) -> bool:
    """True for a class or a function that is not the user's own: Python's, ours, installed."""
    if is_a(thing, types.FunctionType):
        return is_librarys_file(thing.__code__.co_filename)
    return is_librarys_module(getattr(thing, "__module__", None))


def is_librarys_module(name: Any) -> bool:
    """True for a module of Python's, of ours, and for an installed one."""
    if not isinstance(name, str):
        return True  # what belongs to a built-in type has none
    if name == "__main__":
        return False  # whatever file has been run
    if name.partition(".")[0] in sys.stdlib_module_names:
        return True
    return is_librarys_file(getattr(sys.modules.get(name), "__file__", None) or "")


@functools.lru_cache(maxsize=4096)
def is_librarys_file(path: str) -> bool:
    """True for a file of Python's own, of ours, and for an installed one."""
    is_installed = "site-packages" in path or "dist-packages" in path
    return is_installed or path.startswith(("<frozen ", *_LIBRARIES))


def _name(thing: Any) -> bytes:
    qualname = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", "")
    return f"{getattr(thing, '__module__', '')}.{qualname}".encode("utf-8", "surrogatepass")
