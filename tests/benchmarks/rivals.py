"""
nbagent beside LangGraph's SQLite saver, in one run: python tests/benchmarks/rivals.py [STEPS]

Needs `pip install langgraph langgraph-checkpoint-sqlite` besides. Each row is the same agent: a
loop of one node that appends a message of 1 KB a step. LangGraph's saver survives a power cut, so
nbagent is shown with that durability, and with its faster one, which survives any kill.
"""

from __future__ import annotations

import operator
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.channels import DeltaChannel
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END as LG_END
from langgraph.graph import START as LG_START
from langgraph.graph import StateGraph

from nbagent import END, START, Graph, branch, node

MESSAGE = "x" * 1024


class State(TypedDict):
    count: int
    notes: Annotated[list[str], operator.add]


def _add(state: list[str], writes: list[list[str]]) -> list[str]:
    return [*state, *(item for write in writes for item in write)]


class DeltaState(TypedDict):
    count: int
    notes: Annotated[list[str], DeltaChannel(_add)]


def turn(state: Any) -> dict[str, Any]:
    return {"count": state["count"] + 1, "notes": [MESSAGE + str(state["count"])]}


def timed(work: Callable[[], Any]) -> float:
    """Seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ours(path: Path, steps: int, durability: str) -> tuple[float, ...]:
    """Seconds to run, MB of the file, seconds to load, seconds to list the history."""
    with Graph("loop", State, store=f"sqlite:///{path}?durability={durability}") as graph:
        one = node(turn, name="turn")
        START >> one
        one >> branch(lambda s: "on" if s["count"] < steps else "off", on=one, off=END)
    took = timed(lambda: graph.run({"count": 0}, thread="t", step_limit=steps + 1))
    thread = graph.thread("t")
    load, listing = timed(thread.latest), timed(lambda: graph.store.history("t"))
    graph.store.close()
    return took, os.path.getsize(path) / 1e6, load, listing


def theirs(path: Path, steps: int, state: type) -> tuple[float, ...]:
    """The same of LangGraph."""
    db = sqlite3.connect(path, check_same_thread=False)
    builder = StateGraph(state)
    builder.add_node("turn", turn)
    builder.add_edge(LG_START, "turn")
    builder.add_conditional_edges("turn", lambda s: "turn" if s["count"] < steps else LG_END)
    graph = builder.compile(checkpointer=SqliteSaver(db))
    config: Any = {"configurable": {"thread_id": "t"}, "recursion_limit": steps + 5}
    took = timed(lambda: graph.invoke({"count": 0, "notes": []}, config))
    load = timed(lambda: graph.get_state(config))
    listing = timed(lambda: list(graph.get_state_history(config)))
    db.close()
    return took, os.path.getsize(path) / 1e6, load, listing


def main(steps: int) -> None:
    """Print the table."""
    folder = Path(tempfile.mkdtemp())
    rows = {
        "nbagent, survives a power cut": ours(folder / "a.db", steps, "power"),
        "nbagent, survives a kill": ours(folder / "b.db", steps, "process"),
        "LangGraph, DeltaChannel": theirs(folder / "c.db", steps, DeltaState),
        "LangGraph": theirs(folder / "d.db", steps, State),
    }
    print(f"{steps} steps, 1 KB a step         µs a step      file   load   history")
    for name, (took, size, load, listing) in rows.items():
        print(
            f"{name:32} {took / steps * 1e6:8.0f} {size:7.1f} MB "
            f"{load * 1e3:6.1f} {listing * 1e3:7.1f} ms"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
