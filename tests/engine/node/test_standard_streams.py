"""To the interpreter `sys.stdout` is one object; to everybody else, what a person expects. (R38)"""

import asyncio
import contextlib
import io
import logging
import pickle
import subprocess
import sys
import threading
from typing import Any, TypedDict
from unittest import mock

import pytest

from nbagent import END, START, Graph, NodeError, emit, node
from nbagent.engine.watch.events import NodePrinted
from nbagent.stores.memory import MemoryStore


class State(TypedDict):
    x: Any


def graph_of(*functions):
    with Graph("g", State, store=MemoryStore()) as graph:
        START >> [node(one, name=name) for name, one in zip("ab", functions, strict=False)] >> END
    return graph


def printed(run, name="a"):
    """What a node has printed; the run has ended."""
    return "".join(
        e.text for e in run.feed.backlog if isinstance(e, NodePrinted) and e.node == name
    )


class Talks:
    """A node that prints a line whenever it is asked to, and returns when it is let go."""

    def __init__(self):
        self.asked, self.said, self.is_over = threading.Event(), threading.Event(), False

    def __call__(self, state):
        while self.asked.wait(10) and not self.is_over:
            self.asked.clear()
            print("the node's")
            self.said.set()

    def once(self):
        self.asked.set()
        assert self.said.wait(10)
        self.said.clear()

    def end(self):
        self.is_over = True
        self.asked.set()


@contextlib.contextmanager
def talking():
    """A run with a node that talks, and what makes it talk; behind it, the run has ended."""
    talks = Talks()
    run = graph_of(talks).start({"x": 0})
    try:
        yield run, talks
    finally:
        talks.end()
        run.result(10)


def test_the_interpreter_is_never_given_another_stream(capsys):
    """`print` borrows what is there; it is there for good, whoever sets what. (W19)"""
    with talking() as (_, talks):
        talks.once()
        there = [vars(sys)["stdout"]]
        with contextlib.redirect_stdout(io.StringIO()):
            there.append(vars(sys)["stdout"])
    there.append(vars(sys)["stdout"])
    assert 1 == len({id(stream) for stream in there})


def test_who_redirects_while_a_node_prints_gets_his_own(capsys):
    """Not the node's: that is told as ever, and shown where the run began."""
    with talking() as (run, talks):
        with contextlib.redirect_stdout(io.StringIO()) as mine:
            print("mine")
            talks.once()
            assert mine is sys.stdout
        talks.once()
    assert "mine\n" == mine.getvalue()
    assert "the node's\n" * 2 == printed(run) == capsys.readouterr().out


def test_who_begins_a_run_in_a_redirection_gets_what_its_nodes_print(capsys):
    """As without threads."""
    with contextlib.redirect_stdout(io.StringIO()) as mine:
        graph_of(lambda s: print("the node's")).run({"x": 0})
    assert ("the node's\n", "") == (mine.getvalue(), capsys.readouterr().out)


@pytest.mark.parametrize("is_closed", [True, False])
def test_the_stream_of_the_beginning_is_gone(is_closed, capsys):
    """A node's text goes to what is there now, and the node goes on."""
    talks = Talks()
    with contextlib.redirect_stdout(io.StringIO()) as mine:
        run = graph_of(talks).start({"x": 0})
        talks.once()
    before = mine.getvalue()
    if is_closed:
        mine.close()
    talks.once()
    talks.end()
    run.result(10)
    assert ("the node's\n", "the node's\n") == (before, capsys.readouterr().out)
    assert "the node's\n" * 2 == printed(run)


def test_a_closed_stream_does_not_fail_the_node(capsys):
    """There is nowhere to show it; it is told all the same."""
    talks = Talks()
    with contextlib.redirect_stdout(io.StringIO()) as mine:
        run = graph_of(talks).start({"x": 0})
        mine.close()
        talks.once()
        talks.end()
        run.result(10)
    assert "the node's\n" == printed(run)


def test_a_node_that_redirects_does_so_for_itself(capsys):
    """Its sibling, other threads and its own next words are not caught."""
    inside, go_on = threading.Event(), threading.Event()

    def a(state):
        before = sys.stdout
        with contextlib.redirect_stdout(io.StringIO()) as mine:
            assert sys.stdout is mine
            print("for itself")
            with contextlib.redirect_stdout(io.StringIO()) as deeper:
                print("deeper")
            print("again")
            inside.set()
            go_on.wait(10)
        assert before is sys.stdout
        print(f"caught {mine.getvalue()!r} {deeper.getvalue()!r}")

    def b(state):
        inside.wait(10)
        print("b's")
        go_on.set()

    run = graph_of(a, b).start({"x": 0})
    inside.wait(10)
    print("mine")
    run.result(10)
    assert "caught 'for itself\\nagain\\n' 'deeper\\n'\n" == printed(run)
    assert "b's\n" == printed(run, "b")
    assert {"mine", "b's", printed(run).strip()} == set(capsys.readouterr().out.splitlines())


