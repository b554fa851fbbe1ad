"""What failed stays in the thread's trace, with what was done about it. (R24, R36)"""

from typing import TypedDict

import pytest

from nbagent import END, PERSON, START, Graph, NodeError, Retry, branch, node
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


class State(TypedDict, total=False):
    x: int
    said: str


def failures(thread):
    """(attempt, error, what was done) of each attempt that failed."""
    rows = thread.trace().itertuples()
    return [(row.attempt, row.error, row.then) for row in rows if row.kind == "attempt"]


def one_node(store, times, **options):
    """A node that fails so often, each time with another word."""
    calls = []

    def fails(state):
        calls.append(1)
        if len(calls) <= times:
            raise ConnectionError(f"down {len(calls)}")
        return {"x": len(calls)}

    with Graph("g", State, store=store) as graph:
        START >> node(fails, name="a", **options) >> END
    return graph


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    made = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "a.db")
    yield made
    made.close()


def test_a_failure_is_there_after_the_resume(store):
    """With its attempt and its error; twice, where it failed twice."""
    graph = one_node(store, 2)
    with pytest.raises(NodeError):
        graph.run({}, thread="t")
    thread = graph.thread("t")
    with pytest.raises(NodeError):
        thread.resume().result()
    assert 3 == thread.resume().result()["x"]
    assert [
        (1, "down 1", "resumed"),
        (2, "down 2", "resumed"),
    ] == failures(thread)
    assert ["failed", "failed", "done"] == [
        row.status for row in thread.trace().itertuples() if row.kind == "run"
    ]


def test_the_history_says_what_failed_and_what_was_done(store):
    """On the checkpoint that it failed after, before the resume and after it, and only there."""
    graph = one_node(store, 3, retry=Retry(2, wait=0))
    with pytest.raises(NodeError):
        graph.run({}, thread="t")
    thread = graph.thread("t")
    first, second = "a, attempt 1: ConnectionError: down 1", "a, attempt 2: ConnectionError: down 2"
    assert [f"{first} → tried again; {second}"] == list(thread.history()["failed"])

    thread.resume().result()

    third = "a, attempt 3: ConnectionError: down 3 → tried again"
    assert [f"{first} → tried again; {second} → resumed; {third}", ""] == list(
        thread.history()["failed"]
    )


@pytest.mark.parametrize(
    ("times", "options", "then"),
    [
        (2, {"retry": Retry(3, wait=0)}, ["tried again", "tried again"]),
        (
            2,
            {"retry": Retry(2, wait=0), "fallback": lambda state: {"x": 9}},
            ["tried again", "fallback <lambda>"],
        ),
        (1, {"recover": {ConnectionError: "said"}}, ["recover: field said"]),
        (1, {"recover": {ConnectionError: lambda error: {"x": 8}}}, ["recover: <lambda>"]),
    ],
)
def test_what_a_policy_did_about_it_is_there(store, times, options, then):
    """Each attempt that failed, in order."""
    graph = one_node(store, times, **options)
    graph.run({}, thread="t")
    assert then == [what for _, _, what in failures(graph.thread("t"))]


def test_what_a_person_did_about_it_is_there(store):
    """They were asked, once."""
    graph = one_node(store, 1, recover={ConnectionError: PERSON})
    graph.run({}, thread="t")
    thread = graph.thread("t")
    assert 2 == thread.resume("try again").result()["x"]
    assert [(1, "down 1", "a person is asked")] == failures(thread)


def test_a_route_that_failed_is_there(store):
    """It is no node's attempt, so the run says it."""
    is_broken = [True]
    with Graph("g", State, store=store) as graph:
        a = node(lambda state: {"x": 1}, name="a")
        START >> a >> branch(lambda state: 1 / 0 if is_broken else "end", end=END)
    with pytest.raises(NodeError):
        graph.run({}, thread="t")
    is_broken.clear()
    graph.thread("t").resume().result()
    rows = [row for row in graph.thread("t").trace().itertuples() if row.kind == "run"]
    assert ["failed", "done"] == [row.status for row in rows]
    assert "ZeroDivisionError: division by zero" in rows[0].error
    failed = list(graph.thread("t").history()["failed"])
    assert "ZeroDivisionError: division by zero" in failed[0]
    assert "" == failed[1]


def test_recover_may_read_the_state():
    """A function of two parameters gets it first; it may be `async`."""

    async def with_state(state, error):
        return {"said": f"{state['x']}: {error}"}

    graph = one_node(MemoryStore(), 1, recover={ConnectionError: with_state})
    assert "7: down 1" == graph.run({"x": 7})["said"]
