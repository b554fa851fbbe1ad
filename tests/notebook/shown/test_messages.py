"""Messages in any known shape are one chat. (C3)"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, TypedDict

import pydantic
import pytest
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    messages_to_dict,
)
from openai.types.chat import ChatCompletionMessage

from nbagent import END, START, Graph, node
from nbagent.notebook.shown.messages import LATEST, chat_of
from nbagent.notebook.view.lookback import answer
from nbagent.stores.memory import MemoryStore

ARGS = {"route": "island"}
LANGCHAIN = [
    SystemMessage("From the timetable only."),
    HumanMessage("Which boats?"),
    AIMessage("", tool_calls=[{"id": "c1", "name": "timetable", "args": ARGS}]),
    ToolMessage("[1, 2]", tool_call_id="c1"),
    AIMessage("Two boats."),
]
OPENAI = [
    {"role": "system", "content": "From the timetable only."},
    {"role": "user", "content": [{"type": "text", "text": "Which boats?"}]},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "timetable", "arguments": '{"route": "island"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "[1, 2]"},
    ChatCompletionMessage(role="assistant", content="Two boats."),
]
RESPONSES = [
    {"role": "developer", "content": "From the timetable only."},
    {"role": "user", "content": "Which boats?"},
    {
        "type": "function_call",
        "call_id": "c1",
        "name": "timetable",
        "arguments": '{"route": "island"}',
    },
    {"type": "function_call_output", "call_id": "c1", "output": "[1, 2]"},
    {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Two boats."}],
    },
]
ANTHROPIC = [
    {"role": "system", "content": "From the timetable only."},
    {"role": "user", "content": "Which boats?"},
    {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "c1", "name": "timetable", "input": ARGS}],
    },
    {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "[1, 2]"}],
    },
    {"role": "assistant", "content": [{"type": "text", "text": "Two boats."}]},
]


@dataclasses.dataclass
class Part:
    """A part of a message, as pydantic-ai has them."""

    part_kind: str
    content: Any = None
    tool_name: str = ""
    tool_call_id: str = ""
    args: Any = None


@dataclasses.dataclass
class Parts:
    """A message of pydantic-ai."""

    kind: str
    parts: list[Part]


PYDANTIC_AI = [
    Parts(
        "request",
        [Part("system-prompt", "From the timetable only."), Part("user-prompt", "Which boats?")],
    ),
    Parts("response", [Part("tool-call", tool_name="timetable", tool_call_id="c1", args=ARGS)]),
    Parts("request", [Part("tool-return", [1, 2], "timetable", "c1")]),
    Parts("response", [Part("text", "Two boats.")]),
]
SHAPES = {
    "LangChain": LANGCHAIN,
    "LangChain's dump": messages_to_dict(LANGCHAIN),
    "LangChain's dicts": [one.model_dump() for one in LANGCHAIN],
    "OpenAI": OPENAI,
    "OpenAI's responses": RESPONSES,
    "Anthropic": ANTHROPIC,
    "pydantic-ai": PYDANTIC_AI,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_known_shape_is_one_chat(shape):
    """Who said what; a call with its arguments; the result belongs to it, as a value."""
    system, user, called, result, said = chat_of(SHAPES[shape])

    assert ("system", "From the timetable only.") == (system["role"], system["text"])
    assert ("user", "Which boats?") == (user["role"], user["text"])
    (call,) = called["calls"]
    assert ("assistant", "c1", "timetable") == (called["role"], call["id"], call["name"])
    assert [["route", '"island"']] == call["args"]
    assert ("tool", "c1", "list") == (result["role"], result["of"], result["result"]["kind"])
    assert ("assistant", "Two boats.") == (said["role"], said["text"])


class Message(pydantic.BaseModel):
    """A message of a user's own."""

    role: str
    content: str


@pytest.mark.parametrize(
    "messages",
    [
        [("user", "hi"), ("ai", "hello")],
        [Message(role="user", content="hi"), Message(role="assistant", content="hello")],
        [{"role": "human", "text": "hi"}, {"role": "bot", "text": "hello"}],
        [HumanMessage("hi"), {"role": "assistant", "content": "hello"}],
    ],
)
def test_ones_own_shapes(messages):
    """Pairs, models, dicts with another word, and shapes side by side."""
    assert [("user", "hi"), ("assistant", "hello")] == [
        (one["role"], one["text"]) for one in chat_of(messages)
    ]


@pytest.mark.parametrize(
    "value",
    [
        [],
        "user",
        ["user", "ai"],
        [{"role": "admin", "content": "x"}],
        [{"role": "user", "name": "Ada"}],
        [{"type": "function", "text": None}],
        [{"role": "user", "content": "hi"}, 7],
        {"role": "user", "content": "hi"},
    ],
)
def test_what_is_no_chat(value):
    """A list of people with roles is none either."""
    assert chat_of(value) is None


def test_a_chat_is_bounded():
    """The latest messages, and so much of a text."""
    long = [{"role": "user", "content": f"{n} " + "x" * 100_000} for n in range(LATEST + 50)]
    shown = chat_of(long)

    assert LATEST == len(shown)
    assert 50 == shown[0]["index"]
    assert len(shown[0]["text"]) < 21_000


def add(old, new):
    """One list behind the other."""
    return [*(old or []), *new]


class State(TypedDict):
    """A chat, and a list that is none."""

    topics: list[str]
    messages: Annotated[list[Any], add]


def test_turns_are_marked():
    """Each input on a thread that is done begins one, where its first message is."""

    def say(state):
        return {"messages": [{"role": "assistant", "content": f"{len(state['messages'])}"}]}

    with Graph("g", State, store=MemoryStore()) as graph:
        START >> node(say, name="say") >> END
    for text in ("a", "b", "c"):
        graph.run({"messages": [{"role": "user", "content": text}]}, "t")
    told = answer(graph.thread("t"), "chat", {})

    assert "messages" == told["field"]
    assert ["a", "1", "b", "3", "c", "5"] == [one["text"] for one in told["messages"]]
    assert [[2, 2], [3, 4]] == told["turns"]
    graph.run({"messages": [{"role": "user", "content": "d"}]}, "t", fresh=True)
    told = answer(graph.thread("t"), "chat", {})
    assert [] == told["turns"]
