"""
What a thread has spent before this run, and what people have added to its budgets. (W25)

Rule: it is all in its spans: what was spent, by those of the thread and of what is nested in it;
      what was added, by a mark for each answer, whose id is the question's, so that it counts once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nbagent.engine.model.budget import KINDS, Amounts, Budget, added_by, spent_by
from nbagent.engine.model.checkpoint import Checkpoint, JournalEntry, ThreadInfo
from nbagent.engine.model.digest import digest
from nbagent.engine.model.ids import BUDGET_CHANNEL, node_of
from nbagent.engine.model.program import Program
from nbagent.engine.model.span import Span
from nbagent.engine.model.values import freeze
from nbagent.engine.node.budget import BUDGET, Meter, Meters, is_budgets
from nbagent.engine.store.protocol import CheckpointStore


def budget_content(checkpoint: Checkpoint, budget: Budget) -> Any:
    """What the control of a checkpoint has of a run's budget, for its resumes."""
    prices = tuple((name, *price) for name, price in (budget.prices or {}).items())
    limits = tuple(budget.limits().items())
    return freeze({"limits": limits, "prices": prices, "since": checkpoint.id})


def runs_budget(checkpoint: Checkpoint) -> tuple[Budget, int] | None:
    """The budget that the run was started with, and since when it counts."""
    kept = checkpoint.control.get(BUDGET_CHANNEL)
    if kept is None:
        return None
    prices = {name: (first, then) for name, first, then in kept["prices"]}
    return Budget(**dict(kept["limits"]), prices=prices or None), int(kept["since"])


def meters_of(
    program: Program, store: CheckpointStore, thread: str, checkpoint: Checkpoint
) -> dict[str, list[Meter]]:
    """The meters of a thread's own budgets, by node, with what was spent before this run."""
    own: dict[str, list[tuple[Budget, int]]] = {}
    given = runs_budget(checkpoint)
    if program.budget is not None:
        own.setdefault("", []).append((program.budget, 0))
    if given is not None:
        own.setdefault("", []).append(given)
    for name, node in program.nodes.items():
        if node.policy.budget is not None:
            own.setdefault(name, []).append((node.policy.budget, 0))
    spans = [(span, "") for span in store.spans(thread)]
    places: dict[str, ThreadInfo] = {info.id: info for info in store.under(thread)}
    for info in places.values():
        top = info
        while top.parent in places:
            top = places[top.parent]
        spans += [(span, top.place) for span in store.spans(info.id) if span.kind == "span"]
    began = {0: 0.0}
    if given is not None:
        began |= {info.id: info.at for info in store.history(thread) if info.id == given[1]}
    seconds: dict[str, float] = {}
    for record in store.outcomes(thread):
        seconds[record.node] = seconds.get(record.node, 0.0) + record.ended - record.started
    made: dict[str, list[Meter]] = {}
    for name, budgets in own.items():
        for budget, since in budgets:
            spent = _spent(budget, name, spans, began.get(since, 0.0))
            if name:
                spent["seconds"] = seconds.get(name, 0.0)
            added, refused = _added(name, since, spans)
            meter = Meter(budget, thread, name, spent, added, since)
            meter.refused = refused
            made.setdefault(name, []).append(meter)
    return made


def run_meters(run: Any, parent: Any) -> Meters | None:
    """What counts what a run spends; None where nothing is bounded."""
    thread, checkpoint = run.thread, run.checkpoint
    outer = None if parent is None or parent.meters is None else parent.meters
    own: dict[str, list[Meter]] = {}
    if thread.program.has_budget or BUDGET_CHANNEL in checkpoint.control:
        own = meters_of(thread.program, thread.store, thread.id, checkpoint)
    if not own and outer is None:
        return None
    node = node_of(thread.within[1]) if thread.within else ""
    return Meters(own, None if outer is None else (outer, node), run._tell_spent)


def _spent(budget: Budget, node: str, spans: Iterable[tuple[Span, str]], began: float) -> Amounts:
    """What was spent since a moment, by all nodes or by one."""
    total = dict.fromkeys(KINDS, 0.0)
    for span, place in spans:
        if span.started < began:
            continue
        if span.kind == "run" and not node and not place:
            total["seconds"] += span.ended - span.started
        if span.kind == "span" and (not node or node == (node_of(place) if place else span.node)):
            for name, amount in spent_by(span.attributes, budget.prices or {}).items():
                total[name] += amount
    return total


def _added(node: str, since: int, spans: Iterable[tuple[Span, str]]) -> tuple[Amounts, bool]:
    """What people have added, and whether one has refused."""
    total: Amounts = {}
    refused = False
    marks = {span.id: span for span, place in spans if span.kind == BUDGET and not place}
    for span in marks.values():
        if span.name == node and span.attributes.get("since") == since:
            refused = refused or bool(span.attributes.get("refused"))
            for name in KINDS:
                total[name] = total.get(name, 0.0) + span.attributes.get(name, 0.0)
    return total, refused


def forget_refusals(store: CheckpointStore, thread: str, now: float) -> None:
    """The thread has been finished because of them; a later input asks again."""
    marks = {span.id: span for span in store.spans(thread) if span.kind == BUDGET}
    refused = [span for span in marks.values() if span.attributes.get("refused")]
    for span in refused:
        span.attributes = {**span.attributes, "refused": False}
        span.ended = now
    if refused:
        store.put_spans(refused)


def grant(store: CheckpointStore, thread: str, entries: Iterable[JournalEntry], now: float) -> None:
    """Keep what answers add to budgets, or refuse, with the thread whose they are."""
    marks = []
    for entry in entries:
        if is_budgets(entry) and entry.status == "done":
            whose = entry.payload["budget"]
            added = added_by(entry.result, whose["more"])
            said = {"since": whose["since"], "refused": entry.result is False, **added}
            marks.append(
                Span(
                    whose["owner"], BUDGET, whose["node"], started=now, ended=now, attributes=said,
                    id=digest((thread, entry.call_id))[:16],
                )
            )  # fmt: skip
    if marks:
        store.put_spans(marks)
