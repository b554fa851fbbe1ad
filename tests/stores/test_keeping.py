"""Copying between stores, exporting, importing, pruning, measuring. (R24, R47, W15)"""

import operator
import sqlite3
from typing import Annotated, TypedDict

import pytest

import nbagent
from nbagent import END, START, Graph, each, effect, interrupt, node
from nbagent.engine.store.ownership import current_owner
from nbagent.errors import ThreadBusy, ThreadError, UnknownThread
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore


class State(TypedDict):
    x: int
    log: Annotated[list[str], operator.add]


def made(store):
    """Two subgraphs that ask, behind a step that pays."""
    with Graph("inner", State) as inner:
        START >> node(lambda s: {"log": [interrupt(f"Well, {s['x']}?")]}, name="ask") >> END
    with Graph("outer", State, store=store) as outer:
        pay = node(lambda s: {"x": effect("pay", lambda: 5)}, name="pay")
        many = each(lambda s: [{"x": 1, "log": []}, {"x": 2, "log": []}], node(inner, name="many"))
        START >> pay >> many >> END
    return outer


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def target(request, tmp_path):
    """An empty store of each kind."""
    if request.param == "memory":
        store = MemoryStore()
    elif request.param == "sqlite":
        store = SqliteStore(tmp_path / "target.db")
    else:
        server = request.getfixturevalue("postgres")
        store = nbagent.open_store(server.url(tmp_path.name[-40:]))
    yield store
    store.close()


@pytest.fixture
def source(tmp_path):
    store = SqliteStore(tmp_path / "source.db")
    made(store).run({"x": 0, "log": []}, thread="t")
    yield store
    store.close()


def test_a_thread_goes_on_in_another_store(source, target):
    """With its history, questions, effects and subgraphs; the first stays as it was."""
    thread = made(source).thread("t")
    thread.copy(target)
    there = made(target).thread("t")
    assert list(thread.history()["at"]) == list(there.history()["at"])
    assert thread.questions == there.questions

    answers = {question.id: question.question for question in there.questions}
    assert ["Well, 1?", "Well, 2?"] == there.resume(answers=answers).result(10)["log"]
    assert ("waiting", "done") == (thread.status, there.status)
    with pytest.raises(ThreadError, match="already"):
        thread.copy(target)


def test_a_thread_comes_back_from_another_store(source, target, tmp_path):
    """From each kind of store into a file, equal checkpoint by checkpoint."""
    made(source).thread("t").copy(target)
    made(target).thread("t").export(tmp_path / "colleague.db")
    back = SqliteStore(tmp_path / "colleague.db")
    assert sorted(info.id for info in source.threads()) == sorted(i.id for i in back.threads())
    for info in source.threads():
        for line in source.history(info.id):
            assert source.load(info.id, line.id) == back.load(info.id, line.id)
    back.close()


def test_a_colleague_imports_the_file(source, tmp_path):
    """One file, no log beside it, and the thread is theirs."""
    thread = made(source).thread("t")
    thread.export(tmp_path / "one.db")
    assert ["one.db"] == [file.name for file in tmp_path.glob("one.db*")]
    theirs = MemoryStore()
    assert ["t"] == nbagent.import_threads(str(tmp_path / "one.db"), theirs)
    assert 2 == len(made(theirs).thread("t").questions)


def test_a_copy_that_fails_is_not_there(source):
    """Half a thread is no thread."""

    class Full(MemoryStore):
        def put_journal(self, lease, entries):
            raise nbagent.StoreError("the disk is full")

    full = Full()
    with pytest.raises(nbagent.StoreError, match="disk is full"):
        made(source).thread("t").copy(full)
    assert [] == full.threads()


