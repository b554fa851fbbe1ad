"""
The command `nbagent`: what is in a store, seen, answered and run without a notebook.

Rule 1: whatever it does, Python can. For people it prints tables, for programs `--json`; what nodes
        print goes to standard error.
Rule 2: the exit code is 0 when it was done, 1 for an error (a sentence on standard error), 2 for a
        command that was not understood, 3 for a thread that waits for a person or is paused.

click parses it, as it does for sqlite-utils, which is here anyway: help, completion, exit codes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from nbagent import __version__
from nbagent.engine.store import upkeep
from nbagent.engine.store.reports import threads as threads_table
from nbagent.engine.thread.leave_answer import leave_answer, open_questions
from nbagent.errors import NbagentError, nearest
from nbagent.service.console import (
    DEFAULT,
    answered,
    as_json,
    cell,
    ended,
    frame_rows,
    given_fields,
    graph_option,
    is_named,
    print_json,
    show_rows,
    store_meant,
    thread_id,
    with_graph,
)
from nbagent.stores.lookup import database as lookup
from nbagent.stores.lookup import rows as lookup_rows
from nbagent.stores.lookup.questions import question_facts

if TYPE_CHECKING:
    from nbagent.engine.store.protocol import CheckpointStore


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
    help=f"A store's URL, or the path of a file. Default: $NBAGENT_STORE, or {DEFAULT} here.",
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
    found = threads_table(store_meant(), nested=nested, where=where, order_by=order_by, limit=limit)
    rows = frame_rows(found)
    for row in rows:
        row["updated"] = str(row["updated"] or "").replace("T", " ")[:19]
    show_rows(rows, found.columns, as_json)


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
    store = store_meant()
    info = store.thread(thread_id(store, thread))
    if what == "diff":
        show_rows(_changes(store, thread), ["field", "before", "after"], as_json)
        return
    if what is not None:
        rows = lookup_rows.rows_of(what, store, thread)
        columns = [name for name in lookup_rows.COLUMNS[what] if name != "thread"]
        show_rows(rows, columns, as_json)
        return
    state = lookup_rows.state_of(store, thread, checkpoint)
    asked = open_questions(store, thread)
    if as_json:
        print_json({"thread": thread, "graph": info.graph, "status": info.status,
                     "step": info.step, "checkpoint": checkpoint or info.checkpoint,
                     "error": info.error, "state": state,
                     "questions": [question_facts(one) for one in asked]})  # fmt: skip
        return
    click.echo(f"{thread} · graph {info.graph} · {info.status} at super-step {info.step}")
    if info.error:
        click.echo(cell(info.error))
    rows = [{"field": name, "value": _text(value)} for name, value in state.items()]
    show_rows(rows, ["field", "value"], False)
    for question in asked:
        click.echo(f"asks ({question.id}): {cell(question.question)}")


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

    found = index.search(" ".join(words), store=store_meant(), limit=limit, plain=plain)
    columns = [name for name in found.columns if name != "updated"]
    show_rows(frame_rows(found), columns, as_json)


@nbagent.command()
@as_json
def inbox(as_json: bool) -> None:
    """All open questions of a store, the oldest first."""
    from nbagent.stores.lookup.questions import questions_of

    rows = questions_of(store_meant())
    show_rows(rows, ["thread", "graph", "node", "question", "deadline", "id"], as_json)


@nbagent.command()
@as_json
def sizes(as_json: bool) -> None:
    """What each field of each thread takes, the largest first."""
    found = upkeep.sizes(store_meant())
    show_rows(frame_rows(found), found.columns, as_json)


@nbagent.command()
def check() -> None:
    """Read all that is in a store, and say in words what is damaged."""
    from nbagent.service.check import problems

    store = store_meant()
    found = list(problems(store))
    for sentence in found:
        click.echo(cell(sentence))
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
    store = store_meant()
    id = thread_id(store, thread)
    asked = {one.id: one for one in open_questions(store, id)}
    one = asked.get(question) if question else next(iter(asked.values()), None)
    value = answered(" ".join(text), one.schema if one is not None else None)
    if where is not None:
        to_resume = with_graph(where, id)
        answers = {question or _only(asked, id): value}
        return ended(lambda: to_resume.resume(answers=answers), as_json)
    left = leave_answer(store, id, {question: value})
    told = one.question if one is not None else question
    click.echo(f"{id}: the answer to {cell(told)!r} is kept; {len(left)} more to answer", err=True)
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
    to_resume = with_graph(where, thread)
    return ended(lambda: to_resume.resume(take_over=take_over), as_json)


@nbagent.command()
@click.argument("thread")
@click.argument("fields", nargs=-1, required=True, metavar="FIELD=VALUE…")
@graph_option
@click.option("--note", default="", help="Why.")
def edit(thread: str, fields: tuple[str, ...], where: str | None, note: str) -> None:
    """Correct fields of a thread's state."""
    found = with_graph(where, thread)
    properties = found.program.schema.json_schema().get("properties", {})
    found.edit(given_fields(fields, properties), note=note or "from the command line")
    click.echo(f"{thread}: {', '.join(word.partition('=')[0] for word in fields)} set", err=True)


