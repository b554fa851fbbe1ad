"""
What guards a node: one record of all its policies, checked when it is made. (R4, W14)

Rule 1: a policy is a field of `Policy` and nowhere else: `node()` makes the record, the program's
        node carries it, `step.attempts` reads it.
Rule 2: what cannot work is refused here, with a `ValueError` or `TypeError` that says what to give
        instead: an option that fails beside the node's own error hides it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from nbagent.engine.model.budget import Budget, check_budget
from nbagent.engine.model.callables import answers, name_of, takes
from nbagent.engine.model.limits import Breaker, RateLimit, is_seconds
from nbagent.engine.model.transient import Kinds, is_kind, is_transient, origin, retry_after


class Person:
    def __repr__(self) -> str:
        return "PERSON"


PERSON = Person()


@dataclass(frozen=True, slots=True)
class Retry:
    """Try a node again when it fails.

    attempts  calls in all, the first included
    on        exception types, or a function that tells from the exception; by default those that
              pass by themselves: `is_transient`. A group counts when all that is in it does
    wait      seconds before the second attempt; each further wait is twice as long
    longest   seconds that a wait of ours may take; what a server asks for is not bounded by it
    jitter    vary each wait by half, so that siblings do not come back all at once
    """

    attempts: int = 3
    on: Kinds | list[type[BaseException]] | Callable[[BaseException], bool] | None = None
    wait: float = 1.0
    longest: float = 60.0
    jitter: bool = True

    def __post_init__(self) -> None:
        if type(self.attempts) is not int or self.attempts < 1:
            raise ValueError(
                "Retry(attempts=) counts the first call: it is a whole number, at least 1, "
                f"and not {self.attempts!r}"
            )
        for name in ("wait", "longest"):
            seconds = getattr(self, name)
            if not (is_seconds(seconds) and seconds >= 0):
                raise ValueError(f"Retry({name}={seconds!r}): give seconds, 0 or more")
        if type(self.jitter) is not bool:
            raise TypeError(f"Retry(jitter={self.jitter!r}): it is True or False")
        if isinstance(self.on, list):
            object.__setattr__(self, "on", tuple(self.on))
        if self.on is None or are_exceptions(self.on):
            return
        if isinstance(self.on, type) or not answers(self.on, 1):
            raise TypeError(
                f"Retry(on={self.on!r}): give exception types, or a plain function of the exception"
            )

    def applies(self, error: BaseException) -> bool:
        """True when this error is worth another attempt."""
        error = origin(error)
        if self.on is None:
            return is_transient(error)
        if callable(self.on) and not isinstance(self.on, type):
            return bool(self.on(error))
        return is_kind(error, self.on if isinstance(self.on, type) else tuple(self.on))

    def delay(self, attempt: int, error: BaseException, now: float | None = None) -> float:
        """Seconds to wait after `attempt` (from 1) failed with `error`; `now` in Unix seconds."""
        asked = retry_after(origin(error), now)
        if asked is not None:
            return asked
        wait = min(self.longest, self.wait * 2.0 ** min(attempt - 1, 1000))
        return wait * random.uniform(0.5, 1.0) if self.jitter else wait


@dataclass(frozen=True, slots=True)
class Cache:
    """Reuse a node's result where its inputs and its code are the same.

    ttl   seconds that a result is good for; None is for ever
    key   what the result depends on: a state field, several, or a function of what the node
          reads; by default all that it reads
    """

    ttl: float | None = None
    key: str | Sequence[str] | Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        if self.ttl is not None and not (is_seconds(self.ttl) and self.ttl > 0):
            raise ValueError(f"Cache(ttl={self.ttl!r}): give seconds, more than 0")
        if callable(self.key):
            if not answers(self.key, 1):
                raise TypeError(
                    f"Cache(key={name_of(self.key)}): give a plain function of the state"
                )
        elif self.key is not None and not all(isinstance(name, str) for name in self.key):
            raise TypeError(f"Cache(key={self.key!r}): give state fields, or a function")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """All that guards one node; None where it does not. What each means: see `graph.nodes.node`.

    retry  in the order in which they are asked whether they apply
    """

    retry: tuple[Retry, ...] | None = None
    timeout: float | None = None
    total_timeout: float | None = None
    idle_timeout: float | None = None
    fallback: Callable[..., Any] | None = None
    rate_limit: RateLimit | None = None
    breaker: Breaker | None = None
    recover: Mapping[type[BaseException], Any] | None = None
    cache: Cache | None = None
    stall: float | None = None
    budget: Budget | None = None

    def __post_init__(self) -> None:
        for name in ("timeout", "total_timeout", "idle_timeout", "stall"):
            seconds = getattr(self, name)
            if seconds is not None and not (is_seconds(seconds) and seconds > 0):
                raise ValueError(f"{name}={seconds!r}: give seconds, more than 0")
        for name, kind in (("rate_limit", RateLimit), ("breaker", Breaker), ("cache", Cache)):
            given = getattr(self, name)
            if given is not None and not isinstance(given, kind):
                raise TypeError(f"{name}={given!r}: give a {kind.__name__}(…)")
        if not all(isinstance(one, Retry) for one in self.retry or ()):
            raise TypeError("retry= is a Retry(…), several of them, or a number of attempts")
        if self.fallback is not None and not callable(self.fallback):
            raise TypeError(f"fallback={self.fallback!r}: give a function or a node")
        if self.fallback is not None and not takes(self.fallback, 1, or_task=True):
            raise TypeError(
                f"fallback={name_of(self.fallback)} cannot be called with the state alone: it "
                "takes what the node takes"
            )
        if self.recover is not None:
            _check_recover(self.recover)

    @property
    def guards_the_call(self) -> bool:
        """True where a call is more than a call of the node's function."""
        return any(
            getattr(self, one.name) is not None
            for one in fields(self)
            if one.name not in _BESIDE_THE_CALL
        )


