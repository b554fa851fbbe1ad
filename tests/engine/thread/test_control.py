"""What a run is given beside its state: where to pause, how many at once, what is known of it."""

import asyncio
import operator
import threading
from typing import Annotated, TypedDict

import pytest

from nbagent import END, START, Graph, StateError, branch, each, errors, node, task, threads
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


class State(TypedDict, total=False):
    notes: Annotated[list[str], operator.add]
    items: list[int]


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    is_file = request.param == "sqlite"
    made = SqliteStore(tmp_path / "a.db", durability="process") if is_file else MemoryStore()
    yield made
    made.close()


def loop(store, turns=2, name="loop"):
    """a >> b, back to a until b has run so many times."""
    with Graph(name, State, store=store) as made:

        @node
        def a(state):
            return {"notes": ["a"]}

        @node
        def b(state):
            return {"notes": ["b"]}

        def onward(state):
            return "end" if state["notes"].count("b") >= turns else "again"

        START >> a >> b >> branch(onward, again=a, end=END)
    return made


# ---------------------------------------------------------------------------------- where it pauses


def test_it_pauses_before_a_node_until_that_is_passed(store):
    """A breakpoint of one run holds for its resumes, in another process too, until it is passed;
    another run of the graph has none."""
    made = loop(store)
    assert ["a"] == made.run({}, "t", pause_before="b")["notes"]
    thread = loop(store).thread("t")
    assert ("paused", ("b",)) == (thread.status, thread.next)
    assert ["a", "b", "a", "b"] == thread.resume().result()["notes"]
    assert "done" == thread.status
    assert ["a", "b", "a", "b"] == made.run({}, "u")["notes"]


def test_it_pauses_after_a_node(store):
    """pause_after= stops behind the node; each of several is passed for itself."""
    made = loop(store)
    made.run({}, "t", pause_after=[made.nodes["a"], "b"])
    thread = made.thread("t")
    stops = []
    while thread.status == "paused":
        stops.append((len(thread.state["notes"]), thread.next))
        thread.resume().result()
    assert [(1, ("b",)), (2, ("a",))] == stops


def test_only_a_resume_that_stopped_there_opens_it(store):
    """A run that stops right before the node for another reason does not open it."""
    made = loop(store)
    thread = made.thread("t")
    thread.start({}, steps=1, pause_before=["b"]).result()
    assert ("paused", ("b",)) == (thread.status, thread.next)
    thread.resume().result()
    assert ("paused", ["a"]) == (thread.status, thread.state["notes"])
    thread.resume().result()
    assert "done" == thread.status


def test_a_resume_may_say_where(store):
    """resume(pause_before=) steps through a loop: where it stands it goes on, there it pauses the
    next time."""
    made = loop(store, turns=3)
    made.run({}, "t", pause_before="b")
    thread = made.thread("t")
    seen = []
    for _ in range(3):
        seen.append(thread.state["notes"].count("b"))
        thread.resume(pause_before="b").result()
    assert ([0, 1, 2], "done") == (seen, thread.status)


def test_every_node_and_no_subgraph(store):
    """ "*" is every node of this graph, and none of a subgraph's."""
    inner = loop(store, turns=1, name="inner")
    with Graph("outer", State, store=store) as outer:
        last = node(lambda state: {"notes": ["last"]}, name="last")
        START >> inner >> last >> END
    outer.run({}, "t", pause_before="*")
    thread = outer.thread("t")
    nexts = []
    while thread.status == "paused":
        nexts.append(thread.next)
        thread.resume().result()
    assert [("inner",), ("last",)] == nexts


def test_what_is_wrong_is_refused_before_there_is_a_thread(store):
    """A node that is not there, a number that is none, metadata that JSON has not: nothing is
    written."""
    made = loop(store)
    with pytest.raises(errors.ThreadError, match="has no node 'bb'"):
        made.run({}, "t", pause_before=["bb"])
    with pytest.raises(errors.ThreadError, match="max_concurrency=0"):
        made.run({}, "t", max_concurrency=0)
    for wrong in ({"a": object()}, {1: 2}, [1], {"a": float("nan")}):
        with pytest.raises(StateError, match="metadata="):
            made.run({}, "t", metadata=wrong)
    assert [] == store.threads()


