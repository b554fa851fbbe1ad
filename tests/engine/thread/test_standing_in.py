"""A person in the graph's place: for a node, for where it goes on, for the end, for the input."""

import contextlib
import operator
from typing import Annotated, Literal, TypedDict

import pytest

from nbagent import (
    END,
    START,
    Ephemeral,
    Graph,
    NodeError,
    Send,
    StateError,
    branch,
    each,
    errors,
    interrupt,
    node,
)
from nbagent.stores.memory import MemoryStore


class State(TypedDict, total=False):
    topic: str
    notes: Annotated[list[str], operator.add]
    verdict: Literal["revise", "accept"]
    fleeting: Annotated[str, Ephemeral]
    seen: list[str]


def line(*, fails=("b",), asks=(), **options):
    """a >> [b, c] >> d >> END, all of which note that they ran."""
    ran = []

    def make(name):
        def run(state):
            ran.append(name)
            if name in fails:
                raise RuntimeError(f"{name} is down")
            if name in asks:
                return {"notes": [interrupt(f"{name}?")]}
            return {"notes": [name]}

        run.__name__ = name
        return node(run)

    with Graph("line", State, store=MemoryStore(), **options) as made:
        a, b, c, d = map(make, "abcd")
        START >> a >> [b, c] >> d >> END
    return made, ran


def test_a_value_stands_in_for_a_failed_node():
    """A person says what a failed node would have; its siblings' work is kept, its edges are
    followed, and the history says who and what. (R31, W1)"""
    made, ran = line()
    with pytest.raises(NodeError):
        made.run({"topic": "bees"}, "t")
    thread = made.thread("t")
    id = thread.edit({"topic": "wasps"}, as_node="b")

    assert ("paused", ("d",), ()) == (thread.status, thread.next, thread.questions)
    assert thread.checkpoint_id == id
    assert {"topic": "wasps", "notes": ["a", "c", "d"]} == thread.resume().result()
    assert "done" == thread.status
    assert ["a", "b", "c", "d"] == sorted(ran) and 1 == ran.count("b")
    assert "stands in for node 'b'" in list(thread.history().note)


def test_the_other_siblings_stay_as_they_are():
    """Where two have failed, the one that nobody stands in for runs again, and no other."""
    made, ran = line(fails=("b", "c"))
    with pytest.raises(NodeError):
        made.run({}, "t")
    thread = made.thread("t")
    thread.edit({"topic": "by hand"}, as_node="b", note="it is known")

    assert ("failed", ("c",)) == (thread.status, thread.next)
    assert "it is known" in list(thread.history().note)
    with pytest.raises(NodeError, match="node 'c' failed"):
        thread.resume().result()
    thread.edit({}, as_node="c")
    assert {"topic": "by hand", "notes": ["a", "d"]} == thread.resume().result()
    assert (1, 2) == (ran.count("b"), ran.count("c"))


def test_a_question_is_asked_no_more():
    """Standing in for a node that asks answers nothing: only its own question is gone."""
    made, _ = line(fails=(), asks=("b", "c"))
    made.run({}, "t")
    thread = made.thread("t")
    thread.edit({}, as_node="b")

    assert ("waiting", ["c?"]) == (thread.status, [one.question for one in thread.questions])
    assert ["a", "yes", "d"] == thread.resume("yes").result()["notes"]


def test_a_node_elsewhere_is_stood_in_for():
    """As a node that is not to run now: what was planned is left behind, its edges are followed."""
    made, ran = line(fails=(), asks=("b",))
    made.run({}, "t")
    thread = made.thread("t")
    thread.edit({"topic": "x"}, as_node="d")

    assert ("done", (), ()) == (thread.status, thread.next, thread.questions)
    assert {"topic": "x", "notes": ["a", "c"]} == thread.state
    thread.edit({"topic": "y"}, as_node="a")
    assert ("paused", ("b", "c")) == (thread.status, thread.next)
    thread.edit({"topic": "z"}, as_node=START)
    assert ("paused", ("a",)) == (thread.status, thread.next)
    assert "d" not in ran


