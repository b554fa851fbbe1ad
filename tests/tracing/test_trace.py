"""Where the time of a thread went: spans and the table of them. (R36)"""

import asyncio
import time
from typing import Any, TypedDict

import pandas
import pytest

from nbagent import END, START, Graph, NodeError, Retry, Secret, interrupt, node, span
from nbagent.engine.model import secrets
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


class State(TypedDict):
    x: Any


@pytest.fixture(params=["memory", "sqlite", "encrypted", "postgres"])
def store(request, tmp_path):
    if request.param == "memory":
        made = MemoryStore()
    elif request.param == "postgres":
        from nbagent import open_store

        made = open_store(request.getfixturevalue("postgres").url(tmp_path.name[-40:]))
    else:
        made = SqliteStore(
            tmp_path / "a.db", key="17" * 32 if request.param == "encrypted" else None
        )
    yield made
    made.close()


def test_the_trace_of_a_thread(store):
    """Runs, tasks, failed attempts, nested spans with tokens; the subgraph's too. (R40, R42)"""
    calls = []

    async def work(state):
        calls.append(1)
        with span("search", query="bees") as outer:
            with span("chat") as inner:
                await asyncio.sleep(0.02)
                inner.set(
                    **{"gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 5}, cost=0.25
                )
            outer.set(hits=3)
        if len(calls) == 1:
            raise ConnectionError("dropped")

    def slow(state):
        with span("in a thread"):
            time.sleep(0.01)

    with Graph("inner", State) as inner:
        START >> node(slow, name="slow") >> END
    with Graph("outer", State, store=store) as outer:
        first = node(work, name="work", retry=Retry(2, wait=0.01))
        START >> first >> node(inner, name="sub") >> node(lambda s: {"x": 1}, name="end") >> END
    graph = outer
    graph.run({"x": 0}, thread="t")
    table = graph.thread("t").trace()

    assert table["start"].is_monotonic_increasing
    tasks = table[(table.kind == "node") & (table.thread == "t")]
    assert [(1, "work", 2), (2, "sub", 1), (3, "end", 1)] == list(
        zip(tasks.step, tasks.node, tasks.attempt, strict=True)
    )
    assert ["work"] == list(table[table.kind == "attempt"].node)
    assert ["dropped"] == list(table[table.kind == "attempt"].error)
    spans = table[(table.kind == "span") & (table.node == "work")]
    assert ["search", "chat"] * 2 == list(spans.name)
    assert [1, 1, 2, 2] == list(spans.attempt)
    outer_ids = list(spans[spans.name == "search"].id)
    assert outer_ids == list(spans[spans.name == "chat"].parent)
    assert [12.0, 12.0] == list(spans[spans.name == "chat"].tokens)
    assert [0.25, 0.25] == list(spans[spans.name == "chat"].cost)
    assert all(spans.duration >= 0.02)
    assert ["t/2:sub"] == [id for id in set(table.thread) if "/" in id]
    assert "in a thread" in set(table.name)
    runs = table[(table.kind == "run") & (table.thread == "t")]
    assert [("outer", "done")] == list(zip(runs.name, runs.status, strict=True))
    assert isinstance(table, pandas.DataFrame)


def test_an_error_in_a_span_is_told_without_secrets(store, monkeypatch):
    """The span is an error with its type and message."""
    monkeypatch.setattr(secrets, "_values", {})
    key = Secret("a", "very-secret")

    def work(state):
        with span("call"):
            raise ValueError(f"401 with {key.reveal()}")

    with Graph("g", State, store=store) as graph:
        START >> node(work) >> END
    with pytest.raises(NodeError):
        graph.run({"x": 0}, thread="t")
    table = graph.thread("t").trace()
    (one,) = table[table.kind == "span"].itertuples()
    assert ("error", "401 with •••") == (one.status, one.error)
    assert ["failed"] == list(table[table.kind == "run"].status)


def test_spans_of_a_question_and_of_what_follows(store):
    """Each run is a row; the span before the question is there once for each time it ran."""

    def ask(state):
        with span("before"):
            pass
        return {"x": interrupt("Well?")}

    with Graph("g", State, store=store) as graph:
        START >> node(ask) >> END
    graph.run({"x": 0}, thread="t")
    graph.thread("t").resume("yes").result(5)
    table = graph.thread("t").trace()
    assert ["waiting", "done"] == list(table[table.kind == "run"].status)
    assert 2 == len(table[table.kind == "span"])


def test_outside_a_run_a_span_measures_and_keeps_nothing():
    """A node can be called and tested alone."""
    with span("alone", k=1) as one:
        time.sleep(0.001)
    assert one.ended - one.started >= 0.001
    assert {"k": 1} == one.attributes


def test_a_store_that_cannot_keep_spans_does_not_fail_the_run(caplog):
    """They are beside the point of the run."""

    class Full(MemoryStore):
        def put_spans(self, spans):
            from nbagent import StoreError

            raise StoreError("the disk is full")

    with Graph("g", State, store=Full()) as graph:
        START >> node(lambda s: {"x": 2}, name="a") >> END
    assert 2 == graph.run({"x": 0})["x"]
    assert "spans could not be stored" in caplog.text


def test_the_trace_is_drawn():
    """A bar for each task, failed attempt and span; an empty thread says so."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    calls = []

    def work(state):
        calls.append(1)
        with span("search"):
            time.sleep(0.02)
        if len(calls) == 1:
            raise ConnectionError("dropped")

    with Graph("g", State, store=MemoryStore()) as graph:
        first = node(work, name="work", retry=Retry(2, wait=0.01))
        START >> first >> node(lambda s: {"x": interrupt("Well?")}, name="ask") >> END
    graph.run({"x": 0}, thread="t")
    axes = graph.thread("t").plot()
    labels = [label.get_text().strip() for label in axes.get_yticklabels()]
    assert "work (attempt 1)  ·  step 1" in labels[:2]
    assert "search (attempt 2)  ·  step 1" in labels
    assert len(labels) == len(axes.patches)
