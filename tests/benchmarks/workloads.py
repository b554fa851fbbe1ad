"""
The shapes of agent that LangGraph benchmarks itself with, on both, in one run:
python tests/benchmarks/workloads.py [SCALE]

Needs `pip install langgraph langgraph-checkpoint-sqlite` besides. Each workload is described once
and built for either; node functions only build values, so what is measured is the runtime.
LangGraph is called as it is fastest here (`invoke`, plain functions), nbagent with `async def`
nodes. Each time is the best of three, in milliseconds for the whole run; both must end with the
same state.
"""

from __future__ import annotations

import operator
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pydantic
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END as LG_END
from langgraph.graph import START as LG_START
from langgraph.graph import StateGraph
from langgraph.types import Send as LgSend

from nbagent import END, START, Graph, branch, each, node
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore

Function = Callable[[Any], Any]


@dataclass(kw_only=True)
class Workload:
    """A graph that either runtime can build.

    nodes     name -> function, or a graph of its own
    edges     source (several: a join) -> target; "start" and "end" are those of the graph
    branches  node -> function of the state that names the next node, or "end"
    fan_out   a field with a list, and the node that gets one item each
    """

    state: type
    given: dict[str, Any]
    nodes: dict[str, Function | Workload]
    edges: list[tuple[str | tuple[str, ...], str]]
    branches: dict[str, Function] = field(default_factory=dict)
    fan_out: tuple[str, str] | None = None


# ------------------------------------------------------------------------------------ workloads


class Empty(TypedDict):
    count: int


def sequential(scale: int) -> Workload:
    """A chain of nodes that do nothing."""
    names = [f"n{number}" for number in range(100 * scale)]
    chain = list(zip(["start", *names], [*names, "end"], strict=True))
    return Workload(
        state=Empty,
        given={"count": 0},
        nodes=dict.fromkeys(names, lambda state: {}),
        edges=chain,
    )


def _latest(old: Any, new: Any) -> Any:
    return old if new is None else new


Log = Annotated[list[dict[str, Any]], operator.add]
Table = Annotated[dict[str, Any], operator.or_]
Latest = Annotated[dict[str, Any] | None, _latest]


@dataclass(kw_only=True)
class WideState:
    messages: Log = field(default_factory=list)
    events: Log = field(default_factory=list)
    medium: str = "email"
    reply: Latest = None
    issue: Latest = None
    rules: list[dict[str, Any]] | None = None
    documents: list[dict[str, Any]] | None = None
    kinds: Log = field(default_factory=list)
    drafts: Log = field(default_factory=list)
    person: Latest = None
    company: Latest = None
    mail: Annotated[str | None, _latest] = None
    members: Table = field(default_factory=dict)
    bot: str | None = None
    told: Table = field(default_factory=dict)


class WideDict(TypedDict):
    messages: Log
    events: Log
    medium: str
    reply: Latest
    issue: Latest
    rules: list[dict[str, Any]] | None
    documents: list[dict[str, Any]] | None
    kinds: Log
    drafts: Log
    person: Latest
    company: Latest
    mail: Annotated[str | None, _latest]
    members: Table
    bot: str | None
    told: Table


class WideModel(pydantic.BaseModel):
    messages: Log = []
    events: Log = []
    medium: str = "email"
    reply: Latest = None
    issue: Latest = None
    rules: list[dict[str, Any]] | None = None
    documents: list[dict[str, Any]] | None = None
    kinds: Log = []
    drafts: Log = []
    person: Latest = None
    company: Latest = None
    mail: Annotated[str | None, _latest] = None
    members: Table = {}
    bot: str | None = None
    told: Table = {}


