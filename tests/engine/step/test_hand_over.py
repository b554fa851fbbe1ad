"""What a node returns beside a dict: several updates and commands, an overwrite, a hand-over."""

import asyncio
import operator
import time
from typing import Annotated, TypedDict

import pytest

from nbagent import (
    END,
    PARENT,
    START,
    Command,
    Graph,
    NodeError,
    Overwrite,
    Send,
    StateError,
    Topic,
    branch,
    interrupt,
    node,
)
from nbagent.errors import ConflictError
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


class State(TypedDict, total=False):
    x: int
    log: Annotated[list[str], operator.add]
    most: Annotated[int, max]


def single(function, store=None, **more):
    """A graph of one node, with others that it may go to."""
    with Graph("g", State, store=store or MemoryStore()) as graph:
        first = node(function, name="first", **more)

        @node
        def a(state):
            return {"log": ["a"]}

        @node
        def b(state):
            return {"log": ["b"]}

        @node
        def sent(given):
            return {"log": [f"sent {given}"]}

        START >> first
        a >> END
        b >> END
        sent >> END
    return graph


# ------------------------------------------------------------------------- several in a list


def test_a_node_returns_several_updates_and_commands():
    """All are written, in their order; all that they lead to runs."""

    def first(state):
        return [
            {"log": ["one"], "most": 3},
            Command(update={"log": ["two"]}, goto="a"),
            None,
            Command(goto=["b", Send("sent", 1)]),
            Send("sent", 2),
            {"x": 7, "most": 2},
        ]

    got = single(first).run({"log": ["zero"]})

    assert ["zero", "one", "two", "a", "b", "sent 1", "sent 2"] == got["log"]
    assert (7, 3) == (got["x"], got["most"])


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_of_one_is_that_one(kind):
    """An empty one writes nothing; a tuple is as good."""
    assert ["a"] == single(lambda state: kind([Command(goto="a")])).run({"log": []})["log"]
    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(lambda state: kind([]), name="n") >> END
    assert (1, []) == ((got := graph.run({"x": 1}))["x"], got["log"])


def test_two_values_for_a_field_without_a_reducer_are_a_conflict():
    """As if two nodes wrote it."""
    with pytest.raises(ConflictError, match="'x' was written by 'first'"):
        single(lambda state: [{"x": 1}, {"x": 2}, Send("a", {})]).run({"log": []})


def test_what_is_in_a_list_and_is_no_update_is_refused():
    """With the node's name."""
    with pytest.raises(NodeError, match=r"returned a list: return a dict.*and not of a str"):
        single(lambda state: [{"x": 1}, "a", Send("a", {})]).run({"log": []})


def test_a_send_alone_is_a_return_value():
    """As from a route."""
    assert ["sent 5"] == single(lambda state: Send("sent", 5)).run({"log": []})["log"]


def test_several_updates_of_two_attempts_and_processes_are_stored(tmp_path):
    """They are in the file as one record."""
    store = SqliteStore(tmp_path / "a.db")

    def make(store):
        with Graph("g", State, store=store) as graph:

            @node
            def several(state):
                return [{"most": 1}, {"most": 5}, {"log": ["x"]}, {"log": ["y"]}]

            @node
            def asks(state):
                return {"log": [interrupt("Well?")]}

            START >> [several, asks] >> node(lambda s: {}, name="join") >> END
        return graph

    make(store).run({"log": []}, thread="t")
    store.close()
    store = SqliteStore(tmp_path / "a.db")
    done = make(store).thread("t").resume("yes").result()
    store.close()

    assert {"most": 5, "log": ["x", "y", "yes"]} == done


# ------------------------------------------------------------------------------- overwriting


def overwriting(*writes, **names):
    """Nodes side by side that each write `log`."""
    with Graph("g", State, store=MemoryStore()) as graph:
        nodes = [node(lambda s, w=w: {"log": w}, name=f"n{at}") for at, w in enumerate(writes)]
        START >> nodes >> node(lambda s: {}, name="join") >> END
    return graph


