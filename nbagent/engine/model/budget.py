"""
What a thread may spend before a person is asked for more. (W25)

Rule: a budget never fails a thread and never lets it go on: what is spent is asked about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbagent.engine.model.limits import is_seconds

KINDS = ("cost", "tokens", "seconds", "calls")
_TOKENS = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")
_MODELS = ("gen_ai.response.model", "gen_ai.request.model", "model")
_CALLS = ("llm", "tool")
Amounts = dict[str, float]


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent: counted from the spans, over attempts, subgraphs and restarts.

    cost     the sum of the spans' `cost`, in whatever currency you count
    tokens   of `tokens`, or of `gen_ai.usage.input_tokens` and `gen_ai.usage.output_tokens`
    seconds  that runs of the thread take; of a node, that its tasks take
    calls    spans of kind "llm" or "tool", as in `span("ask", kind="llm")`
    prices   model -> what a million input tokens and a million output tokens cost, for spans that
             name their model and have tokens and no `cost`

    When one of them is spent, the node that would begin, or the span that would, asks a person
    for more. The answers: True (the same again), a `Budget` or a dict of what is added, False
    (the thread is finished, and what is done is kept).
    """

    cost: float | None = None
    tokens: float | None = None
    seconds: float | None = None
    calls: float | None = None
    prices: Mapping[str, tuple[float, float]] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        if not self.limits():
            raise ValueError("Budget(): say what may be spent: cost=, tokens=, seconds= or calls=")
        for name, amount in self.limits().items():
            if not is_seconds(amount) or amount < 0:
                raise ValueError(f"Budget({name}={amount!r}): give a number, 0 or more")
        for model, price in (self.prices or {}).items():
            if not (len(tuple(price)) == 2 and all(map(is_seconds, price))):
                raise ValueError(
                    f"Budget(prices={{{model!r}: {price!r}}}): give two numbers, what a million "
                    "input tokens and a million output tokens cost"
                )

    def limits(self) -> Amounts:
        """What is bounded: name -> amount."""
        return {name: getattr(self, name) for name in KINDS if getattr(self, name) is not None}


def check_budget(given: Any) -> Budget | None:
    """A `Budget`, or what is given as a dict of one; `TypeError`."""
    if given is None or isinstance(given, Budget):
        return given
    if isinstance(given, Mapping):
        return Budget(**given)
    raise TypeError(f"budget={given!r}: give a Budget(cost=…, tokens=…, seconds=…, calls=…)")


def spent_by(facts: Mapping[str, Any], prices: Mapping[str, tuple[float, float]]) -> Amounts:
    """What one span has spent, by its attributes."""
    known = [_number(facts.get(name)) or 0.0 for name in _TOKENS]
    tokens, cost = _number(facts.get("tokens")), _number(facts.get("cost"))
    if cost is None:
        model = next((facts[name] for name in _MODELS if name in facts), None)
        price = prices.get(model, (0.0, 0.0)) if isinstance(model, str) else (0.0, 0.0)
        cost = sum(count * each for count, each in zip(known, price, strict=True)) / 1e6
    return {
        "cost": cost,
        "tokens": sum(known) if tokens is None else tokens,
        "calls": 1.0 if facts.get("kind") in _CALLS else 0.0,
    }


def _number(value: Any) -> float | None:
    return float(value) if is_seconds(value) else None


def question(spent: Mapping[str, float], allowed: Amounts, more: Amounts, node: str) -> str:
    """What a person is asked: what is spent of what, and how much more there would be."""
    over = [name for name in allowed if spent.get(name, 0.0) >= allowed[name]]
    told = [f"{_amount(n, spent.get(n, 0.0))} of {_amount(n, allowed[n])}{_unit(n)}" for n in over]
    calls = f", {spent.get('calls', 0):g} calls" if "calls" not in over else ""
    added = " and ".join(f"{_amount(name, more[name])}{_unit(name)}" for name in over)
    whose = f"node {node!r}: " if node else ""
    return f"{whose}{' and '.join(told)} spent{calls}: allow {added} more?"


def _amount(name: str, amount: float) -> str:
    if name == "cost":
        return f"{amount:.2f}" if amount >= 0.01 or not amount else f"{amount:.2g}"
    return f"{amount:.1f}" if name == "seconds" else f"{amount:,.0f}"


def _unit(name: str) -> str:
    return "" if name == "cost" else f" {name}"


ANSWER: dict[str, Any] = {
    "anyOf": [
        {"type": "boolean"},
        {
            "type": "object",
            "properties": {name: {"type": "number", "minimum": 0} for name in KINDS},
            "additionalProperties": False,
            "minProperties": 1,
        },
    ]
}


def added_by(answer: Any, more: Mapping[str, float]) -> Amounts:
    """What an answer adds: True is the same again."""
    if answer is True:
        return dict(more)
    if isinstance(answer, Mapping):
        return {name: amount for name, amount in answer.items() if name in KINDS}
    return {}


def as_answer(answer: Any) -> Any:
    """An answer as it is kept: a `Budget` is a dict of what it bounds."""
    return answer.limits() if isinstance(answer, Budget) else answer