def wide(state: type, scale: int) -> Workload:
    """Fifteen fields, six nodes with a join in the middle, round and round until there are so
    many messages; each node reads one field and writes one to six."""
    rounds = 20 * scale

    def read(values: Any, name: str) -> Any:
        return values[name] if isinstance(values, dict) else getattr(values, name)

    def one(values: Any) -> dict[str, Any]:
        return {"events": read(values, "messages")[-1:], "medium": "m" * 50}

    def two(values: Any) -> dict[str, Any]:
        last = read(values, "events")[-1]
        return {"reply": last, "issue": last}

    def three(values: Any) -> dict[str, Any]:
        return {"rules": [read(values, "reply")]}

    def four(values: Any) -> dict[str, Any]:
        last = read(values, "events")[-1:]
        return {"kinds": last, "drafts": last, "documents": list(last)}

    def five(values: Any) -> dict[str, Any]:
        last = read(values, "kinds")[-1]
        return {
            "person": last, "company": last, "mail": "m" * 50, "members": last, "bot": "b" * 50,
            "told": last,
        }  # fmt: skip

    def six(values: Any) -> dict[str, Any]:
        return {"messages": read(values, "drafts")[-1:]}

    message = {
        f"key {i}": {f"key {j}": ["hi?" * 10, True, 1, 6327816386138, None] for j in range(5)}
        for i in range(5)
    }
    empty = {
        "events": [], "medium": "", "reply": None, "issue": None, "rules": None, "documents": None,
        "kinds": [], "drafts": [], "person": None, "company": None, "mail": None, "members": {},
        "bot": None, "told": {},
    }  # fmt: skip
    return Workload(
        state=state,
        given={"messages": [message], **(empty if state is WideDict else {})},
        nodes={"one": one, "two": two, "three": three, "four": four, "five": five, "six": six},
        edges=[
            ("start", "one"),
            ("one", "two"),
            ("two", "three"),
            ("two", "four"),
            (("three", "four"), "five"),
            ("five", "six"),
        ],
        branches={"six": lambda values: "end" if len(read(values, "messages")) > rounds else "one"},
    )


class Joke(TypedDict):
    subject: str
    jokes: Annotated[list[str], operator.add]


class Jokes(TypedDict):
    subjects: list[dict[str, str]]
    jokes: Annotated[list[str], operator.add]


def fan_out(scale: int) -> Workload:
    """A subgraph of two nodes and a loop of ten turns, for each of a hundred subjects."""
    inner = Workload(
        state=Joke,
        given={},
        nodes={
            "edit": lambda state: {"subject": state["subject"] + " - hohoho"},
            "write": lambda state: {"jokes": [f"about {state['subject']}"]},
            "bump": lambda state: {"jokes": ["a"]},
        },
        edges=[("start", "edit"), ("edit", "write"), ("write", "bump")],
        branches={"bump": lambda state: "end" if len(state["jokes"]) > 10 else "bump"},
    )
    subjects = [{"subject": f"subject {number} " * 80} for number in range(100 * scale)]
    return Workload(
        state=Jokes,
        given={"subjects": subjects, "jokes": []},
        nodes={"joke": inner},
        edges=[("joke", "end")],
        fan_out=("subjects", "joke"),
    )


class Chat(TypedDict):
    messages: Log


def react(scale: int) -> Workload:
    """An agent that calls a tool a hundred times, then answers."""
    calls = 100 * scale

    def agent(state: Any) -> dict[str, Any]:
        number = len(state["messages"]) // 2
        call = [{"id": str(number), "name": "search", "args": {"query": "q" * 3600}}]
        wanted = call if number < calls else []
        return {"messages": [{"role": "assistant", "content": "", "tool_calls": wanted}]}

    def tools(state: Any) -> dict[str, Any]:
        call = state["messages"][-1]["tool_calls"][0]
        result = f"result for query: {call['args']['query'][:300]}" * 10
        return {"messages": [{"role": "tool", "tool_call_id": call["id"], "content": result}]}

    return Workload(
        state=Chat,
        given={"messages": [{"role": "user", "content": "hi?"}]},
        nodes={"agent": agent, "tools": tools},
        edges=[("start", "agent"), ("tools", "agent")],
        branches={"agent": lambda state: "tools" if state["messages"][-1]["tool_calls"] else "end"},
    )


# ------------------------------------------------------------------------------- the two runtimes


def _named(choose: Function, end: str) -> Function:
    return lambda state: end if (name := choose(state)) == "end" else name


