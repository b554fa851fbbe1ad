"""Three threads at once that count and say what they were told is stored, until they are killed."""

import asyncio
import operator
import os
import sys
from typing import Annotated, TypedDict

from nbagent import END, START, Graph, branch, node
from nbagent.engine.watch.events import Checkpointed

THREADS = ("a", "b", "c")


class State(TypedDict):
    n: int
    log: Annotated[list[str], operator.add]


def counting(url):
    """A graph that counts for as long as it is let."""
    with Graph("counting", State, store=url) as made:

        @node
        async def turn(state):
            return {"n": state["n"] + 1, "log": [f"{state['n']:4}" * 20]}

        START >> turn
        turn >> branch(lambda state: "on" if state["n"] >= 0 else "off", on=turn, off=END)
    return made


def tell(event):
    """In one write: nobody is told half of it."""
    if isinstance(event, Checkpointed):
        os.write(1, f"{event.thread} {event.checkpoint.id}\n".encode())


async def main(url):
    graph = counting(url)
    runs = [graph.start({"n": 0}, id, step_limit=100_000) for id in THREADS]
    for run in runs:
        run.watch(tell)
    for run in runs:
        await run


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