def test_its_branch_reads_what_the_person_said():
    """The edges of the node are followed as its own result would have led, routes included."""
    with Graph("judge", State, store=MemoryStore()) as made:

        @node
        def write(state):
            return {"notes": ["draft"]}

        @node
        def critique(state):
            raise RuntimeError("model down")

        START >> write >> critique >> branch("verdict", revise=write, accept=END)
    with pytest.raises(NodeError):
        made.run({}, "t")
    thread = made.thread("t")
    thread.edit({"verdict": "revise"}, as_node=critique)
    assert ("write",) == thread.next
    with pytest.raises(NodeError):
        thread.resume().result()
    thread.edit({"verdict": "accept"}, as_node=critique)
    assert ("done", ()) == (thread.status, thread.next)
    assert ["draft", "draft"] == thread.state["notes"]


def test_an_async_route_is_followed_by_the_resume():
    """A route that has to be waited for is followed when the thread goes on."""

    async def choose(state):
        return "more" if state["topic"] == "go" else "end"

    with Graph("waits", State, store=MemoryStore()) as made:

        @node
        def first(state):
            raise RuntimeError("down")

        @node
        def more(state):
            return {"notes": ["more"]}

        START >> first >> branch(choose, more=more, end=END)
        more >> END
    with pytest.raises(NodeError):
        made.run({}, "t")
    thread = made.thread("t")
    thread.edit({"topic": "go"}, as_node="first")
    assert ("paused", ()) == (thread.status, thread.next)
    assert ["more"] == thread.resume().result()["notes"]


def test_sent_tasks_and_fleeting_fields_and_subscribers():
    """Of several tasks of one node the unfinished are stood in for; a field that lives for a step
    reaches the next one; who subscribes to an edited field runs behind the node, not beside it."""
    with Graph("sent", State, store=MemoryStore()) as made:

        @node
        def plan(state):
            return {"seen": ["x", "y"]}

        @node
        def one(item):
            if item == "y":
                raise RuntimeError("y is down")
            return {"notes": [item]}

        @node
        def last(state):
            return {"notes": [state.get("fleeting", "nothing")]}

        @node(on="topic")
        def hears(state):
            return {"notes": ["heard"]}

        START >> plan >> each("seen", one) >> last >> END
    with pytest.raises(NodeError):
        made.run({}, "t")
    thread = made.thread("t")
    thread.edit({"fleeting": "now", "topic": "t"}, as_node="one")
    assert ("last", "hears") == thread.next
    assert ["x", "now", "heard"] == thread.resume().result()["notes"]


def test_what_does_not_go_is_refused_before_anything_is_written():
    """A node that is not there, a value that does not fit, a route that fails: nothing changes."""
    made, _ = line()
    with pytest.raises(NodeError):
        made.run({}, "t")
    thread = made.thread("t")
    before = thread.checkpoint_id
    with pytest.raises(errors.ThreadError, match=r"has no node 'bb'.*'b'"):
        thread.edit({}, as_node="bb")
    with pytest.raises(StateError):
        thread.edit({"topic": 5}, as_node="b")
    with pytest.raises(errors.ThreadError, match="has no node 'x'"):
        thread.resume(goto="x")
    with pytest.raises(errors.ThreadError, match="give one or the other"):
        thread.resume("yes", goto="d")
    assert (before, "failed") == (thread.checkpoint_id, thread.status)


def test_a_failure_that_is_stood_in_for_is_told_of():
    """The trace says that the node failed, and that a person stood in."""
    made, _ = line()
    with pytest.raises(NodeError):
        made.run({}, "t")
    made.thread("t").edit({}, as_node="b")
    attempts = made.thread("t").trace().query("kind == 'attempt'")
    assert [("b", "a person stood in")] == list(
        attempts[["node", "then"]].itertuples(index=False, name=None)
    )


@pytest.mark.parametrize("target", ["d", ["d"], "node", Send("d", {"notes": ["sent"]})])
def test_it_goes_on_where_a_person_says(target):
    """resume(goto=) goes on at another node; what has finished is kept, what has not is left."""
    made, _ = line(fails=(), asks=("b",))
    made.run({}, "t")
    thread = made.thread("t")
    run = thread.resume(goto=made.nodes["d"] if target == "node" else target)

    assert {"notes": ["a", "c", "d"]} == run.result()
    assert ("done", ()) == (thread.status, thread.questions)
    assert "goto d" in list(thread.history().note)
    assert {"notes": ["a", "c", "d", "d"]} == thread.resume(goto="d").result()  # though it was done


