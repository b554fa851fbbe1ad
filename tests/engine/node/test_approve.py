"""approve(): a person accepts a tool call, edits it, answers in its stead, or refuses. (R32)"""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import pydantic
import pytest
from pydantic import Field

from nbagent import END, START, Approval, Graph, approve, interrupt, node
from nbagent.engine.model.approval import worded
from nbagent.errors import StateError
from nbagent.stores.memory import MemoryStore


class State(TypedDict, total=False):
    to: str
    decided: list[Any]


def send(to: str, copies: Annotated[int, Field(ge=1, le=10, description="how many")] = 1) -> str:
    """Send it."""
    return f"sent to {to}"


ARGS = {"to": "ada@example.org", "copies": 2}


def asking(ask=lambda: approve(send, ARGS), path=None):
    """A graph that puts a call to a person and keeps what was decided."""

    def decide(state):
        found = ask()
        assert isinstance(found, Approval)
        return {"decided": [found.kind, found.args, found.answer, found.reason]}

    with Graph("g", State, store=path or MemoryStore()) as graph:
        START >> node(decide, name="decide") >> END
    return graph


ACCEPTED = ["accept", ARGS, None, ""]
EDITED = ["edit", {"to": "bo@example.org"}, None, ""]
ANSWERED = ["answer", None, "it is sent", ""]
REFUSED = ["refuse", None, None, "not now"]
CALL = {"action": "send", "args": {"to": "bo@example.org"}}


@pytest.mark.parametrize(
    ("answer", "decided"),
    [
        (Approval("accept"), ACCEPTED),
        ({"kind": "accept"}, ACCEPTED),
        ("accept", ACCEPTED),
        ({"type": "accept", "args": None}, ACCEPTED),
        ([{"type": "accept", "args": None}], ACCEPTED),
        ({"decisions": [{"type": "approve"}]}, ACCEPTED),
        (Approval("edit", {"to": "bo@example.org"}), EDITED),
        ({"kind": "edit", "args": {"to": "bo@example.org"}}, EDITED),
        ({"type": "edit", "args": CALL}, EDITED),
        ({"type": "edit", "args": {"to": "bo@example.org"}}, EDITED),
        ({"type": "edit", "edited_action": {"name": "send", "args": CALL["args"]}}, EDITED),
        (Approval("answer", answer="it is sent"), ANSWERED),
        ({"type": "response", "args": "it is sent"}, ANSWERED),
        (Approval("refuse", reason="not now"), REFUSED),
        ({"kind": "refuse", "reason": "not now"}, REFUSED),
        ({"type": "reject", "message": "not now"}, REFUSED),
        ({"type": "ignore", "args": None}, ["refuse", None, None, ""]),
    ],
)
def test_a_person_decides_in_any_known_shape(answer, decided):
    """Our own, LangGraph's and LangChain's; an accepted call has the agent's arguments."""
    graph = asking()
    graph.run({}, "t")

    assert decided == graph.thread("t").resume(answer).result()["decided"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("perhaps", "'perhaps' is no approval: give Approval"),
        ({"kind": "maybe"}, "is no approval"),
        ({"kind": "edit"}, "'args' is a required property"),
        ({"kind": "edit", "args": {"copies": 2}}, "'to' is a required property"),
        ({"kind": "edit", "args": {"to": "x", "copies": 11}}, "greater than the maximum of 10"),
        (42, "42 is no approval"),
    ],
)
def test_what_is_no_decision_is_refused(answer, message):
    """The question stays open; an edit must fit what the tool takes."""
    graph = asking()
    graph.run({}, "t")
    with pytest.raises(StateError, match=message):
        graph.thread("t").resume(answer)

    assert "waiting" == graph.thread("t").status
    assert ACCEPTED == graph.thread("t").resume("accept").result()["decided"]


OPENAI = {
    "type": "function",
    "function": {
        "name": "search",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
    },
}


@pytest.mark.parametrize(
    ("one", "name", "arguments"),
    [
        ("search", "search", []),
        (send, "send", ["to", "copies"]),
        (OPENAI, "search", ["query"]),
        (pydantic.create_model("Search", query=(str, ...)), "Search", ["query"]),
        (lambda **anything: None, "<lambda>", []),
    ],
)
def test_a_tool_says_what_it_takes(one, name, arguments):
    """The question is LangGraph's; the answer's schema has the tool's parameters."""
    graph = asking(lambda: approve(one, {"query": "bees"}))
    graph.run({}, "t")
    (question,) = graph.thread("t").questions

    assert {"action": name, "args": {"query": "bees"}} == question.question["action_request"]
    assert arguments == list(question.schema["properties"]["args"].get("properties", {}))
    assert f"Call {name}(query='bees')?" == worded(question.question)


def test_a_tool_of_langchain_says_what_it_takes():
    """By its own name, too."""
    tools = pytest.importorskip("langchain_core.tools")

    @tools.tool
    def search(query: str) -> str:
        """Look it up."""
        return query

    graph = asking(lambda: approve(search, {"query": "bees"}))
    graph.run({}, "t")
    (question,) = graph.thread("t").questions
    assert "search" == question.question["action_request"]["action"]
    assert ["query"] == list(question.schema["properties"]["args"]["properties"])


def test_a_question_of_langgraph_is_understood():
    """With the ways that it allows, and its description."""
    request = {
        "action_request": {"action": "send", "args": {"to": "ada"}},
        "config": {"allow_accept": True, "allow_edit": False, "allow_respond": False,
                   "allow_ignore": True},
        "description": "Send it to Ada?",
    }  # fmt: skip
    graph = asking(lambda: interrupt(request, schema=Approval))
    graph.run({}, "t")
    (question,) = graph.thread("t").questions
    assert ["accept", "refuse"] == question.schema["properties"]["kind"]["enum"]
    assert "Send it to Ada?" == worded(question.question)
    with pytest.raises(StateError, match="is not one of"):
        graph.thread("t").resume({"type": "edit", "args": {"action": "send", "args": {}}})

    decided = graph.thread("t").resume({"type": "accept", "args": None}).result()["decided"]
    assert ["accept", {"to": "ada"}, None, ""] == decided


def test_a_plain_question_may_ask_for_an_approval():
    """`interrupt(text, schema=Approval)`: the same ways, with no call in it."""
    graph = asking(lambda: interrupt("Publish?", schema=Approval))
    graph.run({}, "t")

    assert ["accept", None, None, ""] == graph.thread("t").resume("accept").result()["decided"]


def test_it_outlives_the_process(tmp_path):
    """The call and the decision are in the file, and a deadline decides by itself."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    graph = asking(lambda: approve(send, ARGS, deadline=0.0, on_expiry="refuse"), url)
    graph.run({}, "t")
    again = asking(lambda: approve(send, ARGS, deadline=0.0, on_expiry="refuse"), url)

    assert "refuse" == again.thread("t").resume().result()["decided"][0]


def test_outside_a_node_it_is_an_error():
    """As interrupt is."""
    with pytest.raises(Exception, match=r"approve\(\)"):
        approve(send, ARGS)


def test_a_tool_without_a_name_is_refused():
    """With what is one."""
    graph = asking(lambda: approve(7, {}))
    with pytest.raises(Exception, match=r"approve\(\) got 7 for a tool"):
        graph.run({}, "t")
