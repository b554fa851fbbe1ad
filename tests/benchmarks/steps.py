"""
What a super-step costs, run by hand: python tests/benchmarks/steps.py [MESSAGES]

Prints microseconds a super-step of a one-node loop without a file, in SQLite with either
durability, beside bare asyncio and bare SQLite in the same run; then a chat that appends a 1 KB
message a step: cost, file size, and the time to load it.
"""

from __future__ import annotations

import asyncio
import operator
import os
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, TypedDict

from nbagent import END, START, Graph, branch, node


class State(TypedDict):
    count: int
    notes: Annotated[list[str], operator.add]


def loop(url: str, steps: int, message: str = "") -> tuple[float, Graph]:
    """Microseconds a super-step, and the graph."""
    with Graph("loop", State, store=url) as graph:

        @node
        async def turn(state):
            written = {"count": state["count"] + 1}
            return written | {"notes": [message + str(state["count"])]} if message else written

        START >> turn
        turn >> branch(lambda s: "on" if s["count"] < steps else "off", on=turn, off=END)
    assert graph.store  # open before the clock starts, as the bare file is
    began = time.perf_counter()
    graph.run({"count": 0}, thread="t", step_limit=steps + 1)
    return (time.perf_counter() - began) / steps * 1e6, graph


async def bare_asyncio(steps: int) -> float:
    """Microseconds of creating and awaiting a task."""

    async def nothing() -> None:
        pass

    began = time.perf_counter()
    for _ in range(steps):
        await asyncio.create_task(nothing())
    return (time.perf_counter() - began) / steps * 1e6


def bare_sqlite(path: Path, steps: int, synchronous: str) -> float:
    """Microseconds of one committed insert in WAL mode."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {synchronous}")
    db.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, data BLOB)")
    began = time.perf_counter()
    for number in range(steps):
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO rows VALUES (?, ?)", (number, b"x" * 100))
        db.execute("COMMIT")
    db.close()
    return (time.perf_counter() - began) / steps * 1e6


def main(messages: int) -> None:
    """Print the table."""
    folder = Path(tempfile.mkdtemp())
    rows = [("one node, no file", loop("memory://", 3000)[0], asyncio.run(bare_asyncio(3000)))]
    for durability, synchronous in (("process", "NORMAL"), ("power", "FULL")):
        url = f"sqlite:///{folder}/{durability}.db?durability={durability}"
        floor = bare_sqlite(folder / f"bare-{durability}.db", 1000, synchronous)
        rows.append((f"one node, SQLite, survives {durability} loss", loop(url, 1000)[0], floor))
    for what, ours, floor in rows:
        print(f"{what:45} {ours:8.0f} µs a step   (bare: {floor:.0f} µs)")
    cost, graph = loop(f"sqlite:///{folder}/chat.db?durability=process", messages, "x" * 1024)
    print(f"{f'chat, {messages} messages of 1 KB':45} {cost:8.0f} µs a step")
    began = time.perf_counter()
    graph.store.latest("t")
    print(f"{'loading it':45} {(time.perf_counter() - began) * 1e3:8.1f} ms")
    graph.store.close()
    print(f"{'its file':45} {os.path.getsize(folder / 'chat.db') / 1e6:8.1f} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
