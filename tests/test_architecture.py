"""The shape of the package: who may import whom, what is loaded when, and how long a file is."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "nbagent"
FILES = sorted(PACKAGE.rglob("*.py"))

FLOORS = (
    {"errors", "engine"},
    {"engine.ports", "notebook"},
    {"engine.model"},
    {"engine.store", "engine.watch"},
    {"engine.node"},
    {"engine.step"},
    {"engine.thread"},
    {"graph", "stores", "executors", "tracing", "testing"},
    {"script"},
    {"notebook.host", "notebook.registry", "notebook.shown"},
    {"notebook.widgets"},
    {"notebook.view"},
    {"notebook.magic"},
    {"notebook.display"},
    {"notebook.extension", "notebook.marimo", "service"},
    {"wiring"},
    {"__init__"},
    {"cli"},
    {"__main__"},
)
"""The rooms of the house, from the ground up. Imports point down; rooms of one floor do not know
each other. `engine` and `notebook` themselves are empty: what they hold is in their rooms."""

HEAVY = (
    "pandas", "numpy", "ipywidgets", "anywidget", "graphviz", "sqlite_utils", "IPython", "pydantic",
)  # fmt: skip
ABSENT_FROM_THE_ENGINE = (*HEAVY, "msgspec", "jsonschema", "nest_asyncio2")
PROVIDERS = (
    "anthropic", "chromadb", "cohere", "crewai", "google", "instructor", "langchain", "langgraph",
    "litellm", "llama_index", "mcp", "mistralai", "ollama", "openai", "pinecone", "transformers",
)  # fmt: skip
MOST_LINES = 600


def name_of(path: Path) -> str:
    """The file's path in the package, as a test is named after it."""
    return path.relative_to(PACKAGE).as_posix()


def module_of(path: Path) -> str:
    """The module's name below the package: `engine.step.plan`; of a folder's own file, the
    folder's."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {module_of(path) for path in FILES}
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}


def room_of(module: str) -> str:
    """The room that a module is in: the longest of the names in FLOORS that it begins with."""
    parts = module.split(".")
    names = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    found = next((name for name in names if name in FLOOR_OF), None)
    assert found, f"{module} is in a new room: say in FLOORS what stands below it"
    return found


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Each imported module as an absolute name with its line, wherever in the file it is: inside
    functions and behind TYPE_CHECKING, too."""
    package = ("nbagent", *path.relative_to(PACKAGE).parent.parts)
    for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                yield statement.lineno, alias.name
        elif isinstance(statement, ast.ImportFrom):
            start = package[: len(package) - statement.level + 1] if statement.level else ()
            module = ".".join((*start, *filter(None, [statement.module])))
            below = module.removeprefix("nbagent").removeprefix(".")
            for alias in statement.names:  # of a folder, what is taken may be one of its files
                name = f"{below}.{alias.name}".removeprefix(".")
                inside = module.split(".")[0] == "nbagent" and name in MODULES
                yield statement.lineno, f"nbagent.{name}" if inside else module


def own_imports(path: Path) -> Iterator[tuple[int, str]]:
    """The package's own modules among them, below the package: `engine.step.plan`."""
    for line, module in imports(path):
        if module.split(".")[0] == "nbagent":
            yield line, module.removeprefix("nbagent").removeprefix(".") or "__init__"


def run_python(code: str) -> str:
    """What a fresh Python prints for `code`."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True
    )
    assert not done.returncode, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    """A file imports from its own room and from the floors below, never a sibling, never up."""
    room = room_of(module_of(path))

    wrong = [
        f"line {at}: {module}"
        for at, module in own_imports(path)
        if room_of(module) != room and FLOOR_OF[room_of(module)] >= FLOOR_OF[room]
    ]

    assert [] == wrong


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import each other, however many arrows it takes."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        left = [start]
        while left:
            for target in arrows.get(left.pop(), ()):
                if target not in seen:
                    seen.add(target)
                    left.append(target)
        return seen

    reach = {module: reached(module) for module in arrows}
    groups = {
        tuple(sorted(other for other in reach[module] if module in reach.get(other, ())))
        for module in arrows
        if module in reach[module]
    }
    return sorted(map(list, groups))


def test_no_file_is_part_of_an_import_circle() -> None:
    """Nothing imports what imports it: neither at the top of a file, nor in a function, nor for
    types alone."""
    arrows = {module_of(path): {module for _, module in own_imports(path)} for path in FILES}

    assert [] == circles(arrows)


def test_a_circle_would_be_seen() -> None:
    assert [["a", "b", "c"]] == circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if module_of(path).split(".")[0] in ("engine", "errors")],
    ids=name_of,
)
def test_the_engine_needs_only_the_standard_library(path: Path) -> None:
    """The engine and the errors import nothing that must be installed. (R44, R46)"""
    wrong = [
        f"line {line}: {module}"
        for line, module in imports(path)
        if module.split(".")[0] not in {*sys.stdlib_module_names, "nbagent"}
    ]

    assert [] == wrong


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_provider_is_baked_in(path: Path) -> None:
    """No file imports a client of language models, of vectors or of an agent's tools. (R43)"""
    assert [] == [name for _, name in imports(path) if name.split(".")[0] in PROVIDERS]


