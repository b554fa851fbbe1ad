"""
Tab completion for %agent: commands, graphs, threads, fields, answers, options.
"""

from __future__ import annotations

import argparse
from typing import Any

from nbagent.errors import NbagentError
from nbagent.notebook.magic.parsers import agent_parser
from nbagent.notebook.registry import graph_named, graphs, stores, thread_named

MOST = 100  # threads that are offered, the newest first


def complete(shell: Any, event: Any) -> list[str]:
    """An IPython completer: what may stand where the cursor is."""
    before = event.text_until_cursor.partition("%agent")[2]
    words = before.split()
    if before.endswith(" ") or not words:
        words.append("")
    try:
        return _fitting(words, shell.user_ns)
    except NbagentError:  # an unknown thread or graph has no fields to offer
        return []


def _fitting(words: list[str], namespace: dict[str, Any]) -> list[str]:
    parser = agent_parser()
    commands = next(
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    ).choices
    *given, word = words
    if not given:
        return [name for name in commands if name.startswith(word)]
    if given[0] not in commands:
        return []
    actions = commands[given[0]]._actions
    if word.startswith("-"):
        options = [option for action in actions for option in action.option_strings]
        return [option for option in options if option.startswith(word) and len(option) > 2]
    before = next((a for a in actions if given[-1] in a.option_strings and a.nargs != 0), None)
    if before is not None:
        return _values(before, given, namespace, word)
    places = [action for action in actions if not action.option_strings]
    plain = _positional(given[1:], actions)
    if not places:
        return []
    place = places[min(len(plain), len(places) - 1)]
    return _values(place, [given[0], *plain], namespace, word)


def _positional(words: list[str], actions: list[argparse.Action]) -> list[str]:
    """The words that are neither options nor the values of options."""
    takes_one = {o for action in actions if action.nargs != 0 for o in action.option_strings}
    found = []
    for before, word in zip(["", *words], words, strict=False):
        if not word.startswith("-") and before not in takes_one:
            found.append(word)
    return found


def _values(
    action: argparse.Action, given: list[str], namespace: dict[str, Any], word: str
) -> list[str]:
    if action.choices:
        found = [str(choice) for choice in action.choices]
    elif action.dest == "graph":
        found = list(graphs(namespace))
    elif action.dest == "thread" and given[0] != "run":
        newest = [info for store in stores(namespace) for info in store.threads()][:MOST]
        found = [info.id for info in newest if not info.is_nested]
    elif action.dest == "fields":
        return _fields(given, namespace, word)
    elif action.dest == "answer":
        questions = thread_named(given[1], namespace).questions
        schema = (questions[0].schema if questions else None) or {}
        found = [str(value) for value in schema.get("enum", ())]
    else:
        found = []
    return [one for one in found if one.startswith(word)]


def _fields(given: list[str], namespace: dict[str, Any], word: str) -> list[str]:
    """`field=` for those that are not given yet, and then their values where these are few."""
    if given[0] == "run":
        program = graph_named(given[1], namespace).compile()
    else:
        program = thread_named(given[1], namespace).program
    properties = program.schema.json_schema().get("properties", {})
    name, equals, _ = word.partition("=")
    if equals:
        choices = properties.get(name, {}).get("enum", ())
        return [f"{name}={choice}" for choice in choices if f"{name}={choice}".startswith(word)]
    taken = {one.partition("=")[0] for one in given}
    return [f"{field}=" for field in properties if field not in taken and field.startswith(word)]
