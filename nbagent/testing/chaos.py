"""
Kill an agent again and again, resume it, and count what must never be.

    python -m nbagent.testing my_agent:build --kills 1000

`build(world)` returns a `Scenario`. Each trial runs it in a process that is killed with SIGKILL at
one of the store's named points, at a point that the agent names, or at a random moment; then
another process resumes, and may be killed as well, until the thread is done. What really happened
is written down by an oracle in a process of its own, and compared with what the store said.

Rule 1: the driver has one thread and no event loop, so that it may fork; an agent never runs in it.
Rule 2: whatever is counted was reported before it happened or after it was acknowledged, so that
        no kill can make a count look better than it is.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from nbagent.engine.model.checkpoint import Question
from nbagent.engine.model.program import Node, Program
from nbagent.engine.node.context import current
from nbagent.engine.node.executor import AsyncioExecutor
from nbagent.engine.node.subgraph import Subgraph
from nbagent.engine.store.opening import open_store
from nbagent.engine.thread.thread import Thread
from nbagent.errors import NodeError, StoreUnavailable
from nbagent.testing.faults import FaultyStore
from nbagent.testing.oracle import Oracle, OracleServer

PATIENCE = 60.0  # seconds after which a trial's process counts as hanging


@dataclass(frozen=True)
class Scenario:
    """An agent to be killed. `answer` gives a person's answer to each question that it asks.

    visit   called with the thread before each answer, and at its end: what people do beside it
            (edits, forks, copies, batches); it is killed in there as well, and called again then

    The last state must be the same in every run.
    """

    graph: Any
    input: Mapping[str, Any]
    answer: Callable[[Question], Any] = lambda question: True
    visit: Callable[[Any], None] = lambda thread: None


class World:
    """What is outside the agent: what has happened there stays, whatever is killed.

    folder   for files of the trial's own
    passing  call it with a name: a point that the process may be killed at
    """

    def __init__(
        self, thread: str, oracle: Oracle, passing: Callable[[str], None], folder: Path
    ) -> None:
        self.folder = folder
        self._thread = thread
        self._oracle = oracle
        self.passing = passing

    def happen(self, key: str) -> int:
        """Something that must not happen twice happens; how often it has now."""
        return self._oracle.did(f"effect {self._thread} {key}")

    def happen_once(self, key: str) -> None:
        """The same at a provider that knows idempotency keys: a repeated one changes nothing."""
        if not self.has_happened(key):
            self.happen(key)

    def has_happened(self, key: str) -> bool:
        """What a probe asks."""
        return self._oracle.count(f"effect {self._thread} {key}") > 0

    def ran(self) -> None:
        """A node begins, of a graph that the harness does not know; called in it."""
        inside = current("World.ran")
        self._oracle.did(f"ran {inside.place.thread} {inside.place.task}")

    def promise(self, what: str) -> None:
        """What was asked for is acknowledged: from now on it must be there."""
        self._oracle.did(f"promised {self._thread} {what}")

    def is_promised(self, what: str) -> bool:
        """True when it was acknowledged, to whichever process."""
        return self._oracle.count(f"promised {self._thread} {what}") > 0

    def expect(self, what: str, is_there: bool) -> None:
        """It is there, or it is not: a broken promise where it was acknowledged."""
        if not is_there and self.is_promised(what):
            self._oracle.did(f"broken {self._thread} {what}")

    def note(self, what: str) -> int:
        """Something that may happen again; how often it has now."""
        return self._oracle.did(f"note {self._thread} {what}")


@dataclass
class Report:
    """What came of it. All but the first four must be 0 or empty."""

    kills: int = 0
    strikes: int = 0  # at what the agent depends on, while it runs
    trials: int = 0
    killed_at: dict[str, int] = field(default_factory=dict)
    effects_twice: int = 0
    finished_nodes_run_twice: int = 0
    acknowledged_checkpoints_lost: int = 0
    promises_broken: int = 0
    wrong_results: int = 0
    hangs: int = 0
    errors: list[str] = field(default_factory=list)

    def is_clean(self) -> bool:
        """True when nothing happened that must not."""
        return not (
            self.effects_twice
            or self.finished_nodes_run_twice
            or self.acknowledged_checkpoints_lost
            or self.promises_broken
            or self.wrong_results
            or self.hangs
            or self.errors
        )


def run_chaos(
    build: str,
    *,
    kills: int = 100,
    seed: int = 0,
    store: str = "sqlite:///{folder}/agent.db",
    strike: str = "",
) -> Report:
    """Run the driver in a process of its own. `build` is "module:function", and so is `strike`."""
    command = [sys.executable, "-m", "nbagent.testing", build, "--json"]
    command += ["--kills", str(kills), "--seed", str(seed), "--store", store]
    command += ["--strike", strike] if strike else []
    path = os.pathsep.join([os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"the driver of the chaos failed:\n{done.stderr}")
    return Report(**json.loads(done.stdout.splitlines()[-1]))


# ------------------------------------------------------------------------------ the driver


def _drive(
    build: str,
    kills: int,
    seed: int,
    store: str,
    folder: Path,
    strike: Callable[[str], None] | None,
) -> Report:
    dice, report = random.Random(seed), Report()
    at: collections.Counter[str] = collections.Counter()
    with OracleServer(folder / "oracle.log") as oracle:

        def child(thread: str, point: str = "", count: int = 1) -> Callable[[], None]:
            place = store.format(folder=folder)
            struck = strike is not None
            return lambda: _live(build, thread, place, oracle.port, point, count, folder, struck)

        began = time.monotonic()
        if _run(child("calm"), 0.0) != 0:
            report.errors.append(_said(folder))
            return report
        took = time.monotonic() - began
        calm = (folder / "calm.state").read_text()
        passed = json.loads((folder / "calm.points").read_text())
        points = [(name, n) for name, often in passed.items() for n in range(1, often + 1)]
        dice.shuffle(points)
        while report.kills < kills and not report.errors:
            thread = f"t{report.trials}"
            report.trials += 1
            point = points[report.trials // 2 % len(points)] if report.trials % 2 else None
            while True:
                if point is not None:
                    ended, name = _run(child(thread, *point), 0.0), point[0]
                elif strike is not None and dice.random() < 0.5:
                    struck = partial(strike, store.format(folder=folder))
                    ended, name = _run(child(thread), dice.uniform(0.0, took), struck), "a strike"
                    report.strikes += 1
                else:
                    ended, name = _run(child(thread), dice.uniform(0.0, took)), "a random moment"
                if ended == -signal.SIGKILL:
                    report.kills += 1
                    at[name] += 1
                    # Killed again while it resumes, or left to finish.
                    point = dice.choice(points) if dice.random() < 0.3 else None
                    continue
                break
            if ended == _HUNG:
                report.hangs += 1
            elif ended != 0:
                report.errors.append(_said(folder))
            elif (folder / f"{thread}.state").read_text() != calm:
                report.wrong_results += 1
        _count(report, oracle.lines())
    report.killed_at = dict(at.most_common())
    return report


_HUNG = 1000


def _run(work: Callable[[], None], seconds: float, strike: Callable[[], None] | None = None) -> int:
    """Fork and work there; killed after `seconds`, if not 0. Its exit code, or minus its signal.

    strike  called then in place of the kill
    """
    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    end = time.monotonic() + (seconds or PATIENCE)
    is_hung = False
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return _HUNG if is_hung else os.waitstatus_to_exitcode(status)
        if time.monotonic() > end and strike is not None:
            strike()
            strike, seconds, end = None, 0.0, time.monotonic() + PATIENCE
        elif time.monotonic() > end:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            is_hung = not seconds
        time.sleep(0.0005)


def _said(folder: Path) -> str:
    path = folder / "error.txt"
    return path.read_text() if path.exists() else "a trial's process failed without a word"


def _count(report: Report, lines: list[str]) -> None:
    """Read the oracle's log from top to bottom."""
    stored: set[str] = set()
    committed: dict[str, int] = {}
    effects: collections.Counter[str] = collections.Counter()
    for line in lines:
        verb, _, what = line.partition(" ")
        if verb == "effect":
            effects[what] += 1
        elif verb == "stored":
            stored.add(what)
        elif verb == "ran" and what in stored:
            report.finished_nodes_run_twice += 1
        elif verb == "broken":
            report.promises_broken += 1
        elif verb == "committed":
            thread, _, id = what.rpartition(" ")
            committed[thread] = int(id)
        elif verb == "opened":
            thread, _, id = what.rpartition(" ")
            if int(id) < committed.get(thread, 0):
                report.acknowledged_checkpoints_lost += 1
    report.effects_twice = sum(count - 1 for count in effects.values())


