"""Whichever way a node's text leaves, secrets are struck out of it. (W5, R38)"""

import io
import itertools
import logging
import sys
import threading
from typing import Any, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from nbagent import END, START, Graph, Secret, emit, node, redact, span
from nbagent.engine.model import secrets
from nbagent.engine.model.secrets import Curtain, strike_out
from nbagent.engine.watch.events import NodeEmitted, NodePrinted
from nbagent.stores.memory import MemoryStore

VALUE = "sk-VERYSECRETVALUE123"


class State(TypedDict):
    x: Any


@pytest.fixture(autouse=True)
def only_here(monkeypatch):
    monkeypatch.setattr(secrets, "_values", {})
    monkeypatch.setattr(secrets, "_patterns", [])


def by_value():
    Secret("key", VALUE)


def by_pattern():
    redact(r"sk-[A-Z0-9]{6,}")


def in_pieces(write):
    for character in f"using {VALUE}\n":
        write(character)


def in_bytes(state):
    for byte in f"using {VALUE}\n".encode():
        sys.stdout.buffer.write(bytes([byte]))


def fails_and_logs(state):
    try:
        raise ValueError(f"refused {VALUE}")
    except ValueError:
        logging.getLogger("library").exception("it failed")


WAYS = {
    "print": lambda s: print("using", VALUE),
    "stderr": lambda s: print("using", VALUE, file=sys.stderr),
    "flushed": lambda s: print("using", VALUE, end="", flush=True),
    "two writes": lambda s: [sys.stdout.write(part) for part in ("using " + VALUE[:9], VALUE[9:])],
    "tokens": lambda s: in_pieces(lambda text: print(text, end="", flush=True)),
    "writelines": lambda s: sys.stdout.writelines(["using ", VALUE[:5], VALUE[5:], "\n"]),
    "buffer": lambda s: sys.stdout.buffer.write(f"using {VALUE}\n".encode()),
    "bytes": in_bytes,
    "progress": lambda s: [sys.stderr.write(f"\r{n}% {VALUE}") for n in range(100)],
    "log": lambda s: logging.getLogger("library").warning(f"using {VALUE}"),
    "log, argument": lambda s: logging.getLogger("library").warning("using %s", VALUE),
    "log, two arguments": lambda s: logging.getLogger("library").warning(
        "using %s%s", VALUE[:7], VALUE[7:]
    ),
    "log, traceback": fails_and_logs,
    "rich": lambda s: Console(force_terminal=False).print("using", VALUE),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("known", [by_value, by_pattern])
def test_no_way_out(way, known, capfd):
    """What is shown, told, kept, and what a log handler writes that was there before. (W22)"""
    known()
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger("library").addHandler(handler)
    try:
        with Graph("g", State, store=MemoryStore()) as graph:
            START >> node(lambda s: WAYS[way](s) and None, name="a") >> END
        run = graph.start({"x": 0}, thread="t")
        run.result(10)
    finally:
        logging.getLogger("library").removeHandler(handler)
    told = "".join(e.text for e in run.feed.backlog if isinstance(e, NodePrinted))
    kept = "".join(s.attributes["text"] for s in graph.store.spans("t") if s.kind == "output")
    shown = "".join(capfd.readouterr())
    for text in (told, kept, shown, log.getvalue()):
        assert VALUE[3:] not in text
    if "log" not in way:
        assert "•••" in told
        assert "•••" in kept
        assert "•••" in shown
    else:
        assert "•••" in log.getvalue()


def test_a_record_without_a_secret_is_as_it_was(caplog):
    """Handlers that want the arguments find them."""
    by_value()
    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(lambda s: logging.warning("rate %d", 5), name="a") >> END
    graph.run({"x": 0})
    assert [("rate %d", (5,))] == [(r.msg, r.args) for r in caplog.records if r.name == "root"]


def test_a_call_that_was_given_up_tells_no_secret_either(capsys):
    """It goes on in its thread and prints when its node has long ended."""
    by_value()
    ended, said = threading.Event(), threading.Event()

    def a(state):
        ended.wait(5)
        print("late", VALUE)
        said.set()

    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(a, timeout=0.1, fallback=lambda state: {"x": 1}) >> END
    graph.run({"x": 0})
    ended.set()
    assert said.wait(5)
    assert "late •••\n" == capsys.readouterr().out


def test_what_cannot_become_a_secret_is_shown_at_once(capsys):
    """A model's answer appears while it is written."""
    by_value()
    shown = []

    def a(state):
        print("thinking", end="")
        shown.append(capsys.readouterr().out)
        print("… sk-VERY", end="")
        shown.append(capsys.readouterr().out)
        print(" good", end="")
        shown.append(capsys.readouterr().out)

    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(a) >> END
    graph.run({"x": 0})
    assert ["thinking", "… ", "sk-VERY good"] == shown


def cut(text, places):
    """The text in pieces."""
    ends = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in itertools.pairwise(ends)]


@given(
    st.lists(st.sampled_from(["a", "b", "ab", "aab", "key-1", "key-12", "\n", "\r", "x"])),
    st.lists(st.integers(0, 200)),
    st.sets(st.sampled_from(["aaba", "abab", "key-1", "key-12a", "a\nb\na"])),
    st.sets(st.sampled_from([r"key-\d+", r"b{2,}", r"x[ab]+", r"k[^\n\r]*y"])),
)
def test_how_a_text_is_cut_makes_no_difference(parts, places, values, patterns):
    """A law: what comes out of all pieces together is what comes out of the whole."""
    text = "".join(parts)
    curtain = Curtain()
    before = secrets._values, secrets._patterns
    secrets._values, secrets._patterns = {value: value for value in values}, []
    try:
        for pattern in sorted(patterns):
            redact(pattern)
        come = [curtain.take(piece) for piece in cut(text, places)]
        assert strike_out(text) == "".join([*come, curtain.end()])
    finally:
        secrets._values, secrets._patterns = before


def test_what_is_emitted_and_traced(capsys):
    """Also in a dict or a list; what has no secret in it is what it was."""
    by_value()

    def a(state):
        emit({"text": [f"using {VALUE}"], "n": 3})
        with span(f"call {VALUE}", prompt=f"using {VALUE}", tries=[VALUE, 3]) as one:
            one.set(headers={"Authorization": f"Bearer {VALUE}"})
        emit([1, {"n": (2.5, None)}])

    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(a) >> END
    run = graph.start({"x": 0}, thread="t")
    run.result(10)
    emitted = [e.value for e in run.feed.backlog if isinstance(e, NodeEmitted)]
    assert [{"text": ["using •••"], "n": 3}, [1, {"n": (2.5, None)}]] == emitted
    (kept,) = [s for s in graph.store.spans("t") if s.kind == "span"]
    assert "call •••" == kept.name
    assert "using •••" == kept.attributes["prompt"]
    assert ["•••", 3] == list(kept.attributes["tries"])
    assert {"Authorization": "Bearer •••"} == kept.attributes["headers"]