def ours(work: Workload, store: Any, name: str = "work") -> Graph:
    """The workload as a graph of nbagent."""

    def as_async(function: Function) -> Function:
        async def call(state: Any) -> Any:
            return function(state)

        return call

    with Graph(name, work.state, store=store) as graph:
        at: dict[str, Any] = {"start": START, "end": END}
        for each_name, made in work.nodes.items():
            inner = isinstance(made, Workload)
            made = ours(made, store, f"{each_name} graph") if inner else as_async(made)
            at[each_name] = node(made, name=each_name)
        for source, target in work.edges:
            sources = [source] if isinstance(source, str) else source
            ([at[one] for one in sources] if len(sources) > 1 else at[sources[0]]) >> at[target]
        for source, choose in work.branches.items():
            at[source] >> branch(_named(choose, END))
        if work.fan_out:
            items, target = work.fan_out
            START >> each(items, at[target])
    return graph


def theirs(work: Workload, saver: Any = None) -> Any:
    """The workload as a compiled graph of LangGraph."""
    builder = StateGraph(work.state)
    at = {"start": LG_START, "end": LG_END}
    for name, made in work.nodes.items():
        inner = isinstance(made, Workload)
        builder.add_node(name, theirs(made) if inner else made)
        at[name] = name
    for source, target in work.edges:
        many = [at[one] for one in source] if isinstance(source, tuple) else at[source]
        builder.add_edge(many, at[target])
    for source, choose in work.branches.items():
        builder.add_conditional_edges(source, _named(choose, LG_END))
    if work.fan_out:
        items, target = work.fan_out
        send: Function = lambda state: [LgSend(target, item) for item in state[items]]  # noqa: E731
        builder.add_conditional_edges(LG_START, send)
    return builder.compile(checkpointer=saver)


def _best(run: Callable[[int], Any]) -> tuple[float, Any]:
    """Milliseconds of the fastest of three runs, and the state that it ended with."""
    times, state = [], None
    for number in range(3):
        began = time.perf_counter()
        state = run(number)
        times.append(time.perf_counter() - began)
    return min(times) * 1e3, state


def measure(work: Workload, folder: Path) -> list[float]:
    """Milliseconds: nbagent in memory and in SQLite (a kill, a power cut), LangGraph in both."""
    found = []
    for store in (
        MemoryStore(),
        SqliteStore(folder / "kill.db", durability="process"),
        SqliteStore(folder / "cut.db", durability="power"),
    ):
        graph = ours(work, store)
        run = lambda n, graph=graph: graph.run(work.given, f"t{n}", step_limit=10**6)  # noqa: E731
        found.append(_best(run))
        store.close()
    db = sqlite3.connect(folder / "theirs.db", check_same_thread=False)
    for saver in (InMemorySaver(), SqliteSaver(db)):
        rival = theirs(work, saver)
        call = lambda n, rival=rival: rival.invoke(  # noqa: E731
            work.given, {"configurable": {"thread_id": f"t{n}"}, "recursion_limit": 10**6}
        )
        found.append(_best(call))
    db.close()
    ends = [state for _, state in found]
    assert all(end == ends[0] for end in ends), "they do not do the same"
    return [took for took, _ in found]


def main(scale: int) -> None:
    """Print the table."""
    workloads = {
        f"sequential, {100 * scale} nodes": sequential(scale),
        f"wide state, {20 * scale} rounds of 5 steps": wide(WideState, scale),
        f"wide dict, {20 * scale} rounds of 5 steps": wide(WideDict, scale),
        f"pydantic state, {20 * scale} rounds of 5 steps": wide(WideModel, scale),
        f"fan-out to {100 * scale} subgraphs": fan_out(scale),
        f"react agent, {100 * scale} tool calls": react(scale),
    }
    print(f"{'milliseconds a run':38}{'nbagent':^30}{'LangGraph':^20}")
    heads = ("memory", "kill", "power cut", "memory", "SQLite")
    print(" " * 38 + "".join(f"{head:>10}" for head in heads))
    for name, work in workloads.items():
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            times = measure(work, Path(folder))
        print(f"{name:38}" + "".join(f"{one:10.1f}" for one in times), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
