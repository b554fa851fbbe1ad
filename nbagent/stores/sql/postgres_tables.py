"""
The tables of a PostgreSQL store, and how older ones become newer ones.
"""

from __future__ import annotations

# For the meaning of tables and columns see `sqlite_tables`. Text is compared by its bytes, as
# SQLite does it, whatever the database's language is.
_FIRST = """
CREATE TABLE threads (
    id TEXT COLLATE "C" PRIMARY KEY, graph TEXT NOT NULL, status TEXT NOT NULL,
    step BIGINT NOT NULL, checkpoint BIGINT NOT NULL, created DOUBLE PRECISION NOT NULL,
    updated DOUBLE PRECISION NOT NULL, parent TEXT, error TEXT NOT NULL DEFAULT '', owner TEXT,
    since DOUBLE PRECISION NOT NULL DEFAULT 0, lease_until DOUBLE PRECISION NOT NULL DEFAULT 0,
    epoch BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE checkpoints (
    thread TEXT COLLATE "C" NOT NULL REFERENCES threads (id), id BIGINT NOT NULL, parent BIGINT,
    step BIGINT NOT NULL, kind TEXT NOT NULL, updated TEXT NOT NULL, ran TEXT NOT NULL,
    anchor BIGINT NOT NULL, note TEXT NOT NULL, actor TEXT NOT NULL, at DOUBLE PRECISION NOT NULL,
    size BIGINT NOT NULL, control BYTEA NOT NULL, versions TEXT NOT NULL, nodes TEXT NOT NULL,
    checksum BIGINT NOT NULL, PRIMARY KEY (thread, id)
);
CREATE TABLE versions (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, thread TEXT COLLATE "C" NOT NULL,
    field TEXT NOT NULL, base BIGINT, before BIGINT, data BYTEA NOT NULL, checksum BIGINT NOT NULL,
    checkpoint BIGINT NOT NULL
);
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE INDEX versions_of_base ON versions (base) WHERE base IS NOT NULL;
CREATE INDEX versions_of_thread ON versions (thread);
CREATE TABLE fingerprints (
    id TEXT PRIMARY KEY, nodes TEXT NOT NULL, schema TEXT NOT NULL DEFAULT ''
);
CREATE TABLE tasks (
    thread TEXT COLLATE "C" NOT NULL, anchor BIGINT NOT NULL, task TEXT COLLATE "C" NOT NULL,
    node TEXT NOT NULL, status TEXT NOT NULL, attempt INTEGER NOT NULL,
    started DOUBLE PRECISION NOT NULL, ended DOUBLE PRECISION NOT NULL, failure TEXT,
    data BYTEA NOT NULL, checksum BIGINT NOT NULL, resume_at DOUBLE PRECISION,
    is_told INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (thread, anchor, task)
);
CREATE TABLE journal (
    thread TEXT COLLATE "C" NOT NULL, anchor BIGINT NOT NULL, task TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, status TEXT NOT NULL,
    data BYTEA NOT NULL, checksum BIGINT NOT NULL, PRIMARY KEY (thread, anchor, task, position)
);
CREATE TABLE cache (
    id TEXT PRIMARY KEY, node TEXT NOT NULL, made DOUBLE PRECISION NOT NULL,
    expires DOUBLE PRECISION, data BYTEA NOT NULL, checksum BIGINT NOT NULL
);
CREATE TABLE state (
    thread TEXT COLLATE "C" NOT NULL, field TEXT COLLATE "C" NOT NULL, version BIGINT NOT NULL,
    value TEXT NOT NULL, PRIMARY KEY (thread, field)
);
CREATE TABLE spans (
    id TEXT NOT NULL, thread TEXT COLLATE "C" NOT NULL, parent TEXT, kind TEXT NOT NULL,
    name TEXT NOT NULL, step BIGINT NOT NULL, node TEXT NOT NULL, task TEXT NOT NULL,
    attempt INTEGER NOT NULL, started DOUBLE PRECISION NOT NULL, ended DOUBLE PRECISION NOT NULL,
    status TEXT NOT NULL, attributes TEXT NOT NULL, PRIMARY KEY (thread, id)
);
CREATE VIEW thread_list AS
    SELECT id, graph, status, step, to_timestamp(created) AS created,
        to_timestamp(updated) AS updated, parent, error, owner::json ->> 'label' AS run_by
    FROM threads ORDER BY threads.updated DESC;
CREATE VIEW history AS
    SELECT thread, id AS checkpoint, parent, step, kind, to_timestamp(at) AS at,
        updated AS fields_changed, ran AS tasks, note, actor, size AS bytes
    FROM checkpoints ORDER BY thread, id;
CREATE VIEW task_list AS
    SELECT thread, anchor, task, node, status, attempt, to_timestamp(started) AS started,
        round((ended - tasks.started)::numeric, 3) AS seconds, failure::json ->> 'type' AS error,
        failure::json ->> 'message' AS message
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
CREATE VIEW unfinished AS
    SELECT id, graph, status, step, to_timestamp(updated) AS updated, error
    FROM threads WHERE status <> 'done' ORDER BY updated DESC;
"""
_SECOND = """
DROP INDEX versions_of_base;
CREATE FUNCTION no_older_writer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'a newer nbagent has opened this database: restart this kernel';
END $$;
CREATE TRIGGER no_older_writer BEFORE UPDATE OF step ON threads
    FOR EACH ROW EXECUTE FUNCTION no_older_writer();
CREATE OR REPLACE VIEW thread_list AS
    SELECT t.id, t.graph, t.status, c.step, to_timestamp(t.created) AS created,
        to_timestamp(greatest(t.updated, c.at)) AS updated, t.parent, t.error,
        t.owner::json ->> 'label' AS run_by
    FROM threads t LEFT JOIN checkpoints c ON c.thread = t.id
        AND c.id = (SELECT max(id) FROM checkpoints WHERE thread = t.id)
    ORDER BY 6 DESC;
CREATE OR REPLACE VIEW unfinished AS
    SELECT id, graph, status, step, updated, error FROM thread_list WHERE status <> 'done';
"""
_THIRD = """
ALTER TABLE threads ADD COLUMN place TEXT NOT NULL DEFAULT '';
ALTER TABLE threads ADD COLUMN salt TEXT NOT NULL DEFAULT '';
UPDATE threads SET place = substr(id, length(parent) + 2)
    WHERE parent IS NOT NULL AND substr(id, 1, length(parent) + 1) = parent || '/'
        AND substr(id, length(parent) + 2) ~ '^[0-9]'
        AND NOT EXISTS (SELECT 1 FROM spans s WHERE s.thread = threads.id AND s.kind = 'origin');
CREATE INDEX threads_of_parent ON threads (parent) WHERE place <> '';
CREATE TRIGGER no_older_maker BEFORE INSERT ON threads
    FOR EACH ROW WHEN (NEW.salt = '') EXECUTE FUNCTION no_older_writer();
"""
_FOURTH = """
ALTER TABLE threads ADD COLUMN turn BIGINT NOT NULL DEFAULT 0;
CREATE TRIGGER no_older_owner BEFORE UPDATE OF since ON threads
    FOR EACH ROW WHEN (NEW.turn = OLD.turn) EXECUTE FUNCTION no_older_writer();
"""
MIGRATIONS = (_FIRST, _SECOND, _THIRD, _FOURTH)
