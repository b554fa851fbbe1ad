"""
What happens when a node's call fails or takes too long. (R4, W14)

Rule 1: a question and a stop are not failures; no policy sees them.
Rule 2: attempts and the time of the next one are kept in the thread's store, so a restart goes
        on counting, and on waiting.
Rule 3: a server that says when to come back (`Retry-After`) is believed, by all who share its
        `RateLimit`.
Rule 4: what is left when no attempt is: the fallback, then `recover`, then a failed thread.

The loop is the engine's own, and not a retry library's, because an attempt here is an event, a
record in the store and a fresh task context, and a wait must survive the process.
"""

from __future__ import annotations

import asyncio
import email.utils
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nbagent.engine.checkpoint import Question
from nbagent.engine.interrupts import ask
from nbagent.errors import CircuitOpen, NodeError

if TYPE_CHECKING:
    from nbagent.engine.context import TaskContext
    from nbagent.engine.executor import NodeExecutor
    from nbagent.engine.program import Node

_TRANSIENT_CODES = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 529))
# Libraries whose connection errors do not derive from OSError; named, never imported.
_TRANSIENT_NAMES = frozenset(("TransportError", "APIConnectionError", "ClientConnectionError"))
_RECOVERY = -1  # the journal's position for the question of what to do about a failure
AGAIN = "try again"


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


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What `call` needs from the engine.

    limit    the number of the last attempt that is allowed
    retried  told of each failure that is tried again, with the wait in seconds
    delayed  told of each wait for a rate limit, in seconds
    sleep    waits; a pause may end it
    first    seconds to wait before the first attempt: what is left of a wait before a restart
    """

    executor: NodeExecutor
    clock: Callable[[], float]
    limit: int
    retried: Callable[[BaseException, float], None]
    delayed: Callable[[float], None]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    first: float = 0.0


async def call(node: Node, argument: Any, inside: TaskContext, around: Surroundings) -> Any:
    """The node's return value under its policies."""
    if not node.has_policies:
        return await around.executor.call(node.function, node.is_async, argument)
    said = inside.journal.get(_RECOVERY)
    if said is not None and said.status == "done":
        # A person's word is good for one failure; the next one is asked about again.
        inside.record(replace(said, status="void"))
        if said.result != AGAIN:
            return said.result["update"]
    try:
        if node.total_timeout is None:
            return await _attempts(node, argument, inside, around)
        return await _within(
            _attempts(node, argument, inside, around), node, node.total_timeout, "in all"
        )
    except Exception as error:
        return _recovered(node, inside, error)


async def _attempts(node: Node, argument: Any, inside: TaskContext, around: Surroundings) -> Any:
    """Attempt after attempt, then the fallback; the last one's error."""
    executor = around.executor
    if around.first > 0:
        await around.sleep(around.first)
    while True:
        try:
            return await _guarded(node, argument, around)
        except Exception as error:
            retry = node.retry
            asked = retry_after(origin(error))
            if node.rate_limit is not None and asked is not None:
                node.rate_limit.hold(around.clock() + asked)
            if retry is None or inside.attempt >= around.limit or not retry.applies(error):
                if node.fallback is None:
                    raise
                inside.begin_again()
                return await executor.call(node.fallback, node.fallback_is_async, argument)
            wait = retry.delay(inside.attempt, error)
            around.retried(error, wait)
            await around.sleep(wait)
            inside.begin_again()


async def _guarded(node: Node, argument: Any, around: Surroundings) -> Any:
    """One attempt, when rate limit and breaker allow it."""
    if node.rate_limit is not None:
        wait = node.rate_limit.reserve(around.clock())
        while wait > 0:
            around.delayed(wait)
            await around.sleep(wait)
            wait = node.rate_limit.held(around.clock())  # a sibling may have been told meanwhile
    if node.breaker is None:
        return await _timed(node, argument, around.executor)
    node.breaker.enter(around.clock())
    try:
        returned = await _timed(node, argument, around.executor)
    except BaseException as error:
        cause = origin(error)
        counts = node.breaker.on(cause) if node.breaker.on else is_transient(cause)
        node.breaker.failed(around.clock(), counts and isinstance(cause, Exception))
        raise
    node.breaker.succeeded()
    return returned


async def _timed(node: Node, argument: Any, executor: NodeExecutor) -> Any:
    called = executor.call(node.function, node.is_async, argument)
    if node.timeout is None:
        return await called
    return await _within(called, node, node.timeout)


async def _within(called: Awaitable[Any], node: Node, seconds: float, what: str = "") -> Any:
    """The result, or a `TimeoutError` that names the node."""
    try:
        async with asyncio.timeout(seconds) as timer:
            return await called
    except TimeoutError as error:
        if not timer.expired():
            raise
        kept = (
            "" if node.is_async else " (its thread goes on by itself; what it returns is ignored)"
        )
        took = f"took longer than {seconds:g} seconds" + (f" {what}" if what else "")
        raise TimeoutError(f"node {node.name!r} {took}{kept}") from error


def _recovered(node: Node, inside: TaskContext, error: Exception) -> Any:
    """What the node returns in place of its error, where `recover` says so; else the error."""
    cause = origin(error)
    for kind, way in (node.recover or {}).items():
        if not isinstance(cause, kind):
            continue
        if callable(way):
            return way(cause)
        if way is PERSON:
            _ask_person(node, inside, cause)
        return {way: f"{type(cause).__name__}: {cause}"}
    raise error


def _ask_person(node: Node, inside: TaskContext, error: BaseException) -> None:
    schema: Mapping[str, Any] = {
        "anyOf": [
            {"enum": [AGAIN]},
            {"type": "object", "properties": {"update": {"type": "object"}},
             "required": ["update"]},
        ]
    }  # fmt: skip
    asked = Question(
        id=f"{inside.task}:{_RECOVERY}",
        node=inside.node,
        task=inside.task,
        question=(
            f"Node {node.name!r} failed: {type(error).__name__}: {error}. Mend the cause and "
            f'answer "{AGAIN}", or say what it is to write: {{"update": {{field: value}}}}'
        ),
        schema=schema,
    )
    ask(inside, asked, _RECOVERY, "recovery")
