"""
The construction API: functions become nodes, `>>` wires them, the result is a `Program`. (R46)

    with Graph("research", State) as research:
        @node
        def plan(state): ...
        START >> plan >> [web, papers] >> write
        write >> branch("verdict", revise=plan, accept=END)

Rule 1: every wire remembers the user's line, so that an error can point at it.
Rule 2: nothing is checked before `compile`, so lines may come in any order.
"""

from __future__ import annotations

import contextvars
import logging
import uuid
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack

from nbagent.engine.model import program as compiled
from nbagent.engine.model.budget import Budget, check_budget
from nbagent.engine.model.callables import is_async, name_of, takes_task
from nbagent.engine.model.checkpoint import Question
from nbagent.engine.model.limits import Breaker, RateLimit
from nbagent.engine.model.outcome import Outcome
from nbagent.engine.model.policy import Retry, make_policy, with_defaults
from nbagent.engine.model.program import Program
from nbagent.engine.node import calls
from nbagent.engine.node.subgraph import Subgraph
from nbagent.engine.ports import Url
from nbagent.engine.store.opening import name_store, resolve_store
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.engine.thread.run import Run
from nbagent.engine.thread.streams import Stream, stream
from nbagent.engine.thread.thread import Thread
from nbagent.engine.watch.events import NodeStalled, Observer
from nbagent.engine.watch.modes import Mode
from nbagent.engine.watch.stream import BUFFER, Reading
from nbagent.errors import GraphError, Location
from nbagent.graph import draw
from nbagent.graph.batch import Runs, check_at_once
from nbagent.graph.caches import clear_cache
from nbagent.graph.calling import check_call, check_kept
from nbagent.graph.contexts import reader_of_context
from nbagent.graph.edges import (
    END,
    START,
    Branch,
    Building,
    Chain,
    Each,
    Terminal,
    branch,
    building,
    each,
    listed,
)
from nbagent.graph.fingerprint import fingerprint, fingerprint_of
from nbagent.graph.layout import layout
from nbagent.graph.nodes import NodeFunction, node
from nbagent.graph.options import Recover, StartOptions
from nbagent.graph.schema import Migrate, StateSchema
from nbagent.graph.source import here, label_of, reader_of
from nbagent.graph.validate import validate

__all__ = ["END", "START", "Graph", "NodeFunction", "branch", "defined", "each", "new_id", "node"]

if TYPE_CHECKING:  # drawing is imported where somebody draws
    from graphviz import Digraph

    from nbagent.graph.digraph import Path

log = logging.getLogger("nbagent")
W = TypeVar("W")
defined: weakref.WeakValueDictionary[str, Graph] = weakref.WeakValueDictionary()
_compiling: contextvars.ContextVar[tuple[Graph, ...]] = contextvars.ContextVar(
    "nbagent_compiling", default=()
)


