"""The file: small, readable, safe against kills, damage and strangers. (R23, W8, W15)"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import numpy
import pytest

from nbagent import END, START, Graph, node
from nbagent.engine.model.checkpoint import Checkpoint
from nbagent.engine.model.values import frozen_dict, frozen_list
from nbagent.engine.store.ownership import current_owner
from nbagent.errors import CodecError, StoreError
from nbagent.stores.sqlite import SqliteStore, open_url

KILLS = int(os.environ.get("NBAGENT_CHAOS", "5"))


def line_of(store, count, first=None, value=lambda n: {"n": n}):
    """Commit `count` checkpoints in a line."""
    lease = store.acquire("t", current_owner(), create=True)
    for number in range(1, count + 1):
        store.commit(
            lease,
            Checkpoint(
                number, number - 1 or None, number, "step", frozen_dict(value(number)),
                frozen_dict({}), (), (), number,
            ),
        )  # fmt: skip
    store.release(lease, "paused")


def test_the_file_is_its_owners(tmp_path: Path):
    """Mode 0600: checkpoints hold what people type."""
    store = SqliteStore(tmp_path / "a.db")
    assert 0o600 == stat.S_IMODE(os.stat(tmp_path / "a.db").st_mode)
    store.close()
    store.close()


def test_a_newer_file_is_refused(tmp_path: Path):
    """With a sentence, and unchanged."""
    path = tmp_path / "a.db"
    SqliteStore(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(StoreError, match="written by a newer nbagent"):
        SqliteStore(path)


def test_a_file_that_is_no_store_is_refused(tmp_path: Path):
    """Also a folder, and a URL with a typo."""
    (tmp_path / "a.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="not a checkpoint file"):
        SqliteStore(tmp_path / "a.db")
    with pytest.raises(StoreError):
        SqliteStore(tmp_path)
    with pytest.raises(StoreError, match="durability"):
        open_url("sqlite:///a.db?durabilty=process")


def test_a_checkpoint_that_the_file_has_lost_is_missed(tmp_path: Path):
    """Its row is gone, so nothing has a wrong checksum: the thread still knows of it. (W8)"""
    store = SqliteStore(tmp_path / "a.db")
    line_of(store, 5)
    with sqlite3.connect(tmp_path / "a.db") as db:
        db.execute("DELETE FROM checkpoints WHERE id = 5")
    db.close()

    loaded = store.latest("t")
    assert (4, True) == (loaded.checkpoint.id, "checkpoint 5" in loaded.notice)
    store.close()


def test_an_error_that_is_kept_does_not_keep_the_reader_in_the_past(tmp_path: Path):
    """IPython keeps the last error; what is read afterwards is what is there. (W8)"""
    store = SqliteStore(tmp_path / "a.db")
    line_of(store, 6, value=lambda n: {"n": "x" * 400 + "y" * n})
    with sqlite3.connect(tmp_path / "a.db") as db:
        db.execute("UPDATE versions SET checksum = checksum + 1 WHERE id = 3")
    db.close()
    with pytest.raises(StoreError) as kept:
        store.load("t", 6)

    lease = store.acquire("other", current_owner(), create=True)
    one = Checkpoint(1, None, 1, "step", frozen_dict({}), frozen_dict({}), (), (), 1)
    store.commit(lease, one)
    store.release(lease, "paused")
    assert 1 == store.latest("other").checkpoint.id
    assert kept.value
    store.close()


def test_a_checkpoint_is_never_written_over(tmp_path: Path):
    """Whoever would has not seen what is there."""
    store = SqliteStore(tmp_path / "a.db")
    lease = store.acquire("t", current_owner(), create=True)
    one = Checkpoint(1, None, 1, "step", frozen_dict({"n": 1}), frozen_dict({}), (), (), 1)
    store.commit(lease, one)

    with pytest.raises(StoreError):
        store.commit(lease, replace(one, values=frozen_dict({"n": 2})))
    assert {"n": 1} == store.latest("t").checkpoint.values
    store.close()


def test_changes_that_lead_in_a_circle_are_damage(tmp_path: Path):
    """A hostile file is read to an end."""
    store = SqliteStore(tmp_path / "a.db")
    line_of(store, 5, value=lambda n: {"n": "x" * 100 + "y" * n})
    with sqlite3.connect(tmp_path / "a.db") as db:
        assert 5 == db.execute("SELECT count(*) FROM versions").fetchone()[0]
        db.execute("UPDATE versions SET before = 5 WHERE id = 1")
    db.close()

    with pytest.raises(StoreError, match="no checkpoint of thread 't' can be read"):
        store.latest("t")
    store.close()


def test_other_tools_see_how_far_a_run_is(tmp_path: Path):
    """A commit does not write the thread's row, and its step and time are true all the same."""
    store = SqliteStore(tmp_path / "a.db", clock=lambda: 1_000.0)
    lease = store.acquire("t", current_owner(), create=True)
    for id in (1, 2, 3):
        values, none = frozen_dict({"n": id}), frozen_dict({})
        one = Checkpoint(id, id - 1 or None, id, "step", values, none, (), (), id)
        store.commit(lease, one, at=2_000.0 + id)

    with sqlite3.connect(tmp_path / "a.db") as db:
        assert [(3, "1970-01-01 00:33:23")] == db.execute(
            "SELECT step, updated FROM thread_list"
        ).fetchall()
        assert [("t", 3)] == db.execute("SELECT id, step FROM unfinished").fetchall()
    db.close()
    assert (3, 3, 2_003.0) == (
        store.thread("t").step,
        store.threads()[0].checkpoint,
        store.thread("t").updated,
    )
    store.close()


