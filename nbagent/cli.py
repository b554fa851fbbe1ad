"""
The command `nbagent`: what is in a store, seen, answered and run without a notebook.

Rule 1: whatever it does, Python can. For people it prints tables, for programs `--json`; what nodes
        print goes to standard error.
Rule 2: the exit code is 0 when it was done, 1 for an error (a sentence on standard error), 2 for a
        command that was not understood, 3 for a thread that waits for a person or is paused.

click parses it, as it does for sqlite-utils, which is here anyway: help, completion, exit codes.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from nbagent import __version__
from nbagent.engine.model.readable import to_plain
from nbagent.engine.store import upkeep
from nbagent.engine.store.opening import resolve_store
from nbagent.engine.store.reports import threads as threads_table
from nbagent.engine.thread.leave_answer import leave_answer, open_questions
from nbagent.errors import NbagentError, UnknownThread, nearest
from nbagent.stores.lookup import database as lookup
from nbagent.stores.lookup import rows as lookup_rows

if TYPE_CHECKING:
    from nbagent.engine.store.protocol import CheckpointStore
    from nbagent.engine.thread.run import Run
    from nbagent.engine.thread.thread import Thread

WAITS = 3
_DEFAULT = "nbagent.db"


class _Group(click.Group):
    """Errors of nbagent's own are sentences; a name that is nearly a command's is told."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except NbagentError as error:
            click.echo(f"nbagent: {error}", err=True)
            context.exit(1)

    def resolve_command(self, context: click.Context, args: list[str]) -> Any:
        name = args[0] if args else ""
        if name and not name.startswith("-") and self.get_command(context, name) is None:
            raise click.UsageError(f"there is no command {name!r}{nearest(name, self.commands)}")
        return super().resolve_command(context, args)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--store",
    envvar="NBAGENT_STORE",
    metavar="URL",
    help=f"A store's URL, or the path of a file. Default: $NBAGENT_STORE, or {_DEFAULT} here.",
)
@click.version_option(__version__, prog_name="nbagent")
@click.pass_context
def nbagent(context: click.Context, store: str | None) -> None:
    """Look into a store of threads, answer what they ask, and run them.

    For completion in bash: eval "$(_NBAGENT_COMPLETE=bash_source nbagent)"
    """
    context.obj = store


def main(arguments: list[str] | None = None) -> int:
    """Run the command; its exit code."""
    try:
        done = nbagent.main(arguments, prog_name="nbagent", standalone_mode=False)
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return done if isinstance(done, int) else 0


# --------------------------------------------------------------------------------------- helpers

as_json = click.option("--json", "as_json", is_flag=True, help="For programs: JSON, not a table.")
graph_option = click.option(
    "--graph",
    "where",
    metavar="FILE[:NAME]",
    help="The graph that runs it: FILE.py, FILE.ipynb or a module, and its NAME if it has several.",
)


def _store(*, must_exist: bool = True) -> CheckpointStore:
    """The store that --store names. One that is only looked at is not made."""
    named: str | None = click.get_current_context().find_root().obj
    url: Any = named if named and "://" in named else Path(named or _DEFAULT)
    if must_exist and isinstance(url, Path) and not url.is_file():
        raise NbagentError(
            f"there is no store {url}: name one with --store PATH-OR-URL, or set NBAGENT_STORE"
        )
    return resolve_store(url)


def _thread_id(store: CheckpointStore, id: str) -> str:
    try:
        return store.thread(id).id
    except UnknownThread as error:
        known = [info.id for info in store.threads() if not info.is_nested]
        raise UnknownThread(f"{error}{nearest(id, known)}", thread=id) from None


def _show(rows: Iterable[Mapping[str, Any]], columns: Iterable[str], json_: bool) -> None:
    """A table for people, or a JSON list."""
    rows, columns = list(rows), list(columns)
    if json_:
        _print_json([{name: row.get(name) for name in columns} for row in rows])
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
        table.add_row(*(Text(_cell(row.get(name))) for name in used or columns))
    console.print(table, width=None if sys.stdout.isatty() else 10_000)
    if not rows:
        console.print("(none)")


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return "".join(sign if sign.isprintable() or sign == "\n" else "\N{REPLACEMENT CHARACTER}"
                   for sign in text)  # fmt: skip


def _print_json(value: Any) -> None:
    click.echo(json.dumps(to_plain(value), ensure_ascii=False, indent=2))


def _frame_rows(frame: Any) -> list[dict[str, Any]]:
    """A DataFrame's rows with what JSON can say: a moment is text, nothing is None."""
    records = json.loads(frame.to_json(orient="records", date_format="iso", default_handler=str))
    return [dict(record) for record in records]


