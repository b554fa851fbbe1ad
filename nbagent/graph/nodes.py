"""
`node`: a function, or a graph, becomes a node of the graph under construction.

Rule 1: a node stays an ordinary function that can be called and tested alone.
Rule 2: what guards it is one record, made here: see `Policy`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal, Protocol, Unpack, overload

from nbagent.engine.model.budget import Budget
from nbagent.engine.model.callables import answers, is_async, name_of
from nbagent.engine.model.limits import Breaker, RateLimit
from nbagent.engine.model.policy import NO_POLICY, Cache, Policy, Retry, make_policy
from nbagent.errors import GraphError, Location
from nbagent.graph.edges import Building, Wirable, building
from nbagent.graph.options import Fields, NodeOptions, P, R, Recover
from nbagent.graph.source import here


class NodeFunction(Wirable, Generic[P, R]):
    """A function that `@node` made a node; calling it calls the function."""

    def __init__(
        self,
        function: Any,
        *,
        location: Location | None,
        name: str | None = None,
        on: tuple[str, ...] = (),
        pause: Literal["before", "after"] | None = None,
        defer: bool = False,
        inputs: Fields | None = None,
        outputs: Fields | None = None,
        keep: bool = False,
        policy: Policy = NO_POLICY,
        refused: frozenset[str] = frozenset(),
    ) -> None:
        functools.update_wrapper(self, function)
        self.function: Any = function
        self.name: str = name or (
            function.name if isinstance(function, Building) else name_of(function)
        )
        self.on = on
        self.pause = pause
        self.defer = defer
        self.inputs = inputs
        self.outputs = outputs
        self.keep = keep
        self.policy = policy
        self.refused = refused  # of its graph's policies for all nodes
        self.location = location
        if is_async(function):
            # What asyncio and inspect look for in a callable object.
            self._is_coroutine_marker = getattr(inspect, "_is_coroutine_mark", None)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        returned: R = self.function(*args, **kwargs)
        return returned

    def __repr__(self) -> str:
        return f"<node {self.name!r}>"


class NodeMaker(Protocol):
    """What `node(name=…)` gives."""

    @overload
    def __call__(self, fn: Callable[P, R], /) -> NodeFunction[P, R]: ...
    @overload
    def __call__(self, fn: Building, /) -> NodeFunction[..., Any]: ...


@overload
def node(fn: Callable[P, R], **options: Unpack[NodeOptions]) -> NodeFunction[P, R]: ...
@overload
def node(fn: Building, **options: Unpack[NodeOptions]) -> NodeFunction[..., Any]: ...
@overload
def node(fn: None = None, **options: Unpack[NodeOptions]) -> NodeMaker: ...
def node(
    fn: Callable[..., Any] | Building | None = None,
    *,
    name: str | None = None,
    on: str | Sequence[str] = (),
    retry: Retry | int | Sequence[Retry] | Literal[False] | None = None,
    timeout: float | Literal[False] | None = None,
    total_timeout: float | None = None,
    idle_timeout: float | None = None,
    fallback: Callable[..., Any] | None = None,
    rate_limit: RateLimit | Literal[False] | None = None,
    breaker: Breaker | Literal[False] | None = None,
    recover: Recover | Literal[False] | None = None,
    cache: Cache | float | bool | None = None,
    stall: float | None = None,
    budget: Budget | Mapping[str, float] | None = None,
    pause: Literal["before", "after"] | None = None,
    defer: bool = False,
    keep: bool = False,
    inputs: Fields | None = None,
    outputs: Fields | None = None,
) -> Any:
    """Make a function a node: it takes the state and returns the fields that it writes.

    A `Graph` can be a node as well. It begins with the fields that both states have, and what it
    changed of these is written; `inputs` and `outputs` say otherwise.

    name      by default the function's
    on        state fields whose change makes it run, besides edges
    retry     a `Retry`, or a number of attempts: what to do when it fails; of several the first
              that applies to the error
    timeout   seconds that one attempt may take; what it returns later does not count. A `def`
              node's thread is then abandoned, as is a coroutine that does not end when cancelled
    total_timeout   seconds that all attempts and the waits between them may take
    idle_timeout    seconds of silence after which an attempt is ended: nothing emitted, printed or
              logged, no effect, nothing from a graph that it runs
    fallback  a function or node to call instead when the last attempt has failed
    rate_limit, breaker   a `RateLimit` and a `Breaker`, which nodes may share
    recover   exception type -> what to do when that is what is left: a state field, which gets
              the error as text, so that a model can mend what it did; a function of the
              exception, or of the state and the exception, that returns what the node would
              have; or `PERSON`, who is asked. One of these alone is for every error
              Of retry, timeout, recover, rate_limit and breaker the graph may say what all its
              nodes get, as in Graph(…, retry=3); False here is none of it
    stall     seconds of silence after which it is told of as stalled, long before any timeout; by
              default three times what it usually takes
    budget    a `Budget` of its own: when it is spent, a person is asked for more
    cache     True, seconds, or a `Cache`: take an earlier result for equal inputs
    pause     a breakpoint: the run pauses "before" or "after" it
    defer     run it only when nothing else is left to run
    keep      of a graph: its own fields live on from one run of the node to the next, in each
              thread of this graph; those that both have it begins with anew
    inputs    of a graph: its field -> the field of this state that it begins with, or a function
              of what the node reads that returns the graph's input
    outputs   of a graph: the field of this state that is written -> the graph's field, or a
              function of the graph's last state that returns the writes
    """
    location = here()
    shared = {
        "retry": retry, "timeout": timeout, "recover": recover, "rate_limit": rate_limit,
        "breaker": breaker,
    }  # fmt: skip
    refused = frozenset(name for name, value in shared.items() if value is False)
    try:
        policy = make_policy(
            retry=retry,
            timeout=timeout,
            total_timeout=total_timeout,
            idle_timeout=idle_timeout,
            fallback=fallback,
            rate_limit=rate_limit,
            breaker=breaker,
            recover=recover,
            cache=cache,
            stall=stall,
            budget=budget,
        )
    except (TypeError, ValueError) as error:
        raise GraphError(str(error), location=location) from None
    if pause not in (None, "before", "after"):
        raise GraphError(f"pause={pause!r}: it is 'before' or 'after'", location=location)
    fields = (on,) if isinstance(on, str) else tuple(on)

    def make(function: Any) -> NodeFunction[..., Any]:
        if isinstance(function, NodeFunction):
            function = function.function
        if not callable(function) and not isinstance(function, Building):
            raise GraphError(
                f"{function!r} cannot be a node: give a function or a Graph", location=location
            )
        if (inputs or outputs) and not isinstance(function, Building):
            raise GraphError("inputs= and outputs= are for a Graph as a node", location=location)
        if keep and not isinstance(function, Building):
            raise GraphError("keep= is for a Graph as a node", location=location)
        for option, joint in (("inputs", inputs), ("outputs", outputs)):
            if callable(joint) and not answers(joint, 1):
                raise GraphError(
                    f"{option}={name_of(joint)}: give a plain function of one state",
                    location=location,
                )
        made: NodeFunction[..., Any] = NodeFunction(
            function,
            name=name,
            on=fields,
            pause=pause,
            defer=defer,
            location=location,
            inputs=inputs,
            outputs=outputs,
            keep=keep,
            policy=policy,
            refused=refused,
        )
        graph = building.get(None)
        if graph is not None:
            graph.add(made, location)
        return made

    return make if fn is None else make(fn)
