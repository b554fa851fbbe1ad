"""
The options of %%graph and %agent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nbagent.notebook.magic.arguments import Parser, expand, unquote

BELOW = "%graph"  # the name under which IPython looks for a `%%graph` that is not at the top
_GRAPH_HELP = """\
Define an agent as a graph. The cell is ordinary Python:

  class State(TypedDict):                              what the agent knows
      topic: str
      notes: Annotated[list[str], operator.add]        a reducer: parallel writes merge
      verdict: Literal["revise", "accept"]

  @node                                                a node reads the state and
  def plan(state): return {"notes": [...]}             returns the fields that it writes

  START >> plan >> [web, papers] >> write              siblings in parallel, then a join
  write >> branch("verdict", revise=plan, accept=END)  a conditional edge, a cycle
"""
_AGENT_HELP = "Run, watch and correct agents that a %%graph cell defined."


class Words:
    """How the words of a line are read: without quotes, with what `$name` and `{…}` stand for.

    names   the variables that there are where the magic is called; None leaves `$` and braces
    """

    def __init__(self, names: Mapping[str, Any] | None = None) -> None:
        self._names = names

    def name(self, what: str) -> Callable[[str], str]:
        """A word that names a `what`: refused where a part of it stands for nothing."""
        return lambda word: self._read(word, what)

    def text(self, word: str) -> str:
        """Any text."""
        return self._read(word, "")

    def number(self, word: str) -> int:
        """A whole number."""
        return int(self._read(word, "number"))

    def _read(self, word: str, wanted: str) -> str:
        plain = unquote(word)
        return plain if self._names is None else expand(plain, self._names, wanted=wanted)


def graph_parser(names: Mapping[str, Any] | None = None) -> Parser:
    """The parser of %%graph."""
    import argparse

    words = Words(names)
    parser = Parser(
        prog="%%graph",
        description=_GRAPH_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "name", type=words.name("graph"), help="the variable that the graph becomes"
    )
    parser.add_argument(
        "--store", type=words.name("store"), help="where its threads live, e.g. sqlite:///agents.db"
    )
    parser.add_argument("--state", help="the name of the state class (default: State)")
    parser.add_argument("--quiet", action="store_true", help="do not draw the graph")
    return parser


def agent_parser(names: Mapping[str, Any] | None = None) -> Parser:
    """The parser of %agent."""
    words = Words(names)
    a_thread, a_number = words.name("thread"), words.number
    parser = Parser(prog="%agent", description=_AGENT_HELP, allow_abbrev=False)
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=Parser
    )

    def command(name: str, help: str, *named: str) -> Any:
        made = commands.add_parser(name, help=help, description=help, allow_abbrev=False)
        for what in named:
            made.add_argument(what, type=words.name(what))
        return made

    run = command("run", "start a thread; returns at once and shows the live view", "graph")
    run.add_argument("fields", nargs="*", help="input: field=value, field=$variable, field={1 + 1}")
    run.add_argument("--thread", type=a_thread, help="the thread's id (default: a new one)")
    run.add_argument("--step-limit", type=a_number, default=1000, help="super-steps at most")
    run.add_argument(
        "--fresh", action="store_true", help="begin anew, also where the thread has run before"
    )
    run.add_argument("--steps", type=a_number, help="pause after so many super-steps")

    resume = command("resume", "go on where a thread stopped, with an answer if it asked", "thread")
    resume.add_argument("answer", nargs="*", help="the answer to its question")
    a_question = words.name("question")
    resume.add_argument("--question", type=a_question, help="which, where several are open")
    resume.add_argument("--take-over", action="store_true", help="take it from a living owner")
    resume.add_argument("--steps", type=a_number, help="pause after so many super-steps")
    resume.add_argument(
        "--on-change",
        choices=["ask", "go-on", "rerun"],
        default="ask",
        help="when a finished node of the super-step under way has changed",
    )
    resume.add_argument(
        "--rerun", action="append", type=words.name("node"), default=[],
        help="a finished node to run again",
    )  # fmt: skip

    threads = command("threads", "list the threads of the store")
    threads.add_argument("--store", type=words.name("store"), help="another store's URL")
    asked = command("inbox", "what all threads of the store ask, to be answered in place")
    asked.add_argument("--store", type=words.name("store"), help="another store's URL")
    memory = command("memory", "what threads share and remember, as a table")
    memory.add_argument("namespace", nargs="*", type=words.text, help="below these names only")
    memory.add_argument("--store", type=words.name("store"), help="another store's URL")
    command("history", "list a thread's checkpoints", "thread")
    command("show", "show a thread: its graph and its last state", "thread")
    edit = command("edit", "correct fields of a thread; with no field, in a form", "thread")
    edit.add_argument("fields", nargs="*", help="field=value")
    edit.add_argument("--note", type=words.text, help="why; kept in the history")
    edit.add_argument("--expect", type=a_number, help="refuse if the thread left this checkpoint")
    command("graph", "draw a graph", "graph")
    command("pause", "pause a run on its next super-step boundary", "thread")
    command("stop", "stop a run now", "thread")
    fork = command("fork", "a new thread that goes on from an earlier point", "thread")
    fork.add_argument("fields", nargs="*", help="field=value to set in it")
    fork.add_argument("--step", type=a_number, help="from this super-step (default: the latest)")
    fork.add_argument("--id", type=a_thread, help="the new thread's id")
    export = command(
        "export", "write a graph to a plain Python module, which runs anywhere", "graph"
    )
    a_file = words.name("file")
    export.add_argument("path", nargs="?", type=a_file, help="the file (default: GRAPH.py)")
    export.add_argument("--force", action="store_true", help="replace the file if it exists")
    diff = command("diff", "what differs between two checkpoints", "thread")
    diff.add_argument("a", nargs="?", type=a_number, help="checkpoint (default: the one before b)")
    diff.add_argument("b", nargs="?", type=a_number, help="checkpoint (default: the latest)")
    command("trace", "where a thread's time went, as a table", "thread")
    note = command("note", "write a note beside a checkpoint", "thread")
    note.add_argument("text", nargs="+", type=words.text, help="the note")
    note.add_argument("--checkpoint", type=a_number, help="which (default: the latest)")
    command("store", "keep threads in another store from now on", "url")
    return parser