def _given(words: Iterable[str], properties: Mapping[str, Any]) -> dict[str, Any]:
    from nbagent.graph.schema import takes_text

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
        schema = properties.get(name)
        found[name] = text if schema is not None and takes_text(schema) else _value(text)
    return found


def _answered(text: str, schema: Mapping[str, Any] | None) -> Any:
    """What a person typed, as the question takes it: text as it is, yes and no as a bool."""
    from nbagent.graph.schema import takes_text

    if schema is not None and takes_text(schema):
        return text
    if schema is not None and schema.get("type") == "boolean":
        return {"yes": True, "y": True, "no": False, "n": False}.get(text.lower(), _value(text))
    return _value(text)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _with_graph(where: str | None, id: str) -> Thread:
    """The thread as its graph in a file has it; without --store in the store of that graph."""
    from nbagent.engine.thread.thread import Thread
    from nbagent.service.graphs import graphs_in

    if where is None:
        raise click.UsageError("the code of its graph is needed: --graph FILE.py[:NAME]")
    found = graphs_in(where)
    stores = (
        [_store()] if _is_named() else list(dict.fromkeys(graph.store for graph in found.values()))
    )
    for store in stores:
        with contextlib.suppress(UnknownThread):
            info = store.thread(id)
            if info.graph not in found:
                named = ", ".join(found)
                raise NbagentError(
                    f"thread {id!r} is of graph {info.graph!r}, and {where} has {named}"
                )
            return Thread(id, program=found[info.graph].compile(), store=store)
    _thread_id(stores[0], id)
    raise AssertionError


def _is_named() -> bool:
    return bool(click.get_current_context().find_root().obj)


def _ended(begin: Callable[[], Run], json_: bool) -> int:
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
        _print_json({"thread": thread.id, "status": thread.status, "state": values,
                     "questions": [_question(one) for one in thread.questions]})  # fmt: skip
    else:
        _print_json(values)
    for question in thread.questions:
        click.echo(f"{thread.id} asks: {question.question}", err=True)
        which = f" --question {question.id}" if len(thread.questions) > 1 else ""
        click.echo(f'  nbagent answer {thread.id} "…"{which}', err=True)
    return 0 if thread.status == "done" else WAITS


def _question(question: Any) -> dict[str, Any]:
    return {
        "id": question.id, "node": question.node, "question": question.question,
        "show": list(question.show), "schema": question.schema,
        "deadline": lookup_rows.moment(question.deadline),
    }  # fmt: skip


# --------------------------------------------------------------------------------------- looking


@nbagent.command()
@click.option("--where", help="A condition in SQL, as in \"status = 'waiting'\".")
@click.option("--order-by", help="Columns in SQL, as in 'graph, updated desc'.")
@click.option("--limit", type=int, help="So many at most.")
@click.option("--nested", is_flag=True, help="Those of subgraphs, too.")
@as_json
def threads(
    where: str | None, order_by: str | None, limit: int | None, nested: bool, as_json: bool
) -> None:
    """All threads, newest first, or those that you ask for."""
    found = threads_table(_store(), nested=nested, where=where, order_by=order_by, limit=limit)
    rows = _frame_rows(found)
    for row in rows:
        row["updated"] = str(row["updated"] or "").replace("T", " ")[:19]
    _show(rows, found.columns, as_json)


@nbagent.command()
@click.argument("thread")
@click.option("--history", "what", flag_value="history", help="Its checkpoints.")
@click.option("--trace", "what", flag_value="trace", help="Where the time went.")
@click.option("--questions", "what", flag_value="questions", help="All that it asked.")
@click.option("--effects", "what", flag_value="effects", help="What it did outside.")
@click.option("--printed", "what", flag_value="printed", help="What its nodes printed.")
@click.option("--diff", "what", flag_value="diff", help="What its last checkpoint changed.")
@click.option("--checkpoint", type=int, help="Its state at that checkpoint.")
@as_json
def show(thread: str, what: str | None, checkpoint: int | None, as_json: bool) -> None:
    """A thread: its state and what it asks, or something else of it. Its graph is not needed."""
    store = _store()
    info = store.thread(_thread_id(store, thread))
    if what == "diff":
        _show(_changes(store, thread), ["field", "before", "after"], as_json)
        return
    if what is not None:
        rows = lookup_rows.rows_of(what, store, thread)
        columns = [name for name in lookup_rows.COLUMNS[what] if name != "thread"]
        _show(rows, columns, as_json)
        return
    state = lookup_rows.state_of(store, thread, checkpoint)
    asked = open_questions(store, thread)
    if as_json:
        _print_json({"thread": thread, "graph": info.graph, "status": info.status,
                     "step": info.step, "checkpoint": checkpoint or info.checkpoint,
                     "error": info.error, "state": state,
                     "questions": [_question(one) for one in asked]})  # fmt: skip
        return
    click.echo(f"{thread} · graph {info.graph} · {info.status} at super-step {info.step}")
    if info.error:
        click.echo(_cell(info.error))
    rows = [{"field": name, "value": _text(value)} for name, value in state.items()]
    _show(rows, ["field", "value"], False)
    for question in asked:
        click.echo(f"asks ({question.id}): {_cell(question.question)}")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _changes(store: CheckpointStore, thread: str) -> list[dict[str, Any]]:
    history = store.history(thread)
    if not history:
        return []
    last = history[-1]
    after = lookup_rows.state_of(store, thread, last.id)
    before = {} if last.parent is None else lookup_rows.state_of(store, thread, last.parent)
    return [
        {"field": name, "before": before.get(name), "after": after.get(name)}
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]


