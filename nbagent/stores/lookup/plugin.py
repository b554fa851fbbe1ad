"""
A plugin of sqlite-utils: `sqlite-utils nbagent threads agents.db`, and SQL functions that read what
a checkpoint file holds, in whatever is opened with sqlite-utils.

    nbagent_value(data)               a stored value, as JSON
    nbagent_state(thread)             a thread's state, as JSON; with a checkpoint, its state there
    nbagent_threads()                 all threads, as a JSON list
    nbagent_history_rows(thread)      and so on: see `lookup.rows`

sqlite-utils finds it by its entry point; nothing of nbagent imports it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from sqlite_utils import hookimpl

from nbagent.engine.model.readable import to_json
from nbagent.engine.store.opening import resolve_store
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.errors import NbagentError, StoreError
from nbagent.stores.codec.values import decode, to_look
from nbagent.stores.lookup.database import refuse_hidden, views
from nbagent.stores.lookup.index import search as find
from nbagent.stores.lookup.rows import COLUMNS, rows_of, state_of, thread_rows


@hookimpl
def prepare_connection(conn: sqlite3.Connection) -> None:
    """Give a connection the functions; they open the store when they are called, not before."""

    def store() -> CheckpointStore:
        (path,) = [row[2] for row in conn.execute("PRAGMA database_list") if row[1] == "main"]
        if not path or not _is_store(conn):
            raise StoreError("this is no file of nbagent's")
        return _opened(Path(path))

    conn.create_function("nbagent_value", 1, _value, deterministic=True)
    for _ in views(conn, store):
        pass  # the functions alone: a view of ours would stand among the file's own


@hookimpl
def register_commands(cli: click.Group) -> None:
    """`sqlite-utils nbagent …`."""

    @cli.group(name="nbagent")
    def nbagent() -> None:
        "Look into a file of nbagent's: its threads, their states, what stands in them"

    path = click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))

    @nbagent.command()
    @path
    def threads(path: Path) -> None:
        "All threads, newest first, as JSON"
        _print(thread_rows(_opened(path)))

    @nbagent.command()
    @path
    @click.argument("thread")
    @click.option("--checkpoint", type=int, help="at that checkpoint")
    def state(path: Path, thread: str, checkpoint: int | None) -> None:
        "A thread's state, as JSON"
        _print(_said(lambda: state_of(_opened(path), thread, checkpoint)))

    @nbagent.command()
    @path
    @click.argument("table", type=click.Choice([name for name in COLUMNS if name != "threads"]))
    @click.argument("thread")
    def rows(path: Path, table: str, thread: str) -> None:
        "What a thread has in a table, as JSON"
        _print(_said(lambda: rows_of(table, _opened(path), thread)))

    @nbagent.command()
    @path
    @click.argument("words", nargs=-1, required=True)
    def search(path: Path, words: Iterable[str]) -> None:
        "Where words stand: in states, questions, printed output, errors and ids"
        found = _said(lambda: find(" ".join(words), store=_opened(path)))
        click.echo(found.to_json(orient="records", date_format="iso", indent=2))


def _opened(path: Path) -> CheckpointStore:
    store = resolve_store(path)
    refuse_hidden(store, False, "look")
    return store


def _said(look: Any) -> Any:
    try:
        return look()
    except NbagentError as error:
        raise click.ClickException(str(error)) from error


def _is_store(conn: sqlite3.Connection) -> bool:
    found = conn.execute(
        "SELECT count(*) FROM sqlite_master WHERE name IN ('threads', 'journal', 'fingerprints')"
    ).fetchone()
    return bool(found[0] == 3)


def _value(data: Any) -> str | None:
    if not isinstance(data, bytes):
        return None
    try:
        with to_look():
            return to_json(decode(data))
    except NbagentError:
        return None  # a change of another value, or what is encrypted


def _print(found: Any) -> None:
    click.echo(json.dumps(found, ensure_ascii=False, indent=2))
