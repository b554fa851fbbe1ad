"""
How costs grow over three decades: seconds, megabytes and bytes at each size, and the exponent that
a straight line through their logarithms has. 1 is linear.

    python tests/benchmarks/growth.py [decades]     two decades take a minute, three some ten
"""

from __future__ import annotations

import gc
import math
import operator
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, TypedDict

import nbagent
from nbagent import END, START, Graph, branch, node
from nbagent.engine.model.checkpoint import Checkpoint
from nbagent.engine.model.values import frozen_dict
from nbagent.engine.store.ownership import fresh_owner
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore

FOLDER = Path(tempfile.mkdtemp(prefix="nbagent-growth-"))


class Chat(TypedDict, total=False):
    messages: Annotated[list[str], operator.add]


def latest_50(old: list[str], new: list[str]) -> list[str]:
    return [*old, *new][-50:]


class Window(TypedDict, total=False):
    count: Annotated[int, operator.add]
    messages: Annotated[list[str], latest_50]


def seconds(work: Callable[[], object]) -> float:
    gc.collect()
    began = time.process_time()
    work()
    return time.process_time() - began


def build(size: int) -> float:
    """A chain of so many nodes, compiled."""

    def make() -> None:
        with Graph("chain", Chat) as graph:
            before = START
            for number in range(size):
                before >> (this := node(lambda state: None, name=f"n{number}"))  # type: ignore[operator]
                before = this  # type: ignore[assignment]
            before >> END
        graph.compile()

    return seconds(make)


def chat(store: object, size: int) -> None:
    with Graph("chat", Chat, store=store) as graph:

        @node
        async def turn(state):  # type: ignore[no-untyped-def]
            return {"messages": ["hi"]}

        on = branch(lambda s: "on" if len(s["messages"]) < size else "off", on=turn, off=END)
        START >> turn >> on
    graph.run({}, thread="t", step_limit=10**9)


def memory_history(size: int) -> float:
    """Megabytes of a chat of so many messages in a memory store, at its end."""
    gc.collect()
    tracemalloc.start()
    store = MemoryStore()
    chat(store, size)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    store.close()
    return held / 1e6


def window(size: int) -> float:
    """Megabytes in the file of a window of 50 messages over so many steps."""
    store = SqliteStore(FOLDER / f"window{size}.db", durability="process")
    with Graph("window", Window, store=store) as graph:

        @node
        async def turn(state):  # type: ignore[no-untyped-def]
            return {"count": 1, "messages": [f"message {state['count']}"]}

        on = branch(lambda s: "on" if s["count"] < size else "off", on=turn, off=END)
        START >> turn >> on
    graph.run({"count": 0, "messages": []}, thread="t", step_limit=10**9)
    store.close()
    return (FOLDER / f"window{size}.db").stat().st_size / 1e6


def filled(size: int) -> SqliteStore:
    """A store of so many threads that are done."""
    store = SqliteStore(FOLDER / f"threads{size}.db", durability="process")
    values = frozen_dict({"text": "hello " * 20})
    first = Checkpoint(1, None, 0, "input", values, frozen_dict({}), (), (), 1)
    for number in range(size - len(store.threads())):
        lease = store.acquire(f"t{number}", fresh_owner(), graph="g", create=True)
        store.commit(lease, first)
        store.release(lease, "done")
    return store


def with_store(work: Callable[[SqliteStore], object]) -> Callable[[int], float]:
    def measure(size: int) -> float:
        store = filled(size)
        try:
            return seconds(lambda: work(store))
        finally:
            store.close()

    return measure


def prune(store: SqliteStore) -> None:
    nbagent.prune(store, status="done")


MEASURES: dict[str, tuple[Callable[[int], float], int, str]] = {
    "building a graph of n nodes": (build, 10, "s"),
    "memory store, a chat of n": (memory_history, 20, "MB"),
    "window of 50 over n steps": (window, 60, "MB"),
    "sizes() of n threads": (with_store(lambda store: store.sizes()), 20, "s"),
    "threads() of n threads": (with_store(lambda store: store.threads()), 20, "s"),
    "prune of n threads": (with_store(prune), 20, "s"),
}


def exponent(sizes: Iterable[int], costs: Iterable[float]) -> float:
    """Of the least squares through the logarithms, without the smallest size."""
    points = [(math.log(n), math.log(max(c, 1e-9))) for n, c in zip(sizes, costs, strict=True)][1:]
    x, y = (sum(one) / len(points) for one in zip(*points, strict=True))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


def main(decades: int) -> None:
    print(f"{'':28} {'sizes and costs':60} exponent")
    for name, (measure, first, unit) in MEASURES.items():
        sizes = [first * 10**power for power in range(decades + 1)]
        costs = [measure(size) for size in sizes]
        told = "  ".join(f"{n}: {cost:.3g} {unit}" for n, cost in zip(sizes, costs, strict=True))
        print(f"{name:28} {told:60} {exponent(sizes, costs):.2f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
