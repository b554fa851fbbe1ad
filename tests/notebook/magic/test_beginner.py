"""Ten mistakes that everybody makes first, and the sentence that each gets. (C1)"""

from __future__ import annotations

import re

import pytest

from tests.notebook.magic.test_magics import error_of, shell

__all__ = ["shell"]

CELL = """%%graph g --quiet
class State(TypedDict):
    topic: str
    notes: list[str]
    n: int
@node
def a(state): {body}
{wiring}
"""
WIRING = "START >> a >> END"
RUN = "g.run({'topic': 'x', 'notes': ['m'], 'n': 1}, 't')"
TWO = "@node\ndef b(state): return {'n': 3}\nSTART >> [a, b] >> END"


def told(shell, capsys, body="return {}", wiring=WIRING, run=RUN):
    """What is said when such a cell is run and then its graph; without colours."""
    cell = CELL.replace("{body}", body).replace("{wiring}", wiring)
    if not run:
        return plain(error_of(shell, capsys, cell))
    assert shell.run_cell(cell).success
    return plain(error_of(shell, capsys, run))


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text).strip()


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        # 1: forgot the dict
        ("return 'hello'", "node 'a' returned a str: return a dict of the fields that it writes"),
        ("return ['m']", "node 'a' returned a list: return a dict of the fields that it writes"),
        # 2: changed the state
        ("state['notes'].append('x')", "cannot change the list that it reads from the state: ret"),
        ("state['n'] += 1", "return the new value instead, as in `return {field: new_value}`"),
        # 6: a value of another type
        ("return {'n': 'three'}", "n: Input should be a valid integer, not 'three'"),
        ("return {'notes': [1]}", "notes[0]: Input should be a valid string, not 1"),
        # 9: an exception
        ("return {'n': 1 / 0}", "node 'a' failed: ZeroDivisionError: division by zero. What fin"),
        # 10: a field that has another name now, or never had this one
        ("return {'note': ['x']}", "'note', which is not a field of the state (did you mean 'not"),
        ("return {'n': len(state['noets'])}", "'noets' is not a field of the state (did you mea"),
        ("return {'n': state.n}", "a field is read as state['n'], not as state.n"),
    ],
)
def test_a_node_that_goes_wrong(shell, capsys, body, sentence):
    """One sentence first, then at most the user's own line."""
    said = told(shell, capsys, body)

    assert sentence in said.splitlines()[0]
    assert "nbagent/" not in said
    assert len(said.splitlines()) <= 8
    if "state" in body or "/ 0" in body:
        assert body in said


@pytest.mark.parametrize(
    ("wiring", "sentence"),
    [
        # 3: a typo in an edge
        ("START >> aa >> END", "'aa' is not defined (did you mean 'a'?): define it with @node"),
        ("START >> a() >> END", "the wiring names a node and does not call it: write a, not a(…)"),
        # 5: forgot END, or START
        ("START >> a", "node 'a' has no way to END: add `a >> END`"),
        ("a >> END", "nothing follows START in graph 'g': add `START >> a`"),
    ],
)
def test_a_wiring_that_goes_wrong(shell, capsys, wiring, sentence):
    """One sentence and, where there is one, the line."""
    said = told(shell, capsys, wiring=wiring, run="")

    assert sentence in said.splitlines()[0]
    assert "nbagent/" not in said
    assert 2 >= len(said.splitlines())


def test_a_missing_reducer(shell, capsys):
    """4: who wrote, and how to declare it."""
    said = told(shell, capsys, "return {'n': 2}", wiring=TWO)

    assert "field 'n' was written by 'a' and 'b' in one super-step and has no reducer" in said
    assert "declare it as Annotated[…, reducer]" in said
    assert 1 == len(said.splitlines())


def test_one_thread_twice(shell, capsys):
    """7: after a failure, and when it is done."""
    said = told(shell, capsys, "return {'n': 1 / 0}")
    again = plain(error_of(shell, capsys, RUN))
    by_magic = plain(error_of(shell, capsys, "%agent run g topic=x --thread t"))

    assert "ZeroDivisionError" in said
    assert "thread 't' is failed: resume it, give it this input all the same with" in again
    assert "start under another thread id, or begin with nothing but the input" in again
    assert (
        "thread 't' has failed: go on with `%agent resume t`, begin anew with --fresh" in by_magic
    )


def test_a_cell_again_while_it_runs(shell, capsys):
    """8: the run itself; another input, and code, are told that it runs here."""
    slow = CELL.replace("{body}", "time.sleep(1.5)").replace("{wiring}", WIRING)
    shell.run_cell("import time")
    shell.run_cell(slow)
    run = shell.run_cell("run = %agent run g topic=x --thread t\nrun").result
    same = shell.run_cell("%agent run g topic=x --thread t").result
    other = plain(error_of(shell, capsys, "%agent run g topic=y --thread t"))
    code = plain(error_of(shell, capsys, "g.start({'topic': 'y'}, 't')"))

    assert run is same
    assert "thread 't' runs here already, with another input: wait for it" in other
    assert "thread 't' runs in this process already" in code
    run.result(10)


@pytest.mark.parametrize("call", ["g.run({'topc': 'x'}, 'u')", "g.start({'topc': 'x'}, 'u')"])
def test_an_unknown_field_of_an_input_is_not_called_an_edit(shell, capsys, call):
    """And makes no thread."""
    said = told(shell, capsys, run=call)

    assert "the input gives 'topc', which is not a field of the state (did you mean 'topic'" in said
    assert "edit" not in said
    assert "there is no thread 'u'" in error_of(shell, capsys, "g.thread('u').state")
