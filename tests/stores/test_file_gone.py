"""A file that is deleted, moved or replaced under a kernel is noticed before anything is said to be
kept."""

import os
import shutil
import threading
from typing import TypedDict

import pytest

from nbagent import END, START, Graph, NodeError, StoreError, node, open_store
from nbagent.stores.sqlite import SqliteStore


class State(TypedDict):
    x: int


def made(store, function=lambda state: {"x": state["x"] + 1}):
    with Graph("g", State, store=store) as graph:
        START >> node(function, name="a") >> END
    return graph


def delete_all(path, backup):
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def made_anew(path, backup):
    delete_all(path, backup)
    open_store(path).close()


WAYS = {
    "deleted": delete_all,
    "file deleted": lambda path, backup: path.unlink(),
    "log deleted": lambda path, backup: path.with_name("a.db-wal").unlink(),
    "replaced": lambda path, backup: os.replace(backup, path),
    "deleted and made anew": lambda path, backup: (
        delete_all(path, backup),
        open_store(path).close(),
    ),
    "moved": lambda path, backup: path.rename(path.with_name("elsewhere.db")),
    "folder moved": lambda path, backup: path.parent.rename(path.parent.with_name("elsewhere")),
    "folder deleted": lambda path, backup: shutil.rmtree(path.parent),
}


@pytest.fixture
def path(tmp_path):
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "a.db"


@pytest.mark.parametrize("durability", ["power", "process"])
@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_acknowledged_that_is_lost(way, durability, path, tmp_path):
    """Not a start, a commit, an answer or an edit; what the file held before is still read."""
    store = SqliteStore(path, durability=durability)
    graph = made(store)
    graph.run({"x": 1}, "before")
    shutil.copy(path, tmp_path / "backup.db")
    WAYS[way](path, tmp_path / "backup.db")

    for change in (
        lambda: graph.run({"x": 1}, "after"),
        lambda: graph.start({"x": 1}, "before"),
        lambda: graph.thread("before").edit({"x": 5}),
        lambda: graph.thread("before").rename("x"),
        lambda: graph.thread("before").delete(),
    ):
        with pytest.raises(StoreError, match=r"was (deleted|moved|replaced)"):
            change()
    assert 2 == graph.thread("before").state["x"]
    store.close()


def test_a_run_that_is_under_way_ends_with_the_reason(path):
    """Its node has run; what it gave is not said to be kept."""
    begun, gone = threading.Event(), threading.Event()

    def slow(state):
        begun.set()
        gone.wait(10)
        return {"x": 5}

    store = SqliteStore(path)
    run = made(store, slow).start({"x": 1}, "t")
    begun.wait(10)
    delete_all(path, None)
    gone.set()
    with pytest.raises((StoreError, NodeError), match="was deleted"):
        run.result(20)
    assert "done" != run.status
    store.close()


def test_a_file_that_is_put_back_goes_on(path):
    store = SqliteStore(path)
    graph = made(store)
    graph.run({"x": 1}, "t")
    path.rename(path.with_name("b.db"))
    with pytest.raises(StoreError, match="put it back"):
        graph.run({"x": 1}, "u")
    path.with_name("b.db").rename(path)
    assert 2 == graph.run({"x": 1}, "u")["x"]
    assert {"t", "u"} == {info.id for info in store.threads()}
    store.close()


def test_others_that_open_and_close_the_file_change_nothing(path):
    """Its log stays while one has it open, also when a vacuum empties it."""
    store = SqliteStore(path)
    graph = made(store)
    for number in range(3):
        other = SqliteStore(path)
        made(other).run({"x": 1}, f"other {number}")
        other.vacuum()
        other.close()
        assert 2 == graph.run({"x": 1}, f"own {number}")["x"]
        store.vacuum()
    assert 6 == len(store.threads())
    store.close()
