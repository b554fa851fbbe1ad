"""
The words behind a magic: options by argparse, state fields as `name=value`.

A value is text, a number or JSON as the field's type asks. `$name` and `{expression}` stand for
what they are where the magic is called, in a loop and in a function, too, as elsewhere in IPython.

Rule 1: alone, as a field's value or an answer, they give the Python object itself, without passing
        through text; inside a longer text they give its `str`. `$$` and `{{…}}` mean the character.
Rule 2: a word that names something (a graph, a thread, a store, a file) and has one that stands
        for nothing is refused: it would be a name that nobody meant. Other text keeps it.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from IPython.core.error import UsageError
from IPython.utils.text import EvalFormatter, FullEvalFormatter

from nbagent.errors import nearest
from nbagent.graph.schema import takes_text

_NAME = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_STANDS = re.compile(
    rf"\$\$(?=[^\W\d])|\$(?P<name>{_NAME})|\{{\{{(?P<same>[^{{}}]*)\}}\}}|\{{(?P<code>[^{{}}]+)\}}"
)


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


def expand(text: str, names: Mapping[str, Any], *, wanted: str = "", dollars: bool = True) -> str:
    """The text with what its `$name` and `{expression}` stand for.

    dollars  False leaves `$`, as IPython does inside single quotes
    wanted   what the text names, such as "thread": where a part of it stands for nothing it is
             refused; without it, that part stays as it is
    """

    def one(found: re.Match[str]) -> str:
        whole, name, code = found[0], found["name"], found["code"]
        if found["same"] is not None:
            return "{" + found["same"] + "}"
        if whole.startswith("$") and not dollars:
            return whole
        if whole == "$$":
            return "$"
        try:
            if name is not None:
                return _named(name, names)
            if not wanted and not re.match(r"\s*[^\W\d]", code):
                return whole  # as in `{"a": 1}`
            return str(FullEvalFormatter().vformat(whole, (), {**names}))
        except Exception as error:
            if not wanted:
                return whole
            double = whole.replace("$", "$$") if name else "{" + whole + "}"
            raise UsageError(
                f"{whole} in {text!r} stands for nothing here ({type(error).__name__}: {error}): "
                f"define it first, or write {double} if the {wanted} is to hold it as it stands"
            ) from None

    return _STANDS.sub(one, text)


def _named(name: str, names: Mapping[str, Any]) -> str:
    """`$name`, where a dot may belong to the name or to the text behind it."""
    behind = ""
    while True:
        try:
            return f"{_word_for(evaluate(name, names))}{behind}"
        except AttributeError:
            name, dot, last = name.rpartition(".")
            if not name:
                raise
            behind = dot + last + behind


def _word_for(value: Any) -> str:
    """A graph and a thread by what the magic calls them, anything else as its text."""
    from nbagent.engine.thread.thread import Thread
    from nbagent.graph.builder import Graph

    if isinstance(value, Graph):
        return value.name
    return value.id if isinstance(value, Thread) else str(value)


def evaluate(code: str, names: Mapping[str, Any]) -> Any:
    """A Python expression over the variables that there are where the magic is called, as IPython
    itself evaluates what a magic's line holds."""
    return EvalFormatter().get_field(code.strip(), (), {**names})[0]


def _object(text: str, code: str, names: Mapping[str, Any]) -> Any:
    try:
        return evaluate(code, names)
    except NameError as error:
        name = error.name or code
        raise UsageError(
            f"{text}: there is no variable {name!r} here{nearest(name, names)}: define it first, "
            "or put the text in quotes and double its $ or braces"
        ) from None


def read_fields(
    words: Iterable[str], schema: Mapping[str, Any], names: Mapping[str, Any]
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
        found[name] = read_value(text, properties[name], names)
    return found


def read_value(text: str, schema: Mapping[str, Any] | None, names: Mapping[str, Any]) -> Any:
    """One value: an object for `$name` or `{expression}`, else text or JSON as the schema asks."""
    if re.fullmatch(rf"\$(?:{_NAME})", text):
        return _object(text, text[1:], names)
    is_text = schema is not None and takes_text(schema)
    if not _is_json(text):
        if text.startswith("{") and text.endswith("}") and _is_expression(text[1:-1]):
            return _object(text, text[1:-1], names)
        text = expand(text, names, dollars=not text.startswith("'"))
    elif text.startswith('"'):
        text = expand(text, names)
    plain = unquote(text)
    if is_text or (schema is None and not _is_json(text)):
        return plain
    try:
        return json.loads(text)
    except ValueError:
        return plain


def _is_expression(code: str) -> bool:
    try:
        compile(code.strip(), "<word>", "eval")
    except (SyntaxError, ValueError):
        return False
    return True


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
