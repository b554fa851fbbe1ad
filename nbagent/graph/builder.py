"""
The construction API: functions become nodes, `>>` wires them, the result is a `Program`. (R46)

    with Graph("research", State) as research:
        @node
        def plan(state): ...
        START >> plan >> [web, papers] >> write
        write >> branch("verdict", revise=plan, accept=END)

Rule 1: a node stays an ordinary function that can be called and tested alone.
Rule 2: every wire remembers the user's line, so that an error can point at it.
Rule 3: nothing is checked before `compile`, so lines may come in any order.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar, Unpack, overload

from nbagent.engine.model import program as compiled
from nbagent.engine.model.limits import Breaker, RateLimit
from nbagent.engine.model.policy import Retry
from nbagent.engine.model.program import Cache, Program
from nbagent.engine.node import calls
from nbagent.engine.node.subgraph import Subgraph
from nbagent.engine.store.opening import resolve_store
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.engine.thread.run import Run, stream
from nbagent.engine.thread.thread import Thread
from nbagent.engine.watch.events import NodeStalled
from nbagent.errors import GraphError, Location
from nbagent.graph.batch import Runs
from nbagent.graph.fingerprint import fingerprint, fingerprint_of
from nbagent.graph.options import Fields, NodeOptions, P, R
from nbagent.graph.schema import Migrate, StateSchema
from nbagent.graph.source import here, is_async, label_of, reader_of
from nbagent.graph.validate import validate

W = TypeVar("W")
defined: weakref.WeakValueDictionary[str, Graph] = weakref.WeakValueDictionary()
_building: contextvars.ContextVar[Graph | None] = contextvars.ContextVar("nbagent_graph")
_compiling: contextvars.ContextVar[tuple[Graph, ...]] = contextvars.ContextVar(
    "nbagent_compiling", default=()
)


class Wirable:
    """Anything that can stand on either side of `>>`."""

    def __rshift__(self, other: Target) -> Chain:
        return _wire([self], other)

    def __rrshift__(self, other: Places) -> Chain:
        return _wire(other, self)


class Terminal(Wirable):
    """START or END."""

    def __init__(self, name: str, label: str) -> None:
        self.name = name
        self._label = label

    def __repr__(self) -> str:
        return self._label


START = Terminal(compiled.START, "START")
END = Terminal(compiled.END, "END")


class NodeFunction(Wirable, Generic[P, R]):
    """A function that `@node` made a node; calling it calls the function."""

    def __init__(
        self,
        function: Any,
        *,
        name: str | None,
        on: tuple[str, ...],
        pause: Literal["before", "after"] | None,
        defer: bool,
        location: Location | None,
        retry: Retry | None = None,
        timeout: float | None = None,
        fallback: Callable[..., Any] | None = None,
        inputs: Fields | None = None,
        outputs: Fields | None = None,
        policies: Mapping[str, Any] | None = None,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function: Any = function
        self.inputs = inputs
        self.policies = policies or {}
        self.outputs = outputs
        own = function.name if isinstance(function, Graph) else None
        self.name: str = name or own or str(getattr(function, "__name__", repr(function)))
        self.on = on
        self.pause = pause
        self.defer = defer
        self.retry = retry
        self.timeout = timeout
        self.fallback = getattr(fallback, "function", fallback)
        self.location = location
        if is_async(function):
            # What asyncio and inspect look for in a callable object.
            self._is_coroutine_marker = getattr(inspect, "_is_coroutine_mark", None)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        returned: R = self.function(*args, **kwargs)
        return returned

    def __repr__(self) -> str:
        return f"<node {self.name!r}>"


class Branch(Wirable):
    """The right side of `source >> branch(…)`. Made by `branch`."""

    def __init__(
        self,
        choose: str | Callable[[Any], Any],
        targets: Mapping[str, Places],
        location: Location | None,
    ) -> None:
        self.choose = choose
        self.targets = targets
        self.location = location


class Each(Wirable):
    """The right side of `source >> each(…)`. Made by `each`."""

    def __init__(
        self, items: str | Callable[[Any], Any], target: Place, location: Location | None
    ) -> None:
        self.items = items
        self.target = target
        self.location = location


class Chain(Wirable):
    """What `a >> b` gives: its loose ends take the next `>>`."""

    def __init__(self, graph: Graph, ends: list[Any], closed: str = "") -> None:
        self.graph = graph
        self.ends = ends
        self.closed = closed

    def __rshift__(self, other: Target) -> Chain:
        location = here()
        if self.closed:
            raise GraphError(self.closed, location=location)
        return self.graph._connect(self.ends, other, location)

    def __repr__(self) -> str:
        return f"<wires of graph {self.graph.name!r}>"


class NodeMaker(Protocol):
    """What `node(name=…)` gives."""

    @overload
    def __call__(self, fn: Callable[P, R], /) -> NodeFunction[P, R]: ...
    @overload
    def __call__(self, fn: Graph, /) -> NodeFunction[..., Any]: ...


@overload
def node(fn: Callable[P, R], **options: Unpack[NodeOptions]) -> NodeFunction[P, R]: ...
@overload
def node(fn: Graph, **options: Unpack[NodeOptions]) -> NodeFunction[..., Any]: ...
@overload
def node(fn: None = None, **options: Unpack[NodeOptions]) -> NodeMaker: ...
def node(
    fn: Callable[..., Any] | Graph | None = None,
    *,
    name: str | None = None,
    on: str | Sequence[str] = (),
    retry: Retry | int | None = None,
    timeout: float | None = None,
    total_timeout: float | None = None,
    fallback: Callable[..., Any] | None = None,
    rate_limit: RateLimit | None = None,
    breaker: Breaker | None = None,
    recover: Mapping[type[BaseException], Any] | None = None,
    cache: Cache | float | bool | None = None,
    stall: float | None = None,
    pause: Literal["before", "after"] | None = None,
    defer: bool = False,
    inputs: Fields | None = None,
    outputs: Fields | None = None,
) -> Any:
    """Make a function a node: it takes the state and returns the fields that it writes.

    A `Graph` can be a node as well. It begins with the fields that both states have, and what it
    changed of these is written; `inputs` and `outputs` say otherwise.

    name      by default the function's
    on        state fields whose change makes it run, besides edges
    retry     a `Retry`, or a number of attempts: what to do when it fails
    timeout   seconds that one attempt may take; a `def` node's thread is then abandoned
    total_timeout   seconds that all attempts and the waits between them may take
    fallback  a function or node to call instead when the last attempt has failed
    rate_limit, breaker   a `RateLimit` and a `Breaker`, which nodes may share
    recover   exception type -> what to do when that is what is left: a state field, which gets
              the error as text, so that a model can mend what it did; a function of the
              exception that returns what the node would have; or `PERSON`, who is asked
    stall     seconds of silence after which it is told of as stalled, long before any timeout; by
              default three times what it usually takes
    cache     True, seconds, or a `Cache`: take an earlier result for equal inputs
    pause     a breakpoint: the run pauses "before" or "after" it
    defer     run it only when nothing else is left to run
    inputs    of a graph: its field -> the field of this state that it begins with, or a function
              of what the node reads that returns the graph's input
    outputs   of a graph: the field of this state that is written -> the graph's field, or a
              function of the graph's last state that returns the writes
    """
    location = here()
    policy = Retry(attempts=retry) if isinstance(retry, int) else retry
    for option, seconds in (
        ("timeout", timeout),
        ("total_timeout", total_timeout),
        ("stall", stall),
    ):
        if seconds is not None and not seconds > 0:
            raise GraphError(f"{option}={seconds!r}: give seconds, more than 0", location=location)
    if cache is not None and not isinstance(cache, Cache):
        cache = Cache(None if cache is True else float(cache)) if cache else None
    if fallback is not None and not callable(fallback):
        raise GraphError(f"fallback={fallback!r}: give a function or a node", location=location)
    if pause not in (None, "before", "after"):
        raise GraphError(f"pause={pause!r}: it is 'before' or 'after'", location=location)

    def make(function: Any) -> NodeFunction[..., Any]:
        if isinstance(function, NodeFunction):
            function = function.function
        if not callable(function) and not isinstance(function, Graph):
            raise GraphError(
                f"{function!r} cannot be a node: give a function or a Graph", location=location
            )
        if (inputs or outputs) and not isinstance(function, Graph):
            raise GraphError("inputs= and outputs= are for a Graph as a node", location=location)
        made: NodeFunction[..., Any] = NodeFunction(
            function,
            name=name,
            on=(on,) if isinstance(on, str) else tuple(on),
            pause=pause,
            defer=defer,
            location=location,
            retry=policy,
            timeout=timeout,
            fallback=fallback,
            inputs=inputs,
            outputs=outputs,
            policies={
                "total_timeout": total_timeout,
                "rate_limit": rate_limit,
                "breaker": breaker,
                "recover": recover,
                "cache": cache,
                "stall": stall,
            },
        )
        graph = _building.get(None)
        if graph is not None:
            graph._add(made, location)
        return made

    return make if fn is None else make(fn)


def branch(choose: str | Callable[[Any], Any], /, **targets: Places) -> Branch:
    """A conditional edge: `choose` is a state field, or a function of the state.

    Its value is a key of `targets`, or several; a target is a node, END, or a list of nodes. A
    function may also return a `Send`, and, where no targets are given, nodes or their names.
    """
    return Branch(choose, targets, here())


def each(items: str | Callable[[Any], Any], target: Place, /) -> Each:
    """Run `target` once for each item of a list, in parallel; what follows waits for all.

    items  a state field that holds a list, or a function of the state that returns one; each
           run of `target` gets one item in place of the state
    """
    return Each(items, target, here())


class Graph(Wirable):
    """An agent as a graph. `state` is a TypedDict, a dataclass or a pydantic model.

    store     where its threads live: a URL or an open store; by default that of `use_store`, which
              is `sqlite:///nbagent.db` in the current folder
    on_error  what a failed node does to those that run beside it: they "finish" and their results
              are kept, or it "cancel"s them
    on_stall  called, on a thread of its own, when a node is silent for longer than it should be
    migrate   called when a thread that an earlier version of `state` wrote is opened: takes all
              fields that it holds as a dict, returns those that it is to hold
    loop      "kernel" runs it on the notebook's own event loop, for clients that are bound to that;
              it then stands still while a cell computes
    """

    def __init__(
        self,
        name: str,
        state: type,
        *,
        store: str | CheckpointStore | None = None,
        on_error: Literal["finish", "cancel"] = "finish",
        on_stall: Callable[[NodeStalled], object] | None = None,
        migrate: Migrate | None = None,
        loop: Literal["own", "kernel"] = "own",
    ) -> None:
        if loop not in ("own", "kernel"):
            raise GraphError(f"loop={loop!r}: it is 'own' or 'kernel'", location=here())
        if on_error not in ("finish", "cancel"):
            raise GraphError(f"on_error={on_error!r}: it is 'finish' or 'cancel'", location=here())
        self.name, self.state, self.loop = name, state, loop
        self.location = here()
        self.schema = StateSchema(state, migrate)
        self.nodes: dict[str, NodeFunction[..., Any]] = {}
        self.wires: list[Any] = []
        self.on_error = on_error
        self.on_stall = on_stall
        self._store = store
        self._program: Program | None = None
        defined[name] = self
        self._tokens: list[contextvars.Token[Graph | None]] = []

    def __repr__(self) -> str:
        return f"<Graph {self.name!r}: {', '.join(self.nodes) or 'no nodes yet'}>"

    def __enter__(self) -> Graph:
        self._tokens.append(_building.set(self))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        _building.reset(self._tokens.pop())
        if kind is None:
            self.compile()

    # --------------------------------------------------------------------------- construction

    def compile(self) -> Program:
        """The program, checked; the same one until the graph changes. Raises `GraphError`."""
        if self._program is None:
            if self in (around := _compiling.get()):
                loop = " in ".join(repr(one.name) for one in (*around[around.index(self) :], self))
                raise GraphError(
                    f"a graph cannot be a node of itself, and here {loop} is: call it in a node, "
                    "as in `inner.run(…)`, or use a cycle of edges",
                    location=self.location,
                )
            token = _compiling.set((*around, self))
            try:
                self._program = self._compile()
            finally:
                _compiling.reset(token)
        return self._program

    def _compile(self) -> Program:
        nodes = {name: self._node(found) for name, found in self.nodes.items()}
        program = Program(
            name=self.name,
            nodes=nodes,
            fields=self.schema.channels,
            edges=self._wires(compiled.Edge),
            joins=self._wires(compiled.Join),
            branches=self._wires(compiled.Branch),
            eaches=self._wires(compiled.Each),
            schema=self.schema,
            on_error=self.on_error,
            on_stall=self.on_stall,
            loop=self.loop,
        )
        validate(program, self.location)
        return program

    def _node(self, found: NodeFunction[..., Any]) -> compiled.Node:
        function, program = found.function, None
        has_cache = found.policies.get("cache") is not None
        if isinstance(function, Graph):
            program = function.compile()
            joints = (program, found.inputs, found.outputs)
            code = fingerprint_of(*joints)
            captured = fingerprint_of(*joints, strict=True) if has_cache else ""
            function = Subgraph(*joints, self.schema.channels, whole=has_cache)
        else:
            code = fingerprint(function)
            captured = fingerprint(function, strict=True) if has_cache else ""
        return compiled.Node(
            name=found.name,
            function=function,
            is_async=is_async(function),
            on=found.on,
            pause=found.pause,
            defer=found.defer,
            fingerprint=code,
            captured=captured,
            location=found.location,
            retry=found.retry,
            timeout=found.timeout,
            fallback=found.fallback,
            fallback_is_async=is_async(found.fallback),
            program=program,
            **found.policies,
        )

    def _wires(self, kind: type[W]) -> tuple[W, ...]:
        """The wires of one kind, in the order of writing, each once."""
        found: list[W] = []
        for wire in self.wires:
            if isinstance(wire, kind) and wire not in found:
                found.append(wire)
        return tuple(found)

    def _add(self, made: NodeFunction[..., Any], location: Location | None) -> None:
        known = self.nodes.get(made.name)
        if known is made:
            return
        if known is not None:
            raise GraphError(
                f"graph {self.name!r} has two nodes named {made.name!r}: rename one, or give it "
                "another name with node(name=…)",
                location=location,
            )
        self._program = None
        self.nodes[made.name] = made

    def _connect(self, sources: Any, target: Any, location: Location | None) -> Chain:
        """Record `sources >> target`; the chain that goes on from there."""
        ends = [self._name(source, location) for source in _listed(sources)]
        self._program = None
        if isinstance(target, Branch):
            for end in ends:
                self.wires.append(self._branch(end, target))
            return Chain(self, [], "a branch ends its line: go on from its targets on a new line")
        if isinstance(target, Each):
            name = self._name(target.target, location)
            for end in ends:
                label = label_of(target.items)
                items = reader_of(target.items, self.schema, target.location)
                self.wires.append(compiled.Each(end, items, name, label, target.location))
            return Chain(self, [name])
        if isinstance(target, Chain):
            raise GraphError("write one line of `>>` from left to right", location=location)
        names = [self._name(each, location) for each in _listed(target)]
        for name in names:
            if name == compiled.START:
                raise GraphError("nothing can lead to START", location=location)
            if len(ends) > 1 and name != compiled.END:
                self.wires.append(compiled.Join(tuple(ends), name, location))
                continue
            for end in ends:
                self.wires.append(compiled.Edge(end, name, location))
        return Chain(self, names)

    def _branch(self, source: str, made: Branch) -> compiled.Branch:
        targets = {
            key: tuple(self._name(one, made.location) for one in _listed(value))
            for key, value in made.targets.items()
        }
        if not targets and isinstance(made.choose, str):
            raise GraphError(
                f"branch({made.choose!r}) has no targets: say where each value leads, as in "
                f"branch({made.choose!r}, accept=END)",
                location=made.location,
            )
        choose = reader_of(made.choose, self.schema, made.location)
        label = label_of(made.choose)
        return compiled.Branch(source, choose, targets or None, label, made.location)

    def _name(self, thing: Any, location: Location | None) -> str:
        """The name of what stands beside `>>`; a plain function becomes a node."""
        if isinstance(thing, Terminal):
            return thing.name
        if isinstance(thing, NodeFunction):
            self._add(thing, thing.location or location)
            return thing.name
        if isinstance(thing, str):
            return thing
        if isinstance(thing, Graph):
            if thing is self:
                raise GraphError(
                    f"graph {self.name!r} cannot be a node of itself: use a cycle of edges",
                    location=location,
                )
            known = self.nodes.get(thing.name)
            if known is None or known.function is not thing:
                self._add(_plain(thing, location), location)
            return thing.name
        if callable(thing) and not isinstance(thing, type):
            name = str(getattr(thing, "__name__", ""))
            if name not in self.nodes:
                self._add(_plain(thing, location), location)
            return name
        raise GraphError(
            f"{thing!r} cannot be wired: `>>` takes nodes, graphs, lists of these, START, END, "
            "branch(…) and each(…)",
            location=location,
        )

    # -------------------------------------------------------------------------------- running

    @property
    def store(self) -> CheckpointStore:
        """The open store of its threads."""
        return resolve_store(self._store)

    def thread(self, id: str) -> Thread:
        """The durable handle of a thread, whether it exists yet or not."""
        return Thread(id, program=self.compile(), store=self.store)

    def start(
        self, input: Mapping[str, Any], thread: str | None = None, *, step_limit: int = 1000
    ) -> Run:
        """Start a thread with `input` and return at once; the run displays as the live widget.

        thread      its id; by default `GRAPH-` and six random characters
        step_limit  super-steps after which `StepLimit` is raised; the thread can be resumed
        """
        return self.thread(thread or new_id(self.name)).start(input, step_limit=step_limit)

    def run(
        self, input: Mapping[str, Any], thread: str | None = None, *, step_limit: int = 1000
    ) -> dict[str, Any]:
        """Start a thread and wait; the state when it is done, paused or waiting.

        Inside a node, without `thread`, it is a durable call: the thread belongs to the node's
        task, its question is the task's, and after a failure it goes on where it stopped.
        """
        if thread is None and calls.is_inside():
            return calls.call(self.compile(), input)
        return self.start(input, thread, step_limit=step_limit).result()

    async def arun(
        self, input: Mapping[str, Any], thread: str | None = None, *, step_limit: int = 1000
    ) -> dict[str, Any]:
        """`run` in a coroutine."""
        if thread is None and calls.is_inside():
            return await calls.acall(self.compile(), input)
        return await self.start(input, thread, step_limit=step_limit)

    def stream(
        self,
        input: Mapping[str, Any],
        thread: str | None = None,
        mode: Literal["events", "updates", "values", "emitted"] = "events",
        *,
        step_limit: int = 1000,
    ) -> Any:
        """Start a thread and iterate with `async for` over what happens in it.

        events   every `Event`
        updates  `{node: what it wrote}` as each node finishes
        values   the whole state after each super-step
        emitted  `(node, value)` for each value given to `emit`
        """
        return stream(lambda: self.start(input, thread, step_limit=step_limit), mode)

    def map(
        self, inputs: Sequence[Mapping[str, Any]], name: str | None = None, *, limit: int = 8
    ) -> Runs:
        """Run over many inputs, a thread each, at most `limit` at once; returns at once.

        name   of the batch: its threads are `NAME-0`, `NAME-1` …; calling `map` again with the
               same name goes on, and what is done is not done again. By default the graph's
        """
        return Runs(self.thread, inputs, name or self.name, limit)


Place = Terminal | NodeFunction[..., Any] | Graph | Callable[..., Any] | str
Places = Place | Sequence[Any]  # of places; nodes of different signatures make a `list[object]`
Target = Places | Branch | Each
"""What stands on the right of `>>`; a text is the name of a node."""


def new_id(name: str) -> str:
    """A thread id that no other thread has."""
    return f"{name}-{uuid.uuid4().hex[:6]}"


def _wire(sources: Any, target: Any) -> Chain:
    location = here()
    graph = _building.get(None)
    if graph is None:
        raise GraphError(
            "`>>` wires nodes only inside `with Graph(…):` or a %%graph cell", location=location
        )
    return graph._connect(sources, target, location)


def _plain(thing: Any, location: Location | None) -> NodeFunction[..., Any]:
    """A function or graph that was wired without `node`."""
    return NodeFunction(thing, name=None, on=(), pause=None, defer=False, location=location)


def _listed(thing: Any) -> list[Any]:
    return list(thing) if isinstance(thing, (list, tuple)) else [thing]
