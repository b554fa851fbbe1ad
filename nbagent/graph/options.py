"""What `node` takes and what a node returns, as type checkers see it. (R46)

Rule 1: what the engine would refuse when it runs is refused by the type where a type can say it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, ParamSpec, TypedDict, TypeVar

from nbagent.engine.model.budget import Budget
from nbagent.engine.model.limits import Breaker, RateLimit
from nbagent.engine.model.policy import Cache, Person, Retry
from nbagent.engine.model.program import Command, Send

Part = Mapping[str, Any] | Command | Send | None
Update = Part | Sequence[Part]
"""What a node returns: fields that it writes, a `Command`, a `Send`, None, or a list of these."""

P = ParamSpec("P")
R = TypeVar("R", bound=Update | Awaitable[Update])
Recover = Mapping[type[BaseException], Any] | Callable[..., Any] | str | Person
"""What to do when a node has failed for good: by the kind of error, or for all kinds."""

Fields = Mapping[str, str] | Callable[[Any], Mapping[str, Any]]


class StartOptions(TypedDict, total=False):
    """How a run is started: `Graph.start` says what they mean."""

    step_limit: int
    fresh: bool
    anew: bool
    context: Any
    metadata: Mapping[str, Any] | None
    max_concurrency: int | None
    pause_before: Any
    pause_after: Any
    budget: Budget | Mapping[str, float] | None


class NodeOptions(TypedDict, total=False):
    """The options of `node`, which says what they mean."""

    name: str | None
    on: str | Sequence[str]
    retry: Retry | int | Sequence[Retry] | Literal[False] | None
    timeout: float | Literal[False] | None
    total_timeout: float | None
    idle_timeout: float | None
    fallback: Callable[..., Any] | None
    rate_limit: RateLimit | Literal[False] | None
    breaker: Breaker | Literal[False] | None
    recover: Recover | Literal[False] | None
    cache: Cache | float | bool | None
    stall: float | None
    budget: Budget | Mapping[str, float] | None
    pause: Literal["before", "after"] | None
    defer: bool
    keep: bool
    inputs: Fields | None
    outputs: Fields | None
