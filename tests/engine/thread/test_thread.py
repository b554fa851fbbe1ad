"""The durable handle: edits, forks, owners. (R31, W4, W12)"""

import threading

import pytest

from nbagent.engine.node.context import emit
from nbagent.engine.watch.events import Checkpointed, NodeEmitted, RunEnded, RunStarted
from nbagent.errors import StaleEdit, StateError, ThreadBusy, ThreadError
from nbagent.stores.memory import MemoryStore
from tests.engine.build import END, START, Edge, Strict, program, sync, thread


def three(**more):
    """a -> b -> c, each adding one to x."""
    nodes = [sync(name, lambda s: {"x": s["x"] + 1}) for name in "abc"]
    wires = [Edge(START, "a"), Edge("a", "b"), Edge("b", "c"), Edge("c", END)]
    return program(*nodes, fields=("x", "y"), wires=wires, **more)


def test_an_edit_sets_a_field_and_is_recorded():
    """A set, not a reduce; the history has the note and who did it. (R31, W12)"""
    one = thread(three())
    one.start({"x": 0}, steps=1).result()
    one.edit({"x": 10}, note="measured again", actor="Ada")

    last = one.store.history("t")[-1]
    assert ("edit", "measured again", "Ada") == (last.kind, last.note, last.actor)
    assert {"x": 12} == one.resume().result()


def test_a_stale_edit_is_refused():
    """By checkpoint id and by value; the error says what changed since. (W12)"""
    one = thread(three())
    one.start({"x": 0}, steps=1).result()
    seen = one.checkpoint_id
    one.edit({"x": 10}, expect=seen)

    with pytest.raises(StaleEdit) as caught:
        one.edit({"x": 11}, expect=seen)
    assert (seen, seen + 1, ("x",)) == (
        caught.value.expected,
        caught.value.actual,
        caught.value.fields,
    )
    with pytest.raises(StaleEdit):
        one.edit({"x": 11}, expect={"x": 1})
    one.edit({"x": 11}, expect={"x": 10})
    assert {"x": 11} == one.state


def test_a_refused_edit_writes_nothing():
    """An unknown field or a value that does not fit; the thread is as it was."""
    one = thread(three(schema=Strict()))
    one.start({"x": 0}, steps=1).result()
    before = one.info

    with pytest.raises(StateError, match="did you mean 'x'"):
        one.edit({"x_": 1})
    with pytest.raises(StateError):
        one.edit({"x": "bad"})
    assert (before.checkpoint, before.status) == (one.info.checkpoint, one.info.status)


def test_a_fork_never_changes_the_original():
    """From a super-step to a new thread, with an edit. (R8)"""
    one = thread(three())
    one.start({"x": 0}).result()
    other = one.fork(step=1, id="other", edits={"x": 100})

    assert ("paused", ("b",)) == (other.status, other.next)
    assert {"x": 102} == other.resume().result()
    assert ("done", {"x": 3}) == (one.status, one.state)
    with pytest.raises(ThreadError, match="exists already"):
        one.fork(id="other")
    with pytest.raises(ThreadError, match="no super-step 9"):
        one.fork(step=9)


def test_a_fork_in_place_grows_a_branch():
    """The history keeps the old line."""
    one = thread(three())
    one.start({"x": 0}).result()
    one.fork(step=1, in_place=True, edits={"x": 50})

    assert {"x": 52} == one.resume().result()
    assert [None, 1, 2, 3, 2, 5, 6] == [info.parent for info in one.store.history("t")]


def test_five_starts_at_once_run_once():
    """One runs, four are told who has it. (W4)"""
    gate = threading.Event()
    calls = []
    made = program(
        sync("a", lambda s: calls.append(1) or (gate.wait(5) and None)),
        wires=[Edge(START, "a"), Edge("a", END)],
    )
    store = MemoryStore()
    runs, errors = [], []

    def start():
        try:
            runs.append(thread(made, store=store).start({}))
        except ThreadError as error:
            errors.append(error)

    starters = [threading.Thread(target=start) for _ in range(5)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    gate.set()

    assert (1, 4) == (len(runs), len(errors))
    runs[0].result()
    assert [1] == calls


def test_a_running_thread_cannot_be_edited():
    """ThreadBusy says who has it; after a take-over the old owner writes nothing more. (W4)"""
    gate = threading.Event()
    made = program(
        sync("a", lambda s: gate.wait(5) and {"x": 1}),
        sync("b", lambda s: {"x": 2}),
        wires=[Edge(START, "a"), Edge("a", "b"), Edge("b", END)],
    )
    one = thread(made)
    run = one.start({"x": 0})
    with pytest.raises(ThreadBusy) as caught:
        one.edit({"x": 5})
    assert "process" in caught.value.owner

    second = one.resume(take_over=True, steps=0)
    second.result()
    gate.set()
    with pytest.raises(ThreadBusy):
        run.result()
    assert ({"x": 0}, "paused") == (one.state, one.status)
    assert {"x": 2} == one.resume().result()


def test_a_done_thread_goes_on_with_a_new_input():
    """The input is merged into the state that it ended with."""
    one = thread(three())
    one.start({"x": 0}).result()

    assert {"x": 13, "y": 1} == one.start({"x": 10, "y": 1}).result()


def test_events_tell_what_happened_in_order():
    """Numbered from 1, from the start of the run to its end, also for who comes late. (R36)"""
    made = program(
        sync("a", lambda s: emit("half") or {"x": 1}), wires=[Edge(START, "a"), Edge("a", END)]
    )
    run = thread(made).start({"x": 0})
    run.result()
    seen = []
    run.watch(seen.append)

    assert list(range(1, len(seen) + 1)) == [event.number for event in seen]
    assert (RunStarted, RunEnded) == (type(seen[0]), type(seen[-1]))
    assert ["half"] == [event.value for event in seen if isinstance(event, NodeEmitted)]
    assert [{"x": 1}] == [e.checkpoint.values for e in seen if isinstance(e, Checkpointed)]


def test_an_observer_that_fails_does_not_reach_the_run(caplog):
    """It is reported once and left out."""
    ended = threading.Event()
    run = thread(three()).start({"x": 0}, steps=None)

    def broken(event):
        raise RuntimeError("view gone")

    run.watch(broken)
    run.watch(lambda event: isinstance(event, RunEnded) and ended.set())
    assert {"x": 3} == run.result()
    assert ended.wait(5)
    assert 1 == sum("is left out" in record.message for record in caplog.records)
