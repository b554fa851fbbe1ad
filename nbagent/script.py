"""
A graph as a command: `main(graph)` at the end of a file makes it one.

    python research.py topic=bees --thread bees-1        run, or go on where it stopped
    python research.py --thread bees-1 --answer accept   answer what it asks

The last state goes to standard output as JSON, progress to standard error. The exit code is 0 when
the thread is done, 1 when it failed, 3 when it waits for an answer or is paused.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json

from nbagent.engine.thread.run import Run
from nbagent.engine.thread.thread import Thread
from nbagent.errors import NbagentError
from nbagent.graph.builder import Graph, new_id
from nbagent.graph.schema import takes_text

FAILED, WAITING = 1, 3


def main(graph: Graph, argv: Sequence[str] | None = None) -> int:
    """Run a graph as a command; the exit code. `argv` is by default the process's own."""
    program = graph.compile()
    fields = [name for name in program.fields if program.takes is None or name in program.takes]
    properties = graph.compile().schema.json_schema().get("properties", {})
    parser = argparse.ArgumentParser(description=f"Run the agent {graph.name}.")
    parser.add_argument("fields", nargs="*", metavar="FIELD=VALUE", help=", ".join(fields))
    parser.add_argument("--thread", help="the thread to run or to go on with (default: a new one)")
    parser.add_argument("--answer", help="the answer to what it asks: text, or JSON")
    parser.add_argument("--question", help="which question, where several are open: its id")
    parser.add_argument("--steps", type=int, help="pause after so many super-steps")
    options = parser.parse_args(argv)
    try:
        given = {}
        for word in options.fields:
            name, equals, text = word.partition("=")
            if not equals or name not in fields:
                parser.error(f"{word!r} is not FIELD=VALUE with one of {', '.join(fields)}")
            given[name] = read_value(text, properties.get(name))
        thread = graph.thread(options.thread or new_id(graph.name))
        run = _begin(thread, given, options)
        if run is not None:
            run.result()
    except NbagentError as error:
        print(f"{graph.name}: {error}", file=sys.stderr)
        return FAILED
    values = thread.program.schema.to_json(thread.latest().checkpoint.values)
    print(to_json(values, indent=2, inf_nan_mode="null").decode())
    for question in thread.questions:
        which = f" --question {question.id}" if len(thread.questions) > 1 else ""
        print(f'{thread.id} asks: {question.question} (--answer "…"{which})', file=sys.stderr)
    return 0 if thread.status == "done" else WAITING


def _begin(thread: Thread, given: dict[str, Any], options: argparse.Namespace) -> Run | None:
    info = thread.stored()
    if info is None or not info.checkpoint:
        if options.answer is not None:
            raise NbagentError(f"thread {thread.id!r} asks nothing yet: it has not begun")
        return thread.start(given, steps=options.steps)
    if given and info.status == "done":
        return thread.start(given, steps=options.steps)
    if given:
        thread.edit(given, note="from the command line")
    if options.answer is not None:
        return _answer(thread, options)
    if info.status in ("done", "waiting"):
        return None
    return thread.resume(steps=options.steps)


def _answer(thread: Thread, options: argparse.Namespace) -> Run:
    asked = {question.id: question for question in thread.questions}
    id = options.question or next(iter(asked), "")
    if id not in asked or (len(asked) > 1 and not options.question):
        known = ", ".join(asked) or "none"
        raise NbagentError(
            f"say which question with --question (thread {thread.id!r} has: {known})"
        )
    answer = read_value(options.answer, asked[id].schema)
    return thread.resume(answers={id: answer}, steps=options.steps)


def read_value(text: str, schema: Mapping[str, Any] | None) -> Any:
    """The text itself where the schema takes text, else JSON where it is JSON."""
    if schema is not None and takes_text(schema):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
