"""
An error without what is secret, for whoever catches it or prints its traceback.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TypeVar

from nbagent.engine.model.secrets import is_any, strike_out, strike_out_of
from nbagent.errors import said

E = TypeVar("E", bound="BaseException | None")
# Where Python's own errors keep their texts besides `args`.
_TEXTS = ("strerror", "filename", "filename2", "msg", "text", "reason", "name", "doc", "object")


def hushed(error: E) -> E:
    """The error, with secrets struck out of it, of its notes, and of what it came of.

    It stays the object that it is where that can be; one that makes its text in a way of its own is
    replaced by another of the same name.
    """
    if error is None or not is_any():
        return error
    clean: E = _clean(error, set())
    return clean


def _clean(error: Any, seen: set[int]) -> Any:
    if error is None or id(error) in seen:
        return error
    seen.add(id(error))
    with suppress(Exception):
        struck = strike_out_of(error.args)
        if struck is not error.args:
            error.args = struck
    for name in (*vars(error), *_TEXTS):
        with suppress(Exception):
            value = getattr(error, name, None)
            if isinstance(value, (str, list, tuple, dict)):
                struck = strike_out_of(value)
                if struck is not value:
                    setattr(error, name, struck)
    for name in ("__cause__", "__context__"):
        came_of = getattr(error, name)
        clean = _clean(came_of, seen)
        if clean is not came_of:
            hides = error.__suppress_context__
            setattr(error, name, clean)
            error.__suppress_context__ = hides
    if isinstance(error, BaseExceptionGroup):
        parts = [_clean(one, seen) for one in error.exceptions]
        if any(one is not was for one, was in zip(parts, error.exceptions, strict=True)):
            return _like(error, error.derive(parts))
        if strike_out(error.message) != error.message:
            return _like(error, type(error)(strike_out(error.message), parts))
        return error
    text = said(error)
    if strike_out(text) == text and strike_out(repr(error)) == repr(error):
        return error
    return _like(error, type(type(error).__name__, (Exception,), {})(strike_out(text)))


def _like(error: BaseException, other: BaseException) -> BaseException:
    """Another in its place: with its traceback, and what it came of."""
    other.__cause__, other.__context__ = error.__cause__, error.__context__
    other.__suppress_context__ = error.__suppress_context__
    return other.with_traceback(error.__traceback__)
