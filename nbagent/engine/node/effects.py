"""
effect(): something that must not happen twice, such as an e-mail or a payment. (R7, W2, W3)
cached(): something that may, but need not. (R6)

Rule 1: the intention is in the journal before the call is made, the result after it.
Rule 2: a recorded result is returned; the call is not made again.
Rule 3: an intention without a result is *ambiguous*: the process ended, or the call broke off,
        in between. It is repeated only if that is said to be safe; else its `probe` is asked
        whether it happened, or else a person is. It is never silently repeated.
Rule 4: the idempotency key is made of thread, task and the call's place in the node, so it is
        fixed before the arguments are, and the same after any number of restarts.
"""

from __future__ import annotations

import contextvars
import hashlib
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, NoReturn, ParamSpec, TypeVar, cast, overload

from nbagent.engine.model.checkpoint import JournalEntry
from nbagent.engine.model.values import freeze, thaw
from nbagent.engine.model.work import KIND as QUESTION
from nbagent.engine.node.context import TaskContext, current
from nbagent.engine.node.interrupts import ask
from nbagent.errors import NbagentError

P = ParamSpec("P")
R = TypeVar("R")

KIND = "effect"
CACHED = "cached"
HAPPENED, DID_NOT = "it happened", "it did not happen"
_ANSWER = {
    "anyOf": [
        {"enum": [HAPPENED, DID_NOT]},
        {"type": "object", "properties": {"result": {}}, "required": ["result"]},
    ]
}
_TO_DO, _UNKNOWN, _ASK = object(), object(), object()

_key: contextvars.ContextVar[str] = contextvars.ContextVar("nbagent_idempotency_key")


def idempotency_key() -> str:
    """The key of the effect under way, for a provider that accepts one: 32 hex digits."""
    key = _key.get(None)
    if key is None:
        raise NbagentError("idempotency_key() works only inside a function that effect() calls")
    return key


def effect(
    key: str,
    fn: Callable[..., R],
    *args: Any,
    probe: Callable[[], Any] | None = None,
    idempotent: bool = False,
    **kwargs: Any,
) -> R:
    """Call `fn(*args, **kwargs)` once in the life of this task and return its result.

    key         names the effect, for the journal and for a person
    probe       asked when the outcome is unknown: None or False says that it did not happen,
                anything else that it did, with this result
    idempotent  repeating it does no harm, for instance because `fn` passes `idempotency_key()`

    The result must be a value that the state could hold. An error that shows that nothing
    happened (the connection was refused, HTTP 4xx) is raised and leaves nothing behind; any other
    leaves the outcome unknown.
    """
    context, position, entry = _find_effect(key)
    result: Any = _known(context, position, entry)
    if result is _UNKNOWN and not idempotent:
        result = _judged(context, position, entry, probe() if probe else _ASK)
    if result is not _TO_DO and result is not _UNKNOWN:
        return cast(R, result)
    entry = _intend(context, position, key)
    token = _key.set(entry.payload)
    try:
        returned: R = fn(*args, **kwargs)
    except Exception as error:
        _failed(context, entry, error)
        raise
    finally:
        _key.reset(token)
    return _done(context, entry, returned)


@overload
async def aeffect(
    key: str,
    fn: Callable[..., Awaitable[R]],
    *args: Any,
    probe: Callable[[], Any] | None = None,
    idempotent: bool = False,
    **kwargs: Any,
) -> R: ...
@overload
async def aeffect(
    key: str,
    fn: Callable[..., R],
    *args: Any,
    probe: Callable[[], Any] | None = None,
    idempotent: bool = False,
    **kwargs: Any,
) -> R: ...
async def aeffect(
    key: str,
    fn: Callable[..., Any],
    *args: Any,
    probe: Callable[[], Any] | None = None,
    idempotent: bool = False,
    **kwargs: Any,
) -> Any:
    """`effect` for an `async def` node: `fn` and `probe` may be coroutine functions."""
    context, position, entry = _find_effect(key)
    result = _known(context, position, entry)
    if result is _UNKNOWN and not idempotent:
        found = await _awaited(probe()) if probe else _ASK
        result = _judged(context, position, entry, found)
    if result is not _TO_DO and result is not _UNKNOWN:
        return result
    entry = _intend(context, position, key)
    token = _key.set(entry.payload)
    try:
        returned = await _awaited(fn(*args, **kwargs))
    except Exception as error:
        _failed(context, entry, error)
        raise
    finally:
        _key.reset(token)
    return _done(context, entry, returned)


