"""The rows of the table, and who takes part in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Subject:
    """A function of a module in `subjects`, which gives the row's figure."""

    module: str
    function: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """`unit` says also whether it is CPU or wall time; less is better in all of them.

    cause  why the row is not won, or what is to be known of it
    """

    title: str
    unit: str
    subjects: Mapping[str, Subject]
    cause: str = ""


def ours(function: str, **options: Any) -> Subject:
    return Subject("ours", function, options)


def theirs(function: str, **options: Any) -> Subject:
    return Subject("langgraph_", function, options)


def other(function: str, **options: Any) -> Subject:
    return Subject("others", function, options)


def floor(function: str, **options: Any) -> Subject:
    return Subject("floor", function, options)


_STEP, _WALL = "µs CPU a step", "µs wall a step"
ROWS: dict[str, Row] = {
    "loop-memory": Row(
        "one-node loop, kept in memory",
        _STEP,
        {
            "nbagent": ours("loop"),
            "LangGraph": theirs("loop"),
            "Burr": other("burr"),
            "pydantic-graph": other("pydantic_graph"),
            "floor": floor("loop"),
        },
        "pydantic-graph calls the nodes and no more: it keeps no checkpoint, checks and freezes "
        "nothing, isolates no reader and tells nobody. LangGraph with its memory saver, Burr with "
        "nothing kept.",
    ),
    "loop-kill": Row(
        "one-node loop, survives a kill",
        _STEP,
        {"nbagent": ours("loop", keeps="kill"), "floor": floor("loop", keeps="kill")},
        "no peer has a setting for this.",
    ),
    "loop-power": Row(
        "one-node loop, survives a power cut",
        _WALL,
        {
            "nbagent": ours("loop_power"),
            "LangGraph": theirs("loop", keeps="power"),
            "Burr": other("burr", keeps="power"),
            "DBOS": other("dbos"),
            "floor": floor("loop", keeps="power"),
        },
    ),
    "chat": Row(
        "chat of 1,000 messages of 1 KB",
        _STEP,
        {
            "nbagent": ours("chat"),
            "LangGraph": theirs("chat"),
            "DeltaChannel": theirs("chat", kind="delta"),
            "floor": floor("chat"),
        },
        "ours survives a kill, theirs a power cut: CPU, so that the disk is in neither.",
    ),
    "chat-dicts": Row(
        "the same of dicts, of which a node reads the last",
        _STEP,
        {"nbagent": ours("chat", dicts=True), "LangGraph": theirs("chat", kind="dicts")},
    ),
    "chat-size": Row(
        "its file and log, right after the run",
        "MB",
        {
            "nbagent": ours("chat_size"),
            "LangGraph": theirs("chat_size"),
            "DeltaChannel": theirs("chat_size", kind="delta"),
        },
        "the messages are 1.03 MB.",
    ),
    "chat-load": Row(
        "load it",
        "ms CPU",
        {
            "nbagent": ours("chat_load"),
            "LangGraph": theirs("chat_load"),
            "DeltaChannel": theirs("chat_load", kind="delta"),
        },
        "LangGraph reads one blob, which it has written anew at every step.",
    ),
    "fan-memory": Row(
        "fan-out of 1,000, in memory",
        "µs CPU a task",
        {
            "nbagent": ours("fan_out"),
            "LangGraph": theirs("fan_out"),
            "floor": floor("fan_out"),
        },
    ),
    "fan-kill": Row(
        "fan-out of 1,000, each result durable",
        "µs CPU a task",
        {"nbagent": ours("fan_out", keeps="kill"), "LangGraph": theirs("fan_out", keeps="power")},
    ),
    "large": Row(
        "a dict of 100,000 keys, one changed",
        "ms CPU a step",
        {"nbagent": ours("large"), "LangGraph": theirs("large")},
    ),
    "large-reducer": Row(
        "the same, by a reducer that takes the change",
        "ms CPU a step",
        {"nbagent": ours("large", reduces=True)},
    ),
    "fields-3": Row(
        "three fields, three changed, in memory",
        _STEP,
        {"nbagent": ours("fields", count=3), "LangGraph": theirs("fields", count=3)},
    ),
    "fields-300": Row(
        "300 fields, three changed, in memory",
        _STEP,
        {"nbagent": ours("fields"), "LangGraph": theirs("fields")},
    ),
    "fields-3-kill": Row(
        "three fields, three changed, survives a kill",
        _STEP,
        {"nbagent": ours("fields", count=3, keeps="kill")},
    ),
    "fields-300-kill": Row(
        "300 fields, three changed, survives a kill",
        _STEP,
        {"nbagent": ours("fields", keeps="kill"), "LangGraph": theirs("fields", keeps="power")},
    ),
    "build-1000": Row(
        "build a chain of 1,000 nodes",
        "ms CPU",
        {"nbagent": ours("build"), "LangGraph": theirs("build")},
    ),
    "build-2000": Row(
        "build a chain of 2,000 nodes",
        "ms CPU",
        {"nbagent": ours("build", count=2000), "LangGraph": theirs("build", count=2000)},
    ),
    "chain": Row(
        "chain of 1,000 nodes, survives a kill",
        "µs CPU a node",
        {"nbagent": ours("chain"), "LangGraph": theirs("chain")},
    ),
    "react": Row(
        "react agent, 100 tool calls, survives a power cut",
        "ms wall",
        {"nbagent": ours("react"), "LangGraph": theirs("react")},
    ),
    "at-once": Row(
        "eight runs at once on one file, survive a power cut",
        _WALL,
        {"nbagent": ours("at_once"), "one run": ours("loop_power")},
    ),
    "first": Row(
        "first graph of a fresh process, with the start of Python",
        "ms CPU",
        {"nbagent": ours("first"), "LangGraph": theirs("first")},
    ),
    "import": Row("import nbagent", "ms CPU", {"nbagent": ours("imported")}),
}

GROWTH: dict[str, tuple[Subject, str, tuple[int, ...], bool]] = {
    "steps of a loop, memory": (ours("loop"), "steps", (100, 1000, 10_000), True),
    "steps of a loop, kill": (ours("loop", keeps="kill"), "steps", (100, 1000, 10_000), True),
    "messages of a chat, kill": (ours("chat"), "steps", (100, 1000, 10_000), True),
    "siblings, memory": (ours("fan_out"), "tasks", (10, 100, 1000, 10_000), True),
    "fields, one step": (ours("fields"), "count", (3, 30, 300, 3000), False),
    "nodes, to build": (ours("build"), "count", (30, 300, 3000), False),
    "nodes, to run": (ours("chain", keeps="memory"), "count", (30, 300, 3000), True),
}
"""What grows -> the figure, the option that sets the size, the sizes, whether it is one a unit."""
