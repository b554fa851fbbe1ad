"""
effect(): something that must not happen twice, such as an e-mail or a payment. (R7, W2, W3)

Rule 1: the intention is in the journal before the call is made, the result after it.
Rule 2: a recorded result is returned; the call is not made again.
Rule 3: an intention without a result is *ambiguous*: the process ended, or the call broke off,
        in between. It is repeated only if that is said to be safe; else its `probe` is asked
        whether it happened, or else a person is. It is never silently repeated.
Rule 4: an effect is its key, and the n-th of one key is the n-th: fixed before a model words the
        arguments, and found in whatever order the calls come. So is the idempotency key, which
        is another for each store, graph and thread, a thread made anew under its id included.
"""

from __future__ import annotations

import asyncio
import contextvars
import datetime
import decimal
import fractions
import functools
import hashlib
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass, replace
from typing import Any, NamedTuple, NoReturn, TypeVar, cast, overload

from nbagent.engine.model.checkpoint import JournalEntry
from nbagent.engine.model.secrets import named
from nbagent.engine.model.span import Span
from nbagent.engine.model.values import freeze, thaw
from nbagent.engine.model.work import EFFECT
from nbagent.engine.model.work import KIND as QUESTION
from nbagent.engine.node.context import TaskContext, current, off_the_loop
from nbagent.engine.node.interrupts import ask
from nbagent.engine.node.journal import TAKEN, Given, fits, given
from nbagent.errors import NbagentError, StateError

R = TypeVar("R")

HAPPENED, DID_NOT = "it happened", "it did not happen"
_ANSWER = {
    "anyOf": [
        {"enum": [HAPPENED, DID_NOT]},
        {"type": "object", "properties": {"result": {}}, "required": ["result"]},
    ]
}
_TO_DO, _UNKNOWN = object(), object()
_CALL_IT = "nothing would be called. Give a function that goes through it"
# HTTP statuses that leave it open whether something happened: the server gave up waiting, found a
# conflict (with what an earlier try did?), had it too early, or counted it as one too many.
_OPEN = (408, 409, 425, 429)

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

    key         names the effect, for the journal and for a person. Effects of one attempt with
                other arguments need other keys; called twice with equal ones, it happens twice
    probe       asked when the outcome is unknown: None or False says that it did not happen, True
                that it did, and so does a result, which must not be empty, zero or not a number
    idempotent  repeating it does no harm, for instance because `fn` passes `idempotency_key()`

    The result must be a value that the state could hold. An error that shows that nothing
    happened is raised and leaves nothing behind: the connection was refused, or an HTTP status
    4xx, but for 408, 409, 425 and 429. Any other leaves the outcome unknown.
    """
    for function, what in ((fn, "fn"), (probe, "probe=")):
        if _gives(function, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
            raise StateError(f"effect({key!r}, …) was given {what} that is a generator: {_CALL_IT}")
        if _gives(function, inspect.iscoroutinefunction):
            raise _to_be_awaited(key, what)
    call = _find(key, fn, args, kwargs)
    known = _known(call)
    if known is _UNKNOWN and not idempotent:
        known = _ask_person(call) if probe is None else _judged(call, _plain(call, probe()))
    if known is not _TO_DO and known is not _UNKNOWN:
        return cast(R, known)
    entry = _intend(call)
    with _under_way(call, entry):
        returned: R = fn(*args, **kwargs)
    _done(call, entry, _plain(call, returned, entry))
    return returned


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
    for function, what in ((fn, "fn"), (probe, "probe=")):
        if _gives(function, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
            raise StateError(
                f"aeffect({key!r}, …) was given {what} that is a generator: {_CALL_IT}"
            )
    call = _find(key, fn, args, kwargs)
    over = asyncio.get_running_loop().create_future()
    call.context.under_way.add(over)
    try:
        known = _known(call)
        if known is _UNKNOWN and not idempotent:
            found = _ask_person(call) if probe is None else await _awaited(probe())
            known = _judged(call, found)
        if known is not _TO_DO and known is not _UNKNOWN:
            return known
        entry = await _intended(call)
        with _under_way(call, entry):
            returned = await _awaited(fn(*args, **kwargs))
        return await off_the_loop(lambda: _done(call, entry, returned))
    finally:
        call.context.under_way.discard(over)
        over.set_result(None)


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _gives(function: Any, *kinds: Callable[[Any], bool]) -> bool:
    """True for a function of one of the kinds, in whatever it is wrapped."""
    while isinstance(function, functools.partial):
        function = function.func
    call = getattr(type(function), "__call__", None)  # noqa: B004  (of a callable object)
    return any(kind(function) or kind(call) for kind in kinds)


class _Call(NamedTuple):
    """A call of `effect`: where it stands in the journal, and what is known of it there."""

    context: TaskContext
    key: str
    what: Given
    position: int
    number: int
    entry: JournalEntry | None

    @property
    def answer(self) -> JournalEntry | None:
        """What a person was asked of it, and may have said."""
        found = self.context.journal.get(self.position + 1)
        return found if found is not None and found.kind == QUESTION else None


def _find(key: str, fn: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Call:
    context, what = current("effect"), given(fn, args, kwargs)
    with context.finding() as finder:
        position, entry, number, differs = finder.effect(key, what)
    if entry is None:
        known = context.services.carried(context.place.node, key, what.arguments)
        if known is not None:
            entry = _carry(context, position, *known)
            differs = not fits(entry, what.arguments)
    if differs and entry is not None:
        entry = _differs(context, entry, what)
    return _Call(context, key, what, position, number, entry)


def _carry(context: TaskContext, position: int, name: str, before: JournalEntry) -> JournalEntry:
    """The effect that its graph has had before it began anew, as this task's own."""
    at = context.place
    payload = freeze({**before.payload, TAKEN: name})
    entry = replace(before, anchor=at.anchor, task=at.task, position=position, payload=payload)
    context.record(entry)
    return entry


