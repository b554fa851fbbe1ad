"""Guards that fail themselves, and work that is kept when a node runs again. (R4, R6)"""

import operator

import pytest

from nbagent.engine.model.limits import Breaker
from nbagent.engine.model.policy import Retry
from nbagent.engine.node.interrupts import interrupt
from nbagent.errors import NodeError
from tests.engine.build import END, START, Edge, guarded, program, sync, thread


def fails(error):
    """A guard's question that cannot be asked."""
    raise RuntimeError("no answer")


@pytest.mark.parametrize(
    "policies",
    [
        {"breaker": lambda: Breaker(1, on=fails)},
        {"retry": lambda: Retry(3, on=fails)},
    ],
    ids=str,
)
def test_a_guard_that_fails_leaves_the_nodes_own_error(policies):
    """A note on it says what the guard did."""

    def broken(state):
        raise ValueError("the node's own")

    ((name, make),) = policies.items()
    made = program(
        guarded(sync("a", broken), **{name: make()}), wires=[Edge(START, "a"), Edge("a", END)]
    )
    with pytest.raises(NodeError, match="the node's own") as told:
        thread(made).start({}).result(5)
    assert "no answer" in " ".join(told.value.__cause__.__notes__)


def test_a_node_that_runs_again_asks_again_and_its_sibling_keeps_its_answer():
    """`rerun=` takes the journal of the node that it names, and no other's."""
    asked = []

    def asks(name):
        def run(state):
            first = interrupt(f"{name} first?")
            asked.append((name, first))
            return {"log": [(name, first, interrupt(f"{name} second?"))]}

        return sync(name, run)

    made = program(
        asks("a"),
        asks("b"),
        reduced={"log": operator.add},
        wires=[Edge(START, name) for name in "ab"] + [Edge(name, END) for name in "ab"],
    )
    one = thread(made)
    one.start({"log": []}).result(5)
    one.resume(answers={q.id: q.node.upper() for q in one.questions}).result(5)
    second = next(q for q in one.questions if q.node == "a")
    one.resume(answers={second.id: 1}).result(5)
    one.resume(rerun=["a"]).result(5)

    assert {"a first?", "b second?"} == {q.question for q in one.questions}
    one.resume(answers={q.id: q.question for q in one.questions}).result(5)
    one.resume(answers={q.id: 2 for q in one.questions}).result(5)
    assert [("a", "a first?", 2), ("b", "B", "b second?")] == sorted(one.state["log"])
