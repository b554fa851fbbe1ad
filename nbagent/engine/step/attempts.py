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
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, NoReturn

from nbagent.engine.model.callables import is_async, name_of, takes
from nbagent.engine.model.limits import Breaker, RateLimit
from nbagent.engine.model.policy import PERSON, Policy, Retry
from nbagent.engine.model.program import Node
from nbagent.engine.model.transient import is_kind, is_transient, origin, retry_after
from nbagent.engine.model.values import thaw
from nbagent.engine.node.context import Attempts, TaskContext
from nbagent.engine.node.executor import NodeExecutor
from nbagent.engine.node.info import with_task
from nbagent.engine.node.interrupts import ask
from nbagent.engine.node.journal import OF_FALLBACK, OF_RECOVERY
from nbagent.engine.node.slots import seated
from nbagent.engine.step import handlers
from nbagent.engine.step.calls import Overdue, Who, finish, is_cancelled
from nbagent.errors import CircuitOpen, StateError, StoreError, ThreadBusy, said

_RECOVERY = -1  # the journal position of the question what to do about a failure
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
    mended    told of a failure that something else makes up for, and of what
    delayed   told of each wait for a rate limit or breaker, in seconds
    sleep     waits; a pause may end it
    who       the node, and how it tells of itself
    read      makes what the node reads, for one call
    heard     when the task last gave a sign of life, by the monotonic clock
    first     seconds to wait before the first attempt: what is left of a wait before a restart
    """

    executor: NodeExecutor
    clock: Callable[[], float]
    tried: int
    retried: Callable[[BaseException, float, bool], Awaitable[object]]
    given_up: Callable[[BaseException], Awaitable[object]]
    mended: Callable[[BaseException, str], object]
    delayed: Callable[[float], None]
    who: Who
    read: Callable[[], Any]
    heard: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    first: float = 0.0


def is_with_a_person(journal: Mapping[int, Any]) -> bool:
    """True when a person was asked what to do about the task's failure."""
    return _RECOVERY in journal


class Returned(NamedTuple):
    """What a node returned; `is_own` when its function did, and not what stands in for it; and
    what the one that returned it was given."""

    value: Any
    is_own: bool
    read: Any


async def call(node: Node, argument: Any, attempts: Attempts, around: Surroundings) -> Returned:
    """What the node returns under its policies; `argument` is for its first attempt."""
    said = attempts.now.journal.get(_RECOVERY)
    if said is not None and said.status == "done" and said.result != AGAIN:
        return Returned(_as_said(node, attempts.now, said.result["update"]), False, argument)
    guard = _Guard(node, argument, attempts, around)
    begun = handlers.begun(node, attempts.now, argument)
    if begun is not None and begun.key == handlers.RECOVER:
        before = handlers.error_of(begun, guard.policy.recover or {})
        if before is not None:
            return await guard.recovered(before)
    try:
        if begun is not None and node.policy.fallback is not None:
            return await guard.fallen_back(None)
        return await guard.attempts_in_turn()
    except _NOT_THE_NODES:
        raise
    except _OutOfTime as over:
        error: Exception = TimeoutError(str(over))
        error.__cause__ = over.__cause__
    except Exception as raised:
        error = raised
    if is_cancelled() or attempts.now.asked:
        raise error
    return await guard.recovered(error)


class _OutOfTime(Exception):
    """`total_timeout` is over: no policy but `recover` is asked any more."""