class Graph(Building):
    """An agent as a graph. `state` is a TypedDict, a dataclass or a pydantic model.

    store     where its threads live: a URL, a path or an open store; by default that of
              `use_store`, which is `nbagent.db` in the folder where nbagent was imported
    on_error  what a failed node does to those that run beside it: they "finish" and their results
              are kept, or it "cancel"s them
    on_stall  called, on a thread of its own, when a node is silent for longer than it should be
    on_question   called, on a thread of its own, with each question that one of its threads asks
              and that thread, once, also after a restart: to send a mail or a message of it
    migrate   called when a thread that an earlier version of `state` wrote is opened: takes all
              fields that it holds as a dict, returns those that it is to hold
    retry, timeout, recover, rate_limit, breaker   what all nodes get that do not say otherwise: see
              `node`; a `RateLimit` and a `Breaker` are shared by them
    budget    what each of its threads may spend: a `Budget`. When it is spent, a person is asked
    loop      "kernel" runs it on the notebook's own event loop, for clients that are bound to that;
              it then stands still while a cell computes
    context   the class of what a run is given beside the state (a TypedDict, a dataclass, a model
              or any other): nodes read it as `task.context`, and it is never stored. A dict is
              made one; a run that is given none gets `Class()`, where that needs no arguments
    input, output   classes with the fields of the state that go in and that come out: what a run
              may be given, and what it gives back. The other fields are the nodes' own
    """

    def __init__(
        self,
        name: str,
        state: type,
        *,
        store: Url | CheckpointStore | None = None,
        on_error: Literal["finish", "cancel"] = "finish",
        on_stall: Callable[[NodeStalled], object] | None = None,
        on_question: Callable[[Question, Thread], object] | None = None,
        migrate: Migrate | None = None,
        retry: Retry | int | Sequence[Retry] | None = None,
        timeout: float | None = None,
        recover: Recover | None = None,
        rate_limit: RateLimit | None = None,
        breaker: Breaker | None = None,
        budget: Budget | Mapping[str, float] | None = None,
        loop: Literal["own", "kernel"] = "own",
        context: type | None = None,
        input: type | None = None,
        output: type | None = None,
    ) -> None:
        if loop not in ("own", "kernel"):
            raise GraphError(f"loop={loop!r}: it is 'own' or 'kernel'", location=here())
        if on_error not in ("finish", "cancel"):
            raise GraphError(f"on_error={on_error!r}: it is 'finish' or 'cancel'", location=here())
        try:
            self.policy = make_policy(
                retry=retry,
                timeout=timeout,
                recover=recover,
                rate_limit=rate_limit,
                breaker=breaker,
            )
            self.budget = check_budget(budget)
        except (TypeError, ValueError) as error:
            raise GraphError(str(error), location=here()) from None
        self.name, self.state, self.loop = name, state, loop
        self.location = here()
        self.schema = StateSchema(state, migrate, takes=input, gives=output)
        self.nodes: dict[str, NodeFunction[..., Any]] = {}
        self.wires: list[Any] = []
        self.returns = ""  # of a durable function: the field that has what it returned
        self.on_error = on_error
        self.on_stall = on_stall
        self.on_question = on_question
        self.context = context
        self._store = name_store(store)
        self._program: Program | None = None
        defined[name] = self
        self._tokens: list[contextvars.Token[Building | None]] = []

    def __repr__(self) -> str:
        return f"<Graph {self.name!r}: {', '.join(self.nodes) or 'no nodes yet'}>"

    def __enter__(self) -> Graph:
        self._tokens.append(building.set(self))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        building.reset(self._tokens.pop())
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
            on_question=self.on_question,
            loop=self.loop,
            takes=_names(self.schema.faces.takes),
            gives=None if self.schema.faces.gives is None else tuple(self.schema.faces.gives),
            read_context=reader_of_context(self.name, self.context),
            returns=self.returns,
            budget=self.budget,
        )
        validate(program, self.location)
        return program

    def _node(self, found: NodeFunction[..., Any]) -> compiled.Node:
        function, program = found.function, None
        has_cache = found.policy.cache is not None
        if isinstance(function, Graph):
            program = function.compile()
            joints = (program, found.inputs, found.outputs)
            code = fingerprint_of(*joints)
            captured = fingerprint_of(*joints, strict=True) if has_cache else ""
            function = Subgraph(*joints, self.schema.channels, has_cache, found.keep)
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
            policy=with_defaults(found.policy, self.policy, found.refused),
            program=program,
            takes_task=program is None and takes_task(function),
        )

    def _wires(self, kind: type[W]) -> tuple[W, ...]:
        """The wires of one kind, in the order of writing, each once."""
        return tuple(dict.fromkeys(wire for wire in self.wires if isinstance(wire, kind)))

    def add(self, made: NodeFunction[..., Any], location: Location | None) -> None:
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

    def connect(self, sources: Any, target: Any, location: Location | None) -> Chain:
        """Record `sources >> target`; the chain that goes on from there."""
        ends = [self._name(source, location) for source in listed(sources)]
        self._program = None
        if isinstance(target, Branch):
            joined = tuple(ends) if len(ends) > 1 else ()
            for end in ends:
                self.wires.append(self._branch(end, target, joined))
            return Chain(self, [], "a branch ends its line: go on from its targets on a new line")
        if isinstance(target, Each):
            name = self._name(target.target, location)
            joined = tuple(ends) if len(ends) > 1 else ()
            for end in ends:
                label = label_of(target.items)
                items = reader_of(target.items, self.schema, target.location)
                self.wires.append(compiled.Each(end, items, name, label, target.location, joined))
            return Chain(self, [name])
        if isinstance(target, Chain):
            raise GraphError("write one line of `>>` from left to right", location=location)
        names = [self._name(each, location) for each in listed(target)]
        for name in names:
            if name == compiled.START:
                raise GraphError("nothing can lead to START", location=location)
            if len(ends) > 1 and name != compiled.END:
                self.wires.append(compiled.Join(tuple(ends), name, location))
                continue
            for end in ends:
                self.wires.append(compiled.Edge(end, name, location))
        return Chain(self, names)

    def _branch(self, source: str, made: Branch, joined: tuple[str, ...]) -> compiled.Branch:
        targets = {
            key: tuple(self._name(one, made.location) for one in listed(value))
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
        return compiled.Branch(source, choose, targets or None, label, made.location, joined)

    def _name(self, thing: Any, location: Location | None) -> str:
        """The name of what stands beside `>>`; a plain function becomes a node."""
        if isinstance(thing, Terminal):
            return thing.name
        if isinstance(thing, NodeFunction):
            self.add(thing, thing.location or location)
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
                self.add(_plain(thing, location), location)
            return thing.name
        if callable(thing) and not isinstance(thing, type):
            return self._of_function(thing, location)
        raise GraphError(
            f"{thing!r} cannot be wired: `>>` takes nodes, graphs, lists of these, START, END, "
            "branch(…) and each(…)",
            location=location,
        )

    def _of_function(self, function: Any, location: Location | None) -> str:
        """The name of the node that a plain function is; one of its own for each function."""
        name = name_of(function)
        known = self.nodes.get(name)
        if known is None:
            self.add(_plain(function, location), location)
        elif known.function != function:
            raise GraphError(
                f"two functions named {name!r} are wired in graph {self.name!r}: give one another "
                "name with node(function, name=…); a decorator keeps the name of what it wraps "
                "with functools.wraps",
                location=location,
            )
        return name

    # -------------------------------------------------------------------------------- drawing

    def graphviz(self, thread: Thread | str | None = None, *, subgraphs: bool = True) -> Digraph:
        """The graph as a `graphviz.Digraph`, to change, render and embed: `.source`, `.render(…)`.

        thread     one of its threads, or the id of one: where it has been is coloured
        subgraphs  draw what is in them, each as a cluster; else each is one box
        """
        from nbagent.graph.digraph import digraph

        return digraph(self.compile(), self._path(thread), subgraphs=subgraphs)

    def mermaid(self) -> str:
        """The graph in Mermaid's language, which Markdown pages show as a picture."""
        return draw.to_mermaid(self.compile())

    def draw(
        self,
        format: Literal["text", "svg", "png", "pdf", "dot", "mermaid"] = "text",
        thread: Thread | str | None = None,
    ) -> str | bytes:
        """The graph as text, as a picture, or in a language for pictures.

        format  "text" a line an arrow · "svg" · "png" and "pdf", bytes · "dot" · "mermaid"
        thread  one of its threads, or the id of one: where it has been is coloured ("svg" from the
                `dot` command then)

        `NbagentError` where it takes the command `dot` and that is not installed.
        """
        if format == "text":
            return draw.to_text(self.compile())
        if format == "mermaid":
            return self.mermaid()
        if format == "dot":
            return str(self.graphviz(thread).source)
        if format == "svg" and thread is None:
            return draw.to_svg(layout(self.compile()))
        if format not in ("svg", "png", "pdf"):
            raise GraphError(
                f"draw({format!r}): it is 'text', 'svg', 'png', 'pdf', 'dot' or 'mermaid'",
                location=here(),
            )
        from nbagent.graph.digraph import rendered

        picture = rendered(self.graphviz(thread), format)
        return picture.decode() if format == "svg" else picture

    def _path(self, thread: Thread | str | None) -> Path:
        if thread is None:
            return ()
        from nbagent.graph.digraph import path_of

        return path_of(self.thread(thread) if isinstance(thread, str) else thread)

    # -------------------------------------------------------------------------------- running

    @property
    def store(self) -> CheckpointStore:
        """The open store of its threads."""
        return resolve_store(self._store)

    def thread(self, id: str) -> Thread:
        """The durable handle of a thread, whether it exists yet or not."""
        return Thread(id, program=self.compile(), store=self.store)

    def start(
        self,
        input: Mapping[str, Any],
        thread: str | None = None,
        *,
        step_limit: int = 1000,
        fresh: bool = False,
        anew: bool = False,
        context: Any = None,
        metadata: Mapping[str, Any] | None = None,
        max_concurrency: int | None = None,
        pause_before: Any = (),
        pause_after: Any = (),
        budget: Budget | Mapping[str, float] | None = None,
    ) -> Run:
        """Start a thread with `input` and return at once; the run displays as the live widget.

        thread      its id; by default `GRAPH-` and six random characters
        step_limit  super-steps after which `StepLimit` is raised; the thread can be resumed
        fresh       begin with nothing but the input, also where the thread has run before
        anew        take the input also where the thread has failed, is paused or asks: what it
                    asks and what has not finished is left behind
        context     what nodes are given beside the state, as `task.context` (a user's id, a
                    client): it is never stored, and asked for again at resume
        metadata    what is known of the run (who asked, a version): a dict of texts, numbers and
                    the like, a column of `threads()` and of the history, and `task.metadata`
        max_concurrency   how many nodes may be at work at once, those of subgraphs included
        pause_before, pause_after   nodes (or "*", all) at which this run and its resumes pause
                    until they have been passed, in this graph, not in subgraphs
        budget      a `Budget` for this input: when it is spent, a person is asked for more
        """
        return self.thread(thread or new_id(self.name)).start(
            input,
            step_limit=step_limit,
            fresh=fresh,
            anew=anew,
            context=context,
            metadata=metadata,
            max_concurrency=max_concurrency,
            pause_before=pause_before,
            pause_after=pause_after,
            budget=budget,
        )

    def run(
        self,
        input: Mapping[str, Any],
        thread: str | None = None,
        *,
        keep: bool = False,
        **options: Unpack[StartOptions],
    ) -> Outcome:
        """Start a thread and wait; the state when it is done, paused or waiting, as an `Outcome`: a
        dict with .status, .thread and .questions. The options are those of `start`.

        Inside a node, without `thread`, it is a durable call: the thread belongs to the node's
        task, its question is the task's, and after a failure it goes on where it stopped. What
        its nodes are given as context is the caller's.

        keep  in a node: go on from where the last such call in the caller's thread has ended, as
              a new input to a thread that is done does
        """
        if thread is None and calls.is_inside(self.name):
            check_call(self.name, options)
            return calls.call(self.compile(), input, keep)
        check_kept(self.name, keep)
        return _told(self.start(input, thread, **options).result(), thread)

    async def arun(
        self,
        input: Mapping[str, Any],
        thread: str | None = None,
        *,
        keep: bool = False,
        **options: Unpack[StartOptions],
    ) -> Outcome:
        """`run` in a coroutine."""
        if thread is None and calls.is_inside(self.name):
            check_call(self.name, options)
            return await calls.acall(self.compile(), input, keep)
        check_kept(self.name, keep)
        return _told(await self.start(input, thread, **options), thread)

    def stream(
        self,
        input: Mapping[str, Any],
        thread: str | None = None,
        mode: Mode | Sequence[Mode] = "events",
        *,
        subgraphs: bool = False,
        buffer: int = BUFFER,
        **options: Unpack[StartOptions],
    ) -> Stream:
        """Start a thread at the first item, and iterate over what happens in it, with `async for`
        or with a plain `for`; raises what the run fails with. Other options are those of `start`.

        mode       what an item is:
                   events    every `Event`
                   updates   `{node: what it wrote}` as each node finishes
                   values    the whole state after each super-step
                   emitted   `(node, value)` for each value given to `emit`, in subgraphs and
                             called graphs too
                   messages  a `Message` for each piece of text given to `emit`, a string or a
                             model's chunk, in subgraphs and called graphs too
                   of a list of modes an item is `(mode, item)`
        subgraphs  tell where each item comes from, and of all that happens in subgraphs and called
                   graphs: `(path, item)` or `(path, mode, item)`; `path` are the names of the
                   nodes that lead there, `()` for this graph
        buffer     items that wait for the reader; of a slower one the oldest are lost, and a
                   `Missed(count)` stands where they were

        Behind the last item its `.result` is what `run` would return. Leaving early asks the run
        to pause.
        """

        def begin(observer: Observer) -> Run:
            made = self.thread(thread or new_id(self.name))
            return made.start(input, observer=observer, **options)

        return stream(begin, Reading(mode, subgraphs, buffer))

    def clear_cache(self, node: Any = None) -> int:
        """Forget what its cached nodes have returned, or one of them (`cache=`); how many results.

        Those of its subgraphs are forgotten with all of them.
        """
        return clear_cache(self.compile(), self.store, node)

    def map(
        self,
        inputs: Iterable[Mapping[str, Any]],
        name: str | None = None,
        *,
        concurrency: int = 8,
        client: Any = None,
        limit: int | None = None,
        context: Any = None,
    ) -> Runs:
        """Run over many inputs, a thread each, so many at once; returns at once.

        inputs       dicts, from a list, a generator or anything else that gives them one by one
        name         of the batch: its threads are `NAME-0`, `NAME-1` …. By default it is made of
                     the graph's name and all the inputs: other inputs are another batch
        concurrency  how many threads run at once (`limit` is its older name)
        client       for machines of a cluster: comes in a later version
        context      what the nodes of all threads are given, as `start` has it

        Calling `map` again with the same inputs (and name) goes on, also after a restart: what is
        done is not done again. With a name the batch may grow: what was there goes on, what is new
        begins. Each thread keeps the digest of its input; where another one is given at its place
        that input is not run, and its row is "refused" and says why.
        """
        if client is not None:
            raise GraphError(
                "map(client=) comes in a later version: leave it out, and the threads run in this "
                "process"
            )
        at_once = check_at_once(concurrency, limit)
        return Runs(self.compile(), self.thread, inputs, name, at_once, context)


def new_id(name: str) -> str:
    """A thread id that no other thread has."""
    return f"{name}-{uuid.uuid4().hex[:6]}"


def _names(fields: Mapping[str, Any] | None) -> frozenset[str] | None:
    return None if fields is None else frozenset(fields)


def _told(outcome: Outcome, thread: str | None) -> Outcome:
    """The outcome; a question of a thread whose id nobody has said is told in the log, for else
    a script that looks at the state alone would not know of it."""
    if outcome.questions and thread is None:
        name = outcome.thread.program.name
        log.warning("graph %r: %s", name, outcome.told(f"{name}.thread({outcome.thread.id!r})"))
    return outcome


def _plain(thing: Any, location: Location | None) -> NodeFunction[..., Any]:
    """A function or graph that was wired without `node`."""
    return NodeFunction(thing, location=location)
