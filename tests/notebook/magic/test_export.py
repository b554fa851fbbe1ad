"""A notebook's agent as a module, as a command, and as text in a terminal. (C1)"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from types import SimpleNamespace

import pytest
from IPython.core.completer import provisionalcompleter

from nbagent.notebook.magic.completion import complete
from tests.notebook.magic.test_magics import CELL, error_of, shell  # noqa: F401  (a fixture)

HELPERS = '''\
import json as js, math
LIMIT = 3 * math.floor(1.5)  # how many
UNUSED = js.dumps({})

# Says a topic
# politely.
def polite(topic):
    """Text that
    keeps its lines."""
    return f"""dear {topic}
  indented {LIMIT}"""
'''
USES = CELL.replace('[state["topic"]]', '[polite(state["topic"])]')


def run_module(path, *words, **env):
    """The module as a command in a Python of its own, where Jupyter cannot be imported."""
    code = (
        "import sys, runpy\n"
        "for name in ('IPython', 'ipywidgets', 'anywidget'): sys.modules[name] = None\n"
        f"sys.argv = {[str(path), *words]!r}\n"
        f"runpy.run_path({str(path)!r}, run_name='__main__')"
    )
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), **env}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=path.parent,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_an_exported_module_runs_without_jupyter(shell, tmp_path):  # noqa: F811
    """Only what the graph uses is in it; it runs, asks, is answered in another process."""
    for cell in ("x = 1 / 0", HELPERS, "%%graph research\n" + USES, "%agent graph research"):
        shell.run_cell(cell, store_history=True)
    path = tmp_path / "research.py"
    assert shell.run_cell(f"%agent export research {path}", store_history=True).success
    text = path.read_text()

    assert "UNUSED" not in text
    assert "# how many\n" in text
    assert "# Says a topic\n# politely.\ndef polite" in text
    asked = run_module(path, "topic=bees", "count=3", "--thread", "t")
    assert (3, "t asks: ok?") == (asked.returncode, asked.stderr.strip()[:11]), asked.stderr
    assert ["dear bees\n  indented 3"] == json.loads(asked.stdout)["notes"]
    done = run_module(path, "--thread", "t", "--answer", "accept")
    assert (0, "accept") == (done.returncode, json.loads(done.stdout)["verdict"]), done.stderr
    again = run_module(path, "topic=5", "--thread", "t")
    assert (3, "5") == (again.returncode, json.loads(again.stdout)["topic"]), again.stderr
    wrong = run_module(path, "tpic=1")
    assert (2, True) == (wrong.returncode, "topic, count" in wrong.stderr)


def test_what_cannot_be_exported_is_named(shell, capsys, tmp_path):  # noqa: F811
    """A name that no cell defines; a graph that is not there; a file that is."""
    shell.user_ns["polite"] = str.upper
    shell.run_cell("%%graph research\n" + USES, store_history=True)
    said = error_of(shell, capsys, f"%agent export research {tmp_path / 'r.py'}")
    assert "uses 'polite'" in said
    assert not (tmp_path / "r.py").exists()
    assert "no cell of this session" in error_of(shell, capsys, "%agent export nothing")
    shell.run_cell("polite = str.upper", store_history=True)
    (tmp_path / "r.py").write_text("mine")
    assert "--force" in error_of(shell, capsys, f"%agent export research {tmp_path / 'r.py'}")
    assert "mine" == (tmp_path / "r.py").read_text()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%agent re", ["resume"]),
        ("%agent run ", ["research"]),
        ("%agent run research to", ["topic="]),
        ("%agent run research topic=x verdict=a", ["verdict=accept"]),
        ("%agent resume ", ["t-1"]),
        ("%agent resume t-1 ", ["revise", "accept"]),
        ("x = %agent resume t-1 --on", ["--on-change"]),
        ("%agent resume t-1 --on-change ", ["ask", "go-on", "rerun"]),
        ("%agent edit t-1 n", ["notes="]),
        ("%agent resume --steps 3 t", ["t-1"]),
        ("%agent resume --steps 3 t-1 r", ["revise"]),
        ("%agent edit nobody n", []),
        ("%agent nothing ", []),
    ],
)
def test_tab_completes_what_may_stand_there(shell, line, expected):  # noqa: F811
    """Commands, graphs, threads, fields, answers, options."""
    shell.run_cell("%%graph research\n" + CELL)
    shell.run_cell("r = %agent run research topic=a --thread t-1\nr.result()")

    assert expected == complete(shell, SimpleNamespace(text_until_cursor=line))


def test_ipython_asks_for_completions(shell):  # noqa: F811
    """Through IPython's own completer, as a notebook does."""
    shell.run_cell("%%graph research\n" + CELL)
    line = "%agent run rese"
    with provisionalcompleter():
        found = [one.text for one in shell.Completer.completions(line, len(line))]

    assert "research" in found


