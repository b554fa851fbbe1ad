"""What CONTRIBUTING.md names is there, and what a release takes fits together."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

import nbagent

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
IN_FILES = (  # a name that a guide says to look for, and the file in which it says that it is
    ("class Channel", "nbagent/engine/model/channels.py"),
    ("__all__", "nbagent/__init__.py"),
    ("WORDS", "nbagent/notebook/magic/cell.py"),
    ("class CheckpointStore", "nbagent/engine/store/protocol.py"),
    ("class Database", "nbagent/stores/sql/database.py"),
    ("class SqlStore", "nbagent/stores/sql/store.py"),
    ("_SCHEMES", "nbagent/wiring.py"),
    ("class NodeExecutor", "nbagent/engine/node/executor.py"),
    ("tabsPart(", "nbagent/notebook/page/view/run_view.js"),
    ("_ANSWERS", "nbagent/notebook/view/lookback.py"),
    ("} Answers", "nbagent/notebook/page/view/said.js"),
    ("def agent_parser", "nbagent/notebook/magic/parsers.py"),
    ("def _values", "nbagent/notebook/magic/completion.py"),
)


def test_every_path_is_there() -> None:
    """Files and folders in backticks and in links; what a build makes apart."""
    named = {path for path in re.findall(r"`((?:nbagent|tests)/[\w./-]*)`", TEXT)}
    linked = set(re.findall(r"\]\(([^)#:]+)\)", TEXT))

    assert len(named) > 15
    assert [] == sorted(path for path in named | linked if not (ROOT / path).exists())


@pytest.mark.parametrize(("name", "path"), IN_FILES)
def test_every_name_is_where_the_guide_says(name: str, path: str) -> None:
    assert Path(path).name in TEXT
    assert name in (ROOT / path).read_text(encoding="utf-8")


def test_the_version_is_one() -> None:
    """A release says it in two places."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert project["version"] == nbagent.__version__


def test_what_runs_in_every_python_finds_what_it_imports() -> None:
    """Whatever tests of the engine, the graph and the stores import at their top is in the extra
    that they are run with, or comes with nbagent; pydantic brings annotated-types, pandas numpy."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    given = [*project["dependencies"], *project["optional-dependencies"]["test-engine"]]
    names = {re.split(r"[^\w-]", part)[0].replace("-", "_").lower() for part in given}
    known = {*names, "annotated_types", "nbagent", "numpy", "tests", "typing_extensions"}
    known |= {"yaml"} if "pyyaml" in names else set()
    wrong = {
        f"{path.relative_to(ROOT)}: {module}"
        for room in ("engine", "graph", "stores")
        for path in (ROOT / "tests" / room).rglob("*.py")
        for statement in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(statement, (ast.Import, ast.ImportFrom))
        for module in (
            [statement.module or ""]
            if isinstance(statement, ast.ImportFrom)
            else [alias.name for alias in statement.names]
        )
        if module.split(".")[0] not in known | sys.stdlib_module_names
    }

    assert set() == wrong


def test_the_hooks_are_the_checks() -> None:
    """What runs before a commit is what tests/run.py runs, and nothing is fetched for it."""
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    checks = (ROOT / "tests" / "run.py").read_text(encoding="utf-8")
    entries = re.findall(r"entry: \.venv/bin/python -m (.*)", hooks)

    assert ["repo: local"] == re.findall(r"repo: .*", hooks)
    assert ["ruff check .", "ruff format --check .", "mypy"] == entries
    for entry in entries:
        assert ", ".join(f'"{word}"' for word in entry.split()) in checks
