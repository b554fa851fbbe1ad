"""A graph that runs again as a whole, for its code has changed: no effect twice. (R7, W2, W11)"""

import asyncio
import operator
from typing import Annotated, TypedDict

import pytest

from nbagent import END, START, Graph, NodeError, effect, interrupt, node
from nbagent.stores.memory import MemoryStore


class Mailing(TypedDict, total=False):
    names: list
    fee: int
    said: Annotated[list, operator.add]


class World:
    """What has happened, and what the code is by now."""

    def __init__(self):
        self.sent, self.ran, self.version, self.fails = [], [], 1, 0

    def send(self, name):
        self.sent.append(name)
        return f"to {name}"


def mailing(store, world, how):
    """A graph whose first node runs another one that has effects, in one of several ways."""
    version = world.version

    def mail(state):
        world.ran.append("mail")
        made = [effect(f"mail {n}", world.send, n) for n in state["names"]]
        if world.fails:
            world.fails -= 1
            raise RuntimeError("later")
        return {"said": [f"{one} v{version}" for one in made]}

    with Graph("later", Mailing, store=store) as later:
        last = START
        for extra in range(version - 1):
            last = last >> node(lambda s, v=version: {"fee": v}, name=f"extra{extra}")
        last >> node(mail, name="mail") >> END
    with Graph("deep", Mailing, store=store) as deep:
        START >> node(later, name="below") >> END

    def call(state):
        return {"said": later.run({"names": state["names"]})["said"] + [f"called v{version}"]}

    async def call_each(state):
        names = state["names"][:: -1 if version > 1 else 1]
        outcomes = await asyncio.gather(*(later.arun({"names": [name]}) for name in names))
        return {"said": [one["said"][0] for one in outcomes] + [f"v{version}"]}

    first = {"sub": later, "deep": deep, "called": call, "called at once": call_each}[how]
    with Graph("g", Mailing, store=store) as graph:
        ask = node(lambda s: interrupt("ok?") and None, name="ask")
        START >> [node(first, name="first"), ask] >> END
    return graph


@pytest.mark.parametrize("how", ["sub", "deep", "called", "called at once"])
def test_a_graph_that_runs_again_as_a_whole_does_not_repeat_its_effects(how):
    """Its code and its steps are others, and it is run again in full; the mails have gone, and
    only a new one is sent. So it is once more, and where it fails in between. (R7)"""
    store, world = MemoryStore(), World()
    mailing(store, world, how).run({"names": ["Ada", "Bob"]}, "t")
    assert ["Ada", "Bob"] == sorted(world.sent)
    for world.version, world.fails in ((2, 0), (3, 1)):
        one = mailing(store, world, how).thread("t")
        try:
            one.resume(on_change="rerun").result(10)
        except NodeError:
            one = mailing(store, world, how).thread("t")
            one.resume().result(10)
    asked = one.questions[-1].id
    said = one.resume(answers={asked: "yes"}).result(10)["said"]

    assert ["to Ada v3", "to Bob v3"] == sorted(text for text in said if "to" in text)
    assert ["Ada", "Bob"] == sorted(world.sent)


def test_an_effect_whose_outcome_is_unknown_stays_so_when_its_graph_runs_again():
    """A person is asked what came of it, and it is not made again."""
    store, calls = MemoryStore(), []

    def graph(shout):
        def pay(state):
            def send():
                calls.append(1)
                raise TimeoutError("no answer")

            return {"said": [str(effect("pay", send)) + shout]}

        with Graph("inner", Mailing, store=store) as inner:
            START >> node(pay, name="pay") >> END
        with Graph("g", Mailing, store=store) as made:
            START >> node(inner, name="first", recover={TimeoutError: skip}) >> END
        return made

    def skip(error):
        return {"said": [interrupt("skip it?")]}

    graph("").run({}, "t")
    one = graph("!").thread("t")
    one.resume(rerun=["first"]).result(10)

    assert any("Did 'pay' happen?" in str(question.question) for question in one.questions)
    assert [1] == calls


def test_an_effect_in_other_words_of_a_graph_that_runs_again_is_an_error():
    """Of several of one key it cannot be told which one it is. One alone counts."""
    store, world = MemoryStore(), World()

    def graph(words, times):
        def mail(state):
            return {"said": [effect("mail", world.send, word) for word in words] * times}

        with Graph("inner", Mailing, store=store) as inner:
            START >> node(mail, name="mail") >> END
        with Graph("g", Mailing, store=store) as made:
            ask = node(lambda s: interrupt("ok?") and None, name="ask")
            START >> [node(inner, name="first"), ask] >> END
        return made

    graph(["hi"], 1).run({}, "t")
    graph(["hello"], 2).thread("t").resume(on_change="rerun").result(10)
    assert ["hi"] == world.sent
    graph(["hi", "hi"], 1).run({}, "u")
    with pytest.raises(NodeError, match="has made effect 'mail' 2 times before its graph"):
        graph(["hello"], 2).thread("u").resume(on_change="rerun").result(10)

    assert ["hi", "hi", "hi"] == world.sent
