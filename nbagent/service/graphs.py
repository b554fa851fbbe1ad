"""
The graphs of a file: of a Python module, or of a notebook that nobody has open.

Rule 1: of a notebook only what defines something is executed, cell by cell: imports, classes,
        functions, `%%graph` and `with Graph(…)`, and values given to names. What only shows, waits,
        or starts, resumes or answers a thread is left out, so a notebook is loaded without running
        an agent.
Rule 2: what it defines belongs to `__main__`, as in a kernel: values of its classes are found
        again in the store.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nbagent.errors import GraphError, nearest
from nbagent.graph.builder import Graph
from nbagent.notebook.magic.arguments import split
from nbagent.notebook.magic.cell import WORDS, define, execute
from nbagent.notebook.magic.export import is_definition
from nbagent.notebook.magic.parsers import graph_parser

_ACTS = frozenset(
    ("answer", "arun", "delete", "edit", "escalate", "fork", "map", "result", "resume", "run",
     "run_cell", "start", "stream")
)  # fmt: skip


def graphs_in(where: str) -> dict[str, Graph]:
    """The graphs of `FILE.py`, `FILE.ipynb` or `package.module`, by name; of `WHERE:NAME`, that
    one. `GraphError` where there is none, or what keeps the file from being loaded."""
    place, name = _split(where)
    path = Path(place)
    if path.suffix == ".ipynb":
        namespace = _notebook(path)
    elif path.suffix == ".py":
        namespace = _module(path)
    else:
        namespace = _imported(place)
    found = {
        variable: value
        for variable, value in namespace.items()
        if isinstance(value, Graph) and not variable.startswith("_")
    }
    by_name = {graph.name: graph for graph in found.values()}
    if not name:
        if not by_name:
            raise GraphError(f"{place} defines no graph: it is to have `NAME = Graph(…)`")
        return by_name
    chosen = found.get(name) or by_name.get(name)
    if chosen is None:
        raise GraphError(
            f"{place} has no graph {name!r}{nearest(name, {**found, **by_name})} "
            f"(there are: {', '.join(by_name) or 'none'})"
        )
    return {chosen.name: chosen}


def graph_in(where: str) -> Graph:
    """The one graph of a file, or the one that `FILE:NAME` names."""
    found = graphs_in(where)
    if len(found) > 1:
        named = ", ".join(found)
        raise GraphError(f"{where} has several graphs ({named}): say which, as in {where}:NAME")
    return next(iter(found.values()))


def _split(where: str) -> tuple[str, str]:
    """FILE and NAME of `FILE:NAME`; a drive's colon is none of ours."""
    place, colon, name = where.rpartition(":")
    if colon and name.isidentifier() and len(place) > 1:
        return place, name
    return where, ""


def _module(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise GraphError(f"there is no file {path}")
    name = path.stem if path.stem.isidentifier() else "nbagent_module"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # as Python does for the file that it runs
    try:
        spec.loader.exec_module(module)
    except GraphError:
        raise
    except Exception as error:
        raise GraphError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    return vars(module)


def _imported(name: str) -> Mapping[str, Any]:
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return vars(importlib.import_module(name))
    except GraphError:
        raise
    except Exception as error:
        raise GraphError(
            f"{name!r} cannot be imported ({type(error).__name__}: {error}): name a file, as in "
            "agents.py or agents.ipynb, or a module that can be imported here"
        ) from error


class _Shell:
    """What `%%graph` asks of IPython's shell, without one."""

    def __init__(self, namespace: dict[str, Any], name: str) -> None:
        from IPython.core.compilerop import CachingCompiler
        from IPython.core.inputtransformer2 import TransformerManager

        self.user_ns = namespace
        self.transform_cell = TransformerManager().transform_cell  # type: ignore[no-untyped-call]
        self.compile = CachingCompiler()  # type: ignore[no-untyped-call]
        self.execution_count = 0
        self.name = name


def _notebook(path: Path) -> Mapping[str, Any]:
    main = sys.modules.get("__main__")
    namespace: dict[str, Any] = vars(main) if isinstance(main, types.ModuleType) else {}
    shell = _Shell(namespace, path.name)
    for number, source in enumerate(_cells(path), 1):
        shell.execution_count = number
        try:
            _execute(source, shell)
        except GraphError:
            raise
        except Exception as error:
            raise GraphError(
                f"{path}, code cell {number} cannot be loaded: {type(error).__name__}: {error}"
            ) from error
    return namespace


def _cells(path: Path) -> Iterator[str]:
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        for cell in cells:
            if cell["cell_type"] == "code":
                source = cell["source"]
                yield source if isinstance(source, str) else "".join(source)
    except FileNotFoundError:
        raise GraphError(f"there is no file {path}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise GraphError(f"{path} is no notebook: {error}") from error


def _execute(source: str, shell: _Shell) -> None:
    first, _, rest = source.lstrip("\n").partition("\n")
    if first.startswith("%%graph "):
        options = graph_parser(shell.user_ns).parse_args(split(first[8:]))
        made = define(options.name, rest, shell, store=options.store, state=options.state)
        shell.user_ns[options.name] = made
        return
    if first.startswith("%%"):
        return
    for word, meaning in WORDS.items():
        shell.user_ns.setdefault(word, meaning)
    try:
        code = shell.transform_cell(source)
        filename = shell.compile.cache(code, shell.execution_count)
        body = ast.parse(code, filename).body
    except SyntaxError:
        return  # a cell that a person has not finished, or one with `await` alone
    for statement in body:
        if is_definition(statement) and not _acts(statement):
            execute([statement], filename, shell.user_ns)


def _acts(statement: ast.stmt) -> bool:
    """True for what would run something: `run = graph.start(…)`, `for … : graph.run(…)`."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return False
    if isinstance(statement, ast.With):
        return any(_acts(one) for one in statement.body)
    return any(
        isinstance(one, ast.Call)
        and isinstance(one.func, ast.Attribute)
        and one.func.attr in _ACTS
        and not isinstance(one.func.value, ast.Constant)
        for one in ast.walk(statement)
    )