def test_an_async_start_and_an_edit_keep_it(store):
    """Also where START leads by a route that is waited for, and where a person edits on the way."""

    async def choose(state):
        return "a"

    with Graph("routed", State, store=store) as made:
        a = node(lambda state: {"notes": ["a"]}, name="a")
        b = node(lambda state: {"notes": ["b"]}, name="b")
        START >> branch(choose, a=a)
        a >> b >> END
    made.run({}, "t", pause_before=["a", "b"])
    thread = made.thread("t")
    thread.edit({"notes": ["by hand"]}, as_node="a")
    thread.resume().result()
    assert ("paused", ("b",)) == (thread.status, thread.next)
    assert ["by hand", "b"] == thread.resume().result()["notes"]


# ------------------------------------------------------------------------------- how many at once


def many(store, most, calls=()):
    """Six tasks, half of them in a subgraph, and how many were at work at once."""
    now, seen, lock = [0], [], threading.Lock()

    def begin():
        with lock:
            now[0] += 1
            seen.append(now[0])

    def end():
        with lock:
            now[0] -= 1

    async def work(item):
        begin()
        await asyncio.sleep(0.005)
        end()
        return {"notes": [str(item)]}

    def blocks(item):
        begin()
        threading.Event().wait(0.005)
        end()
        return {"notes": [str(item)]}

    with Graph("inner", State, store=store) as inner:
        w = node(blocks, name="blocks", timeout=9)
        START >> each("items", w) >> END

    async def caller(state):
        begin()
        now[0] -= 1
        await asyncio.gather(*(inner.arun({"items": [n]}) for n in (7, 8)))
        return {"notes": ["called"]}

    with Graph("outer", State, store=store) as outer:
        v = node(work, name="work")
        c = node(caller, name="caller")
        START >> each("items", v) >> END
        START >> inner >> END
        START >> c >> END
    outer.run({"items": [1, 2, 3]}, "t", **({"max_concurrency": most} if most else {}))
    assert 0 == now[0]
    return max(seen)


@pytest.mark.parametrize("most", [1, 2])
def test_no_more_than_so_many_at_once(store, most):
    """max_concurrency= holds over `def` and `async` nodes, subgraphs and called graphs; one that
    waits for a graph holds no place, so one place is enough."""
    assert most == many(store, most)


def test_without_it_there_is_no_bound(store):
    """Six at once, where nobody says how many."""
    assert 2 < many(store, None)


# ------------------------------------------------------------------------------ what is known of it


def test_metadata_is_a_column(store):
    """metadata= is in the table of threads, which can be searched by it, and in the history from
    its input on; a task reads it, in a resume as well."""
    with Graph("known", State, store=store) as made:
        a = node(lambda state: {"notes": [task().metadata.get("user", "")]}, name="a")
        b = node(lambda state: {"notes": [task().metadata.get("user", "")]}, name="b")
        START >> a >> b >> END
    made.run({}, "t", metadata={"user": "ada", "tags": ["x"]}, pause_before="b")
    assert ["ada", "ada"] == made.thread("t").resume().result()["notes"]
    made.run({}, "u")
    made.run({}, "t", metadata={"user": "bob"})

    history = made.thread("t").history()
    assert [{"user": "ada", "tags": ["x"]}] * 3 + [{"user": "bob"}] * 3 == list(history.metadata)
    table = threads(store)
    assert {"t": {"user": "bob"}, "u": {}} == dict(zip(table.thread, table.metadata, strict=True))
    found = threads(store, where="metadata ->> 'user' = ?", params=["bob"])
    assert ["t"] == list(found.thread)