# -------------------------------------------------------------------------- a trial's process


def _live(
    build: str,
    id: str,
    url: str,
    port: int,
    point: str,
    count: int,
    folder: Path,
    is_struck: bool,
) -> None:
    """Start the thread or go on in it, until it is done.

    is_struck  what it depends on may be killed as well
    """
    try:
        oracle = Oracle(port)
        store = FaultyStore(_opened(url), point, count, told=oracle.did)
        world = World(id, oracle, store.passing, folder)
        scenario: Scenario = _load(build)(world)
        program = _reporting(scenario.graph.compile(), oracle)
        thread = Thread(id, program=program, store=store, executor=AsyncioExecutor(8))
        _insist(lambda: _say_opened(store, id, oracle))
        failures = 0
        while True:
            try:
                if _insist(lambda: _go_on(thread, scenario)):
                    break
            except NodeError:  # it waited for what was struck, until its own time was up
                failures += 1
                if not is_struck or failures > 5:
                    raise
        (folder / f"{id}.state").write_text(repr(sorted(thread.state.items())))
        (folder / f"{id}.points").write_text(json.dumps(store.passed))
    except BaseException:
        (folder / "error.txt").write_text(f"{id} at {point} {count}: {traceback.format_exc()}")
        raise


def _opened(url: str) -> Any:
    found: list[Any] = []

    def open_it() -> bool:
        found.append(open_store(url))
        return True

    _insist(open_it)
    return found[0]


