"""
A power cut: what was written and not waited for is lost, all of it or any part of it. (R21, W4)

No power is cut: a library in front of the C library writes down what the process writes to its
files and when it waits for the disk. Of what has not been waited for, none reaches the copy that is
opened afterwards, or whatever a die says.
"""

import os
import random
import signal
import struct
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from nbagent.stores.sqlite import SqliteStore
from tests.conftest import require
from tests.stores.powercut.agent import THREADS, counting

CUTS = int(os.environ.get("NBAGENT_POWER_CUTS", "2"))
HERE = Path(__file__).parent
HEAD = struct.Struct("=IIQQ")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is Linux's")


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    compiler = require("cc", "a C compiler (on Debian: apt-get install gcc)")
    made = tmp_path_factory.mktemp("shim") / "shim.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", made, HERE / "shim.c", "-ldl"]
    subprocess.run(command, check=True)
    return made


def steps_until_the_cut(folder, shim, durability, wanted):
    """Checkpoint ids that were told, thread -> the last one, of a process that is killed when that
    many have been."""
    place = folder / "before"
    place.mkdir()
    command = [
        sys.executable, "-m", "tests.stores.powercut.agent",
        f"sqlite:///{place}/a.db?durability={durability}",
    ]  # fmt: skip
    environ = os.environ | {
        "LD_PRELOAD": str(shim), "CUT_FOLDER": str(place), "CUT_LOG": str(folder / "log"),
        "PYTHONPATH": os.pathsep.join(map(str, sys.path)),
    }  # fmt: skip
    told, lines = {}, 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ) as process:
        for line in process.stdout:
            if line.endswith(b"\n"):
                thread, id = line.split()
                told[thread.decode()] = int(id)
            lines += 1
            if lines == wanted:
                process.send_signal(signal.SIGKILL)
    assert -signal.SIGKILL == process.returncode
    return told


def after_the_cut(folder, keeps):
    """A folder with the files as the disk has them: what was waited for, and of the rest, write by
    write, what `keeps` says."""
    log = memoryview((folder / "log").read_bytes())
    lasting, loose = defaultdict(bytearray), defaultdict(list)

    def do(file, what, at, data):
        if what == "t":
            del file[at:]
            file.extend(bytes(at - len(file)))
        else:
            file.extend(bytes(max(0, at - len(file))))
            file[at : at + len(data)] = data

    at = 0
    while at + HEAD.size <= len(log):
        what, name, offset, size = HEAD.unpack(log[at : at + HEAD.size])
        start = at + HEAD.size + name
        if start + size > len(log):
            break  # the kill came while it was written down
        path = Path(bytes(log[start - name : start]).decode()).name
        at = start + size
        if chr(what) == "s":
            for one in loose.pop(path, ()):
                do(lasting[path], *one)
        else:
            loose[path].append((chr(what), offset, bytes(log[start:at])))
    for path, rest in loose.items():
        for one in filter(keeps, rest):
            do(lasting[path], *one)
    made = folder / "after"
    made.mkdir()
    for path, content in lasting.items():
        # What was deleted stays so; and that one is memory that processes share, not a file.
        if (folder / "before" / path).exists() and not path.endswith("-shm"):
            (made / path).write_bytes(content)
    return made / "a.db"


def lost(path, told):
    """How many checkpoints that were told are not there; every thread that is goes on."""
    store = SqliteStore(path)
    there = {info.id: info.checkpoint for info in store.threads()}
    for id in there:
        loaded = store.latest(id)
        if loaded is None:
            continue
        state, step = loaded.checkpoint.values, loaded.checkpoint.step
        assert (step, [f"{n:4}" * 20 for n in range(step)]) == (state["n"], list(state["log"]))
        assert "" == loaded.notice
    for id in THREADS:
        if there.get(id):
            counting(store).thread(id).resume(steps=2).result(30)
    store.close()
    return sum(max(0, id - there.get(thread, 0)) for thread, id in told.items())


@pytest.mark.parametrize("seed", range(CUTS))
def test_what_was_acknowledged_outlives_a_power_cut(seed, shim, tmp_path):
    """At durability power, whatever reached the disk of what nobody has waited for."""
    dice = random.Random(seed)
    told = steps_until_the_cut(tmp_path, shim, "power", dice.randint(20, 200))
    keeps = (lambda write: False) if seed % 2 == 0 else (lambda write: dice.random() < 0.5)

    assert 0 == lost(after_the_cut(tmp_path, keeps), told)


def test_the_cut_is_one(shim, tmp_path):
    """At durability process, which promises nothing for it, it costs what was not yet folded: if
    not, these tests would prove nothing."""
    told = steps_until_the_cut(tmp_path, shim, "process", 100)

    assert lost(after_the_cut(tmp_path, lambda write: False), told) > 0
