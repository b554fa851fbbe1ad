"""Secrets that are never written, text that is struck out, files that open with a key only. (W5)"""

import operator
import os
import sqlite3
import subprocess
import sys
import textwrap
from typing import Annotated, Any, TypedDict

import pytest

import nbagent
from nbagent import END, START, Graph, NodeError, Secret, StateError, effect, interrupt, node
from nbagent.engine.model import secrets
from nbagent.engine.store.ownership import current_owner
from nbagent.errors import CorruptError, StoreError
from nbagent.stores.encryption import new_key
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore

VALUE = "sk-very-secret-0123456789"


class State(TypedDict):
    key: Secret
    said: str
    log: Annotated[list[Any], operator.add]


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    """No test knows another's secrets."""
    monkeypatch.setattr(secrets, "_values", {})
    monkeypatch.setattr(secrets, "_patterns", [])


def bytes_of(folder):
    return b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())


def test_a_secret_is_never_in_the_file(tmp_path):
    """Nor in what is shown; the node reads it, before and after a restart. (W22)"""
    store = SqliteStore(tmp_path / "a.db")
    seen = []

    def use(state):
        seen.append(state["key"].reveal())
        return {"said": interrupt("Well?")}

    with Graph("g", State, store=store) as graph:
        START >> node(use) >> END
    graph.run({"key": Secret("my key", VALUE), "log": []}, thread="t")
    store.close()
    assert VALUE.encode() not in bytes_of(tmp_path)

    secrets._values.clear()  # as in another process
    store = SqliteStore(tmp_path / "a.db")
    with Graph("g", State, store=store) as graph:
        START >> node(use) >> END
    thread = graph.thread("t")
    assert "Secret('my key')" == repr(thread.state["key"])
    with pytest.raises(NodeError, match=r"never stored: run Secret\('my key', value\)"):
        thread.resume("yes").result(5)
    Secret("my key", VALUE)
    assert "yes" == thread.resume().result(5)["said"]
    assert [VALUE, VALUE] == seen
    store.close()


def test_a_secret_comes_from_the_environment(monkeypatch):
    """`Secret("NAME")` is the variable of that name."""
    with pytest.raises(StateError, match="set the environment variable NBAGENT_TEST_KEY"):
        Secret("NBAGENT_TEST_KEY").reveal()
    monkeypatch.setenv("NBAGENT_TEST_KEY", VALUE)
    assert VALUE == Secret("NBAGENT_TEST_KEY").reveal()
    with pytest.raises(AttributeError):
        Secret("a").name = "b"


def test_a_secret_in_an_error_is_struck_out(tmp_path):
    """In the message, in the traceback, in the list of threads, and in what is emitted."""
    store, events = SqliteStore(tmp_path / "a.db"), []

    def use(state):
        nbagent.emit(f"asking with {state['key'].reveal()}")
        raise ValueError(f"401 for {state['key'].reveal()} of card-1234")

    with Graph("g", State, store=store) as graph:
        START >> node(use) >> END
    nbagent.redact(r"card-\d+")
    run = graph.start({"key": Secret("k", VALUE), "log": []}, thread="t")
    run.watch(events.append)
    with pytest.raises(NodeError) as caught:
        run.result(5)
    store.close()

    for text in (str(caught.value), caught.value.traceback, *map(repr, events)):
        assert VALUE not in text
        assert "card-1234" not in text.replace('card-1234")', "")
    assert "401 for ••• of •••" in str(caught.value)
    assert VALUE.encode() not in bytes_of(tmp_path)


def encrypted(tmp_path, key):
    """A thread with values, an effect, a question, a failure, a note."""
    store = SqliteStore(tmp_path / "a.db", key=key)

    def fails(state):
        raise ValueError("PLAINTEXT of an error")

    def asks(state):
        effect("PLAINTEXT effect", lambda: "PLAINTEXT result")
        return {"said": interrupt("PLAINTEXT question?")}

    with Graph("g", State, store=store) as graph:
        START >> [node(asks), node(fails)] >> END
    with pytest.raises(NodeError):
        graph.run({"said": "PLAINTEXT value", "log": ["PLAINTEXT"]}, thread="t")
    graph.thread("t").edit({"said": "PLAINTEXT edit"}, note="PLAINTEXT note")
    return store, graph


def test_an_encrypted_file_says_nothing(tmp_path):
    """Values, journal, questions, errors and notes; with the key all is there."""
    key = new_key()
    encrypted(tmp_path, key)[0].close()
    assert b"PLAINTEXT" not in bytes_of(tmp_path)

    again = SqliteStore(tmp_path / "a.db", key=key)
    loaded = again.latest("t")
    assert "PLAINTEXT edit" == loaded.checkpoint.values["said"]
    assert "PLAINTEXT note" == loaded.checkpoint.note == again.history("t")[-1].note
    assert {"PLAINTEXT effect", "PLAINTEXT question?"} == {e.key for e in loaded.journal}
    assert "PLAINTEXT" in again.thread("t").error
    assert ["PLAINTEXT of an error"] == [r.failure.message for r in loaded.tasks if r.failure]
    again.close()


