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
import symtable
import time
import tokenize
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from nbagent.errors import GraphError
from nbagent.notebook.magic.arguments import split
from nbagent.notebook.magic.cell import WORDS, state_class

_PAGE = {"display", "get_ipython"}  # what a notebook adds to Python's own names
_BUILTINS = set(dir(builtins)) - _PAGE
failed: set[int] = set()  # execution counts of cells that raised


def note_failure(result: Any) -> None:
    """Called by IPython after each cell: what raised defines nothing."""
    if not result.success and result.info is not None and result.info.store_history:
        failed.add(result.execution_count)


@dataclass
class _Piece:
    """Statements of the session that belong together.

    binds  what they give a meaning, or change
    uses   what they need, now or when what they define is called
    now    what they need when they run
    graph  the graph that they make
    """

    lines: list[str]
    binds: set[str]
    uses: set[str]
    now: set[str]
    is_function: bool = False
    graph: str = ""


def export(name: str, shell: Any) -> str:
    """The source of a module that defines the graph `name` and runs it as a command."""
    pieces = _pieces(shell)
    if not any(piece.graph == name or name in piece.binds for piece in pieces):
        raise GraphError(f"no cell of this session defines the graph {name!r}: run its cell first")
    chosen: set[int] = set()
    found: dict[str, set[str]] = {"words": set(), "modules": set()}
    todo, seen = [name], set()
    while todo:
        wanted = todo.pop()
        if wanted in seen:
            continue
        seen.add(wanted)
        places = [place for place, piece in enumerate(pieces) if wanted in piece.binds]
        if not places:
            _elsewhere(wanted, shell.user_ns, found)
        for place in places:
            if place not in chosen:
                chosen.add(place)
                todo += pieces[place].uses
    body = "\n\n".join("\n".join(piece.lines) for piece in _needed(pieces, chosen))
    imports = [_import(module, shell.user_ns[module]) for module in sorted(found["modules"])]
    text = _TEMPLATE.format(
        name=name,
        date=time.strftime("%Y-%m-%d"),
        imports="\n".join([*imports, *_word_imports(found["words"])]),
        body=body,
    )
    try:
        compile(text, f"{name}.py", "exec")
    except SyntaxError as error:
        raise GraphError(f"{name!r} cannot be exported: {error}") from error
    return text


_TEMPLATE = '''\
"""The agent {name}, exported from a notebook on {date}.

    python {name}.py FIELD=VALUE … --thread ID        run it, or go on where it stopped
"""

{imports}
from nbagent.script import main as _main

{body}

if __name__ == "__main__":
    raise SystemExit(_main({name}))
'''


def _elsewhere(wanted: str, namespace: dict[str, Any], found: dict[str, set[str]]) -> None:
    """What no cell defines: a word of %%graph, a module, one of Python's own; or an error."""
    if wanted in WORDS:
        found["words"].add(wanted)
    elif isinstance(namespace.get(wanted), types.ModuleType):
        found["modules"].add(wanted)
    elif wanted in _PAGE or (wanted in namespace and wanted not in _BUILTINS):
        raise GraphError(
            f"the graph uses {wanted!r}, and no cell of this session defines it by def, class, "
            "import or `=`: define it in a cell, and export again"
        )


def _needed(pieces: list[_Piece], chosen: set[int]) -> Iterator[_Piece]:
    """The chosen ones, in order, without functions that were defined anew before anybody used
    them."""
    places = sorted(chosen)
    for index, place in enumerate(places):
        piece = pieces[place]
        later = [pieces[other] for other in places[index + 1 :]]
        again = next((n for n, one in enumerate(later) if one.binds >= piece.binds), None)
        if piece.is_function and again is not None:
            between = later[: again + 1]
            if later[again].is_function and not any(one.now & piece.binds for one in between):
                continue
        yield piece


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
    """All statements of the session that ran, each cell's text once; of a %%graph cell that was
    run again, the last."""
    found: list[_Piece] = []
    seen: set[str] = set()
    for count, cell in enumerate(shell.history_manager.input_hist_raw):
        first, _, rest = cell.partition("\n")
        is_graph = first.startswith("%%graph ")
        if count in failed or (cell in seen and not is_graph):
            continue
        seen.add(cell)
        source = shell.transform_cell(rest if is_graph else cell)
        try:
            tree = ast.parse(source)
        except SyntaxError:  # a cell magic's, or a top-level await
            continue
        lines = source.splitlines()
        if is_graph:
            made = _graph_pieces(first, tree, lines, shell)
            names = {piece.graph for piece in made} - {""}
            found = [piece for piece in found if piece.graph not in names] + made
        else:
            found += [_piece([one], lines) for one in tree.body if is_definition(one)]
    return found


