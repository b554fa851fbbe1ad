"""
The words behind a magic: options by argparse, state fields as `name=value`.

A value is text, a number or JSON as the field's type asks; `$name` and `{expression}` stand for
a Python object of the notebook, as elsewhere in IPython, without passing through text.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from IPython.core.error import UsageError

from nbagent.errors import nearest
from nbagent.graph.schema import takes_text


class Parser(argparse.ArgumentParser):
    """A parser that speaks to a notebook: no exit, help printed into the cell."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message} (`{self.prog} --help` tells more)")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise Helped


class Helped(Exception):
    """`--help` has been printed; there is nothing more to do."""


def split(line: str) -> list[str]:
    """The words of a magic's line; quotes and `{…}` keep spaces together."""
    words: list[str] = []
    rest = line.strip()
    while rest:
        word, rest = _word(rest)
        words.append(word)
        rest = rest.lstrip()
    return words


def _word(text: str) -> tuple[str, str]:
    """The first word and what follows it; quotes stay, for `read_value` to see."""
    depth, quote = 0, ""
    for index, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "{[(":
            depth += 1
        elif char in "}])":
            depth -= 1
        elif char.isspace() and depth <= 0:
            return text[:index], text[index:]
    if quote:
        raise UsageError(f"a quote {quote} is not closed in: {text}")
    return text, ""


def unquote(word: str) -> str:
    """The word as a shell would give it, without its quotes."""
    try:
        parts = shlex.split(word)
    except ValueError:
        return word
    return " ".join(parts)


def read_fields(
    words: Iterable[str], schema: Mapping[str, Any], evaluate: Callable[[str], Any]
) -> dict[str, Any]:
    """`name=value` words as state values; `UsageError` for an unknown field."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise UsageError(f"{word!r} is not `field=value`")
        if name not in properties:
            fields = ", ".join(properties)
            raise UsageError(
                f"{name!r} is not a field of the state{nearest(name, properties)}: it has {fields}"
            )
        found[name] = read_value(text, properties[name], evaluate)
    return found


def read_value(text: str, schema: Mapping[str, Any] | None, evaluate: Callable[[str], Any]) -> Any:
    """One value: an object for `$name` or `{expression}`, else text or JSON as the schema asks."""
    if text.startswith("$") and text[1:].isidentifier():
        return evaluate(text[1:])
    if text.startswith("{") and text.endswith("}") and not _is_json(text):
        return evaluate(text[1:-1])
    plain = unquote(text)
    if schema is not None and takes_text(schema):
        return plain
    if schema is None and not _is_json(text):
        return plain
    try:
        return json.loads(text)
    except ValueError:
        return plain


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
