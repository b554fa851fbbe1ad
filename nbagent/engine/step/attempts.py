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
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, TypeVar

from nbagent.engine.model.callables import is_async, name_of
from nbagent.engine.model.limits import Breaker, RateLimit
from nbagent.engine.model.policy import PERSON, Policy, Retry
from nbagent.engine.model.program import Node
from nbagent.engine.model.transient import is_kind, is_transient, origin, retry_after
from nbagent.engine.model.values import thaw
from nbagent.engine.node.context import Attempts, TaskContext
from nbagent.engine.node.executor import NodeExecutor
from nbagent.engine.node.interrupts import ask
from nbagent.errors import CircuitOpen, StateError, StoreError, ThreadBusy

T = TypeVar("T")
# Journal positions: of the question what to do about a failure, and where the calls begin that are
# not the node's own, but its fallback's or a `recover` function's.
_RECOVERY, _OF_FALLBACK, _OF_RECOVERY = -1, 1_000_000, 2_000_000
_NOT_THE_NODES = (ThreadBusy, StoreError)  # no policy of a node can do anything about these
AGAIN = "try again"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What `call` needs from the engine.

    tried     attempts that were made before this call: a restart goes on counting, and when all
              were used, a resume gives as many again
    retried   told of each failure that is tried again, with the wait in seconds and whether a
              server asked for it
    given_up  told of a failure that a person is asked about
    delayed   told of each wait for a rate limit or breaker, in seconds
    sleep     waits; a pause may end it
    first     seconds to wait before the first attempt: what is left of a wait before a restart
    """

    executor: NodeExecutor
    clock: Callable[[], float]
    tried: int
    retried: Callable[[BaseException, float, bool], None]
    given_up: Callable[[BaseException], object]
    delayed: Callable[[float], None]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    first: float = 0.0


class Returned(NamedTuple):
    """What a node returned; `is_own` when its function did, and not what stands in for it."""

    value: Any
    is_own: bool


async def call(node: Node, argument: Any, attempts: Attempts, around: Surroundings) -> Returned:
    """What the node returns under its policies."""
    said = attempts.now.journal.get(_RECOVERY)
    if said is not None and said.status == "done" and said.result != AGAIN:
        return Returned(_as_said(node, attempts.now, said.result["update"]), is_own=False)
    try:
        called = _attempts(node, argument, attempts, around)
        if node.policy.total_timeout is None:
            return await called
        return await _within(called, node, node.policy.total_timeout, "in all")
    except _NOT_THE_NODES:
        raise
    except Exception as error:
        return Returned(_recovered(node, attempts, error, around), is_own=False)


async def _attempts(
    node: Node, argument: Any, attempts: Attempts, around: Surroundings
) -> Returned:
    """Attempt after attempt, then the fallback; the last one's error."""
    policy, executor = node.policy, around.executor
    if around.first > 0:
        await around.sleep(around.first)
    while True:
        try:
            return Returned(await _guarded(node, argument, around), is_own=True)
        except _NOT_THE_NODES:
            raise
        except Exception as error:
            number, retry = attempts.now.attempt, _applying(policy, error)
            attempts.fail(error)
            asked = retry_after(origin(error), around.clock())
            if policy.rate_limit is not None and asked is not None:
                policy.rate_limit.hold(around.clock() + asked)
            if retry is None or number >= _last(retry, around.tried):
                if policy.fallback is None:
                    raise
                attempts.begin_again(_OF_FALLBACK)
                stands_in = policy.fallback
                returned = await executor.call(stands_in, is_async(stands_in), argument)
                return Returned(returned, is_own=False)
            wait = retry.delay(number, error, around.clock())
            around.retried(error, wait, asked is not None)
            await around.sleep(wait)
            attempts.begin_again()


def _applying(policy: Policy, error: BaseException) -> Retry | None:
    """The first `Retry` that this error is worth; one that fails to say is told of in a note."""
    for retry in policy.retry or ():
        try:
            if retry.applies(error):
                return retry
        except Exception as broken:
            error.add_note(f"Retry(on={name_of(retry.on)}) failed on it: {broken!r}")
    return None