def cached(key: str, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `fn(*args, **kwargs)`; when the node runs again, return what that call returned.

    For what is slow or paid and stands before an `interrupt` in one node. If the process ends
    during the call it is made again: for what must not happen twice there is `effect`.
    """
    context, position, entry = _find_cached(key)
    if entry is not None:
        return cast(R, thaw(entry.result))
    return _remembered(context, position, key, fn(*args, **kwargs))


@overload
async def acached(
    key: str, fn: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs
) -> R: ...
@overload
async def acached(key: str, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R: ...
async def acached(key: str, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """`cached` for an `async def` node: `fn` may be a coroutine function."""
    context, position, entry = _find_cached(key)
    if entry is not None:
        return thaw(entry.result)
    return _remembered(context, position, key, await _awaited(fn(*args, **kwargs)))


def _find_cached(key: str) -> tuple[TaskContext, int, JournalEntry | None]:
    context = current("cached")
    position = context.next_position()
    return context, position, context.find(position, CACHED, key)


def _remembered(context: TaskContext, position: int, key: str, result: R) -> R:
    kept = freeze(result)
    context.record(
        JournalEntry(
            context.place.anchor, context.place.task, position, CACHED, key, "done", None, kept
        )
    )
    return result


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _find_effect(key: str) -> tuple[TaskContext, int, JournalEntry | None]:
    """The task, the effect's position (the one behind it is for its question), its entry."""
    context = current("effect")
    position = context.next_position(2)
    return context, position, context.find(position, KIND, key)


def _known(context: TaskContext, position: int, entry: JournalEntry | None) -> Any:
    """The recorded result, or what a person said of it; else `_TO_DO`, or `_UNKNOWN`."""
    if entry is None or entry.status == "void":
        return _TO_DO
    if entry.status == "done":
        return thaw(entry.result)
    answer = context.journal.get(position + 1)
    if answer is None or answer.kind != QUESTION or answer.status != "done":
        return _UNKNOWN
    if answer.result == DID_NOT:
        return _TO_DO
    result = None if answer.result == HAPPENED else answer.result["result"]
    return _done(context, entry, thaw(result))


def _judged(context: TaskContext, position: int, entry: JournalEntry | None, found: Any) -> Any:
    """What the probe found, or a question to a person where there is no probe."""
    assert entry is not None
    if found is _ASK:
        _ask_person(context, position, entry.key)
    if found is None or found is False:
        return _TO_DO
    return _done(context, entry, found)


def _intend(context: TaskContext, position: int, key: str) -> JournalEntry:
    """The journalled intention; its payload is the idempotency key."""
    answer = context.journal.get(position + 1)
    if answer is not None and answer.status == "done":
        # A person's word is good for one repetition, not for whatever happens to that one.
        context.record(replace(answer, status="void"))
    text = f"{context.place.thread}\n{context.place.task}\n{position}"
    entry = JournalEntry(
        anchor=context.place.anchor,
        task=context.place.task,
        position=position,
        kind=KIND,
        key=key,
        status="open",
        payload=hashlib.blake2b(text.encode(), digest_size=16).hexdigest(),
    )
    context.record(entry)
    return entry


def _failed(context: TaskContext, entry: JournalEntry, error: Exception) -> None:
    """Take the intention back where the error shows that nothing happened."""
    codes = [getattr(error, name, None) for name in ("status_code", "status", "code")]
    code = next((code for code in codes if isinstance(code, int)), 0)
    if isinstance(error, ConnectionRefusedError) or 400 <= code < 500:
        context.conclude(entry, replace(entry, status="void"))


def _done(context: TaskContext, entry: JournalEntry, result: R) -> R:
    context.conclude(entry, replace(entry, status="done", result=freeze(result)))
    return result


def _ask_person(context: TaskContext, position: int, key: str) -> NoReturn:
    """End the node with the question whether an effect happened."""
    text = (
        f"Did {key!r} happen? It was begun, and no result of it was recorded: the process ended, "
        "or the call broke off or took too long. "
        'Answer "it happened", "it did not happen", or {"result": …}'
    )
    ask(context, position + 1, f"outcome of {key}", text, schema=_ANSWER)