def test_what_a_node_sets_is_gone_with_it(capsys):
    """One that never puts `sys.stdout` back has taken it from nobody."""
    before = sys.stdout

    def a(state):
        sys.stdout = io.StringIO()
        print("into nothing")

    def b(state):
        print("b's")

    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(a) >> node(b) >> END
    graph.run({"x": 0})
    assert before is sys.stdout
    assert "b's\n" == capsys.readouterr().out


class Tee:
    """Writes to what it has replaced, and keeps a copy."""

    def __init__(self, stream):
        self.stream, self.copy = stream, ""

    def write(self, text):
        self.copy += text
        return self.stream.write(text)

    def flush(self):
        self.stream.flush()


@pytest.mark.parametrize("where", ["outside", "inside"])
def test_a_stream_that_writes_to_what_it_replaced(where, capsys):
    """Each text arrives once."""

    def tee():
        before = sys.stdout
        sys.stdout = one = Tee(before)
        print("teed", flush=True)
        sys.stdout = before
        print("after", one.copy)

    if where == "inside":
        run = graph_of(lambda s: tee()).start({"x": 0})
        run.result(10)
        assert "teed\nafter teed\n\n" == printed(run)
    else:
        graph_of(lambda s: None).run({"x": 0})
        tee()
    assert "teed\nafter teed\n\n" == capsys.readouterr().out


def test_an_observer_prints_while_a_node_writes_through_its_own_stream(capsys):
    """Each goes its own way."""

    watched = threading.Event()

    def a(state):
        assert watched.wait(5)
        with contextlib.redirect_stdout(Tee(sys.stdout)):
            print("the node's")

    run = graph_of(a).start({"x": 0})
    run.watch(lambda event: isinstance(event, NodePrinted) and print("seen", flush=True))
    watched.set()
    run.result(10)
    assert "the node's\n" == printed(run)
    assert "the node's\nseen\n" == capsys.readouterr().out


def test_a_stream_that_writes_to_the_router_itself(capsys):
    """Whoever looks past `sys.stdout` finds the router, and may set it over itself."""
    graph_of(lambda s: None).run({"x": 0})
    sys.stdout, before = Tee(vars(sys)["stdout"]), sys.stdout
    try:
        print("once", flush=True)
    finally:
        sys.stdout = before
    assert "once\n" == capsys.readouterr().out


def test_patches_of_tests_are_undone(capsys):
    """`mock.patch` saves what stands in the module's dictionary, which is the router."""
    graph_of(lambda s: None).run({"x": 0})
    before = sys.stdout
    with mock.patch("sys.stdout", new_callable=io.StringIO) as outer:
        print("outer")
        with mock.patch("sys.stdout", new_callable=io.StringIO) as inner:
            print("inner")
        print("outer again")
    assert before is sys.stdout
    print("mine")
    assert ("outer\nouter again\n", "inner\n") == (outer.getvalue(), inner.getvalue())
    assert "mine\n" == capsys.readouterr().out


def test_streams_that_are_set_and_never_put_back(capsys):
    """They are forgotten by and by, and the last one counts."""
    graph_of(lambda s: None).run({"x": 0})
    before = sys.stdout
    for number in range(300):
        sys.stdout = last = io.StringIO()
        print(number)
    sys.stdout = before
    print("mine")
    assert ("299\n", "mine\n") == (last.getvalue(), capsys.readouterr().out)


def test_no_stream_at_all(capsys):
    """As under pythonw: a node's text is told, and nobody's goes nowhere."""
    before, sys.stdout = sys.stdout, None
    try:
        run = graph_of(lambda s: print("the node's", flush=True)).start({"x": 0})
        run.result(10)
        print("nobody's", flush=True)
        assert sys.stdout is None
    finally:
        sys.stdout = before
    assert "the node's\n" == printed(run)
    assert "" == capsys.readouterr().out


