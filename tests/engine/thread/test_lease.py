"""What decides a change is read under the lease: somebody may be faster just before. (W18)"""

import contextlib
import operator
from typing import Annotated, TypedDict

import pytest

from nbagent import END, START, Graph, NodeError, interrupt, node, prune
from nbagent.errors import CodecError, StateError, ThreadError, WrongGraph
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


class Overtaken:
    """A store whose next `acquire` comes after whatever `first` does."""

    def __init__(self, store):
        self.store = store
        self.url = store.url
        self.first = None

    def __getattr__(self, name):
        return getattr(self.store, name)

    def acquire(self, *args, **more):
        first, self.first = self.first, None
        if first is not None:
            first()
        return self.store.acquire(*args, **more)


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    made = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "a.db")
    yield made
    made.close()


class State(TypedDict):
    who: str
    ways: Annotated[list[str], operator.add]
    said: str


def letter(store, name="letter"):
    with Graph(name, State, store=store) as made:

        @node(pause="before")
        def work(state):
            return {"ways": [state["who"]]}

        @node
        def ask(state):
            if state["who"] == "fails":
                raise ValueError("boom")
            return {"said": interrupt("Well?")} if state["who"] == "asks" else {}

        START >> work >> ask >> END
    return made


def finished(graph, id, who="quiet"):
    """A thread that somebody else brings to where `who` ends."""
    graph.run({"who": who}, id)
    resumed(graph, id)


def resumed(graph, id):
    with contextlib.suppress(NodeError):
        graph.thread(id).resume().result(10)


@pytest.mark.parametrize(
    ("who", "status"), [("quiet", "done"), ("asks", "waiting"), ("fails", "failed")]
)
def test_an_edit_gives_back_the_status_that_the_thread_has_now(store, who, status):
    ours, theirs = letter(slow := Overtaken(store)), letter(store)
    ours.run({"who": who}, "t")
    slow.first = lambda: resumed(theirs, "t")

    ours.thread("t").edit({"said": "x"})

    info = theirs.thread("t").info
    assert (status, who == "fails") == (info.status, "boom" in info.error)


def test_a_second_start_does_not_end_what_the_first_has_begun(store):
    ours, theirs = letter(slow := Overtaken(store)), letter(store)
    finished(ours, "t")

    def faster():
        theirs.run({"who": "asks"}, "t")
        resumed(theirs, "t")

    slow.first = faster
    with pytest.raises(ThreadError, match="is waiting"):
        ours.start({"who": "quiet"}, "t")

    assert ["Well?"] == [one.question for one in theirs.thread("t").questions]


def test_two_first_starts_are_one_thread(store):
    ours, theirs = letter(slow := Overtaken(store)), letter(store)
    slow.first = lambda: theirs.run({"who": "asks"}, "t")

    with pytest.raises(ThreadError, match="is paused"):
        ours.start({"who": "quiet"}, "t")

    assert "asks" == theirs.thread("t").state["who"]


def test_two_forks_to_one_id_are_one_thread(store):
    ours, theirs = letter(slow := Overtaken(store)), letter(store)
    finished(ours, "t")
    slow.first = lambda: theirs.thread("t").fork(id="f", note="theirs")

    with pytest.raises(ThreadError, match="exists already"):
        ours.thread("t").fork(id="f", note="ours")

    assert ["theirs"] == [line.note for line in store.history("f")]


@pytest.mark.parametrize(
    "refused",
    [
        lambda graph: graph.start({"who": "x", "said": object()}, "new"),
        lambda graph: graph.start({"nobody": 1}, "new"),
        lambda graph: graph.thread("t").fork(id="new", edits={"said": object()}),
        lambda graph: graph.thread("t").fork(id="new", edits={"nobody": 1}),
    ],
)
def test_what_is_refused_leaves_no_thread(store, refused):
    graph = letter(store)
    finished(graph, "t")

    with pytest.raises((StateError, CodecError)):
        refused(graph)

    assert ["t"] == [info.id for info in store.threads()]


def shown(info):
    return info.status, info.error, info.checkpoint, info.updated


def test_what_is_refused_does_not_move_the_time_of_the_last_change(store):
    graph = letter(store)
    graph.run({"who": "asks"}, "t")
    resumed(graph, "t")
    before = shown(graph.thread("t").info)

    for refused in (
        lambda: graph.thread("t").resume(answers={"nobody": 1}),
        lambda: graph.thread("t").edit({"said": 5}),
        lambda: graph.start({"who": "y"}, "t"),
    ):
        with pytest.raises((ThreadError, StateError)):
            refused()

    assert before == shown(graph.thread("t").info)


def test_a_thread_of_another_graph_is_left_alone(store):
    """It is not continued, answered or edited, and its list says whose it is."""
    ours, other = letter(store), letter(store, "other")
    ours.run({"who": "asks"}, "asks")
    resumed(ours, "asks")
    finished(ours, "done")

    for wrong in (
        lambda: other.start({"who": "x"}, "done"),
        lambda: other.thread("asks").resume("yes"),
        lambda: other.thread("asks").edit({"said": "x"}),
        lambda: other.thread("asks").fork(step=0, in_place=True),
    ):
        with pytest.raises(WrongGraph, match=r"is of graph 'letter'.*renamed") as caught:
            wrong()
        assert "letter" == caught.value.graph

    assert {"letter"} == {info.graph for info in store.threads()}
    assert "yes" == ours.thread("asks").resume("yes").result(10)["said"]


def test_a_graph_that_was_renamed_goes_on_where_that_is_said(store):
    letter(store).run({"who": "asks"}, "t")

    renamed = letter(store, "note").thread("t")
    renamed.resume(on_change="go-on").result(10)

    assert "note" == renamed.info.graph
    assert "yes" == renamed.resume("yes").result(10)["said"]


@pytest.mark.parametrize("keep", [None, 1])
def test_prune_looks_again_at_what_it_throws_away(store, keep):
    """A thread that was done when the list was read has been given an input since."""
    ours, theirs = letter(slow := Overtaken(store)), letter(store)
    finished(ours, "t")

    def faster():
        theirs.run({"who": "asks"}, "t")
        resumed(theirs, "t")

    slow.first = faster
    prune(slow, status="done", keep=keep)

    thread = theirs.thread("t")
    assert ("waiting", ["Well?"]) == (thread.status, [one.question for one in thread.questions])


def test_prune_gives_back_the_status_that_the_thread_has_now(store):
    ours, theirs = letter(slow := Overtaken(store)), letter(store)
    ours.run({"who": "quiet"}, "t")
    slow.first = lambda: resumed(theirs, "t")

    prune(slow, keep=1)

    assert "done" == theirs.thread("t").status
