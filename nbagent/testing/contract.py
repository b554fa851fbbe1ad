"""
What every store must do: a suite for people who write their own.

    class TestMine(StoreContract):
        def open(self, place, **options):
            return MyStore(place / "threads", **options)

Needs pytest. nbagent's own stores pass the same suite.
"""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nbagent.engine.model.checkpoint import (
    Checkpoint,
    Failure,
    JournalEntry,
    Loaded,
    Owner,
    TaskRecord,
)
from nbagent.engine.model.span import Span
from nbagent.engine.model.values import FrozenDict, FrozenList, freeze, frozen_dict
from nbagent.engine.store.ownership import current_owner, process_started
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.errors import CodecError, StoreError, ThreadBusy, UnknownThread

ME = current_owner()


def point(id: int, parent: int | None = None, **more: Any) -> Checkpoint:
    """A checkpoint with some values."""
    values = more.pop("values", {"x": id, "notes": ["a", "b"]})
    facts: dict[str, Any] = {
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


def latest(store: CheckpointStore) -> Loaded:
    """The latest checkpoint of the thread that the tests use."""
    loaded = store.latest("t")
    assert loaded is not None
    return loaded


class StoreContract:
    """Subclass it, say how to open a store, and let pytest collect it.

    is_durable   what was written is there when the store is opened again in the same place
    encodes      values that no file takes are refused, as nbagent's own stores do it
    """

    is_durable = True
    encodes = True

    def open(self, place: Path, **options: Any) -> CheckpointStore:
        """A store for `place`, a folder that is empty at first. Options: `lease`, the seconds that
        an owner may be silent, and `clock`, which gives Unix seconds."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[CheckpointStore]:
        """An empty store."""
        made = self.open(tmp_path)
        yield made
        made.close()

    def test_what_is_committed_is_what_is_loaded(self, store: CheckpointStore) -> None:
        """The latest checkpoint equals the one that was stored, types included."""
        # (R22, W6)
        lease = store.acquire("t", ME, graph="g", create=True)
        assert store.latest("t") is None
        written = point(1)
        store.commit(lease, written)
        loaded = latest(store).checkpoint

        assert written == loaded
        assert FrozenDict is type(loaded.values)
        assert FrozenList is type(loaded.values["notes"])
        assert tuple is type(loaded.control["join:a+b>c"])

    def test_history_and_earlier_checkpoints(self, store: CheckpointStore) -> None:
        """Every checkpoint can be listed without values and loaded with them."""
        # (R24)
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

    def test_tasks_and_journal_belong_to_an_anchor(self, store: CheckpointStore) -> None:
        """What was put for the latest checkpoint's anchor comes with it, replaced by key."""
        # (W1)
        lease = store.acquire("t", ME, create=True)
        store.commit(lease, point(1))
        done = TaskRecord(1, "1:a", "a", "done", frozen_dict({"x": (1, 2)}), (("to", "b"),), 2)
        failed = TaskRecord(1, "1:b", "b", "failed", failure=Failure("E", "m", "tb"))
        asked = JournalEntry(1, "1:c", 0, "interrupt", "ok?", "open", frozen_dict({"q": "ok?"}))
        store.put_tasks(lease, [done])
        store.put_tasks(lease, [failed])
        store.put_journal(lease, [asked])
        store.put_journal(lease, [replace(asked, status="done", result="yes")])
        loaded = latest(store)

        assert [done, failed] == list(loaded.tasks)
        assert [("done", "yes")] == [(entry.status, entry.result) for entry in loaded.journal]
        store.commit(lease, point(2, 1), [replace(done, anchor=1, attempt=3)])
        assert () == latest(store).tasks
        assert 3 == store.load("t", 1).tasks[0].attempt
        store.commit(lease, point(3, 2, anchor=1))
        assert 2 == len(latest(store).tasks)

    def test_spans_and_outcomes_are_kept_with_their_thread(self, store: CheckpointStore) -> None:
        """By when they began, whatever order they came in; a deleted thread's go with it."""
        # (R40)
        for thread in ("t", "other"):
            lease = store.acquire(thread, ME, create=True)
            store.commit(lease, point(1))
            store.put_spans(
                [
                    Span(thread, "span", f"call {n}", 2, "a", "1:a", 1, 5.0 - n, 6.0, "ok",
                         {"tokens": n}, f"{thread} {n}", parent="above")
                    for n in (0, 1, 2)
                ]
            )  # fmt: skip
            failure = Failure("E", "m", "tb")
            records = [
                TaskRecord(1, "1:b", "b", "failed", failure=failure, started=8.0, ended=9.0),
                TaskRecord(1, "1:a", "a", "done", {"x": 1}, attempt=3, started=7.0, ended=9.0),
            ]
            store.put_tasks(lease, records)

        spans = store.spans("t")
        assert ["call 2", "call 1", "call 0"] == [span.name for span in spans]
        assert {"tokens": 2} == dict(spans[0].attributes)
        assert ("t", "above", 3.0, 6.0) == (
            spans[0].thread, spans[0].parent, spans[0].started, spans[0].ended,
        )  # fmt: skip
        assert [replace(records[1], update={}), records[0]] == store.outcomes("t")
        store.delete(store.acquire("t", ME))
        store.acquire("t", ME, create=True)
        assert ([], []) == (store.spans("t"), store.outcomes("t"))
        assert 3 == len(store.spans("other"))

    def test_threads_are_listed_newest_first(self, tmp_path: Path) -> None:
        """By when something last happened to them, be it a checkpoint or that they were given
        back."""
        # (R24)
        now = [1000.0]
        store = self.open(tmp_path, clock=lambda: now[0])
        leases = {}
        for name in ("a", "b", "c"):
            now[0] += 10
            leases[name] = store.acquire(name, ME, create=True)
        assert ["c", "b", "a"] == [info.id for info in store.threads()]

        now[0] += 10
        store.commit(leases["b"], point(1))
        assert ["b", "c", "a"] == [info.id for info in store.threads()]
        now[0] += 10
        store.release(leases["a"], "paused")
        assert ["a", "b", "c"] == [info.id for info in store.threads()]
        assert [1050.0, 1040.0, 1030.0] == [info.updated for info in store.threads()]
        assert 1010.0 == store.thread("a").created
        store.close()

    def test_a_copy_keeps_its_times(self, store: CheckpointStore) -> None:
        """`at` is when a checkpoint was made, where that is not now."""
        lease = store.acquire("t", ME, create=True)
        store.commit(lease, point(1), at=1234.5)
        store.commit(lease, point(2, 1), at=1300.0)

        assert [1234.5, 1300.0] == [info.at for info in store.history("t")]

    def test_a_branch_in_place_is_compared_with_its_parent(self, store: CheckpointStore) -> None:
        """Values of a checkpoint whose parent is not the one before it come back right."""
        lease = store.acquire("t", ME, create=True)
        long = [f"message {n}" for n in range(50)]
        store.commit(lease, point(1, values={"notes": long}))
        first = latest(store).checkpoint.values["notes"]
        store.commit(lease, point(2, 1, values={"notes": first.grown(["left"])}))
        store.commit(lease, point(3, 1, values={"notes": first.grown(["right"])}))

        assert "right" == latest(store).checkpoint.values["notes"][-1]
        assert "left" == store.load("t", 2).checkpoint.values["notes"][-1]
        assert 51 == len(store.load("t", 3).checkpoint.values["notes"])

    def test_one_owner_at_a_time(self, store: CheckpointStore) -> None:
        """The second is told who has it; after a take-over the first writes nothing."""
        # (W4)
        other = replace(ME, token="other", label="somebody else")
        lease = store.acquire("t", ME, create=True)
        with pytest.raises(ThreadBusy) as caught:
            store.acquire("t", other)
        assert ME.label == caught.value.owner

        store.commit(lease, point(1))
        newer = store.acquire("t", other, take_over=True)
        writes: list[Callable[[], None]] = [
            lambda: store.commit(lease, point(2, 1)),
            lambda: store.put_tasks(lease, [TaskRecord(1, "1:a", "a", "done")]),
            lambda: store.put_journal(lease, [JournalEntry(1, "1:a", 0, "i", "k", "open")]),
            lambda: store.renew(lease),
            lambda: store.release(lease, "done"),
            lambda: store.delete(lease),
        ]
        for stale in writes:
            with pytest.raises(ThreadBusy):
                stale()
        assert (1, "running") == (store.thread("t").checkpoint, store.thread("t").status)
        store.release(newer, "paused", error="why")
        assert ("paused", "why") == (store.thread("t").status, store.thread("t").error)

    def test_a_dead_owner_holds_nothing(self, store: CheckpointStore) -> None:
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

    def test_an_unknown_thread_is_a_typed_error(self, store: CheckpointStore) -> None:
        """Nothing is made by looking."""
        for look in (store.thread, store.latest, lambda id: store.acquire(id, ME)):
            with pytest.raises(UnknownThread):
                look("nobody")
        assert [] == store.threads()

    def test_a_lease_that_runs_out_can_be_taken(self, tmp_path: Path) -> None:
        """An owner that is silent for longer than its lease loses it; renewing keeps it."""
        # (W4)
        now = [1000.0]
        store = self.open(tmp_path, lease=30.0, clock=lambda: now[0])
        other = replace(ME, token="other")
        lease = store.acquire("t", ME, create=True)
        now[0] += 20
        store.renew(lease)
        now[0] += 20
        with pytest.raises(ThreadBusy):
            store.acquire("t", other)
        now[0] += 20
        assert "stopped" == store.thread("t").status
        store.acquire("t", other)
        with pytest.raises(ThreadBusy):
            store.commit(lease, point(1))
        store.close()

    def test_of_many_that_want_a_thread_one_gets_it(self, store: CheckpointStore) -> None:
        """Whoever comes at the same moment is told so; nobody gets it twice."""
        # (W4)
        store.release(store.acquire("t", ME, create=True), "paused")
        for _ in range(20):
            got: list[Any] = []
            start = threading.Barrier(8)

            def want(number: int, got: list[Any] = got, start: Any = start) -> None:
                start.wait()
                with contextlib.suppress(ThreadBusy):
                    got.append(store.acquire("t", replace(ME, token=f"owner {number}")))

            wanting = [threading.Thread(target=want, args=(number,)) for number in range(8)]
            for one in wanting:
                one.start()
            for one in wanting:
                one.join()
            assert 1 == len(got)
            store.release(got[0], "paused")

    def test_what_cannot_be_stored_changes_nothing(self, store: CheckpointStore) -> None:
        """One bad value refuses the whole transaction, by field; the rest is as it was."""
        # (W6)
        if not self.encodes:
            pytest.skip("this store says that it takes whatever it is given")
        lease = store.acquire("t", ME, create=True)
        store.commit(lease, point(1))
        good = TaskRecord(1, "1:a", "a", "done", frozen_dict({"x": 1}))
        bad = TaskRecord(1, "1:b", "b", "done", frozen_dict({"x": object()}))
        with pytest.raises(CodecError):
            store.put_tasks(lease, [good, bad])
        assert () == latest(store).tasks
        with pytest.raises(CodecError, match="field 'x'") as caught:
            store.commit(lease, point(2, 1, values={"x": object()}))
        assert ("x", None) == (caught.value.field, caught.value.node)
        with pytest.raises(CodecError, match="written by node 'b'"):
            store.commit(lease, point(2, 1, values={"x": [object()]}), [bad])
        with pytest.raises(CodecError, match="written by node 'b'"):
            store.put_tasks(lease, [replace(bad, goto=(("send", "a", object()),))])
        asked = JournalEntry(1, "1:a", 0, "effect", "pay", "done", None, object())
        with pytest.raises(CodecError, match="pay"):
            store.put_journal(lease, [asked])
        with pytest.raises(CodecError):
            store.remember("n", "f", {"q": 1}, object(), 0.0, None)
        assert ((), ()) == (latest(store).tasks, latest(store).journal)
        assert (1, 1) == (latest(store).checkpoint.id, store.thread("t").checkpoint)

    @pytest.mark.parametrize(
        "value",
        [
            None, True, 2**70, -0.0, math.inf, 1 + 2j, "",
            "nul \x00 and ünï", b"\x00\xff", (1, (2,)),
            [1, [2, {"k": (3,)}]], {1: "int key", "1": "str key"}, {1, 2}, frozenset({3}),
        ],
        ids=repr,
    )  # fmt: skip
    def test_values_come_back_equal_and_of_their_type(
        self, store: CheckpointStore, value: Any
    ) -> None:
        """Whatever a state may hold."""
        # (W6)
        lease = store.acquire("t", ME, create=True)
        store.commit(lease, point(1, values={"value": value}))
        loaded = latest(store).checkpoint.values["value"]
        assert freeze(value) == loaded
        assert type(freeze(value)) is type(loaded)
        assert repr(freeze(value)) == repr(loaded)

    def test_growing_values_come_back_from_every_checkpoint(self, store: CheckpointStore) -> None:
        """However a store keeps what changed, each checkpoint is whole."""
        # (R22, W15)
        lease = store.acquire("t", ME, create=True)
        notes, text, table = freeze([]), "", freeze({})
        written = []
        for id in range(1, 40):
            notes = notes.grown([f"note {id}"]) if id % 7 else freeze(list(notes)[: id // 2])
            text += f"line {id}\n"
            table = freeze({**table, f"key {id % 5}": {"n": id}})
            written.append(point(id, id - 1 or None, values={"n": notes, "text": text, "t": table}))
            store.commit(lease, written[-1])
        for one in written:
            assert one == store.load("t", one.id).checkpoint

    def test_what_was_written_is_there_when_it_is_opened_again(self, tmp_path: Path) -> None:
        """By another process, for that matter: nothing is kept in memory alone."""
        # (R21)
        if not self.is_durable:
            pytest.skip("this store says that it keeps nothing")
        store = self.open(tmp_path)
        lease = store.acquire("t", ME, graph="g", create=True)
        store.commit(lease, point(1))
        store.put_tasks(lease, [TaskRecord(1, "1:a", "a", "done", frozen_dict({"x": 1}))])
        store.put_journal(lease, [JournalEntry(1, "1:a", 0, "effect", "pay", "done", None, 5)])
        store.release(lease, "failed", error="why")
        before, info = latest(store), store.thread("t")
        store.close()
        again = self.open(tmp_path)
        assert (before, info) == (latest(again), again.thread("t"))
        again.close()

    def test_a_cached_result_is_found_by_what_it_depends_on(self, store: CheckpointStore) -> None:
        """Until its time is over, and by equal inputs only."""
        # (R6)
        assert None is store.recall("n", "f", {"q": 1}, 0.0)
        store.remember("n", "f", freeze({"q": 1}), freeze(["result"]), 100.0, 200.0)
        store.remember("n", "f", freeze({"q": 2}), freeze(["for ever"]), 100.0, None)
        assert ["result"] == store.recall("n", "f", freeze({"q": 1}), 199.0)
        assert None is store.recall("n", "f", freeze({"q": 1}), 200.0)
        assert None is store.recall("n", "other", freeze({"q": 2}), 150.0)
        assert None is store.recall("n", "f", freeze({"q": "2"}), 150.0)
        assert ["for ever"] == store.recall("n", "f", freeze({"q": 2}), 1e12)

    def test_pruning_keeps_what_is_wanted_whole(self, store: CheckpointStore) -> None:
        """The latest always stays; what is kept is as it was, but for a parent that has gone."""
        lease = store.acquire("t", ME, create=True)
        notes, written = freeze([]), {}
        for id in range(1, 21):
            notes = notes.grown([f"a note of some length, number {id}"])
            written[id] = point(id, id - 1 or None, values={"n": notes, "same": "x" * 100})
            store.put_journal(lease, [JournalEntry(id, f"{id}:a", 0, "effect", "k", "done")])
            record = TaskRecord(id - 1, f"{id - 1}:a", "a", "done", frozen_dict({"n": notes}))
            store.commit(lease, written[id], [record])
        before = sum(one.size for one in store.sizes())
        assert 17 == store.prune(lease, {5, 6})
        assert 0 == store.prune(lease, {5, 6})

        assert [(5, None), (6, 5), (20, None)] == [
            (info.id, info.parent) for info in store.history("t")
        ]
        for id, parent in ((5, None), (6, 5), (20, None)):
            loaded = store.load("t", id)
            assert replace(written[id], parent=parent) == loaded.checkpoint
            assert [id] == [entry.anchor for entry in loaded.journal]
        assert sum(one.size for one in store.sizes()) < before / 2
        store.vacuum()
        store.commit(lease, point(21, 20, values={"n": notes.grown(["and on"])}))
        assert "and on" == latest(store).checkpoint.values["n"][-1]

    def test_a_deleted_thread_is_gone(self, store: CheckpointStore) -> None:
        """With its lease; another of its name begins anew."""
        lease = store.acquire("t", ME, create=True)
        store.commit(lease, point(1))
        store.put_tasks(lease, [TaskRecord(1, "1:a", "a", "done", frozen_dict({"x": 1}))])
        store.delete(lease)
        assert ([], []) == (store.threads(), store.sizes())
        with pytest.raises(UnknownThread):
            store.latest("t")
        lease = store.acquire("t", ME, create=True)
        store.commit(lease, point(1))
        assert () == latest(store).tasks

    def test_closing_twice_is_fine(self, tmp_path: Path) -> None:
        """As files do it."""
        store = self.open(tmp_path)
        store.close()
        store.close()
