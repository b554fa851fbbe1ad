"""
The text that a model gives piece by piece, found in whatever its client hands out. (R38)

Rule 1: a chunk is known by its shape, an object or the dict that it is on the wire: no client is
        imported, none is patched.
Rule 2: what has no text for a reader (a tool call, a count of tokens, a progress figure) is no
        message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbagent.engine.model.secrets import strike_out
from nbagent.engine.watch.events import NodeEmitted


@dataclass(frozen=True, slots=True)
class Message:
    """A piece of the text that a node gives by `emit`: `text` is what is new of it.

    node    the node that runs, which may be a subgraph's
    id      tells which message of the node it is a piece of: the id that the model's client gave
            it, else the attempt's
    thread  the node's thread
    """

    text: str
    node: str
    id: str
    thread: str


def message_of(event: NodeEmitted) -> Message | None:
    """The message that was emitted; None for what has no text."""
    text = text_of(event.value)
    if text is None:
        return None
    id = id_of(event.value)
    if id is None:
        again = f"#{event.attempt}" if event.attempt > 1 else ""
        id = f"{event.thread}/{event.task}{again}"
    return Message(strike_out(text), event.node, id, event.thread)


def text_of(value: Any) -> str | None:
    """The text in a chunk; None where it has none.

    Text itself; the chunks of OpenAI's chat completions, completions and responses, Anthropic's
    events, LangChain's messages (also beside their metadata, in a pair), Gemini's, Ollama's and
    LlamaIndex's.
    """
    if type(value) is str:
        return value or None
    if value is None or isinstance(value, (bool, int, float, bytes)):
        return None
    if isinstance(value, str):
        return str(value) or None
    if isinstance(value, (list, tuple)):
        # LangGraph gives a chunk and what is known of it.
        is_pair = len(value) == 2 and isinstance(value[1], Mapping)
        return text_of(value[0]) if is_pair and not isinstance(value[0], str) else None
    for find in (_of_choices, _of_event, _of_content, _of_message, _of_parts, _of_delta):
        text = find(value)
        if text is not None:
            return text or None
    return None


def id_of(value: Any) -> str | None:
    """The id of the message that a chunk is of; None where the chunk does not say."""
    if isinstance(value, (list, tuple)) and value:
        value = value[0]
    if isinstance(value, str):
        return None
    for name in ("item_id", "id", "response_id"):
        found = _get(value, name)
        if isinstance(found, str) and found:
            return str(found)
    return None


def _of_choices(value: Any) -> str | None:
    """OpenAI's chat completions and completions, streamed or whole."""
    choices = _get(value, "choices")
    if not isinstance(choices, (list, tuple)):
        return None
    found: list[str] = []
    for choice in choices[:1]:
        for name in ("delta", "message"):
            if (inner := _get(choice, name)) is not None:
                found.append(_joined(_get(inner, "content")) or "")
        if isinstance(text := _get(choice, "text"), str):
            found.append(text)
    return "".join(found)


def _of_event(value: Any) -> str | None:
    """An event that says its type: OpenAI's responses, Anthropic's messages."""
    kind = _get(value, "type")
    if not isinstance(kind, str):
        return None
    delta = _get(value, "delta")
    if kind == "response.output_text.delta":
        return delta if isinstance(delta, str) else ""
    if kind == "content_block_delta":
        text = _get(delta, "text") if _get(delta, "type") == "text_delta" else None
        return text if isinstance(text, str) else ""
    if kind == "text":
        return "" if _get(value, "snapshot") is not None else None
    if kind in _SILENT or kind.startswith(("response.", "message_", "content_block_")):
        return ""  # it tells of the message, or gives again what its pieces gave
    return None


def _of_content(value: Any) -> str | None:
    """LangChain's messages, and dicts with a role: a text, or blocks of which some are texts."""
    if _get(value, "type") == "text" and isinstance(text := _get(value, "text"), str):
        return text
    content = _get(value, "content")
    if isinstance(value, Mapping) and not {"role", "type"} & value.keys():
        return None
    return _joined(content)


def _of_message(value: Any) -> str | None:
    """Ollama's chat."""
    message = _get(value, "message")
    if message is None or isinstance(message, str):
        return None
    return _joined(_get(message, "content"))


def _of_parts(value: Any) -> str | None:
    """Gemini's candidates."""
    candidates = _get(value, "candidates")
    if not isinstance(candidates, (list, tuple)):
        return None
    found = [_joined(_get(_get(one, "content"), "parts")) or "" for one in candidates[:1]]
    return "".join(found)


def _of_delta(value: Any) -> str | None:
    """LlamaIndex's responses, Ollama's completions."""
    for name in ("delta", "response"):
        text = _get(value, name)
        if isinstance(text, str):
            return str(text)
    return None


def _joined(content: Any) -> str | None:
    """A text, or the texts among blocks."""
    if isinstance(content, str):
        return str(content)
    if not isinstance(content, Sequence):
        return None
    found: list[str] = []
    for block in content:
        if isinstance(block, str):
            found.append(block)
            continue
        kind, text = _get(block, "type"), _get(block, "text")
        if isinstance(text, str) and kind in (None, "text", "output_text", "text_delta"):
            found.append(text)
    return "".join(found)


def _get(value: Any, name: str) -> Any:
    """A part of a chunk by its name, whether the chunk is an object or a dict."""
    if isinstance(value, Mapping):
        return value.get(name)
    try:
        return getattr(value, name, None)
    except Exception:  # its own property fails: then it has no such part
        return None


_SILENT = frozenset(("ping", "error", "input_json"))
