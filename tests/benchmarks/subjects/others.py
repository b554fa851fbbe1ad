"""What Burr, DBOS and pydantic-graph take for the one-node loop."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from tests.benchmarks.subjects.measure import best, cpu, wall


def burr(folder: Path, keeps: str = "memory", steps: int = 300) -> float:
    from burr.core import ApplicationBuilder, State, action, expr
    from burr.core.persistence import SQLitePersister

    @action(reads=["count"], writes=["count"])
    def turn(state: State) -> State:
        return state.update(count=state["count"] + 1)

    @action(reads=[], writes=[])
    def end(state: State) -> State:
        return state

    persister = None
    if keeps == "power":
        persister = SQLitePersister(db_path=str(folder / "burr.db"), table_name="states")
        persister.initialize()

    def run(number: int) -> None:
        builder = ApplicationBuilder().with_actions(turn, end)
        builder = builder.with_transitions(
            ("turn", "turn", expr(f"count < {steps}")), ("turn", "end")
        )
        builder = builder.with_state(count=0).with_entrypoint("turn")
        builder = builder.with_identifiers(app_id=f"a{number}")
        if persister is not None:
            builder = builder.with_state_persister(persister)
        builder.build().run(halt_after=["end"])

    return best(run, 3, wall if keeps == "power" else cpu) / steps * 1e6


def dbos(folder: Path, steps: int = 200) -> float:
    from dbos import DBOS

    logging.disable(logging.CRITICAL)
    DBOS(config={"name": "loop", "system_database_url": f"sqlite:///{folder}/dbos.sqlite"})

    @DBOS.step()
    def turn(count: int) -> int:
        return count + 1

    @DBOS.workflow()
    def work() -> int:
        count = 0
        while count < steps:
            count = turn(count)
        return count

    DBOS.launch()
    try:
        return best(lambda n: work(), 3, wall) / steps * 1e6
    finally:
        DBOS.destroy()


def pydantic_graph(folder: Path, steps: int = 500) -> float:
    from dataclasses import dataclass

    from pydantic_graph import BaseNode, End, Graph, GraphRunContext

    @dataclass
    class Count:
        count: int = 0

    @dataclass
    class Turn(BaseNode[Count, None, int]):
        async def run(self, ctx: GraphRunContext[Count]) -> Turn | End[int]:
            ctx.state.count += 1
            return Turn() if ctx.state.count < steps else End(ctx.state.count)

    graph: Any = Graph(nodes=[Turn])
    return best(lambda n: asyncio.run(graph.run(Turn(), state=Count())), 5, cpu) / steps * 1e6
