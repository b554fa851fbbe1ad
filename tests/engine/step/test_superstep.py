"""The four phases of a super-step, with no Jupyter, no SQLite and no LLM. (R45)"""

import asyncio
import dataclasses
import itertools
import operator
import threading
from dataclasses import replace

import pytest

from nbagent.engine.model.program import Command, Send
from nbagent.engine.node.effects import effect
from nbagent.engine.watch.events import NodeCancelled, NodeFinished, NodeWroteNothing
from nbagent.errors import ConflictError, GraphError, NodeError, StateError, StepLimit
from tests.engine.build import END, START, Branch, Each, Edge, Join, program, sync, task, thread


def chain(*names):
    """Edges from START through the names to END."""
    stops = [START, *names, END]
    return [Edge(a, b) for a, b in itertools.pairwise(stops)]


def test_a_node_reads_the_state_and_its_writes_are_kept():
    """Input, one node, END: the write is in the state and the thread is done."""
    made = program(sync("a", lambda state: {"x": state["x"] + 1}), wires=chain("a"))
    run = thread(made).start({"x": 1})

    assert {"x": 2} == run.result()
    assert "done" == run.status


def test_siblings_run_at_the_same_time():
    """Two nodes that wait for each other both finish. (R3, R9, R13)"""
    meet = threading.Barrier(2, timeout=10)
    made = program(
        sync("a", lambda state: {"x": meet.wait() and 0}),
        sync("b", lambda state: {"y": meet.wait() and 0}),
        fields=("x", "y"),
        wires=[Edge(START, "a"), Edge(START, "b"), Edge("a", END), Edge("b", END)],
    )

    assert {"x": 0, "y": 0} == thread(made).start({}).result()


def test_a_sibling_does_not_see_anothers_write():
    """Both read the state as it was when the super-step began, also when one has ended; what it
    wrote is merged when the other has, too. (R14, R15, R16)"""
    finished, between = threading.Event(), []

    def late(state):
        assert finished.wait(5)
        between.append(one.state)
        return {"log": [("b", state["x"])]}

    made = program(
        sync("a", lambda state: {"log": [("a", state["x"])], "x": 2}),
        sync("b", late),
        reduced={"log": operator.add},
        wires=[Edge(START, "a"), Edge(START, "b"), Edge("a", END), Edge("b", END)],
    )
    one = thread(made)
    run = one.start({"x": 1, "log": []})
    run.watch(lambda event: isinstance(event, NodeFinished) and finished.set())

    assert {"x": 2, "log": [("a", 1), ("b", 1)]} == run.result(10)
    assert [{"x": 1, "log": []}] == between


def test_a_failed_node_may_cancel_its_siblings():
    """`on_error="cancel"`: the others are stopped, and run again at resume. (W1)"""
    calls, broken, done = [], [True], threading.Event()

    async def bad(state):
        calls.append("bad")
        if broken:
            await asyncio.to_thread(done.wait, 5)
            raise ValueError("no")

    async def slow(state):
        calls.append("slow")
        if broken:
            await asyncio.sleep(30)

    def quick(state):
        calls.append("quick")
        done.set()
        return {"x": 1}

    made = replace(
        program(
            task("bad", bad),
            task("slow", slow),
            sync("quick", quick),
            wires=[Edge(START, n) for n in ("bad", "slow", "quick")],
        ),
        on_error="cancel",
    )
    one, seen = thread(made), []
    run = one.start({})
    run.watch(seen.append)
    with pytest.raises(NodeError, match="'bad'"):
        run.result(5)
    broken.clear()

    assert ["slow"] == [event.node for event in seen if isinstance(event, NodeCancelled)]
    assert {"x": 1} == one.resume().result(5)
    assert sorted(["bad", "slow", "quick", "bad", "slow"]) == sorted(calls)


def test_a_join_waits_for_paths_of_unequal_length():
    """The target runs once, after both sources, however many super-steps each takes. (R9)"""
    calls = []
    made = program(
        sync("short", lambda s: calls.append("short")),
        sync("long", lambda s: calls.append("long")),
        sync("longer", lambda s: calls.append("longer")),
        sync("end", lambda s: calls.append("end")),
        wires=[
            Edge(START, "short"),
            Edge(START, "long"),
            Edge("long", "longer"),
            Join(("short", "longer"), "end"),
            Edge("end", END),
        ],
    )
    thread(made).start({}).result()

    assert "end" == calls[-1]
    assert 4 == len(calls)


