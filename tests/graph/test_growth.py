"""What defining a graph costs: as much for each node, and nothing that only some graphs need."""

from __future__ import annotations

import subprocess
import sys
from typing import TypedDict

from nbagent import END, START, Graph, branch, node
from nbagent.engine.model.program import Branch


class State(TypedDict):
    count: int


class Chooser:
    """A branch function that has no hash, and counts how often it is compared."""

    compared = 0

    def __call__(self, state):
        return "on"

    def __eq__(self, other):
        Chooser.compared += 1
        return type(other) is Chooser

    __hash__ = None


def test_each_wire_is_kept_once_without_comparing_it_with_all_the_others():
    """A second one that says the same adds nothing, and a graph of n nodes is made in n steps."""
    choose, count = Chooser(), 100
    with Graph("many", State) as many:
        nodes = [node(lambda state: {}, name=f"n{number}") for number in range(count)]
        for one in nodes:
            START >> one
            made = branch(choose, on=END)
            one >> made
            one >> made
            one >> END
            one >> END
    program = many.compile()

    assert (count, 2 * count) == (len(program.branches), len(program.edges))
    assert 10 * count > Chooser.compared > 0


def test_branches_that_lead_elsewhere_are_both_kept():
    """They differ in their targets alone."""
    choose = Chooser()
    one, other = (Branch("a", choose, {"on": (name,)}, "choose") for name in "bc")

    assert (2, hash(one)) == (len(dict.fromkeys([one, other, one])), hash(other))


def test_a_graph_in_a_fresh_process_loads_what_it_needs():
    """What checks a person's answer, and knows every format of JSON Schema, takes a second to load
    where Jupyter is installed."""
    code = """
import sys
from typing import TypedDict
from nbagent import END, START, Graph, node
class State(TypedDict):
    count: int
with Graph("first", State, store="memory://") as first:
    START >> node(lambda state: {"count": 1}, name="one") >> END
first.run({"count": 0})
heavy = ("jsonschema", "pandas", "numpy", "IPython", "ipywidgets", "anywidget", "graphviz", "rich")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert ("[]\n", "") == (done.stdout, done.stderr)