def _last(retry: Retry, tried: int) -> int:
    """The number of the last attempt that it allows."""
    return (tried // retry.attempts + 1) * retry.attempts


async def _guarded(node: Node, argument: Any, around: Surroundings) -> Any:
    """One attempt, when rate limit and breaker allow it."""
    limit, breaker = node.policy.rate_limit, node.policy.breaker
    if limit is not None:
        await _place(limit, around)
    if breaker is None:
        return await _timed(node, argument, around.executor)
    await _let_through(breaker, node.policy, around)
    try:
        returned = await _timed(node, argument, around.executor)
    except BaseException as error:
        breaker.failed(around.clock(), _counts(breaker, error))
        raise
    breaker.succeeded()
    return returned


def _counts(breaker: Breaker, error: BaseException) -> bool:
    """True when the error says something about the server."""
    cause = origin(error)
    if not isinstance(cause, Exception):
        return False
    if breaker.on is None:
        return is_transient(cause)
    try:
        return bool(breaker.on(cause))
    except Exception as broken:
        error.add_note(f"Breaker(on={name_of(breaker.on)}) failed on it: {broken!r}")
        return False


async def _place(limit: RateLimit, around: Surroundings) -> None:
    """Wait for the limit's next place; for another where a server has said to wait meanwhile."""
    while True:
        wait = limit.reserve(around.clock())
        if wait <= 0:
            return
        around.delayed(wait)
        await around.sleep(wait)
        if limit.held(around.clock()) <= 0:
            return


async def _let_through(breaker: Breaker, policy: Policy, around: Surroundings) -> None:
    """Wait while the breaker is open, where the node retries: what is not called is no attempt."""
    while True:
        try:
            return breaker.enter(around.clock())
        except CircuitOpen as error:
            if _applying(policy, error) is None:
                raise
            around.delayed(error.wait)
            await around.sleep(error.wait)


async def _timed(node: Node, argument: Any, executor: NodeExecutor) -> Any:
    called = executor.call(node.function, node.is_async, argument)
    if node.policy.timeout is None:
        return await called
    return await _within(called, node, node.policy.timeout)


async def _within(called: Awaitable[T], node: Node, seconds: float, what: str = "") -> T:
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


def _recovered(node: Node, attempts: Attempts, error: Exception, around: Surroundings) -> Any:
    """What the node returns in place of its error, where `recover` says so; else the error."""
    cause = origin(error)
    for kind, way in (node.policy.recover or {}).items():
        if not is_kind(cause, kind):
            continue
        if callable(way):
            attempts.begin_again(_OF_RECOVERY, counts=False)
            return way(cause)
        if way is PERSON:
            around.given_up(error)
            _ask_person(node, attempts.now, cause)
        return {way: f"{type(cause).__name__}: {cause}"}
    raise error


def _as_said(node: Node, inside: TaskContext, update: Any) -> Any:
    """What a person said that the node is to write; asked again where it does not fit the state.

    The answer stays in the journal until the task's record is there, so a kill loses nothing.
    """
    try:
        return inside.services.schema.check_edit(thaw(update))
    except StateError as error:
        _ask_person(node, inside, error)


def _ask_person(node: Node, inside: TaskContext, error: BaseException) -> NoReturn:
    state = inside.services.schema.json_schema()
    update: dict[str, Any] = {"type": "object"}
    if "properties" in state:
        update |= {"properties": state["properties"], "additionalProperties": False}
    schema: dict[str, Any] = {
        "anyOf": [
            {"enum": [AGAIN]},
            {"type": "object", "properties": {"update": update}, "required": ["update"]},
        ]
    }
    if "$defs" in state:
        schema["$defs"] = state["$defs"]
    text = (
        f"Node {node.name!r} failed: {type(error).__name__}: {error}. Mend the cause and "
        f'answer "{AGAIN}", or say what it is to write: {{"update": {{field: value}}}}'
    )
    ask(inside, _RECOVERY, "recovery", text, schema=schema)
