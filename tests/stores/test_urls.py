"""Which store a URL or a path names, and that it stays that one."""

import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nbagent
from nbagent import END, START, Graph, StoreError, import_threads, node, open_store
from nbagent.engine.store import opening
from nbagent.engine.store.opening import resolve_store
from nbagent.stores import urls
from nbagent.stores.sqlite import SqliteStore


class State(TypedDict):
    x: int


def made(store):
    with Graph("g", State, store=store) as graph:
        START >> node(lambda s: {"x": s["x"] + 1}, name="a") >> END
    return graph


ODD = [
    "sp ace.db", "üñí.db", "q'uote\".db", "per%41cent.db", "100%.db", "ha#sh.db", "que?stion.db",
    "que?durability=process", "semi;colon.db", "a&b=c.db", "new\nline.db", "tab\t.db", "\udcff.db",
    ":memory:", "file:a.db", "~", "+.db",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_a_path_means_itself(name, tmp_path):
    """As a store, in a URL that says so, as a file to export to and to import from."""
    for folder in ("path", "url", "export", "import"):
        (tmp_path / folder).mkdir()

    graph = made(tmp_path / "path" / name)
    graph.run({"x": 1}, "t")
    assert [name] == [one for one in os.listdir(tmp_path / "path") if one == name]
    url = graph.store.url
    assert {"x": 2} == made(url).thread("t").state

    url = urls.sqlite_url(tmp_path / "url" / name)
    made(url).run({"x": 1}, "t")
    made(url).store.close()
    assert [name] == os.listdir(tmp_path / "url")

    graph.thread("t").export(os.fspath(tmp_path / "export" / name))
    assert [name] == os.listdir(tmp_path / "export")
    target = tmp_path / "import" / "a.db"
    assert ["t"] == import_threads(os.fspath(tmp_path / "export" / name), target)
    assert {"x": 2} == made(target).thread("t").state
    graph.store.close()


@given(st.text(st.characters(exclude_characters="\0"), min_size=1))
def test_a_url_and_back(path):
    """Whatever a path holds, its URL names it."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return
    if "key_env=" not in path:
        assert path == urls.sqlite_path(urls.sqlite_url(path))


@pytest.mark.parametrize(
    "end",
    [
        "a.db?key_env=", "a.db?key_env", "a.db?key_env=NBAGENT_UNSET", "a.db?key_env=KEY&key_env=",
        "a.db?key_env=KEY#x", "a.db#?x&key_env=KEY", "a.db#key_env=KEY", "a.db%3Fkey_env=KEY",
        "a.db?durability=process;key_env=KEY", "a.db?durability=process&amp;key_env=KEY",
        "a.db?key-env=KEY", "a.db?KEY_ENV=KEY", "a.db?key_env=EMPTY", "a.db?key_env=SHORT",
        "a.db?", "a.db?durability=", "a.db?x", "", "?key_env=KEY", "a%00.db",
    ],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["sqlite", "memory"])
def test_a_url_that_is_not_understood_opens_nothing(end, scheme, tmp_path, monkeypatch):
    """What may have been meant to be encrypted is never opened plain."""
    if scheme == "memory" and "key_env=" not in end:
        pytest.skip("a store in memory has any name")
    monkeypatch.setenv("KEY", "00" * 32)
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("SHORT", "00")
    place = f"sqlite:///{tmp_path}/" if scheme == "sqlite" and end else f"{scheme}:///"
    with pytest.raises(StoreError):
        open_store(place + end)
    assert [] == os.listdir(tmp_path)


@pytest.mark.parametrize("end", ["#x?key_env=KEY", "?key_env=", "?key_env", "?key_env=KEY#x"])
def test_a_servers_url_loses_no_key(end, postgres):
    with pytest.raises(StoreError, match=r"%23|key"):
        open_store(postgres.url("lost").partition("?")[0] + end)


def test_a_hash_is_a_sign_like_any_other(tmp_path, monkeypatch):
    """It ends neither the path nor hides the key."""
    monkeypatch.setenv("KEY", "00" * 32)
    store = open_store(f"sqlite:///{tmp_path}/run #3.db?key_env=KEY")
    made(store).run({"x": 1}, "t")
    store.close()
    assert ["run #3.db"] == os.listdir(tmp_path)
    with pytest.raises(StoreError, match="encrypted"):
        open_store(tmp_path / "run #3.db")


def test_a_store_does_not_move_with_the_process(tmp_path, monkeypatch):
    """A URL and a path mean the folder in which they were named."""
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    graphs = [made("sqlite:///url.db"), made(Path("path.db"))]
    monkeypatch.chdir(tmp_path / "there")
    for graph in graphs:
        graph.run({"x": 1}, "t")
    monkeypatch.chdir(tmp_path)
    assert ["done", "done"] == [graph.thread("t").status for graph in graphs]
    assert [] == os.listdir("there")
    for graph in graphs:
        graph.store.close()
    assert ["path.db", "url.db"] == sorted(os.listdir("here"))


def test_the_default_store_is_where_the_process_began(tmp_path):
    """Beside the notebook, wherever `%cd` leads and whatever was named first."""
    script = """
import os, sys, nbagent
os.chdir(sys.argv[1])
from nbagent import Graph, START, END, node
with Graph("g", dict, store=None) as g: START >> node(lambda s: {}, name="a") >> END
""".replace("dict", "__import__('typing').TypedDict('S', {'x': int})")
    script += "g.run({'x': 1}, 't'); os.chdir('/'); print(g.thread('t').status, g.store.path)"
    (tmp_path / "other").mkdir()
    said = subprocess.run(
        [sys.executable, "-c", script, "other"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ).stdout  # fmt: skip
    assert f"done {tmp_path / 'nbagent.db'}" == said.strip()


def test_a_folder_that_was_removed_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(opening, "_folder", lambda: "")
    with pytest.raises(StoreError, match="absolute"):
        made("sqlite:///a.db")


def test_spellings_of_one_file_are_one_store(tmp_path, monkeypatch):
    """Before it is there and afterwards, also by a link."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    found = [
        resolve_store(one)
        for one in (
            "sqlite:///sub/../a.db", "sqlite:///a.db", f"sqlite:///{tmp_path}/a.db",
            "sqlite:///%61.db", Path("a.db"), "sqlite:///link/a.db", tmp_path / "link" / "a.db",
        )
    ]  # fmt: skip
    assert 1 == len({id(one) for one in found})
    assert found[0] is not resolve_store("sqlite:///b.db")
    os.link("a.db", "hard.db")
    assert found[0] is resolve_store("sqlite:///hard.db")