def test_goto_the_end_and_past_a_breakpoint():
    """goto=END ends it; a breakpoint before the node that a person names is opened by that."""
    with Graph("gated", State, store=MemoryStore()) as made:

        @node
        def first(state):
            return {"notes": ["first"]}

        @node(pause="before")
        def publish(state):
            return {"notes": ["out"]}

        START >> first >> publish >> END
    made.run({}, "t")
    assert ["first"] == made.thread("t").resume(goto=END).result()["notes"]
    assert "done" == made.thread("t").status
    assert ["first", "out"] == made.thread("t").resume(goto="publish").result()["notes"]
    # One that it has stopped at is opened by the resume, also when a person has edited there.
    made.run({}, "u")
    made.thread("u").edit({"topic": "x"}, as_node="first")
    assert ["first", "out"] == made.thread("u").resume().result()["notes"]


def test_a_person_ends_it():
    """finish() drops the open questions and keeps what finished; a new input goes on from there."""
    made, _ = line(fails=(), asks=("b",))
    made.run({}, "t")
    thread = made.thread("t")
    id = thread.finish("no longer needed")

    assert ("done", (), ()) == (thread.status, thread.next, thread.questions)
    assert {"notes": ["a", "c"]} == thread.state
    assert (id, "no longer needed") == (thread.checkpoint_id, list(thread.history().note)[-1])
    assert id == thread.finish()
    assert ["a", "c", "more", "a"] == made.run({"notes": ["more"]}, "t")["notes"]


def test_a_thread_whose_writes_clash_can_be_ended():
    """What made it fail at the merge does not keep a person from ending it, and is named."""
    with Graph("clash", State, store=MemoryStore()) as made:

        @node
        def one(state):
            return {"topic": "one"}

        @node
        def two(state):
            return {"topic": "two", "notes": ["two"]}

        START >> [one, two] >> END
    with pytest.raises(errors.ConflictError):
        made.run({}, "t")
    made.thread("t").finish()
    assert "done" == made.thread("t").status
    assert ["two"] == made.thread("t").state["notes"]


@pytest.mark.parametrize("first", ["fail", "buy", "pause"])
def test_a_new_message_to_a_thread_that_has_not_ended(first):
    """A chat: the person writes again while the thread has failed, asks, or is paused. The input
    goes through the reducers, what was under way is left behind, and the history says so."""

    class Chat(TypedDict, total=False):
        messages: Annotated[list[str], operator.add]

    with Graph("chat", Chat, store=MemoryStore()) as made:

        @node
        def answer(state):
            last = state["messages"][-1]
            if last == "fail":
                raise RuntimeError("model down")
            if last == "buy":
                interrupt("Really?")
            return {"messages": [f"re {last}"]}

        @node
        def more(state):
            return {"messages": ["more"]}

        START >> answer >> branch(lambda s: "end", end=END, more=more)
        more >> END
    made.run({"messages": ["hello"]}, "t")
    thread = made.thread("t")
    if first == "pause":
        thread.start({"messages": [first]}, steps=0).result()
    else:
        run = made.start({"messages": [first]}, "t")
        with contextlib.suppress(NodeError):
            run.result()
    with pytest.raises(errors.ThreadError, match=r"start\(…, anew=True\)"):
        made.run({"messages": ["never mind"]}, "t")

    said = ["hello", "re hello", first, "never mind", "re never mind"]
    assert {"messages": said} == made.run({"messages": ["never mind"]}, "t", anew=True)
    assert ("done", ()) == (thread.status, thread.questions)
    notes = [note for note in thread.history().note if note]
    left = {"fail": "failed answer", "buy": "question 'Really?' of answer"}
    assert [f"begun anew; left behind: {left.get(first, 'unfinished answer')}"] == notes
    assert {"messages": [*said, "x", "re x"]} == made.run({"messages": ["x"]}, "t", anew=True)