def test_a_cycle_with_a_join_inside_ends_when_the_state_says_so():
    """The join empties itself each round, and a branch on the state leaves. (R10, R11)"""
    made = program(
        sync("count", lambda s: {"x": s["x"] + 1}),
        sync("left", lambda s: {"log": ["l"]}),
        sync("right", lambda s: {"log": ["r"]}),
        sync("meet", lambda s: {"log": ["m"]}),
        reduced={"log": operator.add},
        wires=[
            Edge(START, "count"),
            Edge("count", "left"),
            Edge("count", "right"),
            Join(("left", "right"), "meet"),
            Branch(
                "meet",
                lambda s: "on" if s["x"] < 3 else "off",
                {"on": ("count",), "off": (END,)},
                "",
            ),
        ],
    )
    state = thread(made).start({"x": 0, "log": []}).result()

    assert ["l", "r", "m"] * 3 == state["log"]


def test_a_node_runs_when_a_field_it_subscribes_to_changes():
    """`on=` is enough to be eligible; an equal write is no change. (R12)"""
    calls = []
    made = program(
        sync("a", lambda s: {"x": 5, "y": s["y"]}),
        sync("on_x", lambda s: calls.append("x"), on=("x",)),
        sync("on_y", lambda s: calls.append("y"), on=("y",)),
        fields=("x", "y"),
        wires=chain("a"),
    )
    one = thread(made)
    one.start({"x": 1, "y": 1}).result()

    assert ["x", "y"] == sorted(calls[:2])  # the input changes both, in one super-step
    assert ["x"] == calls[2:]  # the node changes only x


def test_each_runs_once_an_item_and_joins_before_what_follows():
    """One task an item, results in the order of the items. (R3, R17)"""
    made = program(
        task("work", lambda item: asyncio.sleep(0.01 * (3 - item), {"log": [item * 10]})),
        sync("sum", lambda s: {"x": sum(s["log"])}),
        reduced={"log": operator.add},
        wires=[
            Each(START, lambda s: s["x"], "work", "x"),
            Edge("work", "sum"),
            Edge("sum", END),
        ],
    )
    state = thread(made).start({"x": [1, 2, 3], "log": []}).result()

    assert [10, 20, 30] == state["log"]
    assert 60 == state["x"]


def test_each_over_nothing_goes_straight_on():
    """With no items, what follows runs at once."""
    made = program(
        sync("work", lambda item: {"log": [item]}),
        sync("after", lambda s: {"log": ["after"]}),
        reduced={"log": operator.add},
        wires=[
            Each(START, lambda s: s["x"], "work", "x"),
            Edge("work", "after"),
            Edge("after", END),
        ],
    )

    assert ["after"] == thread(made).start({"x": [], "log": []}).result()["log"]


def test_a_command_writes_and_chooses_and_sends_carry_private_input():
    """`Command(update=, goto=)` with a name and two Sends."""
    made = program(
        sync("a", lambda s: Command(update={"x": 1}, goto=[Send("b", "p"), Send("b", "q"), "c"])),
        sync("b", lambda item: {"log": [item]}),
        sync("c", lambda s: {"log": [s["x"]]}),
        reduced={"log": operator.add},
        wires=[Edge(START, "a"), Edge("b", END), Edge("c", END)],
    )

    assert ["p", "q", 1] == thread(made).start({"log": []}).result()["log"]


def test_a_deferred_node_runs_when_nothing_else_is_left():
    """It is triggered first and runs last."""
    calls = []
    made = program(
        sync("last", lambda s: calls.append("last"), defer=True),
        sync("a", lambda s: calls.append("a")),
        sync("b", lambda s: calls.append("b")),
        wires=[
            Edge(START, "last"),
            Edge(START, "a"),
            Edge("a", "b"),
            Edge("b", END),
            Edge("last", END),
        ],
    )
    thread(made).start({}).result()

    assert ["a", "b", "last"] == calls


def test_two_writers_without_a_reducer_conflict_and_the_thread_can_be_repaired():
    """The error names the field and both nodes; nothing is committed; re-running one mends it."""
    write = {"a": True}
    made = program(
        sync("a", lambda s: {"x": 1} if write["a"] else None),
        sync("b", lambda s: {"x": 2}),
        wires=[Edge(START, "a"), Edge(START, "b"), Edge("a", END), Edge("b", END)],
    )
    one = thread(made)
    with pytest.raises(ConflictError) as caught:
        one.start({}).result()

    assert ("x", ("a", "b")) == (caught.value.field, caught.value.nodes)
    assert ("failed", 1) == (one.status, one.checkpoint_id)

    write["a"] = False
    assert {"x": 2} == one.resume(rerun=["a"]).result()