def test_no_provider_is_installed_with_it() -> None:
    """Neither does the library need one, nor an optional part of it. (R43)"""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["project"]
    needed = {"": project["dependencies"], **project["optional-dependencies"]}
    words = [
        word
        for extra, parts in needed.items()
        if not extra.startswith("test")
        for part in parts
        for word in re.split(r"\W+", part.lower())
    ]

    assert "pydantic" in words
    assert [] == [word for word in words if word in PROVIDERS]


def test_the_top_level_is_what_a_reader_expects() -> None:
    """(C6)"""
    top = {path.name for path in PACKAGE.parent.iterdir()}

    expected = {"README.md", "binder", "nbagent", "notebooks", "pyproject.toml", "tests"}
    assert set() == expected - top


def test_the_engine_works_where_nothing_else_is_installed() -> None:
    """Every module of the engine imports where IPython, pandas and the rest cannot be. (R46)"""
    modules = sorted(
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in (PACKAGE / "engine").rglob("*.py")
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
    allowed = ["exec"] if name_of(path) == "notebook/magic/cell.py" else []

    assert [] == [found for found in unsafe(path) if found not in allowed]
    assert len(list(unsafe(path))) <= len(allowed)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_can_be_read_in_one_sitting(path: Path) -> None:
    """No file is longer than 600 lines."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


IDS = re.compile(
    r"""["'](?:join|to|send|end):|r?partition\(["'][@#/]["']\)|\.id\.(?:startswith|split|partition)"""
)
"""What makes or takes apart the ids of threads, tasks, questions and control channels."""


@pytest.mark.parametrize(
    "path", [path for path in FILES if module_of(path) != "engine.model.ids"], ids=name_of
)
def test_ids_are_made_and_taken_apart_in_one_place(path: Path) -> None:
    """A user's thread id is any text: nobody reads something out of it. (R22)"""
    if room_of(module_of(path)) == "testing":  # it writes ids as older versions have
        return

    assert [] == IDS.findall(path.read_text(encoding="utf-8"))


def test_an_id_taken_apart_would_be_seen() -> None:
    assert IDS.findall('info.id.startswith(f"{id}/")') and IDS.findall('f"x" if "to:a" else 1')


_ELSEWHERE = """
import builtins, importlib.abc, os, signal, sys
GONE = {"fcntl", "resource", "pwd", "grp", "termios", "pty", "syslog", "posix", "tty"}

class Elsewhere(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in GONE and asking():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def asking():
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("nbagent"):
            return True
        if not name.startswith("importlib") and frame.f_code.co_filename[0] != "<":
            return False
        frame = frame.f_back
    return False

for name in GONE:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Elsewhere())
for name in ("fork", "register_at_fork", "getuid", "sched_getaffinity"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGKILL", "SIGHUP", "SIGUSR1", "SIGALRM", "pthread_sigmask"):
    if hasattr(signal, name):
        delattr(signal, name)
opened, read_link = builtins.open, os.readlink

def elsewhere(real):
    def call(path, *args, **kwargs):
        if str(path).startswith("/proc"):
            raise FileNotFoundError(path)
        return real(path, *args, **kwargs)
    return call

builtins.open, os.readlink = elsewhere(opened), elsewhere(read_link)
import importlib, pkgutil, tempfile
import nbagent
for module in pkgutil.walk_packages(nbagent.__path__, "nbagent."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from nbagent import END, START, Graph, node
from pathlib import Path
from typing import TypedDict
class State(TypedDict):
    x: int
with tempfile.TemporaryDirectory() as folder:
    with Graph("g", State, store=Path(folder) / "a.db") as graph:
        START >> node(lambda s: {"x": s["x"] + 1}, name="a") >> END
    assert {"x": 1} == graph.run({"x": 0}, thread="t")
    graph.thread("t").export(folder + "/b.db")
    graph.store.close()
print("done")
"""


def test_nothing_needs_what_only_linux_has():
    """Every module is imported, and an agent runs and is exported, where `fcntl`, `/proc`,
    `os.fork` and SIGKILL are not: on macOS and Windows."""
    done = subprocess.run([sys.executable, "-c", _ELSEWHERE], capture_output=True, text=True)

    assert ("done", 0) == (done.stdout.strip()[-4:], done.returncode), done.stderr[-2000:]
