"""What LangGraph takes for the rows, as it is fastest: `invoke`, plain functions."""

from __future__ import annotations

import operator
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.channels import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from tests.benchmarks.subjects.measure import agent, best, chosen, cpu, tools, wall


def _saver(folder: Path, keeps: str) -> Any:
    if keeps == "none":
        return None
    if keeps == "memory":
        return InMemorySaver()
    return SqliteSaver(sqlite3.connect(folder / "theirs.db", check_same_thread=False))


def _config(thread: object) -> Any:
    return {"configurable": {"thread_id": str(thread)}, "recursion_limit": 10**6}


def _loop(saver: Any, steps: int, state: type, turn: Callable[..., Any]) -> Any:
    builder = StateGraph(state)
    builder.add_node("turn", turn)
    builder.add_edge(START, "turn")
    builder.add_conditional_edges("turn", lambda s: "turn" if s["count"] < steps else END)
    return builder.compile(checkpointer=saver)


class Count(TypedDict):
    count: int


def _count(state: Any) -> dict[str, Any]:
    return {"count": state["count"] + 1}


def loop(folder: Path, keeps: str = "memory", steps: int = 300) -> float:
    graph = _loop(_saver(folder, keeps), steps, Count, _count)
    run = lambda n: graph.invoke({"count": 0}, _config(n))  # noqa: E731
    return best(run, 3, wall if keeps == "power" else cpu) / steps * 1e6


class Texts(TypedDict):
    count: int
    notes: Annotated[list[str], operator.add]


class Dicts(TypedDict):
    count: int
    notes: Annotated[list[dict[str, Any]], operator.add]


def _add(state: list[Any], writes: list[list[Any]]) -> list[Any]:
    return [*state, *(item for write in writes for item in write)]


class Deltas(TypedDict):
    count: int
    notes: Annotated[list[str], DeltaChannel(_add)]


def _chat(folder: Path, steps: int, kind: str) -> Any:
    def turn(state: Any) -> dict[str, Any]:
        text = "x" * 1024 + str(state["count"])
        said = {"role": "user", "content": text} if kind == "dicts" else text
        return {"count": state["count"] + 1, "notes": [said]}

    state = {"dicts": Dicts, "delta": Deltas}.get(kind, Texts)
    return _loop(_saver(folder, "power"), steps, state, turn)


def chat(folder: Path, steps: int = 1000, kind: str = "texts") -> float:
    graph = _chat(folder, steps, kind)
    return best(lambda n: graph.invoke({"count": 0, "notes": []}, _config(n)), 1, cpu) / steps * 1e6


def chat_size(folder: Path, steps: int = 1000, kind: str = "texts") -> float:
    _chat(folder, steps, kind).invoke({"count": 0, "notes": []}, _config(0))
    return sum(path.stat().st_size for path in folder.glob("theirs.db*")) / 1e6


def chat_load(folder: Path, steps: int = 1000, kind: str = "texts") -> float:
    graph = _chat(folder, steps, kind)
    graph.invoke({"count": 0, "notes": []}, _config(0))
    return best(lambda n: graph.get_state(_config(0)), 10, cpu) * 1e3


def fan_out(folder: Path, keeps: str = "memory", tasks: int = 1000) -> float:
    class State(TypedDict):
        items: list[int]
        out: Annotated[list[int], operator.add]

    builder = StateGraph(State)
    builder.add_node("work", lambda item: {"out": [item]})
    send = lambda state: [Send("work", item) for item in state["items"]]  # noqa: E731
    builder.add_conditional_edges(START, send, ["work"])
    graph = builder.compile(checkpointer=_saver(folder, keeps))
    given = {"items": list(range(tasks)), "out": []}
    return best(lambda n: graph.invoke(given, _config(n)), 3, cpu) / tasks * 1e6


def large(folder: Path, keeps: str = "power") -> float:
    class State(TypedDict):
        count: int
        table: dict[str, int]

    def turn(state: Any) -> dict[str, Any]:
        table = dict(state["table"])
        table["k5"] = -state["count"] - 2
        return {"count": state["count"] + 1, "table": table}

    graph = _loop(_saver(folder, keeps), 0, State, turn)
    table = {f"k{number}": number for number in range(100_000)}

    def run(steps: int) -> float:
        given = {"count": -steps, "table": table}
        return best(lambda n: graph.invoke(given, _config((steps, n))), 3, cpu)

    return (run(30) - run(10)) / 20 * 1e3


def fields(folder: Path, keeps: str = "memory", count: int = 300, steps: int = 100) -> float:
    state = TypedDict("State", {"count": int, **{f"f{n}": int for n in range(count - 1)}})  # type: ignore[misc]

    def turn(state: Any) -> dict[str, Any]:
        return {"count": state["count"] + 1, "f0": state["count"], "f1": state["count"]}

    given = {"count": 0, **{f"f{n}": 0 for n in range(count - 1)}}
    graph = _loop(_saver(folder, keeps), steps, state, turn)
    return best(lambda n: graph.invoke(given, _config(n)), 3, cpu) / steps * 1e6


def _chain(saver: Any, count: int) -> Any:
    builder = StateGraph(Count)
    names = [f"n{number}" for number in range(count)]
    for name in names:
        builder.add_node(name, _count)
    for source, target in zip([START, *names], [*names, END], strict=True):
        builder.add_edge(source, target)
    return builder.compile(checkpointer=saver)


def build(folder: Path, count: int = 1000) -> float:
    return best(lambda n: _chain(None, count), 3, cpu) * 1e3


def chain(folder: Path, keeps: str = "power", count: int = 1000) -> float:
    graph = _chain(_saver(folder, keeps), count)
    return best(lambda n: graph.invoke({"count": 0}, _config(n)), 1, cpu) / count * 1e6


def first(folder: Path) -> float:
    _loop(None, 1, Count, _count).invoke({"count": 0})
    return time.process_time() * 1e3


class Messages(TypedDict):
    messages: Annotated[list[dict[str, Any]], operator.add]


def react(folder: Path, keeps: str = "power", calls: int = 100) -> float:
    builder = StateGraph(Messages)
    builder.add_node("agent", lambda state: agent(state, calls))
    builder.add_node("tools", tools)
    builder.add_edge(START, "agent")
    builder.add_edge("tools", "agent")
    builder.add_conditional_edges("agent", lambda s: END if chosen(s) == "end" else "tools")
    graph = builder.compile(checkpointer=_saver(folder, keeps))
    given = {"messages": [{"role": "user", "content": "hi?"}]}
    run = lambda n: graph.invoke(given, _config(n))  # noqa: E731
    return best(run, 3, wall if keeps == "power" else cpu) * 1e3