def test_observers_that_print_are_not_the_node(capsys):
    """Nor wait for themselves; nor does the log when one of them fails."""

    def fails(event):
        if isinstance(event, NodePrinted):
            raise ValueError("in the observer")

    watched = threading.Event()

    def a(state):
        assert watched.wait(5)
        print("the node's")

    run = graph_of(a).start({"x": 0})
    run.watch(lambda event: print("seen", type(event).__name__))
    run.watch(fails)
    watched.set()
    run.result(10)
    assert "the node's\n" == printed(run)
    assert {"seen NodeStarted", "seen NodePrinted", "the node's"} <= set(
        capsys.readouterr().out.splitlines()
    )


def test_bytes_and_whatever_else_a_stream_can(capsys):
    """The buffer below, also where a character comes in two halves; a mistake is told as ever."""

    def a(state):
        sys.stdout.buffer.write("gr\u00fc".encode()[:3])
        sys.stdout.buffer.write("gr\u00fc\u00df\n".encode()[3:])
        sys.stdout.buffer.flush()
        io.TextIOWrapper(sys.stdout.buffer, write_through=True).write("wrapped\n")
        sys.stdout.writelines(["x", "y\n"])
        assert sys.stdout.encoding.lower().startswith("utf")
        assert not sys.stdout.isatty()

    def b(state):
        sys.stdout.write(3)

    run = graph_of(a).start({"x": 0})
    run.result(10)
    assert "gr\u00fc\u00df\nwrapped\nxy\n" == printed(run) == capsys.readouterr().out
    with pytest.raises(NodeError, match=r"write\(\) argument must be str, not int"):
        graph_of(b).run({"x": 0})


def test_a_progress_bar_is_told_as_it_ends(capsys):
    """What it draws over does not use up what is kept; on the terminal it moves."""

    def a(state):
        for done in range(1000):
            sys.stderr.write(f"\r{done / 10:5.1f}% {'#' * 50}")
            sys.stderr.flush()
        sys.stderr.write("\rall done\n")
        print("and then")

    run = graph_of(a).start({"x": 0})
    run.result(10)
    assert "all done\nand then\n" == printed(run).replace("\r", "")
    assert 1001 == capsys.readouterr().err.count("\r")


def test_the_module_sys_is_pickled_as_a_module():
    """What sends functions to other processes finds it by its name."""
    graph_of(lambda s: None).run({"x": 0})
    assert sys is pickle.loads(pickle.dumps(sys))


def test_a_stream_set_past_the_module_is_taken_over(capsys):
    """C code can, and who writes into the module's dictionary."""
    graph_of(lambda s: None).run({"x": 0})
    before, mine = sys.stdout, io.StringIO()
    vars(sys)["stdout"] = mine
    try:
        print("mine")
        run = graph_of(lambda s: print("the node's")).start({"x": 0})
        run.result(10)
        print("mine again")
        assert mine is sys.stdout
    finally:
        sys.stdout = before
    assert "mine\nthe node's\nmine again\n" == mine.getvalue()
    assert ("the node's\n", "") == (printed(run), capsys.readouterr().out)


def test_records_without_handlers_and_warnings_are_said_once():
    """As Python does it where nothing is set up: on the terminal, and once to the node."""
    code = """
import logging, warnings
from typing import Any, TypedDict
from nbagent import END, START, Graph, node
from nbagent.engine.watch.events import NodePrinted
class State(TypedDict):
    x: Any
def a(state):
    logging.getLogger("library").warning("rate %d", 5)
    warnings.showwarning("slow", UserWarning, "a.py", 1)
with Graph("g", State, store="memory://") as graph:
    START >> node(a) >> END
run = graph.start({"x": 0})
run.result(10)
print([e.text for e in run.feed.backlog if isinstance(e, NodePrinted)])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "['WARNING library: rate 5\\n', 'a.py:1: UserWarning: slow\\n']\n" == done.stdout
    assert "rate 5\na.py:1: UserWarning: slow\n" == done.stderr


def test_nodes_and_observers_log_at_the_same_time(caplog):
    """None waits for the other for ever."""

    def logs(state):
        for number in range(300):
            logging.getLogger("node").warning("line %d", number)

    async def emits(state):
        for number in range(300):
            emit(number)
            await asyncio.sleep(0)

    run = graph_of(logs, emits).start({"x": 0})
    run.watch(lambda event: logging.getLogger("observer").warning("seen %s", event))
    run.result(30)
    assert 300 == printed(run).count("WARNING node: line ")
    assert 0 == printed(run).count("observer")
