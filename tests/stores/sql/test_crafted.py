"""A file may say anything: looking at it costs what is in it, and one bad row is one bad line. (W5)

Each of these is small, has the right checksum, and claims more than it holds.
"""

from __future__ import annotations

import json
import sqlite3
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pandas
import pytest

from nbagent.engine.model.checkpoint import Checkpoint
from nbagent.engine.model.values import frozen_dict
from nbagent.engine.store.ownership import current_owner
from nbagent.errors import CodecError, CorruptError, NbagentError
from nbagent.stores.codec.values import decode
from nbagent.stores.sqlite import SqliteStore

pack = msgspec.msgpack.encode
MANY = 10**12
assert pandas  # else every table is a word that nobody knows


def ext(tag: str, content: Any) -> Any:
    return msgspec.msgpack.Ext(17, pack([tag, content]))


def many() -> Any:
    return ext("range", [0, MANY, 1])


CLAIMS = {
    "a tuple of a range": ext("tuple", many()),
    "a set of a range": ext("set", many()),
    "a frozen set of a range": ext("frozenset", many()),
    "a dict of a range": ext("map", many()),
    "a list longer than the bytes": b"\xdd\xff\xff\xff\xff\x01",
    "a dict longer than the bytes": b"\xdf\xff\xff\xff\xff\xa1a\x01",
    "a text longer than the bytes": b"\xdb\xff\xff\xff\xffab",
    "lists in lists": b"\x91" * 200_000 + b"\x01",
    "an array of nothing": ext("ndarray", ["V0", [10**9], b""]),
    "an array with a long side": ext("ndarray", ["<f8", [10**9, 0, 10**9], b""]),
    "an array without its bytes": ext("ndarray", ["<f8", [MANY], b""]),
    "an array of minus one": ext("ndarray", ["<f8", [-1], b"12345678"]),
    "an array of pointers": ext("ndarray", ["O8", [1], b"AAAAAAAA"]),
    "objects that are not there": ext("ndarray", ["O", [MANY], []]),
    "a wide record": ext(
        "ndarray",
        [["record", [["a", "|u1", 0]], 1 << 30, False], [9], [["|u1", [9], b"123456789"]]],
    ),
    "a record of many": ext(
        "ndarray", [["record", [["a", "V0", 0]], 8, False], [MANY], [["V0", [MANY], b""]]]
    ),
    "rows of no columns": ext(
        "pandas.DataFrame", [["range", 0, 0, 1, None], ["range", 0, 10**15, 1, None], []]
    ),
    "rows of one column": ext(
        "pandas.DataFrame",
        [["range", 0, 1, 1, None], ["range", 0, 10**9, 1, None],
         [["numpy", ["<f8", [1], bytes(8)]]]],
    ),
    "columns of none": ext(
        "pandas.DataFrame", [["range", 0, 10**9, 1, None], ["range", 0, 0, 1, None], []]
    ),
    "rows of a column": ext(
        "pandas.Series", [None, ["range", 0, 10**9, 1, None], ["numpy", ["<f8", [1], bytes(8)]]]
    ),
    "levels of a range": ext("pandas.Index", ["multi", [["range", 0, MANY, 1, None]]]),
    "categories of a range": ext(
        "pandas.Series",
        [None, ["range", 0, 1, 1, None],
         ["category", ["|i1", [1], b"\0"], ["range", 0, MANY, 1, None], False]],
    ),
    "a set of lists": ext("set", [[1]]),
    "a zone elsewhere": ext("datetime", ["2020-01-01T00:00:00", 0, "../../../../etc/passwd"]),
    "a class of the system's": ext("model", ["subprocess.Popen", [{"args": ["true"]}, []]]),
}  # fmt: skip


