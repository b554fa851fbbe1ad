"""How the time of a row is taken, and the workloads that are the same for all."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

cpu, wall = time.process_time, time.perf_counter


def best(work: Callable[[int], object], rounds: int, clock: Callable[[], float]) -> float:
    """Seconds of the fastest round."""
    times = []
    for number in range(rounds):
        began = clock()
        work(number)
        times.append(clock() - began)
    return min(times)


def agent(state: Any, calls: int) -> dict[str, Any]:
    """What a model would say that calls a tool so many times."""
    number = len(state["messages"]) // 2
    call = [{"id": str(number), "name": "search", "args": {"query": "q" * 3600}}]
    wanted = call if number < calls else []
    return {"messages": [{"role": "assistant", "content": "", "tool_calls": wanted}]}


def tools(state: Any) -> dict[str, Any]:
    """What the tool gives back."""
    call = state["messages"][-1]["tool_calls"][0]
    result = f"result for query: {call['args']['query'][:300]}" * 10
    return {"messages": [{"role": "tool", "tool_call_id": call["id"], "content": result}]}


def chosen(state: Any) -> str:
    """Where the agent goes on."""
    return "tools" if state["messages"][-1]["tool_calls"] else "end"