def test_a_flipped_byte_falls_back_to_the_last_good_checkpoint(tmp_path: Path):
    """The person is told which one is used. (W8)"""
    store = SqliteStore(tmp_path / "a.db")
    line_of(store, 5, value=lambda n: {"n": f"value number {n}"})
    with sqlite3.connect(tmp_path / "a.db") as db:
        (blob,) = db.execute("SELECT data FROM versions WHERE id = 5").fetchone()
        broken = blob.replace(b"number", b"numbet")
        db.execute("UPDATE versions SET data = ? WHERE id = 5", (broken,))
    db.close()
    loaded = store.latest("t")

    assert 4 == loaded.checkpoint.id
    assert "checkpoint 5 of thread 't' is damaged" in loaded.notice
    store.close()


def test_a_thousand_messages_cost_what_they_are(tmp_path: Path):
    """1,000 appended messages of 1 KB: at most about three times their own size. (W15, W26)"""
    store = SqliteStore(tmp_path / "a.db", durability="process")
    notes = [frozen_list([])]

    def grow(n):
        notes[0] = notes[0].grown([os.urandom(512).hex()])
        return {"notes": notes[0]}

    line_of(store, 1000, value=grow)
    assert 1000 == len(store.latest("t").checkpoint.values["notes"])
    store.close()
    assert 3_600_000 > (tmp_path / "a.db").stat().st_size


def test_loading_reads_as_much_after_ten_steps_as_after_a_thousand(tmp_path: Path):
    """Counted in rows that SQLite steps over, not in time. (R23, R25, W26)"""

    def work(count):
        store = SqliteStore(tmp_path / f"{count}.db", durability="process")
        line_of(store, count, value=lambda n: {"n": n, "text": "x" * 1000})
        steps = [0]

        def count_step():
            steps[0] += 1
            return 0

        store.database.reader.set_progress_handler(count_step, 1)
        store.latest("t")
        store.database.reader.set_progress_handler(None, 0)
        store.close()
        return steps[0]

    assert work(10) == work(1000)


def test_a_value_that_cannot_be_stored_changes_nothing(tmp_path: Path):
    """The error names the field; the last checkpoint stays. (W6)"""

    class Odd:
        pass

    store = SqliteStore(tmp_path / "a.db")
    line_of(store, 2)
    lease = store.acquire("t", current_owner())
    bad = Checkpoint(
        3, 2, 3, "step", frozen_dict({"n": 1, "odd": Odd()}), frozen_dict({}), (), (), 3
    )
    with pytest.raises(CodecError, match="field 'odd'"):
        store.commit(lease, bad)
    assert 2 == store.latest("t").checkpoint.id
    store.close()