@nbagent.command()
@click.argument("thread")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(thread: str, yes: bool) -> None:
    """Throw a thread away, with those under it."""
    store = store_meant()
    id = thread_id(store, thread)
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
            store_meant(), keep=keep, status=status or None, older_than=seconds, dry_run=dry_run
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    show_rows(frame_rows(found), found.columns, as_json)


# ----------------------------------------------------------------------------------------- files


@nbagent.command()
@click.argument("thread")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--plain", is_flag=True, help="In the clear, also from an encrypted store.")
def export(thread: str, path: Path, plain: bool) -> None:
    """Write a thread, with its whole history, to a store file of its own."""
    store = store_meant()
    upkeep.export(store, thread_id(store, thread), path, plain=plain)
    click.echo(str(path))


@nbagent.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--key-env", help="The environment variable with the file's key.")
@click.option("--plain", is_flag=True, help="Write in the clear what the file has encrypted.")
def import_(path: Path, key_env: str | None, plain: bool) -> None:
    """Copy the threads of an exported file into the store."""
    found = upkeep.import_threads(
        path, store_meant(must_exist=False), key_env=key_env, plain=plain
    )  # fmt: skip
    for id in found:
        click.echo(id)


@nbagent.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--plain", is_flag=True, help="Also from an encrypted store.")
def tables(path: Path, plain: bool) -> None:
    """Write all threads as plain tables: PATH.db for Datasette, PATH.xlsx, else a folder of CSV."""
    click.echo(str(lookup.export_tables(path, store_meant(), plain=plain)))


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
    store = store_meant(must_exist=False) if is_named() else found.store
    to_start = Thread(thread or new_id(found.name), program=found.compile(), store=store)
    properties = to_start.program.schema.json_schema().get("properties", {})
    given = given_fields(fields, properties)
    return ended(lambda: to_start.start(given, fresh=fresh), as_json)


@nbagent.command()
@click.argument("where", metavar="FILE[:NAME]")
@click.option(
    "--concurrency", type=click.IntRange(1), default=4, show_default=True, help="Threads at once."
)
@click.option(
    "--poll",
    type=float,
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks at the store.",
)
@click.option("--once", is_flag=True, help="End when there is nothing to do.")
def worker(where: str, concurrency: int, poll: float, once: bool) -> None:
    """Run what waits for nobody: threads that were answered, are due, or whose owner is dead; and
    those that a schedule() starts. SIGTERM or Ctrl-C ends it at a super-step's end."""
    import logging
    import signal

    from nbagent.service.graphs import graphs_in
    from nbagent.service.worker import Worker

    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("nbagent").setLevel(logging.INFO)
    found = graphs_in(where)
    store = store_meant(must_exist=False) if is_named() else None
    made = Worker(found, store, concurrency=concurrency, poll=poll)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: made.stop())
    logging.getLogger("nbagent.worker").info("works on %s", ", ".join(found))
    made.run(once=once)


@nbagent.command()
@click.argument("where", metavar="FILE[:NAME]")
@click.option("--port", type=int, default=8765, show_default=True)
@click.option("--token", envvar="NBAGENT_TOKEN", help="Default: $NBAGENT_TOKEN, or a new one.")
def serve(where: str, port: int, token: str | None) -> None:
    """Start, watch and answer threads over HTTP, on this machine; /docs shows how."""
    import secrets

    from nbagent.service.graphs import graphs_in

    try:
        from nbagent.service.serve import serve as serve_
    except ImportError as missing:
        raise NbagentError(
            f'{missing.name} serves it: pip install "nbagent-jupyter[service]"'
        ) from None
    found = graphs_in(where)
    store = store_meant(must_exist=False) if is_named() else None
    chosen = token or secrets.token_urlsafe(24)
    if token is None:
        click.echo(f"token: {chosen}", err=True)
    click.echo(f"http://127.0.0.1:{port}/docs", err=True)
    serve_(found, store, port=port, token=chosen)


def _complete_thread(context: click.Context, parameter: Any, begun: str) -> list[CompletionItem]:
    root = context.find_root()
    root.obj = root.params.get("store")
    try:
        with context:
            ids = [info.id for info in store_meant().threads() if not info.is_nested]
    except Exception:
        return []  # nothing to offer is no reason to stop a person who types
    return [CompletionItem(id) for id in ids if id.startswith(begun)][:200]


for _command in (show, answer, resume, edit, delete, export):
    _command.params[0]._custom_shell_complete = _complete_thread
