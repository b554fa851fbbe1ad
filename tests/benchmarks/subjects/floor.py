"""The least that a row can take: an asyncio task, and a bare committed insert, a step."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from tests.benchmarks.subjects.measure import best, cpu, wall


async def _nothing() -> None:
    pass


def loop(folder: Path, keeps: str = "memory", steps: int = 500, size: int = 60) -> float:
    """Microseconds a step: CPU, and wall where a power cut is survived."""
    db = sqlite3.connect(folder / "bare.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {'FULL' if keeps == 'power' else 'NORMAL'}")
    db.execute("CREATE TABLE steps (id INTEGER PRIMARY KEY, data BLOB)")

    async def run() -> None:
        for number in range(steps):
            await asyncio.create_task(_nothing())
            if keeps != "memory":
                db.execute("BEGIN IMMEDIATE")
                db.execute("INSERT INTO steps (data) VALUES (?)", (b"x" * size + b"%d" % number,))
                db.execute("COMMIT")

    clock = wall if keeps == "power" else cpu
    return best(lambda n: asyncio.run(run()), 5, clock) / steps * 1e6


def chat(folder: Path, steps: int = 1000) -> float:
    return loop(folder, "kill", steps, 1024)


def fan_out(folder: Path, tasks: int = 1000) -> float:
    async def run() -> None:
        await asyncio.gather(*[asyncio.create_task(_nothing()) for _ in range(tasks)])

    return best(lambda n: asyncio.run(run()), 5, cpu) / tasks * 1e6
