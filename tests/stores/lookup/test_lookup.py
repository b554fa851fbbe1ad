"""A store as a thing to look into: search, conditions, a database, tables for others."""

from __future__ import annotations

import json
import operator
import os
import sqlite3
import subprocess
import sys
from typing import Annotated, TypedDict

import pandas
import pytest

from nbagent import (
    END,
    START,
    Graph,
    StoreError,
    effect,
    interrupt,
    node,
    open_store,
    search,
    threads,
)
from nbagent.stores.lookup.database import database, export_tables


class Letter(TypedDict, total=False):
    topic: str
    notes: Annotated[list[str], operator.add]
    cost: float


def letters(store, name="letter"):
    with Graph(name, Letter, store=store) as made:

        @node
        def write(state):
            print("looking up", state["topic"])
            sent = effect("mail", lambda: "sent to Ada")
            return {"notes": [f"{state['topic']} build nests", sent], "cost": 0.5}

        @node
        def ask(state):
            interrupt(f"Publish {state['topic']}?", show=["notes"])

        START >> write >> ask >> END
    return made


@pytest.fixture(params=["sqlite", "memory"])
def store(request, tmp_path):
    made = open_store(tmp_path / "a b?#.db" if request.param == "sqlite" else "memory://")
    yield made
    made.close()


@pytest.fixture
def filled(store):
    graph = letters(store)
    for topic in ("wasps", "bees", "Über-Ameisen"):
        graph.run({"topic": topic}, thread=f"{topic}-1")
    graph.thread("bees-1").resume("yes").result()
    return store


def places(found):
    return [(row.thread, row.where, row.name) for row in found.itertuples()]


def test_words_are_found_where_they_stand(filled):
    """In states, questions, printed output and ids; in any case and accent, and begun words."""
    found = search("wasps", store=filled)
    assert {
        ("wasps-1", "id", ""),
        ("wasps-1", "state", "topic"),
        ("wasps-1", "state", "notes"),
        ("wasps-1", "question", "ask"),
        ("wasps-1", "printed", "write"),
    } == set(places(found))
    assert ["thread", "graph", "status", "where", "name", "snippet", "updated"] == list(found)
    assert "[wasps] build nests sent to Ada" in set(found["snippet"])
    assert {"waiting"} == set(found["status"])

    assert [("Über-Ameisen-1", "state", "notes")] == places(search("UBER nest*", store=filled))
    assert [] == places(search("wasps bees", store=filled))
    assert 3 == len(search('"build nests"', store=filled))
    assert [] == places(search('"nests build"', store=filled))
    assert 1 == len(search("wasps", store=filled, limit=1))


@pytest.mark.parametrize("text", ['"', "a:b", "NEAR(", "-", "^x", "*", "notes:wasps", 'a" OR "b'])
def test_what_a_person_types_is_words(filled, text):
    """Signs that mean something to SQLite find nothing, and break nothing."""
    search(text, store=filled)
    with pytest.raises(StoreError, match="words"):
        search("  ", store=filled)


def test_the_index_is_as_the_threads_are(filled, tmp_path):
    """What has changed is read again, and what was thrown away is gone, its words too."""
    assert 3 == len(search("nests", store=filled))
    graph = letters(filled)
    graph.thread("wasps-1").edit({"topic": "hornets"})
    assert ("wasps-1", "state", "topic") in places(search("hornets", store=filled))
    graph.thread("Über-Ameisen-1").delete()
    index = tmp_path / "a b?#.db-search"
    if index.exists():
        assert 0o600 == index.stat().st_mode & 0o777
        assert b"Ameisen" not in index.read_bytes()
        index.write_bytes(b"no database" * 1000)
    assert 2 == len(search("nests", store=filled))


def test_an_encrypted_store_is_not_indexed(tmp_path, monkeypatch):
    """Only where somebody says so, and then in memory alone."""
    monkeypatch.setenv("KEY", "5a" * 32)
    store = open_store(f"sqlite:///{tmp_path}/sealed.db?key_env=KEY")
    letters(store).run({"topic": "wasps"}, thread="a")

    for call in (
        lambda: search("wasps", store=store),
        lambda: database(store),
        lambda: export_tables(tmp_path / "out", store),
    ):
        with pytest.raises(StoreError, match="plain=True"):
            call()
    assert 4 == len(search("wasps", store=store, plain=True))
    db = database(store, plain=True)
    rows = db.query("select value from state where field = 'topic'")
    assert ["wasps"] == [row["value"] for row in rows]
    db.close()
    store.close()
    for path in tmp_path.iterdir():
        assert b"wasps" not in path.read_bytes()


def test_threads_are_chosen_by_a_condition(filled):
    """By the table's columns, with values in their holes; in an order; by what the state has."""
    assert ["bees-1"] == list(threads(filled, where="status = ?", params=["done"])["thread"])
    named = threads(filled, where="status = :s", params={"s": "waiting"}, order_by="thread desc")
    assert ["Über-Ameisen-1", "wasps-1"] == list(named["thread"])
    assert ["wasps-1"] == list(threads(filled, state={"topic": "wasps", "cost": 0.5})["thread"])
    assert [] == list(threads(filled, state={"topic": None})["thread"])
    assert ["Über-Ameisen-1"] == list(threads(filled, limit=1, order_by="thread desc")["thread"])
    since = pandas.Timestamp("2020-01-01", tz="UTC")
    assert 3 == len(threads(filled, where="updated > ?", params=[since]))
    assert list(threads(filled)) == list(threads(filled, where="0"))


