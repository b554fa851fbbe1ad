"""
What nodes stream, joined to one text a task: kept short, and sent as what is new.

Rule 1: a piece's text is found by its shape; what has none is shown as a line of its own.
Rule 2: of a text its last `KEPT` characters stay, and how many there were; of streams the last
        `STREAMS`.
Rule 3: a stream is told whole to a page that is new, else only with what was added since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nbagent.notebook.shown.preview import CONTROLS, short

KEPT = 20_000  # characters of one stream
KEPT_ENDED = 2_000  # and of one whose task has ended
STREAMS = 60  # texts that are kept at a time
_NAMES = ("text", "content", "delta", "token")
_DEEPEST = 4


@dataclass(slots=True)
class _Stream:
    """The text of one task. `total` counts the characters that there were."""

    node: str
    name: str
    since: float
    step: int
    ended: float = 0.0
    status: str = "running"
    pieces: int = 0
    total: int = 0
    sent: int = 0
    is_text: bool = True
    text: str = ""
    new: list[str] = field(default_factory=list)

    def told(self, text: str) -> dict[str, Any]:
        return {
            "node": self.node, "name": self.name, "since": self.since, "step": self.step,
            "ended": self.ended, "status": self.status, "pieces": self.pieces,
            "prose": self.is_text, "at": self.total - len(text), "text": text,
        }  # fmt: skip

    def settle(self) -> str:
        """Take what is new into the text; what of it has not been sent."""
        if self.new:
            added = "".join(self.new).translate(CONTROLS)
            self.new.clear()
            self.total += len(added)
            self.text = (self.text + added)[-KEPT:]
        unsent = min(len(self.text), self.total - self.sent)
        return self.text[len(self.text) - unsent :]

    def cut(self) -> None:
        """All of it has been told."""
        self.sent = self.total
        if self.ended:
            self.text = self.text[-KEPT_ENDED:]


class Streams:
    """The texts of a run's tasks, by the id that each has on the page."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}
        self._changed: set[str] = set()
        self._gone: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._changed or self._gone)

    def begin(self, key: str, node: str, name: str, at: float, step: int) -> None:
        """A task begins, or begins again: what an attempt before it said is gone."""
        self._streams.pop(key, None)
        self._streams[key] = _Stream(node, name, at, step)
        self._changed.add(key)
        self._gone.discard(key)
        ended = [other for other, one in self._streams.items() if one.ended]
        for other in ended[: max(0, len(self._streams) - STREAMS)]:
            self._drop(other)

    def add(self, key: str, value: Any) -> None:
        """A piece of a task's text."""
        stream = self._streams.get(key)
        if stream is None:
            return
        text = text_of(value)
        if text is None:
            stream.is_text = False
            text = short(value) + "\n"
        stream.pieces += 1
        stream.new.append(text)
        self._changed.add(key)

    def end(self, key: str, status: str, at: float) -> None:
        """The task has ended; one that said nothing has nothing to show."""
        stream = self._streams.get(key)
        if stream is None:
            return
        if not stream.pieces:
            self._drop(key)
            return
        stream.status, stream.ended = status, at
        self._changed.add(key)

    def clear(self) -> None:
        """A run begins anew."""
        for key in list(self._streams):
            self._drop(key)

    def _drop(self, key: str) -> None:
        del self._streams[key]
        self._changed.discard(key)
        self._gone.add(key)

    def whole(self) -> dict[str, Any]:
        """All texts, as far as they are kept."""
        for stream in self._streams.values():
            stream.settle()
        return {key: stream.told(stream.text) for key, stream in self._streams.items()}

    def patch(self) -> dict[str, Any]:
        """What was added since the last call; None for a stream that is gone."""
        made: dict[str, Any] = dict.fromkeys(self._gone)
        for key in self._changed:
            stream = self._streams[key]
            made[key] = stream.told(stream.settle())
        self.forget()
        return made

    def forget(self) -> None:
        """All of it has been told."""
        for key in self._changed:
            self._streams[key].settle()
            self._streams[key].cut()
        self._changed, self._gone = set(), set()


def text_of(value: Any, depth: int = 0) -> str | None:
    """The text in a piece of a stream: a text itself, or what a known shape holds of it.

    OpenAI's chunks (`choices[0].delta.content`), Anthropic's (`delta.text`), LangChain's
    (`content`), dicts of these names, lists of blocks. None where there is no text in it.
    """
    if isinstance(value, str):
        return value
    if value is None or depth > _DEEPEST or isinstance(value, (bytes, int, float, bool)):
        return None
    choices = _part(value, "choices")
    if isinstance(choices, (list, tuple)) and choices:
        return text_of(_part(choices[0], "delta"), depth + 1) or ""
    if isinstance(value, (list, tuple)):
        return _joined(value, depth)
    for name in _NAMES:
        found = _part(value, name)
        if isinstance(found, str):
            return found
        if found is not None and not callable(found):
            inner = text_of(found, depth + 1)
            if inner is not None:
                return inner
    return None


def _joined(blocks: Iterable[Any], depth: int) -> str | None:
    texts = [text_of(block, depth + 1) for block in blocks]
    known = [text for text in texts if text is not None]
    return "".join(known) if known and len(known) == len(texts) else None


def _part(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(name)
    if type(value).__module__ == "builtins":
        return None
    try:
        return getattr(value, name, None)
    except Exception:  # a property of the user's may raise anything
        return None
