"""
%%graph and %agent: thin sugar over `Graph` and `Thread`. Whatever they do, Python can, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand

from nbagent.engine.checkpoint import resolve_store, use_store
from nbagent.engine.listing import threads
from nbagent.engine.output import view_follows
from nbagent.engine.run import Run
from nbagent.engine.thread import Thread
from nbagent.errors import NbagentError
from nbagent.graph.builder import new_id
from nbagent.notebook.arguments import Helped, Parser, read_fields, read_value, split, unquote
from nbagent.notebook.cell import define
from nbagent.notebook.session import graph_named, thread_named

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


@magics_class
class AgentMagics(Magics):
    """The two magics."""

    shell: Any  # set by IPython before any magic is called

    @no_var_expand
    @line_cell_magic
    def graph(self, line: str, cell: str | None = None) -> Any:
        """Define an agent as a graph: `%%graph NAME`, then Python. `%%graph --help` shows more."""
        try:
            options = graph_parser().parse_args([unquote(word) for word in split(line)])
        except Helped:
            return None
        if not options.name.isidentifier():
            raise UsageError(f"%%graph: {options.name!r} cannot be a variable's name")
        if not (cell or "").strip():
            raise UsageError("%%graph: the cell is empty: `%%graph --help` shows how to begin")
        graph = define(
            options.name, cell or "", self.shell, store=options.store, state=options.state
        )
        if options.name in graph.nodes:
            raise UsageError(
                f"%%graph: graph and node are both named {options.name!r}: rename one of them"
            )
        self.shell.user_ns[options.name] = graph
        return None if options.quiet else graph

    @no_var_expand
    @line_magic
    def agent(self, line: str) -> Any:
        """Run and steer agents: `%agent run GRAPH field=value …`. `%agent --help` shows more."""
        try:
            options = _parse(line)
        except Helped:
            return None
        with view_follows():
            return getattr(self, f"_{options.command}")(options)

    # ------------------------------------------------------------------------------- commands

    def _run(self, options: Any) -> Any:
        graph = graph_named(options.graph, self.shell.user_ns)
        given = self._fields(graph.compile().schema.json_schema(), options.fields)
        thread = graph.thread(options.thread or new_id(graph.name))
        return thread.start(given, step_limit=options.step_limit, steps=options.steps)

    def _resume(self, options: Any) -> Any:
        thread = self._thread(options.thread)
        more = {"take_over": options.take_over, "steps": options.steps, "rerun": options.rerun}
        more["on_change"] = options.on_change
        if not options.answer:
            return thread.resume(**more)
        text = " ".join(options.answer)
        questions = thread.questions
        asked = [q for q in questions if options.question in (None, q.id)]
        schema = asked[0].schema if len(asked) == 1 else None
        answer = read_value(text, schema, self.shell.ev)
        if options.question is not None:
            return thread.resume(answers={options.question: answer}, **more)
        return thread.resume(answer, **more)

    def _threads(self, options: Any) -> Any:
        from nbagent.notebook.threads import ThreadList

        store = resolve_store(options.store)
        found = ThreadList(threads(store))
        found.store = store
        return found

    def _history(self, options: Any) -> Any:
        return self._thread(options.thread).history()

    def _show(self, options: Any) -> Any:
        return self._thread(options.thread)

    def _edit(self, options: Any) -> Any:
        thread = self._thread(options.thread)
        if not options.fields:
            from nbagent.notebook.forms import edit_form

            return edit_form(thread)
        values = self._fields(thread.program.schema.json_schema(), options.fields)
        thread.edit(values, note=options.note or "", expect=options.expect)
        return thread

    def _graph(self, options: Any) -> Any:
        return graph_named(options.graph, self.shell.user_ns)

    def _pause(self, options: Any) -> Any:
        run = self._running(options)
        run.pause()
        return run

    def _stop(self, options: Any) -> Any:
        run = self._running(options)
        run.stop()
        return run

    def _fork(self, options: Any) -> Any:
        thread = self._thread(options.thread)
        edits = self._fields(thread.program.schema.json_schema(), options.fields)
        return thread.fork(options.step, options.id, edits=edits)

    def _export(self, options: Any) -> Any:
        from nbagent.notebook.export import export

        text = export(options.graph, self.shell)
        path = Path(options.path or f"{options.graph}.py")
        if path.exists() and not options.force:
            raise UsageError(f"%agent export: {path} exists already: give --force to replace it")
        path.write_text(text, encoding="utf-8")
        return path

    def _diff(self, options: Any) -> Any:
        return self._thread(options.thread).diff(options.a, options.b)

    def _trace(self, options: Any) -> Any:
        return self._thread(options.thread).trace()

    def _note(self, options: Any) -> Any:
        thread = self._thread(options.thread)
        thread.annotate(" ".join(map(unquote, options.text)), checkpoint=options.checkpoint)
        return thread.notes

    def _store(self, options: Any) -> Any:
        return use_store(options.url)

    # --------------------------------------------------------------------------------- inside

    def _running(self, options: Any) -> Run:
        run = self._thread(options.thread).run
        if run is None:
            raise UsageError(
                f"%agent {options.command}: thread {options.thread!r} does not run in this kernel"
            )
        return run

    def _thread(self, id: str) -> Thread:
        return thread_named(unquote(id), self.shell.user_ns)

    def _fields(self, schema: Any, words: list[str]) -> dict[str, Any]:
        try:
            return read_fields(words, schema, self.shell.ev)
        except NbagentError as error:
            raise UsageError(str(error)) from error


def _parse(line: str) -> Any:
    """The options of %agent; words such as `field=value` may stand on either side of them."""
    parser = agent_parser()
    options, rest = parser.parse_known_args(split(line))
    many = next((name for name in ("fields", "answer") if hasattr(options, name)), None)
    if rest and (many is None or any(word.startswith("--") for word in rest)):
        parser.error(f"it does not know {' '.join(rest)}")
    if many is not None:
        setattr(options, many, [*getattr(options, many), *rest])
    return options


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
