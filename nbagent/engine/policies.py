"""
What happens when a node's call fails or takes too long. (R4)

Rule 1: a question and a stop are not failures; no policy sees them.
Rule 2: attempts are counted in the thread's store, so a restart goes on counting.
Rule 3: a server that says when to come back (`Retry-After`) is believed.

The loop is the engine's own, and not a retry library's, because an attempt here is an event, a
record in the store and a fresh task context; what a library would leave to it is one sum.
"""

from __future__ import annotations

import asyncio
import email.utils
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbagent.errors import NodeError

if TYPE_CHECKING:
    from nbagent.engine.context import TaskContext
    from nbagent.engine.executor import NodeExecutor
    from nbagent.engine.program import Node

_TRANSIENT_CODES = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 529))
# Libraries whose connection errors do not derive from OSError; named, never imported.
_TRANSIENT_NAMES = frozenset(("TransportError", "APIConnectionError", "ClientConnectionError"))


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
    return any(kind.__name__ in _TRANSIENT_NAMES for kind in type(error).__mro__)


def retry_after(error: BaseException) -> float | None:
    """Seconds that the HTTP response behind the error asks to wait (RFC 9110, 10.2.3)."""
    headers = getattr(getattr(error, "response", None) or error, "headers", None)
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


async def call(
    node: Node,
    argument: Any,
    inside: TaskContext,
    executor: NodeExecutor,
    *,
    limit: int,
    retried: Callable[[BaseException, float], None],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Any:
    """The node's return value under its policies.

    limit    the number of the last attempt that is allowed
    retried  told of each failure that is tried again, with the wait in seconds
    """
    if node.retry is None and node.timeout is None and node.fallback is None:
        return await executor.call(node.function, node.is_async, argument)
    while True:
        try:
            return await _timed(node, argument, executor)
        except Exception as error:
            retry = node.retry
            if retry is None or inside.attempt >= limit or not retry.applies(error):
                if node.fallback is None:
                    raise
                inside.begin_again()
                return await executor.call(node.fallback, node.fallback_is_async, argument)
            wait = retry.delay(inside.attempt, error)
            retried(error, wait)
            await sleep(wait)
            inside.begin_again()


async def _timed(node: Node, argument: Any, executor: NodeExecutor) -> Any:
    if node.timeout is None:
        return await executor.call(node.function, node.is_async, argument)
    try:
        async with asyncio.timeout(node.timeout) as timer:
            return await executor.call(node.function, node.is_async, argument)
    except TimeoutError as error:
        if not timer.expired():
            raise
        kept = (
            "" if node.is_async else " (its thread goes on by itself; what it returns is ignored)"
        )
        raise TimeoutError(
            f"node {node.name!r} took longer than {node.timeout:g} seconds{kept}"
        ) from error
