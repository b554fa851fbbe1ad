"""
The compiled graph: the only thing that the engine knows of what a user built. (R44, R46)

Rule 1: a Program is immutable and complete; compiling again gives an equal one.
Rule 2: a node is eligible when a channel that it subscribes to was updated (R12): control
        channels carry the edges, state fields carry `on=` subscriptions.
Rule 3: the order of `nodes` is the order of definition; all that needs an order uses it (R17).
"""

from __future__ import annotations

import enum
import keyword
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol

from nbagent.engine.model.budget import Budget
from nbagent.engine.model.channels import Channel
from nbagent.engine.model.ids import join_channel, same_join
from nbagent.engine.model.limits import is_seconds
from nbagent.engine.model.policy import NO_POLICY, Policy
from nbagent.engine.model.values import MISSING
from nbagent.errors import Location, StateError

START = "__start__"
END = "__end__"
PARENT = "__parent__"


@dataclass(frozen=True, slots=True)
class Send:
    """Run `node` once with `input` in place of the state; many Sends run in parallel.

    timeout  seconds that an attempt at it may take, in place of the node's own
    """

    node: Any
    input: Any
    timeout: float | None = None

    def __post_init__(self) -> None:
        seconds = self.timeout
        if seconds is not None and not (is_seconds(seconds) and seconds > 0):
            raise StateError(f"Send(timeout={seconds!r}): give seconds, more than 0")


@dataclass(frozen=True, slots=True)
class Command:
    """A node's return value that both writes `update` and chooses what runs next.

    goto   a node, `END`, a `Send`, or a list of these; it adds to the node's own edges
    graph  `PARENT`, in a subgraph: the subgraph ends here, and the parent goes on at `goto` with
           `update`, which is all that it gets of the subgraph
    """

    update: Mapping[str, Any] | None = None
    goto: Any = ()
    graph: str | None = None
    PARENT: ClassVar[str] = PARENT

    def __post_init__(self) -> None:
        if self.graph is not None and self.graph != PARENT:
            raise StateError(f"Command(graph={self.graph!r}): it is PARENT, or left out")


@dataclass(frozen=True, slots=True)
class Node:
    """One node: `function` takes the state (or a Send's input) and returns its writes.

    is_async    `function` is a coroutine function
    on          state fields whose change makes it run
    pause       a breakpoint "before" or "after" it
    defer       it runs only when nothing else is left to run
    fingerprint of its code, compared at resume
    captured    fingerprint of its code with the lists and dicts that it captures, for its cache
    policy      what guards it: see `Policy`
    program     the graph that it runs, where it is a subgraph
    takes_task  `function` takes its `TaskInfo`, too
    """

    name: str
    function: Callable[[Any], Any]
    is_async: bool = False
    on: tuple[str, ...] = ()
    pause: Literal["before", "after"] | None = None
    defer: bool = False
    fingerprint: str = ""
    captured: str = ""
    location: Location | None = None
    policy: Policy = NO_POLICY
    program: Program | None = None
    takes_task: bool = False


@dataclass(frozen=True, slots=True)
class Edge:
    """After `source` has run, `target` runs. `source` may be START, `target` END."""

    source: str
    target: str
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Join:
    """After all of `sources` have run, however many super-steps each takes, `target` runs."""

    sources: tuple[str, ...]
    target: str
    location: Location | None = field(default=None, compare=False)

    @property
    def channel(self) -> str:
        return join_channel(self.sources, self.target)


@dataclass(frozen=True, slots=True)
class Branch:
    """After `source` has run, `choose(state)` says what runs next.

    `choose` returns one of, or a list of: a key of `targets`, a Send, and, where `targets` is
    None, the name of a node. `label` is what a picture shows: the field's or function's name.
    `joined` are the sources that it waits for, where `source` is one of several.
    """

    source: str
    choose: Callable[[Any], Any] = field(hash=False)  # a class's instance may have no hash
    targets: Mapping[str, tuple[str, ...]] | None = field(hash=False)
    label: str
    location: Location | None = None
    joined: tuple[str, ...] = ()

    def key_of(self, chosen: Any) -> str | None:
        """The key of `targets` that a value means; None when it has none."""
        assert self.targets is not None
        return next((key for key in keys_for(chosen) if key in self.targets), None)


@dataclass(frozen=True, slots=True)
class Each:
    """After `source` has run, `target` runs once for each item of `items(state)`, in parallel.

    With no items, what follows `target` runs at once.
    """

    source: str
    items: Callable[[Any], Sequence[Any]] = field(hash=False)
    target: str
    label: str
    location: Location | None = None
    joined: tuple[str, ...] = ()


def keys_for(value: Any) -> tuple[str, ...]:
    """How a branch may spell a value as a key: a text as itself, an Enum's member by its name or
    value, True as `true`, None as `none`, all else as `str` has it. The best first."""
    if isinstance(value, enum.Enum):
        by_value = keys_for(value.value)
        names = [name for name, one in type(value).__members__.items() if one is value]
        # A member that is a text is that text; of another, its name is what one reads.
        first, then = (by_value, names) if isinstance(value, str) else (names, by_value)
        return (*first, *then, str(value))
    if value is None or isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return (str(value).lower(), str(value))
    return (str(value),)