def test_an_overwrite_replaces_a_reduced_field():
    """Whoever else writes it in that super-step, before or after."""
    new = Overwrite(["new"])
    assert ["new"] == overwriting(new).run({"log": ["old"]})["log"]
    assert ["new"] == overwriting(["a"], new, ["b"]).run({"log": ["old"]})["log"]


def test_two_overwrites_are_a_conflict():
    """Neither is more right than the other."""
    graph = overwriting(Overwrite(["a"]), Overwrite(["b"]))
    with pytest.raises(ConflictError, match="overwritten by 'n0' and 'n1'"):
        graph.run({"log": []})


def test_behind_an_overwrite_the_same_node_may_write_more():
    """In the order of its list."""
    with Graph("g", State, store=MemoryStore()) as graph:

        @node
        def writes(state):
            return [{"log": ["lost"]}, {"log": Overwrite(["new"])}, {"log": ["more"]}]

        START >> writes >> END

    assert ["new", "more"] == graph.run({"log": ["old"]})["log"]


def test_an_overwrite_is_checked_as_the_whole_field():
    """Its value is what the field holds, not what a node adds."""
    with pytest.raises(NodeError, match="log"):
        overwriting(Overwrite("text")).run({"log": []})
    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(lambda s: {"x": Overwrite(3), "most": Overwrite(1)}, name="n") >> END

    assert {"x": 3, "most": 1, "log": []} == graph.run({"x": 1, "most": 9, "log": []})


def test_an_input_and_an_edit_may_overwrite():
    """The input of a later turn; an edit replaces anyway."""
    graph = overwriting(["n"])
    graph.run({"log": ["old"]}, thread="t")
    assert ["new", "n"] == graph.run({"log": Overwrite(["new"])}, thread="t")["log"]
    graph.thread("t").edit({"log": Overwrite(["edited"])})
    assert ["edited"] == graph.thread("t").state["log"]
    assert ["first", "n"] == graph.run({"log": Overwrite(["first"])}, thread="u")["log"]


def test_an_overwrite_of_a_subgraph_overwrites_in_the_parent():
    """What its later nodes add stays."""
    with Graph("inner", State, store=MemoryStore()) as inner:
        one = node(lambda s: {"log": Overwrite(["new"])}, name="one")
        two = node(lambda s: {"log": ["more"]}, name="two")
        START >> one >> two >> END
    with Graph("outer", State, store=MemoryStore()) as outer:
        START >> inner >> END

    assert ["new", "more"] == outer.run({"log": ["old"]})["log"]


def test_an_overwrite_outlives_the_process(tmp_path):
    """It waits in the file, beside a question."""

    def make(store):
        with Graph("g", State, store=store) as graph:

            @node
            def summarise(state):
                return {"log": Overwrite(["summary"])}

            @node
            def asks(state):
                return {"log": [interrupt("Well?")]}

            START >> [summarise, asks] >> node(lambda s: {}, name="join") >> END
        return graph

    store = SqliteStore(tmp_path / "a.db")
    make(store).run({"log": ["old"]}, thread="t")
    store.close()
    store = SqliteStore(tmp_path / "a.db")
    done = make(store).thread("t").resume("lost").result()
    store.close()

    assert ["summary"] == done["log"]


def test_a_route_reads_the_overwritten_field():
    """What its node wrote of it."""
    with Graph("g", State, store=MemoryStore()) as graph:

        @node
        def one(state):
            return {"log": Overwrite(["short"])}

        START >> one
        one >> branch(lambda s: "a" if s["log"] == ["short"] else "b", a=END, b="one")

    assert ["short"] == graph.run({"log": ["a", "b"]})["log"]


def test_a_topic_takes_an_overwrite_as_its_items():
    """In an input."""

    class Topics(TypedDict, total=False):
        items: Annotated[list[str], Topic]
        seen: list[str]

    with Graph("g", Topics, store=MemoryStore()) as graph:
        START >> node(lambda s: {"seen": s["items"]}, name="n") >> END

    assert ["a", "b"] == graph.run({"items": Overwrite(["a", "b"])})["seen"]


