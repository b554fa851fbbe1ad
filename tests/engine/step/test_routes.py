"""Where a super-step leads, and what is said where it leads nowhere. (R10, R11)"""

import pytest

from nbagent.engine.model.program import Command, Send
from nbagent.errors import GraphError, NodeError, StateError
from tests.engine.build import END, START, Branch, Each, Edge, Join, program, sync, thread


def led(choose, targets=("b", "c", END)):
    """What runs behind node a, whose branch asks `choose`."""
    calls = []
    made = program(
        sync("a", lambda state: {"x": 1}),
        sync("b", lambda given: calls.append(("b", given["x"])) or {}),
        sync("c", lambda given: calls.append(("c", given["x"])) or {}),
        wires=[
            Edge(START, "a"),
            Branch("a", choose, {key: (key,) for key in targets} if targets else None, "way"),
            Edge("b", END),
            Edge("c", END),
        ],
    )
    thread(made).start({"x": 0}).result(5)
    return sorted(calls)


@pytest.mark.parametrize("targets", [("b", "c", END), None])
@pytest.mark.parametrize(
    ("chosen", "ran"),
    [
        ("b", [("b", 1)]),
        (["b", "c"], [("b", 1), ("c", 1)]),
        (("c", "c"), [("c", 1)]),
        (END, []),
        (Send("b", {"x": 7}), [("b", 7)]),
        ([Send("b", {"x": 7}), "c", Send("b", {"x": 8})], [("b", 7), ("b", 8), ("c", 1)]),
    ],
    ids=str,
)
def test_a_branch_leads_to_what_it_chose(chosen, ran, targets):
    """One, several, the end, and what it sends; with its targets named and without."""
    assert ran == led(lambda state: chosen, targets)


@pytest.mark.parametrize(
    ("choose", "said"),
    [
        (lambda state: "d", "'d'"),
        (lambda state: 1 / 0, "failed: ZeroDivisionError"),
        (lambda state: Send("nowhere", {}), "'nowhere', which it does not have"),
    ],
)
def test_a_branch_that_leads_nowhere_is_an_error_of_its_node(choose, said):
    with pytest.raises(NodeError, match=said) as told:
        led(choose)
    assert "a" == told.value.node


@pytest.mark.parametrize("items", ["text", b"bytes", 7, None])
def test_each_needs_items(items):
    """A text is a sequence, and never what was meant."""
    made = program(
        sync("a", lambda state: {}),
        sync("b", lambda item: {}),
        wires=[Edge(START, "a"), Each("a", lambda state: items, "b", "items"), Edge("b", END)],
    )
    with pytest.raises(NodeError, match="needs a list of items"):
        thread(made).start({}).result(5)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (7, "returned an int: return a dict"),
        (["x"], "returned a list: return a dict"),
        (Command(goto="nowhere"), "'nowhere', which it does not have"),
        (Command(goto=["b", object()]), "which it does not have"),
        (Command(update=3), "returned an int"),
    ],
    ids=str,
)
def test_what_a_node_returns_is_a_write_or_a_command(returned, said):
    made = program(
        sync("a", lambda state: returned),
        sync("b", lambda state: {}),
        wires=[Edge(START, "a"), Edge("a", END), Edge("b", END)],
    )
    with pytest.raises((NodeError, StateError), match=said):
        thread(made).start({}).result(5)


def test_a_command_that_goes_nowhere_only_writes():
    made = program(
        sync("a", lambda state: Command(update={"x": 2})),
        wires=[Edge(START, "a"), Edge("a", END)],
    )

    assert {"x": 2} == thread(made).start({}).result(5)


def test_deferred_nodes_that_are_alone_run_together():
    """When nothing else is left, all of them."""
    calls = []
    made = program(
        sync("a", lambda s: calls.append("a")),
        sync("late", lambda s: calls.append("late"), defer=True),
        sync("later", lambda s: calls.append("later"), defer=True),
        wires=[
            *(Edge(START, name) for name in ("a", "late", "later")),
            *(Edge(name, END) for name in ("a", "late", "later")),
        ],
    )
    one = thread(made)
    one.start({}).result(5)

    assert ("a", {"late", "later"}) == (calls[0], set(calls[1:]))
    assert 2 == one.latest().checkpoint.step


def test_two_joins_that_cannot_fill_and_one_that_is_not_waited_for():
    """The error is about one that waits; a path that came to the end is enough."""

    def made(*wires):
        nodes = [sync(name, lambda s: {}) for name in ("a", "b", "c", "j", "k")]
        return thread(program(*nodes, wires=wires))

    with pytest.raises(GraphError, match=r"still waits for 'b'"):
        made(
            Edge(START, "a"), Join(("a", "b"), "j"), Join(("a", "c"), "k"), Edge("j", END),
            Edge("k", END), Edge("c", "b"),
        ).start({}).result(5)  # fmt: skip
    ended = made(Edge(START, "a"), Edge("a", END), Join(("a", "b"), "j"), Edge("j", END))
    ended.start({}).result(5)
    assert "done" == ended.status
