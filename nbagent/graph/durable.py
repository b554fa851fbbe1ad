"""
The functional form: a plain function as a durable thread, with no graph to draw. (R5, R6, R27)

    @durable
    def letters(city: str) -> int:
        people = step(find)(city)
        for person in each_once(people, "people"):
            step(write)(person)
        return len(people)

    letters.run("Oslo", thread="oslo").value

Rule 1: it is a graph of one node: so its thread is kept, shown, asked, edited and resumed as any.
Rule 2: when it goes on, the function runs again from its top. Steps that were done give back what
        they returned; the code between them runs again: that is the price of having no graph.
"""

from __future__ import annotations

import inspect
import typing
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypedDict, TypeVar, overload

from nbagent.engine import ports
from nbagent.engine.model.budget import Budget
from nbagent.engine.model.callables import is_async, name_of
from nbagent.engine.model.policy import Retry
from nbagent.engine.model.values import thaw
from nbagent.engine.node import steps
from nbagent.engine.ports import Url
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.engine.thread.returned import Returned
from nbagent.engine.thread.run import Run
from nbagent.engine.thread.thread import Thread
from nbagent.errors import GraphError
from nbagent.graph.builder import END, START, Graph, new_id, node
from nbagent.graph.options import StartOptions
from nbagent.graph.source import here

R = TypeVar("R")
_OURS = ("thread", "anew")


class Durable(Generic[R]):
    """A function whose calls are durable threads; calling it calls the plain function."""

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        name: str | None = None,
        store: Url | CheckpointStore | None = None,
        retry: Retry | int | Sequence[Retry] | None = None,
        timeout: float | None = None,
        budget: Budget | Mapping[str, float] | None = None,
    ) -> None:
        if not callable(fn) or isinstance(fn, type):
            raise GraphError(f"durable({fn!r}): give a function", location=here())
        self.function = fn
        self.name = name or name_of(fn)
        self.__name__, self.__doc__ = self.name, fn.__doc__
        self.__wrapped__ = fn
        self.signature = inspect.signature(fn)
        for taken in _OURS:
            if taken in self.signature.parameters:
                raise GraphError(
                    f"durable function {self.name!r} has a parameter {taken!r}, which is an option "
                    "of its run: rename the parameter",
                    location=here(),
                )
        self._value = "value" if "value" not in self.signature.parameters else "value_"
        self.graph = self._graph(store, retry, timeout, budget)

    def __repr__(self) -> str:
        return f"<durable {self.name!r}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    # ------------------------------------------------------------------------------- running

    def run(
        self, *args: Any, thread: str | None = None, anew: bool = False, **kwargs: Any
    ) -> Returned[R]:
        """Call it as a thread and wait; `.value` of what this gives is what it returned.

        thread  the thread's id; one that is done begins again with these arguments
        anew    begin again also where the thread has failed, is paused or asks

        Of a thread that asks or is paused, `.value` is an error that says so.
        """
        given = self._given(args, kwargs)
        return self._returned(self.graph.run(given, thread, **self._begins(thread, anew)))

    async def arun(
        self, *args: Any, thread: str | None = None, anew: bool = False, **kwargs: Any
    ) -> Returned[R]:
        """`run` in a coroutine."""
        given = self._given(args, kwargs)
        return self._returned(await self.graph.arun(given, thread, **self._begins(thread, anew)))

    def start(
        self, *args: Any, thread: str | None = None, anew: bool = False, **kwargs: Any
    ) -> Run:
        """Call it as a thread and return at once; `run.result()` gives what `run` does."""
        id = thread or new_id(self.name)
        return self.graph.start(self._given(args, kwargs), id, **self._begins(id, anew))

    def thread(self, id: str) -> Thread:
        """The durable handle of a thread, whether it exists yet or not."""
        return self.graph.thread(id)

    def _begins(self, thread: str | None, anew: bool) -> StartOptions:
        """A call has its own arguments, and nothing of the one before on that thread."""
        if thread is None:
            return StartOptions()
        info = self.graph.thread(thread).stored()
        ended = info is not None and (anew or info.status == "done")
        return StartOptions(fresh=True) if ended else StartOptions()

    def _given(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self.signature.bind(*args, **kwargs).arguments)

    def _returned(self, state: Mapping[str, Any]) -> Returned[R]:
        if isinstance(state, Returned):
            return state
        return Returned(state, self._value)

    # -------------------------------------------------------------------------------- inside

    def _graph(self, store: Any, retry: Any, timeout: float | None, budget: Any) -> Graph:
        function, parameters, field = self.function, self.signature.parameters, self._value

        def arguments(state: Mapping[str, Any]) -> inspect.BoundArguments:
            found = {name: thaw(state[name]) for name in parameters if name in state}
            return inspect.BoundArguments(self.signature, OrderedDict(found))

        async def acall(state: Mapping[str, Any]) -> dict[str, Any]:
            given = arguments(state)
            with steps.function():
                return {field: await function(*given.args, **given.kwargs)}

        def call(state: Mapping[str, Any]) -> dict[str, Any]:
            given = arguments(state)
            with steps.function():
                return {field: function(*given.args, **given.kwargs)}

        made = acall if is_async(function) else call
        made.__name__ = made.__qualname__ = self.name
        made.__doc__, made.__module__ = function.__doc__, function.__module__
        graph = Graph(self.name, self._state(), store=store, budget=budget)
        graph.returns = field
        with graph:
            START >> node(made, name=name_of(function), retry=retry, timeout=timeout) >> END
        return graph

    def _state(self) -> type:
        """The parameters and the value as a state: so that arguments are checked, and shown."""
        try:
            hints = typing.get_type_hints(self.function, include_extras=True)
        except Exception:  # a name that is not there yet
            hints = {}
        fields: dict[str, Any] = {}
        for name, parameter in self.signature.parameters.items():
            hint = _readable(hints.get(name, Any))
            if parameter.kind is parameter.VAR_POSITIONAL:
                hint = tuple[Any, ...]
            elif parameter.kind is parameter.VAR_KEYWORD:
                hint = dict[str, Any]
            fields[name] = hint
            ports.declared(hints.get(name, Any))
        ports.declared(hints.get("return", Any))
        fields[self._value] = Any
        return TypedDict(f"{self.name}_call", fields, total=False)  # type: ignore[operator,no-any-return]