def as_argument(key: str) -> str:
    """How a call of `branch` names a target, in Python: a key may be no name."""
    is_name = key.isidentifier() and not keyword.iskeyword(key)
    return f"`{key}=`" if is_name else f"`**{{{key!r}: …}}`"


class Schema(Protocol):
    """What the engine asks of the state's schema. What a node writes is checked, never converted.

    fingerprint   changes with the state class; kept in each checkpoint
    invariant     where it has one: checks all values together, with `StateError`
    check_more    where it has one: a later input, checked and converted as the first
    """

    @property
    def fingerprint(self) -> str: ...

    def adopt(self, values: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
        """Values of an earlier state class as ones of this class, and what was done, if anything.

        `StateError` with all that does not fit.
        """
        ...

    def check_input(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The values that a thread begins with: its defaults, and the input, converted from its
        JSON form where needed, written over them. `StateError` names what does not fit."""
        ...

    def check_write(self, field: str, value: Any, node: str | None, before: Any = MISSING) -> None:
        """`StateError` when `value` may not be written to `field` by `node` (None: an edit).

        before  what the field holds, checked: its very parts need no other look
        """
        ...

    def check_edit(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """An edit's values, converted from their JSON form where needed; all errors at once."""
        ...

    def check_reduced(self, field: str, value: Any, *, parts_fit: bool = False) -> None:
        """`StateError` when a reducer returned something of the wrong type for `field`.

        parts_fit  all that is in it has been checked: only what is said of the whole may not hold
        """
        ...

    def view(self, values: Mapping[str, Any]) -> Any:
        """The state as a node reads it: isolated from every other reader."""
        ...

    def json_schema(self) -> Mapping[str, Any]:
        """The JSON Schema (2020-12) of the state, an object with a property a field."""
        ...

    def form_schema(self) -> Mapping[str, Any]:
        """The same of the fields that concern a person."""
        ...

    def to_json(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values as JSON types; what JSON cannot say is `{"$opaque": "what it is"}`."""
        ...

    def answer_schema(self, schema: Any) -> Mapping[str, Any] | None:
        """The JSON Schema of an interrupt's `schema=`; `StateError` if it has none."""
        ...

    def call_schema(self, tool: Any) -> tuple[str, Mapping[str, Any] | None]:
        """A tool's name, and the JSON Schema of what it takes, where it says so."""
        ...

    def check_answer(self, schema: Mapping[str, Any] | None, answer: Any) -> Any:
        """The answer as it is kept; `StateError` when it does not fit the question's schema."""
        ...

    def read_answer(self, schema: Any, answer: Any) -> Any:
        """The answer as the node gets it: of the type that `schema=` asked for."""
        ...


@dataclass(frozen=True)
class Program:
    """The compiled graph. See `nbagent.graph.builder.Graph.compile`.

    on_error   what a failed node does to its siblings: they "finish", or it may "cancel" them
    on_stall   called with the event of a node that has been silent for too long
    on_question   called with each question that a thread asks, and the thread: see `thread.asked`
    loop       it runs on the engine's own event loop, or on the notebook kernel's
    takes, gives  the fields that an input may give, and those that come out; None for all
    read_context  where the graph says what its context is: what is given as one, checked and, of a
                  dict, made; of None what it is by default. `StateError`
    budget     what a thread of it may spend before a person is asked
    returns    the field that has what it returns, where it is a function: see `graph.durable`
    """

    name: str
    nodes: Mapping[str, Node]
    fields: Mapping[str, Channel]
    edges: tuple[Edge, ...]
    joins: tuple[Join, ...]
    branches: tuple[Branch, ...]
    eaches: tuple[Each, ...]
    schema: Schema
    on_error: Literal["finish", "cancel"] = "finish"
    on_stall: Callable[[Any], object] | None = None
    on_question: Callable[[Any, Any], object] | None = None
    loop: Literal["own", "kernel"] = "own"
    read_context: Callable[[Any], Any] | None = None
    takes: frozenset[str] | None = None
    gives: tuple[str, ...] | None = None
    returns: str = ""
    budget: Budget | None = None

    @cached_property
    def has_budget(self) -> bool:
        """True where it, or a node of it, may spend so much and no more."""
        nodes = self.nodes.values()
        return self.budget is not None or any(node.policy.budget is not None for node in nodes)

    @cached_property
    def subscribers(self) -> Mapping[str, tuple[str, ...]]:
        """State field -> the nodes that run when it changes."""
        found: dict[str, list[str]] = {}
        for node in self.nodes.values():
            for name in node.on:
                found.setdefault(name, []).append(node.name)
        return {name: tuple(nodes) for name, nodes in found.items()}

    @cached_property
    def edges_from(self) -> Mapping[str, tuple[str, ...]]:
        """Node -> targets of its plain edges, END included."""
        found: dict[str, list[str]] = {}
        for edge in self.edges:
            found.setdefault(edge.source, []).append(edge.target)
        return {name: tuple(targets) for name, targets in found.items()}

    @cached_property
    def joins_from(self) -> Mapping[str, tuple[Join, ...]]:
        return _by(self.joins, lambda join: join.sources)

    @cached_property
    def branches_from(self) -> Mapping[str, tuple[Branch, ...]]:
        return _by(self.branches, lambda branch: (branch.source,))

    @cached_property
    def eaches_from(self) -> Mapping[str, tuple[Each, ...]]:
        return _by(self.eaches, lambda each: (each.source,))

    @cached_property
    def joins_by_channel(self) -> Mapping[str, Join]:
        """With those of routes, whose target is "": they are followed when the last one arrives."""
        found = {join.channel: join for join in self.joins}
        for routes in self.routes_from.values():
            waits = [Join(joined, "") for joined in routes if joined]
            found.update({join.channel: join for join in waits})
        return found

    def join_of(self, channel: str) -> Join | None:
        """The join that a channel belongs to, also as an earlier file calls it."""
        return self.joins_by_channel.get(channel) or self.joins_by_channel.get(same_join(channel))

    @cached_property
    def routes_from(self) -> Mapping[str, Mapping[tuple[str, ...], tuple[Branch | Each, ...]]]:
        """Node -> the sources that it is one of, () for it alone -> the routes behind them."""
        found: dict[str, dict[tuple[str, ...], tuple[Branch | Each, ...]]] = {}
        routes: tuple[Branch | Each, ...] = (*self.branches, *self.eaches)
        for route in routes:
            waits = tuple(sorted(set(route.joined)))
            behind = found.setdefault(route.source, {})
            behind[waits] = (*behind.get(waits, ()), route)
        return found

    @cached_property
    def gathered(self) -> frozenset[str]:
        """The nodes that `each` runs: what follows waits for all their tasks together."""
        return frozenset(each.target for each in self.eaches)

    @cached_property
    def order(self) -> Mapping[str, int]:
        """Node -> its place in the order of definition."""
        return {name: index for index, name in enumerate(self.nodes)}

    @cached_property
    def guarded(self) -> frozenset[str]:
        """The nodes with policies: a call of another is a call of its function and no more."""
        return frozenset(name for name, node in self.nodes.items() if node.policy.guards_the_call)

    @cached_property
    def invariant(self) -> Callable[[Mapping[str, Any]], None] | None:
        """What checks all fields together; None where each is good by itself."""
        found: Callable[[Mapping[str, Any]], None] | None
        found = getattr(self.schema, "invariant", None)
        return found

    def check_together(self, values: Mapping[str, Any]) -> None:
        """`StateError` when values that are good each by itself do not go together."""
        if self.invariant is not None:
            self.invariant(values)

    def given_out(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Of the values, those that come out."""
        if self.gives is None:
            return values
        return {name: values[name] for name in self.gives if name in values}

    @property
    def shown(self) -> frozenset[str] | None:
        """The fields that concern a person; None for all."""
        return None if self.takes is None or self.gives is None else self.takes.union(self.gives)

    def read_more(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """An input to a thread that has a state, checked; `StateError`."""
        check = getattr(self.schema, "check_more", None)
        read: Mapping[str, Any] = values if check is None else check(values)
        return read

    @cached_property
    def transient(self) -> tuple[str, ...]:
        """The fields that are gone after the next super-step."""
        return tuple(name for name, channel in self.fields.items() if channel.transient)

    @cached_property
    def untracked(self) -> frozenset[str]:
        """The fields that a run holds, and no store."""
        return frozenset(name for name, channel in self.fields.items() if not channel.stored)

    @cached_property
    def deferred(self) -> frozenset[str]:
        """The nodes that wait until nothing else is left."""
        return frozenset(node.name for node in self.nodes.values() if node.defer)

    @cached_property
    def uses_up_control(self) -> bool:
        """True when all that is triggered runs in the next super-step: nothing waits for more."""
        return not (self.joins_by_channel or self.deferred or self.subscribers)

    @cached_property
    def breakpoints(self) -> Mapping[str, frozenset[str]]:
        """ "before" and "after", where there are any -> the nodes to pause there."""
        found: dict[str, set[str]] = {}
        for node in self.nodes.values():
            if node.pause is not None:
                found.setdefault(node.pause, set()).add(node.name)
        return {place: frozenset(names) for place, names in found.items()}

    @cached_property
    def has_subgraphs(self) -> bool:
        return any(node.program for node in self.nodes.values())

    @cached_property
    def fingerprints(self) -> Mapping[str, str]:
        return {name: node.fingerprint for name, node in self.nodes.items()}


def _by(items: Sequence[Any], keys: Callable[[Any], Sequence[Hashable]]) -> dict[Any, Any]:
    found: dict[Any, list[Any]] = {}
    for item in items:
        for key in keys(item):
            found.setdefault(key, []).append(item)
    return {key: tuple(values) for key, values in found.items()}
