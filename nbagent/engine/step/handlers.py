"""
What stands in for a node that has failed, its fallback or a `recover` function, is journalled
before it is called: where it fails itself, or the process ends, it is called again, and the node,
which was paid for, is not. (R6)

Rule: only for the code and the input that have failed. A node that was mended since, or reads
      another state, is called itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from nbagent.engine.model.checkpoint import JournalEntry
from nbagent.engine.model.digest import digest
from nbagent.engine.model.program import Node
from nbagent.engine.model.secrets import strike_out
from nbagent.engine.model.values import freeze
from nbagent.engine.node.context import TaskContext
from nbagent.engine.node.journal import HANDLER
from nbagent.errors import said

FALLBACK, RECOVER = "fallback", "recover"
_POSITION = -2


def begin(node: Node, inside: TaskContext, key: str, argument: Any, error: BaseException) -> None:
    """Write down that a fallback or a `recover` function is about to be called, and for what."""
    at = inside.place
    payload = {
        "code": node.fingerprint,
        "input": digest(argument),
        "type": _name(type(error)),
        "message": strike_out(said(error)),
        "args": [strike_out(one) if isinstance(one, str) else one for one in error.args]
        if all(map(_is_plain, error.args))
        else None,
        "facts": {
            name: strike_out(fact) if isinstance(fact, str) else fact
            for name, fact in vars(error).items()
            if _is_plain(fact) and not name.startswith("__")
        },
    }
    inside.note(JournalEntry(at.anchor, at.task, _POSITION, HANDLER, key, "open", freeze(payload)))


def begun(node: Node, inside: TaskContext, argument: Any) -> JournalEntry | None:
    """What was under way when the task last failed, if it is still the thing to do."""
    entry = inside.journal.get(_POSITION)
    if entry is None or entry.status != "open" or entry.payload["code"] != node.fingerprint:
        return None
    return entry if entry.payload["input"] == digest(argument) else None


def forget(inside: TaskContext) -> None:
    """A person is asked, and may say that the node itself is to be tried again."""
    entry = inside.journal.get(_POSITION)
    if entry is not None and entry.status == "open":
        inside.conclude(entry, replace(entry, status="void"))


def error_of(entry: JournalEntry, kinds: Mapping[Any, Any]) -> Exception | None:
    """The error that a `recover` function was called for: of its type, where that is still there,
    or of the type in `kinds` that it counted as. It has the words, and what plain facts it had."""
    payload = entry.payload
    found: type[BaseException] | None = None
    listed = [kind for key in kinds for kind in (key if isinstance(key, tuple) else (key,))]
    for kind in listed:
        found = found or next((k for k in _below(kind) if _name(k) == payload["type"]), None)
    for kind in filter(None, (found, *listed)):
        try:
            args = payload["args"]
            error = kind.__new__(kind)
            error.args = (payload["message"],) if args is None else tuple(args)
            vars(error).update(payload["facts"])
        except Exception:  # it cannot be made without what it was made with
            continue
        if isinstance(error, Exception):
            return error
    return None


def _below(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _below(below)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _is_plain(value: Any) -> bool:
    return value is None or type(value) in (str, int, float, bool)
