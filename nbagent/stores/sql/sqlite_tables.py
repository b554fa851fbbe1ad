"""
The tables of a checkpoint file, and how an older file becomes a newer one. (R47)

`PRAGMA user_version` is the number of migrations that a file has had; each one and its number are
written in one transaction. A file of a newer nbagent is refused, never guessed at.

    threads       one row a thread: its status, its owner, the `place` of its `parent` that it is
                  nested at ('' if it is not), a `salt` of its own; `updated` without its
                  checkpoints, `checkpoint` as it was given back, `step` no more: see thread_list
    checkpoints   one row a checkpoint; `versions` says which row of `versions` holds each field
    versions      a field's value: whole (`base` null) or as a change of the version before it
    fingerprints  the nodes' and the state class's fingerprints, once for each graph that wrote
    tasks         the outcome of each task: what it wrote, or how it failed
    journal       questions and their answers, effects and their results
    cache         results of cached nodes, by what they depend on; for all threads
    spans         where the time of a node went, and what it printed
    settings      what the file was made with, such as a value to check its key by
    state         the latest values as JSON, as they were when the thread was last given back

For people there are views: thread_list, unfinished, history, task_list, effects, questions.
"""

from __future__ import annotations

import sqlite3

from nbagent.errors import StoreError

_FIRST = """
CREATE TABLE threads (
    id TEXT PRIMARY KEY, graph TEXT NOT NULL, status TEXT NOT NULL, step INTEGER NOT NULL,
    checkpoint INTEGER NOT NULL, created REAL NOT NULL, updated REAL NOT NULL,
    parent TEXT, error TEXT NOT NULL DEFAULT '', owner TEXT, since REAL NOT NULL DEFAULT 0,
    lease_until REAL NOT NULL DEFAULT 0, epoch INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE checkpoints (
    thread TEXT NOT NULL REFERENCES threads (id), id INTEGER NOT NULL, parent INTEGER,
    step INTEGER NOT NULL, kind TEXT NOT NULL, updated TEXT NOT NULL, ran TEXT NOT NULL,
    anchor INTEGER NOT NULL, note TEXT NOT NULL, actor TEXT NOT NULL, at REAL NOT NULL,
    size INTEGER NOT NULL, control BLOB NOT NULL, versions TEXT NOT NULL, nodes TEXT NOT NULL,
    checksum INTEGER NOT NULL, PRIMARY KEY (thread, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE versions (
    id INTEGER PRIMARY KEY, thread TEXT NOT NULL, field TEXT NOT NULL, base INTEGER,
    before INTEGER, data BLOB NOT NULL, checksum INTEGER NOT NULL
) STRICT;
CREATE INDEX versions_of_base ON versions (base) WHERE base IS NOT NULL;
CREATE TABLE fingerprints (id TEXT PRIMARY KEY, nodes TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE tasks (
    thread TEXT NOT NULL, anchor INTEGER NOT NULL, task TEXT NOT NULL, node TEXT NOT NULL,
    status TEXT NOT NULL, attempt INTEGER NOT NULL, started REAL NOT NULL, ended REAL NOT NULL,
    failure TEXT, data BLOB NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (thread, anchor, task)
) STRICT, WITHOUT ROWID;
CREATE TABLE journal (
    thread TEXT NOT NULL, anchor INTEGER NOT NULL, task TEXT NOT NULL, position INTEGER NOT NULL,
    kind TEXT NOT NULL, key TEXT NOT NULL, status TEXT NOT NULL, data BLOB NOT NULL,
    checksum INTEGER NOT NULL, PRIMARY KEY (thread, anchor, task, position)
) STRICT, WITHOUT ROWID;
CREATE VIEW unfinished AS
    SELECT id, graph, status, step, datetime(updated, 'unixepoch') AS updated, error
    FROM threads WHERE status <> 'done' ORDER BY updated DESC;
"""

# Large rows in a table without row ids take a page each; the key's index is small.
_SECOND = """
ALTER TABLE fingerprints ADD COLUMN schema TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN resume_at REAL;
CREATE TABLE cache (
    id TEXT PRIMARY KEY, node TEXT NOT NULL, made REAL NOT NULL, expires REAL, data BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE new_tasks (
    thread TEXT NOT NULL, anchor INTEGER NOT NULL, task TEXT NOT NULL, node TEXT NOT NULL,
    status TEXT NOT NULL, attempt INTEGER NOT NULL, started REAL NOT NULL, ended REAL NOT NULL,
    failure TEXT, data BLOB NOT NULL, checksum INTEGER NOT NULL, resume_at REAL,
    PRIMARY KEY (thread, anchor, task)
) STRICT;
INSERT INTO new_tasks SELECT * FROM tasks;
DROP TABLE tasks;
ALTER TABLE new_tasks RENAME TO tasks;
CREATE TABLE new_journal (
    thread TEXT NOT NULL, anchor INTEGER NOT NULL, task TEXT NOT NULL, position INTEGER NOT NULL,
    kind TEXT NOT NULL, key TEXT NOT NULL, status TEXT NOT NULL, data BLOB NOT NULL,
    checksum INTEGER NOT NULL, PRIMARY KEY (thread, anchor, task, position)
) STRICT;
INSERT INTO new_journal SELECT * FROM journal;
DROP TABLE journal;
ALTER TABLE new_journal RENAME TO journal;
"""

