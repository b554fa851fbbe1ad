"""A copy has all that a thread has, in the clear only where that is said, as a whole or not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypedDict

import pytest

import nbagent
from nbagent import END, START, Graph, NodeError, StoreError, effect, interrupt, node, span
from nbagent.engine.model.ids import PART
from nbagent.engine.store.ownership import current_owner, fresh_owner
from nbagent.engine.store.parts import part_of, sweep
from nbagent.errors import ThreadBusy, ThreadError, UnknownThread
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore

MARK = "CLEARTEXTMARK"
KEY = "17" * 32


class State(TypedDict):
    x: str


def made(store):
    """A graph in a graph: it prints, traces, does, asks, and fails where it is told to."""
    with Graph("inner", State) as inner:

        @node
        def ask(state):
            with span("inside"):
                return {"x": state["x"] + interrupt(f"{MARK}?")}

        START >> ask >> END
    with Graph("outer", State, store=store) as outer:

        @node
        def work(state):
            print(f"printed {MARK}")
            with span("search", kind="tool", query=MARK):
                return {"x": effect("pay", lambda: state["x"])}

        @node
        def last(state):
            if "fail" in state["x"]:
                raise ValueError(MARK)
            return {}

        START >> work >> inner >> last >> END
    return outer


def told(store, id="t"):
    """All that a store has of a thread, without its name and its owner."""
    found = []
    for info in [store.thread(id), *store.under(id)]:
        history = store.history(info.id)
        found.append(
            (
                info.graph, info.status, info.checkpoint, info.step, info.error, info.place,
                info.parent, info.updated, info.owner,
                [replace(line, size=0) for line in history],
                [store.load(info.id, line.id) for line in history],
                store.outcomes(info.id),
                [replace(one, thread="") for one in store.spans(info.id)],
            )
        )  # fmt: skip
    return found


@pytest.fixture(params=["memory", "sqlite", "encrypted", "postgres"])
def target(request, tmp_path):
    if request.param == "memory":
        store = MemoryStore()
    elif request.param == "postgres":
        store = nbagent.open_store(request.getfixturevalue("postgres").url(tmp_path.name[-40:]))
    else:
        key = KEY if request.param == "encrypted" else None
        store = SqliteStore(tmp_path / "target.db", key=key)
    yield store
    store.close()


@pytest.fixture
def source(tmp_path):
    store = SqliteStore(tmp_path / "source.db")
    yield store
    store.close()


@pytest.mark.parametrize("ends", ["waiting", "failed", "done", "fork"])
def test_a_copy_has_all(source, target, ends):
    """Title, notes, spans, what was printed, where a fork began, errors, times, what is nested."""
    graph = made(source)
    thread = graph.thread("t")
    graph.run({"x": "fail" if ends == "failed" else "x"}, "t")
    if ends in ("failed", "done"):
        try:
            thread.resume("yes").result(20)
        except NodeError:
            assert "failed" == ends
    thread.rename("My title")
    thread.annotate("good", checkpoint=1)
    if ends == "fork":
        thread = thread.fork(id="f")

    thread.copy(target)

    there = made(target).thread(thread.id)
    assert told(source, thread.id) == told(target, thread.id)
    assert (thread.title, thread.notes, thread.origin) == (there.title, there.notes, there.origin)
    assert list(thread.trace()["kind"]) == list(there.trace()["kind"])
    assert any(span.kind == "output" for span in target.spans(thread.id)) == (ends != "fork")


def test_a_copy_under_another_id_is_like_the_first(source):
    made(source).run({"x": "x"}, "t")
    made(source).thread("t").rename("title")
    made(source).thread("t").copy(source, "u")
    assert "title" == made(source).thread("u").title
    other = made(source).thread("u")
    assert "xyes" == other.resume("yes").result(20)["x"]
    assert "waiting" == made(source).thread("t").status


def test_a_copys_inner_threads_leave_other_threads_alone(source, target):
    made(source).run({"x": "x"}, "t")
    (inner,) = source.under("t")
    made(target).run({"x": "mine"}, inner.id)
    made(source).thread("t").copy(target)
    assert "mine" == made(target).thread(inner.id).state["x"]
    assert "xyes" == made(target).thread("t").resume("yes").result(20)["x"]


@pytest.mark.parametrize("point", ["put_tasks", "put_journal", "put_spans", "commit", "release"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_copy_that_fails_anywhere_is_not_there(source, point, at, tmp_path):
    """Nor is anything of what is nested in it, and the next one finds room."""
    made(source).run({"x": "x"}, "t")
    target = SqliteStore(tmp_path / "target.db")
    calls, real = [], getattr(target, point)

    def fails(*args, **more):
        calls.append(point)
        if len(calls) == at:
            raise StoreError("the disk is full")
        return real(*args, **more)

    setattr(target, point, fails)
    if at > 2 and point in ("put_spans", "release"):
        made(source).thread("t").copy(target)
        target.close()
        return
    with pytest.raises(StoreError, match="disk is full"):
        made(source).thread("t").copy(target)
    assert [] == target.threads()
    delattr(target, point)
    made(source).thread("t").copy(target)
    assert told(source) == told(target)
    target.close()


def test_nobody_sees_a_copy_before_it_is_whole(source, target):
    """It is in no list, cannot be resumed, and nobody else makes a thread there meanwhile."""
    made(source).run({"x": "x"}, "t")
    seen, real = [], target.put_tasks

    def looks(lease, records):
        seen.append([info.id for info in target.threads() if not info.is_nested])
        for try_it in (
            lambda: target.acquire("t", fresh_owner(), create=True),
            lambda: made(source).thread("t").copy(target),
        ):
            with pytest.raises((ThreadBusy, ThreadError)):
                try_it()
        real(lease, records)

    target.put_tasks = looks
    made(source).thread("t").copy(target)
    assert seen
    assert [[]] * len(seen) == seen
    assert told(source) == told(target)


_COPIES = """
import sys, operator
from typing import Annotated, TypedDict
from nbagent import Graph, node, START, END, branch
class S(TypedDict):
    n: int
    log: Annotated[list[str], operator.add]
