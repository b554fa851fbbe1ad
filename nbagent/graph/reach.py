"""
Whether a function might make a `Command` or a `Send`, and so lead where no wire does.

Rule 1: True unless it can be seen that it does not. A graph is refused only for what is certain, so
        a Command that comes from a helper, an alias, a partial, an object or somebody else's
        library never makes a right graph wrong.
Rule 2: what can be seen through is plain: functions, what they name and capture, built-in values,
        the standard library, and nbagent's own functions. All else might.
"""

from __future__ import annotations

import builtins
import dis
import functools
import sys
import types
from collections.abc import Iterable, Mapping
from typing import Any

from nbagent.engine.model.program import Command, Node, Send
from nbagent.engine.node.subgraph import Subgraph

_PLAIN = (str, bytes, int, float, complex, type(None), type(Ellipsis))
_HOLDERS = (list, tuple, set, frozenset)
_HIDES = ("eval", "exec", "compile", "getattr", "globals", "locals", "vars", "__import__")
# Where Python keeps types whose objects hand out nothing but themselves.
_VALUES = (
    "typing",
    "re",
    "datetime",
    "decimal",
    "pathlib",
    "uuid",
    "logging",
    "fractions",
    "_thread",
)
_FAR = 500  # things that are looked at, at the most


def may_send(node: Node) -> bool:
    """True when the node might say itself where to go on."""
    function, policy = node.function, node.policy
    if isinstance(function, Subgraph):
        inside = any(map(may_send, function.program.nodes.values()))
        return inside or might_make(function.outputs)
    ways = [way for way in (policy.recover or {}).values() if callable(way)]
    return any(map(might_make, (function, policy.fallback, *ways)))


def might_make(function: Any) -> bool:
    """True when it cannot be seen that the function makes no `Command` and no `Send`."""
    return _Sight().might(function)


class _Sight:
    """What has been looked at already."""

    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}

    def might(self, thing: Any) -> bool:
        if isinstance(thing, _PLAIN) and type(thing).__module__ == "builtins":
            return False
        if id(thing) in self._seen:
            return False
        self._seen[id(thing)] = thing  # kept, so that no other thing gets its id
        if len(self._seen) > _FAR:
            return True
        if type(thing) in _HOLDERS:
            return self._any(thing)
        if type(thing) in (dict, types.MappingProxyType):
            return self._any([*thing.keys(), *thing.values()])
        if isinstance(thing, functools.partial):
            return self._any([thing.func, thing.args, thing.keywords])
        if isinstance(thing, types.MethodType):
            return self._any([thing.__func__, thing.__self__])
        if isinstance(thing, types.FunctionType):
            return self._in_function(thing)
        if isinstance(thing, types.BuiltinFunctionType):
            own = thing.__self__
            if isinstance(own, types.ModuleType):
                return thing.__name__ in _HIDES or not _is_known(own.__name__)
            return self.might(own)
        if isinstance(thing, type):
            return self._in_class(thing)
        if type(thing).__module__.startswith("nbagent.graph."):  # a node, a graph
            inside = getattr(thing, "nodes", {})  # of a graph, which may hand over to its caller
            return self.might(getattr(thing, "function", None)) or self.might(inside)
        if type(thing).__module__ in _VALUES:
            return False
        if type(thing).__module__ in sys.stdlib_module_names or isinstance(thing, Command | Send):
            return True
        return self._in_class(type(thing)) or self.might(getattr(thing, "__dict__", None))

    def _any(self, things: Iterable[Any]) -> bool:
        return any(map(self.might, things))

    def _in_class(self, kind: type) -> bool:
        if issubclass(kind, Command | Send):
            return True
        if _is_known(kind.__module__):
            return False
        parts = [part for one in kind.__mro__ if one is not object for part in vars(one).values()]
        return any(
            self.might(getattr(part, "__func__", part))
            for part in parts
            if isinstance(part, (types.FunctionType, staticmethod, classmethod))
        )

    def _in_function(self, function: types.FunctionType) -> bool:
        captured = [function.__defaults__, function.__kwdefaults__]
        for cell in function.__closure__ or ():
            try:
                captured.append(cell.cell_contents)
            except ValueError:  # filled later, with what nobody can see yet
                return True
        if self._any(captured):
            return True
        if _is_known(str(function.__module__)):
            return False
        return self._in_code(function.__code__, function.__globals__)

    def _in_code(self, code: types.CodeType, names: Mapping[str, Any]) -> bool:
        if {"Command", "Send"} & {*code.co_names}:
            return True
        for step in dis.get_instructions(code):
            if step.opname == "IMPORT_NAME" and not _is_known(str(step.argval)):
                return True
        for name in code.co_names:
            if name in names:
                if self._named(names[name], code.co_names):
                    return True
            elif name in _HIDES and hasattr(builtins, name):
                return True
        inner = [part for part in code.co_consts if isinstance(part, types.CodeType)]
        return any(self._in_code(part, names) for part in inner)

    def _named(self, thing: Any, names: Iterable[str]) -> bool:
        """What a global name stands for; of a module, what is taken of it."""
        if not isinstance(thing, types.ModuleType):
            return self.might(thing)
        if _is_known(thing.__name__):
            return False
        taken = [vars(thing)[name] for name in names if name in vars(thing)]
        return not taken or any(self._named(one, names) for one in taken if one is not thing)


def _is_known(module: str) -> bool:
    """True for Python's own modules and ours: what of them is named is seen by its name."""
    top = module.partition(".")[0]
    return top == "nbagent" or (top in sys.stdlib_module_names and top not in ("importlib",))
