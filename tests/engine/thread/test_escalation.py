"""
Another graph takes over a thread that is stuck, then the thread goes on. (R33)
"""

from typing import Literal, TypedDict

import pytest

import nbagent
from nbagent import END, START, Graph, NodeError, interrupt, node
from nbagent.errors import StateError, ThreadError, UnknownQuestion
from nbagent.stores.sqlite import SqliteStore


class Case(TypedDict):
    claim: str
    verdict: Literal["pay", "refuse"]
    reason: str


class Inquiry(TypedDict):
    claim: str
    verdict: str
    found: str


@pytest.fixture
def store(tmp_path):
    made = SqliteStore(tmp_path / "a.db")
    yield made
    made.close()


def claims(store, calls):
    with Graph("claims", Case, store=store) as made:

        @node
        def read(state):
            calls.append("read")

        @node
        def judge(state):
            said = interrupt("Pay?", show=["claim"], schema=Literal["pay", "refuse"])
            calls.append("judge")
            return {"verdict": said}

        START >> read >> judge >> END
    return made


def inquiry(*, ask=False, verdict="pay"):
    with Graph("inquiry", Inquiry) as made:

        @node
        def look(state):
            if ask:
                return {"found": interrupt("What did you see?"), "verdict": verdict}
            return {"found": f"about {state['claim']}", "verdict": verdict}

        START >> look >> END
    return made


def test_another_graph_answers_the_question(store):
    """The other graph's result is the answer; what ran before does not run again."""
    calls = []
    one = claims(store, calls).thread("c-1")
    one.start({"claim": "roof"}).result()

    state = one.escalate(inquiry(), answer="verdict").result(10)

    assert "pay" == state["verdict"]
    assert "done" == one.status
    assert ["read", "judge"] == calls
    linked = store.thread("c-1/2:judge:0>inquiry")
    assert ("c-1", "inquiry", "done") == (linked.parent, linked.graph, linked.status)


async def test_it_can_be_awaited(store):
    """`await thread.escalate(…)` in a notebook's cell."""
    one = claims(store, []).thread("c-1")
    await one.start({"claim": "roof"})

    state = await one.escalate(inquiry(), answer=lambda last: last["verdict"])

    assert "pay" == state["verdict"]


def test_it_goes_on_after_a_restart(store):
    """The linked thread waits itself; answered elsewhere, a second call hands over."""
    one = claims(store, []).thread("c-1")
    one.start({"claim": "roof"}).result()
    asking = inquiry(ask=True)

    first = one.escalate(asking, answer="verdict")
    assert "roof" == first.result(10)["claim"]
    assert ("waiting", "waiting") == (one.status, first.linked.status)
    first.linked.resume("a leak").result(10)
    assert "waiting" == one.status

    again = claims(store, []).thread("c-1").escalate(inquiry(ask=True), answer="verdict")
    assert "pay" == again.result(10)["verdict"]
    assert again.run is None


def test_an_answer_that_does_not_fit_changes_nothing(store):
    """What the other graph found is checked like a person's answer. (R34)"""
    one = claims(store, []).thread("c-1")
    one.start({"claim": "roof"}).result()

    with pytest.raises(StateError, match="does not fit the question"):
        one.escalate(inquiry(verdict="perhaps"), answer="verdict").result(10)

    assert "waiting" == one.status
    assert "refuse" == one.resume("refuse").result(10)["verdict"]


def test_a_failed_thread_gets_the_shared_fields_as_an_edit(store):
    """Without a question the result is an edit, attributed to the linked thread. (W12)"""
    with Graph("claims", Case, store=store) as made:

        @node
        def decide(state):
            if "verdict" not in state:
                raise ValueError("nobody knows")
            return {"reason": f"it was {state['verdict']}"}

        START >> decide >> END
    one = made.thread("c-1")
    with pytest.raises(NodeError):
        one.start({"claim": "roof"}).result()

    assert "it was pay" == one.escalate(inquiry()).result(10)["reason"]
    edit = one.history().query("kind == 'edit'").iloc[0]
    assert "c-1/1>inquiry" == edit["actor"]
    assert "claim, verdict" == edit["updated"]


def test_a_thread_that_fails_again_is_helped_again(store):
    """The other graph runs anew, on what it found before; each run is kept, and pruned with it."""

    class Count(TypedDict):
        x: int

    with Graph("picky", Count, store=store) as picky:

        @node
        def want(state):
            if state["x"] < 2:
                raise ValueError(f"{state['x']} is too little")

        START >> want >> END
    with Graph("more", Count) as more:
        START >> node(lambda state: {"x": state["x"] + 1}, name="add") >> END
    one = picky.thread("t")
    with pytest.raises(NodeError, match="0 is too little"):
        picky.run({"x": 0}, thread="t")
    with pytest.raises(NodeError, match="1 is too little"):
        one.escalate(more).result(10)

    assert {"x": 2} == one.escalate(more).result(10)
    assert ["t", "t/1.2>more", "t/1>more"] == sorted(info.id for info in store.threads())
    nbagent.prune(store, keep=1)
    assert ["t"] == [info.id for info in store.threads()]


def test_what_cannot_be_escalated_is_said(store):
    """A thread that is done; a question that is not open."""
    made = claims(store, [])
    one = made.thread("c-1")
    one.start({"claim": "roof"}).result()
    with pytest.raises(UnknownQuestion, match="not an open question"):
        one.escalate(inquiry(), question="9:x:0")
    one.resume("pay").result()
    with pytest.raises(ThreadError, match="is done"):
        one.escalate(inquiry())
