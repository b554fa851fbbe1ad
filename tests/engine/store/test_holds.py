"""Holds that nothing comes of. (W4, W18)"""

from dataclasses import replace

from nbagent import prune
from nbagent.engine.store.ownership import current_owner, disown, fresh_owner, is_alive
from nbagent.stores.memory import MemoryStore
from tests.engine.build import END, START, Edge, program, sync, thread


def done(store):
    made = program(sync("a", lambda s: {"x": 1}), wires=[Edge(START, "a"), Edge("a", END)])
    thread(made, store=store).start({"x": 0}).result(5)


def test_a_hold_that_could_not_be_given_back_is_over():
    """And only that one: the process lives, and holds others."""
    mine, other = fresh_owner(), fresh_owner()
    disown(mine)

    assert [False, True] == [is_alive(mine), is_alive(other)]


def test_an_owner_of_an_earlier_version_is_known_by_its_host():
    """It said no more; one on another host counts as alive."""
    old = replace(current_owner(), boot="", namespace="")
    dead = replace(old, pid=2**22 + 1, started="1")

    assert [True, False, True] == [
        is_alive(old), is_alive(dead), is_alive(replace(dead, host="elsewhere"))
    ]  # fmt: skip


def test_pruning_what_is_short_already_changes_nothing():
    """Not even when something last happened to the thread."""
    store = MemoryStore()
    done(store)
    (before,) = store.threads()
    table = prune(keep=5, store=store)
    (after,) = store.threads()

    assert 0 == len(table)
    assert (before.status, before.updated, None) == (after.status, after.updated, after.owner)
    assert 2 == len(store.history("t"))
