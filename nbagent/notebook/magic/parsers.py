"""
The options of %%graph and %agent.
"""

from __future__ import annotations

from typing import Any

from nbagent.notebook.magic.arguments import Parser, unquote

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


def graph_parser() -> Parser:
    """The parser of %%graph."""
    import argparse

    parser = Parser(
        prog="%%graph",
        description=_GRAPH_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("name", help="the variable that the graph becomes")
    parser.add_argument("--store", help="where its threads live, e.g. sqlite:///agents.db")
    parser.add_argument("--state", help="the name of the state class (default: State)")
    parser.add_argument("--quiet", action="store_true", help="do not draw the graph")
    return parser


def agent_parser() -> Parser:
    """The parser of %agent."""
    parser = Parser(prog="%agent", description=_AGENT_HELP, allow_abbrev=False)
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=Parser
    )

    def command(name: str, help: str, *words: str) -> Any:
        made = commands.add_parser(name, help=help, description=help, allow_abbrev=False)
        for word in words:
            made.add_argument(word, type=unquote)
        return made

    run = command("run", "start a thread; returns at once and shows the live view", "graph")
    run.add_argument("fields", nargs="*", help="input: field=value, field=$variable, field={1 + 1}")
    run.add_argument("--thread", type=unquote, help="the thread's id (default: a new one)")
    run.add_argument("--step-limit", type=int, default=1000, help="super-steps at most")
    run.add_argument("--steps", type=int, help="pause after so many super-steps")

    resume = command("resume", "go on where a thread stopped, with an answer if it asked", "thread")
    resume.add_argument("answer", nargs="*", help="the answer to its question")
    resume.add_argument("--question", help="which question, where several are open")
    resume.add_argument("--take-over", action="store_true", help="take it from a living owner")
    resume.add_argument("--steps", type=int, help="pause after so many super-steps")
    resume.add_argument(
        "--on-change",
        choices=["ask", "go-on", "rerun"],
        default="ask",
        help="when a finished node of the super-step under way has changed",
    )
    resume.add_argument("--rerun", action="append", default=[], help="a finished node to run again")

    threads = command("threads", "list the threads of the store")
    threads.add_argument("--store", type=unquote, help="another store's URL")
    command("history", "list a thread's checkpoints", "thread")
    command("show", "show a thread: its graph and its last state", "thread")
    edit = command("edit", "correct fields of a thread; with no field, in a form", "thread")
    edit.add_argument("fields", nargs="*", help="field=value")
    edit.add_argument("--note", type=unquote, help="why; kept in the history")
    edit.add_argument("--expect", type=int, help="refuse if the thread left this checkpoint")
    command("graph", "draw a graph", "graph")
    command("pause", "pause a run on its next super-step boundary", "thread")
    command("stop", "stop a run now", "thread")
    fork = command("fork", "a new thread that goes on from an earlier point", "thread")
    fork.add_argument("fields", nargs="*", help="field=value to set in it")
    fork.add_argument("--step", type=int, help="from this super-step (default: the latest)")
    fork.add_argument("--id", type=unquote, help="the new thread's id")
    export = command(
        "export", "write a graph to a plain Python module, which runs anywhere", "graph"
    )
    export.add_argument("path", nargs="?", type=unquote, help="the file (default: GRAPH.py)")
    export.add_argument("--force", action="store_true", help="replace the file if it exists")
    diff = command("diff", "what differs between two checkpoints", "thread")
    diff.add_argument("a", nargs="?", type=int, help="checkpoint (default: the one before b)")
    diff.add_argument("b", nargs="?", type=int, help="checkpoint (default: the latest)")
    command("trace", "where a thread's time went, as a table", "thread")
    note = command("note", "write a note beside a checkpoint", "thread")
    note.add_argument("text", nargs="+", help="the note")
    note.add_argument("--checkpoint", type=int, help="which (default: the latest)")
    command("store", "keep threads in another store from now on", "url")
    return parser
