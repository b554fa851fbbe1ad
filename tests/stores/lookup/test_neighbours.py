"""A checkpoint file in the hands of other programs: sqlite-utils, Datasette, a spreadsheet."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TypedDict

import httpx
import pytest

from nbagent import END, START, Graph, node, open_store
from nbagent.stores.lookup.database import export_tables

BIN = Path(sys.executable).parent


class State(TypedDict, total=False):
    topic: str
    seen: list[int]


@pytest.fixture
def file(tmp_path):
    """A file with a thread, as a run left it; it stays open, as in a kernel."""
    store = open_store(tmp_path / "agents.db")
    with Graph("g", State, store=store) as graph:
        START >> node(lambda state: {"seen": [1, 2]}, name="look") >> END
    graph.run({"topic": "wasps"}, thread="t")
    yield tmp_path / "agents.db"
    store.close()


def run(*words):
    """What a program prints; it has to end well."""
    done = subprocess.run([*map(str, words)], capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr
    return done.stdout


def utils(*words):
    if not (BIN / "sqlite-utils").exists():
        pytest.skip("install sqlite-utils to try its command")
    return run(BIN / "sqlite-utils", *words)


def test_sqlite_utils_works_on_the_file_as_it_is(file):
    """Its rows, schema, queries in memory, and an index over a table of the owner's own."""
    assert "t" == json.loads(utils("rows", file, "thread_list"))[0]["id"]
    assert "threads" in utils("schema", file)
    own = file.parent / "mine.csv"
    own.write_text("id,text\n1,wasps build\n")
    utils("insert", file, "mine", own, "--csv")
    utils("enable-fts", file, "mine", "text")
    assert "wasps build" in utils("search", file, "mine", "wasps")
    assert "1" in utils("memory", own, "select count(*) from mine")
    reopened = open_store(file)
    assert "done" == reopened.thread("t").status
    reopened.close()


def test_the_plugin_of_sqlite_utils(file):
    """Commands, and functions that read a stored value."""
    assert "wasps" == json.loads(utils("nbagent", "state", file, "t"))["topic"]
    assert "t" == json.loads(utils("nbagent", "threads", file))[0]["thread"]
    assert "[wasps]" in utils("nbagent", "search", file, "wasps")
    assert [1, 2] == [row["checkpoint"] for row in json.loads(
        utils("nbagent", "rows", file, "history", "t")
    )]  # fmt: skip
    found = json.loads(utils("query", file, "select nbagent_state('t', 1) as state"))
    assert {"topic": "wasps"} == json.loads(found[0]["state"])


def test_datasette_shows_the_file_and_an_export(file):
    """The pages of both are served beside a store that is open."""
    pytest.importorskip("datasette")
    exported = export_tables(file.parent / "out.db", file)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    served = subprocess.Popen(
        [sys.executable, "-m", "datasette", str(file), str(exported), "--port", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        base, until = f"http://127.0.0.1:{port}", time.monotonic() + 60
        while True:
            try:
                httpx.get(base, timeout=5).raise_for_status()
                break
            except httpx.HTTPError:
                assert time.monotonic() < until and served.poll() is None
                time.sleep(0.05)
        listed = httpx.get(f"{base}/agents/thread_list.json?_shape=array", timeout=30).json()
        assert ["t"] == [row["id"] for row in listed]
        state = httpx.get(f"{base}/out/state.json?_shape=array", timeout=30).json()
        assert {"topic", "seen"} == {row["field"] for row in state}
        assert "wasps" in httpx.get(f"{base}/out/state", timeout=30).text
    finally:
        served.terminate()
        served.wait(20)


def test_a_workbook_opens_in_a_spreadsheet(file):
    """A sheet a table."""
    import pandas

    pytest.importorskip("openpyxl")
    made = export_tables(file.parent / "out.xlsx", file)
    sheets = pandas.read_excel(made, sheet_name=None)
    assert "wasps" in set(sheets["state"]["value"])
    assert ["t"] == list(sheets["threads"]["thread"])


def test_the_plugins_commands_and_functions(file, monkeypatch):
    """In this process: every command, and every function in what sqlite-utils opens."""
    from click.testing import CliRunner
    from sqlite_utils import Database
    from sqlite_utils.cli import cli

    from nbagent.stores.codec.values import encode

    def said(*words):
        return CliRunner().invoke(cli, ["nbagent", *map(str, words)])

    assert ["t"] == [row["thread"] for row in json.loads(said("threads", file).output)]
    assert {"topic": "wasps", "seen": [1, 2]} == json.loads(said("state", file, "t").output)
    assert {"topic": "wasps"} == json.loads(said("state", file, "t", "--checkpoint", 1).output)
    assert 2 == len(json.loads(said("rows", file, "history", "t").output))
    assert "[wasps]" in said("search", file, "wasps").output
    nobody = said("state", file, "nobody")
    assert 1 == nobody.exit_code
    assert "no thread 'nobody'" in nobody.output

    db = Database(file)
    value = "select nbagent_value(?) as v"
    assert '{"a": [1]}' == next(db.query(value, [encode({"a": [1]})]))["v"]
    assert [None, None] == [next(db.query(value, [one]))["v"] for one in ("text", b"\xc1")]
    assert '"t"' in next(db.query("select nbagent_threads() as v"))["v"]
    assert next(db.query("select nbagent_state('nobody') as v"))["v"] is None
    db.close()
    other = Database(memory=True)
    assert next(other.query("select nbagent_threads() as v"))["v"] is None
    other.close()

    monkeypatch.setenv("KEY", "5a" * 32)
    sealed = open_store(f"sqlite:///{file.parent}/sealed.db?key_env=KEY")
    sealed.close()
    assert 0 != said("threads", file.parent / "sealed.db").exit_code


def test_words_are_found_in_every_kind_of_value(tmp_path):
    """In keys and in what is nested; numbers as they are written; nothing of what is no JSON."""
    from nbagent.stores.lookup.rows import moment, plain, words_of

    assert "a\nx\nb\n1" == words_of(plain({"a": ["x", {"b": 1}], **{}}))
    assert "" == words_of(None)
    assert "[not json" == words_of("[not json")
    assert "2.5" == words_of(2.5)
    assert plain(1 << 70) == str(1 << 70)
    assert "$opaque" in plain(float("nan"))
    assert moment(None) is None
    assert "1e+30" == moment(1e30)
