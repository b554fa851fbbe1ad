"""Retries, timeouts, fallbacks, and the seed's own scenario on a real server. (R2, R4 to R6)"""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from nbagent.engine.model.policy import Retry
from nbagent.engine.model.transient import is_transient, retry_after
from nbagent.engine.node.interrupts import interrupt
from nbagent.engine.watch.events import NodeRetried
from nbagent.errors import NodeError
from nbagent.stores.sqlite import SqliteStore
from tests.engine.build import END, START, Edge, guarded, program, sync, task, thread

QUICK = Retry(attempts=3, wait=0.001)


def one_node(function, **policies):
    """A thread of one node with policies."""
    node = sync("a", function, **policies)
    return thread(program(node, wires=[Edge(START, "a"), Edge("a", END)]))


def failing(times, error=ConnectionError):
    """A function that fails so often, and the list of its calls."""
    calls = []

    def run(state):
        calls.append(1)
        if len(calls) <= times:
            raise error("down")
        return {"x": len(calls)}

    return run, calls


def test_a_transient_error_is_tried_again():
    """Each failure is an event with its wait; the result is the last attempt's. (R4)"""
    run, _ = failing(2)
    started = one_node(run, retry=QUICK).start({})
    seen = []
    started.watch(seen.append)

    assert {"x": 3} == started.result(5)
    assert [1, 2] == [event.attempt for event in seen if isinstance(event, NodeRetried)]


def test_the_last_attempts_error_is_the_nodes():
    """With its number; a resume by a person gives new attempts."""
    run, calls = failing(5)
    one = one_node(run, retry=QUICK)
    with pytest.raises(NodeError) as caught:
        one.start({}).result(5)
    assert (3, 3) == (caught.value.attempt, len(calls))

    assert {"x": 6} == one.resume().result(5)


def test_what_will_not_pass_is_not_tried_again():
    """A mistake in the code, a missing file, HTTP 404; unless `on=` says so."""
    run, calls = failing(1, ValueError)
    with pytest.raises(NodeError):
        one_node(run, retry=QUICK).start({}).result(5)
    assert [1] == calls

    run, calls = failing(1, ValueError)
    assert {"x": 2} == one_node(run, retry=replace(QUICK, on=ValueError)).start({}).result(5)
    assert not is_transient(FileNotFoundError())
    assert not is_transient(urllib.error.HTTPError("u", 404, "no", {}, None))
    assert is_transient(urllib.error.HTTPError("u", 503, "no", {}, None))
    assert is_transient(TimeoutError())


def test_a_server_that_says_when_is_believed():
    """`Retry-After` in seconds or as a date; nonsense is ignored."""
    for text, least, most in (("7", 7, 7), ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0)):
        error = urllib.error.HTTPError("u", 429, "slow down", {"retry-after": text}, None)
        assert least <= retry_after(error) <= most
    error = urllib.error.HTTPError("u", 429, "slow down", {"retry-after": "soon"}, None)
    assert retry_after(error) is None
    assert 0.5 <= Retry(wait=1).delay(1, error) <= 1.0
    assert 60.0 == Retry(jitter=False).delay(20, error)


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_timeout_ends_an_attempt(kind):
    """Also one that blocks a thread; the error says how long was allowed."""
    import asyncio

    calls = []

    def slow(state):
        calls.append(1)
        if len(calls) == 1:
            time.sleep(0.5)
        return {"x": len(calls)}

    async def aslow(state):
        calls.append(1)
        if len(calls) == 1:
            await asyncio.sleep(5)
        return {"x": len(calls)}

    node = sync("a", slow) if kind == "def" else task("a", aslow)
    wires = [Edge(START, "a"), Edge("a", END)]
    with pytest.raises(NodeError, match=r"took longer than 0\.05 seconds"):
        thread(program(guarded(node, timeout=0.05), wires=wires)).start({}).result(5)
    calls.clear()
    node = guarded(node, timeout=0.05, retry=QUICK)
    assert {"x": 2} == thread(program(node, wires=wires)).start({}).result(5)


def test_a_fallback_takes_over_after_the_last_attempt():
    """It gets what the node got."""
    run, calls = failing(9)
    one = one_node(run, retry=QUICK, fallback=lambda state: {"x": state["x"] + 100})

    assert {"x": 101} == one.start({"x": 1}).result(5)
    assert 3 == len(calls)


def test_a_question_is_not_a_failure():
    """No policy sees it."""
    one = one_node(
        lambda s: {"x": interrupt("?")}, retry=QUICK, timeout=5.0, fallback=lambda s: None
    )
    one.start({}).result(5)

    assert {"x": 1} == one.resume(1).result(5)


AGENT = """
import json, sys, urllib.request
sys.path.insert(0, sys.argv[3])
from nbagent.engine.thread.thread import Thread
from nbagent.errors import UnknownThread
from nbagent.stores.sqlite import SqliteStore
from tests.engine.build import END, START, Branch, Edge, guarded, program, sync

def step(state):
    url = f"{sys.argv[1]}/step/{state['x'] + 1}"
    with urllib.request.urlopen(url) as answer:
        return {"x": json.load(answer)["step"]}

made = program(
    sync("step", step),
    wires=[Edge(START, "step"),
           Branch("step", lambda s: "on" if s["x"] < 25 else "off",
                  {"on": ("step",), "off": (END,)}, "")],
)
one = Thread("long", program=made, store=SqliteStore(sys.argv[2]))
try:
    one.info
except UnknownThread:
    run = one.start({"x": 0})
else:
    run = one.resume()
print(run.result()["x"], flush=True)
"""


def test_twenty_five_steps_with_a_rate_limit_and_a_kill(tmp_path: Path):
    """HTTP 429 at step 23, the process killed: each request before it is made once. (R2, R6)"""
    asked, limited, again = [], threading.Event(), threading.Event()
    limited.set()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            number = int(self.path.rpartition("/")[2])
            asked.append(number)
            if asked.count(23) > 1:
                again.set()
            code = 429 if number == 23 and limited.is_set() else 200
            body = json.dumps({"step": number}).encode()
            self.send_response(code)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        root = str(Path(__file__).parents[3])
        words = [sys.executable, "-c", AGENT, url, str(tmp_path / "a.db"), root]
        environment = {**os.environ, "NO_PROXY": "127.0.0.1"}

        first = subprocess.run(words, capture_output=True, text=True, env=environment)
        assert "HTTP Error 429" in first.stderr
        assert list(range(1, 24)) == asked

        second = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  env=environment)  # fmt: skip
        assert again.wait(30)
        second.send_signal(signal.SIGKILL)
        second.wait()
        limited.clear()
        third = subprocess.run(words, capture_output=True, text=True, env=environment)
        assert "25" == third.stdout.strip()
        server.shutdown()

    assert list(range(1, 23)) == [number for number in asked if number < 23]
    assert {23, 24, 25} == {number for number in asked if number > 22}
    store = SqliteStore(tmp_path / "a.db")
    assert ("done", 25) == (store.thread("long").status, store.thread("long").step)
    store.close()
