"""A thread's past in memory: what was committed, and as small as what was written. (W15)"""

import gc
import random
import tracemalloc

import pytest

from nbagent.engine.model.checkpoint import Checkpoint, TaskRecord
from nbagent.engine.model.values import freeze, frozen_dict
from nbagent.engine.store.ownership import fresh_owner
from nbagent.stores.memory import MemoryStore


def drawn(dice, values):
    """The values, some of them changed as agents change them."""
    log, table, text = list(values["log"]), dict(values["table"]), values["text"]
    how = dice.randrange(8)
    new = [f"item {dice.random()}" for _ in range(dice.randrange(1, 4))]
    if how < 3:
        log = values["log"].grown(new) if dice.random() < 0.5 else freeze([*log, *new])
    elif how == 3:
        log = freeze([*values["log"], *new][-100:])
    elif how == 4:
        log = freeze([*values["log"][:50], *new, *values["log"][60:]])
    elif how == 5:
        table = freeze({**table, f"k{dice.randrange(200)}": new})
    elif how == 6:
        text = text + "more " * 3
    else:
        log = freeze([f"new {n}" for n in range(dice.randrange(200))])
    made = {"n": values["n"] + 1, "log": freeze(log), "table": freeze(table), "text": text}
    return frozen_dict(made)


@pytest.mark.parametrize("seed", range(6))
def test_every_checkpoint_is_what_was_committed(seed):
    """Whatever changed, also behind a fork in place and what was pruned."""
    dice, store = random.Random(seed), MemoryStore()
    lease = store.acquire("t", fresh_owner(), create=True)
    values = frozen_dict({"n": 0, "log": freeze([]), "table": freeze({}), "text": ""})
    known, parent = {}, None
    for id in range(1, 200):
        record = TaskRecord(id - 1, f"{id - 1}:a", "a", "done", update={"log": values["log"]})
        store.commit(
            lease,
            Checkpoint(id, parent, id, "step", values, frozen_dict({}), (), (), id),
            [record] if id > 1 else [],
        )
        known[id] = values, parent
        parent = id
        if dice.random() < 0.03:
            parent = dice.choice(list(known))
        elif dice.random() < 0.03:
            kept = set(dice.sample(list(known), len(known) // 2)) | {id}
            store.prune(lease, kept)
            known = {id: one for id, one in known.items() if id in kept}
        before = store.load("t", parent).checkpoint.values
        values = drawn(dice, before)
    for id, (expected, _) in known.items():
        loaded = store.load("t", id)
        assert expected == loaded.checkpoint.values
        assert list(expected) == list(loaded.checkpoint.values)
        assert [type(one) for one in expected.values()] == [
            type(one) for one in loaded.checkpoint.values.values()
        ]
        if id + 1 in known:
            assert [expected_log(known, id + 1)] == [one.update["log"] for one in loaded.tasks]
    assert known[max(known)][0] == store.latest("t").checkpoint.values


def expected_log(known, id):
    return known[id][0]["log"]


def test_a_long_chat_costs_what_was_said():
    """Four times the messages, four times the memory, and not sixteen times."""

    def held(size):
        store = MemoryStore()
        lease = store.acquire("t", fresh_owner(), create=True)
        log = freeze([])
        gc.collect()
        tracemalloc.start()
        for id in range(1, size):
            log = log.grown([f"m{id}"])
            values = frozen_dict({"log": log})
            store.commit(
                lease,
                Checkpoint(id, id - 1 or None, id, "step", values, frozen_dict({}), (), (), id),
            )
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert [f"m{n}" for n in range(1, size // 2 + 1)] == list(
            store.load("t", size // 2).checkpoint.values["log"]
        )
        return held

    assert held(2000) < 6 * held(500)
