"""
A %%graph cell: ordinary Python whose functions become nodes. (C1)

Rule 1: the cell is compiled as it stands, so tracebacks and `inspect.getsource` find its lines.
Rule 2: what stands up to the state class runs first, then the graph is made, then the rest.
Rule 3: a mistake in the wiring is a `GraphError` at the user's line. A mistake leaves the
        notebook's variable of the graph's name as it was.
"""

from __future__ import annotations

import ast
import operator
import re
import typing
from typing import Any

from nbagent.engine.model.approval import Approval
from nbagent.engine.model.channels import Ephemeral, Topic
from nbagent.engine.model.policy import Retry
from nbagent.engine.model.program import Command, Send
from nbagent.engine.model.values import thaw
from nbagent.engine.node.approve import approve
from nbagent.engine.node.context import emit
from nbagent.engine.node.effects import aeffect, effect, idempotency_key
from nbagent.engine.node.interrupts import interrupt
from nbagent.errors import GraphError, Location, nearest
from nbagent.graph.builder import END, START, Graph, NodeFunction, branch, each, node

# What a cell may use without importing it; a name that the notebook has defined is left alone.
WORDS: dict[str, Any] = {
    **{"END": END, "START": START, "branch": branch, "each": each, "node": node},
    **{
        "Approval": Approval,
        "Command": Command,
        "Retry": Retry,
        "Send": Send,
        "approve": approve,
        "emit": emit,
        "interrupt": interrupt,
        "thaw": thaw,
    },
    **{"Ephemeral": Ephemeral, "Topic": Topic, "operator": operator, "Any": Any},
    **{"Annotated": typing.Annotated, "Literal": typing.Literal},
    **{"NotRequired": typing.NotRequired, "TypedDict": typing.TypedDict},
    **{"aeffect": aeffect, "effect": effect, "idempotency_key": idempotency_key},
}


def define(name: str, cell: str, shell: Any, *, store: str | None, state: str | None) -> Graph:
    """Run a %%graph cell and give the graph that it defines."""
    namespace: dict[str, Any] = shell.user_ns
    for word, meaning in WORDS.items():
        namespace.setdefault(word, meaning)

    # The magic's own line is line 1 of what the user sees; IPython drops blank lines at the top.
    blank = re.match(r"(?:[^\S\n]*\n)*", cell)
    above = "\n" * (1 + (blank[0].count("\n") if blank else 0))
    source = "\n" + cell
    try:
        source = above + shell.transform_cell(cell)
        # IPython counts on before the cell runs: its own number is the one before.
        filename = shell.compile.cache(source, shell.execution_count - 1)
        tree = ast.parse(source, filename)
    except SyntaxError as error:
        place = Location(shell.compile.cache(source, shell.execution_count - 1), error.lineno or 1)
        raise GraphError(f"this is not Python: {error.msg}", location=place) from None
    index, class_name = state_class(tree, state, namespace)
    _check_name(name, class_name, tree, namespace, filename)
    location: Location | None = None
    try:
        execute(tree.body[: index + 1], filename, namespace)
        graph = Graph(name, namespace[class_name], store=store)
        graph.location = Location(filename, 1)
        with graph:
            execute(tree.body[index + 1 :], filename, namespace)
    except NameError as error:
        location = _line_of(error, filename)
        if location is None:
            raise
        raise GraphError(_undefined(error, namespace), location=location) from None
    except TypeError as error:
        if (called := _called_node(error, filename, tree, namespace)) is None:
            raise
        raise called.with_traceback(None) from None
    except GraphError as error:
        if error.location is None:
            error.location = _field_line(tree, index, filename, str(error))
        raise error.with_traceback(None) from None
    return graph


def _check_name(
    name: str, state: str, tree: ast.Module, namespace: dict[str, Any], filename: str
) -> None:
    """`GraphError` for a graph that would take the name of something that its cell needs."""
    mend = f"give the graph another name, as in `%%graph my_{name.lower()}`"
    if name == state:
        raise GraphError(f"graph and state class are both named {name!r}: {mend}")
    if name in WORDS and namespace.get(name) is WORDS[name]:
        raise GraphError(f"{name!r} is what nbagent calls something else in a cell: {mend}")
    for statement in tree.body:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        if isinstance(statement, kinds) and statement.name == name:
            is_node = bool(statement.decorator_list) and not isinstance(statement, ast.ClassDef)
            what = "node" if is_node else "something in its cell"
            raise GraphError(
                f"graph and {what} are both named {name!r}: rename one of them",
                location=Location(filename, statement.lineno),
            )


def state_class(tree: ast.Module, state: str | None, namespace: dict[str, Any]) -> tuple[int, str]:
    """The index of the state class in the cell (-1: it is defined elsewhere) and its name."""
    classes = {
        node.name: index for index, node in enumerate(tree.body) if isinstance(node, ast.ClassDef)
    }
    wanted = state or "State"
    if wanted in classes:
        return classes[wanted], wanted
    if wanted in namespace:
        return -1, wanted
    if state is None and len(classes) == 1:
        name, index = next(iter(classes.items()))
        return index, name
    raise GraphError(
        f"the cell defines no state class {wanted!r}{nearest(wanted, classes)}: begin it with "
        "`class State(TypedDict):`, or name another class with `%%graph NAME --state CLASS`"
    )


def execute(body: list[ast.stmt], filename: str, namespace: dict[str, Any]) -> None:
    if body:
        code = compile(ast.Module(body=body, type_ignores=[]), filename, "exec", dont_inherit=True)
        exec(code, namespace)


def _line_of(error: BaseException, filename: str) -> Location | None:
    """The cell's own line that raised, when it is the wiring and not inside a function."""
    frame = error.__traceback__
    last = None
    while frame is not None:
        last = frame
        frame = frame.tb_next
    if last is None or last.tb_frame.f_code.co_filename != filename:
        return None
    if last.tb_frame.f_code.co_name != "<module>":
        return None
    return Location(filename, last.tb_lineno)


def _called_node(
    error: TypeError, filename: str, tree: ast.Module, namespace: dict[str, Any]
) -> GraphError | None:
    """The error for `START >> plan() >> END`, where a node was called instead of named."""
    lines = []
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == filename:
            lines.append((frame.tb_frame.f_code.co_name, frame.tb_lineno))
        frame = frame.tb_next
    if [name for name, _ in lines] != ["<module>"]:
        return None
    line = lines[0][1]
    for one in ast.walk(tree):
        if isinstance(one, ast.Call) and one.lineno <= line <= (one.end_lineno or 0):
            name = one.func.id if isinstance(one.func, ast.Name) else ""
            if isinstance(namespace.get(name), NodeFunction):
                return GraphError(
                    f"the wiring names a node and does not call it: write {name}, not {name}(…)",
                    location=Location(filename, line),
                )
    return None


def _undefined(error: NameError, namespace: dict[str, Any]) -> str:
    name = error.name or ""
    nodes = [key for key, value in namespace.items() if isinstance(value, NodeFunction)]
    near = nearest(name, nodes) or nearest(name, [k for k in namespace if not k.startswith("_")])
    return f"{name!r} is not defined{near}: define it with @node above this line, or mend the name"


def _field_line(tree: ast.Module, index: int, filename: str, message: str) -> Location | None:
    """The line of the state field that the message names."""
    found = re.search(r"field '(\w+)'", message)
    if found is None or index < 0:
        return Location(filename, 1)
    body = tree.body[index]
    assert isinstance(body, ast.ClassDef)
    for line in body.body:
        target = line.target if isinstance(line, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id == found.group(1):
            return Location(filename, line.lineno)
    return Location(filename, body.lineno)
