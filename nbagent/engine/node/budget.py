"""
The meters of a run: what its spans have spent, and whether there is any left. (W25)

Rule 1: it is looked at before a node begins, and before a span does: what has been paid for comes
        to its end and is kept, and nothing more is begun.
Rule 2: one task asks; the others that come to it meanwhile wait for that answer.
Rule 3: who has a graph with a budget of its own inside one with another has both.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from nbagent.engine.model.budget import ANSWER, Amounts, Budget, question, spent_by
from nbagent.engine.model.checkpoint import JournalEntry
from nbagent.engine.model.span import Span
from nbagent.engine.model.work import KIND
from nbagent.engine.node.interrupts import ask
from nbagent.engine.node.subgraph import Suspended

BUDGET = "budget"
_FIRST = -10  # the journal position of a task's first such question; the next ones are below


class Meter:
    """What is spent of one budget: a thread's, or of one node in it.

    owner     the thread whose budget it is
    node      the node whose it is; "" for all of them
    since     the checkpoint that it counts from; 0 for all that the thread has ever spent
    refused   a person has said that there is to be no more
    """

    def __init__(
        self,
        budget: Budget,
        owner: str,
        node: str,
        spent: Amounts,
        added: Amounts,
        since: int = 0,
    ) -> None:
        self.since = since
        self.owner = owner
        self.node = node
        self.more = budget.limits()
        self.prices = budget.prices or {}
        self.allowed = {name: most + added.get(name, 0.0) for name, most in self.more.items()}
        self.spent = spent
        self.refused = False
        self.asked = False
        self._began = time.monotonic() if not node else None
        self._lock = threading.Lock()

    def add(self, amounts: Mapping[str, float]) -> None:
        with self._lock:
            for name, amount in amounts.items():
                self.spent[name] = self.spent.get(name, 0.0) + amount

    def now(self) -> Amounts:
        """What is spent by now."""
        running = 0.0 if self._began is None else time.monotonic() - self._began
        return {**self.spent, "seconds": self.spent.get("seconds", 0.0) + running}

    def is_spent(self) -> bool:
        spent = self.now()
        return any(spent.get(name, 0.0) >= most for name, most in self.allowed.items())

    def figures(self) -> dict[str, tuple[float, float]]:
        """What is bounded: name -> (spent, allowed)."""
        spent = self.now()
        return {name: (spent.get(name, 0.0), most) for name, most in self.allowed.items()}


class Meters:
    """All meters that count what a run does.

    own     of its own thread: by node, "" for all nodes
    outer   those of the run that it is part of, and the node there that it belongs to
    tell    told the figures of a meter when something was counted
    """

    def __init__(
        self,
        own: Mapping[str, Sequence[Meter]],
        outer: tuple[Meters, str] | None,
        tell: Callable[[str, Mapping[str, tuple[float, float]]], None],
    ) -> None:
        self._own = own
        self._outer = outer
        self._tell = tell

    def of(self, node: str) -> Iterable[Meter]:
        """The meters that count what the node does, the innermost first."""
        yield from self._own.get(node, ())
        yield from self._own.get("", ())
        if self._outer is not None:
            yield from self._outer[0].of(self._outer[1])

    def count(self, span: Span) -> None:
        """A span has ended."""
        if span.kind != "span":
            return
        for meter in self.of(span.node):
            amounts = spent_by(span.attributes, meter.prices)
            if amounts["cost"] and "cost" not in span.attributes:
                span.set(cost=amounts["cost"])  # priced by the table that the user has given
            meter.add(amounts)
        self._told(span.node)

    def took(self, node: str, seconds: float) -> None:
        """A task of the node has ended."""
        for meter in self._own.get(node, ()):
            meter.add({"seconds": seconds})

    def _told(self, node: str) -> None:
        for name in (node, ""):
            for meter in self._own.get(name, ()):
                self._tell(name, meter.figures())
        if self._outer is not None:
            self._outer[0]._told(self._outer[1])

    def is_refused(self, thread: str) -> bool:
        """True when a person wants the thread to end here."""
        own = (meter for meters in self._own.values() for meter in meters)
        return any(meter.refused and meter.owner == thread for meter in own)

    def check(self, inside: Any) -> None:
        """Before a node or a span begins: nothing where there is something left; else the task
        ends, with the question for more or because a person has refused."""
        for meter in self.of(inside.place.node):
            if meter.refused:
                raise Suspended(())
            if not meter.is_spent():
                continue
            if meter.asked:
                raise Suspended(())
            meter.asked = True
            position = min([_FIRST + 1, *(e.position for e in inside.journal.values())]) - 1
            whose = {
                "owner": meter.owner,
                "node": meter.node,
                "since": meter.since,
                "more": dict(meter.more),
            }
            text = question(meter.now(), meter.allowed, meter.more, meter.node)
            ask(inside, position, BUDGET, text, schema=ANSWER, more={"budget": whose})


def is_budgets(entry: JournalEntry) -> bool:
    """True for the question for more of a budget."""
    return entry.kind == KIND and entry.key == BUDGET and "budget" in entry.payload