def test_a_script_in_a_terminal_shows_its_progress(tmp_path):
    """Lines for what ended, what failed and is tried again, what it waits for; none in a pipe."""
    script = tmp_path / "agent.py"
    script.write_text(
        "from typing import TypedDict\n"
        "from nbagent import END, START, Graph, Retry, interrupt, node\n"
        "class State(TypedDict):\n    x: int\n"
        "calls = []\n"
        "with Graph('g', State, store='memory://') as g:\n"
        "    @node(retry=Retry(attempts=2, wait=0.01))\n"
        "    def one(state):\n"
        "        calls.append(1)\n"
        "        if len(calls) == 1: raise ConnectionError('\\x1b[31mno [bold]luck')\n"
        "        return {'x': 1}\n"
        "    @node\n"
        "    def two(state): interrupt('sure?')\n"
        "    START >> one >> two >> END\n"
        "g.run({'x': 0}, 't')\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "TERM": "xterm", "COLUMNS": "100"}
    environment.pop("NBAGENT_PROGRESS", None)
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        process = subprocess.Popen([sys.executable, script], env=environment, stderr=theirs)
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = terminal.read(4096)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            shown += part
        assert 0 == process.wait(20)
    text = shown.decode()
    for word in ("▶", "↻", "no [bold]luck", "✓", "sure?", "waiting"):
        assert word in text
    assert "\x1b[31mno" not in text
    piped = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True
    )
    assert "" == piped.stderr


@pytest.mark.parametrize(
    ("cells", "body", "present", "absent"),
    [
        # What a node has of its own is not what the notebook has by that name.
        (["result = 1 / 1", "state = 5"], "result = state['count']", [], ["result = 1"]),
        (["k = [1]", "k += [2]"], "k", ["k = [1]", "k += [2]"], []),
        (["c = {}", "c['a'] = 1", "c.update(b=2)"], "c", ["c['a'] = 1", "c.update"], []),
        (["i = 5", "xs = [i for i in range(3)]"], "i", ["i = 5"], ["xs ="]),
        (["def h(): return 1", "old = h", "def h(): return old() + 1"], "h()", ["old = h"], []),
        (["def h(): return 1", "def h(): return 2"], "h()", ["return 2"], ["return 1\n"]),
        (["count = 0", "def h():\n    global count\n    count += 1"], "h()", ["count = 0"], []),
        (["v = 2", "v = 1 / 0"], "v", ["v = 2"], ["1 / 0"]),
        (["if True:\n    def h(): return 3"], "h()", ["def h"], []),
        (["import xml.dom", "import xml.sax"], "xml.sax", ["xml.dom", "xml.sax"], []),
        (["def main(): return 4"], "main()", ["def main", "_main(research)"], []),
        (["def format(x): return 'mine'"], "format(1)", ["def format"], []),
        (["class Base: pass", "class Sub(Base): pass", "class Base: pass"], "Sub", ["Sub"], []),
        (["t = 'x' \n!ls", "shout = str.upper"], "shout('a')", ["shout"], ["ls"]),
    ],
)
def test_what_a_node_uses_goes_with_it(shell, tmp_path, cells, body, present, absent):  # noqa: F811
    """All that binds or changes it, in its order, and nothing else; the module can be imported."""
    graph = CELL.replace("def plan(state):", f"def plan(state):\n    {body}")
    for cell in (*cells, "%%graph --quiet research --store 'memory://q'\n" + graph):
        shell.run_cell(cell, store_history=True)
    path = tmp_path / "research.py"
    assert shell.run_cell(f"%agent export research {path}", store_history=True).success
    text = path.read_text()

    assert not [one for one in present if one not in text], text
    assert not [one for one in absent if one in text], text
    assert "store='memory://q'" in text
    done = run_module(path, "topic=bees", "count=1", "--thread", "t")
    assert 3 == done.returncode, done.stderr + text


@pytest.mark.parametrize(
    ("cells", "body"), [(["x = await asyncio.sleep(0, 1)"], "x"), ([], "display(1)")]
)
def test_what_only_a_notebook_can_do_is_refused(shell, capsys, tmp_path, cells, body):  # noqa: F811
    """A top-level await, a display: named, and no file is written."""
    graph = CELL.replace("def plan(state):", f"def plan(state):\n    {body}")
    for cell in ("import asyncio", *cells, "%%graph research\n" + graph):
        shell.run_cell(cell, store_history=True)
    said = error_of(shell, capsys, f"%agent export research {tmp_path / 'r.py'}")

    assert f"uses '{body.partition('(')[0]}'" in said
    assert not (tmp_path / "r.py").exists()
