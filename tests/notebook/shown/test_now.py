"""What the view is told beside events: texts, causes, rows that are one row, groups, stacks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, TypedDict

import pytest

from nbagent import END, START, Graph, node
from nbagent.errors import NodeError
from nbagent.graph.layout import SIBLINGS, live_layout
from nbagent.notebook.shown.changes import change
from nbagent.notebook.shown.inbox import inbox
from nbagent.notebook.shown.rail import spent
from nbagent.notebook.shown.run_model import RunModel
from nbagent.notebook.shown.streams import KEPT, Streams, text_of
from nbagent.notebook.view import lookback
from nbagent.stores.memory import MemoryStore


class State(TypedDict):
    rows: list[dict[str, Any]]
    n: int


@pytest.mark.parametrize(
    ("piece", "text"),
    [
        ("a", "a"),
        ({"text": "a"}, "a"),
        ({"choices": [{"delta": {"content": "a"}}]}, "a"),
        ({"choices": [{"delta": {}}]}, ""),
        ({"delta": {"type": "text_delta", "text": "a"}}, "a"),
        (SimpleNamespace(content="a"), "a"),
        (SimpleNamespace(content=[{"type": "text", "text": "a"}, {"text": "b"}]), "ab"),
        ({"done": 3}, None),
        (3, None),
        (b"a", None),
    ],
)
def test_a_piece_of_a_text_is_found_by_its_shape(piece, text):
    """A text, OpenAI's, Anthropic's and LangChain's chunks; what has none is no text."""
    assert text == text_of(piece)


def test_a_stream_tells_what_was_added_and_a_new_page_all_of_it():
    """Each patch holds the rest of the text and where it begins; a look between takes nothing."""
    streams = Streams()
    streams.begin("t", "draft", "draft", 1.0, 1)
    for piece in ("Dear ", "Ada"):
        streams.add("t", piece)
    assert "Dear Ada" == streams.whole()["t"]["text"]
    told = streams.patch()["t"]
    assert (0, "Dear Ada", 2) == (told["at"], told["text"], told["pieces"])

    streams.add("t", ", thanks")
    told = streams.patch()["t"]
    assert (8, ", thanks") == (told["at"], told["text"])
    streams.add("t", "x" * 3 * KEPT)
    assert KEPT == len(streams.patch()["t"]["text"])


def test_a_node_that_says_nothing_has_no_stream():
    """It is gone when it ends, and the page is told."""
    streams = Streams()
    streams.begin("t", "draft", "draft", 1.0, 1)
    streams.patch()
    streams.end("t", "done", 2.0)
    assert {"t": None} == streams.patch()


def test_rows_are_matched_by_what_they_are():
    """By equality, then a key, then the most alike; what is the same folds to a count."""
    same = [{"title": f"s{n}", "year": n} for n in range(4)]
    old = [*same, {"title": "Currents", "year": 2027}, {"title": "Mill", "year": 1998}]
    new = [{"title": "First", "year": 1}, *same, {"title": "Currents", "year": 2029}]
    made = change("f", old, new)
    told = made["parts"][0]["records"]

    assert ["+1", "−1", "~1"] == made["counts"]
    assert ["+", "=", "~", "-"] == [op for op, _ in told["rows"]]
    assert 4 == told["rows"][1][1]
    assert ["Currents", ["2027", "2029"]] == told["rows"][2][1]


def test_a_failure_says_its_line_what_was_read_and_the_nearest_name():
    """And what is kept; the source stands around the line."""

    def load(state):
        return {"rows": [{"station": "N1", "depth": 31.5}] * 3}

    def depths(state):
        return {"n": [row["depth_m"] for row in state["rows"]]}

    with Graph("g", State, store=MemoryStore()) as made:
        first, second = node(load), node(depths)
        START >> first >> second >> END
    with pytest.raises(NodeError):
        made.run({}, "t")
    told = lookback.answer(made.thread("t"), "failure", {"node": "depths"})

    assert "depths" in told["where"]["name"] or "listcomp" in told["where"]["name"]
    lines = dict(told["where"]["source"])
    assert 'row["depth_m"]' in lines[told["where"]["line"]]
    assert "list of 3 dicts; the first:" in told["read"][0][1]
    assert "the key depth is in all 3 rows" == told["nearest"]
    assert "load is kept; only depths runs again" == told["kept"]


def test_an_inbox_puts_who_waits_first_and_is_cut():
    """The oldest question first; of what is done two, and how many there are."""
    row = {"graph": "g", "step": 1, "created": 0.0, "error": ""}
    rows = [
        {**row, "thread": f"d{n}", "status": "done", "updated": 100.0 - n} for n in range(100_000)
    ]
    rows += [{**row, "thread": f"w{n}", "status": "waiting", "updated": 9.0 - n} for n in range(3)]
    found = inbox(rows)

    assert ["w2", "w1", "w0", "d0", "d1"] == [one["thread"] for one in found["rows"]]
    assert [("waiting", 3, 3), ("done", 100_000, 2)] == [
        (group["name"], group["count"], group["shown"]) for group in found["groups"]
    ]
    assert ["d77"] == [one["thread"] for one in inbox(rows, text="d77", only="done")["rows"]][:1]


def test_many_siblings_are_one_stack_and_a_failed_one_stands_apart():
    """Those to which and from which the same leads; fewer stand side by side."""
    with Graph("g", State, store=MemoryStore()) as made:
        first = node(lambda state: None, name="first")
        many = [node(lambda state: None, name=f"fetch_{n:02}") for n in range(SIBLINGS + 4)]
        START >> first
        for one in many:
            first >> one >> END
    program = made.compile()
    (stack,) = [box for box in live_layout(program).boxes if box.kind == "stack"]
    assert ("fetch_*", SIBLINGS + 4) == (stack.name, len(stack.members))

    boxes = {box.name: box for box in live_layout(program, ["fetch_03"]).boxes}
    assert "fetch_03" in boxes
    assert SIBLINGS + 3 == len(boxes["fetch_*"].members)
    model = RunModel("t", "g", live_layout(program))
    assert {"first", *(one.name for one in many)} <= set(model.state["nodes"])


def test_three_kinds_of_time_are_not_added_up():
    """Work is what at least one attempt took; a person's time lies between two runs."""
    row = {"thread": "t", "task": "a", "step": 1, "status": "ok"}
    rows = [
        {**row, "kind": "run", "start": 0.0, "duration": 5.0, "status": "waiting"},
        {**row, "kind": "attempt", "start": 0.0, "duration": 1.0},
        {**row, "kind": "node", "start": 3.0, "duration": 2.0},
        {**row, "kind": "node", "task": "b", "start": 3.5, "duration": 1.0},
        {**row, "kind": "run", "start": 65.0, "duration": 1.0, "status": "done"},
        {**row, "kind": "node", "task": "c", "start": 65.0, "duration": 1.0},
    ]
    assert {"working": 4.0, "waited": 60.0, "backing": 2.0} == spent(rows)
