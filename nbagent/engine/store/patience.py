"""
How long a call of a store may take, as its caller can afford. (W4)

Rule: on the event loop nothing is waited for. There a store does `at_once` what takes no time to
      speak of, and raises `NotAtOnce` for all else, with nothing changed: the caller hands that to
      a thread.

A store that knows nothing of this is called as it is, and may hold the loop.
"""

from __future__ import annotations

import threading
from types import TracebackType

from nbagent.errors import StoreUnavailable


class NotAtOnce(StoreUnavailable):
    """Somebody else writes, the value is large, or the way to the server is long."""


class Heavy(NotAtOnce):
    """To write the value takes long by itself."""


class _Here(threading.local):
    def __init__(self) -> None:
        self.seconds: list[float] = []


_here = _Here()


class Patience:
    """Inside, on this thread, a store waits for its turn to write so many seconds at the most."""

    __slots__ = ("_seconds",)

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        _here.seconds.append(self._seconds)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _here.seconds.pop()


at_once = Patience(0.0)


def patience(usual: float) -> float:
    """How long the store may wait for its turn; `usual` where nobody has said."""
    found = _here.seconds
    return found[-1] if found else usual


def must_be_at_once() -> bool:
    """True where the caller can wait for nothing."""
    found = _here.seconds
    return bool(found) and found[-1] == 0.0