@pytest.mark.parametrize(
    "where",
    ["colour = 1", "1; DROP TABLE threads", "load_extension('x')", "(SELECT 1 FROM nosuch)"],
)
def test_a_condition_that_cannot_be_is_said(filled, where):
    """With the columns that there are; nothing else can be reached from there."""
    with pytest.raises(StoreError, match="The columns are thread, graph, status"):
        threads(filled, where=where)


def test_a_database_is_current_and_only_read(filled):
    """Each query sees the threads as they are, also while they run; a state of the past, too."""
    db = database(filled)
    count = "select count(*) n from threads"
    assert 3 == next(db.query(count))["n"]

    with Graph("slow", Letter, store=filled) as slow:

        @node
        def look(state):
            rows = list(db.query("select field, value from state where thread = 's'"))
            return {"notes": [f"{row['field']}={row['value']}" for row in rows]}

        START >> node(lambda state: {"cost": 1.5}, name="first") >> look >> END
    seen = slow.run({"topic": "x"}, thread="s")["notes"]
    assert {"topic=x", "notes=[]", "cost=1.5"} == set(seen)

    assert 4 == next(db.query(count))["n"]
    past = next(db.query("select nbagent_state('s', 1) as state"))["state"]
    assert {"topic": "x", "notes": []} == json.loads(past)
    asked = next(db.query("select question, status, answer from questions where thread='bees-1'"))
    assert {"question": "Publish bees?", "status": "answered", "answer": "yes"} == asked
    sent = next(db.query("select key, status, result from effects where thread = 'bees-1'"))
    assert {"key": "mail", "status": "happened", "result": "sent to Ada"} == sent
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.execute("create table mine (x)")
    db.close()


def test_the_tables_of_an_export(filled, tmp_path):
    """A SQLite file and a folder of CSVs with the same rows; the state of every checkpoint."""
    made = export_tables(tmp_path / "out.db", filled)
    with sqlite3.connect(made) as db:
        states = db.execute(
            "select checkpoint, field from state where thread = 'wasps-1' order by 1, 2"
        ).fetchall()
        kinds = dict(db.execute("select kind, count(*) from trace group by 1").fetchall())
    db.close()
    assert [(1, "notes"), (1, "topic"), (2, "cost"), (2, "notes"), (2, "topic")] == states
    assert {"node": 4, "run": 4} == {name: kinds[name] for name in ("node", "run")}

    folder = export_tables(tmp_path / "out", filled)
    state = pandas.read_csv(folder / "state.csv")
    assert 7 == len(state.query("field == 'topic'"))
    assert folder == export_tables(folder, filled)
    with pytest.raises(StoreError, match="other files"):
        export_tables(tmp_path, filled)


def test_what_a_spreadsheet_would_run_is_text(tmp_path):
    """A state that holds a formula is shown, and does not run on somebody's machine."""
    graph = letters("memory://", "formula")
    graph.run({"topic": "=1+1"}, thread="f")
    folder = export_tables(tmp_path / "out", graph.store)
    assert "'=1+1" in (folder / "state.csv").read_text("utf-8")
    graph.thread("f").delete()


def test_a_class_of_somebody_elses_notebook_is_shown(tmp_path):
    """Who looks into a file need not have the classes of its state; who goes on with it, does."""
    code = """
import dataclasses, enum
from typing import TypedDict
from nbagent import *
class Mood(enum.Enum):
    good = 1
@dataclasses.dataclass
class Bee:
    name: str
    mood: Mood
class State(TypedDict, total=False):
    bee: Bee
with Graph("g", State, store="sqlite:///there.db") as g:
    START >> node(lambda s: {"bee": Bee("Maja", Mood.good)}, name="a") >> END
g.run({}, thread="t")
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    store = open_store(tmp_path / "there.db")
    db = database(store)
    (row,) = db.query("select value from state")
    assert '"name": "Maja"' in row["value"]
    db.close()
    assert ["t"] == list(search("maja", store=store)["thread"])
    store.close()


def test_import_costs_nothing():
    """sqlite-utils takes most of a second: nothing of it is imported before it is used."""
    code = "import nbagent, sys; nbagent.search; print('sqlite_utils' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert "False" == done.stdout.strip()


def test_an_index_that_cannot_be_kept_is_made_anew_or_in_memory(tmp_path, monkeypatch):
    """Of another version, or in a folder that nobody may write to: words are found all the same."""
    from nbagent.stores.lookup import index

    store = open_store(tmp_path / "a.db")
    letters(store).run({"topic": "wasps"}, thread="t")
    assert 4 == len(search("wasps", store=store))
    with sqlite3.connect(tmp_path / "a.db-search") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    assert 4 == len(search("wasps", store=store))

    def refused(path):
        raise PermissionError(path)

    monkeypatch.setattr(index, "_connected", refused)
    (tmp_path / "a.db-search").unlink()
    assert 4 == len(search('wasps ""', store=store))
    assert not (tmp_path / "a.db-search").exists()
    letters(store).thread("t").delete()
    assert 0 == len(search("wasps", store=store))
    store.close()
