"""The command `nbagent`, as a person and as a program meet it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from nbagent.cli import main, nbagent

CODE = """
from typing import TypedDict
from nbagent import *
class Letter(TypedDict, total=False):
    topic: str
    text: str
    count: int
with Graph("letter", Letter) as letter:
    @node
    def write(state):
        print("writing about", state["topic"])
        return {"text": f"{state['topic']} build nests"}
    @node
    def ask(state):
        if interrupt("Send it?", show=["text"], schema=bool):
            effect("mail", lambda: "sent")
        return {"text": state["text"] + "!"}
    START >> write >> ask >> END
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a graph and a store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NBAGENT_STORE", str(tmp_path / "its.db"))
    (tmp_path / "agents.py").write_text(CODE)
    return tmp_path


@pytest.fixture
def said(folder, capsys):
    """Runs the command: its exit code, what it printed, what it said to the person."""

    def say(*words):
        capsys.readouterr()
        code = main(list(words))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return say


def test_a_thread_from_its_start_to_its_end(said):
    """Run, look, answer, and go on; a thread that waits is 3, one that is done 0."""
    code, out, err = said("run", "agents.py", "topic=wasps", "--thread", "w", "--json")
    assert 3 == code
    assert {"topic": "wasps", "text": "wasps build nests"} == json.loads(out)["state"]
    assert "writing about wasps" in err
    assert 'nbagent answer w "…"' in err

    code, out, _ = said("show", "w")
    assert 0 == code
    assert "letter · waiting at super-step 1" in out
    assert "Send it?" in out
    (asked,) = json.loads(said("inbox", "--json")[1])
    assert ("w", "ask", "2:ask:0") == (asked["thread"], asked["node"], asked["id"])

    code, _, err = said("answer", "w", "maybe")
    assert 1 == code
    assert "'maybe' is not of type 'boolean'" in err
    assert 0 == said("answer", "w", "yes")[0]
    assert [] == json.loads(said("inbox", "--json")[1])

    code, out, _ = said("resume", "w", "--graph", "agents.py")
    assert 0 == code
    assert "wasps build nests!" == json.loads(out)["text"]
    assert "mail" in said("show", "w", "--effects")[1]
    assert "answered" in said("show", "w", "--questions")[1]
    assert "writing about wasps" in said("show", "w", "--printed")[1]
    changed = json.loads(said("show", "w", "--diff", "--json")[1])
    assert [{"field": "text", "before": "wasps build nests", "after": "wasps build nests!"}] == (
        changed
    )
    assert [1, 2, 3] == [row["checkpoint"] for row in json.loads(
        said("show", "w", "--history", "--json")[1]
    )]  # fmt: skip
    assert {"topic": "wasps"} == json.loads(
        said("show", "w", "--checkpoint", "1", "--json")[1]
    )["state"]  # fmt: skip
    assert "node" in said("show", "w", "--trace")[1]


def test_answering_with_the_graph_goes_on_at_once(said):
    """And more than one store may be named; a field is corrected."""
    said("run", "agents.py:letter", "topic=ants", "--thread", "a")
    code, _, err = said("edit", "a", "text=ants rule", "count=3", "--graph", "agents.py")
    assert (0, "a: text, count set\n") == (code, err)
    code, out, _ = said("answer", "a", "no", "--graph", "agents.py", "--json")
    assert 0 == code
    assert {"topic": "ants", "text": "ants rule!", "count": 3} == json.loads(out)["state"]


def test_threads_are_listed_searched_and_thrown_away(said):
    """By a condition, by words; with a word where there is nothing."""
    for topic in ("wasps", "bees"):
        said("run", "agents.py", f"topic={topic}", "--thread", topic)
    named = json.loads(said("threads", "--where", "thread = 'bees'", "--json")[1])
    assert ["bees"] == [row["thread"] for row in named]
    assert "(none)" in said("threads", "--where", "status = 'failed'")[1]
    assert "[wasps] build nests" in said("search", "wasps")[1]
    assert "wasps" in said("sizes")[1]
    assert "all is whole (2 threads)" in said("check")[1]

    code, _, err = said("show", "wasp")
    assert 1 == code
    assert "did you mean 'wasps'?" in err
    assert 0 == said("delete", "wasps", "--yes")[0]
    assert ["bees"] == [row["thread"] for row in json.loads(said("threads", "--json")[1])]
    assert "would" not in said("prune", "--status", "waiting", "--dry-run")[1]
    assert 0 == said("prune", "--status", "waiting")[0]
    assert [] == json.loads(said("threads", "--json")[1])
    assert 2 == said("prune")[0]


def test_threads_leave_and_come_back_in_files(said, folder):
    """A thread of its own file, and all of them as tables."""
    said("run", "agents.py", "topic=wasps", "--thread", "w")
    assert (0, "w.db\n") == said("export", "w", "w.db")[:2]
    assert (0, "w\n") == said("--store", "other.db", "import", "w.db")[:2]
    assert "waiting" in said("--store", "other.db", "threads")[1]
    assert 0 == said("tables", "out.db")[0]
    with sqlite3.connect(folder / "out.db") as db:
        assert [("w", "waiting")] == db.execute("select thread, status from threads").fetchall()
    db.close()


