"""Side effects happen once, or somebody is asked. (R7, W2, W3)"""

import asyncio
import datetime
import decimal
import functools
import http
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nbagent.engine.model.policy import Retry
from nbagent.engine.node.effects import aeffect, effect, idempotency_key
from nbagent.engine.node.interrupts import interrupt
from nbagent.errors import NbagentError, NodeError
from nbagent.stores.memory import MemoryStore
from tests.engine.build import END, START, Edge, program, sync, task, thread

LOOP = asyncio.new_event_loop()


class Rows:
    """A collection of somebody's."""

    def __len__(self):
        return 0


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
print(dict(going.result()), going.status)
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
    root, oracle = str(Path(__file__).parents[3]), tmp_path / "oracle"

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


# ---------------------------------------------------------------------- what a probe may answer


def after_a_timeout(probe, **more):
    """A thread whose effect has an unknown outcome, and what it called."""
    calls = []

    def send():
        calls.append(1)
        if len(calls) == 1:
            raise TimeoutError
        return "sent"

    one = only(lambda state: {"x": effect("mail", send, probe=probe)}, **more)
    with pytest.raises(NodeError):
        one.start({}).result(5)
    return one, calls


@pytest.mark.parametrize(
    "found",
    [
        np.False_, np.True_, np.array([1]), np.array([]), np.float64(1.5), pd.Series([True]),
        pd.DataFrame({"a": [1]}), pd.DataFrame(), pd.NA, pd.NaT, float("nan"), 0, 0.0, "", [], {},
        (), b"", set(), decimal.Decimal(0), Rows(), len, iter([1]),
    ],
    ids=repr,
)  # fmt: skip
def test_a_probe_whose_answer_says_neither_leaves_the_outcome_unknown(found):
    """Nobody else's truth is taken for ours: it is an error, and nothing is done or lost. (W2)"""
    answer = [lambda: found]
    one, calls = after_a_timeout(lambda: answer[0]())
    with pytest.raises(NodeError, match=r"cannot be told whether.*False or None.*True"):
        one.resume().result(5)
    assert ([1], "open") == (calls, one.latest().journal[0].status)

    answer[0] = lambda: False
    assert {"x": "sent"} == one.resume().result(5)


@pytest.mark.parametrize(
    "found",
    [True, 5, 1.5, "250 OK", ["id"], {"id": 1}, decimal.Decimal(2), datetime.datetime(2026, 1, 1)],
    ids=repr,
)
def test_a_probes_result_is_the_effects(found):
    """True, or what the state could hold and is not empty: it has happened."""
    one, calls = after_a_timeout(lambda: found)
    assert {"x": found} == one.resume().result(5)
    assert [1] == calls


@pytest.mark.parametrize("found", [None, False])
def test_a_probe_that_has_not_found_it(found):
    """It is called again."""
    one, calls = after_a_timeout(lambda: found)
    assert {"x": "sent"} == one.resume().result(5)
    assert [1, 1] == calls


# ------------------------------------------------------------------- what shows that nothing did


class Response:
    """What requests' is like: its truth is that of its status."""

    def __init__(self, status, name="status_code", history=()):
        setattr(self, name, status)
        self.history = list(history)

    def __bool__(self):
        return False


def failing(response=None, **facts):
    error = RuntimeError("no")
    error.response = response
    error.__dict__.update(facts)
    return error


REFUSED = {
    "openai": failing(status_code=400),
    "requests, httpx": failing(Response(404)),
    "aiohttp": failing(Response(None), status=422),
    "aiohttp response": failing(Response(403, "status")),
    "botocore": failing({"ResponseMetadata": {"HTTPStatusCode": 400}}),
    "urllib": failing(code=401),
    "stripe": failing(http_status=402, code="card_declined"),
    "google": failing(code=http.HTTPStatus.NOT_FOUND),
}
OPEN = {
    **{str(status): failing(Response(status)) for status in (408, 409, 425, 429, 500, 502)},
    "botocore 429": failing({"ResponseMetadata": {"HTTPStatusCode": 429}}),
    "it says both": failing(Response(502), status_code=400),
    "behind a redirect": failing(Response(404, history=[Response(303)])),
    "an application's code": failing(Response(500), code=404),
    "a text": failing(status_code="400"),
    "a truth": failing(status_code=True),
    "none": failing(),
}


@pytest.mark.parametrize("error", REFUSED.values(), ids=REFUSED)
def test_a_refusal_leaves_nothing_behind(error):
    """The status is where the library has it: it is called again, and nobody is asked. (W2)"""
    calls = []

    def send():
        calls.append(1)
        if len(calls) == 1:
            raise error
        return "sent"

    one = only(lambda state: {"x": effect("mail", send)})
    with pytest.raises(NodeError):
        one.start({}).result(5)
    assert {"x": "sent"} == one.resume().result(5)


@pytest.mark.parametrize("error", OPEN.values(), ids=OPEN)
def test_what_may_have_happened_is_put_to_a_person(error):
    """A status that leaves it open, or two that differ, or what an address behind a redirect said:
    never a second time without a word. (W2)"""
    calls = []

    def send():
        calls.append(1)
        raise error

    one = only(lambda state: {"x": effect("mail", send)})
    with pytest.raises(NodeError):
        one.start({}).result(5)
    one.resume().result(5)
    assert ("waiting", [1]) == (one.status, calls)


# --------------------------------------------------------------------- what effect() cannot call


async def smtp(*words):
    return "250 OK"


class Mailer:
    async def __call__(self, *words):
        return "250 OK"

    async def send(self, *words):
        return "250 OK"


ASYNC = {
    "function": smtp,
    "partial": functools.partial(functools.partial(smtp, 1), 2),
    "object": Mailer(),
    "method": Mailer().send,
    "partial of an object": functools.partial(Mailer(), 1),
    "lambda": lambda: smtp(),
}


@pytest.mark.parametrize("function", ASYNC.values(), ids=ASYNC)
def test_what_is_to_be_awaited_is_refused_before_it_is_begun(function):
    """The error says aeffect, and once it is that, the mail goes and nobody is asked."""
    store = MemoryStore()
    before = thread(program(sync("a", lambda s: {"x": effect("mail", function)}), wires=WIRES),
                    store=store)  # fmt: skip
    with pytest.raises(NodeError, match="await aeffect"):
        before.start({}).result(5)
    assert "open" not in [entry.status for entry in before.latest().journal]

    async def mended(state):
        return {"x": await aeffect("mail", function)}

    after = thread(program(task("a", mended), wires=WIRES), store=store)
    assert {"x": "250 OK"} == after.resume().result(5)


def test_a_probe_that_is_to_be_awaited_is_no_answer():
    """A coroutine is true; it is not taken for "it happened"."""
    one, calls = after_a_timeout(lambda: smtp())
    with pytest.raises(NodeError, match="await aeffect"):
        one.resume().result(5)
    assert ([1], "open") == (calls, one.latest().journal[0].status)


def test_what_is_under_way_already_is_not_taken_back():
    """A future that somebody has begun may have done it: the outcome is unknown."""
    one = only(lambda state: {"x": effect("mail", lambda: asyncio.Future(loop=LOOP))})
    with pytest.raises(NodeError, match="its outcome is unknown"):
        one.start({}).result(5)
    assert "open" == one.latest().journal[0].status


def test_a_generator_is_no_effect():
    """Calling it does nothing: refused, in both forms."""

    def steps():
        yield 1

    with pytest.raises(NodeError, match="is a generator"):
        only(lambda state: {"x": effect("mail", steps)}).start({}).result(5)