# --------------------------------------------------------------------------- sends with a time


def test_a_send_has_a_time_of_its_own():
    """In place of the node's; the others keep that."""
    with Graph("g", State, store=MemoryStore()) as graph:

        @node(timeout=30)
        async def work(given):
            await asyncio.sleep(given)
            return {"log": [f"{given}"]}

        START >> branch(lambda s: [Send(work, 0.01), Send(work, 30, timeout=0.05)], work=work)
        work >> END
    began = time.monotonic()
    with pytest.raises(NodeError, match=r"longer than 0\.05 seconds"):
        graph.run({"log": []}, thread="t")

    assert 10 > time.monotonic() - began
    assert {"log": [("work", ["0.01"])]} == graph.thread("t").unmerged


def test_the_time_of_a_send_outlives_the_process(tmp_path):
    """It is planned with its input."""
    slow = [True]

    def make(store):
        with Graph("g", State, store=store) as graph:

            @node
            async def plan(state):
                return Command(goto=[Send("work", 1), Send("work", 2, timeout=0.1)])

            @node(pause="before")
            async def work(given):
                if slow[0] and given == 2:
                    await asyncio.sleep(30)
                return {"log": [f"{given}"]}

            START >> plan
            work >> END
        return graph

    store = SqliteStore(tmp_path / "a.db")
    assert "paused" == (make(store).start({"log": []}, thread="t").result() and "paused")
    store.close()
    store = SqliteStore(tmp_path / "a.db")
    graph = make(store)
    with pytest.raises(NodeError, match=r"longer than 0\.1 seconds"):
        graph.thread("t").resume().result()
    slow[0] = False
    assert ["1", "2"] == graph.thread("t").resume().result()["log"]
    store.close()


@pytest.mark.parametrize("seconds", [0, -1, "soon", True])
def test_a_time_that_is_none_is_refused(seconds):
    """Where it is written."""
    with pytest.raises(StateError, match="give seconds"):
        Send("a", 1, timeout=seconds)


# ------------------------------------------------------------------------------- hand-overs


def team(alice, store=None, *, bob=lambda s: {"log": ["bob"]}, options=()):
    """A graph whose node `alice` is a graph of one node, and whose node `bob` nothing leads to."""
    with Graph("alice", State, store=store or MemoryStore()) as inner:
        before = node(lambda s: {"log": ["before"], "x": 99}, name="before")
        START >> before >> node(alice, name="talk") >> END
    with Graph("team", State, store=store or MemoryStore()) as graph:
        START >> node(inner, **dict(options)) >> END
        node(bob, name="bob") >> END
    return graph


def test_a_node_of_a_subgraph_hands_over_to_the_parent():
    """The subgraph ends, its update is what the parent gets, and the parent goes on there."""
    graph = team(lambda s: Command(graph=PARENT, update={"log": ["for bob"]}, goto="bob"))

    got = graph.run({"x": 1, "log": ["start"]})
    assert (1, ["start", "for bob", "bob"]) == (got["x"], got["log"])
    assert "__parent__" == Command.PARENT == PARENT


def test_a_hand_over_may_send_and_end():
    """All that `goto` takes; with nothing to go to, the parent's own edges are followed."""
    got = team(
        lambda s: Command(graph=PARENT, goto=[Send("bob", 1), Send("bob", 2), END]),
        bob=lambda given: {"log": [f"bob {given}"]},
    ).run({"log": []})

    assert ["bob 1", "bob 2"] == got["log"]
    assert ["end"] == team(lambda s: Command(graph=PARENT, update={"log": ["end"]})).run({})["log"]


