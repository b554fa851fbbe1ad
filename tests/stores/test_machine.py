"""
Two processes that share a store, drawn against each other: whatever they do to a thread, at once
or in turn, nothing that was acknowledged is lost, no status is wrong, and nothing is owned by
nobody. (W4, W12)

A store object is a process here: it has a connection and caches of its own, and every hold of a
thread has an owner of its own. `NBAGENT_MACHINES` is how many runs of the machine are made,
`NBAGENT_MACHINE_STORE=postgres` draws them on PostgreSQL.
"""

import itertools
import operator
import os
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Annotated, TypedDict

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import nbagent
from nbagent import END, START, Graph, interrupt, node, open_store
from nbagent.engine.store.upkeep import import_threads, prune
from nbagent.errors import NbagentError, ThreadBusy, ThreadError, UnknownThread
from nbagent.stores.memory import MemoryStore

MACHINES = int(os.environ.get("NBAGENT_MACHINES", "4"))
STORE = os.environ.get("NBAGENT_MACHINE_STORE", "sqlite")
IDS = st.sampled_from(["a", "a/b", "b"])
WHO = st.sampled_from([0, 1])
numbers = itertools.count(1)


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    x: int
    late: bool


class Line:
    """What is known of a thread: what was acknowledged to somebody."""

    def __init__(self, status, log, x, reached):
        self.status, self.log, self.x, self.reached = status, list(log), x, reached


def agent(store, hold):
    """It works, asks, and files the answer; `hold` keeps it from ending while it is clear."""
    with Graph("agent", State, store=store) as graph:

        @node
        def work(state):
            return {"log": ["work"]}

        @node
        def ask(state):
            if state.get("late"):
                answer = interrupt("Yes?", deadline=0, on_expiry="expired")
            else:
                answer = interrupt("Yes?")
            return {"log": [f"said {answer}"]}

        @node
        def file(state):
            assert hold.wait(30)
            return {"log": ["filed"]}

        START >> work >> ask >> file >> END
    return graph


def helper(store):
    with Graph("helper", State, store=store) as graph:
        START >> node(lambda state: {"x": 5}, name="help") >> END
    return graph


