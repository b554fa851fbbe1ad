"""
Search by words over the threads of a store: SQLite's FTS5, kept up when somebody searches.

Rule 1: a store in a file has its index in a file beside it (`nbagent.db-search`), readable by its
        owner alone; any other, and one that is encrypted, has it in memory.
Rule 2: the index is no part of the store: it can be deleted at any time; a search makes it anew.
Rule 3: each search first reads the threads that have changed since, and drops those that are gone.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from nbagent.engine.model.checkpoint import ThreadInfo
from nbagent.engine.ports import Url, make_table
from nbagent.engine.store.opening import resolve_store
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.errors import NbagentError, StoreError
from nbagent.stores.lookup.database import refuse_hidden
from nbagent.stores.lookup.rows import rows_of, state_rows, words_of

COLUMNS = ("thread", "graph", "status", "where", "name", "snippet", "updated")
_END = "-search"
_VERSION = 1
_TABLES = (
    "CREATE TABLE IF NOT EXISTS seen (thread TEXT PRIMARY KEY, mark TEXT NOT NULL)",
    'CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(thread UNINDEXED, "where" UNINDEXED,'
    " name UNINDEXED, body, tokenize = 'unicode61 remove_diacritics 2')",
    f"PRAGMA user_version = {_VERSION}",
)
_in_memory: weakref.WeakKeyDictionary[CheckpointStore, sqlite3.Connection]
_in_memory = weakref.WeakKeyDictionary()
_lock = threading.RLock()


def search(
    text: str,
    *,
    store: Url | CheckpointStore | None = None,
    limit: int = 50,
    plain: bool = False,
) -> Any:
    """Threads in which these words stand, the best first: a row for each place.

    text   words, all of which must be there, in any form of case and accent; `"…"` holds words
           together, a `*` after a word takes all that begin so
    limit  rows
    plain  also in an encrypted store; its index is then in memory, and nowhere else

    Columns: thread, graph, status, where ("state", "question", "printed", "error", "id"), name (of
    the field or node), snippet (what was found stands in [brackets]), updated. What is searched is
    a thread's latest state, what its nodes asked and printed, its error and its id.
    """
    if not text.strip():
        raise StoreError("search takes words to look for, and there are none")
    found = resolve_store(store)
    refuse_hidden(found, plain, "search")
    with _lock, _opened(found) as db:
        infos = {info.id: info for info in found.threads()}
        _refresh(db, found, infos)
        try:
            rows = db.execute(
                "SELECT thread, \"where\", name, snippet(words, 3, '[', ']', ' … ', 16)"
                " FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?",
                (_quoted(text), limit),
            ).fetchall()
        except sqlite3.OperationalError as error:
            raise StoreError(f"{text!r} cannot be searched for: {error}") from error
    made = [
        {
            "thread": thread,
            "graph": infos[thread].graph,
            "status": infos[thread].status,
            "where": where,
            "name": name,
            "snippet": " ".join(snippet.split()),
            "updated": infos[thread].updated,
        }
        for thread, where, name, snippet in rows
    ]
    return make_table(made, COLUMNS)


def forget(path: Path, thread: str) -> None:
    """Take a thread that was thrown away out of the file's index, if it has one: its words too."""
    at = Path(f"{path}{_END}")
    if not at.exists():
        return
    with _lock, contextlib.suppress(sqlite3.Error), closing(_connected(at)) as db, db:
        _drop(db, thread)
        db.execute("INSERT INTO words(words) VALUES ('optimize')")  # a dropped row leaves its words


@contextlib.contextmanager
def _opened(store: CheckpointStore) -> Iterator[sqlite3.Connection]:
    path = getattr(store, "path", None)
    if path is not None and not getattr(store, "key", None):
        try:
            connection = _connected(Path(f"{path}{_END}"))
        except (OSError, sqlite3.Error):
            pass  # a folder that cannot be written to
        else:
            with closing(connection):
                yield connection
            return
    found = _in_memory.get(store)
    if found is None:
        found = _in_memory[store] = sqlite3.connect(":memory:", check_same_thread=False)
        weakref.finalize(store, found.close)
        _make(found)
    yield found


def _connected(path: Path) -> sqlite3.Connection:
    """The index in a file; one that is damaged, or of another version, is made anew."""
    for is_last in (False, True):
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(path, timeout=30)
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version in (0, _VERSION):
                connection.execute("PRAGMA secure_delete = ON")
                _make(connection)
                return connection
            error: Exception = StoreError(f"{path} is of another version")
        except sqlite3.DatabaseError as damage:
            error = damage
        connection.close()
        if is_last:
            raise error
        path.unlink(missing_ok=True)
    raise AssertionError


def _make(connection: sqlite3.Connection) -> None:
    for statement in _TABLES:
        connection.execute(statement)
    connection.commit()


def _refresh(db: sqlite3.Connection, store: CheckpointStore, infos: dict[str, ThreadInfo]) -> None:
    with db:
        known = dict(db.execute("SELECT thread, mark FROM seen").fetchall())
        for thread in known.keys() - infos.keys():
            _drop(db, thread)
        for info in infos.values():
            mark = f"{info.salt} {info.checkpoint} {info.status} {info.updated!r}"
            if known.get(info.id) != mark:
                _drop(db, info.id)
                with contextlib.suppress(NbagentError):  # deleted meanwhile, or it cannot be read
                    db.executemany(
                        "INSERT INTO words VALUES (?, ?, ?, ?)",
                        [(info.id, *row) for row in _words(store, info)],
                    )
                    db.execute("INSERT INTO seen VALUES (?, ?)", (info.id, mark))


def _drop(db: sqlite3.Connection, thread: str) -> None:
    if db.execute("DELETE FROM seen WHERE thread = ?", (thread,)).rowcount:
        db.execute("DELETE FROM words WHERE thread = ?", (thread,))


def _words(store: CheckpointStore, info: ThreadInfo) -> Iterator[tuple[str, str, str]]:
    """where, name, body of all that is searched of a thread."""
    yield "id", "", info.id
    if info.error:
        yield "error", "", info.error
    for row in state_rows(store, info.id):
        if body := words_of(row["value"]):
            yield "state", row["field"], body
    for row in rows_of("questions", store, info.id):
        answer = words_of(row["answer"])
        yield "question", row["node"], f"{words_of(row['question'])}\n{answer}".strip()
    for row in rows_of("printed", store, info.id):
        yield "printed", row["node"], row["text"]


def _quoted(text: str) -> str:
    """The words in FTS5's language, in which a hyphen or a colon would mean something."""
    found, rest = [], text
    while rest := rest.strip():
        if rest[0] == '"' and '"' in rest[1:]:
            phrase, _, rest = rest[1:].partition('"')
            if phrase.strip():
                found.append(f'"{phrase}"')
            continue
        word, *others = rest.split(maxsplit=1)
        rest = others[0] if others else ""
        is_begun = word.endswith("*") and len(word) > 1
        word = word.rstrip("*").replace('"', "") if is_begun else word.replace('"', "")
        if word:
            found.append(f'"{word}"' + ("*" if is_begun else ""))
    return " AND ".join(found) or '""'