@nbagent.command()
@click.argument("words", nargs=-1, required=True)
@click.option("--limit", type=int, default=50, show_default=True, help="So many places.")
@click.option("--plain", is_flag=True, help="Also in an encrypted store.")
@as_json
def search(words: tuple[str, ...], limit: int, plain: bool, as_json: bool) -> None:
    """Where words stand: in states, questions, printed output, errors and ids."""
    from nbagent.stores.lookup import index

    found = index.search(" ".join(words), store=_store(), limit=limit, plain=plain)
    columns = [name for name in found.columns if name != "updated"]
    _show(_frame_rows(found), columns, as_json)


@nbagent.command()
@as_json
def inbox(as_json: bool) -> None:
    """All open questions of a store, the oldest first."""
    from nbagent.service.inbox import questions_of

    rows = questions_of(_store())
    _show(rows, ["thread", "graph", "node", "question", "deadline", "id"], as_json)


@nbagent.command()
@as_json
def sizes(as_json: bool) -> None:
    """What each field of each thread takes, the largest first."""
    found = upkeep.sizes(_store())
    _show(_frame_rows(found), found.columns, as_json)


@nbagent.command()
def check() -> None:
    """Read all that is in a store, and say in words what is damaged."""
    from nbagent.service.check import problems

    store = _store()
    found = list(problems(store))
    for sentence in found:
        click.echo(_cell(sentence))
    if found:
        raise NbagentError(f"{len(found)} problem{'s' if len(found) > 1 else ''} in {store!r}")
    click.echo(f"{store!r}: all is whole ({len(store.threads())} threads)")


# -------------------------------------------------------------------------------------- changing


@nbagent.command()
@click.argument("thread")
@click.argument("text", nargs=-1, required=True)
@click.option("--question", default="", help="Which question, where several are open: its id.")
@graph_option
@as_json
def answer(
    thread: str, text: tuple[str, ...], question: str, where: str | None, as_json: bool
) -> int:
    """Answer what a thread asks: text, or JSON. With --graph it goes on at once; without it the
    answer is kept, and whoever runs the graph next goes on with it."""
    store = _store()
    id = _thread_id(store, thread)
    asked = {one.id: one for one in open_questions(store, id)}
    one = asked.get(question) if question else next(iter(asked.values()), None)
    value = _answered(" ".join(text), one.schema if one is not None else None)
    if where is not None:
        to_resume = _with_graph(where, id)
        answers = {question or _only(asked, id): value}
        return _ended(lambda: to_resume.resume(answers=answers), as_json)
    left = leave_answer(store, id, {question: value})
    told = one.question if one is not None else question
    click.echo(f"{id}: the answer to {_cell(told)!r} is kept; {len(left)} more to answer", err=True)
    return 0


def _only(asked: Mapping[str, Any], thread: str) -> str:
    if len(asked) != 1:
        known = ", ".join(asked) or "none"
        raise NbagentError(f"say which with --question ID (thread {thread!r} asks: {known})")
    return next(iter(asked))


@nbagent.command()
@click.argument("thread")
@graph_option
@click.option("--take-over", is_flag=True, help="From whoever runs it now.")
@as_json
def resume(thread: str, where: str | None, take_over: bool, as_json: bool) -> int:
    """Go on with a thread that was paused, stopped, has failed or was answered."""
    to_resume = _with_graph(where, thread)
    return _ended(lambda: to_resume.resume(take_over=take_over), as_json)


@nbagent.command()
@click.argument("thread")
@click.argument("fields", nargs=-1, required=True, metavar="FIELD=VALUE…")
@graph_option
@click.option("--note", default="", help="Why.")
def edit(thread: str, fields: tuple[str, ...], where: str | None, note: str) -> None:
    """Correct fields of a thread's state."""
    found = _with_graph(where, thread)
    properties = found.program.schema.json_schema().get("properties", {})
    found.edit(_given(fields, properties), note=note or "from the command line")
    click.echo(f"{thread}: {', '.join(word.partition('=')[0] for word in fields)} set", err=True)


