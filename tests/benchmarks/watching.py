"""
What it costs to be watched, run by hand: python tests/benchmarks/watching.py [STEPS]

The same agent (one node that emits once) with nobody watching, with an observer, with the
live view, with spans, and with OpenTelemetry's SDK: microseconds a super-step, and the
ratio to nobody. All in one run, the best of three each.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any, TypedDict

from nbagent import END, START, Graph, branch, emit, node, span
from nbagent.engine.thread.run import Run
from nbagent.graph.layout import layout
from nbagent.notebook.shown.run_model import RunModel
from nbagent.notebook.widgets.run_view import RunView


class State(TypedDict):
    count: int


def loop(steps: int, watch: Callable[[Graph, Run], Any], spans: bool) -> float:
    """Microseconds a super-step."""

    async def turn(state: Any) -> dict[str, int]:
        emit(state["count"])
        if spans:
            with span("inside"):
                return {"count": state["count"] + 1}
        return {"count": state["count"] + 1}

    with Graph("loop", State, store="memory://") as graph:
        one = node(turn, name="turn")
        START >> one
        one >> branch(lambda s: "on" if s["count"] < steps else "off", on=one, off=END)
    began = time.perf_counter()
    run = graph.start({"count": 0}, step_limit=steps + 1)
    watch(graph, run)
    run.result()
    return (time.perf_counter() - began) / steps * 1e6


def view(graph: Graph, run: Run) -> None:
    """The live view, whose messages are packed as they are for a page."""
    drawing = layout(graph.compile())
    model = RunModel(run.thread.id, "loop", drawing)
    made = RunView(drawing, model=model, on_command=print, on_ask=lambda what, args: None)
    made.send = lambda content, buffers=None: json.dumps(content)
    run.watch(made)


def main(steps: int) -> None:
    """Print the table."""

    def best(watch: Callable[[Graph, Run], Any], spans: bool = False) -> float:
        return min(loop(steps, watch, spans) for _ in range(3))

    nobody = best(lambda graph, run: None)
    rows = {
        "nobody": nobody,
        "an observer": best(lambda graph, run: run.watch(lambda event: None)),
        "the live view": best(view),
        "a span in the node": best(lambda graph, run: None, spans=True),
    }
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    trace.set_tracer_provider(TracerProvider())
    rows["OpenTelemetry, no exporter"] = best(lambda graph, run: None)
    for name, cost in rows.items():
        print(f"{name:28} {cost:7.0f} µs a step   {cost / nobody:5.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