class _Guard:
    """One node's call under its policies.

    until   the loop's time at which `total_timeout` is over
    """

    def __init__(self, node: Node, argument: Any, attempts: Attempts, around: Surroundings) -> None:
        self.node = node
        self.policy = node.policy
        self.argument = argument
        self.attempts = attempts
        self.around = around
        total = self.policy.total_timeout
        self.until = None if total is None else asyncio.get_running_loop().time() + total

    async def attempts_in_turn(self) -> Returned:
        """Attempt after attempt, then the fallback; the last one's error."""
        policy, attempts, around = self.policy, self.attempts, self.around
        if around.first > 0:
            await self._sleep(around.first)
        while True:
            try:
                return Returned(await self._guarded(), True, self.argument)
            except (*_NOT_THE_NODES, _OutOfTime):
                raise
            except Exception as error:
                if is_cancelled() or attempts.now.asked:
                    raise
                number, retry = attempts.now.attempt, _applying(policy, error)
                attempts.fail(error)
                asked = retry_after(origin(error), around.clock())
                if policy.rate_limit is not None and asked is not None:
                    policy.rate_limit.hold(around.clock() + asked)
                if retry is None or number >= _last(retry, around.tried):
                    if policy.fallback is None:
                        raise
                    around.mended(error, f"fallback {name_of(policy.fallback)}")
                    return await self.fallen_back(error)
                wait = retry.delay(number, error, around.clock())
                await around.retried(error, wait, asked is not None)
            await self._sleep(wait)
            self._begin_again()

    def _begin_again(self, first: int = 0, counts: bool = True) -> None:
        """Another call, with a copy of its own of what it reads: the thread of one that took too
        long may still change what it was given."""
        self.attempts.begin_again(first, counts)
        self.argument = self.around.read()

    async def fallen_back(self, error: Exception | None) -> Returned:
        """What the fallback returns, after the node's error; None: it is called once more."""
        self._begin_again(OF_FALLBACK, counts=error is not None)
        if error is not None:
            handlers.begin(
                self.node, self.attempts.now, handlers.FALLBACK, self.argument, origin(error)
            )
        return Returned(await self._call(self.policy.fallback), False, self.argument)

    async def _guarded(self) -> Any:
        """One attempt, when rate limit and breaker allow it."""
        limit, breaker, clock = self.policy.rate_limit, self.policy.breaker, self.around.clock
        if limit is not None:
            await self._place(limit)
        if breaker is None:
            return await self._call(None)
        await self._let_through(breaker)
        try:
            returned = await self._call(None)
        except BaseException as error:
            breaker.failed(clock(), _counts(breaker, error))
            raise
        breaker.succeeded()
        return returned

    async def _call(self, stands_in: Callable[..., Any] | None) -> Any:
        """The node, or what stands in for it, when there is a place for it among those at work."""
        async with seated(self.attempts.now, stands_in is None and self.node.program is not None):
            return await self._in_its_time(stands_in)

    async def _in_its_time(self, stands_in: Callable[..., Any] | None) -> Any:
        """The same, in the time that it has."""
        node, until = self.node, self.until
        function = node.function if stands_in is None else with_task(stands_in)
        if node.takes_task and stands_in is None:
            function = with_task(function)
        is_coroutine = node.is_async if stands_in is None else is_async(stands_in)
        seconds = self.policy.timeout if stands_in is None else None
        is_last = False
        if until is not None:
            in_all = until - asyncio.get_running_loop().time()
            is_last = seconds is None or in_all < seconds
            seconds = in_all if is_last else seconds
        idle = self.policy.idle_timeout if stands_in is None else None
        began = time.monotonic()

        def allowed() -> float:
            """The seconds that it may still take: until its time is up, or its silence is too
            long."""
            now = time.monotonic()
            quiet = max(began, self.around.heard()) + (idle or 0.0) - now
            return quiet if seconds is None else min(quiet, began + seconds - now)

        left = None if idle is None else allowed
        try:
            return await finish(
                self.around.executor.call(function, is_coroutine, self.argument),
                self.around.who,
                seconds if left is None else left(),
                left=left,
                late=self.attempts.now.close,
                is_ours=stands_in is None and node.program is not None,
            )
        except Overdue as over:
            if idle is not None and (seconds is None or time.monotonic() - began < seconds):
                raise TimeoutError(self._too_silent(idle, over.is_left)) from over.__cause__
            kind = _OutOfTime if is_last else TimeoutError
            raise kind(self._too_long(is_last, over.is_left)) from over.__cause__

    def _too_long(self, is_total: bool, is_left: bool) -> str:
        seconds = self.policy.total_timeout if is_total else self.policy.timeout
        in_all = " in all" if is_total else ""
        took = f"took longer than {seconds:g} seconds{in_all}"
        return f"node {self.node.name!r} {took}{self._goes_on(is_left)}"

    def _too_silent(self, seconds: float, is_left: bool) -> str:
        said = f"node {self.node.name!r} was silent for longer than {seconds:g} seconds"
        return said + self._goes_on(is_left)

    def _goes_on(self, is_left: bool) -> str:
        left = ""
        if is_left and not self.node.is_async:
            left = " (its thread goes on by itself; what it returns is ignored)"
        elif is_left:
            left = " (it does not end when cancelled; what it returns is ignored)"
        return left

    async def _sleep(self, seconds: float) -> None:
        """Wait, at the most until the time for all attempts is over."""
        try:
            async with asyncio.timeout_at(self.until) as timer:
                await self.around.sleep(seconds)
        except TimeoutError as error:
            if not timer.expired():
                raise
            raise _OutOfTime(self._too_long(True, False)) from error

    async def _place(self, limit: RateLimit) -> None:
        """Wait for the limit's next place; another where a server has said to wait meanwhile."""
        while True:
            wait = limit.reserve(self.around.clock())
            if wait <= 0:
                return
            self.around.delayed(wait)
            await self._sleep(wait)
            if limit.held(self.around.clock()) <= 0:
                return

    async def _let_through(self, breaker: Breaker) -> None:
        """Wait while the breaker is open, where the node retries: what is not called is no
        attempt."""
        while True:
            try:
                return breaker.enter(self.around.clock())
            except CircuitOpen as error:
                if _applying(self.policy, error) is None:
                    raise
                wait = error.wait
            self.around.delayed(wait)
            await self._sleep(wait)

    def _handler(self, way: Callable[..., Any]) -> Callable[..., Any]:
        """A `recover` function as one of the error alone."""
        alone, called = takes(way, 1, or_task=True), with_task(way)
        return called if alone else partial(called, self.argument)

    async def recovered(self, error: Exception) -> Returned:
        """What the node returns in place of its error, where `recover` says so; else the error."""
        cause = origin(error)
        for kind, way in (self.policy.recover or {}).items():
            if not is_kind(cause, kind):
                continue
            if way is not PERSON:
                what = name_of(way) if callable(way) else f"field {way}"
                self.around.mended(error, f"recover: {what}")
            if callable(way):
                self._begin_again(OF_RECOVERY, counts=False)
                handlers.begin(self.node, self.attempts.now, handlers.RECOVER, self.argument, cause)
                is_coroutine, way = is_async(way), self._handler(way)
                async with seated(self.attempts.now):
                    called = self.around.executor.call(way, is_coroutine, cause)
                    returned = await finish(called, self.around.who)
                return Returned(returned, False, self.argument)
            if way is PERSON:
                await self.around.given_up(error)
                handlers.forget(self.attempts.now)
                _ask_person(self.node, self.attempts.now, cause)
            update = {way: f"{type(cause).__name__}: {said(cause)}"}
            return Returned(update, False, self.around.read())
        raise error


def _applying(policy: Policy, error: BaseException) -> Retry | None:
    """The first `Retry` that this error is worth; one that fails to say is told of in a note."""
    for retry in policy.retry or ():
        try:
            if retry.applies(error):
                return retry
        except Exception as broken:
            error.add_note(f"Retry(on={name_of(retry.on)}) failed on it: {said(broken)}")
    return None


def _last(retry: Retry, tried: int) -> int:
    """The number of the last attempt that it allows."""
    return (tried // retry.attempts + 1) * retry.attempts


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
        error.add_note(f"Breaker(on={name_of(breaker.on)}) failed on it: {said(broken)}")
        return False


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
        f"Node {node.name!r} failed: {type(error).__name__}: {said(error)}. Mend the cause and "
        f'answer "{AGAIN}", or say what it is to write: {{"update": {{field: value}}}}'
    )
    ask(inside, _RECOVERY, "recovery", text, schema=schema)
