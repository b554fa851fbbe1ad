"""What differs between two values, as a page shows it, and what a form sends back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypedDict

import pandas
import pytest
from pydantic import BaseModel

from nbagent import END, START, Graph, branch, node
from nbagent.engine.model.values import MISSING, freeze
from nbagent.errors import StateError, ThreadError
from nbagent.notebook.shown import changes
from nbagent.notebook.shown.changes import ALL_WORDS, PARTS, change, word_diff
from nbagent.notebook.shown.preview import preview
from nbagent.notebook.view import lookback as explorer
from nbagent.notebook.view.forms import json_values, read_edits
from nbagent.stores.memory import MemoryStore

PNG = bytes.fromhex("89504e470d0a1a0a") + b"rest"


@dataclass(frozen=True)
class Fix:
    column: str
    rows: int


class Web(BaseModel):
    url: str
    depth: int = 1


class State(TypedDict):
    n: int
    notes: list[str]
    web: Web
    table: pandas.DataFrame
    text: str


def told(made):
    """Paths with the texts of both sides."""
    return [
        (part["path"], *(part[side]["text"] for side in ("before", "after") if side in part))
        for part in made["parts"]
    ]


def test_a_change_is_told_by_its_path():
    """Nested mappings, lists, dataclasses; what is the same is not looked at."""
    same = freeze({"deep": [1, 2, {"x": 1}]})
    old = freeze({"a": same, "plan": [Fix("age", 1), Fix("name", 2)], "gone": 1})
    new = freeze({"a": same, "plan": [Fix("age", 1), Fix("name", 3)], "new": 2})
    made = change("f", old, new)

    assert "changed" == made["kind"]
    assert [("plan[1].rows", "2", "3"), ("gone", "1"), ("new", "2")] == told(made)


@pytest.mark.parametrize(
    ("old", "new", "kind", "paths"),
    [
        ([1, 2], [1, 2, 3], "grown", ["[2]"]),
        ([1, 3], [1, 2, 3], "grown", ["[1]"]),
        ([1, 2, 3], [1, 3], "changed", ["[1]"]),
        ([1, 2, 3], [1, 5, 6, 3], "changed", ["[1]", "[2]"]),
        (1, "1", "changed", [""]),
        (MISSING, 1, "added", [""]),
        (1, MISSING, "removed", [""]),
        ([], [1], "grown", ["[0]"]),
        ({1}, {2}, "changed", [""]),
    ],
)
def test_kinds_of_change(old, new, kind, paths):
    """A list that only got longer has grown, wherever."""
    made = change("f", freeze(old), freeze(new))

    assert (kind, paths) == (made["kind"], [part["path"] for part in made["parts"]])


def test_long_texts_are_told_by_words():
    """Equal stretches are cut short; putting the parts together gives both texts again."""
    old = "The quick brown fox jumps over the lazy dog. " * 20
    new = old.replace("lazy", "sleepy", 1)
    parts = change("f", old, new)["parts"]

    assert ["lazy", "sleepy"] == [text for op, text in parts[0]["words"] if op in "-+"]
    assert any(op == "…" for op, _ in parts[0]["words"])
    assert word_diff("a" * 50, "b" * 50) is None
    words = word_diff("one two three four five six seven", "one two 3 four five six seven 8")
    assert "one two three four five six seven" == "".join(t for op, t in words if op in "=-")
    assert "one two 3 four five six seven 8" == "".join(t for op, t in words if op in "=+")


def test_a_table_is_told_by_its_cells():
    """Only the rows that changed; rows that were added; other columns are another table."""
    old = pandas.DataFrame({"a": range(100), "b": ["x"] * 100})
    new = old.copy()
    new.loc[7, "b"] = "y"
    made = change("f", old, new)["parts"][0]["table"]

    assert [["7", "7", ["x", "y"]]] == made["rows"]
    assert "1 cell changed" == made["text"]
    longer = pandas.concat([old, old.iloc[:2]])
    assert "2 rows added" == change("f", old, longer)["parts"][0]["table"]["text"]
    assert "before" in change("f", old, old.rename(columns={"a": "z"}))["parts"][0]


def test_a_change_is_bounded_and_plain():
    """Whatever the sizes; JSON all of it."""
    made = change("f", list(range(5_000)), [n + 1 for n in range(5_000)])

    assert PARTS == len(made["parts"])
    assert made["more"] > 0
    texts = change("f", "a b " * 100_000, "b a " * 100_000)
    assert 60_000 > len(json.dumps(texts))


def test_pictures_and_documents_are_shown_as_what_they_are():
    """An image by its bytes or by what it shows of itself; HTML is kept for a sandbox."""

    class Chart:
        def _repr_html_(self):
            return "<b>hi</b><script>alert(1)</script>"

    class Broken:
        def _repr_png_(self):
            raise RuntimeError("no")

    assert ("image", True) == (preview(PNG)["kind"], preview(PNG)["src"].startswith("data:image/"))
    assert ("html", True) == (preview(Chart())["kind"], "html" in preview(Chart()))
    assert "other" == preview(Broken())["kind"]
    assert "other" == preview(PNG + b"x" * 600_000)["kind"]


@pytest.fixture
def thread():
    """A thread of three super-steps over a state with a table."""
    frame = pandas.DataFrame({"a": [1, 2], "b": [1.5, None]})
    with Graph("g", State, store=MemoryStore()) as graph:
        one = node(lambda s: {"table": frame, "web": Web(url="u")}, name="one")
        two = node(lambda s: {"n": s["n"] + 1, "notes": ["The <b>bee</b>"]}, name="two")
        three = node(lambda s: {"notes": [*s["notes"], "flower"]}, name="three")
        START >> one >> two >> three >> END
    graph.run({"n": 1}, "t")
    return graph.thread("t")


def test_the_past_is_answered_checkpoint_by_checkpoint(thread):
    """By place, super-step or id; with what ran, what was still to come, and what changed."""
    third = explorer.answer(thread, "at", {"index": 2})

    assert (3, 2, 4, False) == tuple(
        third[name] for name in ("checkpoint", "step", "total", "is_latest")
    )
    assert ["done", "done", "queued"] == [
        third["nodes"][n]["status"] for n in ("one", "two", "three")
    ]
    assert ["n", "notes"] == sorted(change["field"] for change in third["changes"])
    assert [["two", "three"]] == third["taken"]
    assert third["index"] == explorer.answer(thread, "at", {"step": 2})["index"]
    assert third["values"] == explorer.answer(thread, "at", {"checkpoint": 3})["values"]
    assert "notes" not in explorer.answer(thread, "at", {"index": -5})["values"]
    assert json.dumps(third)


def test_search_finds_names_and_values_with_their_places(thread):
    """Whatever the case; in the latest state or in an earlier one."""
    found = explorer.answer(thread, "search", {"text": "BEE"})["hits"]

    assert [{"path": "notes[0]", "text": "The <b>bee</b>"}] == found
    assert ["web.url"] == [
        h["path"] for h in explorer.answer(thread, "search", {"text": "url"})["hits"]
    ]
    assert [] == explorer.answer(thread, "search", {"text": "bee", "checkpoint": 2})["hits"]


def test_history_compare_value_and_notes(thread):
    """What the page asks besides; what nobody knows is refused by name."""
    thread.annotate("good", checkpoint=3)
    thread.annotate("better", checkpoint=3)
    fork = thread.fork(checkpoint=2)
    lines = explorer.answer(thread, "history", {"limit": 3})

    assert ([4, 3, 2], 1) == ([row["id"] for row in lines["rows"]], lines["more"])
    assert {"3": "better"} == lines["notes"]
    assert [(fork.id, 2)] == [(one["thread"], one["from"]) for one in lines["forks"]]
    assert "t" == explorer.answer(fork, "history", {})["parent"]
    both = explorer.answer(thread, "compare", {"a": 2, "b": 4})["changes"]
    assert {"n", "notes"} == {change["field"] for change in both}
    assert "The <b>bee</b>" == explorer.answer(thread, "value", {"path": ["notes", "0"]})["text"]
    with pytest.raises(ThreadError, match="no \\['notes', '9'\\]"):
        explorer.answer(thread, "value", {"path": ["notes", "9"]})
    with pytest.raises(ThreadError, match="nobody answers"):
        explorer.answer(thread, "delete", {})
    assert 3 == len(explorer.answer(thread, "timeline", {})["rows"])


def test_a_form_sends_cells_and_gets_models_back(thread):
    """A table comes back as its changed cells, each in its column's type; a dict where the class
    says a model becomes one; nothing is written when one cell does not fit."""
    values = thread.latest().checkpoint.values
    shown = json_values(thread, values)

    assert [["1", "1.5"], ["2", ""]] == shown["table"]["$table"]["rows"]
    edits = read_edits(
        values, {"table": {"$cells": [[0, 0, "7"], [1, 1, "2.5"]]}, "web": {"url": "v"}}
    )
    thread.edit(edits)
    assert [[7, 1.5], [2, 2.5]] == thread.state["table"].values.tolist()
    assert Web(url="v") == thread.state["web"]
    with pytest.raises(StateError) as caught:
        read_edits(values, {"table": {"$cells": [[0, 0, "x"], [1, 0, ""], [1, 1, "2"]]}})
    assert [("table", 0, 0), ("table", 1, 0)] == [problem.path for problem in caught.value.errors]


@pytest.mark.parametrize(
    ("column", "text", "expected"),
    [
        ("c", "b", "b"),
        ("c", "z", "'z' is not one of a, b"),
        ("b", "false", False),
        ("b", "maybe", "neither True nor False"),
        ("d", "2026-05-05", pandas.Timestamp("2026-05-05")),
        ("d", "soon", "unable to parse"),
        ("i", "4", 4),
        ("i", "", pandas.NA),
        ("i", "1.5", "not a whole number"),
        ("n", "", "a value is needed"),
        ("n", "9007199254740993", 9007199254740993),
        ("s", "", ""),
        ("f", "", float("nan")),
        ("f", "1e999", "is too large"),
        ("n8", "300", "is too large"),
        ("n8", "-5", -5),
        ("n", "1" * 31, "column is int64"),
        ("o", "False", False),
        ("o", "2.5", "is no bool"),
    ],
)
def test_a_cell_is_read_in_the_type_of_its_column(column, text, expected):
    """Nothing becomes a missing value that a person did not clear."""
    frame = pandas.DataFrame(
        {
            "c": pandas.Categorical(["a", "b"]),
            "b": [True, False],
            "d": pandas.to_datetime(["2026-01-01", "2026-01-02"]),
            "i": pandas.array([1, None], dtype="Int64"),
            "n": [1, 2],
            "s": ["x", "y"],
            "f": [0.5, 1.5],
            "n8": pandas.array([1, 2], dtype="int8"),
            "o": pandas.Series([True, "x"], dtype=object),
        }
    )
    edit = {"t": {"$cells": [[0, list(frame).index(column), text]]}}
    if isinstance(expected, str) and " " in expected:
        with pytest.raises(StateError) as caught:
            read_edits({"t": frame}, edit)
        assert expected in caught.value.errors[0].message
        return
    made = read_edits({"t": frame}, edit)["t"]
    found = made[column].iloc[0]
    assert (pandas.isna(found) and pandas.isna(expected)) or found == expected
    assert list(frame.dtypes) == list(made.dtypes)
    assert ["1", ""] == [row[3] for row in json_values_of(frame)]


def json_values_of(frame):
    """The rows that a form shows of a table."""
    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(lambda s: None, name="one") >> END
    return json_values(graph.thread("t"), {"table": frame})["table"]["$table"]["rows"]


def test_a_number_that_a_browser_would_change_stays_out_of_the_form(thread):
    """Its numbers are floats: an id of 19 digits would come back as another one. (W16, W21)"""
    shown = json_values(thread, {"n": 2**53 + 1, "notes": ["x"], "text": "y"})

    assert "a browser would change" in shown["n"]["$opaque"]
    assert (["x"], "y") == (shown["notes"], shown["text"])
    assert 2**53 == json_values(thread, {"n": 2**53})["n"]


def test_a_field_too_large_for_a_form_says_so(thread):
    """The page gets its size, not its megabytes."""
    big: Any = {"text": "x" * 10**6, "notes": ["y" * 1000] * 1000, "n": 1}
    shown = json_values(thread, big)

    assert 1 == shown["n"]
    assert all("too large for a form" in shown[name]["$opaque"] for name in ("text", "notes"))


def test_the_edges_of_the_past_are_those_that_were_taken():
    """Not every edge between what ran and what ran next; to the end, too."""
    with Graph("g", State, store=MemoryStore()) as graph:
        a, b, c, d = (node(lambda s: {"n": 1} if s["n"] == 9 else None, name=n) for n in "abcd")
        START >> [a, b]
        a >> branch(lambda s: "c", c=c, d=d)
        b >> d
        c >> END
        d >> END
    live = []
    run = graph.start({"n": 1}, "t")
    run.watch(lambda e: live.append(sorted(map(list, e.took))) if hasattr(e, "took") else None)
    run.result(5)
    thread = graph.thread("t")
    past = [sorted(explorer.answer(thread, "at", {"index": n})["taken"]) for n in (1, 2)]

    assert live == past
    assert [["a", "c"], ["b", "d"]] == past[0]


def test_the_past_of_a_changed_graph_and_of_a_pruned_thread():
    """It can still be looked at; what is gone is said to be."""

    def made(name, store):
        with Graph("g", State, store=store) as graph:
            START >> node(lambda s: {"n": 2}, name="one") >> node(lambda s: None, name=name) >> END
        return graph

    store = MemoryStore()
    made("two", store).run({"n": 1}, "t")
    thread = made("other", store).thread("t")
    assert "one" in explorer.answer(thread, "at", {"index": 1})["nodes"]
    assert 2 == explorer.answer(thread, "at", {"index": 2})["step"]
    with pytest.raises(ThreadError, match="checkpoint 99 of thread 't' is gone"):
        explorer.answer(thread, "at", {"checkpoint": 99})


def test_no_value_stops_a_view():
    """Huge integers, halves of characters, objects that answer to everything or to nothing."""

    class Rude(dict):
        def items(self):
            raise RuntimeError("no")

    class Everything:
        __slots__ = ()

        def __getattr__(self, name):
            return lambda *args: self

    class Broken:
        @property
        def iloc(self):
            raise RuntimeError("no")

    for value in (10**5000, "half \ud83d", Rude(a=1), Everything(), Broken(), float("nan")):
        json.dumps(preview(value)).encode()
        json.dumps(preview({"x": [value]}), ensure_ascii=False).encode()
        change("f", [value], [value, 1])


def test_a_diff_of_many_texts_compares_so_many_words_and_no_more(monkeypatch):
    """What is beyond the words that are compared is shown whole: what it takes is bounded."""
    compared = []

    def counted(before, after):
        compared.append((len(before) + len(after)) // 5)
        return word_diff(before, after)

    monkeypatch.setattr(changes, "word_diff", counted)
    for count in (28, 280):
        compared.clear()
        old = [" ".join(f"word{n % 7}" for n in range(300)) for _ in range(count)]
        made = change("f", old, [text.replace("word3", "other") for text in old])

        assert PARTS > len([part for part in made["parts"] if "words" in part]) > 0
        assert 0 < sum(compared[:-1]) <= ALL_WORDS


def test_deeply_nested_values_are_compared_to_a_depth():
    """And no further; it is no recursion without end."""
    old, new = 1, 2
    for _ in range(400):
        old, new = [old], [new]

    assert "changed" == change("f", old, new)["kind"]
