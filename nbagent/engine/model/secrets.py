"""
What must not be written down: API keys and the like. (W5)

Rule 1: a `Secret` in the state is its name. Its value stays in this process, or in the
        environment variable of that name; a store, a trace and a view only ever get the name.
Rule 2: where the value of a secret, or what a person said to redact, turns up in the text of an
        error, in what a node emits, prints or logs, it is struck out before anybody sees the text.
Rule 3: printed text comes in pieces: what may be the beginning of a secret is held back until it is
        known what it is.
Rule 4: what is found by its text (an effect's key, a question) is found by it with or without the
        secret in it, whether it is known at that time or not.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from typing import Any

from nbagent.errors import StateError

STRUCK_OUT = "•••"
_SHORTEST = 4  # characters; striking out shorter ones would only maim the text
_LONGEST_LINE = 10_000  # characters of a line that are held back for a pattern
_SHORTEST_LOOK = 1_000  # of a longer one, those that may still become part of a match
_MOST_HELD = 100_000  # characters that are held back in any case

_MARK = re.compile("#[0-9a-f]{16}")

_values: dict[str, str] = {}
_patterns: list[re.Pattern[str]] = []


class Secret:
    """A value that is never stored: `Secret("OPENAI_API_KEY")`, or `Secret("key", getpass())`.

    name   what it is called; without a value, the environment variable that holds it

    A node reads it with `reveal()`. After a restart it is there again as soon as the environment
    variable is set, or the cell that made it with a value has run.
    """

    __slots__ = ("name",)
    name: str

    def __init__(self, name: str, value: str | None = None) -> None:
        object.__setattr__(self, "name", name)
        if value is not None:
            _values[name] = value

    def reveal(self) -> str:
        """The value; `StateError` that says what to do where it is not known."""
        value = _values.get(self.name, os.environ.get(self.name))
        if value is None:
            raise StateError(
                f"the value of Secret({self.name!r}) is not known here, because it is never "
                f"stored: run Secret({self.name!r}, value), or set the environment variable "
                f"{self.name}, and resume"
            )
        _values.setdefault(self.name, value)  # so that it is struck out from now on
        return value

    def __repr__(self) -> str:
        return f"Secret({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.name == self.name

    def __hash__(self) -> int:
        return hash((Secret, self.name))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a Secret does not change: make another")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: Any) -> Secret:
        return self

    def __reduce__(self) -> Any:
        return (Secret, (self.name,))


def redact(pattern: str | re.Pattern[str]) -> None:
    r"""Strike out what matches in errors, emitted text, output and logs: `redact(r"sk-\w+")`.

    A match is looked for in whole lines, so a line that a node prints piece by piece is shown when
    it is complete.
    """
    _patterns.append(re.compile(pattern))


def is_any() -> bool:
    """Whether there is anything to strike out."""
    return bool(_values or _patterns)


def strike_out(text: str) -> str:
    """The text without the values of secrets, and without what `redact` was told of."""
    for value in _longest_first():
        if value in text:
            text = text.replace(value, STRUCK_OUT)
    for pattern in tuple(_patterns):
        text = pattern.sub(STRUCK_OUT, text)
    return text


def strike_out_of(value: Any) -> Any:
    """The value, with secrets struck out of the texts in it; itself where there is none."""
    if not is_any():
        return value
    if isinstance(value, str):
        struck: Any = strike_out(value)
    elif isinstance(value, Mapping):
        struck = {strike_out_of(key): strike_out_of(one) for key, one in value.items()}
    elif isinstance(value, (list, tuple, set, frozenset)):
        kind = next(kind for kind in (list, tuple, set, frozenset) if isinstance(value, kind))
        struck = kind(map(strike_out_of, value))
    else:
        return value
    return value if struck == value else struck


def named(key: str) -> str:
    """What a key is written down as: itself, or what is left of it with a digest of it, so that
    two keys stay two."""
    struck = strike_out(key) if is_any() else key
    return key if struck == key else f"{struck} {mark_of(key)}"


def mark_of(key: str) -> str:
    """What is behind a key that was struck out; it is found by that where nobody knows any more
    what is secret."""
    made = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8)
    return f"#{made.hexdigest()}"


def marked(key: str) -> str:
    """The mark of a key that was struck out; "" of any other."""
    return key[-17:] if STRUCK_OUT in key and _MARK.fullmatch(key[-17:]) else ""


def is_named(stored: str, key: str) -> bool:
    """Whether `stored` is what the key was written down as."""
    mark = marked(stored)
    return stored == key or (bool(mark) and mark == mark_of(key))


def said_of(key: str) -> str:
    """A key as it was written down, without its mark."""
    return key[:-18] if marked(key) else key


def _longest_first() -> list[str]:
    """The values: one that begins another must not leave the other's end behind."""
    values = {value for value in tuple(_values.values()) if len(value) >= _SHORTEST}
    return sorted(values, key=lambda value: (-len(value), value))


class Curtain:
    """Text that comes in pieces, with secrets struck out that come in pieces too.

    What may become the value of a secret is held back; with patterns of `redact`, what has no line
    break yet, for nobody can say what it may become.
    """

    def __init__(self) -> None:
        self._held = ""

    def take(self, text: str) -> str:
        """What can be shown of it, and of what was held back."""
        if self._held:
            text, self._held = self._held + text, ""
        if not text or not is_any():
            return text
        end = _decided(text)
        self._held = text[end:]
        return strike_out(text[:end])

    def end(self) -> str:
        """The rest."""
        held, self._held = self._held, ""
        return strike_out(held)


def _decided(text: str) -> int:
    """How much of a text is what it is, whatever follows it."""
    end, values, patterns = len(text), _longest_first(), tuple(_patterns)
    if patterns:
        line = max(text.rfind("\n"), text.rfind("\r")) + 1
        end = line if end - line <= _LONGEST_LINE else end - _SHORTEST_LOOK
    for value in values:
        at = text.find(value[0], max(0, len(text) - len(value) + 1))
        while 0 <= at < end and not value.startswith(text[at:]):
            at = text.find(value[0], at + 1)
        if 0 <= at < end:
            end = at
    before = -1
    while end != before and len(text) - end <= _MOST_HELD:  # nothing is cut in two
        before = end
        for value in values:
            at = text.find(value, max(0, end - len(value) + 1), end + len(value) - 1)
            if 0 <= at < end < at + len(value):
                end = at
        for pattern in patterns:
            for match in pattern.finditer(text):
                if match.start() < end < match.end():
                    end = match.start()
    return end if len(text) - end <= _MOST_HELD else len(text)
