"""Threads over HTTP, by a real server process and a real client."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

import httpx
import pytest

CODE = """
import time
from typing import TypedDict
from nbagent import *
class State(TypedDict, total=False):
    topic: str
    text: str
with Graph("letter", State, store="sqlite:///its.db") as letter:
    @node
    def write(state):
        emit("a word")
        time.sleep(0.3)
        return {"text": state["topic"] + "!"}
    @node
    def ask(state):
        return {"text": state["text"] if interrupt("Send?", schema=bool) else ""}
    START >> write >> ask >> END
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A client of a server that runs in a folder of its own."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "agents.py").write_text(CODE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "nbagent", "serve", "agents.py", "--port", str(port)]
    server = subprocess.Popen(
        words, cwd=folder, env={**os.environ, "NBAGENT_TOKEN": "secret"}, stderr=subprocess.DEVNULL
    )
    said = {"Authorization": "Bearer secret"}
    base = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=base, headers=said, timeout=60) as made:
        end = time.monotonic() + 60
        while True:
            try:
                made.get("/threads")
                break
            except httpx.HTTPError:
                assert time.monotonic() < end and server.poll() is None
                time.sleep(0.05)
        yield made
    server.terminate()
    server.wait(20)


def test_a_thread_is_started_watched_and_answered(client):
    """From its input to its end, with its events as they come."""
    made = client.post("/threads", json={"input": {"topic": "wasps"}, "thread": "t"})
    assert (201, "running") == (made.status_code, made.json()["status"])
    with client.stream("GET", "/threads/t/stream") as events:
        lines = list(events.iter_lines())
    kinds = [line.partition(": ")[2] for line in lines if line.startswith("event: ")]
    assert "NodeEmitted" in kinds
    assert "end" == kinds[-1]
    last = json.loads([line for line in lines if line.startswith("data: ")][-1][6:])
    assert "waiting" == last["status"]
    (question,) = last["questions"]
    assert ("Send?", {"type": "boolean"}) == (question["question"], question["schema"])

    wrong = client.post("/threads/t/answer", json={"answer": "maybe", "question": question["id"]})
    assert 422 == wrong.status_code
    assert "not of type 'boolean'" in wrong.json()["error"]
    done = client.post("/threads/t/answer", json={"answer": True, "question": question["id"]})
    assert 200 == done.status_code
    with client.stream("GET", "/threads/t/stream") as events:
        list(events.iter_lines())
    assert {"topic": "wasps", "text": "wasps!"} == client.get("/threads/t/state").json()
    assert "done" == client.get("/threads/t").json()["status"]
    assert ["t"] == [row["thread"] for row in client.get("/threads").json()]


def test_what_is_wrong_is_a_sentence_with_its_code(client):
    """No thread, a wrong field, something else to answer, a body that is none."""
    assert 404 == client.get("/threads/nobody").status_code
    wrong = client.post("/threads", json={"input": {"topc": "x"}})
    assert 422 == wrong.status_code
    assert "did you mean 'topic'" in wrong.json()["error"]
    client.post("/threads", json={"input": {"topic": "x"}, "thread": "again"})
    again = client.post("/threads", json={"input": {"topic": "x"}, "thread": "again"})
    assert 409 == again.status_code
    assert 422 == client.post("/threads", content="no json").status_code


def test_who_has_no_token_sees_nothing(client):
    """Nor one with another; and a page that comes by another name of this machine."""
    base = str(client.base_url)
    assert 401 == httpx.get(f"{base}/threads").status_code
    assert 401 == httpx.get(f"{base}/threads?token=other").status_code
    assert 200 == httpx.get(f"{base}/threads?token=secret").status_code
    rebound = httpx.get(f"{base}/threads?token=secret", headers={"Host": "evil.example"})
    assert 400 == rebound.status_code


def test_the_operations_are_described(client):
    """In OpenAPI, for clients that are made of it."""
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/threads", "/threads/{id}", "/threads/{id}/answer", "/threads/{id}/stream"} <= set(
        paths
    )