def _differs(context: TaskContext, entry: JournalEntry, what: Given) -> JournalEntry:
    """It was begun with other arguments, such as a model words anew: what is recorded counts, and
    the trace says so."""
    payload = entry.payload
    now = context.services.clock()
    span = Span(**context.place.facts(context.attempt), kind="span", name=f"effect {entry.key!r}")
    span.started = span.ended = now
    span.set(
        **{
            "error.message": "its arguments differ from those that it was begun with: what is "
            "recorded of it counts"
        }
    )
    context.services.recorder.add(span)
    known = [*payload["arguments"], what.arguments]
    entry = replace(entry, payload=freeze({**payload, "arguments": known}))
    context.record(entry)
    return entry


def _known(call: _Call) -> Any:
    """The recorded result, or what a person said of it; else `_TO_DO`, or `_UNKNOWN`."""
    entry, answer = call.entry, call.answer
    if entry is None or entry.status == "void":
        return _TO_DO
    if entry.status == "done":
        return thaw(entry.result)
    if answer is None or answer.status != "done":
        return _UNKNOWN
    if answer.result == DID_NOT:
        return _TO_DO
    result = None if answer.result == HAPPENED else answer.result["result"]
    return _done(call, entry, thaw(result))


def _judged(call: _Call, found: Any) -> Any:
    """What the probe has found."""
    assert call.entry is not None
    if found is None or found is False:
        return _TO_DO
    if found is not True and not _is_result(found):
        raise StateError(
            f"the probe of effect {call.key!r} answers with {_shown(found)}, a "
            f"{type(found).__module__}.{type(found).__qualname__}, of which it cannot be told "
            "whether it means that it happened: give False or None if it did not, True if it did, "
            "as in `probe=lambda: bool(…)`, or its result. Its outcome is as unknown as before",
            node=call.context.place.node,
        )
    return _done(call, call.entry, found)


_EMPTY = (str, bytes, bytearray, list, tuple, dict, set, frozenset)
_ZERO = (int, float, complex, decimal.Decimal, fractions.Fraction)


def _is_result(found: Any) -> bool:
    """True for what a probe can only mean as a result: a value whose truth is that of its own
    built-in kind, and which is not empty, zero or not a number; a record; an instant."""
    kind = type(found)
    truth = getattr(kind, "__bool__", None)
    if issubclass(kind, _ZERO):
        base = next(base for base in _ZERO if issubclass(kind, base))
        return truth is base.__bool__ and found == found and found != 0
    if truth is not None and truth is not datetime.timedelta.__bool__:
        return False
    if issubclass(kind, _EMPTY):
        return len(found) > 0
    if isinstance(found, (datetime.date, datetime.time)):
        return (found == found) is True  # pandas' "not a time" is not
    if callable(found) or hasattr(kind, "__next__"):  # a call or a look that was forgotten
        return False
    return is_dataclass(kind) or not hasattr(kind, "__len__")


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        return "…"
    return text if len(text) <= 60 else f"{text[:60]}…"


@contextmanager
def _under_way(call: _Call, entry: JournalEntry) -> Iterator[None]:
    """Around the call itself, whose intention is written: its failure after it."""
    token = _key.set(entry.payload["idempotency"])
    try:
        yield
    except Exception as error:
        if _shows_that_nothing_happened(error):
            call.context.conclude(entry, replace(entry, status="void"))
        raise
    finally:
        _key.reset(token)


