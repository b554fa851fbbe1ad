"""
A notebook's agent as a plain Python module, to go to production with. (C1)

Rule 1: the module holds the graph's cell and, of the other cells, only the statements that define
        what it uses, in the order in which they ran; comments stay.
Rule 2: what cannot be found is an error that names it, and no module is written.
"""

from __future__ import annotations

import ast
import builtins
import io
import re
import time
import tokenize
import types
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from nbagent.errors import GraphError
from nbagent.notebook.cell import WORDS, state_class

_MAGIC = re.compile(r"^%%graph\s+(\w+)(.*)$")


@dataclass
class _Piece:
    """Statements of the session that belong together, and what they define and use."""

    lines: list[str]
    names: set[str]
    uses: set[str] = field(default_factory=set)


def export(name: str, shell: Any) -> str:
    """The source of a module that defines the graph `name` and runs it as a command."""
    pieces = _pieces(shell)
    defined: dict[str, int] = {}
    for place, piece in enumerate(pieces):
        defined |= dict.fromkeys(piece.names, place)
    if name not in defined:
        raise GraphError(f"no cell of this session defines the graph {name!r}: run its cell first")
    chosen: set[int] = set()
    words: set[str] = set()
    modules: set[str] = set()
    todo = [name]
    while todo:
        wanted = todo.pop()
        if wanted in defined:
            place = defined[wanted]
            if place not in chosen:
                chosen.add(place)
                todo += pieces[place].uses
        elif wanted in WORDS:
            words.add(wanted)
        elif isinstance(shell.user_ns.get(wanted), types.ModuleType):
            modules.add(wanted)
        elif wanted in shell.user_ns:
            raise GraphError(
                f"the graph uses {wanted!r}, and no cell of this session defines it by def, class, "
                "import or `=`: define it in a cell, and export again"
            )
    body = "\n\n".join("\n".join(pieces[place].lines) for place in sorted(chosen))
    imports = [_import(module, shell.user_ns[module]) for module in sorted(modules)]
    return _TEMPLATE.format(
        name=name,
        date=time.strftime("%Y-%m-%d"),
        imports="\n".join([*imports, *_word_imports(words)]),
        body=body,
    )


_TEMPLATE = '''\
"""The agent {name}, exported from a notebook on {date}.

    python {name}.py FIELD=VALUE … --thread ID        run it, or go on where it stopped
"""

{imports}
from nbagent.script import main

{body}

if __name__ == "__main__":
    raise SystemExit(main({name}))
'''


def _import(name: str, module: types.ModuleType) -> str:
    same = module.__name__ == name
    return f"import {name}" if same else f"import {module.__name__} as {name}"


def _word_imports(words: Iterable[str]) -> list[str]:
    """Imports for what a %%graph cell may use without any."""
    typed = sorted(word for word in words if getattr(WORDS[word], "__module__", "") == "typing")
    lines = ["import operator"] if "operator" in words else []
    lines += [f"from typing import {', '.join(typed)}"] if typed else []
    own = sorted({"Graph", *words} - {*typed, "operator"})
    return [*lines, "", f"from nbagent import {', '.join(own)}"]


def _pieces(shell: Any) -> list[_Piece]:
    found: list[_Piece] = []
    for cell in shell.history_manager.input_hist_raw[1:]:
        first, _, rest = cell.partition("\n")
        magic = _MAGIC.match(first)
        source = shell.transform_cell(rest if magic else cell)
        try:
            tree = ast.parse(source)
        except SyntaxError:
            continue
        lines = source.splitlines()
        if magic is not None:
            found += _graph_pieces(magic, tree, lines, shell)
        else:
            found += [
                _piece([statement], lines) for statement in tree.body if not _is_magic(statement)
            ]
    return found


def _graph_pieces(
    magic: re.Match[str], tree: ast.Module, lines: list[str], shell: Any
) -> list[_Piece]:
    """A %%graph cell: what stands up to its state class, then the rest inside `with Graph(…)`."""
    name, options = magic.groups()
    chosen = re.search(r"--state[= ]+(\w+)", options)
    store = re.search(r"--store[= ]+(\S+)", options)
    try:
        index, state = state_class(tree, chosen.group(1) if chosen else None, shell.user_ns)
    except GraphError:
        return []
    before = [_piece([statement], lines) for statement in tree.body[: index + 1]]
    rest = _piece(tree.body[index + 1 :], lines)
    where = f", store={store.group(1)!r}" if store else ""
    opening = f'with Graph("{name}", {state}{where}) as {name}:'
    rest.lines = [opening, *_indented("\n".join(rest.lines))]
    rest.names.add(name)
    rest.uses.add(state)
    return [*before, rest]


def _piece(statements: list[ast.stmt], lines: list[str]) -> _Piece:
    texts: list[str] = []
    names: set[str] = set()
    uses: set[str] = set()
    for statement in statements:
        decorators = getattr(statement, "decorator_list", [])
        first = min([statement.lineno, *(one.lineno for one in decorators)]) - 1
        while first and lines[first - 1].lstrip().startswith("#"):
            first -= 1
        if texts and first and not lines[first - 1].strip():
            texts.append("")
        texts += lines[first : statement.end_lineno]
        names |= _bound(statement)
        uses |= {
            one.id
            for one in ast.walk(statement)
            if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)
        }
    return _Piece(texts, names, uses - set(dir(builtins)))


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a statement gives a meaning at the top of a module."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {(one.asname or one.name).partition(".")[0] for one in statement.names}
    return {
        one.id
        for one in ast.walk(statement)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
    }


def _is_magic(statement: ast.stmt) -> bool:
    return any(
        isinstance(one, ast.Name) and one.id == "get_ipython" for one in ast.walk(statement)
    ) or (isinstance(statement, ast.Expr) and not isinstance(statement.value, ast.Constant))


def _indented(source: str) -> list[str]:
    """The lines, four spaces further in, without touching the inside of long strings."""
    inside: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.STRING:
            inside.update(range(token.start[0] + 1, token.end[0] + 1))
        if tokenize.tok_name[token.type].startswith("FSTRING_MIDDLE"):
            inside.update(range(token.start[0] + 1, token.end[0] + 1))
    return [
        f"    {line}" if line.strip() and number not in inside else line
        for number, line in enumerate(source.splitlines(), 1)
    ]
