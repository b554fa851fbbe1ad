"""What a run gives back: the state, and how the run has ended. (R28)"""

import asyncio
import copy
import json
import logging
import pickle
from typing import Any, TypedDict

import pytest

import nbagent
from nbagent import END, START, Graph, Outcome, interrupt, node
from nbagent.stores.memory import MemoryStore


class State(TypedDict, total=False):
    order: str
    approved: bool
    more: Any


def asking(*questions, name="shop", **options):
    with Graph(name, State, store=MemoryStore()) as graph:
        nodes = [
            node(lambda s, q=q: {"approved": interrupt(q, schema=bool)}, name=f"ask{at}")
            for at, q in enumerate(questions)
        ]
        (
            START
            >> [*nodes, node(lambda s: {}, name="quiet", **options)]
            >> node(lambda s: {}, name="join")
            >> END
        )
    return graph


def ways(graph, *given, **more):
    """All ways to get what a run gives back."""

    async def awaited():
        return await graph.start(*given, **more)

    async def arun():
        return await graph.arun(*given, **more)

    yield graph.run(*given, **more)
    yield graph.start(*given, **more).result()
    yield asyncio.run(awaited())
    yield asyncio.run(arun())


def test_an_outcome_is_a_dict_that_knows_how_the_run_ended():
    """By each way to wait for a run; it equals a plain dict."""
    for got in ways(asking(), {"order": "honey"}):
        assert {"order": "honey"} == got
        assert isinstance(got, dict) and type(got) is Outcome
        assert ("done", (), "done") == (got.status, got.questions, got.thread.status)
    for got in ways(asking("Really?"), {"order": "honey"}):
        assert ("waiting", ["Really?"]) == (got.status, [q.question for q in got.questions])
        assert {"order": "honey", "approved": True} == got.thread.resume(True).result()


def test_a_paused_run_says_so():
    """It has no question."""
    got = asking(pause="before").run({"order": "honey"})

    assert ("paused", ()) == (got.status, got.questions)
    assert repr(got).endswith(": go on with .thread.resume()")


def test_shown_it_says_what_is_asked_and_how_to_answer():
    """A person who sees it knows what to do; at its end too, it is Python that gives the dict."""
    done = asking().run({"order": "honey"}, thread="t")
    one = asking("Really?").run({"order": "honey"}, thread="t")
    two = asking("Really?", "x" * 200).run({}, thread="t")

    assert "{'order': 'honey'}  # done, thread 't'" == repr(done)
    assert done == eval(repr(done))
    assert (
        "{'order': 'honey'}  # waiting, thread 't' asks 'Really?': answer with .thread.resume(…)"
        == str(one)
    )
    assert ".thread.resume(answers={'1:ask0:0': …, '1:ask1:0': …})" in str(two)
    assert "x" * 59 + "…" in str(two) and "x" * 60 not in str(two)


def test_a_field_that_is_not_there_yet_says_why():
    """A script that reads on after a question learns of it; at the end it is a plain KeyError."""
    got = asking("Really?").run({"order": "honey"}, thread="t")
    with pytest.raises(KeyError, match=r"'approved' is not there yet: waiting.*asks 'Really\?'"):
        _ = got["approved"]
    with pytest.raises(KeyError, match=r"^'approved'$"):
        _ = asking().run({"order": "honey"})["approved"]
    assert got.get("approved") is None and "approved" not in got


def test_a_question_of_a_thread_that_nobody_named_is_told_in_the_log(caplog):
    """Its id is known to nobody else; who names the thread knows where to look."""
    with caplog.at_level(logging.WARNING, logger="nbagent"):
        named = asking("Really?").run({}, thread="t")
        asking().run({})
        assert [] == caplog.messages
        got = asking("Really?").run({})

    assert [
        f"graph 'shop': waiting, thread {got.thread.id!r} asks 'Really?': answer with "
        f"shop.thread({got.thread.id!r}).resume(…)"
    ] == caplog.messages
    assert "t" == named.thread.id


def test_copies_of_an_outcome_are_plain_dicts():
    """No thread is copied, pickled or stored with it."""
    got = asking().run({"order": "honey"})

    copies = [copy.copy(got), copy.deepcopy(got), pickle.loads(pickle.dumps(got)), got.copy()]
    assert [dict] * 4 == [type(one) for one in copies]
    assert [got] * 4 == copies
    assert '{"order": "honey"}' == json.dumps(got)
    assert {"order": "honey", "more": 1} == got | {"more": 1}


@pytest.mark.parametrize("thread", [None, "own"])
async def test_a_node_may_keep_what_a_graph_gave_back(thread):
    """A called graph's, and that of a thread of its own; in the state it is a plain dict."""
    inner, seen = asking(name="inner"), []
    with Graph("outer", State, store=MemoryStore()) as outer:

        @node
        async def calls(state):
            got = await inner.arun({"order": "honey"}, thread=thread)
            seen.append((got.status, got.questions, got.thread.state))
            return {"more": got}

        @node
        async def passes(state):
            return await inner.arun({"order": "wax"}, thread=thread and f"{thread}2")

        START >> calls >> passes >> END
    got = await outer.arun({})

    assert {"order": "wax", "more": {"order": "honey"}} == got
    assert dict is type(got["more"])
    assert [("done", (), {"order": "honey"})] == seen


async def test_a_streams_result_is_the_outcome():
    """Behind its end."""
    stream = asking("Really?").stream({"order": "honey"}, mode="values")
    assert [] == [item async for item in stream]

    assert ("waiting", {"order": "honey"}) == (stream.result.status, stream.result)


def test_an_outcome_is_public():
    """For annotations."""
    assert nbagent.Outcome is Outcome