def _graph_pieces(first: str, tree: ast.Module, lines: list[str], shell: Any) -> list[_Piece]:
    """A %%graph cell: what stands up to its state class, then the rest inside `with Graph(…)`."""
    from nbagent.notebook.magic.parsers import graph_parser

    options = graph_parser(shell.user_ns).parse_args(split(first[8:]))
    name = options.name
    try:
        index, state = state_class(tree, options.state, shell.user_ns)
    except GraphError:
        return []
    before = [_piece([statement], lines) for statement in tree.body[: index + 1]]
    rest = _piece(tree.body[index + 1 :], lines)
    store = f", store={options.store!r}" if options.store else ""
    opening = f'with Graph("{name}", {state}{store}) as {name}:'
    rest.lines = [opening, *_indented("\n".join(rest.lines))]
    rest.uses = (rest.uses - rest.binds) | {state}
    rest.binds, rest.graph = {*rest.binds, name}, name
    for piece in before:
        piece.graph = name
    return [*before, rest]


def _piece(statements: list[ast.stmt], lines: list[str]) -> _Piece:
    texts: list[str] = []
    for statement in statements:
        decorators = getattr(statement, "decorator_list", [])
        start = min([statement.lineno, *(one.lineno for one in decorators)]) - 1
        while start and lines[start - 1].lstrip().startswith("#"):
            start -= 1
        if texts and start and not lines[start - 1].strip():
            texts.append("")
        texts += lines[start : statement.end_lineno]
    table = symtable.symtable("\n".join(texts), "cell", "exec")
    symbols = table.get_symbols()
    binds = {one.get_name() for one in symbols if one.is_assigned() or one.is_imported()}
    binds -= _only_in_comprehensions(statements)  # which Python 3.12 and later count as bound here
    binds |= {name for statement in statements for name in _changed(statement)}
    now = {one.get_name() for one in symbols if one.is_referenced()}
    uses = now | {name for child in table.get_children() for name in _globals_of(child)}
    uses |= {name for statement in statements for name in _in_annotations(statement)}
    is_function = all(
        isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)) for one in statements
    )
    return _Piece(texts, binds, uses, now, is_function)


def _globals_of(table: symtable.SymbolTable) -> Iterator[str]:
    """The names of the module that a scope, and those inside it, need."""
    for one in table.get_symbols():
        if one.is_global():
            yield one.get_name()
    for child in table.get_children():
        yield from _globals_of(child)


def _only_in_comprehensions(statements: list[ast.stmt]) -> set[str]:
    """Names that are nothing but the variable of a comprehension."""
    inside: set[str] = set()
    targets: set[ast.AST] = set()
    for one in (node for statement in statements for node in ast.walk(statement)):
        if isinstance(one, ast.comprehension):
            names = [name for name in ast.walk(one.target) if isinstance(name, ast.Name)]
            inside.update(name.id for name in names)
            targets.update(names)
    outside = {
        one.id
        for statement in statements
        for one in _top(statement)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store) and one not in targets
    }
    return inside - outside


def _changed(statement: ast.stmt) -> Iterator[str]:
    """What a statement changes without binding it: `x[1] = 2`, `x.y = 3`, `x.append(4)`."""
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, (ast.AugAssign, ast.AnnAssign)):
        targets = [statement.target]
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        targets = [statement.value.func]
    for target in targets:
        root: ast.expr = target
        while isinstance(root, (ast.Subscript, ast.Attribute)):
            root = root.value
        if root is not target and isinstance(root, ast.Name):
            yield root.id


def _in_annotations(statement: ast.stmt) -> Iterator[str]:
    """The names in annotations that are written as text."""
    for one in ast.walk(statement):
        annotation = getattr(one, "annotation", None) or getattr(one, "returns", None)
        for part in ast.walk(annotation) if isinstance(annotation, ast.AST) else ():
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                try:
                    inner = ast.parse(part.value, mode="eval")
                except SyntaxError:
                    continue
                yield from (name.id for name in ast.walk(inner) if isinstance(name, ast.Name))


def is_definition(statement: ast.stmt) -> bool:
    """Not a magic, not a value that is only shown, not something that waits."""
    names = {one.id for one in ast.walk(statement) if isinstance(one, ast.Name)}
    if "get_ipython" in names or any(isinstance(one, ast.Await) for one in _top(statement)):
        return False
    return not isinstance(statement, ast.Expr) or any(_changed(statement))


def _top(statement: ast.AST) -> Iterator[ast.AST]:
    """What runs with the statement itself, and not in a function that it defines."""
    yield statement
    if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        for child in ast.iter_child_nodes(statement):
            yield from _top(child)


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
