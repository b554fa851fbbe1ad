"""
A store as a database to look into, and as tables for other programs.

sqlite-utils serves: it is what people who look into SQLite files use, with rows as dicts, schemas,
FTS and exports, and it is kept by the author of Datasette, which opens what is exported here.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_from_bytes

from nbagent.engine.ports import Url
from nbagent.engine.store.opening import resolve_store
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.errors import NbagentError, StoreError
from nbagent.stores.lookup.rows import COLUMNS, Row, rows_of, state_of, state_rows, thread_rows

if TYPE_CHECKING:
    from sqlite_utils import Database


def database(store: Url | CheckpointStore | None = None, *, plain: bool = False) -> Database:
    """A store as a `sqlite_utils.Database` that can only be read, current at each query, also while
    its threads run.

    Its views are threads, state, history, trace, questions, effects and printed, for every kind of
    store; `nbagent_state(thread, checkpoint)` is a state of the past as JSON. Of a SQLite store it
    is the file itself, so tables of your own are in it, too.

    plain  also of an encrypted store, whose values it shows in the clear
    """
    from sqlite_utils import Database

    found = resolve_store(store)
    refuse_hidden(found, plain, "database")
    path = getattr(found, "path", None)
    if path is None:
        connection = sqlite3.connect(":memory:", check_same_thread=False)
    else:
        place = quote_from_bytes(os.fsencode(path))
        try:
            connection = sqlite3.connect(f"file:{place}?mode=ro", uri=True, check_same_thread=False)
        except sqlite3.Error as error:
            raise StoreError(f"{path} cannot be opened to be read: {error}") from error
    for statement in views(connection, lambda: found):
        connection.execute(statement)
    connection.execute("PRAGMA query_only = ON")
    return Database(connection, execute_plugins=False)  # ours has functions of the same names


def views(connection: sqlite3.Connection, store: Callable[[], CheckpointStore]) -> Iterator[str]:
    """Give the connection the functions of a store; the statements that make the views of it."""

    def said(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> str | None:
            try:
                return json.dumps(function(store(), *args), ensure_ascii=False)
            except NbagentError:
                return None  # a thread that has gone meanwhile, or cannot be read, has no rows

        return call

    def functions() -> Iterator[tuple[str, int, Callable[..., Any]]]:
        yield "nbagent_threads", 0, thread_rows
        yield "nbagent_state", 1, state_of
        yield "nbagent_state", 2, state_of
        for table in COLUMNS:
            if table != "threads":
                yield f"nbagent_{table}_rows", 1, lambda store, id, of=table: rows_of(of, store, id)

    for name, count, function in functions():
        connection.create_function(name, count, said(function))
    for table, columns in COLUMNS.items():
        cells = ", ".join(f"json_extract(r.value, '$.{name}') AS \"{name}\"" for name in columns)
        source = "json_each(nbagent_threads()) r"
        if table != "threads":
            source = (
                "json_each(nbagent_threads()) t, "
                f"json_each(nbagent_{table}_rows(json_extract(t.value, '$.thread'))) r"
            )
        yield f'CREATE TEMP VIEW "{table}" AS SELECT {cells} FROM {source}'


def refuse_hidden(store: CheckpointStore, plain: bool, what: str) -> None:
    """`StoreError` for an encrypted store, unless it is to be `plain`."""
    if getattr(store, "key", None) and not plain:
        raise StoreError(
            f"{store!r} is encrypted, and {what}() would show what is in it in the clear: "
            f"{what}(…, plain=True) if that is what you want"
        )


def export_tables(
    path: str | os.PathLike[str],
    store: Url | CheckpointStore | None = None,
    *,
    plain: bool = False,
) -> Path:
    """Write a store's threads as plain tables, for Datasette, a spreadsheet or pandas.

    path   `….db` a SQLite file · `….xlsx` a workbook (with openpyxl) · else a folder of CSV files.
           What is there is replaced once the new one is whole. For spreadsheets, a text that one
           would run as a formula has a `'` before it
    plain  also of an encrypted store

    The tables are those of `database()`; `state` has the fields of every checkpoint, and not of the
    latest alone. Gives the path back.
    """
    found, target = resolve_store(store), Path(path).absolute()
    refuse_hidden(found, plain, "export_tables")
    own = getattr(found, "path", None)
    if own is not None and target.exists() and os.path.samefile(own, target):
        raise StoreError(f"{target} is the store itself: export to another path")
    if target.is_dir() and not _is_exported(target):
        raise StoreError(
            f"{target} is a folder with other files in it: name one that is not there yet"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        made = work / "made"
        _WRITERS.get(target.suffix.lower(), _write_folder)(made, found)
        if target.is_dir():
            os.replace(target, work / "before")
        os.replace(made, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def every_row(store: CheckpointStore, table: str) -> Iterator[Row]:
    """All rows of a table; one bad thread does not stop the others."""
    if table == "threads":
        yield from thread_rows(store)
        return
    for info in store.threads():
        with contextlib.suppress(NbagentError):
            if table != "state":
                yield from rows_of(table, store, info.id)
                continue
            for line in store.history(info.id):
                with contextlib.suppress(NbagentError):
                    yield from state_rows(store, info.id, line.id)


def _write_database(path: Path, store: CheckpointStore) -> None:
    from sqlite_utils import Database

    connection = sqlite3.connect(path)
    with closing(connection):
        os.chmod(path, 0o600)
        made = Database(connection)
        for table, columns in COLUMNS.items():
            kinds = {name: _KINDS.get(name, str) for name in columns}
            made.table(table).create(kinds)
            made.table(table).insert_all(every_row(store, table), batch_size=1000)
            if "thread" in columns and table != "threads":
                made.table(table).create_index(["thread"])
        made.conn.commit()


_KINDS: dict[str, Any] = {
    "step": int, "checkpoint": int, "attempt": int, "tokens": int, "cost": float,
    "duration": float,
}  # fmt: skip


def _write_folder(path: Path, store: CheckpointStore) -> None:
    path.mkdir()
    for table, columns in COLUMNS.items():
        with (path / f"{table}.csv").open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            for row in every_row(store, table):
                writer.writerow({name: _no_formula(cell) for name, cell in row.items()})


def _no_formula(cell: Any) -> Any:
    """A text that a spreadsheet would run is one that it shows."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@") else cell


def _write_workbook(path: Path, store: CheckpointStore) -> None:
    import pandas

    try:
        writer = pandas.ExcelWriter(path, engine="openpyxl")
    except ImportError:
        raise StoreError(
            "a workbook is written with openpyxl: pip install openpyxl, or export to a folder of "
            "CSV files, which every spreadsheet opens"
        ) from None
    with writer:
        for table, columns in COLUMNS.items():
            rows = [
                {name: _no_formula(cell) for name, cell in row.items()}
                for row in every_row(store, table)
            ]
            pandas.DataFrame(rows, columns=list(columns)).to_excel(
                writer, sheet_name=table, index=False
            )


_WRITERS = {".db": _write_database, ".sqlite": _write_database, ".xlsx": _write_workbook}


def _is_exported(folder: Path) -> bool:
    names = {f"{table}.csv" for table in COLUMNS}
    return all(entry.name in names for entry in folder.iterdir())