def test_a_failed_sibling_keeps_what_finished():
    """Resume runs only the node that failed. (R5, R6, W1)"""
    calls, broken = [], [True]

    def bad(state):
        calls.append("bad")
        if broken[0]:
            raise ValueError("no luck")

    made = program(
        sync("good", lambda s: calls.append("good") or {"x": 7}),
        sync("bad", bad),
        wires=[Edge(START, "good"), Edge(START, "bad"), Edge("good", END), Edge("bad", END)],
    )
    one = thread(made)
    with pytest.raises(NodeError, match="node 'bad' failed: ValueError: no luck") as caught:
        one.start({}).result()
    assert ("bad", 1) == (caught.value.node, caught.value.attempt)
    assert isinstance(caught.value.__cause__, ValueError)

    broken[0] = False
    calls.clear()
    assert {"x": 7} == one.resume().result()
    assert ["bad"] == calls


def test_a_mutation_of_the_state_is_refused():
    """The error says what to return instead, also from a function that the node calls. (R19)"""
    made = program(sync("a", lambda s: s["x"].append(1)), wires=chain("a"))

    with pytest.raises(NodeError, match="return the new value instead"):
        thread(made).start({"x": []}).result()


@dataclasses.dataclass
class Box:
    items: list


def test_an_object_that_cannot_be_frozen_is_private_to_each_reader():
    """A custom object is copied on the way in and for each node. (R14)"""

    def push(state):
        state["x"].items.append(1)
        return {"log": [len(state["x"].items)]}

    made = program(
        sync("a", push),
        sync("b", push),
        reduced={"log": operator.add},
        wires=[Edge(START, "a"), Edge(START, "b"), Edge("a", END), Edge("b", END)],
    )

    assert [1, 1] == thread(made).start({"x": Box([]), "log": []}).result()["log"]


def test_an_undeclared_field_is_an_error_with_the_nearest_name():
    """Nothing is dropped quietly."""
    made = program(sync("a", lambda s: {"verdit": 1}), fields=("verdict",), wires=chain("a"))

    with pytest.raises(NodeError, match="did you mean 'verdict'"):
        thread(made).start({}).result()


def test_a_reducer_that_fails_is_named():
    """The field, the reducer and the writer are in the message; the thread stays loadable."""
    made = program(
        sync("a", lambda s: {"log": 1}),
        fields=(),
        reduced={"log": operator.add},
        wires=chain("a"),
    )
    one = thread(made)
    with pytest.raises(StateError, match="reducer of 'log', add, failed on what node 'a' wrote"):
        one.start({"log": []}).result()

    assert {"log": []} == one.state


def test_a_join_that_can_never_fill_is_said():
    """A run does not end quietly with a node still waiting."""
    made = program(
        sync("a", lambda s: None),
        sync("b", lambda s: None),
        sync("c", lambda s: None),
        wires=[
            Branch(START, lambda s: "a", {"a": ("a",), "b": ("b",)}, ""),
            Join(("a", "b"), "c"),
            Edge("c", END),
        ],
    )
    with pytest.raises(GraphError, match="'c' still waits for 'b'"):
        thread(made).start({}).result()


def test_the_step_limit_is_a_guard_that_can_be_resumed():
    """It names the limit; a resume goes on from there. (R11)"""
    made = program(
        sync("a", lambda s: {"x": s["x"] + 1}),
        wires=[
            Edge(START, "a"),
            Branch("a", lambda s: "on" if s["x"] < 6 else "off", {"on": ("a",), "off": (END,)}, ""),
        ],
    )
    one = thread(made)
    with pytest.raises(StepLimit) as caught:
        one.start({"x": 0}, step_limit=4).result()
    assert (4, "stopped", 4) == (caught.value.limit, one.status, one.state["x"])

    assert {"x": 6} == one.resume().result()


def test_a_branch_that_chooses_nothing_known_is_a_node_error():
    """It names the node, the key and the keys there are."""
    made = program(
        sync("a", lambda s: None),
        wires=[Edge(START, "a"), Branch("a", lambda s: "acept", {"accept": (END,)}, "verdict")],
    )

    with pytest.raises(NodeError, match="did you mean 'accept'"):
        thread(made).start({}).result()


def test_a_node_that_returns_nothing_is_told_once():
    """Not one that says so with an empty dict, leads somewhere, or has had an effect."""

    def forgot(state):
        [*state["log"], "a"]

    def acts(state):
        effect("k", len, "abc")

    turns = iter(["again", "on"])
    nodes = [
        sync("forgot", forgot),
        sync("empty", lambda state: {}),
        sync("leads", lambda state: Command(goto="acts")),
        sync("acts", acts),
    ]
    wires = [
        Edge(START, "forgot"),
        Branch("forgot", lambda _: next(turns), {"again": ("forgot",), "on": ("empty",)}, ""),
        Edge("empty", "leads"),
        Edge("acts", END),
    ]
    one = thread(program(*nodes, reduced={"log": operator.add}, wires=wires))
    run = one.start({"log": [], "x": 0})
    told: list[str] = []
    run.watch(lambda event: isinstance(event, NodeWroteNothing) and told.append(event.node))
    run.result(20)

    assert ["forgot"] == told