@pytest.mark.parametrize("what", CLAIMS)
def test_a_claim_is_compared_with_what_is_there(what: str) -> None:
    """Before room is made for it."""
    said = CLAIMS[what]
    tracemalloc.start()
    began = time.perf_counter()
    try:
        with pytest.raises(CodecError):
            decode(said if isinstance(said, bytes) else pack(said))
        assert tracemalloc.get_traced_memory()[1] < 20e6
        assert time.perf_counter() - began < 5
    finally:
        tracemalloc.stop()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with the threads t0, t1 and t2."""
    store = SqliteStore(tmp_path / "a.db")
    empty = frozen_dict({})
    for name in ("t0", "t1", "t2"):
        lease = store.acquire(name, current_owner(), create=True)
        for id in (1, 2):
            values = frozen_dict({"x": [1, 2, 3]})
            store.commit(lease, Checkpoint(id, id - 1 or None, 0, "step", values, empty, (), (), 1))
        store.release(lease, "done")
    store.close()
    return tmp_path / "a.db"


def forge(file: Path, sql: str, *values: Any) -> SqliteStore:
    with sqlite3.connect(file) as db:
        db.execute(sql, values)
    db.close()
    return SqliteStore(file)


def chain(file: Path, changes: list[Any]) -> SqliteStore:
    """A store whose thread t1 is a list of eight and then these changes of it."""
    with sqlite3.connect(file) as db:
        for place, content in enumerate([[0] * 8, *changes]):
            data = pack(content)
            before = 899 + place if place else None
            db.execute(
                "INSERT INTO versions (id, thread, field, base, before, data, checksum, checkpoint)"
                " VALUES (?, 't1', 'x', ?, ?, ?, ?, 1)",
                (900 + place, before, before, data, zlib.crc32(data)),
            )
        said = json.dumps({"x": 900 + len(changes)})
        for id, control in db.execute("SELECT id, control FROM checkpoints").fetchall():
            check = zlib.crc32(said.encode(), zlib.crc32(control))
            db.execute(
                "UPDATE checkpoints SET versions = ?, checksum = ? WHERE thread = 't1' AND id = ?",
                (said, check, id),
            )
    db.close()
    return SqliteStore(file)


@pytest.mark.parametrize(
    "changes",
    [
        [["=", 8 << n, -(8 << n), []] for n in range(40)],
        [["=", 0, -1, []]],
        [["=", 9, 0, []]],
        [["=", 0, 9, []]],
        [["+", [1]] for _ in range(1000)],
    ],
    ids=["doubled", "dropped backwards", "kept too much", "dropped too much", "too many"],
)
def test_changes_that_make_much_of_little_are_damage(file: Path, changes: list[Any]) -> None:
    """A change keeps and drops what is there; all together weigh no more than what they change."""
    store = chain(file, changes)

    with pytest.raises(NbagentError):
        store.latest("t1")
    assert 3 == len(store.threads())
    store.close()


@pytest.mark.parametrize(
    "owner",
    ['{"evil": 1}', "[]", "{", "7", "[" * 9999, '{"token": 1}', "\x00",
     json.dumps({"token": "x", "host": "h", "pid": "1", "started": "", "label": "boo"})],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_a_forged_owner_is_one_line_of_the_list(file: Path, owner: str) -> None:
    """It says so there; the thread and the others can be read, resumed and thrown away."""
    store = forge(file, "UPDATE threads SET owner = ?, status = 'running' WHERE id = 't1'", owner)

    lines = {info.id: info for info in store.threads()}
    assert ("stopped", None) == (lines["t1"].status, lines["t1"].owner)
    assert "damaged" in lines["t1"].error
    assert ["done", "done"] == [lines[name].status for name in ("t0", "t2")]
    assert [1, 2, 3] == store.latest("t1").checkpoint.values["x"]
    store.delete(store.acquire("t1", current_owner()))
    assert 2 == len(store.threads())
    store.close()


def test_an_owner_that_no_process_can_be_is_dead(file: Path) -> None:
    """`kill` would take it for a group of processes."""
    import socket

    for pid in (-1, 0, 1 << 70):
        said = {"token": "x", "host": socket.gethostname(), "pid": pid, "started": "", "label": "b"}
        store = forge(
            file,
            "UPDATE threads SET owner = ?, status = 'running', lease_until = 1e300",
            json.dumps(said),
        )
        assert {"stopped"} == {info.status for info in store.threads()}
        store.close()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("updated", "[" * 100_000), ("ran", '{"a": 1}'), ("updated", "[1]"), ("ran", "nothing"),
        ("versions", "[" * 100_000), ("versions", '{"x": "y"}'),
    ],
)  # fmt: skip
def test_a_row_that_is_no_checkpoint_is_passed_over(file: Path, column: str, value: str) -> None:
    """The last one before it counts, and the person is told. (W8)"""
    with sqlite3.connect(file) as db:
        sql = "SELECT control, versions FROM checkpoints WHERE thread = 't1' AND id = 2"
        control, versions = db.execute(sql).fetchone()
        versions = value if column == "versions" else versions
        check = zlib.crc32(versions.encode(), zlib.crc32(control))
    db.close()
    where = "WHERE thread = 't1' AND id = 2"
    store = forge(file, f"UPDATE checkpoints SET checksum = ?, {column} = ? {where}", check, value)

    loaded = store.latest("t1")
    assert 1 == loaded.checkpoint.id
    assert "checkpoint 2" in loaded.notice
    assert 3 == len(store.threads())
    store.close()


def test_a_status_that_nobody_knows_is_no_status(file: Path) -> None:
    """Pages and tables show it."""
    store = forge(file, "UPDATE threads SET status = '<b>bogus' WHERE id = 't1'")

    assert "stopped" == store.thread("t1").status
    store.close()


def test_damaged_spans_and_failures_are_said(file: Path) -> None:
    """As damage of that thread, not as an error of the parser's."""
    store = forge(
        file,
        "INSERT INTO spans VALUES ('s', 't1', NULL, 'span', 'n', 1, 'a', 'a', 1, 1, 2, 'ok', ?)",
        "[" * 100_000,
    )
    with pytest.raises(CorruptError):
        store.spans("t1")
    assert [] == store.spans("t0")
    store.close()