def test_a_graph_is_drawn(said, folder):
    """As text, and in a file by its ending."""
    assert "START → write" in said("graph", "agents.py")[1]
    assert "flowchart TD" in said("graph", "agents.py", "--format", "mermaid")[1]
    assert 0 == said("graph", "agents.py", "-o", "g.svg")[0]
    assert (folder / "g.svg").read_text("utf-8").startswith("<svg")


def test_what_is_wrong_is_a_sentence(said, folder):
    """No traceback; what was meant, where that can be told; no store is made by looking."""
    code, _, err = said("--store", "nowhere.db", "threads")
    assert 1 == code
    assert "there is no store nowhere.db" in err
    assert not (folder / "nowhere.db").exists()
    code, _, err = said("thread")
    assert 2 == code
    assert "did you mean 'threads'?" in err
    assert "no graph 'lettre' (did you mean 'letter'?)" in said("graph", "agents.py:lettre")[2]
    (folder / "broken.py").write_text("1/0")
    assert "broken.py cannot be loaded: ZeroDivisionError" in said("graph", "broken.py")[2]
    code, _, err = said("run", "agents.py", "topc=x")
    assert 1 == code
    assert "did you mean 'topic'?" in err
    assert 2 == said("resume", "w")[0]


def test_damage_is_told(said, folder):
    """`check` reads everything, and says which checkpoint cannot be read."""
    said("run", "agents.py", "topic=wasps", "--thread", "w")
    (folder / "its.db").write_bytes((folder / "its.db").read_bytes())
    with sqlite3.connect(folder / "its.db") as db:
        tables = {name for (name,) in db.execute("select name from sqlite_master")}
        table = "versions" if "versions" in tables else "step_rows"
        db.execute(f"update {table} set data = cast(x'00' || data as blob)")
    db.close()
    code, out, err = said("check")
    assert 1 == code
    assert "checkpoint" in out
    assert "problem" in err


def test_every_command_has_a_word_of_help():
    """In the list, and of its own."""
    for name, command in nbagent.commands.items():
        assert command.get_short_help_str(), name
        assert command.help, name


def test_it_is_a_program_that_an_interrupt_pauses(folder):
    """Ctrl-C pauses the thread and is said; the command and `python -m nbagent` are one."""
    slow = CODE.replace('return {"text": f', 'import time; time.sleep(60); return {"text": f')
    (folder / "slow.py").write_text(slow)
    words = [sys.executable, "-m", "nbagent", "run", "slow.py", "topic=x", "--thread", "s"]
    running = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=os.environ)
    for line in running.stderr:
        if "writing about x" in line:
            break
    time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    said = running.stderr.read()
    assert 3 == running.wait(20)
    running.stderr.close()
    assert "paused; go on with: nbagent resume s" in said
    words = [sys.executable, "-m", "nbagent", "threads", "--json"]
    found = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    assert ["paused"] == [row["status"] for row in found]


def test_a_notebook_is_loaded_without_running_it(said, folder):
    """Its graph, classes and values; no agent is started, and nothing is shown."""
    state, graph = CODE.split("with Graph", 1)
    _, body = graph.split("\n", 1)
    import textwrap

    cells = [
        "%load_ext nbagent\nfrom typing import TypedDict\nsuffix = '?'",
        "%%graph letter\n"
        + state.split("import *\n")[1]
        + textwrap.dedent(body).replace('+ "!"', "+ suffix"),
        "run = letter.start({'topic': 'x'}, thread='never')",
        "await letter.arun({'topic': 'x'}, thread='never')",
        "%agent run letter topic=x --thread never",
        "for each in range(3):\n    letter.run({'topic': 'x'}, thread='never')",
        "letter.thread('never').state",
    ]
    book = {
        "cells": [{"cell_type": "code", "source": cell.splitlines(True)} for cell in cells],
        "nbformat": 4,
    }
    (folder / "agents.ipynb").write_text(json.dumps(book))
    words = [sys.executable, "-m", "nbagent", "run", "agents.ipynb", "topic=bees", "--thread", "n"]
    assert 3 == subprocess.run(words, capture_output=True).returncode
    words = [sys.executable, "-m", "nbagent", "answer", "n", "no", "--graph", "agents.ipynb"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert "bees build nests?" == json.loads(done.stdout)["text"], done.stderr
    assert ["n"] == [row["thread"] for row in json.loads(said("threads", "--json")[1])]


def test_completion_offers_threads(said, folder):
    """Of the store that is named."""
    said("run", "agents.py", "topic=wasps", "--thread", "wasps-1")
    done = subprocess.run(
        [sys.executable, "-m", "nbagent"], capture_output=True, text=True,
        env={**os.environ, "_NBAGENT_COMPLETE": "bash_complete",
             "COMP_WORDS": "nbagent show w", "COMP_CWORD": "2"},
    )  # fmt: skip
    assert "plain,wasps-1" in done.stdout
