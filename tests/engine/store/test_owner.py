"""An owner is one process of one boot of one machine, and a clock that is set takes no thread."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from nbagent.engine.model.checkpoint import Owner
from nbagent.engine.store import machine, ownership
from nbagent.engine.store.ownership import current_owner, fresh_owner, is_alive
from nbagent.errors import ThreadBusy
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore

DEAD = 2**22 + 1  # above the largest id that Linux gives


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("field", ["boot", "namespace"])
def test_the_same_process_id_elsewhere_says_nothing(field):
    """Two containers share the host name and count their processes alike."""
    here = replace(current_owner(), pid=DEAD)
    assert not is_alive(here)
    assert is_alive(replace(here, **{field: "another"}))


def test_another_host_name_does_not_make_it_another_machine():
    assert not is_alive(replace(current_owner(), pid=DEAD, host="renamed since"))


def test_an_owner_of_an_earlier_version_is_judged_as_before():
    """By its host's name, its process and when that began."""
    me = current_owner()
    old = Owner("old", me.host, me.pid, me.started, "an owner")
    assert is_alive(old)
    assert not is_alive(replace(old, pid=DEAD))
    assert not is_alive(replace(old, started="1"))
    assert is_alive(replace(old, pid=DEAD, host="elsewhere"))


def test_an_owner_of_an_earlier_version_is_read(tmp_path):
    store = SqliteStore(tmp_path / "a.db")
    store.acquire("t", current_owner(), create=True)
    text = '{"token": "old", "host": "elsewhere", "pid": 1, "started": "5", "label": "a kernel"}'
    with store.database.write() as db:
        db.execute("UPDATE threads SET owner = ?", (text,))
    with pytest.raises(ThreadBusy, match="a kernel"):
        store.acquire("t", fresh_owner())
    assert Owner("old", "elsewhere", 1, "5", "a kernel") == store.thread("t").owner
    store.close()


def test_a_process_that_has_ended_and_that_nobody_has_waited_for_is_dead(child):
    """As in a container whose first process waits for nobody."""
    owner = replace(current_owner(), pid=child.pid, started=machine.started(child.pid))
    assert is_alive(owner)
    child.kill()
    deadline = time.monotonic() + 10
    while is_alive(owner) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(owner)
    assert child.returncode is None


def test_what_cannot_be_found_out_counts_as_alive(child, monkeypatch):
    """Such as the beginning of somebody else's process, where a system hides it."""
    owner = replace(current_owner(), pid=child.pid, started=machine.started(child.pid))
    monkeypatch.setattr(machine, "_text", lambda path: "")
    assert is_alive(owner)


@pytest.fixture(params=["memory", "sqlite"])
def opened(request, tmp_path):
    """Opens stores of one kind over the same threads, each with a clock of its own."""
    made = []

    def open(clock):
        if request.param == "sqlite":
            made.append(SqliteStore(tmp_path / "a.db", clock=clock))
        else:
            first = made[0] if made else None
            made.append(MemoryStore(clock=clock))
            if first is not None:
                made[-1]._threads = first._threads
        return made[-1]

    yield open
    for store in made:
        store.close()


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
@pytest.mark.parametrize("renewed", [False, True])
def test_a_clock_that_is_set_takes_no_thread_of_a_living_owner(opened, seconds, renewed):
    """Neither the owner's own clock nor that of whoever wants the thread."""
    moved = [0.0]
    lease = (owners := opened(lambda: time.time() + moved[0])).acquire(
        "t", fresh_owner(), create=True
    )
    if renewed:
        owners.renew(lease)
    moved[0] = seconds
    others = opened(lambda: time.time() + seconds)
    with pytest.raises(ThreadBusy):
        others.acquire("t", fresh_owner())
    assert "running" == others.thread("t").status
    owners.renew(lease)


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_a_clock_that_is_set_does_not_keep_a_silent_owner(opened, seconds):
    """Its lease ends when its time is over, whatever the wall clock says."""
    owners = opened(time.time)
    owners.acquire("t", fresh_owner(), create=True)
    others = opened(lambda: time.time() + seconds)
    later = time.monotonic() + ownership.LEASE + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ownership.time, "monotonic", lambda: later)
        assert "stopped" == others.thread("t").status
        others.acquire("t", fresh_owner())


def test_an_owner_on_another_machine_is_compared_by_the_wall_clock(tmp_path):
    """Its lease ends there too, and lasts as long as it says that it lives."""
    far = replace(current_owner(), token="far", boot="another", zero=1.0, label="far away")
    now = [time.time()]
    store = SqliteStore(tmp_path / "a.db", clock=lambda: now[0])
    lease = store.acquire("t", far, create=True)
    now[0] += ownership.LEASE - 1
    with pytest.raises(ThreadBusy):
        store.acquire("t", fresh_owner())
    store.renew(lease)
    now[0] += ownership.LEASE - 1
    with pytest.raises(ThreadBusy):
        store.acquire("t", fresh_owner())
    now[0] += 2
    store.acquire("t", fresh_owner())
    store.close()


_TAKES = """
import sys
from nbagent import ThreadBusy, open_store
from nbagent.engine.store.ownership import fresh_owner
store = open_store(sys.argv[1])
try:
    store.acquire("t", fresh_owner(), create=True)
    print("took it", flush=True)
except ThreadBusy:
    print("busy", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("mounts", [["--mount-proc"], []])
def test_a_container_does_not_take_the_thread_of_another(tmp_path, mounts):
    """Two namespaces of processes with one host name and one file."""
    apart = ["unshare", "--pid", "--fork", *mounts]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"]).returncode:
        pytest.skip("namespaces cannot be made here")
    line = [*apart, sys.executable, "-c", _TAKES, f"sqlite:///{tmp_path / 'a.db'}"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = os.environ | {"NBAGENT_PROGRESS": "0"}
    first = subprocess.Popen(line, env=environment, **pipes)
    assert "took it" == first.stdout.readline().strip()
    second = subprocess.Popen(line, env=environment, **pipes)
    assert "busy" == second.stdout.readline().strip()
    for one in (second, first):
        one.communicate("\n", timeout=30)