_BESIDE_THE_CALL = ("cache", "stall", "budget")
NO_POLICY = Policy()


SHARED = ("retry", "timeout", "recover", "rate_limit", "breaker")  # what a graph says for its nodes


def with_defaults(own: Policy, defaults: Policy, but: Collection[str] = ()) -> Policy:
    """A node's policy, with its graph's where it says nothing; `but` are those that it refuses."""
    if defaults == NO_POLICY:
        return own
    taken = {
        name: getattr(defaults, name)
        for name in SHARED
        if name not in but and getattr(own, name) is None
    }
    return replace(own, **taken)


def make_policy(
    *,
    retry: Retry | int | Sequence[Retry] | None = None,
    fallback: Any = None,
    cache: Cache | float | bool | None = None,
    recover: Any = None,
    budget: Any = None,
    **more: Any,
) -> Policy:
    """A `Policy` of what people write: a number of attempts, a node as a fallback, a cache's
    seconds, one way to recover from all errors. False is None."""
    more = {name: None if value is False else value for name, value in more.items()}
    if retry is False:
        retry = None
    is_class = isinstance(recover, type)
    if recover is PERSON or isinstance(recover, str) or (callable(recover) and not is_class):
        recover = {Exception: recover}
    if isinstance(retry, int) and not isinstance(retry, bool):
        retry = Retry(attempts=retry)
    if isinstance(retry, Retry):
        retry = (retry,)
    elif retry is not None:
        if not isinstance(retry, (list, tuple)):
            raise TypeError(f"retry={retry!r}: give a Retry(…), or a number of attempts")
        retry = tuple(retry) or None
    if cache is not None and not isinstance(cache, Cache):
        if not isinstance(cache, (bool, int, float)):
            raise TypeError(f"cache={cache!r}: it is True, seconds, or a Cache(…)")
        cache = Cache(None if cache is True else cache) if cache is not False else None
    function = getattr(fallback, "function", fallback)
    recover = None if recover is False else recover
    made = {"retry": retry, "fallback": function, "cache": cache, "recover": recover}
    return Policy(**made, budget=check_budget(budget), **more)


def _check_recover(ways: Any) -> None:
    if not isinstance(ways, Mapping):
        raise TypeError(
            f"recover={ways!r}: give a dict of exception types and what to do, "
            "or one thing to do: a state field, a function or PERSON"
        )
    for kind, way in ways.items():
        if not are_exceptions(kind):
            raise TypeError(f"recover={{{kind!r}: …}}: give exception types")
        if not (isinstance(way, str) or way is PERSON or callable(way)):
            raise TypeError(
                f"recover={{{_named(kind)}: {way!r}}}: give a state field, a function or PERSON"
            )
        if callable(way) and not any(takes(way, count, or_task=True) for count in (1, 2)):
            raise TypeError(
                f"recover={{{_named(kind)}: {name_of(way)}}}: it is called with the exception, "
                "or with the state and the exception"
            )


def _named(kind: Any) -> str:
    return getattr(kind, "__name__", repr(kind))


def are_exceptions(kinds: Any) -> bool:
    """True for an exception type, or a tuple of them."""
    listed = kinds if isinstance(kinds, tuple) else (kinds,)
    return all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in listed)
