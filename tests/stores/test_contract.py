"""What every store must do, run over each of them. (R20 to R24, W1, W4, W15)"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nbagent.engine.checkpoint import (
    Checkpoint,
    CheckpointStore,
    Failure,
    JournalEntry,
    Owner,
    TaskRecord,
)
from nbagent.engine.ownership import current_owner, process_started
from nbagent.engine.snapshot import FrozenDict, FrozenList, frozen_dict
from nbagent.errors import StoreError, ThreadBusy, UnknownThread
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore

ME = current_owner()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path):
    """Each kind of store, empty."""
    made = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "a.db")
    yield made
    made.close()


def point(id: int, parent: int | None = None, **more) -> Checkpoint:
    """A checkpoint with some values."""
    values = more.pop("values", {"x": id, "notes": ["a", "b"]})
    facts = {
        "id": id,
        "parent": parent,
        "step": id - 1,
        "kind": "step",
        "values": frozen_dict(values),
        "control": frozen_dict({"to:a": True, "join:a+b>c": ("a",), "send:d": (1, {"k": [2]})}),
        "updated": ("x",),
        "ran": ("1:a",),
        "anchor": id,
        "nodes": {"a": "f00"},
    }
    return Checkpoint(**{**facts, **more})


def test_what_is_committed_is_what_is_loaded(store: CheckpointStore):
    """The latest checkpoint equals the one that was stored, frozen, types included. (R22, W6)"""
    lease = store.acquire("t", ME, graph="g", create=True)
    assert store.latest("t") is None
    written = point(1)
    store.commit(lease, written)
    loaded = store.latest("t").checkpoint

    assert written == loaded
    assert FrozenDict is type(loaded.values)
    assert FrozenList is type(loaded.values["notes"])
    assert tuple is type(loaded.control["join:a+b>c"])


def test_history_and_earlier_checkpoints(store: CheckpointStore):
    """Every checkpoint can be listed without values and loaded with them. (R24)"""
    lease = store.acquire("t", ME, create=True)
    store.commit(lease, point(1))
    store.commit(lease, point(2, 1, note="why", actor="Ada", kind="edit"))

    assert [(1, None), (2, 1)] == [(info.id, info.parent) for info in store.history("t")]
    assert ("edit", "why", "Ada") == (
        store.history("t")[1].kind,
        store.history("t")[1].note,
        store.history("t")[1].actor,
    )
    assert 1 == store.load("t", 1).checkpoint.values["x"]
    with pytest.raises(StoreError, match="no checkpoint 9"):
        store.load("t", 9)


def test_tasks_and_journal_belong_to_an_anchor(store: CheckpointStore):
    """What was put for the anchor of the latest checkpoint comes with it; replaced by key. (W1)"""
    lease = store.acquire("t", ME, create=True)
    store.commit(lease, point(1))
    done = TaskRecord(1, "1:a", "a", "done", frozen_dict({"x": (1, 2)}), (("to", "b"),), 2)
    failed = TaskRecord(1, "1:b", "b", "failed", failure=Failure("E", "m", "tb"))
    asked = JournalEntry(1, "1:c", 0, "interrupt", "ok?", "open", frozen_dict({"q": "ok?"}))
    store.put_tasks(lease, [done])
    store.put_tasks(lease, [failed])
    store.put_journal(lease, [asked])
    store.put_journal(lease, [replace(asked, status="done", result="yes")])
    loaded = store.latest("t")

    assert [done, failed] == list(loaded.tasks)
    assert [("done", "yes")] == [(entry.status, entry.result) for entry in loaded.journal]
    store.commit(lease, point(2, 1), [replace(done, anchor=1, attempt=3)])
    assert () == store.latest("t").tasks
    assert 3 == store.load("t", 1).tasks[0].attempt
    store.commit(lease, point(3, 2, anchor=1))
    assert 2 == len(store.latest("t").tasks)


def test_a_branch_in_place_is_compared_with_its_parent(store: CheckpointStore):
    """Values of a checkpoint whose parent is not the one before it come back right."""
    lease = store.acquire("t", ME, create=True)
    long = [f"message {n}" for n in range(50)]
    store.commit(lease, point(1, values={"notes": long}))
    first = store.latest("t").checkpoint.values["notes"]
    store.commit(lease, point(2, 1, values={"notes": first.grown(["left"])}))
    store.commit(lease, point(3, 1, values={"notes": first.grown(["right"])}))

    assert "right" == store.latest("t").checkpoint.values["notes"][-1]
    assert "left" == store.load("t", 2).checkpoint.values["notes"][-1]
    assert 51 == len(store.load("t", 3).checkpoint.values["notes"])


def test_one_owner_at_a_time(store: CheckpointStore):
    """The second is told who has it; after a take-over the first writes nothing. (W4)"""
    other = replace(ME, token="other", label="somebody else")
    lease = store.acquire("t", ME, create=True)
    with pytest.raises(ThreadBusy) as caught:
        store.acquire("t", other)
    assert ME.label == caught.value.owner

    store.commit(lease, point(1))
    newer = store.acquire("t", other, take_over=True)
    for stale in (
        lambda: store.commit(lease, point(2, 1)),
        lambda: store.put_tasks(lease, [TaskRecord(1, "1:a", "a", "done")]),
        lambda: store.put_journal(lease, [JournalEntry(1, "1:a", 0, "i", "k", "open")]),
        lambda: store.renew(lease),
        lambda: store.release(lease, "done"),
    ):
        with pytest.raises(ThreadBusy):
            stale()
    assert (1, "running") == (store.thread("t").checkpoint, store.thread("t").status)
    store.release(newer, "paused", error="why")
    assert ("paused", "why") == (store.thread("t").status, store.thread("t").error)


def test_a_dead_owner_holds_nothing(store: CheckpointStore):
    """A thread whose process has ended is stopped, and free at once."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = Owner("child", ME.host, child.pid, process_started(child.pid), "a child")
    store.acquire("t", owner, create=True)
    assert "running" == store.thread("t").status
    with pytest.raises(ThreadBusy):
        store.acquire("t", ME)

    child.kill()
    child.communicate()
    assert "stopped" == store.thread("t").status
    store.acquire("t", ME)


def test_an_unknown_thread_is_a_typed_error(store: CheckpointStore):
    """Nothing is made by looking."""
    for look in (store.thread, store.latest, lambda id: store.acquire(id, ME)):
        with pytest.raises(UnknownThread):
            look("nobody")
    assert [] == store.threads()


def test_a_lease_that_runs_out_can_be_taken(tmp_path: Path):
    """An owner that is silent for longer than its lease loses it; renewing keeps it. (W4)"""
    now = [1000.0]
    for made in (
        MemoryStore(lease=30, clock=lambda: now[0]),
        SqliteStore(tmp_path / "b.db", lease=30, clock=lambda: now[0]),
    ):
        other = replace(ME, token="other")
        lease = made.acquire("t", ME, create=True)
        now[0] += 20
        made.renew(lease)
        now[0] += 20
        with pytest.raises(ThreadBusy):
            made.acquire("t", other)
        now[0] += 20
        assert "stopped" == made.thread("t").status
        made.acquire("t", other)
        with pytest.raises(ThreadBusy):
            made.commit(lease, point(1))
        made.close()
