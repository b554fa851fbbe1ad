"""What nbagent takes for each row: a function a row, which gives the row's figure."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

from tests.benchmarks.subjects.measure import best, cpu, wall

ENDLESS = 10**6


def _store(folder: Path, keeps: str) -> Any:
    from nbagent.stores.memory import MemoryStore

    durability = {"kill": "process", "power": "power"}.get(keeps)
    return f"sqlite:///{folder}/a.db?durability={durability}" if durability else MemoryStore()


def _loop(folder: Path, keeps: str, steps: int, state: type, turn: Callable[..., Any]) -> Any:
    """A graph of one node that runs until its state's `count` is `steps`."""
    from nbagent import END, START, Graph, branch, node

    with Graph("loop", state, store=_store(folder, keeps)) as graph:
        one = node(turn, name="turn")
        START >> one
        one >> branch(lambda s: "on" if s["count"] < steps else "off", on=one, off=END)
    assert graph.store  # open before the clock starts
    return graph


def _per_step(graph: Any, given: Any, steps: int, rounds: int = 5) -> float:
    """Microseconds of CPU a step, of the fastest run."""

    def run(number: int) -> None:
        graph.run(given, f"t{number}", step_limit=ENDLESS)

    return best(run, rounds, cpu) / steps * 1e6


class Count(TypedDict):
    count: int


async def _count(state: Any) -> dict[str, Any]:
    return {"count": state["count"] + 1}


def loop(folder: Path, keeps: str = "memory", steps: int = 500) -> float:
    return _per_step(_loop(folder, keeps, steps, Count, _count), {"count": 0}, steps)


def loop_power(folder: Path, steps: int = 300) -> float:
    graph = _loop(folder, "power", steps, Count, _count)
    run = lambda n: graph.run({"count": 0}, f"t{n}", step_limit=ENDLESS)  # noqa: E731
    return best(run, 3, wall) / steps * 1e6


class Texts(TypedDict):
    count: int
    notes: Annotated[list[str], operator.add]


class Dicts(TypedDict):
    count: int
    notes: Annotated[list[dict[str, Any]], operator.add]


def _chat(folder: Path, keeps: str, steps: int, dicts: bool) -> Any:
    async def turn(state: Any) -> dict[str, Any]:
        text = "x" * 1024 + str(state["count"])
        before = state["notes"][-1:]
        assert len(before) <= 1
        said = {"role": "user", "content": text} if dicts else text
        return {"count": state["count"] + 1, "notes": [said]}

    return _loop(folder, keeps, steps, Dicts if dicts else Texts, turn)


def chat(folder: Path, keeps: str = "kill", steps: int = 1000, dicts: bool = False) -> float:
    return _per_step(_chat(folder, keeps, steps, dicts), {"count": 0}, steps, 3)


def chat_size(folder: Path, steps: int = 1000) -> float:
    """MB of the file and its log, right after the run."""
    _chat(folder, "kill", steps, False).run({"count": 0}, "t", step_limit=ENDLESS)
    return sum(path.stat().st_size for path in folder.glob("a.db*")) / 1e6


def chat_load(folder: Path, steps: int = 1000) -> float:
    graph = _chat(folder, "kill", steps, False)
    graph.run({"count": 0}, "t", step_limit=ENDLESS)
    return best(lambda n: graph.store.latest("t"), 10, cpu) * 1e3


def fan_out(folder: Path, keeps: str = "memory", tasks: int = 1000) -> float:
    from nbagent import END, START, Graph, each, node

    class State(TypedDict):
        items: list[int]
        out: Annotated[list[int], operator.add]

    async def work(item: int) -> dict[str, Any]:
        return {"out": [item]}

    with Graph("fan", State, store=_store(folder, keeps)) as graph:
        START >> each("items", node(work, name="work")) >> END
    given = {"items": list(range(tasks))}
    return best(lambda n: graph.run(given, f"t{n}"), 5, cpu) / tasks * 1e6


