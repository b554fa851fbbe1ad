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


def takes(function: Any, count: int, *, or_task: bool = False) -> bool:
    """True when it can be called with `count` arguments; also where it does not say.

    or_task  with its task as well, where it has a parameter for that
    """
    more = {"task": None} if or_task and takes_task(function) else {}
    try:
        inspect.signature(function).bind(*(None,) * count, **more)
    except ValueError:  # a built-in that does not say what it takes
        return True
    except TypeError:
        return False
    return True


def takes_task(function: Any) -> bool:
    """True when it has a parameter `task`, which is not its first one: it is given its task."""
    if isinstance(function, functools.partial) and "task" in function.keywords:
        return False  # whoever made it has said what that is
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    found = parameters.get("task")
    if found is None:
        return False
    if found.kind is inspect.Parameter.KEYWORD_ONLY:
        return True
    return (
        found.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and next(iter(parameters)) != "task"
    )


def answers(function: Any, count: int) -> bool:
    """True for a plain function of so many arguments, which gives its answer and no coroutine."""
    return callable(function) and takes(function, count) and not is_async(function)


def name_of(function: Any) -> str:
    """What people call it: its name, a partial's function's, or its class's."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__