class Machine(RuleBasedStateMachine):
    kind = "sqlite"
    postgres = None

    @initialize()
    def open(self):
        self.folder = Path(tempfile.mkdtemp(prefix="nbagent-machine-"))
        self.lines = {}
        self.hold = threading.Event()
        self.hold.set()
        self.running = None
        if self.kind == "memory":
            one = MemoryStore(f"memory://{self.folder.name}")
            self.stores = [one, one]
        else:
            url = self.folder / "a.db"
            if self.kind == "postgres":
                url = self.postgres.url(f"machine{next(numbers)}")
            self.stores = [open_store(url) for _ in range(2)]
            if self.stores[0] is self.stores[1]:  # one a process: this one is two
                self.stores[1] = type(self.stores[0])(url)
        self.graphs = [agent(store, self.hold) for store in self.stores]
        self.helpers = [helper(store) for store in self.stores]

    def teardown(self):
        if not hasattr(self, "stores"):
            return
        self.hold.set()
        if self.running is not None:
            self.running[1].result(30)
        for store in self.stores:
            store.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def thread(self, who, id):
        return self.graphs[who].thread(id)

    def is_free(self, id):
        return self.running is None or self.running[0] != id

    def refused(self, act, *kinds):
        """It is refused, and nothing has changed: the invariants say so."""
        with pytest.raises(kinds or (ThreadError,)):
            act()

    # ------------------------------------------------------------------------------ in turn

    @rule(who=WHO, id=IDS, late=st.booleans())
    def start(self, who, id, late):
        line = self.lines.get(id)
        given = {"log": ["in"], "late": late}
        if not self.is_free(id) or (line is not None and line.status != "done"):
            self.refused(lambda: self.graphs[who].start(given, thread=id))
            return
        run = self.graphs[who].start(given if line else {**given, "x": 0}, thread=id)
        run.result(30)
        before = line.log if line else []
        x = line.x if line else 0
        self.lines[id] = Line("waiting", [*before, "in", "work"], x, run.checkpoint.id)
        self.lines[id].late = late

    @rule(who=WHO, id=IDS, slowly=st.booleans())
    def answer(self, who, id, slowly):
        line = self.lines.get(id)
        thread = self.thread(who, id)
        if line is None or not self.is_free(id):
            self.refused(lambda: thread.resume(answers={"no:0": 1}), ThreadError)
            return
        if line.status != "waiting":
            return
        [question] = thread.questions
        if slowly and self.running is None:
            self.hold.clear()
            self.running = (id, thread.resume(answers={question.id: "yes"}))
            line.status = "running"
            line.log += ["said yes", "filed"]
            return
        if not self.hold.is_set():
            return
        run = thread.resume(answers={question.id: "yes"})
        run.result(30)
        line.status, line.reached = "done", run.checkpoint.id
        line.log += ["said yes", "filed"]

    @precondition(lambda self: self.running is not None)
    @rule()
    def let_end(self):
        id, run = self.running
        self.hold.set()
        run.result(30)
        self.running = None
        self.lines[id].status, self.lines[id].reached = "done", run.checkpoint.id

    @precondition(lambda self: self.running is not None)
    @rule()
    def stop(self):
        """It is taken from its run; the answer that it was given stays given."""
        id, run = self.running
        run.stop()
        self.hold.set()
        run.result(30)
        self.running = None
        line = self.lines[id]
        line.status, line.reached = run.status, run.checkpoint.id
        if run.status == "stopped":
            run = self.thread(0, id).resume()
            run.result(30)
            line.status, line.reached = "done", run.checkpoint.id

    @rule(who=WHO, id=IDS, x=st.integers(1, 9))
    def edit(self, who, id, x):
        line, thread = self.lines.get(id), self.thread(who, id)
        if line is None or not self.is_free(id):
            self.refused(lambda: thread.edit({"x": x}))
            return
        line.reached, line.x = thread.edit({"x": x}), x

    @rule(who=WHO, id=IDS)
    def fork(self, who, id):
        line, thread = self.lines.get(id), self.thread(who, id)
        if line is None:
            self.refused(lambda: thread.fork(id="f"), UnknownThread)
        elif "f" in self.lines:
            self.refused(lambda: thread.fork(id="f"))
        elif self.is_free(id):
            values = thread.state
            assert 1 == thread.fork(id="f").checkpoint_id
            self.lines["f"] = Line("paused", values["log"], values["x"], 1)

    @rule(who=WHO, id=st.one_of(IDS, st.just("f")))
    def delete(self, who, id):
        if id not in self.lines:
            self.refused(self.thread(who, id).delete, UnknownThread)
        elif not self.is_free(id):
            self.refused(self.thread(who, id).delete, ThreadBusy)
        else:
            self.thread(who, id).delete()
            del self.lines[id]

    @rule(who=WHO, keep=st.sampled_from([None, 1, 2]))
    def prune(self, who, keep):
        gone = prune(self.stores[who], status=["done", "waiting"], keep=keep)
        if keep is None:
            ids = {id for id, line in self.lines.items() if line.status in ("done", "waiting")}
            assert ids == set(gone["thread"]) if len(gone) else not ids
            for id in ids:
                del self.lines[id]

    @rule(who=WHO, id=IDS)
    def export(self, who, id):
        line, thread = self.lines.get(id), self.thread(who, id)
        path = self.folder / f"{next(numbers)}.db"
        if line is None:
            self.refused(lambda: thread.export(path), UnknownThread)
            assert not path.exists()
            return
        thread.export(path)
        into = MemoryStore(f"memory://{next(numbers)}")
        assert [id] == import_threads(path, into)
        assert thread.history().index.size == len(into.history(id))
        if self.is_free(id):
            assert (line.x, line.log) == tuple(
                into.latest(id).checkpoint.values[name] for name in ("x", "log")
            ) or line.status == "waiting"

    @rule(who=WHO, id=IDS)
    def copy(self, who, id):
        line, thread = self.lines.get(id), self.thread(who, id)
        if line is None or "copy" in self.lines or not self.is_free(id):
            return
        thread.copy(self.stores[1 - who], "copy")
        self.lines["copy"] = Line(line.status, line.log, line.x, line.reached)

    @rule(who=WHO)
    def map(self, who):
        if not self.hold.is_set():
            return
        table = self.helpers[who].map([{"x": n} for n in range(3)], name="batch").result(60)
        assert (["done"] * 3, [5] * 3) == (list(table["status"]), list(table["x"]))
        for n in range(3):
            id = table["thread"][n]
            if id not in self.lines:
                reached = self.stores[0].thread(id).checkpoint
                self.lines[id] = Line("done", [], 5, reached)

    @rule(who=WHO, id=IDS)
    def escalate(self, who, id):
        line, thread = self.lines.get(id), self.thread(who, id)
        if line is None or not self.is_free(id) or line.status == "done":
            self.refused(lambda: thread.escalate(self.helpers[who]).result(30))
            return
        if line.status != "waiting" or not self.hold.is_set():
            return
        thread.escalate(self.helpers[who], {"x": 1}, answer="x").result(30)
        line.status, line.reached = "done", self.stores[who].thread(id).checkpoint
        line.log += ["said 5", "filed"]

    @rule(who=WHO)
    def resume_due(self, who):
        if not self.hold.is_set():
            return
        runs = nbagent.resume_due([self.graphs[who]])
        due = {
            id
            for id, line in self.lines.items()
            if line.status == "waiting" and getattr(line, "late", False)
        }
        assert due <= {run.thread.id for run in runs}
        for run in runs:
            run.result(30)
            line = self.lines[run.thread.id]
            line.status, line.reached = "done", run.checkpoint.id
            line.log += ["said expired", "filed"]

    # ------------------------------------------------------------------------------- at once

    @rule(id=IDS, acts=st.lists(st.sampled_from(["edit", "answer", "start", "prune", "delete"]),
                                min_size=2, max_size=3))  # fmt: skip
    def race(self, id, acts):
        """At once, each through its own store or process; what is acknowledged counts."""
        line = self.lines.get(id)
        if line is None or not self.is_free(id) or not self.hold.is_set():
            return
        told, gate = [], threading.Barrier(len(acts))
        questions = [question.id for question in self.thread(0, id).questions]

        def act(number, what):
            thread = self.thread(number % 2, id)
            gate.wait(10)
            try:
                if what == "edit":
                    told.append((what, thread.edit({"x": 10 + number}), 10 + number))
                elif what == "answer" and questions:
                    run = thread.resume(answers={questions[0]: "yes"})
                    run.result(30)
                    told.append((what, run.checkpoint.id, run.status))
                elif what == "start":
                    run = self.graphs[number % 2].start({"log": ["in"], "late": False}, thread=id)
                    run.result(30)
                    told.append((what, run.checkpoint.id, run.status))
                elif what == "prune":
                    prune(self.stores[number % 2], keep=1, threads=[id])
                elif what == "delete":
                    thread.delete()
                    told.append((what, 0, ""))
            except (ThreadError, nbagent.StateError) as error:
                told.append(("refused", 0, error))
            except NbagentError as error:
                told.append(("broken", 0, error))

        racing = [threading.Thread(target=act, args=one) for one in enumerate(acts)]
        for one in racing:
            one.start()
        for one in racing:
            one.join(60)
        assert [] == [one for one in told if one[0] == "broken"]
        done = [one for one in told if one[0] != "refused"]
        is_there = {one.id for one in self.stores[0].threads()}
        if id not in is_there:
            assert "delete" in [what for what, *_ in done]
            del self.lines[id]
            return
        info, latest = self.stores[0].thread(id), self.stores[0].latest(id).checkpoint
        if "delete" in [what for what, *_ in done]:  # and begun anew behind it
            assert "start" in [what for what, *_ in done]
        else:
            reached = max([line.reached, *[number for _, number, _ in done]])
            assert reached <= info.checkpoint
            for what, number, x in done:
                if what == "edit" and number == info.checkpoint:
                    assert x == latest.values["x"]
            answered = [what for what, *_ in done].count("answer")
            began = [what for what, *_ in done].count("start")
            if not began:
                assert info.status == ("done" if answered else line.status)
        late = getattr(line, "late", False) and info.status == "waiting"
        values = latest.values
        status = info.status
        assert status in ("waiting", "done", "paused"), status
        self.lines[id] = Line(status, values["log"], values.get("x", 0), info.checkpoint)
        self.lines[id].late = late and bool(values.get("late"))

    # ------------------------------------------------------------------------------ invariants

    @invariant()
    def nothing_is_lost_and_no_status_is_wrong(self):
        if not hasattr(self, "stores"):
            return
        for store in self.stores:
            infos = {info.id: info for info in store.threads() if not info.is_nested}
            assert set(self.lines) == set(infos)
            for id, line in self.lines.items():
                info = infos[id]
                assert (id, line.status) == (id, info.status)
                assert (id, line.status == "running") == (id, info.owner is not None)
                assert line.reached <= info.checkpoint or line.status == "running"
                if line.status != "running":
                    latest = store.latest(id).checkpoint
                    assert info.checkpoint == latest.id
                    assert (id, line.x) == (id, latest.values.get("x", 0))
                    assert (id, line.log) == (id, list(latest.values.get("log", [])))
                    for one in store.under(id):
                        assert one.owner is None


def machine(kind, **more):
    class Drawn(Machine):
        pass

    Drawn.kind = kind
    for name, value in more.items():
        setattr(Drawn, name, value)
    run_state_machine_as_test(
        Drawn,
        settings=settings(
            max_examples=MACHINES,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_two_processes_on_one_store(kind):
    """Start, resume, edit, fork, prune, delete, export, copy, map, escalate and resume_due, in
    turn and at once."""
    machine(kind)


@pytest.mark.postgres
@pytest.mark.skipif(STORE != "postgres", reason="it is drawn on demand")
def test_two_processes_on_a_server(postgres):
    """The same on PostgreSQL."""
    machine("postgres", postgres=postgres)