def large(folder: Path, keeps: str = "kill", reduces: bool = False) -> float:
    """Milliseconds a step of a dict of 100,000 keys of which each changes one: what 30 steps take
    more than 10."""

    class Whole(TypedDict):
        count: int
        table: dict[str, int]

    class Part(TypedDict):
        count: int
        table: Annotated[dict[str, int], operator.or_]

    async def turn(state: Any) -> dict[str, Any]:
        number = state["count"]
        change = {"k5": -number - 2}
        table = change if reduces else dict(state["table"]) | change
        return {"count": number + 1, "table": table}

    graph = _loop(folder, keeps, 0, Part if reduces else Whole, turn)
    table = {f"k{number}": number for number in range(100_000)}

    def run(steps: int) -> float:
        call = lambda n: graph.run(  # noqa: E731
            {"count": -steps, "table": table}, f"{steps}-{n}", step_limit=ENDLESS
        )
        return best(call, 3, cpu)

    return (run(30) - run(10)) / 20 * 1e3


def fields(folder: Path, keeps: str = "memory", count: int = 300, steps: int = 200) -> float:
    state = TypedDict("State", {"count": int, **{f"f{n}": int for n in range(count - 1)}})  # type: ignore[misc]

    async def turn(state: Any) -> dict[str, Any]:
        return {"count": state["count"] + 1, "f0": state["count"], "f1": state["count"]}

    given = {"count": 0, **{f"f{n}": 0 for n in range(count - 1)}}
    return _per_step(_loop(folder, keeps, steps, state, turn), given, steps)


def _chain(folder: Path, keeps: str, count: int) -> Any:
    from nbagent import END, START, Graph, node

    with Graph("chain", Count, store=_store(folder, keeps)) as graph:
        at: Any = START
        for number in range(count):
            at = at >> node(_count, name=f"n{number}")
        at >> END
    return graph


def build(folder: Path, count: int = 1000) -> float:
    _chain(folder, "memory", 3)
    return best(lambda n: _chain(folder, "memory", count), 3, cpu) * 1e3


def chain(folder: Path, keeps: str = "kill", count: int = 1000) -> float:
    return _per_step(_chain(folder, keeps, count), {"count": 0}, count, 3)


def first(folder: Path) -> float:
    """Milliseconds of CPU of this process, from its start to the end of its first run."""
    _loop(folder, "memory", 1, Count, _count).run({"count": 0})
    return time.process_time() * 1e3


def imported(folder: Path) -> float:
    began = time.process_time()
    import nbagent

    assert nbagent
    return (time.process_time() - began) * 1e3


class Messages(TypedDict):
    messages: Annotated[list[dict[str, Any]], operator.add]


def react(folder: Path, keeps: str = "power", calls: int = 100) -> float:
    """Milliseconds of an agent that calls a tool a hundred times, then answers."""
    from nbagent import END, START, Graph, branch, node
    from tests.benchmarks.subjects.measure import agent, chosen, tools

    async def think(state: Any) -> dict[str, Any]:
        return agent(state, calls)

    async def call(state: Any) -> dict[str, Any]:
        return tools(state)

    with Graph("react", Messages, store=_store(folder, keeps)) as graph:
        first, second = node(think, name="agent"), node(call, name="tools")
        START >> first
        second >> first
        first >> branch(chosen, tools=second, end=END)
    given = {"messages": [{"role": "user", "content": "hi?"}]}
    run = lambda n: graph.run(given, f"t{n}", step_limit=ENDLESS)  # noqa: E731
    return best(run, 3, wall if keeps == "power" else cpu) * 1e3


def at_once(folder: Path, threads: int = 8, steps: int = 50) -> float:
    """Microseconds of wall time a step, of so many runs at once on one file."""
    graph = _loop(folder, "power", steps, Count, _count)

    def run(number: int) -> None:
        runs = [graph.start({"count": 0}, f"{number}-{one}") for one in range(threads)]
        for one in runs:
            one.result()

    return best(run, 3, wall) / steps / threads * 1e6