def test_a_key_fits_or_is_refused(tmp_path):
    """None, another, no key at all, a plain file with a key: a sentence each."""
    key = new_key()
    encrypted(tmp_path, key)[0].close()
    for wrong, sentence in ((None, "is encrypted"), (new_key(), "another key"), ("x", "64 hex")):
        with pytest.raises(StoreError, match=sentence):
            SqliteStore(tmp_path / "a.db", key=wrong)
    plain = SqliteStore(tmp_path / "b.db")
    with Graph("g", State, store=plain) as graph:
        START >> node(lambda s: None, name="a") >> END
    graph.run({"log": []}, thread="t")
    plain.close()
    with pytest.raises(StoreError, match="holds plain threads"):
        SqliteStore(tmp_path / "b.db", key=key)


def test_a_key_from_the_environment(tmp_path, monkeypatch):
    """The URL names the variable, so that no key is in a notebook."""
    url = f"sqlite:///{tmp_path}/a.db?key_env=NBAGENT_TEST_KEY"
    with pytest.raises(StoreError, match="NBAGENT_TEST_KEY, which is to hold the key, is not set"):
        nbagent.open_store(url)
    monkeypatch.setenv("NBAGENT_TEST_KEY", new_key())
    nbagent.open_store(url).close()
    nbagent.open_store(url).close()


@pytest.mark.parametrize("what", ["moved", "plain"])
def test_encrypted_data_opens_only_where_it_was_written(tmp_path, what):
    """A field's bytes put in another's place, or replaced by plain ones, are damage."""
    key = new_key()
    store = SqliteStore(tmp_path / "a.db", key=key)
    with Graph("g", State, store=store) as graph:
        START >> node(lambda s: {"said": "b"}, name="a") >> END
    graph.run({"said": "a", "log": ["x"]}, thread="t")
    store.close()
    with sqlite3.connect(tmp_path / "a.db") as db:
        rows = dict(db.execute("SELECT field, data FROM versions WHERE checkpoint = 1").fetchall())
        data = rows["log"] if what == "moved" else b"\xa1b"
        db.execute(
            "UPDATE versions SET data = ?, checksum = ? WHERE field = 'said' AND checkpoint = 2",
            (data, __import__("zlib").crc32(data)),
        )
    db.close()
    store = SqliteStore(tmp_path / "a.db", key=key)
    with pytest.raises(CorruptError):
        store.load("t", 2)
    loaded = store.latest("t")
    assert ("a", 1) == (loaded.checkpoint.values["said"], loaded.checkpoint.id)
    assert "damaged" in loaded.notice
    store.close()


def test_an_encrypted_thread_is_copied_out_and_in(tmp_path):
    """From one key to another, and to none, by those who have the keys."""
    store, graph = encrypted(tmp_path, new_key())
    other = SqliteStore(tmp_path / "other.db", key=new_key())
    graph.thread("t").copy(other)
    memory = MemoryStore()
    with Graph("g", State, store=other) as there:
        START >> node(lambda s: None, name="a") >> END
    there.thread("t").copy(memory)
    assert store.latest("t").checkpoint == memory.latest("t").checkpoint
    store.close()
    other.close()


_MESSAGES = """
    import sys
    from typing import Any, TypedDict
    {imports}
    from nbagent import END, START, Graph, node
    from nbagent.stores.sqlite import SqliteStore

    class State(TypedDict):
        messages: list[Any]

    store = SqliteStore(sys.argv[1])
    with Graph("g", State, store=store) as graph:
        START >> node(lambda s: None, name="a") >> END
    {work}
    store.close()
"""


def test_langchain_messages_come_back(tmp_path):
    """All kinds, in a field of any type, in another process; nothing is imported for them."""
    pytest.importorskip("langchain_core")

    def run(imports, work):
        text = textwrap.dedent(_MESSAGES).format(imports=imports, work=work)
        return subprocess.run(
            [sys.executable, "-c", text, str(tmp_path / "a.db")],
            capture_output=True, text=True, env=os.environ, timeout=120,
        )  # fmt: skip

    imports = "from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, " + (
        "ToolMessage"
    )
    call = "{'name': 'search', 'args': {'q': 'bees'}, 'id': 'c1', 'type': 'tool_call'}"
    made = (
        f"made = [SystemMessage('s'), HumanMessage('h', name='Ada'), AIMessage('', tool_calls="
        f"[{call}]), ToolMessage('found', tool_call_id='c1')]; "
    )
    done = run(imports, made + "graph.run({'messages': made}, thread='t')")
    assert 0 == done.returncode, done.stderr
    done = run(imports, made + "assert graph.thread('t').state['messages'] == made; print('equal')")
    assert "equal" == done.stdout.strip(), done.stderr
    done = run("", "print('langchain_core' in sys.modules); graph.thread('t').state")
    assert "False" == done.stdout.strip()
    assert "which is not known here" in done.stderr


def test_a_plain_store_that_is_empty_does_not_become_encrypted(tmp_path):
    """Others have it open as plain: what they write would be in the clear in an encrypted file."""
    key, plain = new_key(), SqliteStore(tmp_path / "a.db")
    with pytest.raises(StoreError, match="made without a key"):
        SqliteStore(tmp_path / "a.db", key=key)
    plain.release(plain.acquire("t", current_owner(), create=True), "paused")
    plain.close()
    SqliteStore(tmp_path / "a.db").close()
    SqliteStore(tmp_path / "b.db", key=key).close()
    with pytest.raises(StoreError, match="encrypted"):
        SqliteStore(tmp_path / "b.db")
