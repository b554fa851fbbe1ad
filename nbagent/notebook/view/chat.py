"""
The messages of a state as a chat, with the turns that it was begun in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbagent.engine.thread.look import StoredThread
from nbagent.notebook.shown.messages import LATEST, chat_of

TURNS = 20  # beginnings of turns that are looked for, the latest


def chat(thread: StoredThread, args: Mapping[str, Any]) -> dict[str, Any]:
    """The longest list of messages in the state: its field, the latest messages, how many came
    before, and at which of them each later turn begins."""
    checkpoint = args.get("checkpoint")
    loaded = thread.latest() if checkpoint is None else thread.load(int(checkpoint))
    values = loaded.checkpoint.values
    found = {name: chat_of(value) for name, value in values.items()}
    fields = sorted((n for n, one in found.items() if one), key=lambda name: -len(values[name]))
    if not fields:
        return {"field": "", "messages": [], "earlier": 0, "turns": []}
    field = fields[0]
    messages: list[dict[str, Any]] = found[field] or []
    return {
        "field": field,
        "messages": messages,
        "earlier": max(0, len(values[field]) - LATEST),
        "turns": _turns(thread, loaded.checkpoint.id, field),
    }


def _turns(thread: StoredThread, checkpoint: int, field: str) -> list[list[int]]:
    """`[turn, index of its first message]` of every turn but the first."""
    line = thread.line(checkpoint)
    inputs = [place for place, info in enumerate(line) if info.kind == "input"]
    turns = []
    for number, place in list(enumerate(inputs, 1))[1:][-TURNS:]:
        before = thread.load(line[place - 1].id).checkpoint.values.get(field)
        if isinstance(before, (list, tuple)):
            turns.append([number, len(before)])
    return turns
