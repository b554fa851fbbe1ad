"""
What threads share and remember: entries by namespace and key, as a store keeps them. (R43)

Rule 1: writes are a log. An entry is the last write of its key; who looks from an earlier point of
        a thread, as a fork does, is not shown what that thread wrote behind it.
Rule 2: what a node writes is part of the checkpoint that its super-step commits, and is applied in
        that very transaction: it is there once, whatever is killed, and with it or not at all.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from nbagent.engine.model.checkpoint import Checkpoint
from nbagent.engine.model.fact import fact, keyword_fact
from nbagent.engine.model.ids import MEMORY_CHANNEL

Namespace = tuple[str, ...]
Hidden = Callable[[str, int], bool]
"""(thread, checkpoint) -> True for what somebody who looks from an earlier point does not see."""


@fact
class Note:
    """A write: of a value, or that there is none any more.

    expires  Unix seconds from which on it is not there; None: it stays
    vector   what the user's function made of its text, as 32-bit floats
    """

    namespace: Namespace
    key: str
    value: Any
    is_gone: bool
    updated: float
    expires: float | None = None
    vector: bytes = b""

    def content(self) -> tuple[Any, ...]:
        """As a task's record and a checkpoint have it."""
        return (
            self.namespace, self.key, self.value, self.is_gone, self.updated, self.expires,
            self.vector,
        )  # fmt: skip

    @property
    def place(self) -> tuple[Namespace, str]:
        return self.namespace, self.key

    def is_there(self, now: float) -> bool:
        return not self.is_gone and (self.expires is None or self.expires > now)


@keyword_fact
class Written:
    """A note as a store has it: who wrote it, at which checkpoint; "" and 0 outside of threads."""

    note: Note
    thread: str = ""
    checkpoint: int = 0


@runtime_checkable
class Remembering(Protocol):
    """Where notes are kept. A checkpoint store's `.memory` is one, and so may be anything else that
    can be written and read. Methods are thread-safe, and durable when they return."""

    def write(self, notes: Sequence[Note], *, thread: str = "", checkpoint: int = 0) -> None:
        """Keep the notes, all or none of them; a later one of a key replaces the one before.
        `CodecError` for a value that cannot be kept."""
        ...

    def read(
        self,
        prefix: Namespace,
        *,
        key: str | None = None,
        words: Sequence[str] = (),
        hidden: Hidden | None = None,
    ) -> Iterable[Written]:
        """The last note of each key at or below the prefix, those that are gone included.

        key    only this one, in this very namespace
        words  at least those whose text has a word that begins with one of these
        hidden what is not to be seen
        """
        ...


def notes_of(checkpoint: Checkpoint, at: float | None) -> list[Note]:
    """What a checkpoint that is being committed writes to the memory: a super-step's own, not that
    of a copy, an edit or a fork."""
    found = checkpoint.control.get(MEMORY_CHANNEL)
    if found is None or at is not None or checkpoint.kind != "step":
        return []
    return [note_of(one) for one in found]


def note_of(content: Sequence[Any]) -> Note:
    """A note from what `content` gave."""
    namespace, *rest = content
    return Note(tuple(namespace), *rest)


def last_of_each(written: Iterable[Written], hidden: Hidden | None) -> Iterator[Written]:
    """Of a log in its order, the last note of each key that is to be seen."""
    found: dict[tuple[Namespace, str], Written] = {}
    for one in written:
        if hidden is None or not hidden(one.thread, one.checkpoint):
            found[one.note.place] = one
    yield from found.values()


def is_below(namespace: Namespace, prefix: Namespace) -> bool:
    return namespace[: len(prefix)] == prefix


def text_of(value: Any) -> str:
    """The texts in a value, which a search looks through."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return " ".join(filter(None, map(text_of, value.values())))
    if isinstance(value, (list, tuple, set, frozenset)):
        return " ".join(filter(None, map(text_of, value)))
    if hasattr(type(value), "model_fields"):
        return text_of({name: getattr(value, name, None) for name in type(value).model_fields})
    if hasattr(type(value), "__dataclass_fields__"):
        names = type(value).__dataclass_fields__
        return text_of({name: getattr(value, name, None) for name in names})
    return ""


def words_of(text: str) -> list[str]:
    """Its words, without case and accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return re.findall(r"\w+", "".join(c for c in plain if not unicodedata.combining(c)))


def share_of(words: Sequence[str], text: Collection[str]) -> float:
    """How many of the words begin one of the text's, from 0 to 1."""
    if not words:
        return 0.0
    return sum(any(one.startswith(word) for one in text) for word in words) / len(words)
