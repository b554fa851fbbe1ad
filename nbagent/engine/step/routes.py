"""
Where control goes after a node: along edges, into joins, through branches, to each item.

The functions of branches are the user's; what they raise becomes a `NodeError` of the source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nbagent.engine.model.channels import Barrier
from nbagent.engine.model.ids import END_CHANNEL, send_channel, to_channel
from nbagent.engine.model.program import END, Branch, Each, Program, Send
from nbagent.engine.model.values import freeze
from nbagent.engine.step.updates import read_goto
from nbagent.errors import NbagentError, NodeError, StateError, nearest


class Onward:
    """Follows the edges that lead on from what has run, and writes the control channels."""

    def __init__(
        self, program: Program, values: Mapping[str, Any], control: dict[str, Any]
    ) -> None:
        self.program = program
        self.values = values
        self.control = control
        self.took: list[tuple[str, str]] = []

    def leave(self, source: str) -> None:
        """Everything that the graph says follows `source`."""
        for target in self.program.edges_from.get(source, ()):
            self._trigger(source, target)
        for join in self.program.joins_from.get(source, ()):
            arrived = self.control.get(join.channel, ())
            self.control[join.channel] = Barrier(join.sources).merge(arrived, [source])
            self.took.append((source, join.target))
        for branch in self.program.branches_from.get(source, ()):
            self.go(source, self._choose(branch))
        for each in self.program.eaches_from.get(source, ()):
            items = self._items(each)
            self.go(source, tuple(("send", each.target, item) for item in items))
            if not items:
                self.leave(each.target)

    def go(self, source: str, goto: Iterable[Any]) -> None:
        """Follow what a branch or command says."""
        for one in goto:
            target = one[1]
            if one[0] == "to":
                self._trigger(source, target)
                continue
            channel = send_channel(target)
            self.control[channel] = (*self.control.get(channel, ()), one[2])
            if (source, target) not in self.took:
                self.took.append((source, target))

    def _trigger(self, source: str, target: str) -> None:
        self.control[END_CHANNEL if target == END else to_channel(target)] = True
        self.took.append((source, target))

    def _choose(self, branch: Branch) -> tuple[Any, ...]:
        chosen = self._call(branch, branch.choose, "branch")
        if type(chosen) is str and branch.targets is not None and chosen in branch.targets:
            return tuple([("to", target) for target in branch.targets[chosen]])
        try:
            if branch.targets is None:
                return read_goto(self.program, branch.source, chosen)
            read: list[Any] = []
            for key in chosen if isinstance(chosen, (list, tuple, set, frozenset)) else (chosen,):
                if isinstance(key, Send):
                    read.extend(read_goto(self.program, branch.source, key))
                elif str(key) not in branch.targets:
                    raise StateError(
                        f"the branch after node {branch.source!r} chose {key!r}, and has only "
                        f"{', '.join(map(repr, branch.targets))}"
                        f"{nearest(str(key), branch.targets)}: add `{key}=` to the branch",
                        node=branch.source,
                    )
                else:
                    targets = branch.targets[str(key)]
                    read.extend(("to", target) for target in targets)
        except StateError as error:
            raise self._error(branch.source, str(error)) from error
        return tuple(read)

    def _items(self, each: Each) -> tuple[Any, ...]:
        items = self._call(each, each.items, "each")
        if isinstance(items, (str, bytes)) or not isinstance(items, Iterable):
            raise self._error(
                each.source,
                f"each({each.label!r}) after node {each.source!r} needs a list of items and "
                f"found a {type(items).__name__}",
            )
        return tuple(freeze(item) for item in items)

    def _call(self, route: Branch | Each, function: Callable[[Any], Any], word: str) -> Any:
        try:
            return function(self.program.schema.view(self.values))
        except Exception as error:
            if isinstance(error, NbagentError):
                detail = str(error)
            else:
                detail = f"{type(error).__name__}: {error}"
            raise self._error(
                route.source, f"{word}({route.label}) after node {route.source!r} failed: {detail}"
            ) from error

    def _error(self, source: str, message: str) -> NodeError:
        return NodeError(message, node=source, task=source)
