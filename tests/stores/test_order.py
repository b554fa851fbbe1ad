"""What a checkpoint file holds does not depend on timing: byte for byte. (R17, W7)"""

import asyncio
import operator
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbagent.engine.model.program import Command, Send
from nbagent.errors import NodeError
from nbagent.stores.sqlite import SqliteStore
from tests.engine.build import END, START, Edge, Join, program, sync, task, thread


def written(order, fail, folder):
    """The bytes of a file after siblings of all kinds finished in `order`, one of them failing."""
    turns = {place: asyncio.Event() for place in range(4)}
    broken = {fail}

    async def turn(place):
        if order.index(place):
            await turns[order[order.index(place) - 1]].wait()
        turns[place].set()

    def node(place, returned):
        async def run(state):
            if not tried:
                await turn(place)
            if place in broken:
                raise ValueError("once")
            return returned

        return task(f"n{place}", run)

    tried = []
    nodes = [
        node(0, {"log": [0], "tags": {"b", "a"}}),
        node(1, {"log": [1.5, {"k": (1, {"z", "y"})}], "x": b"1"}),
        node(2, Command({"log": [2]}, goto=Send("end", {"private": 1}))),
        node(3, {"log": [3], "tags": {"c", "a"}}),
        sync("end", lambda state: {"log": ["end"]}),
    ]
    made = program(
        *nodes,
        fields=("x",),
        reduced={"log": operator.add, "tags": operator.or_},
        wires=[Edge(START, f"n{p}") for p in range(4)]
        + [Join(("n0", "n1", "n2", "n3"), "end"), Edge("end", END)],
    )
    path = Path(folder) / "a.db"
    store = SqliteStore(path)
    one = thread(made, store=store)
    if fail is None:
        one.start({"log": [], "tags": set()}).result(5)
    else:
        with pytest.raises(NodeError):
            one.start({"log": [], "tags": set()}).result(5)
        broken.clear()
        tried.append(True)
        one.resume().result(5)
    store.close()
    with closing(sqlite3.connect(path)) as db:
        return {
            "checkpoints": db.execute(
                "SELECT id, parent, step, kind, updated, ran, anchor, control, versions, nodes,"
                " checksum FROM checkpoints ORDER BY id"
            ).fetchall(),
            "versions": db.execute("SELECT id, field, base, data FROM versions").fetchall(),
            "tasks": db.execute(
                "SELECT anchor, task, status FROM tasks ORDER BY anchor, task"
            ).fetchall(),
        }


@settings(max_examples=int(os.environ.get("NBAGENT_ORDERS", "30")), deadline=None)
@given(st.permutations([0, 1, 2, 3]), st.sampled_from([None, 0, 2]))
def test_the_order_of_finishing_does_not_change_a_byte_of_the_checkpoints(order, fail):
    """Whoever finishes first, and also when one of them failed before. (R17, W7)"""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        assert written([0, 1, 2, 3], fail, other) == written(order, fail, folder)