def test_pruning_by_status_age_and_count(target):
    """Whole threads, or all but their last checkpoints; a table says what went."""
    graph = made(target)
    for id in ("waits", "ends"):
        graph.run({"x": 0, "log": []}, thread=id)
    ends = graph.thread("ends")
    ends.resume(answers={question.id: "yes" for question in ends.questions}).result(10)

    assert 0 == len(nbagent.prune(target, older_than=3600.0))
    planned = nbagent.prune(target, keep=1, dry_run=True)
    assert {"waits": 1, "ends": 2} == dict(
        zip(planned["thread"], planned["checkpoints"], strict=True)
    )
    nbagent.prune(target, keep=1)
    assert {"waits": 1, "ends": 1} == {id: len(target.history(id)) for id in ("waits", "ends")}
    # The subgraphs of a step that has gone went with it; those that wait are there.
    assert {"ends", "waits", "waits/2:many#0", "waits/2:many#1"} == {
        info.id for info in target.threads()
    }
    waits = graph.thread("waits")
    waits.resume(answers={question.id: "yes" for question in waits.questions}).result(10)
    assert ["yes", "yes"] == waits.state["log"]

    graph.run({"x": 0, "log": []}, thread="more")
    nbagent.prune(target, status="done")
    assert ["more"] == [info.id for info in target.threads() if not info.is_nested]
    nbagent.prune(target, threads=["more"])
    assert [] == target.threads()


def test_pruning_says_what_it_needs(target):
    """Nothing is thrown away by a call without arguments."""
    with pytest.raises(ValueError, match="say which"):
        nbagent.prune(target)
    with pytest.raises(ValueError, match="at least 1"):
        nbagent.prune(target, keep=0)


def test_a_running_thread_is_left_alone(target):
    """It cannot be deleted, and pruning passes it over."""
    graph = made(target)
    graph.run({"x": 0, "log": []}, thread="t")
    target.acquire("t", nbagent.engine.store.ownership.current_owner())
    with pytest.raises(ThreadBusy):
        graph.thread("t").delete()
    assert 0 == len(nbagent.prune(target, keep=1))


@pytest.mark.parametrize("taken", [{"a"}, {"b"}, {"a", "b"}])
def test_a_thread_that_is_taken_meanwhile_is_not_pruned(source, taken):
    """Between the look at the list and the lease; the table tells of the others alone."""
    for id in ("a", "b"):
        made(source).run({"x": 0, "log": []}, thread=id)
    source.delete(source.acquire("t", current_owner()))
    acquire = source.acquire

    def faster(id, owner, **how):
        if id in taken:
            acquire(id, current_owner(), **how)
        return acquire(id, owner, **how)

    source.acquire = faster
    gone = nbagent.prune(source, keep=1)

    assert {"a", "b"} - taken == set(gone["thread"])


def test_a_deleted_thread_takes_its_subgraphs_with_it(target):
    """And is unknown then."""
    thread = made(target).thread("t")
    made(target).run({"x": 0, "log": []}, thread="t")
    thread.delete()
    assert [] == target.threads()
    with pytest.raises(UnknownThread):
        thread.delete()


def test_the_size_of_each_field(target):
    """A table by thread and field, the largest first."""
    made(target).run({"x": 0, "log": ["a long line " * 100]}, thread="t")
    table = nbagent.sizes(target)
    mine = table[table.thread == "t"]
    assert "log" == mine.field.iloc[0]
    assert mine["size"].iloc[0] >= 1200


def test_vacuum_gives_the_space_back(tmp_path):
    """A pruned file is as small as what it holds."""
    store = SqliteStore(tmp_path / "a.db")
    made(store).run({"x": 0, "log": ["line " * 200_000]}, thread="t")
    nbagent.prune(store, status="waiting")
    nbagent.vacuum(store)
    assert (tmp_path / "a.db").stat().st_size < 200_000
    store.close()


def test_the_file_explains_itself_to_other_tools(source, tmp_path):
    """Any SQLite tool shows threads, history, effects, questions, and values as JSON. (R25)"""
    made(source).thread("t").export(tmp_path / "one.db")
    with sqlite3.connect(tmp_path / "one.db") as db:
        found = {
            view: db.execute(f"SELECT * FROM {view}").fetchall()
            for view in ("thread_list", "unfinished", "history", "task_list", "questions")
        }
        assert all(found.values())
        assert [("pay", "happened")] == db.execute("SELECT effect, outcome FROM effects").fetchall()
        values = dict(db.execute("SELECT field, value FROM state WHERE thread = 't'").fetchall())
        assert {"x": "5", "log": "[]"} == values
    db.close()