def made(store):
    with Graph("g", S, store=store) as g:
        @node
        def a(s): return {"n": s["n"] + 1, "log": [f"paid {s['n']}"]}
        START >> a >> branch(lambda s: "m" if s["n"] < 150 else "e", m=a, e=END)
    return g
folder, what = sys.argv[1:]
g = made(f"sqlite:///{folder}/a.db?durability=process")
if what == "run":
    g.run({"n": 0, "log": []}, "t")
    sys.exit()
print("go", flush=True)
if what == "export":
    g.thread("t").export(f"{folder}/one.db")
else:
    g.thread("t").copy(f"sqlite:///{folder}/b.db")
"""


def copying(folder, what):
    environment = os.environ | {"NBAGENT_PROGRESS": "0"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    line = [sys.executable, "-c", _COPIES, str(folder), what]
    return subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment)


def copied(folder, what):
    process = copying(folder, what)
    process.communicate(timeout=120)
    assert 0 == process.returncode


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long")
    copied(folder, "run")
    return folder


def killed(folder, what, after):
    process = copying(folder, what)
    assert "go" == process.stdout.readline().strip()
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("after", [0.05, 0.25])
def test_a_killed_export_leaves_no_file(long, after):
    """Or the whole of it; the next one is not refused for it."""
    path = long / "one.db"
    killed(long, "export", after)
    if path.exists():
        path.unlink()
    copied(long, "export")
    assert [] == list(long.glob(".one.db.*"))  # nor what the killed one had written
    source, there = SqliteStore(long / "a.db"), SqliteStore(path)
    assert told(source) == told(there)
    source.close()
    there.close()
    path.unlink()


def test_only_what_nobody_writes_any_more_is_swept(tmp_path):
    """Of this process and of other machines nothing is, before it is old; other files never."""
    place = tmp_path / "[a] *.db"
    mine, theirs = part_of(place), tmp_path / ".[a] *.db.0123456789ab.1-2.0123456789ab.part"
    dead = Path(str(mine).replace(f".{os.getpid()}-", f".{2**22 + 1}-"))
    old, other = tmp_path / ".[a] *.db.fedcba987654.part", tmp_path / ".[a] *.db.notes.part"
    for path in (mine, theirs, dead, Path(f"{dead}-wal"), old, other):
        path.touch()
    os.utime(old, (0, 0))

    sweep(place)
    assert {mine, theirs, other} == set(tmp_path.iterdir())


def test_a_long_name_has_a_part(tmp_path):
    """Names are as long as a file system's names may be, in any letters."""
    place = tmp_path / ("ж" * 120 + ".db")
    part_of(place).touch()