def test_a_file_in_the_place_of_another_is_another_store(tmp_path):
    """Whoever deletes the file begins anew, without a restart."""
    path = tmp_path / "a.db"
    graph = made(path)
    graph.run({"x": 1}, "t")
    for end in ("", "-wal", "-shm"):
        path.with_name(f"a.db{end}").unlink(missing_ok=True)
    assert graph.thread("t").stored() is None
    assert {"x": 8} == graph.run({"x": 7}, "t")


def test_many_threads_open_one_store(tmp_path):
    for number in range(5):
        start, found = threading.Barrier(8), []

        def open_it(number=number, start=start, found=found):
            start.wait()
            found.append(resolve_store(f"sqlite:///{tmp_path}/{number}.db"))

        threads = [threading.Thread(target=open_it) for _ in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert (8, 1) == (len(found), len({id(one) for one in found}))


def test_many_stores_of_one_new_file(tmp_path):
    """As many processes that begin at once: each can write."""
    for number in range(10):
        start, found = threading.Barrier(6), []

        def open_it(number=number, start=start, found=found):
            start.wait()
            try:
                store = SqliteStore(tmp_path / f"{number}.db")
                made(store).run({"x": 1}, f"t{threading.get_ident()}")
                found.append(len(store.threads()) > 0)
                store.close()
            except Exception as error:
                found.append(error)

        threads = [threading.Thread(target=open_it) for _ in range(6)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert [True] * 6 == found


def test_many_processes_open_one_new_file(tmp_path):
    script = (
        "import sys; from nbagent import open_store\nprint('ready', flush=True)\n"
        "sys.stdin.readline()\ns = open_store(sys.argv[1])\nprint(s.threads(), flush=True)"
    )
    line = [sys.executable, "-c", script, f"sqlite:///{tmp_path}/a.db"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    many = [subprocess.Popen(line, text=True, env=environment, **pipes) for _ in range(6)]
    for one in many:
        assert "ready" == one.stdout.readline().strip()
    for one in many:
        one.stdin.write("go\n")
        one.stdin.flush()
    said = [one.communicate(timeout=60) for one in many]
    assert [("[]\n", "")] * 6 == said


def test_a_path_is_taken_wherever_a_url_is(tmp_path):
    made(tmp_path / "a.db").run({"x": 1}, "t")
    assert ["t"] == list(nbagent.threads(tmp_path / "a.db")["thread"])
    made(tmp_path / "a.db").thread("t").copy(tmp_path / "b.db")
    with closing(open_store(tmp_path / "b.db")) as copied:
        assert ["t"] == [info.id for info in copied.threads()]
