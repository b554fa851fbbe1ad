"""What the public types say: an agent passes the checkers as it is, and mistakes are found. (R46)

A line that ends with `# error: CODE` must be an error with that code for mypy (any code where none
is given), and an error for pyright; no other line may be one.
"""

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import require

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PYRIGHT = HERE.parent / "js" / "node_modules" / "pyright" / "index.js"
FILES = ("agents.py", "mistakes.py")
MARK = re.compile(r"# error(?:: (?P<code>[\w-]+))?$")
REPORT = re.compile(r"^(?P<file>.+?):(?P<line>\d+): error: (?P<text>.*?)  \[(?P<code>[\w-]+)\]$")


def expected(name):
    """The marked lines of a file, with the codes."""
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    marks = {number: MARK.search(line) for number, line in enumerate(lines, 1)}
    return {number: mark["code"] for number, mark in marks.items() if mark}


def by_mypy():
    """File name -> line -> the codes of what `mypy --strict` says of it."""
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        "--hide-error-context",
    ]
    done = subprocess.run(
        [*command, *(str(HERE / name) for name in FILES)],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = {name: {} for name in FILES}
    for report in map(REPORT.match, done.stdout.splitlines()):
        if report:
            lines = found.setdefault(Path(report["file"]).name, {})
            lines.setdefault(int(report["line"]), set()).add(report["code"])
    return found


def by_pyright():
    """File name -> the lines with an error, and what it is."""
    require("pyright", "pyright (cd tests/js && npm ci)", found=str(PYRIGHT) * PYRIGHT.exists())
    node = require("node", "Node.js", found=shutil.which("node"))
    done = subprocess.run(
        [node, PYRIGHT, "--outputjson", "--pythonpath", sys.executable]
        + [str(HERE / name) for name in FILES],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    found = {name: {} for name in FILES}
    for report in json.loads(done.stdout)["generalDiagnostics"]:
        if report["severity"] == "error":
            line = report["range"]["start"]["line"] + 1
            found[Path(report["file"]).name].setdefault(line, []).append(report["message"])
    return found


@pytest.fixture(scope="module")
def mypy():
    return by_mypy()


@pytest.fixture(scope="module")
def pyright():
    return by_pyright()


def test_an_agent_passes_under_mypy_strict(mypy):
    """No error, no untyped decorator, nothing to ignore; nor in nbagent's own files."""
    assert {} == mypy["agents.py"]
    assert set(FILES) == set(mypy)
    assert "type: ignore" not in (HERE / "agents.py").read_text(encoding="utf-8")


def test_what_the_types_let_pass_is_a_graph(tmp_path, monkeypatch):
    """The module that passes can be run as well."""
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(HERE / "agents.py"), run_name="agents")
    assert "plan" in names["research"].compile().nodes


def test_mypy_finds_the_mistakes(mypy):
    """Each on its line, with its code, and nothing else."""
    marked = expected("mistakes.py")
    found = mypy["mistakes.py"]
    assert set(marked) == set(found)
    assert {} == {
        line: (code, found[line])
        for line, code in marked.items()
        if code is not None and code not in found[line]
    }


def test_an_agent_passes_under_pyright(pyright):
    """It follows other rules than mypy, and editors show what it says."""
    assert {} == pyright["agents.py"]


def test_pyright_finds_the_mistakes(pyright):
    """On the same lines."""
    assert set(expected("mistakes.py")) == set(pyright["mistakes.py"])