@pytest.mark.parametrize("after", [0.05, 0.25])
def test_a_killed_copy_is_not_there(long, after):
    """It is no thread that stands at an old step, and the next one takes its place."""
    source, target = SqliteStore(long / "a.db"), SqliteStore(long / "b.db")
    killed(long, "copy", after)
    if target.threads():
        assert told(source) == told(target)
        target.delete(target.acquire("t", current_owner()))
    for look in (target.thread, target.latest, lambda id: target.acquire(id, current_owner())):
        with pytest.raises(UnknownThread):
            look("t")
    copied(long, "copy")
    assert told(source) == told(target)
    target.delete(target.acquire("t", current_owner()))
    source.close()
    target.close()


def test_what_a_killed_copy_left_is_taken_away(source, tmp_path):
    """Also what was nested in it, by whoever makes a thread there, be it by a start."""
    made(source).run({"x": "x"}, "t")
    made(source).thread("t").copy(target := SqliteStore(tmp_path / "b.db"))
    with target.database.write() as db:
        owner = json.dumps(asdict(replace(current_owner(), pid=2**22 + 1)))
        db.execute("UPDATE threads SET place = ?, owner = ? WHERE id = 't'", (PART, owner))
    assert [] == [info.id for info in target.threads() if not info.is_nested]
    assert "y" == made(target).start({"x": "y"}, "t").result(20)["x"]
    assert 2 == len(target.threads())
    target.close()


def test_a_thread_that_runs_is_copied_as_a_kill_would_leave_it(source, target):
    made(source).run({"x": "x"}, "t")
    lease = source.acquire("t", fresh_owner())
    made(source).thread("t").copy(target)
    assert ("running", "stopped") == (source.thread("t").status, target.thread("t").status)
    source.renew(lease)
    assert "xyes" == made(target).thread("t").resume("yes").result(20)["x"]


def text_of(folder):
    return b"".join(one.read_bytes() for one in folder.iterdir() if one.is_file())


@pytest.fixture
def hidden(tmp_path, monkeypatch):
    monkeypatch.setenv("NBAGENT_TEST_KEY", KEY)
    (tmp_path / "hidden").mkdir()
    store = SqliteStore(tmp_path / "hidden" / "a.db", key=KEY)
    made(store).run({"x": MARK}, "t")
    yield store
    store.close()


def test_what_is_encrypted_stays_so_in_an_exported_file(hidden, tmp_path):
    """With the key of its store; in the clear where somebody says so."""
    (tmp_path / "out").mkdir()
    made(hidden).thread("t").export(tmp_path / "out" / "one.db")
    assert MARK.encode() not in text_of(tmp_path / "out")
    assert MARK == made(f"sqlite:///{tmp_path}/out/one.db?key_env=NBAGENT_TEST_KEY").thread(
        "t"
    ).state["x"].removesuffix("!")

    made(hidden).thread("t").export(tmp_path / "out" / "two.db", plain=True)
    assert MARK.encode() in text_of(tmp_path / "out")


def test_what_is_encrypted_is_not_copied_into_the_clear(hidden, tmp_path):
    """Into a plain file, or a file that is there, only where that is said; memory is no disk."""
    plain = SqliteStore(tmp_path / "plain.db")
    thread = made(hidden).thread("t")
    for way in (lambda: thread.copy(plain), lambda: thread.export(tmp_path / "plain.db")):
        with pytest.raises(StoreError, match=r"plain=True|holds plain threads|key"):
            way()
    assert [] == plain.threads()
    thread.copy(plain, plain=True)
    assert told(hidden) == told(plain)
    thread.copy(memory := MemoryStore())
    assert told(hidden) == told(memory)
    plain.close()


