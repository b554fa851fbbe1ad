"""
An agent of 35 nodes that does all that can go wrong: effects, siblings, retries, timeouts, caches,
fallbacks, questions, a subgraph for each item, graphs that a node calls at once, a cycle, a state
class that changes from process to process. What it ends with does not depend on who killed it
where.
"""

import asyncio
import operator
import time
from contextlib import closing
from dataclasses import replace
from typing import Annotated, TypedDict

from nbagent import (
    END,
    PERSON,
    START,
    Cache,
    Graph,
    Retry,
    aeffect,
    branch,
    cached,
    each,
    effect,
    interrupt,
    node,
    open_store,
)
from nbagent.engine.node.effects import idempotency_key
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


class Grown(State):
    """What the class is in every other process that goes on with a thread. (R47)"""

    more: str


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

    with Graph("tool", Item) as tool:

        @node
        def use(state):
            key = f"use {state['name']}"
            effect(key, world.happen, key, probe=lambda: world.has_happened(key))
            return {"notes": [key]}

        @node
        def confirm(state):
            said = interrupt(f"Keep {state['name']}?")
            key = f"keep {state['name']}"
            effect(key, world.happen, key, probe=lambda: world.has_happened(key))
            return {"notes": [said, key]}

        START >> use >> confirm >> END

    lives = world.note("life")
    with Graph("agent", Grown if lives % 2 else State) as agent:
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

        @node(timeout=0.1, retry=replace(QUICK, attempts=30))  # also on a machine that is busy
        def slow(state):
            """Its first call goes on when its time is up, and then must pay nothing more."""
            key = f"slow {state['rounds']}"
            if world.note(key) == 1:
                time.sleep(0.15)
            effect(key, world.happen, key)
            return {"notes": [key]}

        @node(cache=Cache(key="rounds"))
        def table(state):
            return {"notes": [f"table {state['rounds']}"]}

        def instead(state):
            key = f"instead {state['rounds']}"
            effect(key, world.happen, key, probe=lambda: world.has_happened(key))
            return {"notes": [key]}

        @node(fallback=instead)
        def breaks(state):
            key = f"breaks {state['rounds']}"
            effect(key, world.happen, key, probe=lambda: world.has_happened(key))
            raise ValueError("always")

        @node(recover={PermissionError: PERSON}, retry=QUICK)
        def locked(state):
            key = f"locked {state['rounds']}"
            if world.note(key) == 1:
                raise PermissionError("locked")
            effect(f"open {key}", world.happen, f"open {key}")
            return {"notes": [key]}

        @node(retry=QUICK)
        async def call(state):
            """Two graphs at once, each with a question; then its own call drops."""
            names = [f"{name}{state['rounds']}" for name in ("left", "right")]
            made = await asyncio.gather(*[tool.arun({"name": name}) for name in names])
            fail_once(f"call {state['rounds']}")
            return {"notes": [note for one in made for note in one["notes"]]}

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
        others = [slow, table, breaks, locked, call]
        item >> join >> [mail, book, write_file, *others, *second] >> judge
        judge >> branch(lambda state: state["verdict"] or "end", more=begin, end=tail[0])
        for one, two in zip(tail, [*tail[1:], last], strict=True):
            one >> two
        last >> END

    def answer(question):
        text = str(question.question)
        if " failed: " in text:
            return "try again"
        if text.startswith("Did "):
            key = text.split("'")[1]
            return "it happened" if world.has_happened(key) else "it did not happen"
        return f"yes to {text}"

    assert len(agent.nodes) + len(item.nodes) >= 35
    return Scenario(agent, {"topic": "bees"}, answer)


def busy(world: World) -> Scenario:
    """The same agent, and what people do beside it: an edit, a fork, an export, a batch. What has
    been acknowledged of that is there ever after; what has not is whole, or not there."""

    def visit(thread):
        for one in (edit, fork, export, batch):
            one(thread)

    def edit(thread):
        world.expect("edit", thread.state["topic"] == "wasps")
        if thread.state["topic"] != "wasps" and thread.status != "done":
            thread.edit({"topic": "wasps"}, note="no bees")
            world.promise("edit")

    def fork(thread):
        id = f"{thread.id} fork"
        found = [info for info in thread.store.threads() if info.id == id]
        world.expect("fork", bool(found))
        if found:
            assert ("paused", "bees") == (found[0].status, thread.sibling(id).state["topic"][:4])
        else:
            thread.fork(step=1, id=id, edits={"topic": "bees again"})
            world.promise("fork")

    def export(thread):
        path = world.folder / f"{thread.id}.db"
        world.expect("export", path.exists())
        if not path.exists():
            thread.export(path)
            world.promise("export")
        with closing(open_store(path)) as copied:
            line = copied.thread(thread.id)
            assert line.checkpoint == copied.history(thread.id)[-1].id > 0
            assert "running" != line.status
        assert [] == list(world.folder.glob(f".{thread.id}.db.*"))

    def batch(thread):
        with Graph("letters", Letter, store=thread.store) as letters:

            @node
            def post(state):
                world.ran()
                key = f"letter {state['number']}"
                effect(key, world.happen, key, probe=lambda: world.has_happened(key))
                return {"sent": 1}

            @node
            def file(state):
                world.ran()
                return {"sent": state["sent"] + 1}

            START >> post >> file >> END
        inputs = [{"number": number, "sent": 0} for number in range(4)]
        before = [info.status for info in thread.store.threads() if " batch" in info.id]
        world.expect("batch", before.count("done") >= 4)
        table = letters.map(inputs, name=f"{thread.id} batch", concurrency=2).result()
        assert (["done"] * 4, [2] * 4) == (list(table["status"]), list(table["sent"])), table
        world.promise("batch")

    return replace(build(world), visit=visit)


class Letter(TypedDict):
    number: int
    sent: int


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
