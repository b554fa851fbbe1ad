"""%%graph and %agent in a shell without a browser. (C1)"""

from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell

from nbagent import memory
from nbagent.engine.store.opening import use_store
from nbagent.stores.memory import MemoryStore

CELL = """\
class State(TypedDict):
    topic: str
    count: int
    notes: Annotated[list[str], operator.add]
    verdict: Literal["revise", "accept"]

@node
def plan(state):
    return {"notes": [state["topic"]]}

@node
def review(state):
    return {"verdict": interrupt("ok?", schema=Literal["revise", "accept"])}

START >> plan >> review
review >> branch("verdict", revise=plan, accept=END)
"""


@pytest.fixture
def shell(capsys):
    """A fresh shell with the extension and a store of its own."""
    InteractiveShell.clear_instance()
    made = InteractiveShell.instance()
    use_store(MemoryStore())
    made.run_line_magic("load_ext", "nbagent")
    yield made
    use_store("memory://")
    made.history_manager.end_session()
    InteractiveShell.clear_instance()


def error_of(shell, capsys, code):
    """What a cell prints when it fails, without colours."""
    result = shell.run_cell(code)
    assert not result.success
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_the_main_job_in_four_lines(shell):
    """Define, run, look, answer; the magics give objects."""
    assert shell.run_cell("%%graph research\n" + CELL).success
    run = shell.run_cell("run = %agent run research topic='two words' count=3 --thread t\nrun")
    state = run.result.result(5)

    assert ("two words", 3) == (state["topic"], state["count"])
    assert "waiting" == shell.run_cell("%agent threads").result["status"][0]
    assert ("review",) == shell.run_cell("research.thread('t')").result.next
    done = shell.run_cell("%agent resume t accept").result
    assert "accept" == done.result(5)["verdict"]
    assert 3 == len(shell.run_cell("%agent history t").result)


def test_functions_of_the_cell_stay_functions(shell):
    """They are in the notebook's namespace and their source is found."""
    shell.run_cell("%%graph research\n" + CELL)

    assert {"notes": ["x"]} == shell.run_cell("plan({'topic': 'x'})").result
    assert shell.run_cell("import inspect; inspect.getsource(plan)").success


@pytest.mark.parametrize(
    ("old", "new", "message", "line"),
    [
        ("plan >> review", "plan >> reviw", "did you mean 'review'", "START >> plan >> reviw"),
        ("accept=END", "acept=END", "did you mean 'accept'", "acept=END"),
        ("operator.add", "'add'", "cannot be called", "notes: Annotated"),
        ("accept=END", "accept=plan", "has no way to END", "@node"),
        ("START >> plan >> review", "START >> plan", "'review' is never reached", "@node"),
        ("class State(TypedDict)", "class State", "neither a TypedDict", "class State"),
    ],
)
def test_a_mistake_is_one_line_that_points_at_the_users_own(shell, capsys, old, new, message, line):
    """The message, the line of the cell, and no frame of ours."""
    said = error_of(shell, capsys, "%%graph research\n" + CELL.replace(old, new))

    assert message in said
    assert line in said
    assert "Traceback" not in said
    assert "nbagent/" not in said
    assert "research" not in shell.user_ns


def test_help_and_bad_arguments(shell, capsys):
    """`--help` prints, a wrong word is a sentence."""
    for line in ("%%graph --help", "%agent --help", "%agent run --help"):
        assert shell.run_cell(line).success
        assert "usage" in capsys.readouterr().out
    shell.run_cell("%%graph research\n" + CELL)
    for line, said in [
        ("%agent run resarch", "did you mean 'research'"),
        ("%agent run research tpic=1", "did you mean 'topic'"),
        ("%agent resume nobody", "no thread 'nobody'"),
        ("%agent dance", "invalid choice"),
        ("%agent pause nobody", "no thread 'nobody'"),
    ]:
        assert said in error_of(shell, capsys, line)


def test_values_from_the_notebook(shell):
    """`$name` and `{expression}` pass objects; numbers and lists are read as JSON."""
    shell.run_cell("%%graph research\n" + CELL)
    shell.run_cell("words = ['a', 'b']; subject = 'bees'")
    run = shell.run_cell("%agent run research topic=$subject count={1 + 1} notes=$words").result
    assert ("bees", 2, ["a", "b", "bees"]) == tuple(
        run.result(5)[name] for name in ("topic", "count", "notes")
    )


def test_edit_fork_and_steps(shell):
    """What `Thread` can do, the magic can."""
    shell.run_cell("%%graph research\n" + CELL)
    shell.run_cell("r = %agent run research topic=a count=1 --thread t --steps 1")
    shell.user_ns["r"].result(5)
    shell.run_cell("%agent edit t topic=b count=5 --note 'counted again'")
    thread = shell.run_cell("research.thread('t')").result
    assert ("b", 5) == (thread.state["topic"], thread.state["count"])
    assert "counted again" == thread.history()["note"].iloc[-1]
    other = shell.run_cell("%agent fork t --id u topic=c").result
    assert ("u", "c") == (other.id, other.state["topic"])


def test_a_thread_shows_itself_as_text_in_a_terminal(shell, capsys):
    """Status, question and state; one that has not begun says so."""
    shell.run_cell("%%graph research\n" + CELL)
    shell.run_cell("r = %agent run research topic=bees --thread t\nr.result()")
    capsys.readouterr()
    shell.run_cell("%agent show t")
    shown = capsys.readouterr().out
    assert "research · t: waiting" in shown
    assert "asks: ok?" in shown
    assert "topic = bees" in shown
    shell.run_cell("research.thread('new')")
    assert "there is no thread 'new'" in capsys.readouterr().out


def test_a_node_that_fails_shows_the_users_frames(shell, capsys):
    """The error names the node; the traceback is the user's code alone."""
    broken = CELL.replace('return {"notes": [state["topic"]]}', "return {'notes': 1 / 0}")
    shell.run_cell("%%graph research\n" + broken)
    said = error_of(shell, capsys, "r = %agent run research topic=a --thread t\nr.result()")

    assert "node 'plan' failed: ZeroDivisionError" in said
    assert "1 / 0" in said
    assert "nbagent/engine" not in said


def test_the_memory_is_a_table(shell):
    """All of it, or what is below a namespace; the object shows itself as well."""
    memory.put(("users", "ada"), "likes", {"tea": "green"})
    memory.put("docs", "a", 1)
    table = shell.run_cell("%agent memory users").result

    assert [("users/ada", "likes")] == list(zip(table["namespace"], table["key"], strict=True))
    assert 2 == len(shell.run_cell("%agent memory").result)
    assert "users/ada" in memory._repr_html_()