def test_an_encrypted_file_is_imported_with_its_key(hidden, tmp_path):
    """The target store's, or the one that is named; and stays encrypted."""
    made(hidden).thread("t").export(tmp_path / "one.db")
    same = SqliteStore(tmp_path / "same.db", key=KEY)
    other = SqliteStore(tmp_path / "other.db", key="18" * 32)
    plain = SqliteStore(tmp_path / "plain.db")

    assert ["t"] == nbagent.import_threads(tmp_path / "one.db", same)
    with pytest.raises(StoreError, match="another key"):
        nbagent.import_threads(tmp_path / "one.db", other)
    nbagent.import_threads(tmp_path / "one.db", other, key_env="NBAGENT_TEST_KEY")
    with pytest.raises(StoreError, match="key_env="):
        nbagent.import_threads(tmp_path / "one.db", plain)
    with pytest.raises(StoreError, match="plain=True"):
        nbagent.import_threads(tmp_path / "one.db", plain, key_env="NBAGENT_TEST_KEY")
    assert told(same) == told(other)
    for store in (same, other, plain):
        store.close()


@pytest.fixture
def media(tmp_path):
    """A disk that can only be read, with a file on it, exported and as it stood in a kernel."""
    place = tmp_path / "media"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "none", place], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    store = SqliteStore(tmp_path / "open.db")
    made(store).run({"x": "x"}, "t")
    made(store).thread("t").export(place / "one.db")
    made(store).run({"x": "late"}, "late")
    for end in ("", "-wal"):
        shutil.copy(tmp_path / f"open.db{end}", place / f"open.db{end}")
    store.close()
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_file_that_can_only_be_read_is_read(media, tmp_path):
    """It is imported, listed and looked at; who writes to it is told why not."""
    before = sorted(os.listdir(media))
    target = SqliteStore(tmp_path / "b.db")
    assert ["t"] == nbagent.import_threads(media / "one.db", target)
    assert ["late"] == nbagent.import_threads(media / "open.db", target, threads=["late"])
    assert "late" == made(target).thread("late").state["x"]
    thread = made(media / "one.db").thread("t")
    assert ("waiting", "x") == (thread.status, thread.state["x"])
    assert ["t"] == list(nbagent.threads(media / "one.db")["thread"])
    with pytest.raises(StoreError, match="cannot be written"):
        thread.resume("yes")
    assert before == sorted(os.listdir(media))
    thread.store.close()
    target.close()


def test_an_import_leaves_the_file_as_it_is(source, tmp_path):
    """Whoever has sent it; also one that its kernel has open, with its latest steps."""
    made(source).run({"x": "x"}, "t")
    target = SqliteStore(tmp_path / "b.db")
    (tmp_path / "sent").mkdir()
    path = tmp_path / "sent" / "one.db"
    made(source).thread("t").export(path)
    before = path.read_bytes()
    nbagent.import_threads(path, target)
    assert (before, ["one.db"]) == (path.read_bytes(), os.listdir(path.parent))

    made(source).run({"x": "late"}, "late")
    nbagent.import_threads(source.path, target, threads=["late"])
    assert told(source, "late") == told(target, "late")
    with pytest.raises(StoreError, match="there is no file"):
        nbagent.import_threads(tmp_path / "typo.db", target)
    assert not (tmp_path / "typo.db").exists()
    target.close()


def test_an_export_into_a_file_that_is_there_adds_to_it(source, tmp_path):
    for id in ("t", "u"):
        made(source).run({"x": id}, id)
        made(source).thread(id).export(tmp_path / "both.db")
    with pytest.raises(ThreadError, match="already"):
        made(source).thread("t").export(tmp_path / "both.db")
    there = SqliteStore(tmp_path / "both.db")
    assert {"t", "u"} == {info.id for info in there.threads() if not info.is_nested}
    there.close()


def test_an_export_that_fails_leaves_nothing(source, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(UnknownThread):
        made(source).thread("nobody").export(tmp_path / "out" / "one.db")
    with pytest.raises(StoreError):
        made(source).run({"x": "x"}, "t")
        made(source).thread("t").export(tmp_path / "nowhere" / "one.db")
    assert [] == os.listdir(tmp_path / "out")
