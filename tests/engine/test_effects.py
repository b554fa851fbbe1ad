"""Side effects happen once, or somebody is asked. (R7, W2, W3)"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nbagent.engine.model.policy import Retry
from nbagent.engine.node.effects import aeffect, effect, idempotency_key
from nbagent.engine.node.interrupts import interrupt
from nbagent.errors import NbagentError, NodeError
from tests.engine.build import END, START, Edge, program, sync, task, thread

WIRES = [Edge(START, "a"), Edge("a", END)]


def only(function, **more):
    """A thread of one node."""
    return thread(program(sync("a", function, **more), wires=WIRES))


def test_an_effect_before_a_question_happens_once():
    """The node runs again after the answer; the effect gives what it gave. (R7)"""
    sent = []

    def run(state):
        number = effect("mail", lambda to: sent.append(to) or len(sent), "ada")
        return {"x": (number, interrupt("ok?"), effect("log", lambda: "written"))}

    one = only(run)
    one.start({}).result(5)

    assert {"x": (1, "yes", "written")} == one.resume("yes").result(5)
    assert ["ada"] == sent


async def test_an_async_effect():
    """With a coroutine function, and its key at hand."""
    keys = []

    async def send():
        keys.append(idempotency_key())
        return len(keys)

    async def run(state):
        return {"x": await aeffect("mail", send)}

    made = program(task("a", run), wires=WIRES)
    assert {"x": 1} == await thread(made).start({})
    assert 32 == len(keys[0])
    with pytest.raises(NbagentError, match="only inside"):
        idempotency_key()


def test_a_failed_effect_is_ambiguous_unless_nothing_can_have_happened():
    """A refused connection leaves nothing behind; a broken one must be settled. (W2)"""
    calls = []

    def refused(state):
        def send():
            calls.append(1)
            if len(calls) == 1:
                raise ConnectionRefusedError
            return "sent"

        return {"x": effect("mail", send)}

    assert {"x": "sent"} == only(refused, retry=Retry(2, wait=0.001)).start({}).result(5)

    def broken(state):
        def send():
            calls.append(1)
            raise ConnectionResetError

        return {"x": effect("mail", send)}

    calls.clear()
    one = only(broken, retry=Retry(3, wait=0.001))
    run = one.start({})
    run.result(5)
    assert ("waiting", [1]) == (run.status, calls)
    assert "Did 'mail' happen?" in one.questions[0].question
    assert {"x": None} == one.resume("it happened").result(5)
    assert [1] == calls


def test_a_persons_word_is_good_for_one_repetition():
    """Told that it did not happen, it is called again; when that breaks, it asks again."""
    calls = []

    def broken(state):
        def send():
            calls.append(1)
            if len(calls) < 3:
                raise ConnectionResetError
            return "sent"

        return {"x": effect("mail", send)}

    one = only(broken)
    with pytest.raises(NodeError):
        one.start({}).result(5)
    one.resume().result(5)
    with pytest.raises(NodeError):
        one.resume("it did not happen").result(5)
    one.resume().result(5)
    assert ("waiting", 2) == (one.status, len(calls))
    assert {"x": "by hand"} == one.resume({"result": "by hand"}).result(5)
    assert 2 == len(calls)


AGENT = """
import os, sys
sys.path.insert(0, sys.argv[1])
from nbagent.engine.node.effects import effect, idempotency_key
from nbagent.engine.thread.thread import Thread
from nbagent.errors import UnknownThread
from nbagent.stores.sqlite import SqliteStore
from tests.engine.build import END, START, Edge, program, sync

def send():
    with open(sys.argv[3], "a") as oracle:
        oracle.write(idempotency_key() + "\\n")
        oracle.flush()
        os.fsync(oracle.fileno())
    if sys.argv[4] == "die":
        os._exit(9)
    return "sent"

def probe():
    return os.path.exists(sys.argv[3]) and "found"

how = {"probe": {"probe": probe}, "idempotent": {"idempotent": True}, "ask": {}}[sys.argv[5]]
def run(state):
    return {"x": effect("mail", send, **how)}

made = program(sync("a", run), wires=[Edge(START, "a"), Edge("a", END)])
one = Thread("t", program=made, store=SqliteStore(sys.argv[2]))
try:
    one.info
except UnknownThread:
    going = one.start({})
else:
    going = one.resume()
print(going.result(), going.status)
"""


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("how", "said", "times"),
    [
        ("probe", "{'x': 'found'} done", 1),
        ("idempotent", "{'x': 'sent'} done", 2),
        ("ask", "{} waiting", 1),
    ],
)
def test_a_process_that_dies_between_the_effect_and_its_record(how, said, times, tmp_path: Path):
    """Probed, or repeated under the same key, or put to a person; never silently repeated. (W2)"""
    root, oracle = str(Path(__file__).parents[2]), tmp_path / "oracle"

    def agent(end):
        words = [sys.executable, "-c", AGENT, root, tmp_path / "a.db", oracle, end, how]
        return subprocess.run(words, capture_output=True, text=True, env=dict(os.environ))

    assert 9 == agent("die").returncode
    after = agent("live")
    assert said == after.stdout.strip(), after.stderr
    keys = oracle.read_text().split()
    assert (times, 1) == (len(keys), len(set(keys)))


def test_effects_are_events():
    """Begun and done, by the name that a person knows them by. (R36)"""
    from nbagent.engine.watch.events import NodeEffect

    events = []
    one = thread(program(sync("a", lambda s: {"x": effect("mail", lambda: 1)}),
                         wires=(Edge(START, "a"), Edge("a", END))))  # fmt: skip
    run = one.start({})
    run.watch(events.append)
    run.result(5)
    told = [(e.effect, e.status) for e in events if isinstance(e, NodeEffect)]
    assert [("mail", "open"), ("mail", "done")] == told
