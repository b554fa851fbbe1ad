"""
An agent of 30 nodes that does all that can go wrong: effects, siblings, retries, questions, a
subgraph for each item, a cycle. What it ends with does not depend on who killed it where.
"""

import operator
from typing import Annotated, TypedDict

from nbagent import END, START, Graph, Retry, aeffect, branch, cached, each, effect, interrupt, node
from nbagent.engine.effects import idempotency_key
from nbagent.testing.chaos import Scenario, World

QUICK = Retry(attempts=5, wait=0.001, jitter=False)


class Item(TypedDict):
    name: str
    notes: Annotated[list[str], operator.add]


class State(TypedDict):
    topic: str
    names: list[str]
    notes: Annotated[list[str], operator.add]
    rounds: Annotated[int, operator.add]
    verdict: str


def build(world: World) -> Scenario:
    """The graph, what to start it with, and a person who knows what happened."""

    def fail_once(what: str) -> None:
        if world.note(f"try {what}") == 1:
            raise ConnectionError("dropped")

    def looking_at(what: str):
        """A node that makes a call which sometimes drops."""

        async def look(state):
            fail_once(f"{what} {state['rounds']}")
            return {"notes": [what]}

        return node(look, name=what, retry=QUICK)

    def plain(what: str):
        return node(lambda state: {"notes": [what]}, name=what)

    def items(state):
        return [{"name": f"{name}{state['rounds']}"} for name in state["names"]]

    with Graph("item", Item) as item:

        @node
        def open_item(state):
            return {"notes": [f"open {state['name']}"]}

        @node
        def pay_item(state):
            key = f"pay {state['name']}"
            effect(key, world.happen, key, probe=lambda: world.has_happened(key) or None)
            return {"notes": [key]}

        START >> open_item >> pay_item >> END

    with Graph("agent", State) as agent:
        first = [looking_at(f"look{n}") for n in range(6)]
        second = [plain(f"read{n}") for n in range(6)]

        @node
        def begin(state):
            world.passing("inside.begin")
            return {"rounds": 1, "names": ["a", "b", "c"]}

        @node
        def mail(state):
            """Nobody can ask whether a mail went out but a person."""
            key = f"mail {state['rounds']}"
            world.passing("effect.before")
            effect(key, world.happen, key)
            world.passing("effect.after")
            return {"notes": [key]}

        @node
        async def book(state):
            """A provider that accepts idempotency keys."""
            await aeffect(
                f"book {state['rounds']}",
                lambda: world.happen_once(f"book {idempotency_key()}"),
                idempotent=True,
            )
            return {"notes": ["booked"]}

        @node(retry=QUICK)
        async def write_file(state):
            """An effect behind a call that drops, and one in front of it."""
            before, behind = f"before {state['rounds']}", f"behind {state['rounds']}"
            await aeffect(before, world.happen, before, probe=lambda: world.has_happened(before))
            fail_once(before)
            await aeffect(behind, world.happen, behind, probe=lambda: world.has_happened(behind))
            return {"notes": ["written"]}

        @node
        def judge(state):
            draft = cached("draft", lambda: world.note("draft") and "a draft")
            first = interrupt("Is it good?")
            key = f"publish {state['rounds']}"
            effect(key, world.happen, key, probe=lambda: world.has_happened(key))
            second = interrupt("And the rest?")
            world.passing("inside.judge")
            return {"notes": [draft, first, second], "verdict": "more" * (state["rounds"] < 2)}

        tail = [plain(f"tail{n}") for n in range(8)]
        gather, join, last = plain("gather"), plain("join"), plain("last")
        START >> begin >> first >> gather
        gather >> each(
            lambda state: [{"name": f"{n}{state['rounds']}"} for n in state["names"]], item
        )
        item >> join >> [mail, book, write_file, *second] >> judge
        judge >> branch(lambda state: state["verdict"] or "end", more=begin, end=tail[0])
        for one, two in zip(tail, [*tail[1:], last], strict=True):
            one >> two
        last >> END

    def answer(question):
        text = str(question.question)
        if text.startswith("Did "):
            key = text.split("'")[1]
            return "it happened" if world.has_happened(key) else "it did not happen"
        return f"yes to {text}"

    assert len(agent.nodes) + len(item.nodes) >= 30
    return Scenario(agent, {"topic": "bees"}, answer)


def careless(world: World) -> Scenario:
    """An agent that mails without `effect`: the harness must find that out."""

    class Letter(TypedDict):
        sent: int

    with Graph("careless", Letter) as letter:

        @node
        def mail(state):
            world.happen("mail")
            world.passing("mailed")
            return {"sent": 1}

        START >> mail >> END
    return Scenario(letter, {})
