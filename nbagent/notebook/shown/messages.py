"""
Messages of a chat in any known shape, as one: dicts (OpenAI's, Anthropic's, LangChain's), objects
of LangChain, OpenAI, pydantic-ai, models and dataclasses of one's own, and pairs of role and text.

Rule 1: a list is a chat if each of its entries is a message; nothing is guessed in parts.
Rule 2: what is shown is bounded: the latest messages, each with so many characters.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nbagent.engine.model.values import thaw
from nbagent.notebook.shown.preview import cut, preview, short

LATEST = 200  # messages that are shown
TEXT = 20_000  # characters of one
_ROLES = {
    **{"user": "user", "human": "user", "user-prompt": "user"},
    **{"assistant": "assistant", "ai": "assistant", "model": "assistant", "bot": "assistant"},
    **{"AIMessageChunk": "assistant", "response": "assistant"},
    **{"system": "system", "developer": "system", "system-prompt": "system"},
    **{"tool": "tool", "function": "tool", "tool-return": "tool", "retry-prompt": "tool"},
}
_WORDS = ("content", "text", "message", "parts")


def chat_of(value: Any) -> list[dict[str, Any]] | None:
    """The latest messages of a list as `{"role", "text", "calls", "result", …}`; None where it is
    no list of messages. A call is `{"id", "name", "args"}`; a result says whose it is."""
    if not isinstance(value, (list, tuple)) or not value or not all(map(_is_message, value)):
        return None
    first = max(0, len(value) - LATEST)
    return [
        {**one, "index": index}
        for index, message in enumerate(value[first:], first)
        for one in _told(message)
    ]


def _is_message(one: Any) -> bool:
    if isinstance(one, tuple) and len(one) == 2:
        return one[0] in _ROLES and isinstance(one[1], str)
    if _get(one, "type") in ("function_call", "function_call_output", "reasoning"):
        return True
    if _get(one, "kind") in ("request", "response") and _get(one, "parts") is not None:
        return True
    if _role(one) is None:
        return False
    said = any(_get(one, name) is not None for name in _WORDS)
    return said or bool(_get(one, "tool_calls")) or _get(one, "data") is not None


def _get(one: Any, name: str) -> Any:
    if isinstance(one, Mapping):
        return one.get(name)
    if isinstance(one, (str, bytes, int, float, bool, type(None), list, tuple)):
        return None
    return getattr(one, name, None)


def _role(one: Any) -> str | None:
    for name in ("role", "type", "part_kind"):
        found = _get(one, name)
        found = getattr(found, "value", found)
        if isinstance(found, str) and found in _ROLES:
            return _ROLES[found]
    return None


def _told(one: Any) -> Iterator[dict[str, Any]]:
    if isinstance(one, tuple):
        yield _entry(_ROLES[one[0]], one[1])
        return
    data = _get(one, "data")
    if isinstance(data, Mapping) and _get(one, "content") is None:  # LangChain's dump
        one = {**data, "type": _get(one, "type")}
    kind = _get(one, "type")
    if kind == "function_call":
        yield _entry("assistant", "", calls=[_call(one, _get(one, "call_id"))])
        return
    if kind == "function_call_output":
        yield _entry("tool", result=_result(_get(one, "output")), of=_get(one, "call_id"))
        return
    if _get(one, "kind") in ("request", "response"):
        yield from _of_parts(_ROLES.get(_get(one, "kind"), "user"), _get(one, "parts") or ())
        return
    yield from _of_content(one, _role(one) or "assistant")


def _of_content(one: Any, role: str) -> Iterator[dict[str, Any]]:
    content = next((_get(one, name) for name in _WORDS if _get(one, name) is not None), "")
    calls = [_call(call) for call in _get(one, "tool_calls") or ()]
    if role == "tool":
        of = _get(one, "tool_call_id")
        failed = _get(one, "status") == "error" or bool(_get(one, "is_error"))
        yield _entry("tool", result=_result(content), of=of, name=_get(one, "name"), failed=failed)
        return
    tokens = _tokens(one)
    if isinstance(content, str):
        yield _entry(role, content, calls=calls, tokens=tokens, name=_get(one, "name"))
        return
    made = list(_of_parts(role, content if isinstance(content, Sequence) else [content]))
    known = {call["id"] for entry in made for call in entry["calls"]}
    left = [call for call in calls if call["id"] not in known]
    if left or not made:
        made.append(_entry(role, calls=left))
    made[0]["tokens"] = tokens
    yield from made


def _of_parts(role: str, parts: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """The blocks of a message: texts and calls are its own, results are told of apart."""
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    apart: list[dict[str, Any]] = []
    for part in parts:
        kind = _get(part, "type") or _get(part, "part_kind")
        if isinstance(part, str):
            texts.append(part)
        elif kind in ("tool_use", "tool-call", "tool_call"):
            calls.append(_call(part, _get(part, "tool_call_id")))
        elif kind in ("tool_result", "tool-return"):
            of = _get(part, "tool_use_id") or _get(part, "tool_call_id")
            failed = bool(_get(part, "is_error"))
            name = _get(part, "tool_name")
            result = _result(_get(part, "content"))
            apart.append(_entry("tool", result=result, of=of, name=name, failed=failed))
        elif kind in ("system-prompt", "user-prompt"):
            apart.append(_entry(_ROLES[kind], _plain(_get(part, "content"))))
        elif kind in ("thinking", "reasoning", "redacted_thinking"):
            continue
        else:
            text = _get(part, "text") or _get(part, "content") or _get(part, "refusal")
            texts.append(text if isinstance(text, str) else f"[{kind or short(part, 60)}]")
    if texts or calls:
        yield _entry(role, "\n\n".join(texts), calls=calls)
    yield from apart


def _call(call: Any, id: Any = None) -> dict[str, Any]:
    """A tool call in any of its shapes."""
    function = _get(call, "function") or call
    args: Any = next(
        (_get(function, name) for name in ("args", "arguments", "input") if _get(function, name)),
        {},
    )
    if isinstance(args, str):
        try:
            args = json.loads(args)
        except ValueError:
            args = {"": args}  # while it is still being written
    if not isinstance(args, Mapping):
        args = {"": args}
    return {
        "id": str(id or _get(call, "id") or ""),
        "name": cut(str(_get(function, "name") or _get(call, "tool_name") or "tool"), 200),
        "args": [[cut(str(name), 80), _argument(value)] for name, value in args.items()],
    }


def _argument(value: Any) -> str:
    return (
        cut(json.dumps(value, ensure_ascii=False), 300)
        if isinstance(value, str)
        else short(value, 300)
    )


def _result(content: Any) -> dict[str, Any]:
    """What a tool gave, as a value: JSON where it is JSON."""
    content = thaw(content)
    if isinstance(content, (list, tuple)) and content and all(_get(c, "text") for c in content):
        content = "\n".join(str(_get(c, "text")) for c in content)
    if isinstance(content, str) and content[:1] in '[{"' and len(content) <= TEXT:
        with contextlib.suppress(ValueError):
            content = json.loads(content)
    return preview(content)


def _plain(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, Sequence) else [content]
    return "\n\n".join(one if isinstance(one, str) else short(one, 200) for one in parts)


def _tokens(one: Any) -> int:
    for name in ("usage_metadata", "usage"):
        usage = _get(one, name)
        for part in ("output_tokens", "completion_tokens"):
            found = _get(usage, part) if usage is not None else None
            if isinstance(found, int):
                return found
    return 0


def _entry(
    role: str,
    text: str = "",
    *,
    calls: Sequence[dict[str, Any]] = (),
    result: dict[str, Any] | None = None,
    of: Any = None,
    name: Any = None,
    failed: bool = False,
    tokens: int = 0,
) -> dict[str, Any]:
    return {
        "role": role,
        "text": cut(text, TEXT),
        "calls": list(calls),
        "result": result,
        "of": str(of or ""),
        "name": cut(str(name), 80) if isinstance(name, str) else "",
        "failed": failed,
        "tokens": tokens,
    }
