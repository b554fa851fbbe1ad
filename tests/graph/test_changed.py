"""A changed cell is noticed when its thread goes on. (W11)"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TypedDict

import pytest

from nbagent import END, START, Graph, interrupt, node
from nbagent.engine.watch.events import RunStarted
from nbagent.errors import GraphChanged
from nbagent.graph.fingerprint import fingerprint
from nbagent.stores.memory import MemoryStore


class State(TypedDict):
    x: int
    y: int


def made(store, first, second=lambda s: {"y": interrupt("ok?")}):
    """Two siblings."""
    with Graph("g", State, store=store) as graph:
        START >> [node(first, name="one"), node(second, name="two")] >> END
    return graph


def test_a_finished_node_that_changed_is_a_choice():
    """Ask, go on, or run it again; an unchanged graph asks nothing."""
    store = MemoryStore()
    made(store, lambda s: {"x": 1}).run({}, thread="t")
    same = made(store, lambda s: {"x": 1}).thread("t")
    same.resume().result(5)
    assert "waiting" == same.status

    other = made(store, lambda s: {"x": 2}).thread("t")
    with pytest.raises(GraphChanged, match="node 'one' finished") as caught:
        other.resume(1)
    assert ("one",) == caught.value.nodes
    assert "waiting" == other.status
    assert {"x": 2, "y": 1} == other.resume(1, on_change="rerun").result(5)


def test_going_on_keeps_what_was_written_and_says_so():
    """The notice is with the run's first event."""
    store = MemoryStore()
    made(store, lambda s: {"x": 1}).run({}, thread="t")
    run = made(store, lambda s: {"x": 2}).thread("t").resume(1, on_change="go-on")
    seen = []
    run.watch(seen.append)

    assert {"x": 1, "y": 1} == run.result(5)
    assert isinstance(seen[0], RunStarted)
    assert "Changed since the last super-step: one" in seen[0].notice


def test_a_renamed_pending_node_never_ends_a_run_quietly():
    """The thread is to run a node that is gone: the error says which."""
    store = MemoryStore()
    made(store, lambda s: {"x": 1}).run({}, thread="t")
    with Graph("g", State, store=store) as renamed:
        START >> [node(lambda s: None, name="one"), node(lambda s: None, name="twoo")] >> END
    run = renamed.thread("t").resume(on_change="go-on")

    with pytest.raises(GraphChanged, match="did you mean 'twoo'"):
        run.result(5)
    assert "failed" == renamed.thread("t").status


def test_a_fingerprint_is_the_same_in_every_process():
    """Sets in the code have no order; comments do not matter; globals and helpers do."""
    program = (
        "from nbagent.graph.fingerprint import fingerprint\n"
        "LIMIT = 3\n"
        "def helper(x): return x in {'a', 'b', 'c', 'd'}\n"
        "def f(s): return helper(s) or s in {'e', 'f', 'g'} or LIMIT\n"
        "print(fingerprint(f))\n"
    )

    def print_of(text, seed):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        ran = subprocess.run(
            [sys.executable, "-c", text], capture_output=True, text=True, env=environment
        )
        return ran.stdout.strip()

    first = print_of(program, "1")
    assert 16 == len(first)
    assert first == print_of(program, "2") == print_of("# new\n" + program, "3")
    assert first != print_of(program.replace("LIMIT = 3", "LIMIT = 4"), "1")
    assert first != print_of(program.replace("'d'", "'x'"), "1")
    assert fingerprint(len) == fingerprint(len)
