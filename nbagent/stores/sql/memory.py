"""
What threads share and remember, in tables beside those of the threads. (R43)

Rule 1: the tables are made at the first write: a file in which nobody remembers anything has none.
Rule 2: `memory` is a log, a row a write, whose last one of a key is marked; of each key so many are
        kept, for forks that look from earlier.
Rule 3: words are looked up by FTS5 where SQLite has it; else, in PostgreSQL and in an encrypted
        store all entries below the namespace are read.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from nbagent.engine.store.remembered import (
    Hidden,
    Namespace,
    Note,
    Written,
    last_of_each,
    text_of,
    words_of,
)
from nbagent.errors import CorruptError
from nbagent.stores.codec.values import decode, encode_checked
from nbagent.stores.sql.database import Connection, Shelf

KEPT = 100  # writes of a key
_MAKING = 7_236_151_001  # the advisory lock that the tables are made under

_COLUMNS = "id, namespace, key, value, vector, updated, expires, thread, checkpoint"
_SQLITE = """
CREATE TABLE IF NOT EXISTS memory (
    id INTEGER PRIMARY KEY AUTOINCREMENT, namespace TEXT NOT NULL, key TEXT NOT NULL, value BLOB,
    vector BLOB NOT NULL, updated REAL NOT NULL, expires REAL, thread TEXT NOT NULL,
    checkpoint INTEGER NOT NULL, checksum INTEGER NOT NULL, is_last INTEGER NOT NULL
)"""
_POSTGRES = """
CREATE TABLE IF NOT EXISTS memory (
    id BIGSERIAL PRIMARY KEY, namespace TEXT NOT NULL, key TEXT NOT NULL, value BYTEA,
    vector BYTEA NOT NULL, updated DOUBLE PRECISION NOT NULL, expires DOUBLE PRECISION,
    thread TEXT NOT NULL, checkpoint BIGINT NOT NULL, checksum BIGINT NOT NULL,
    is_last INTEGER NOT NULL
)"""
_INDEX = "CREATE INDEX IF NOT EXISTS memory_by_key ON memory (namespace, key, id)"
_WORDS = "CREATE VIRTUAL TABLE IF NOT EXISTS memory_words USING fts5(text)"


class SqlMemory:
    """See `remembered.Remembering` for the methods."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._database = shelf.database
        self._cipher = shelf.cipher
        self._is_server = bool(shelf.database.lock_row)
        self._has: bool | None = None  # the tables; None while nobody has looked
        self._has_words = False

    def write(self, notes: Sequence[Note], *, thread: str = "", checkpoint: int = 0) -> None:
        encoded = [_encoded(note) for note in notes]
        with self._database.write() as db:
            self._put(db, notes, encoded, thread, checkpoint)

    def apply(self, db: Connection, notes: Sequence[Note], thread: str, checkpoint: int) -> None:
        """Write inside of somebody's transaction: that which commits the checkpoint."""
        self._put(db, notes, [_encoded(note) for note in notes], thread, checkpoint)

    def _put(
        self,
        db: Connection,
        notes: Sequence[Note],
        encoded: Sequence[bytes | None],
        thread: str,
        checkpoint: int,
    ) -> None:
        self._make(db)
        for note, data in zip(notes, encoded, strict=True):
            place = to_path(note.namespace), note.key
            if self._is_server:  # two writers of a key are put in order
                number = zlib.crc32("\n".join(place).encode())
                db.execute("SELECT pg_advisory_xact_lock(?)", (number,))
            last = "namespace = ? AND key = ? AND is_last = 1"
            if self._has_words:
                rows = db.execute(f"SELECT id FROM memory WHERE {last}", place).fetchall()
                db.executemany("DELETE FROM memory_words WHERE rowid = ?", rows)
            db.execute(f"UPDATE memory SET is_last = 0 WHERE {last}", place)
            sealed = None if data is None else self._cipher.seal(data, "memory", *place)
            vector = note.vector
            if vector:
                vector = self._cipher.seal(vector, "vector", *place)
            returning = " RETURNING id" if self._is_server else ""
            made = db.execute(
                "INSERT INTO memory (namespace, key, value, vector, updated, expires, thread,"
                " checkpoint, checksum, is_last) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1)"
                f"{returning}",
                (*place, sealed, vector, note.updated, note.expires, thread, checkpoint,
                 zlib.crc32(sealed or b"")),
            )  # fmt: skip
            id = made.fetchone()[0] if self._is_server else made.lastrowid
            if self._has_words and not note.is_gone:
                text = " ".join(words_of(text_of(note.value)))
                db.execute("INSERT INTO memory_words (rowid, text) VALUES (?, ?)", (id, text))
            db.execute(
                "DELETE FROM memory WHERE namespace = ? AND key = ? AND id <= (SELECT id FROM"
                " memory WHERE namespace = ? AND key = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (*place, *place, KEPT),
            )

    def _make(self, db: Connection) -> None:
        """The tables, which are looked for at each write: another one may have been rolled back."""
        if self._has:
            return
        if self._is_server:  # two that make them at once would be in each other's way
            db.execute("SELECT pg_advisory_xact_lock(?)", (_MAKING,))
        db.execute(_POSTGRES if self._is_server else _SQLITE)
        db.execute(_INDEX)
        if not self._is_server and not self._cipher.is_on and _can_find_words(db):
            db.execute(_WORDS)
            self._has_words = True

    def _look(self, db: Connection) -> bool:
        """True when the tables are there."""
        if not self._has:
            if self._is_server:
                found = db.execute("SELECT to_regclass('memory')").fetchone()[0]
                self._has = found is not None
            else:
                named = {
                    row[0]
                    for row in db.execute(
                        "SELECT name FROM sqlite_master WHERE name IN ('memory', 'memory_words')"
                    )
                }
                self._has, self._has_words = "memory" in named, "memory_words" in named
        return bool(self._has)

    def read(
        self,
        prefix: Namespace,
        *,
        key: str | None = None,
        words: Sequence[str] = (),
        hidden: Hidden | None = None,
    ) -> Iterable[Written]:
        path = to_path(prefix)
        if key is None:
            which, given = "substr(namespace, 1, ?) = ?", [len(path), path]
        else:
            which, given = "namespace = ? AND key = ?", [path, key]
        with self._database.read() as db:
            if not self._look(db):
                return []
            if hidden is None:
                which += " AND is_last = 1"
                if words and self._has_words:
                    which += " AND id IN (SELECT rowid FROM memory_words WHERE text MATCH ?)"
                    given.append(" OR ".join(f'"{word}"*' for word in words))
            rows = db.execute(
                f"SELECT {_COLUMNS}, checksum FROM memory WHERE {which} ORDER BY id", given
            ).fetchall()
        return list(last_of_each(map(self._written, rows), hidden))

    def _written(self, row: Any) -> Written:
        _, path, key, data, vector, updated, expires, thread, checkpoint, checksum = row
        namespace = from_path(path)
        value = None
        if data is not None:
            data = bytes(data)
            if zlib.crc32(data) != checksum:
                raise CorruptError(
                    f"the entry {key!r} of the memory in {namespace!r} is damaged: put it again, "
                    "or delete it",
                    thread=thread,
                )
            value = decode(self._cipher.unseal(data, "memory", path, key))
        vector = bytes(vector)
        if vector:
            vector = self._cipher.unseal(vector, "vector", path, key)
        note = Note(namespace, key, value, data is None, updated, expires, vector)
        return Written(note=note, thread=thread, checkpoint=checkpoint)


def to_path(namespace: Namespace) -> str:
    """A namespace as a text that begins like those of all namespaces below it, and of no other."""
    return "".join(f"{json.dumps(part, ensure_ascii=False)}," for part in namespace)


def from_path(path: str) -> Namespace:
    return tuple(json.loads(f"[{path[:-1]}]"))


def _encoded(note: Note) -> bytes | None:
    return None if note.is_gone else encode_checked(note.value)


def _can_find_words(db: Connection) -> bool:
    found = db.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'").fetchone()
    return found is not None