def test_a_locked_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Another program's lock is a StoreError with a sentence, and nothing is lost."""
    monkeypatch.setattr("nbagent.stores.sqlite._BUSY", 0.05)
    store = SqliteStore(tmp_path / "a.db")
    line_of(store, 1)
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="locked"):
        store.acquire("t", current_owner())
    other.execute("ROLLBACK")
    other.close()
    assert 1 == store.latest("t").checkpoint.id
    store.close()


def test_a_full_disk_is_said(tmp_path: Path):
    """The last acknowledged checkpoint survives."""
    store = SqliteStore(tmp_path / "a.db")
    line_of(store, 1)
    (pages,) = store.database.writer.execute("PRAGMA page_count").fetchone()
    store.database.writer.execute(f"PRAGMA max_page_count = {pages + 2}")
    lease = store.acquire("t", current_owner())
    big = frozen_dict({"n": "x" * 100_000})
    with pytest.raises(StoreError, match="disk is full"):
        store.commit(lease, Checkpoint(2, 1, 2, "step", big, frozen_dict({}), (), (), 2))
    assert 1 == store.latest("t").checkpoint.id
    store.close()


CHILD = """
import sys
from nbagent.engine.model.checkpoint import Checkpoint
from nbagent.engine.store.ownership import current_owner
from nbagent.engine.model.values import frozen_dict, frozen_list
from nbagent.stores.sqlite import SqliteStore
store = SqliteStore(sys.argv[1], durability="process")
lease = store.acquire("t", current_owner(), create=True)
loaded = store.latest("t")
at = loaded.checkpoint if loaded else None
notes = at.values["notes"] if at else frozen_list([])
number = at.id if at else 0
while True:
    number += 1
    notes = notes.grown([number])
    values = frozen_dict({"notes": notes})
    store.commit(lease, Checkpoint(number, number - 1 or None, number, "step", values,
                                   frozen_dict({}), (), (), number))
    print(number, flush=True)
"""


@pytest.mark.chaos
def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path):
    """SIGKILL at random moments; the last number that was printed is in the file. (W1)"""
    path = tmp_path / "a.db"
    for _ in range(KILLS):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(random.uniform(0.0, 0.05))
        child.send_signal(signal.SIGKILL)
        printed = child.stdout.read().split("\n")[:-1]  # the last line may be half a number
        child.wait()
        child.stdout.close()
        store = SqliteStore(path)
        checkpoint = store.latest("t").checkpoint
        store.close()
        assert checkpoint.id >= max(map(int, printed), default=0)
        assert list(range(1, checkpoint.id + 1)) == list(checkpoint.values["notes"])


def test_a_resume_costs_what_it_changes(tmp_path: Path):
    """A state of 1 MB that another process left: the next step stores its own write. (W15)"""
    store = SqliteStore(tmp_path / "a.db")
    line_of(store, 1, value=lambda n: {"big": frozen_list([f"{i} " * 50 for i in range(10_000)])})
    store.close()
    before = (tmp_path / "a.db").stat().st_size
    for _ in range(3):
        store = SqliteStore(tmp_path / "a.db")
        lease = store.acquire("t", current_owner())
        store.latest("t")
        at = store.latest("t").checkpoint
        values = frozen_dict({**at.values, "n": at.id})
        store.commit(lease, replace(at, id=at.id + 1, parent=at.id, values=values))
        store.release(lease, "paused")
        store.close()
    assert (tmp_path / "a.db").stat().st_size < before + 100_000


def test_a_field_that_numpy_names_is_that_field(tmp_path: Path):
    """A key that is a kind of text is stored as the state class has it."""

    class State(TypedDict):
        x: int
        y: int

    with Graph("g", State, store=SqliteStore(tmp_path / "a.db")) as graph:
        START >> node(lambda state: {numpy.str_("y"): 1}, name="a") >> END
    state = graph.run({numpy.str_("x"): 0}, thread="t")

    assert ({"x": 0, "y": 1}, {str}) == (state, set(map(type, state)))
    assert [("x",), ("y",)] == [info.updated for info in graph.store.history("t")]
    graph.store.close()