@nbagent.command()
@click.argument("thread")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(thread: str, yes: bool) -> None:
    """Throw a thread away, with those under it."""
    store = _store()
    id = _thread_id(store, thread)
    if not yes:
        click.confirm(f"Throw thread {id!r} away?", abort=True)
    upkeep.delete(store, id)


@nbagent.command()
@click.option("--keep", type=int, help="Of each thread, so many of its latest checkpoints.")
@click.option("--status", multiple=True, help="Whole threads of this status.")
@click.option("--older-than", type=float, metavar="DAYS", help="Only what is older than this.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and do nothing.")
@as_json
def prune(
    keep: int | None,
    status: tuple[str, ...],
    older_than: float | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Thin out a store: old checkpoints, or whole threads."""
    seconds = None if older_than is None else older_than * 86400
    try:
        found = upkeep.prune(
            _store(), keep=keep, status=status or None, older_than=seconds, dry_run=dry_run
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    _show(_frame_rows(found), found.columns, as_json)


# ----------------------------------------------------------------------------------------- files


@nbagent.command()
@click.argument("thread")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--plain", is_flag=True, help="In the clear, also from an encrypted store.")
def export(thread: str, path: Path, plain: bool) -> None:
    """Write a thread, with its whole history, to a store file of its own."""
    store = _store()
    upkeep.export(store, _thread_id(store, thread), path, plain=plain)
    click.echo(str(path))


@nbagent.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--key-env", help="The environment variable with the file's key.")
@click.option("--plain", is_flag=True, help="Write in the clear what the file has encrypted.")
def import_(path: Path, key_env: str | None, plain: bool) -> None:
    """Copy the threads of an exported file into the store."""
    found = upkeep.import_threads(
        path, _store(must_exist=False), key_env=key_env, plain=plain
    )  # fmt: skip
    for id in found:
        click.echo(id)


@nbagent.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--plain", is_flag=True, help="Also from an encrypted store.")
def tables(path: Path, plain: bool) -> None:
    """Write all threads as plain tables: PATH.db for Datasette, PATH.xlsx, else a folder of CSV."""
    click.echo(str(lookup.export_tables(path, _store(), plain=plain)))


# --------------------------------------------------------------------------------------- running


@nbagent.command()
@click.argument("where", metavar="FILE[:NAME]")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "svg", "png", "pdf", "dot", "mermaid"]),
    help="Default: by OUTPUT's ending, else text.",
)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="A file to write.")
def graph(where: str, format_: str | None, output: Path | None) -> None:
    """Draw the graph of a file: FILE.py, FILE.ipynb or a module."""
    from nbagent.service.graphs import graph_in

    ending = output.suffix.lstrip(".").lower() if output is not None else ""
    chosen: Any = format_ or {"mmd": "mermaid", "gv": "dot", "txt": "text"}.get(ending, ending)
    picture = graph_in(where).draw(chosen or "text")
    if output is not None:
        data = picture if isinstance(picture, bytes) else picture.encode()
        output.write_bytes(data)
        click.echo(str(output))
    elif isinstance(picture, bytes):
        if sys.stdout.isatty():
            raise click.UsageError(f"a {chosen} is for a file: -o NAME.{chosen}")
        sys.stdout.buffer.write(picture)
    else:
        click.echo(picture)


@nbagent.command()
@click.argument("where", metavar="FILE[:NAME]")
@click.argument("fields", nargs=-1, metavar="FIELD=VALUE…")
@click.option("--thread", help="Its id. Default: a new one.")
@click.option("--fresh", is_flag=True, help="From the beginning, also where it has run before.")
@as_json
def run(where: str, fields: tuple[str, ...], thread: str | None, fresh: bool, as_json: bool) -> int:
    """Run a graph to its end, or to a question; its last state as JSON."""
    from nbagent.engine.thread.thread import Thread
    from nbagent.graph.builder import new_id
    from nbagent.service.graphs import graph_in

    found = graph_in(where)
    store = _store(must_exist=False) if _is_named() else found.store
    to_start = Thread(thread or new_id(found.name), program=found.compile(), store=store)
    properties = to_start.program.schema.json_schema().get("properties", {})
    given = _given(fields, properties)
    return _ended(lambda: to_start.start(given, fresh=fresh), as_json)


def _complete_thread(context: click.Context, parameter: Any, begun: str) -> list[CompletionItem]:
    root = context.find_root()
    root.obj = root.params.get("store")
    try:
        with context:
            ids = [info.id for info in _store().threads() if not info.is_nested]
    except Exception:
        return []  # nothing to offer is no reason to stop a person who types
    return [CompletionItem(id) for id in ids if id.startswith(begun)][:200]


for _command in (show, answer, resume, edit, delete, export):
    _command.params[0]._custom_shell_complete = _complete_thread
