"""
What breaks under a store: the log garbled or cut, the disk full, the file read-only, the clock off
by a day, the server gone. The last acknowledged checkpoint survives, and a sentence says what is
wrong. (W8, W15)

`NBAGENT_DISASTERS` is how often the log is broken.
"""

import os
import random
import shutil
import sqlite3
import subprocess
import threading
import time
from dataclasses import replace
from typing import TypedDict

import pytest

from nbagent import END, START, Graph, node, open_store
from nbagent.engine.model.checkpoint import Checkpoint
from nbagent.engine.model.values import frozen_dict
from nbagent.engine.store.ownership import current_owner
from nbagent.engine.watch.events import StoreAwaited
from nbagent.errors import NbagentError, StoreError, ThreadBusy
from nbagent.stores.sqlite import SqliteStore, journal_mode
from tests.conftest import require

TIMES = int(os.environ.get("NBAGENT_DISASTERS", "20"))
ME = current_owner()


def point(id, size=2000):
    """A checkpoint whose value can be told by its id."""
    values = frozen_dict({"n": id, "text": f"{id} " * (size // 4)})
    return Checkpoint(id, id - 1 or None, id, "step", values, frozen_dict({}), (), (), id)


def filled(path, first=10, more=10):
    """A store whose first checkpoints are in the file, and later ones in its log alone."""
    store = SqliteStore(path)
    lease = store.acquire("t", ME, create=True)
    for id in range(1, first + 1):
        store.commit(lease, point(id))
    store.database.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for id in range(first + 1, first + more + 1):
        store.commit(lease, point(id))
    return store


@pytest.mark.chaos
@pytest.mark.parametrize("how", ["cut", "garbled"])
def test_a_broken_log_gives_a_whole_checkpoint(tmp_path, how):
    """Each of those behind the break is gone, none before it, and what is left is not mixed."""
    for seed in range(TIMES):
        dice = random.Random(seed)
        folder = tmp_path / f"{how}-{seed}"
        folder.mkdir()
        store = filled(folder / "a.db")
        for name in ("a.db", "a.db-wal"):  # as a power cut finds them: nobody has closed it
            shutil.copy(folder / name, folder / name.replace("a.db", "b.db"))
        store.close()
        log = bytearray((folder / "b.db-wal").read_bytes())
        at = dice.randrange(len(log))
        if how == "cut":
            del log[at:]
        else:
            log[at : at + 16] = dice.randbytes(16)
        (folder / "b.db-wal").write_bytes(log)

        broken = SqliteStore(folder / "b.db")
        loaded = broken.latest("t").checkpoint
        assert loaded.id >= 10
        assert point(loaded.id).values == loaded.values
        for info in broken.history("t"):
            assert point(info.id).values == broken.load("t", info.id).checkpoint.values
        broken.close()


@pytest.mark.chaos
def test_flipped_bytes_in_the_file_are_found(tmp_path):
    """Every checkpoint that can still be read is what was written; all else is a typed error."""
    filled(tmp_path / "a.db", 10, 0).close()
    whole = (tmp_path / "a.db").read_bytes()
    outcomes = set()
    for seed in range(5 * TIMES):
        dice = random.Random(seed)
        broken = bytearray(whole)
        at = dice.randrange(4096, len(broken))
        broken[at] ^= 1 << dice.randrange(8)
        (tmp_path / "b.db").write_bytes(broken)
        try:
            store = SqliteStore(tmp_path / "b.db")
        except StoreError:
            outcomes.add("refused")
            continue
        try:
            loaded = store.latest("t")
            assert point(loaded.checkpoint.id).values == loaded.checkpoint.values
            outcomes.add("told" if loaded.notice else "whole")
            assert loaded.notice or loaded.checkpoint.id == 10
        except NbagentError:  # also an unknown thread: its very name was hit
            outcomes.add("refused")
        finally:
            store.close()
    assert "whole" in outcomes


def test_a_small_disk_runs_full(tmp_path):
    """A real file system of 400 KB: the error says so; with room again the thread goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(disk)], capture_output=True
    )
    if made.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        store = SqliteStore(disk / "a.db")
        lease = store.acquire("t", ME, create=True)
        reached = 0
        with pytest.raises(StoreError, match="disk is full"):
            for id in range(1, 1000):
                store.commit(lease, point(id, 8000))
                reached = id
        assert (reached, point(reached, 8000).values) == (
            store.latest("t").checkpoint.id,
            store.latest("t").checkpoint.values,
        )
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        store.commit(lease, point(reached + 1, 8000))
        store.close()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_file_without_the_right_to_write(tmp_path):
    """The sentence says what to do. Root may write anywhere, so the connection is what may not."""
    store = filled(tmp_path / "a.db", 2, 0)
    store.close()
    store = SqliteStore(tmp_path / "a.db")
    store.database.writer.close()
    store.database.writer = sqlite3.connect(
        f"file:{tmp_path}/a.db?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    with pytest.raises(StoreError, match="cannot be written: check its rights"):
        store.acquire("t", ME)
    assert 2 == store.latest("t").checkpoint.id
    store.close()


@pytest.mark.parametrize("hours", [24, -24])
def test_a_clock_that_jumps_a_day(tmp_path, hours):
    """At worst somebody may take the thread, and then its owner writes nothing; never both. (W4)"""
    now = [1_000_000.0]
    store = SqliteStore(tmp_path / "a.db", clock=lambda: now[0])
    lease = store.acquire("t", ME, create=True)
    store.commit(lease, point(1))
    now[0] += hours * 3600
    store.commit(lease, point(2))
    other = replace(ME, token="other")
    try:
        taken = store.acquire("t", other)
    except ThreadBusy:
        assert hours < 0  # the lease seems to last longer than it does
        store.commit(lease, point(3))
    else:
        with pytest.raises(ThreadBusy):
            store.commit(lease, point(3))
        store.commit(taken, point(3))
    assert 3 == store.latest("t").checkpoint.id
    store.close()


@pytest.mark.parametrize(
    "kind, mode",
    [("ext4", "wal"), ("nfs4", "delete"), ("cifs", "delete"), ("fuse.sshfs", "delete")],
)
def test_a_network_file_system_gets_no_shared_memory_log(tmp_path, kind, mode):
    """WAL needs memory that all processes share, which machines do not. (SQLite, `wal.html`)"""
    mounts = f"none / ext4 rw 0 0\nserver:/home {tmp_path} {kind} rw 0 0\n"
    assert mode == journal_mode(tmp_path / "a.db", mounts)


def test_a_store_without_the_log_works(tmp_path, monkeypatch):
    """As on a network file system: the rollback journal, and the same guarantees."""
    monkeypatch.setattr("nbagent.stores.sqlite.journal_mode", lambda path: "delete")
    store = SqliteStore(tmp_path / "a.db")
    lease = store.acquire("t", ME, create=True)
    store.commit(lease, point(1))
    assert [] == list(tmp_path.glob("*-wal"))
    store.release(lease, "paused")
    assert 1 == store.latest("t").checkpoint.id
    store.close()


def test_a_file_that_is_locked_at_the_end_of_a_run_ends_it_later(tmp_path):
    """Another program locks it: once that is gone the run ends as it would have, and no node is
    called again. (W1, W4, W20)"""
    store = SqliteStore(tmp_path / "a.db")
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None, check_same_thread=False)
    calls, waits = [], threading.Event()

    class State(TypedDict):
        x: int

    with Graph("g", State, store=store) as graph:

        @node
        def work(state):
            calls.append("work")
            return {"x": 5}

        @node
        def lock(state):
            if len(calls) == 1:
                other.execute("BEGIN IMMEDIATE")
            calls.append("lock")

        START >> work >> lock >> END
    run = graph.start({"x": 0}, thread="t")
    run.watch(lambda event: waits.set() if isinstance(event, StoreAwaited) else None)
    assert waits.wait(20)
    other.close()

    assert {"x": 5} == run.result(10)
    assert (["work", "lock"], "done") == (calls, graph.thread("t").status)
    store.close()


@pytest.mark.postgres
def test_a_server_that_crashes_loses_nothing(postgres, tmp_path):
    """While it is down the error says so; when it is back the thread goes on, in the same store."""
    require("initdb", "PostgreSQL", found="initdb")
    store = open_store(postgres.url("crash"))
    lease = store.acquire("t", ME, create=True)
    store.commit(lease, point(1))
    assert 1 == store.latest("t").checkpoint.id
    postgres.stop("immediate")
    for _ in range(2):
        with pytest.raises(StoreError, match="the database cannot be reached"):
            store.commit(lease, point(2))
    postgres.start()
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            store.commit(lease, point(2))
            break
        except StoreError:
            time.sleep(0.1)
    assert (2, [1, 2]) == (
        store.latest("t").checkpoint.id,
        [info.id for info in store.history("t")],
    )
    store.close()