def test_a_hand_over_outlives_the_process(tmp_path):
    """A question beside it keeps it waiting; then it is not asked again."""
    asked = []

    def make(store):
        with Graph("alice", State, store=store) as inner:

            @node
            def talk(state):
                asked.append("talk")
                return Command(graph=PARENT, update={"log": ["over"]}, goto="bob")

            START >> talk >> END
        with Graph("team", State, store=store) as graph:

            @node
            def asks(state):
                return {"x": interrupt("How many?")}

            @node
            def bob(state):
                return {"log": ["bob"]}

            START >> [inner, asks]
            inner >> END
            asks >> END
            bob >> END
        return graph

    store = SqliteStore(tmp_path / "a.db")
    make(store).run({"log": []}, thread="t")
    store.close()
    store = SqliteStore(tmp_path / "a.db")
    done = make(store).thread("t").resume(3).result()
    store.close()

    assert (3, ["over", "bob"]) == (done["x"], done["log"])
    assert ["talk"] == asked


def test_a_hand_over_is_checked_by_the_parent():
    """The names are the parent's: its fields, its nodes."""
    for command, match in [
        (Command(graph=PARENT, goto="bbo"), "did you mean 'bob'"),
        (Command(graph=PARENT, update={"lgo": []}, goto="bob"), "did you mean 'log'"),
        (Command(graph=PARENT, update=3, goto="bob"), "an int: give a dict"),
    ]:
        with pytest.raises(NodeError, match=match):
            team(lambda s, command=command: command).run({"log": []})
    with pytest.raises(StateError, match="it is PARENT"):
        Command(graph="alice")


def test_where_there_is_no_parent_it_is_said():
    """The graph runs by itself."""
    graph = single(lambda s: Command(graph=PARENT, goto="a"))
    with pytest.raises(NodeError, match="runs here by itself"):
        graph.run({"log": []})


def test_hand_overs_go_up_one_level_at_a_time():
    """From the innermost graph to the one around it."""
    with Graph("innermost", State, store=MemoryStore()) as innermost:
        START >> node(lambda s: Command(graph=PARENT, goto="up"), name="talk") >> END
    with Graph("inner", State, store=MemoryStore()) as inner:

        @node
        def up(state):
            return Command(graph=PARENT, update={"log": ["up"]}, goto="bob")

        START >> innermost >> END
        up >> END
    with Graph("outer", State, store=MemoryStore()) as outer:

        @node
        def bob(state):
            return {"log": ["bob"]}

        START >> inner >> END
        bob >> END

    assert ["up", "bob"] == outer.run({"log": []})["log"]


def test_agents_hand_over_to_and_fro():
    """Each is a graph of its own; the turn is the parent's."""

    def agent(name, other):
        with Graph(name, State, store=MemoryStore()) as made:

            @node
            def talk(state):
                if len(state["log"]) >= 4:
                    return {"log": [f"{name} ends"]}
                return Command(graph=PARENT, update={"log": [name]}, goto=other)

            START >> talk >> END
        return made

    with Graph("swarm", State, store=MemoryStore()) as swarm:
        alice, bob = agent("alice", "bob"), agent("bob", "alice")
        START >> alice >> END
        node(bob) >> END

    assert ["alice", "bob", "alice", "bob", "alice ends"] == swarm.run({"log": []})["log"]


@pytest.mark.parametrize("how", ["async", "def", "taskgroup"])
def test_a_graph_that_a_node_calls_hands_over_for_the_node(how):
    """The call ends the node, as if it had returned the command itself."""
    with Graph("tool", State, store=MemoryStore()) as tool:
        hand = node(
            lambda s: Command(graph=PARENT, update={"log": ["handed"]}, goto="bob"), name="hand"
        )
        START >> hand >> END
    with Graph("outer", State, store=MemoryStore()) as outer:

        @node
        async def awaits(state):
            if how == "taskgroup":
                async with asyncio.TaskGroup() as group:
                    group.create_task(tool.arun({"log": []}))
            else:
                await tool.arun({"log": []})
            return {"log": ["not here"]}

        @node
        def calls(state):
            tool.run({"log": []})
            return {"log": ["not here"]}

        @node
        def bob(state):
            return {"log": ["bob"]}

        START >> (calls if how == "def" else awaits) >> END
        bob >> END
        if how == "def":
            outer.nodes.pop("awaits")
        else:
            outer.nodes.pop("calls")

    assert ["handed", "bob"] == outer.run({"log": []})["log"]
