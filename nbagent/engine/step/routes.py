"""
Where control goes after a node: along edges, into joins, through branches, to each item.

The functions of branches and fan-outs are the user's, `def` or `async def`; what they raise becomes
a `NodeError` of the source.

Rule 1: a route behind one node is followed once for each of its tasks, and reads what that task
        wrote on top of the state that its super-step began with: its siblings are not there yet.
Rule 2: a route behind a join, or behind a node that `each` runs, is followed once, when all have
        arrived, and reads the merged state.
Rule 3: a route that has to be waited for is called when what its super-step did is stored.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from nbagent.engine.model.callables import is_async
from nbagent.engine.model.channels import Barrier, writes_of
from nbagent.engine.model.checkpoint import TaskRecord
from nbagent.engine.model.ids import (
    END_CHANNEL,
    MEMORY_CHANNEL,
    PARENT_CHANNEL,
    join_channel,
    read_channel,
    send_channel,
    timeout_channel,
    to_channel,
)
from nbagent.engine.model.order import in_order
from nbagent.engine.model.program import (
    END,
    Branch,
    Each,
    Program,
    Send,
    as_argument,
    keys_for,
)
from nbagent.engine.model.untouched import check_untouched
from nbagent.engine.model.values import MISSING, freeze, replaced
from nbagent.engine.model.work import Task
from nbagent.engine.step.calls import finish, is_cancelled
from nbagent.engine.step.updates import read_goto
from nbagent.errors import NbagentError, NodeError, StateError, nearest, said

Values = Mapping[str, Any]
Route = Branch | Each


class MustWait(Exception):
    """A route has to be waited for, and nobody can wait here."""


class Onward:
    """Follows the edges that lead on from what has run, and writes the control channels.

    values   the merged state
    control  the channels, as they were carried over
    waiting  awaited before a route is; None where nobody can wait
    """

    def __init__(
        self,
        program: Program,
        values: Values,
        control: dict[str, Any],
        waiting: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.program = program
        self.values = values
        self.control = control
        self.waiting = waiting
        self._took: dict[tuple[str, str], None] = {}
        self._sent: dict[str, list[Any]] = {}
        self._timed: dict[str, dict[int, float]] = {}
        self._up: list[Any] = []
        self._remembered: list[Any] = []

    @property
    def took(self) -> tuple[tuple[str, str], ...]:
        """The edges that led on, in order."""
        return tuple(self._took)

    async def leave(self, source: str, own: Sequence[Values] | None = None) -> None:
        """Everything that the graph says follows `source`.

        own  what the routes behind it read, one for each of its tasks; by default what is merged
        """
        program = self.program
        for target in program.edges_from.get(source, ()):
            self._trigger(source, target)
        for join in program.joins_from.get(source, ()):
            self._arrive(join.channel, join.sources, source)
            self._took[source, join.target] = None
        if source not in program.routes_from:
            return
        readings = (self.values,) if own is None else own
        for joined, routes in program.routes_from[source].items():
            if not joined:
                for route in routes:
                    for values in readings:
                        await self._follow(source, route, values)
            elif self._has_all(joined, source):
                for route in routes:
                    await self._follow(source, route, self.values)

    def _has_all(self, joined: tuple[str, ...], source: str) -> bool:
        """True when `source` is the last one to arrive where routes wait for all of `joined`."""
        channel = join_channel(joined, "")
        if not self._arrive(channel, joined, source):
            return False
        del self.control[channel]
        return True

    def _arrive(self, channel: str, sources: tuple[str, ...], source: str) -> bool:
        barrier = Barrier(sources)
        arrived = barrier.merge(self.control.get(channel, ()), [source])
        self.control[channel] = arrived
        return barrier.is_full(arrived)

    async def _follow(self, source: str, route: Route, values: Values) -> None:
        """One route, as what it reads says; of a joined one, all its sources lead there."""
        if isinstance(route, Branch):
            goto = self._chosen(route, await self._call(route, route.choose, "branch", values))
        else:
            items = self._items(route, await self._call(route, route.items, "each", values))
            goto = tuple([("send", route.target, item) for item in items])
            if not items:
                await self.leave(route.target)
        for one in route.joined:
            for leads in goto:
                self._took[one, leads[1]] = None
        self.go(source, goto)

    def go(self, source: str, goto: Iterable[Any]) -> None:
        """Follow what a command says, or a route."""
        for one in goto:
            if one[0] == "to":
                self._trigger(source, one[1])
            elif one[0] == "memory":
                self._remembered += one[1]
            elif one[0] == "parent":
                self._up.append(one[1:])
                self._took[source, END] = None
            else:
                self._took[source, one[1]] = None
                inputs = self._sent.setdefault(send_channel(one[1]), [])
                if len(one) > 3:
                    self._timed.setdefault(one[1], {})[len(inputs)] = one[3]
                inputs.append(one[2])

    def finish(self) -> None:
        """Put what was sent into the channels. What is handed over to the parent ends the graph,
        whatever else was to run."""
        if self._up:
            self.control.clear()
            self.control.update({END_CHANNEL: True, PARENT_CHANNEL: tuple(self._up)})
        if self._remembered:
            self.control[MEMORY_CHANNEL] = tuple(self._remembered)
        if self._up:
            return
        for name, timed in self._timed.items():
            first = len(self.control.get(send_channel(name), ()))
            channel = timeout_channel(name)
            own = {str(first + place): seconds for place, seconds in timed.items()}
            self.control[channel] = freeze({**self.control.get(channel, {}), **own})
        if self._sent:
            for channel, inputs in self._sent.items():
                self.control[channel] = (*self.control.get(channel, ()), *inputs)
            self._sent.clear()

    def _trigger(self, source: str, target: str) -> None:
        self.control[END_CHANNEL if target == END else to_channel(target)] = True
        self._took[source, target] = None

    def _chosen(self, branch: Branch, chosen: Any) -> tuple[Any, ...]:
        if type(chosen) is str and branch.targets is not None and chosen in branch.targets:
            return tuple([("to", target) for target in branch.targets[chosen]])
        try:
            if branch.targets is None:
                return read_goto(self.program, branch.source, chosen)
            read: list[Any] = []
            several = isinstance(chosen, (list, tuple, set, frozenset))
            for value in in_order(chosen) if several else (chosen,):
                if isinstance(value, Send):
                    read.extend(read_goto(self.program, branch.source, value))
                    continue
                key = branch.key_of(value)
                if key is None:
                    raise StateError(
                        f"the branch after node {branch.source!r} chose {value!r}, and has only "
                        f"{', '.join(map(repr, branch.targets))}"
                        f"{nearest(keys_for(value)[0], branch.targets)}: "
                        f"add {as_argument(keys_for(value)[0])} to the branch",
                        node=branch.source,
                    )
                read.extend(("to", target) for target in branch.targets[key])
        except StateError as error:
            raise self._error(branch.source, str(error)) from error
        return tuple(read)

    def _items(self, each: Each, items: Any) -> tuple[Any, ...]:
        if isinstance(items, (str, bytes)) or not isinstance(items, Iterable):
            raise self._error(
                each.source,
                f"each({each.label!r}) after node {each.source!r} needs a list of items and "
                f"found a {type(items).__name__}",
            )
        return tuple([freeze(item) for item in in_order(items)])

    async def _call(
        self, route: Route, function: Callable[[Any], Any], word: str, values: Values
    ) -> Any:
        if self.waiting is None and is_async(function):
            raise MustWait
        try:
            read = self.program.schema.view(values)
            chosen = function(read)
            if type(chosen) is str or not inspect.isawaitable(chosen):
                check_untouched(read)
                return chosen
        except BaseException as error:  # its own, sys.exit() included
            raise self._failed(route, word, error) from error
        try:
            if self.waiting is None:
                raise MustWait
            await self.waiting()
        except BaseException:
            if inspect.iscoroutine(chosen):
                chosen.close()  # it has not begun
            raise
        try:
            chosen = await finish(chosen, (route.source, _unheard))
            check_untouched(read)
        except BaseException as error:
            if is_cancelled():
                raise
            raise self._failed(route, word, error) from error
        if is_cancelled():
            raise asyncio.CancelledError
        return chosen

    def _failed(self, route: Route, word: str, error: BaseException) -> NodeError:
        detail = said(error)
        if not isinstance(error, NbagentError):
            detail = f"{type(error).__name__}: {detail}"
        return self._error(
            route.source, f"{word}({route.label}) after node {route.source!r} failed: {detail}"
        )

    def _error(self, source: str, message: str) -> NodeError:
        return NodeError(message, node=source, task=source)


def _unheard(*kind: Any, **facts: Any) -> None:
    """A route tells nothing of itself."""


def at_once(following: Coroutine[Any, Any, None]) -> None:
    """Follow routes where nobody can wait; `MustWait` when one has to be waited for."""
    try:
        following.send(None)
    except StopIteration:
        return
    raise AssertionError("a route was waited for where nobody can wait")


def reading(program: Program, before: Values, task: Task, record: TaskRecord) -> Values:
    """What the routes behind one task read: what it wrote on top of `before`."""
    made = {
        name: freeze(
            program.fields[name].merge(
                before.get(name, MISSING), writes_of(task.node, task.id, value)
            )
        )
        for name, value in record.update.items()
    }
    return replaced(before, made, program.transient)


def followed(
    program: Program, records: Sequence[TaskRecord], control: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    """The edges that have led from finished tasks to what is in `control`, read from the past: no
    function of the user's is called again.

    Where a route could have led to what something else explains, and to what nothing else does,
    it led to the latter.
    """
    there = {name for kind, name in map(read_channel, control) if kind in ("to", "send")}
    if END_CHANNEL in control:
        there.add(END)
    took: dict[tuple[str, str], None] = {}
    might: list[tuple[str, set[str]]] = []
    for source in dict.fromkeys(record.node for record in records):
        took.update(dict.fromkeys((source, one) for one in program.edges_from.get(source, ())))
        for join in program.joins_from.get(source, ()):
            took[source, join.target] = None
        for branch in program.branches_from.get(source, ()):
            listed = (branch.targets or {"": tuple(there)}).values()
            might.append((source, {one for targets in listed for one in targets} & there))
        for each in program.eaches_from.get(source, ()):
            if each.target in there:
                took[source, each.target] = None
    for record in records:
        leads = [one for one in record.goto if one[0] in ("to", "send")]
        took.update(dict.fromkeys((record.node, one[1]) for one in leads))
    explained = {target for _, target in took}
    for source, targets in might:
        took.update(dict.fromkeys((source, one) for one in (targets - explained) or targets))
    return tuple(took)