async def _intended(call: _Call) -> JournalEntry:
    """`_intend` beside the loop; of a call that is stopped meanwhile none is left."""
    try:
        return await off_the_loop(lambda: _intend(call))
    except asyncio.CancelledError:
        entry = call.context.journal.get(call.position)
        if entry is not None and entry is not call.entry:
            call.context.conclude(entry, replace(entry, status="void"))
        raise


def _intend(call: _Call) -> JournalEntry:
    """The journalled intention, with the idempotency key."""
    context, at = call.context, call.context.place
    answer, before = call.answer, call.entry.payload if call.entry is not None else None
    if answer is not None and answer.status == "done":
        # A person's word is good for one repetition, not for whatever happens to that one.
        context.record(replace(answer, status="void"))
    if isinstance(before, Mapping):
        known, arguments = before["idempotency"], before["arguments"]
    else:
        parts = (context.services.origin(), at.thread, at.task, call.key, call.number)
        text = "\n".join(map(repr, (*parts, context.scope)))
        made = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        known = before if isinstance(before, str) else made
        arguments = [call.what.arguments]
    payload = {"idempotency": known, "arguments": arguments, "captured": call.what.captured}
    entry = JournalEntry(
        at.anchor, at.task, call.position, EFFECT, named(call.key), "open", freeze(payload)
    )
    context.record(entry)
    return entry


def _plain(call: _Call, value: Any, entry: JournalEntry | None = None) -> Any:
    """What a plain function gave; an error for what is still to be awaited. A coroutine that nobody
    has begun has done nothing, so the intention `entry` is taken back."""
    if not inspect.isawaitable(value):
        return value
    if inspect.iscoroutine(value) and inspect.getcoroutinestate(value) == inspect.CORO_CREATED:
        value.close()
        if entry is not None:
            call.context.conclude(entry, replace(entry, status="void"))
        raise _to_be_awaited(call.key, "fn" if entry is not None else "probe=")
    raise StateError(
        f"effect({call.key!r}, …) got something to be awaited, which may be under way: its outcome "
        f"is unknown. In an `async def` node, write `await aeffect({call.key!r}, …)`",
        node=call.context.place.node,
    )


def _to_be_awaited(key: str, what: str) -> StateError:
    return StateError(
        f"effect({key!r}, …) was given {what} that is to be awaited, and cannot await it; nothing "
        f"was begun. In an `async def` node, write `await aeffect({key!r}, …)`"
    )


def _shows_that_nothing_happened(error: Exception) -> bool:
    """True where the error is a refusal: nothing was begun, no connection, or an HTTP 4xx that says
    no. Of several statuses all must; what is read of the error is checked to be a number."""
    if isinstance(error, ConnectionRefusedError):
        return True
    statuses = list(_statuses(error))
    return bool(statuses) and all(400 <= n < 500 and n not in _OPEN for n in statuses)


def _statuses(error: Exception) -> Iterator[int]:
    """The HTTP statuses that an error tells of, as the libraries do: httpx and requests in the
    response, aiohttp, OpenAI and Stripe on the error itself, botocore in the response's metadata.
    Only where there is none of these, `code`, which is urllib's and others' own."""
    response = _read(error, "response")
    history = _read(response, "history")
    if isinstance(history, Sequence) and len(history) > 0:
        return  # it is what another address answered, behind a redirect
    read = [_read(error, name) for name in ("status_code", "status", "http_status")]
    read += [_read(response, name) for name in ("status_code", "status", "status_int")]
    if isinstance(response, Mapping):
        meta = response.get("ResponseMetadata")
        read.append(meta.get("HTTPStatusCode") if isinstance(meta, Mapping) else None)
    known = [int(n) for n in read if _is_number(n)]
    code = _read(error, "code")
    yield from known or ([int(code)] if _is_number(code) else [])


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _read(thing: Any, name: str) -> Any:
    try:
        return getattr(thing, name, None)
    except Exception:  # a property of somebody else's
        return None


def _done(call: _Call, entry: JournalEntry, result: Any) -> Any:
    call.context.conclude(entry, replace(entry, status="done", result=freeze(result)))
    return result


def _ask_person(call: _Call) -> NoReturn:
    """End the node with the question whether an effect happened."""
    text = (
        f"Did {call.key!r} happen? It was begun, and no result of it was recorded: the process "
        "ended, or the call broke off or took too long. "
        'Answer "it happened", "it did not happen", or {"result": …}'
    )
    ask(call.context, call.position + 1, f"outcome of {call.key}", text, schema=_ANSWER)