def _readable(hint: Any) -> Any:
    """The type that an argument is checked by; of what cannot be checked, any."""
    origin = typing.get_origin(hint) or hint
    if getattr(origin, "__module__", "") in ("collections.abc", "typing") and origin is not Any:
        return hint if origin in (typing.Union, typing.Literal) else Any
    return hint


class DurableMaker(Protocol):
    """What `durable(store=…)` gives."""

    @overload
    def __call__(self, fn: Callable[..., Awaitable[R]], /) -> Durable[R]: ...
    @overload
    def __call__(self, fn: Callable[..., R], /) -> Durable[R]: ...


@overload
def durable(fn: Callable[..., Awaitable[R]], /) -> Durable[R]: ...
@overload
def durable(fn: Callable[..., R], /) -> Durable[R]: ...
@overload
def durable(
    fn: None = None,
    /,
    *,
    name: str | None = None,
    store: Url | CheckpointStore | None = None,
    retry: Retry | int | Sequence[Retry] | None = None,
    timeout: float | None = None,
    budget: Budget | Mapping[str, float] | None = None,
) -> DurableMaker: ...
def durable(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a plain `def` or `async def` function durable: each call is a thread with a journal.

    Inside, `step(fn)(…)` is done once, `each_once(items, "name")` is a loop that goes on where it
    was, `interrupt` asks a person, `effect` happens once, `emit` streams. `job.run(…, thread=id)`,
    `await job.arun(…)`, `job.start(…)` and `job.thread(id)` are what a graph has, and so are its
    view, its history and its resume.

    name     by default the function's
    store    where its threads live, as for `Graph`
    retry    a `Retry`, several, or a number of attempts: what to do when the function fails; steps
             that were done are not done again
    timeout  seconds that one attempt may take
    budget   what each of its threads may spend: a `Budget`
    """
    if fn is not None:
        return Durable(fn, **options)
    return lambda function: Durable(function, **options)
