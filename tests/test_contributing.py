"""What CONTRIBUTING.md names is there, and what a release takes fits together."""

from __future__ import annotations

import re
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


def test_the_hooks_are_the_checks() -> None:
    """What runs before a commit is what tests/run.py runs, and nothing is fetched for it."""
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    checks = (ROOT / "tests" / "run.py").read_text(encoding="utf-8")
    entries = re.findall(r"entry: \.venv/bin/python -m (.*)", hooks)

    assert ["repo: local"] == re.findall(r"repo: .*", hooks)
    assert ["ruff check .", "ruff format --check .", "mypy"] == entries
    for entry in entries:
        assert ", ".join(f'"{word}"' for word in entry.split()) in checks
