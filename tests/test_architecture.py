"""The shape of the package: who may import whom, what is loaded when, and how long a file is."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "nbagent"
FILES = sorted(PACKAGE.rglob("*.py"))

BELOW = {
    "errors": set(),
    "engine": {"errors"},
    "graph": {"engine", "errors"},
    "stores": {"engine", "errors"},
    "executors": {"engine", "errors"},
    "tracing": {"engine", "errors"},
    "testing": {"engine", "errors"},
    "script": {"graph", "engine", "errors"},
    "notebook": {"graph", "stores", "executors", "tracing", "engine", "errors"},
}
"""Room -> the rooms that it may import. The package itself and `__main__` put all together."""

COMPOSITION = {"__init__", "__main__"}
HEAVY = (
    "pandas", "numpy", "ipywidgets", "anywidget", "graphviz", "sqlite_utils", "IPython", "pydantic",
)  # fmt: skip
ABSENT_FROM_THE_ENGINE = (*HEAVY, "msgspec", "jsonschema", "nest_asyncio2")
MOST_LINES = 600


def name_of(path: Path) -> str:
    """The file's path in the package, as a test is named after it."""
    return path.relative_to(PACKAGE).as_posix()


def room_of(path: Path) -> str:
    """The room that a file is in: its folder directly under the package, or its own name."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Each imported module as an absolute name with its line, wherever in the file it is."""
    parents = ("nbagent", *path.relative_to(PACKAGE).parent.parts)
    for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                yield statement.lineno, alias.name
        elif isinstance(statement, ast.ImportFrom):
            start = parents[: len(parents) - statement.level + 1] if statement.level else ()
            module = ".".join((*start, *filter(None, [statement.module])))
            if module == "nbagent":
                for alias in statement.names:
                    yield statement.lineno, f"nbagent.{alias.name}"
            else:
                yield statement.lineno, module


def run_python(code: str) -> str:
    """What a fresh Python prints for `code`."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True
    )
    assert not done.returncode, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    """A room imports only the rooms below it, never a sibling, never the package as a whole."""
    room = room_of(path)
    if room in COMPOSITION:
        return
    assert room in BELOW, f"{room} is a new room: say in BELOW what it may import"
    allowed = {room, *BELOW[room]}

    wrong = [
        f"line {line}: {module}"
        for line, module in imports(path)
        if module.split(".")[0] == "nbagent" and module.split(".")[1] not in allowed
    ]

    assert [] == wrong


@pytest.mark.parametrize(
    "path", [path for path in FILES if room_of(path) in ("engine", "errors")], ids=name_of
)
def test_the_engine_needs_only_the_standard_library(path: Path) -> None:
    """The engine and the errors import nothing that must be installed. (R44, R46)"""
    wrong = [
        f"line {line}: {module}"
        for line, module in imports(path)
        if module.split(".")[0] not in {*sys.stdlib_module_names, "nbagent"}
    ]

    assert [] == wrong


def test_the_engine_works_where_nothing_else_is_installed() -> None:
    """Every module of the engine imports where IPython, pandas and the rest cannot be. (R46)"""
    modules = sorted(
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in (PACKAGE / "engine").glob("*.py")
    )
    code = f"""
import importlib, sys
for name in {ABSENT_FROM_THE_ENGINE!r}:
    sys.modules[name] = None  # importing it now raises ModuleNotFoundError
for module in {modules!r}:
    importlib.import_module(module)
print(len({modules!r}))
"""

    assert str(len(modules)) == run_python(code)


def test_importing_nbagent_is_cheap() -> None:
    """`import nbagent` loads none of the heavy libraries: they come on first use."""
    code = f"import sys, nbagent; print(*[name for name in {HEAVY!r} if name in sys.modules])"

    assert "" == run_python(code)


def unsafe(path: Path) -> Iterator[str]:
    """Each place of a file that unpickles or runs text as code."""
    for _, module in imports(path):
        if module.split(".")[0] in {"pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}:
            yield module
    for part in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(part, ast.Call):
            called = part.func
            name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
            if isinstance(called, ast.Name) and name in {"eval", "exec"}:
                yield name
            if name in {"read_pickle", "to_pickle"}:
                yield name
            if any(
                keyword.arg == "allow_pickle" and getattr(keyword.value, "value", None) is not False
                for keyword in part.keywords
            ):
                yield "allow_pickle"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_is_unpickled_or_evaluated(path: Path) -> None:
    """No file can turn stored bytes into running code; the magic runs the user's own cell. (W5)"""
    allowed = ["exec"] if name_of(path) == "notebook/cell.py" else []

    assert [] == [found for found in unsafe(path) if found not in allowed]
    assert len(list(unsafe(path))) <= len(allowed)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_can_be_read_in_one_sitting(path: Path) -> None:
    """No file is longer than 600 lines."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
