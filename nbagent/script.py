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
from collections.abc import Sequence
from typing import Any

from nbagent.engine.run import Run
from nbagent.engine.thread import Thread
from nbagent.errors import NbagentError
from nbagent.graph.builder import Graph, new_id

FAILED, WAITING = 1, 3


def main(graph: Graph, argv: Sequence[str] | None = None) -> int:
    """Run a graph as a command; the exit code. `argv` is by default the process's own."""
    fields = list(graph.compile().fields)
    parser = argparse.ArgumentParser(description=f"Run the agent {graph.name}.")
    parser.add_argument("fields", nargs="*", metavar="FIELD=VALUE", help=", ".join(fields))
    parser.add_argument("--thread", help="the thread to run or to go on with (default: a new one)")
    parser.add_argument("--answer", help="the answer to what it asks: text, or JSON")
    parser.add_argument("--steps", type=int, help="pause after so many super-steps")
    options = parser.parse_args(argv)
    try:
        given = dict(_field(parser, word, fields) for word in options.fields)
        thread = graph.thread(options.thread or new_id(graph.name))
        run = _begin(thread, given, options)
        if run is not None:
            run.result()
    except NbagentError as error:
        print(f"{graph.name}: {error}", file=sys.stderr)
        return FAILED
    print(json.dumps(thread.program.schema.to_json(thread.latest().checkpoint.values), indent=2))
    for question in thread.questions:
        print(f'{thread.id} asks: {question.question} (--answer "…")', file=sys.stderr)
    return 0 if thread.status == "done" else WAITING


def _begin(thread: Thread, given: dict[str, Any], options: argparse.Namespace) -> Run | None:
    info = thread.stored()
    if info is None or not info.checkpoint:
        return thread.start(given, steps=options.steps)
    if given:
        thread.edit(given, note="from the command line")
    if options.answer is not None:
        return thread.resume(_value(options.answer), steps=options.steps)
    if info.status in ("done", "waiting"):
        return None
    return thread.resume(steps=options.steps)


def _field(parser: argparse.ArgumentParser, word: str, fields: Sequence[str]) -> tuple[str, Any]:
    name, equals, text = word.partition("=")
    if not equals or name not in fields:
        parser.error(f"{word!r} is not FIELD=VALUE with one of the fields {', '.join(fields)}")
    return name, _value(text)


def _value(text: str) -> Any:
    """JSON where it is JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
