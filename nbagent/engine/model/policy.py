"""
What guards a node: when its call is tried again, and what counts as passing trouble. (R4, W14)
"""

from __future__ import annotations

import asyncio
import email.utils
import random
import time
from dataclasses import dataclass

from nbagent.errors import CircuitOpen, NodeError

_TRANSIENT_CODES = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 529))
# Libraries whose connection errors do not derive from OSError; named, never imported.
_TRANSIENT_NAMES = frozenset(("TransportError", "APIConnectionError", "ClientConnectionError"))


class _Person:
    def __repr__(self) -> str:
        return "PERSON"


PERSON = _Person()


@dataclass(frozen=True, slots=True)
class Retry:
    """Try a node again when it fails.

    attempts  calls in all, the first included
    on        exception types; by default those that pass by themselves: `is_transient`
    wait      seconds before the second attempt; each further wait is twice as long
    longest   seconds that a wait of ours may take; what a server asks for is not bounded by it
    jitter    vary each wait by half, so that siblings do not come back all at once
    """

    attempts: int = 3
    on: type[BaseException] | tuple[type[BaseException], ...] | None = None
    wait: float = 1.0
    longest: float = 60.0
    jitter: bool = True

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("Retry(attempts=) counts the first call: it is at least 1")

    def applies(self, error: BaseException) -> bool:
        """True when this error is worth another attempt."""
        error = origin(error)
        return is_transient(error) if self.on is None else isinstance(error, self.on)

    def delay(self, attempt: int, error: BaseException) -> float:
        """Seconds to wait after `attempt` (from 1) failed with `error`."""
        asked = retry_after(origin(error))
        if asked is not None:
            return asked
        wait = min(self.longest, self.wait * 2.0 ** (attempt - 1))
        return wait * random.uniform(0.5, 1.0) if self.jitter else wait


def origin(error: BaseException) -> BaseException:
    """The user's own exception, also when it came out of a node of a subgraph."""
    while isinstance(error, NodeError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def is_transient(error: BaseException) -> bool:
    """Network trouble, a timeout, or an HTTP status that says to try later."""
    response = getattr(error, "response", None)
    codes = [getattr(error, name, None) for name in ("status_code", "status", "code")]
    codes.append(getattr(response, "status_code", None))
    code = next((code for code in codes if isinstance(code, int)), None)
    if code is not None:
        return code in _TRANSIENT_CODES
    if isinstance(error, (OSError, asyncio.TimeoutError)):
        return not isinstance(error, (FileNotFoundError, PermissionError, IsADirectoryError))
    if isinstance(error, CircuitOpen):
        return True
    return any(kind.__name__ in _TRANSIENT_NAMES for kind in type(error).__mro__)


def retry_after(error: BaseException) -> float | None:
    """Seconds that the HTTP response behind the error asks to wait (RFC 9110, 10.2.3)."""
    if isinstance(error, CircuitOpen):
        return error.wait
    response = getattr(error, "response", None)  # which may be false: `requests` says so of a 4xx
    headers = getattr(error if response is None else response, "headers", None)
    text = headers.get("retry-after") if headers is not None else None
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
