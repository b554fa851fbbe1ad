"""What is done with all threads of a store costs their number, not its square."""

from typing import TypedDict

import pytest

from nbagent import END, START, Graph, branch, node, prune, threads
from nbagent.engine.model.checkpoint import Checkpoint
from nbagent.engine.model.values import frozen_dict
from nbagent.engine.store.ownership import fresh_owner
from nbagent.errors import UnknownThread
from nbagent.stores.codec.values import same
from nbagent.stores.sqlite import SqliteStore


def filled(path, count):
    """A store of so many threads, each with three checkpoints and a nested thread."""
    store = SqliteStore(path, durability="process")
    for number in range(count):
        for id, parent, place in ((f"t{number}", None, ""), (f"t{number}/x", f"t{number}", "1:x")):
            lease = store.acquire(id, fresh_owner(), create=True, parent=parent, place=place)
            for at in (1, 2, 3):
                values = frozen_dict({"a": at, "log": list(range(at)), "same": "x"})
                control = frozen_dict({})
                store.commit(
                    lease, Checkpoint(at, at - 1 or None, at, "step", values, control, (), (), at)
                )
            store.release(lease, "done")
    return store


def work(store, call):
    """How many instructions SQLite takes for a call."""
    steps = [0]

    def count():
        steps[0] += 10

    for connection in (store.database.writer, store.database.reader):
        connection.set_progress_handler(count, 10)
    call()
    for connection in (store.database.writer, store.database.reader):
        connection.set_progress_handler(None, 0)
    return steps[0]


@pytest.mark.parametrize(
    "call",
    [
        lambda store: prune(store, status="done"),
        lambda store: prune(store, keep=1),
        lambda store: prune(store, keep=2, dry_run=True),
        lambda store: threads(store),
    ],
    ids=["prune", "prune keep", "dry run", "threads"],
)
def test_the_work_grows_with_the_number_of_threads(call, tmp_path):
    few, many = (filled(tmp_path / f"{n}.db", n) for n in (40, 160))
    work(few, lambda: threads(few)), work(many, lambda: threads(many))

    less, more = work(few, lambda: call(few)), work(many, lambda: call(many))

    assert 0 < more < 6 * less
    few.close()
    many.close()


def test_a_deleted_thread_leaves_nothing(tmp_path):
    """No row of any table, and the others are as they were."""
    store = filled(tmp_path / "a.db", 3)
    before = [store.load("t0", at) for at in (1, 2, 3)]
    prune(store, threads=["t1", "t2"])
    for table in ("threads", "checkpoints", "versions", "state", "tasks", "journal", "spans"):
        column = "id" if table == "threads" else "thread"
        with store.database.read() as db:
            found = db.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall()
        assert {row[0] for row in found} <= {"t0", "t0/x"}
    assert before == [store.load("t0", at) for at in (1, 2, 3)]
    with pytest.raises(UnknownThread):
        store.thread("t1")
    store.close()


def test_a_damaged_thread_is_deleted_as_a_whole(tmp_path):
    """Though nothing names its versions any more."""
    store = filled(tmp_path / "a.db", 2)
    with store.database.write() as db:
        db.execute("UPDATE checkpoints SET versions = '[' WHERE thread = 't0' AND id = 2")
        db.execute("DELETE FROM checkpoints WHERE thread = 't1' AND id = 1")
    prune(store, status="done")
    store.vacuum()
    with store.database.read() as db:
        assert [] == db.execute("SELECT thread FROM versions").fetchall()
    store.close()


class Talk(TypedDict):
    n: int
    said: list[str]


def talk(store, steps, keep):
    """A list that gets a text of 1 KB a step and keeps the last so many."""
    with Graph("talk", Talk, store=store) as made:

        @node
        async def turn(state):
            n = state["n"] + 1
            return {"n": n, "said": [*state["said"], f"{n:4}" * 256][-keep:]}

        START >> turn >> branch(lambda s: "on" if s["n"] < steps else "off", on=turn, off=END)
    made.run({"n": 0, "said": []}, "t", step_limit=steps + 1)
    return made


@pytest.mark.parametrize("keep", [20, 10_000])
def test_what_is_said_is_stored_about_once(keep, tmp_path):
    """A history that grows and one that keeps the latest: the file, its log included, right after
    the run, is not several times what was said; and it is read as it was. (W15)"""
    path, steps = tmp_path / "a.db", 300
    graph = talk(SqliteStore(path, durability="process"), steps, keep)
    size = sum(row.size for row in graph.store.sizes() if row.field == "said")

    assert (1.1 if keep > steps else 2.3) * steps * 1024 > size
    other = SqliteStore(path)
    assert same(other.latest("t").checkpoint.values, graph.store.latest("t").checkpoint.values)
    middle = other.load("t", 151).checkpoint.values["said"]
    assert [f"{n:4}" * 256 for n in range(max(1, 151 - keep), 151)] == middle
    other.close()
    graph.store.close()


def test_two_branches_of_a_long_list_are_read_apart(tmp_path):
    """Their changes lie side by side in the file."""
    store = SqliteStore(tmp_path / "a.db", durability="process")
    graph = talk(store, 30, 100)
    thread = graph.thread("t")
    thread.fork(step=10, in_place=True)
    thread.resume().result(20)

    other = SqliteStore(tmp_path / "a.db")
    for line in other.history("t"):
        said = other.load("t", line.id).checkpoint.values["said"]
        assert [f"{n:4}" * 256 for n in range(1, line.step + 1)] == said
    other.close()
    store.close()
