"""The worker, schedules, and who is told of a question."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TypedDict

import pytest

from nbagent import END, START, Graph, GraphError, interrupt, node, open_store, schedule
from nbagent.engine.thread.leave_answer import leave_answer
from nbagent.service.schedule import _all
from nbagent.service.worker import Worker

CODE = """
import os, sys, time
from typing import TypedDict
from nbagent import *
class State(TypedDict, total=False):
    count: int
    word: str
with Graph("g", State, store="sqlite:///its.db") as g:
    @node
    def ask(state): return {"word": interrupt("Which word?")}
    @node
    def work(state):
        open("begun", "a").write("x")
        if os.environ.get("DIE"): os._exit(9)
        while not os.path.exists("go"): time.sleep(0.02)
        return {"count": state.get("count", 0) + 1}
    START >> ask >> work >> END
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agents.py").write_text(CODE)
    return tmp_path


def worker(*words, **variables):
    """A worker process of its own."""
    words = [sys.executable, "-m", "nbagent", "worker", "agents.py", "--poll", "0.05", *words]
    return subprocess.Popen(
        words, env={**os.environ, **variables}, stderr=subprocess.PIPE, text=True
    )


def until(true, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def asked(folder, id="t"):
    """A store with a thread that asks; nobody runs it."""
    words = [sys.executable, "-m", "nbagent", "run", "agents.py", "--thread", id]
    assert 3 == subprocess.run(words, capture_output=True).returncode
    return open_store(folder / "its.db")


def test_an_answer_is_gone_on_with_and_a_dead_worker_is_stood_in_for(folder):
    """A question alone is left; an answered thread runs; killed in the middle, another worker takes
    it; the finished node is not done again."""
    store = asked(folder)
    assert "" == _said(worker("--once"), "goes on")
    leave_answer(store, "t", {"": "nest"})
    dying = worker(DIE="1")
    assert 9 == dying.wait(30)
    dying.stderr.close()
    (folder / "go").touch()
    assert "thread 't' is done" in _said(worker("--once"), "is done")
    loaded = store.latest("t").checkpoint.values
    assert ("nest", 1) == (loaded["word"], loaded["count"])
    assert "xx" == (folder / "begun").read_text()
    store.close()


def _said(process, word):
    """The lines with this word that it says until its end."""
    with process:
        lines = [line for line in process.stderr if word in line]
    assert 0 == process.returncode
    return "".join(lines)


def test_a_worker_that_is_told_to_end_leaves_its_threads_to_the_next(folder):
    """SIGTERM: what runs comes to the end of its super-step, and another worker goes on."""
    store = asked(folder)
    leave_answer(store, "t", {"": "nest"})
    first = worker()
    until((folder / "begun").exists)
    first.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    (folder / "go").touch()
    first.stderr.read()
    assert 0 == first.wait(30)
    first.stderr.close()
    assert store.thread("t").status in ("paused", "done")
    _said(worker("--once"), "")
    assert "done" == store.thread("t").status
    assert "x" == (folder / "begun").read_text()
    store.close()


class State(TypedDict, total=False):
    topic: str
    word: str


def graph(store, **options):
    with Graph("small", State, store=store, **options) as made:

        @node
        def ask(state):
            return {"word": interrupt(f"Which word for {state['topic']}?")}

        START >> ask >> END
    return made


def test_what_a_person_paused_is_left_alone(tmp_path):
    """Also what failed, and what is of another graph."""
    store = open_store(tmp_path / "a.db")
    made = graph(store)
    made.run({"topic": "x"}, thread="t")
    made.thread("t").edit({"topic": "y"})
    Worker({"small": made}, store).run(once=True)
    assert "waiting" == store.thread("t").status
    store.close()


def test_somebody_is_told_of_a_question_once(tmp_path):
    """Also when the thread asks again at a resume, and by a worker where nobody was told."""
    store, told, came = open_store(tmp_path / "a.db"), [], threading.Event()

    def tell(question, thread):
        told.append((question.question, thread.id))
        came.set()

    silent = graph(store)
    silent.run({"topic": "bees"}, thread="b")
    made = graph(store, on_question=tell)
    made.run({"topic": "wasps"}, thread="w")
    assert came.wait(10)
    assert [("Which word for wasps?", "w")] == told
    until(lambda: any(span.kind == "told" for span in store.spans("w")))
    made.thread("w").resume().result()
    came.clear()
    Worker({"small": made}, store).run(once=True)
    assert came.wait(10)
    until(lambda: any(span.kind == "told" for span in store.spans("b")))
    Worker({"small": made}, store).run(once=True)
    assert [("Which word for wasps?", "w"), ("Which word for bees?", "b")] == told
    store.close()


def test_one_that_cannot_be_told_is_told_again(tmp_path, caplog):
    """A failure is logged, holds no run, and is not taken for told."""
    store, calls = open_store(tmp_path / "a.db"), []

    def tell(question, thread):
        calls.append(1)
        if len(calls) == 1:
            raise OSError("no mail")

    made = graph(store, on_question=tell)
    made.run({"topic": "wasps"}, thread="w")
    until(lambda: "no mail" in caplog.text)
    Worker({"small": made}, store).run(once=True)
    until(lambda: len(calls) == 2)
    store.close()


@pytest.fixture
def now(monkeypatch):
    """The time of the schedules, as a list of one."""
    time_ = [1_000_000_000.0]  # a Sunday, 01:46:40 UTC
    yield time_
    _all.clear()


def test_a_schedule_starts_one_thread_a_time(tmp_path, now):
    """Over two workers; for the times that were missed, one; for those before it was seen, none."""
    store = open_store(tmp_path / "a.db")
    made = graph(store)
    both = [schedule("0 7 * * *", made, {"topic": "day"}) for _ in range(2)]
    assert 1 == len(_all)
    for one in both:
        one.clock = lambda: now[0]
        assert one.start_due() is None
    now[0] += 6 * 3600
    started = [one.start_due() for one in both]
    assert [True, False] == [run is not None for run in started]
    started[0].result()
    now[0] += 3 * 86400
    started = [one.start_due() for one in reversed(both)]
    assert [True, False] == [run is not None for run in started]
    started[0].result()
    assert 2 == len(store.threads())
    assert "2001-09-09T07:00Z" in store.threads()[-1].id
    store.close()


def test_the_hour_of_a_schedule_is_its_zones(tmp_path, now):
    """Seven in Berlin is five in UTC, in summer."""
    made = graph(open_store("memory://"))
    one = schedule("0 7 * * *", made, {"topic": "x"}, timezone="Europe/Berlin")
    assert 5 * 3600 == one.last(now[0] + 6 * 3600) % 86400


@pytest.mark.parametrize(
    ("cron", "zone", "said"),
    [("every day", "UTC", "minute, hour"), ("0 25 * * *", "UTC", "minute, hour"),
     ("0 7 * * *", "Mars/Base", "timezone='Mars/Base'")],
)  # fmt: skip
def test_a_schedule_that_cannot_be_is_said(cron, zone, said):
    with pytest.raises(GraphError, match=said):
        schedule(cron, graph("memory://"), {"topic": "x"}, timezone=zone)
