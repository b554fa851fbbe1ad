"""
What siblings and threads of one process share: a rate limit, a circuit breaker. (W14)

Both are objects that a person makes once and gives to every node that calls the same server.
Both compute waits from a time that they are given and never sleep themselves, so that a wait can
be stored, shown, ended by a pause, and tested with a clock that nobody waits for. That, and that
what one sibling is told (`Retry-After`) holds for all, is why they are not a library's.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any, Literal

from nbagent.engine.model.callables import answers
from nbagent.errors import CircuitOpen


def is_seconds(value: Any) -> bool:
    """True for a number that can be a length of time."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


class RateLimit:
    """At most `calls` calls in any `per` seconds, for all nodes that share this object.

    When a server says to one of them when to come back, all of them wait until then, also after a
    restart. The algorithm is the generic cell rate algorithm (ITU-T I.371), with a burst of
    `calls`.
    """

    def __init__(self, calls: int, per: float = 60.0) -> None:
        if not _is_count(calls) or not (is_seconds(per) and per > 0):
            raise ValueError(
                f"RateLimit({calls!r}, per={per!r}): give a whole number of calls, at least 1, and "
                "the seconds that they are spread over, more than 0"
            )
        self.calls = calls
        self.per = per
        self._next = 0.0  # when the bucket will be empty again
        self._held = 0.0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"RateLimit({self.calls}, per={self.per:g})"

    def reserve(self, now: float) -> float:
        """Take the next place; seconds from `now` (Unix seconds) until the call may be made."""
        interval = self.per / self.calls
        with self._lock:
            start = max(now, self._held)
            at = max(start, self._next - (self.per - interval))
            self._next = max(self._next, at) + interval
            return at - now

    def hold(self, until: float) -> None:
        """Let nobody call before `until`, Unix seconds: a server has said so."""
        with self._lock:
            self._held = max(self._held, until)

    def held(self, now: float) -> float:
        """Seconds from `now` until the server may be called again."""
        return max(0.0, self._held - now)


class Breaker:
    """Stop calling a server that fails, for all nodes that share this object.

    After `failures` transient failures in a row it is open: calls fail at once with `CircuitOpen`,
    for `reset` seconds. Then one call is let through; if it succeeds all are, else it is open
    again.

    on   tells from the exception whether it counts; by default what `Retry` would try again
    """

    def __init__(
        self,
        failures: int = 5,
        reset: float = 30.0,
        on: Callable[[BaseException], bool] | None = None,
    ) -> None:
        if not _is_count(failures) or not (is_seconds(reset) and reset > 0):
            raise ValueError(
                f"Breaker({failures!r}, reset={reset!r}): give a whole number of failures, at "
                "least 1, and the seconds that it stays open, more than 0"
            )
        if on is not None and not answers(on, 1):
            raise TypeError(f"Breaker(on={on!r}): give a plain function of the exception")
        self.failures = failures
        self.reset = reset
        self.on = on
        self._failed = 0
        self._open_until = 0.0
        self._is_trying = False
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Breaker({self.failures}, reset={self.reset:g})"

    def state(self, now: float) -> Literal["closed", "open", "half-open"]:
        """Whether calls are made: all, none, or one to see."""
        if self._failed < self.failures:
            return "closed"
        return "open" if now < self._open_until else "half-open"

    def enter(self, now: float) -> None:
        """Before a call: `CircuitOpen` where none is to be made."""
        with self._lock:
            state = self.state(now)
            if state == "open" or (state == "half-open" and self._is_trying):
                wait = max(self._open_until - now, 1.0 if self._is_trying else 0.0)
                raise CircuitOpen(
                    f"its server failed {self._failed} times in a row and is not called for "
                    f"another {wait:.0f} seconds",
                    wait=wait,
                )
            self._is_trying = state == "half-open"

    def succeeded(self) -> None:
        """After a call that went well."""
        with self._lock:
            self._failed, self._is_trying = 0, False

    def failed(self, now: float, counts: bool) -> None:
        """After a call that failed; `counts` when that says something about the server."""
        with self._lock:
            self._is_trying = False
            if counts:
                self._failed += 1
                if self._failed >= self.failures:
                    self._open_until = now + self.reset
