"""
Every file format that was ever written is opened, migrated, and its threads go on. (R47)
"""

import operator
import shutil
import sqlite3
from pathlib import Path
from typing import Annotated, TypedDict

import pytest

from nbagent import END, START, Graph, StoreError, interrupt, node
from nbagent.engine.model.checkpoint import Checkpoint
from nbagent.engine.model.values import seal
from nbagent.engine.store.ownership import current_owner
from nbagent.stores.sql.sqlite_tables import MIGRATIONS
from nbagent.stores.sqlite import SqliteStore

GOLDEN = Path(__file__).parent / "golden"


class State(TypedDict):
    topic: str
    notes: Annotated[list[str], operator.add]
    verdict: str


def test_there_is_a_file_of_every_schema():
    """Whoever adds a migration adds a file of the schema before it."""
    assert {f"schema-{number}.db" for number in range(1, len(MIGRATIONS))} <= {
        file.name for file in GOLDEN.iterdir()
    }


def test_a_file_with_views_of_its_owner_is_opened(tmp_path):
    """They look at our tables and views, and one is broken; they are there afterwards."""
    path = shutil.copy(GOLDEN / "schema-3.db", tmp_path / "old.db")
    with sqlite3.connect(path) as db:
        db.execute("CREATE VIEW steps AS SELECT id, step FROM threads")
        db.execute("CREATE VIEW mine AS SELECT id, run_by FROM thread_list")
        db.execute("CREATE VIEW broken AS SELECT * FROM nowhere")
        db.execute("CREATE INDEX by_step ON threads (step)")
    db.close()
    store = SqliteStore(path)

    assert 2 == len(store.threads())
    with sqlite3.connect(path) as db:
        assert 2 == len(db.execute("SELECT * FROM mine").fetchall())
        with pytest.raises(sqlite3.IntegrityError, match="restart this kernel"):
            db.execute("UPDATE threads SET step = 5")  # what an older nbagent does
    db.close()
    store.close()


@pytest.mark.postgres
def test_an_older_database_goes_on(postgres):
    """The same in PostgreSQL: a thread of its first schema is there in this one."""
    import psycopg

    from nbagent.stores.postgres import PostgresStore
    from nbagent.stores.sql.postgres_tables import MIGRATIONS

    url = postgres.url("golden")
    with psycopg.connect(url.partition("&schema")[0], autocommit=True) as db:
        db.execute("CREATE SCHEMA golden")
        db.execute("SET search_path TO golden")
        db.execute("CREATE TABLE migrations (number INTEGER PRIMARY KEY)")
        db.execute("INSERT INTO migrations VALUES (1)")
        db.execute(MIGRATIONS[0])
        db.execute("CREATE VIEW mine AS SELECT * FROM unfinished")
        db.execute(
            "INSERT INTO threads (id, graph, status, step, checkpoint, created, updated)"
            " VALUES ('t', 'research', 'paused', 0, 0, 1, 2)"
        )
    store = PostgresStore(url)
    lease = store.acquire("t", current_owner())
    store.commit(lease, Checkpoint(1, None, 7, "step", seal({"x": [1]}), seal({}), (), (), 1))
    store.release(lease, "paused")

    assert ("research", "paused", 7) == (
        store.thread("t").graph,
        store.thread("t").status,
        store.thread("t").step,
    )
    with psycopg.connect(url.partition("&schema")[0]) as db:
        assert [("t", 7)] == db.execute("SELECT id, step FROM golden.mine").fetchall()
        with pytest.raises(psycopg.errors.RaiseException, match="restart this kernel"):
            db.execute("UPDATE golden.threads SET step = 5")  # what an older nbagent does
    store.close()


def test_what_is_nested_in_an_older_file_is_known_by_its_column(tmp_path):
    """Ids with slashes were taken apart once: a subgraph's thread stays its parent's, a fork and
    a thread of the user's stay their own."""
    store = SqliteStore(shutil.copy(GOLDEN / "schema-4.db", tmp_path / "old.db"))

    assert {
        "outer-1/1:inner": ("outer-1", "1:inner"),
        "proj/what-if": ("proj", ""),
        "proj/notes": (None, ""),
    } == {one.id: (one.parent, one.place) for one in store.threads() if "/" in one.id}
    db = sqlite3.connect(tmp_path / "old.db")
    with pytest.raises(sqlite3.IntegrityError, match="restart this kernel"):
        db.execute(  # what an older nbagent does
            "INSERT INTO threads (id, graph, status, step, checkpoint, created, updated)"
            " VALUES ('t', 'g', 'running', 0, 0, 1, 2)"
        )
    db.close()
    store.close()


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.db")), ids=lambda file: file.stem)
def test_an_older_file_goes_on(file, tmp_path):
    """Its waiting thread is answered; its history and its finished thread are as they were."""
    store = SqliteStore(shutil.copy(file, tmp_path / "old.db"))
    with Graph("research", State, store=store) as research:

        @node
        def plan(state):
            raise AssertionError("it finished long ago")

        @node
        def judge(state):
            return {"verdict": interrupt("Accept?", show=["notes"])}

        START >> plan >> judge >> END
    one = research.thread("waiting-1")

    assert ["Accept?"] == [question.question for question in one.questions]
    assert "yes" == one.resume("yes").result(10)["verdict"]
    assert {"topic": "ants", "notes": ["about ants"], "verdict": "accept"} == research.thread(
        "done-1"
    ).state
    assert 3 == len(store.history("done-1"))
    store.close()


def test_an_older_nbagent_takes_no_thread_of_a_file_that_a_newer_one_has_opened(tmp_path):
    """It would take how a long list is stored by now for damage, and go back to before it."""
    store = SqliteStore(shutil.copy(GOLDEN / "schema-5.db", tmp_path / "old.db"))
    db = sqlite3.connect(tmp_path / "old.db")
    with pytest.raises(sqlite3.IntegrityError, match="restart this kernel"):
        db.execute("UPDATE threads SET owner = '', since = 1, epoch = epoch + 1")
    db.close()
    store.close()


def test_a_newer_file_is_refused(tmp_path):
    """With a sentence that says what to do."""
    path = shutil.copy(GOLDEN / "schema-5.db", tmp_path / "new.db")
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    with pytest.raises(StoreError, match="update nbagent to open it"):
        SqliteStore(path)