def _say_opened(store: Any, id: str, oracle: Oracle) -> bool:
    for info in [info for info in store.threads() if info.id == id] + store.under(id):
        if info.checkpoint:
            oracle.did(f"opened {info.id} {info.checkpoint}")
    return True


def _go_on(thread: Thread, scenario: Scenario) -> bool:
    """What a person does next; True when the thread is done."""
    stored = thread.stored()
    if stored is None or stored.checkpoint == 0:
        thread.start(scenario.input).result()
    scenario.visit(thread)
    if thread.status == "done":
        return True
    answers = {question.id: scenario.answer(question) for question in thread.questions}
    thread.resume(answers=answers).result()
    return False


def _insist(call: Callable[[], bool]) -> bool:
    """As people do, who are told that the store cannot be reached."""
    tries = 0
    while True:
        try:
            return call()
        except StoreUnavailable:
            tries += 1
            if tries > PATIENCE / 2 / 0.05:
                raise
        time.sleep(0.05)


def _load(named: str) -> Callable[[Any], Any]:
    module, _, name = named.partition(":")
    found: Callable[[Any], Any] = getattr(importlib.import_module(module), name)
    return found


def _reporting(program: Program, oracle: Oracle) -> Program:
    """The program with nodes that say "ran THREAD TASK" before they do anything."""

    def reporting(node: Node) -> Node:
        function = node.function
        if isinstance(function, Subgraph):
            inner = _reporting(function.program, oracle)
            return replace(node, function=replace(function, program=inner), program=inner)

        def say() -> None:
            inside = current("chaos")
            oracle.did(f"ran {inside.place.thread} {inside.place.task}")

        async def aran(argument: Any) -> Any:
            say()
            return await function(argument)

        def ran(argument: Any) -> Any:
            say()
            return function(argument)

        return replace(node, function=aran if node.is_async else ran)

    return replace(program, nodes={n: reporting(node) for n, node in program.nodes.items()})


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nbagent-chaos-") as name:
        yield Path(name)


def main(arguments: list[str] | None = None) -> int:
    """The command; 0 when nothing happened that must not, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m nbagent.testing", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("build", help="MODULE:FUNCTION that takes a World and gives a Scenario")
    parser.add_argument("--kills", type=int, default=100, help="how often to kill (100)")
    parser.add_argument("--seed", type=int, default=0, help="repeats the same choices (0)")
    parser.add_argument("--store", default="sqlite:///{folder}/agent.db", help="the store's URL")
    parser.add_argument(
        "--strike", default="", help="MODULE:FUNCTION called with the URL now and then, in place "
        "of a kill: it kills what the agent depends on, such as the database"
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the report as one line of JSON")
    options = parser.parse_args(arguments)
    sys.path.insert(0, os.getcwd())
    _load(options.build)  # once, before forking
    with _folder() as folder:
        strike = _load(options.strike) if options.strike else None
        report = _drive(options.build, options.kills, options.seed, options.store, folder, strike)
    if options.json:
        print(json.dumps(asdict(report)))
    else:
        for name, value in asdict(report).items():
            print(f"{name.replace('_', ' '):32} {value}")
    return 0 if report.is_clean() else 1
