"""
What the commands of `nbagent` share: which store and which thread is meant, and how it is shown.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbagent.engine.model.readable import to_plain
from nbagent.engine.store.opening import resolve_store
from nbagent.errors import NbagentError, UnknownThread, nearest
from nbagent.stores.lookup.questions import question_facts

if TYPE_CHECKING:
    from nbagent.engine.store.protocol import CheckpointStore
    from nbagent.engine.thread.run import Run
    from nbagent.engine.thread.thread import Thread

WAITS = 3
DEFAULT = "nbagent.db"

as_json = click.option("--json", "as_json", is_flag=True, help="For programs: JSON, not a table.")
graph_option = click.option(
    "--graph",
    "where",
    metavar="FILE[:NAME]",
    help="The graph that runs it: FILE.py, FILE.ipynb or a module, and its NAME if it has several.",
)


def store_meant(*, must_exist: bool = True) -> CheckpointStore:
    """The store that --store names. One that is only looked at is not made."""
    named: str | None = click.get_current_context().find_root().obj
    url: Any = named if named and "://" in named else Path(named or DEFAULT)
    if must_exist and isinstance(url, Path) and not url.is_file():
        raise NbagentError(
            f"there is no store {url}: name one with --store PATH-OR-URL, or set NBAGENT_STORE"
        )
    return resolve_store(url)


def thread_id(store: CheckpointStore, id: str) -> str:
    try:
        return store.thread(id).id
    except UnknownThread as error:
        known = [info.id for info in store.threads() if not info.is_nested]
        raise UnknownThread(f"{error}{nearest(id, known)}", thread=id) from None


def show_rows(rows: Iterable[Mapping[str, Any]], columns: Iterable[str], json_: bool) -> None:
    """A table for people, or a JSON list."""
    rows, columns = list(rows), list(columns)
    if json_:
        print_json([{name: row.get(name) for name in columns} for row in rows])
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(soft_wrap=not sys.stdout.isatty())
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    used = [name for name in columns if any(row.get(name) not in (None, "") for row in rows)]
    for name in used or columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(row.get(name))) for name in used or columns))
    console.print(table, width=None if sys.stdout.isatty() else 10_000)
    if not rows:
        console.print("(none)")


def cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return "".join(sign if sign.isprintable() or sign == "\n" else "\N{REPLACEMENT CHARACTER}"
                   for sign in text)  # fmt: skip


def print_json(value: Any) -> None:
    click.echo(json.dumps(to_plain(value), ensure_ascii=False, indent=2))


def frame_rows(frame: Any) -> list[dict[str, Any]]:
    """A DataFrame's rows with what JSON can say: a moment is text, nothing is None."""
    records = json.loads(frame.to_json(orient="records", date_format="iso", default_handler=str))
    return [dict(record) for record in records]


def given_fields(words: Iterable[str], properties: Mapping[str, Any]) -> dict[str, Any]:
    from nbagent.script import read_value

    found = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise click.UsageError(f"{word!r} is not FIELD=VALUE")
        if properties and name not in properties:
            fields = ", ".join(properties)
            raise NbagentError(
                f"{name!r} is not a field{nearest(name, properties)}: there are {fields}"
            )
        found[name] = read_value(text, properties.get(name))
    return found


def answered(text: str, schema: Mapping[str, Any] | None) -> Any:
    """What a person typed, as the question takes it: text as it is, yes and no as a bool."""
    from nbagent.script import read_value

    words = {"yes": True, "y": True, "no": False, "n": False}
    if schema is not None and schema.get("type") == "boolean" and text.lower() in words:
        return words[text.lower()]
    return read_value(text, schema)


def with_graph(where: str | None, id: str) -> Thread:
    """The thread as its graph in a file has it; without --store in the store of that graph."""
    from nbagent.engine.thread.thread import Thread
    from nbagent.service.graphs import graphs_in

    if where is None:
        raise click.UsageError("the code of its graph is needed: --graph FILE.py[:NAME]")
    found = graphs_in(where)
    own = dict.fromkeys(graph.store for graph in found.values())
    stores = [store_meant()] if is_named() else list(own)
    for store in stores:
        with contextlib.suppress(UnknownThread):
            info = store.thread(id)
            if info.graph not in found:
                named = ", ".join(found)
                raise NbagentError(
                    f"thread {id!r} is of graph {info.graph!r}, and {where} has {named}"
                )
            return Thread(id, program=found[info.graph].compile(), store=store)
    thread_id(stores[0], id)
    raise AssertionError


def is_named() -> bool:
    return bool(click.get_current_context().find_root().obj)


def ended(begin: Callable[[], Run], json_: bool) -> int:
    """Run to the end, and show how that was; the exit code."""
    with contextlib.redirect_stdout(sys.stderr):
        run = begin()
        try:
            run.result()
        except KeyboardInterrupt:
            click.echo(f"paused; go on with: nbagent resume {run.thread.id}", err=True)
            return WAITS
    thread = run.thread
    values = thread.program.schema.to_json(thread.latest().checkpoint.values)
    if json_:
        print_json({"thread": thread.id, "status": thread.status, "state": values,
                     "questions": [question_facts(one) for one in thread.questions]})  # fmt: skip
    else:
        print_json(values)
    for question in thread.questions:
        click.echo(f"{thread.id} asks: {question.question}", err=True)
        which = f" --question {question.id}" if len(thread.questions) > 1 else ""
        click.echo(f'  nbagent answer {thread.id} "…"{which}', err=True)
    return 0 if thread.status == "done" else WAITS