_THIRD = """
ALTER TABLE tasks ADD COLUMN is_told INTEGER NOT NULL DEFAULT 0;
ALTER TABLE versions ADD COLUMN checkpoint INTEGER NOT NULL DEFAULT 0;
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE state (
    thread TEXT NOT NULL, field TEXT NOT NULL, version INTEGER NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (thread, field)
) STRICT, WITHOUT ROWID;
CREATE TABLE spans (
    id TEXT NOT NULL, thread TEXT NOT NULL, parent TEXT, kind TEXT NOT NULL, name TEXT NOT NULL,
    step INTEGER NOT NULL, node TEXT NOT NULL, task TEXT NOT NULL, attempt INTEGER NOT NULL,
    started REAL NOT NULL, ended REAL NOT NULL, status TEXT NOT NULL, attributes TEXT NOT NULL,
    PRIMARY KEY (thread, id)
) STRICT, WITHOUT ROWID;
CREATE VIEW thread_list AS
    SELECT id, graph, status, step, datetime(created, 'unixepoch') AS created,
        datetime(updated, 'unixepoch') AS updated, parent, error,
        json_extract(owner, '$.label') AS run_by
    FROM threads ORDER BY threads.updated DESC;
CREATE VIEW history AS
    SELECT thread, id AS checkpoint, parent, step, kind, datetime(at, 'unixepoch') AS at,
        updated AS fields_changed, ran AS tasks, note, actor, size AS bytes
    FROM checkpoints ORDER BY thread, id;
CREATE VIEW task_list AS
    SELECT thread, anchor, task, node, status, attempt, datetime(started, 'unixepoch') AS started,
        round(ended - started, 3) AS seconds, json_extract(failure, '$.type') AS error,
        json_extract(failure, '$.message') AS message
    FROM tasks ORDER BY thread, anchor, tasks.started;
CREATE VIEW effects AS
    SELECT thread, task, key AS effect,
        CASE status WHEN 'done' THEN 'happened' WHEN 'void' THEN 'did not happen'
            ELSE 'begun, outcome unknown' END AS outcome
    FROM journal WHERE kind = 'effect' ORDER BY thread, anchor, task, position;
CREATE VIEW questions AS
    SELECT thread, task || ':' || position AS id, key AS question,
        CASE status WHEN 'done' THEN 'answered' ELSE 'open' END AS status
    FROM journal WHERE kind = 'interrupt' ORDER BY thread, anchor, task, position;
"""

# A commit writes fewer pages: a thread's latest step is found among its checkpoints, and changes of
# a value lead back to the whole one by themselves. `threads.checkpoint` is written when the
# thread is given back, so that a row of `checkpoints` that a damaged file has lost is missed.
_FOURTH = """
DROP INDEX versions_of_base;
DROP VIEW unfinished;
DROP VIEW thread_list;
CREATE TRIGGER no_older_writer BEFORE UPDATE OF step ON threads
    BEGIN SELECT RAISE(ABORT, 'a newer nbagent has opened this file: restart this kernel'); END;
CREATE VIEW thread_list AS
    SELECT id, graph, status,
        (SELECT step FROM checkpoints WHERE thread = threads.id ORDER BY id DESC LIMIT 1) AS step,
        datetime(created, 'unixepoch') AS created, datetime(max(updated, coalesce(
            (SELECT at FROM checkpoints WHERE thread = threads.id ORDER BY id DESC LIMIT 1), 0
        )), 'unixepoch') AS updated, parent, error, json_extract(owner, '$.label') AS run_by
    FROM threads ORDER BY 6 DESC;
CREATE VIEW unfinished AS
    SELECT id, graph, status, step, updated, error FROM thread_list WHERE status <> 'done';
"""

# What is nested in what is a column: an id is the user's own text and says nothing. A fork has a
# parent and a span that says where it began.
_FIFTH = """
ALTER TABLE threads ADD COLUMN place TEXT NOT NULL DEFAULT '';
ALTER TABLE threads ADD COLUMN salt TEXT NOT NULL DEFAULT '';
UPDATE threads SET place = substr(id, length(parent) + 2)
    WHERE parent IS NOT NULL AND substr(id, 1, length(parent) + 1) = parent || '/'
        AND substr(id, length(parent) + 2) GLOB '[0-9]*'
        AND NOT EXISTS (SELECT 1 FROM spans WHERE thread = threads.id AND kind = 'origin');
CREATE INDEX threads_of_parent ON threads (parent) WHERE place <> '';
CREATE TRIGGER no_older_maker BEFORE INSERT ON threads WHEN NEW.salt = ''
    BEGIN SELECT RAISE(ABORT, 'a newer nbagent has opened this file: restart this kernel'); END;
"""

# A growing list is not written anew for its size, and a window that moves along it is a change: an
# older nbagent would take either for damage. `turn` is how often the thread was taken, by this one.
_SIXTH = """
ALTER TABLE threads ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
CREATE TRIGGER no_older_owner BEFORE UPDATE OF since ON threads WHEN NEW.turn = OLD.turn
    BEGIN SELECT RAISE(ABORT, 'a newer nbagent has opened this file: restart this kernel'); END;
"""

MIGRATIONS = (_FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH, _SIXTH)


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the file up to date; `StoreError` when it is newer than this code."""
    if _version(connection, path) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection, path)  # another process may have been faster
        for number in range(version, len(MIGRATIONS)):
            for statement in MIGRATIONS[number].split(";\n"):
                if statement.strip():
                    connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, path: str) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path} was written by a newer nbagent (its schema is {version}, this one knows "
            f"{len(MIGRATIONS)}): update nbagent to open it"
        )
    return int(version)
