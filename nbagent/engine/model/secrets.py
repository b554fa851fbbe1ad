"""
What must not be written down: API keys and the like. (W5)

Rule 1: a `Secret` in the state is its name. Its value stays in this process, or in the
        environment variable of that name; a store, a trace and a view only ever get the name.
Rule 2: where the value of a secret, or what a person said to redact, turns up in the text of an
        error, in what a node emits or prints, it is struck out before anybody sees the text.
"""

from __future__ import annotations

import os
import re
from typing import Any

from nbagent.errors import StateError

STRUCK_OUT = "•••"
_SHORTEST = 4  # characters; striking out shorter ones would only maim the text

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
    r"""Strike out what matches in errors, emitted text and printed output: `redact(r"sk-\w+")`."""
    _patterns.append(re.compile(pattern))


def strike_out(text: str) -> str:
    """The text without the values of secrets, and without what `redact` was told of."""
    for value in tuple(_values.values()):
        if len(value) >= _SHORTEST and value in text:
            text = text.replace(value, STRUCK_OUT)
    for pattern in tuple(_patterns):
        text = pattern.sub(STRUCK_OUT, text)
    return text
