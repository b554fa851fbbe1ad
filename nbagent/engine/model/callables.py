"""
What can be said of a function before it is called. (R46)
"""

from __future__ import annotations

import functools
import inspect
from typing import Any


def is_async(function: Any) -> bool:
    """True when a call of it gives a coroutine: also of a partial or an object with `__call__`."""
    while isinstance(function, functools.partial):
        function = function.func
    call = getattr(type(function), "__call__", None)  # noqa: B004  (of a callable object)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def takes(function: Any, count: int) -> bool:
    """True when it can be called with `count` arguments; also where it does not say."""
    try:
        inspect.signature(function).bind(*(None,) * count)
    except ValueError:  # a built-in that does not say what it takes
        return True
    except TypeError:
        return False
    return True


def answers(function: Any, count: int) -> bool:
    """True for a plain function of so many arguments, which gives its answer and no coroutine."""
    return callable(function) and takes(function, count) and not is_async(function)


def name_of(function: Any) -> str:
    """What people call it: its name, a partial's function's, or its class's."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__
