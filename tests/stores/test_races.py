"""
Many processes want one thread. Each super-step is made by one of them. (W4)

`NBAGENT_RACES` is how many super-steps they race for; a thousand take a minute.
"""

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from typing import TypedDict

import pytest

from nbagent import END, START, Graph, node, open_store
from nbagent.engine.model.checkpoint import Checkpoint
from nbagent.engine.model.values import frozen_dict
from nbagent.engine.store.ownership import current_owner
from nbagent.errors import ThreadBusy

RACES = int(os.environ.get("NBAGENT_RACES", "60"))

_RACER = """
    import sys, time, random
    from dataclasses import replace
    from nbagent import ThreadBusy, open_store
    from nbagent.engine.store.ownership import current_owner
    from nbagent.engine.model.values import frozen_dict

    store, last = open_store(sys.argv[1]), int(sys.argv[2])
    print("ready", flush=True)
    sys.stdin.readline()
    while True:
        try:
            lease = store.acquire("t", current_owner(), take_over=random.random() < 0.1)
            loaded = store.latest("t").checkpoint
            if loaded.id >= last:
                break
            number = loaded.id + 1
            store.commit(lease, replace(loaded, id=number, parent=loaded.id, step=number,
                                        values=frozen_dict({"x": loaded.values["x"] + 1})))
            print(number, flush=True)
            store.release(lease, "paused")
        except ThreadBusy:
            continue
    try:
        store.release(lease, "done")
    except ThreadBusy:
        pass
    store.close()
"""


def first(store):
    """A thread with its first checkpoint."""
    lease = store.acquire("t", current_owner(), create=True)
    empty = frozen_dict({})
    store.commit(lease, Checkpoint(1, None, 1, "input", frozen_dict({"x": 1}), empty, (), (), 1))
    store.release(lease, "paused")


def start(url, *more, script=_RACER):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), url, *map(str, more)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a.db?durability=process"
    return request.getfixturevalue("postgres").url(tmp_path.name[-40:])


@pytest.mark.parametrize("count", [2, 8])
def test_one_of_many_makes_each_super_step(url, count):
    """None is made twice, none is lost, also when they take each other's lease."""
    store = open_store(url)
    first(store)
    racers = [start(url, RACES + 1) for _ in range(count)]
    for racer in racers:
        assert "ready" == racer.stdout.readline().strip()
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    made = []
    for racer in racers:
        said, _ = racer.communicate(timeout=600)
        assert 0 == racer.returncode
        made += map(int, said.split())

    history = store.history("t")
    assert list(range(1, RACES + 2)) == [info.id for info in history]
    assert len(made) == len(set(made))
    assert RACES + 1 == store.latest("t").checkpoint.values["x"]
    store.close()


_SLEEPER = """
    import sys
    from dataclasses import replace
    from nbagent import ThreadBusy
    from nbagent.engine.store.ownership import current_owner

    url = sys.argv[1]
    if url.startswith("sqlite"):
        from nbagent.stores.sqlite import SqliteStore

        store = SqliteStore(url.removeprefix("sqlite:///").partition("?")[0], lease=0.3)
    else:
        from nbagent.stores.postgres import PostgresStore

        store = PostgresStore(url, lease=0.3)
    lease = store.acquire("t", current_owner())
    loaded = store.latest("t").checkpoint
    print("ready", flush=True)
    sys.stdin.readline()
    for write in (
        lambda: store.commit(lease, replace(loaded, id=2, parent=1)),
        lambda: store.renew(lease),
        lambda: store.release(lease, "done"),
        lambda: store.prune(lease, ()),
        lambda: store.delete(lease),
    ):
        try:
            write()
            print("wrote")
        except ThreadBusy as busy:
            print("busy", busy.owner)
    store.close()
"""


def test_a_process_frozen_past_its_lease_writes_nothing_when_it_wakes(url):
    """Others were told to wait while its lease lasted; then one took the thread. (W4)"""
    store = open_store(url)
    first(store)
    sleeper = start(url, script=_SLEEPER)
    assert "ready" == sleeper.stdout.readline().strip()
    os.kill(sleeper.pid, signal.SIGSTOP)
    mine = replace(current_owner(), token="mine", label="the second")
    with pytest.raises(ThreadBusy, match=f"process {sleeper.pid}"):
        store.acquire("t", mine)
    time.sleep(0.4)
    lease = store.acquire("t", mine)
    os.kill(sleeper.pid, signal.SIGCONT)
    said, _ = sleeper.communicate("go\n", timeout=30)

    assert ["busy the second"] * 5 == said.splitlines()
    assert (1, "running") == (store.thread("t").checkpoint, store.thread("t").status)
    store.release(lease, "paused")
    store.close()


class Count(TypedDict):
    x: int


@pytest.mark.parametrize("at", ["commit", "put_spans", "release"])
def test_a_fork_is_not_seen_before_it_is_whole(tmp_path, monkeypatch, at):
    """Whoever looks meanwhile, or after a kill, finds no half of it."""
    seen = []
    with Graph("g", Count, store=tmp_path / "a.db") as graph:
        START >> node(lambda state: {"x": 1}, name="one") >> END
    graph.run({"x": 0}, thread="t")
    real = getattr(graph.store, at)

    def looking(*args, **kwargs):
        seen.append([info.id for info in graph.store.threads()])
        return real(*args, **kwargs)

    monkeypatch.setattr(graph.store, at, looking)
    graph.thread("t").fork(id="f")

    assert [["t"]] == seen
    assert {"f", "t"} == {info.id for info in graph.store.threads()}
    assert "paused" == graph.thread("f").status
    graph.store.close()
