"""
%%graph and %agent: thin sugar over `Graph` and `Thread`. Whatever they do, Python can, too.
"""

from __future__ import annotations

import keyword
import weakref
from pathlib import Path
from typing import Any, ClassVar

from IPython.core.error import UsageError
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    line_magic,
    magics_class,
    needs_local_scope,
    no_var_expand,
)

from nbagent.engine.model.values import equal
from nbagent.engine.node.memory import Memory
from nbagent.engine.node.output import view_follows
from nbagent.engine.store.opening import resolve_store, use_store
from nbagent.engine.store.reports import threads
from nbagent.engine.thread.run import Run
from nbagent.engine.thread.thread import Thread
from nbagent.errors import NbagentError
from nbagent.graph.builder import new_id
from nbagent.notebook.magic.arguments import Helped, read_fields, read_value, split
from nbagent.notebook.magic.cell import define
from nbagent.notebook.magic.edits import edit_once
from nbagent.notebook.magic.parsers import agent_parser, graph_parser
from nbagent.notebook.registry import graph_named, thread_named
from nbagent.notebook.shown.run_model import turn


@no_var_expand
def below(line: str) -> None:
    """`%%graph` where IPython does not take it for a cell's magic."""
    raise UsageError(
        f"`%%graph {line}` is not the first line of its cell: move what stands above it, "
        "comments too, below it or into a cell of its own"
    )


@magics_class
class AgentMagics(Magics):
    """The two magics."""

    shell: Any  # set by IPython before any magic is called
    # The last run of a thread that this kernel has given an input.
    _begun: ClassVar[weakref.WeakValueDictionary[tuple[str, str], Run]] = (
        weakref.WeakValueDictionary()
    )
    _names: dict[str, Any]  # the variables that there are where %agent was called

    @no_var_expand
    @line_cell_magic
    def graph(self, line: str, cell: str | None = None) -> Any:
        """Define an agent as a graph: `%%graph NAME`, then Python. `%%graph --help` shows more."""
        try:
            options = graph_parser(self.shell.user_ns).parse_args(split(line))
        except Helped:
            return None
        if not options.name.isidentifier() or keyword.iskeyword(options.name):
            why = " (it is a word of Python)" if keyword.iskeyword(options.name) else ""
            raise UsageError(
                f"%%graph: {options.name!r} cannot be a variable's name{why}: take another, "
                "such as `%%graph research`"
            )
        if not (cell or "").strip():
            raise UsageError("%%graph: the cell is empty: `%%graph --help` shows how to begin")
        graph = define(
            options.name, cell or "", self.shell, store=options.store, state=options.state
        )
        self.shell.user_ns[options.name] = graph
        return None if options.quiet else graph

    @no_var_expand
    @needs_local_scope
    @line_magic
    def agent(self, line: str, local_ns: dict[str, Any] | None = None) -> Any:
        """Run and steer agents: `%agent run GRAPH field=value …`. `%agent --help` shows more."""
        self._names = {**self.shell.user_ns, **(local_ns or {})}
        try:
            options = _parse(line, self._names)
        except Helped:
            return None
        with view_follows():
            return getattr(self, f"_{options.command}")(options)

    # ------------------------------------------------------------------------------- commands

    def _run(self, options: Any) -> Any:
        graph = graph_named(options.graph, self._names)
        given = self._fields(graph.compile().schema.json_schema(), options.fields)
        thread = graph.thread(options.thread or new_id(graph.name))
        again = self._again(thread, given, options) if options.thread else None
        if again is not None:
            return again
        run = thread.start(
            given, step_limit=options.step_limit, steps=options.steps, fresh=options.fresh
        )
        self._begun[thread.store.url, thread.id] = run
        number = 1 if options.fresh else turn(thread.line())
        if number > 1:
            print(
                f"Turn {number} of thread {thread.id!r}: this input came on top of what turn "
                f"{number - 1} left. Add --fresh to begin anew."
            )
        return run

    def _again(self, thread: Thread, given: dict[str, Any], options: Any) -> Run | None:
        """The run that the same line has begun, where it runs or asks: whoever runs a cell twice
        wants to see it. A sentence where the thread cannot take an input now."""
        live = thread.run
        run = live or self._begun.get((thread.store.url, thread.id))
        is_same = run is not None and (run.given is None or equal(run.given, given))
        if live is not None and is_same:
            return live
        info = thread.stored()
        if live is not None:
            raise UsageError(
                f"%agent run: thread {thread.id!r} runs here already, with another input: wait "
                f"for it, `%agent stop {thread.id}`, or take another --thread"
            )
        if info is None or options.fresh or info.status in ("done", "running"):
            return None
        if is_same and info.status == "waiting":
            return run
        how = {"waiting": "asks a question", "failed": "has failed"}.get(info.status)
        mend = "ANSWER" if info.status == "waiting" else ""
        raise UsageError(
            f"%agent run: thread {thread.id!r} {how or 'is ' + info.status}: go on with "
            f"`{f'%agent resume {thread.id} {mend}'.strip()}`, begin anew with --fresh, or take "
            "another --thread"
        )

    def _resume(self, options: Any) -> Any:
        thread = self._thread(options.thread)
        if thread.status == "done":
            raise UsageError(
                f"%agent resume: thread {thread.id!r} is finished: `%agent show {thread.id}` shows "
                f"it, `%agent run {thread.program.name} … --thread {thread.id}` gives it another "
                "input, with --fresh from the beginning"
            )
        more = {"take_over": options.take_over, "steps": options.steps, "rerun": options.rerun}
        more["on_change"] = options.on_change
        if not options.answer:
            return thread.resume(**more)
        text = " ".join(options.answer)
        # Another handle looks: this one has shown nobody the questions that it answers.
        questions = self._thread(options.thread).questions
        asked = [q for q in questions if options.question in (None, q.id)]
        schema = asked[0].schema if len(asked) == 1 else None
        answer = read_value(text, schema, self._names)
        if options.question is not None:
            return thread.resume(answers={options.question: answer}, **more)
        return thread.resume(answer, **more)

    def _threads(self, options: Any) -> Any:
        from nbagent.notebook.view.threads_panel import ThreadList

        store = resolve_store(options.store)
        found = ThreadList(threads(store))
        found.store = store
        return found

    def _inbox(self, options: Any) -> Any:
        from nbagent.notebook.view.inbox import inbox

        return inbox(options.store)

    def _memory(self, options: Any) -> Any:
        return Memory(resolve_store(options.store)).table(tuple(options.namespace))

    def _history(self, options: Any) -> Any:
        return self._thread(options.thread).history()

    def _show(self, options: Any) -> Any:
        return self._thread(options.thread)

    def _edit(self, options: Any) -> Any:
        thread = self._thread(options.thread)
        if not options.fields:
            from nbagent.notebook.view.forms import edit_form

            return edit_form(thread)
        values = self._fields(thread.program.schema.json_schema(), options.fields)
        edit_once(thread, values, note=options.note or "", expect=options.expect)
        return thread

    def _graph(self, options: Any) -> Any:
        return graph_named(options.graph, self._names)

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
        from nbagent.notebook.magic.export import export

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
        thread.annotate(" ".join(options.text), checkpoint=options.checkpoint)
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
        return thread_named(id, self._names)

    def _fields(self, schema: Any, words: list[str]) -> dict[str, Any]:
        try:
            return read_fields(words, schema, self._names)
        except NbagentError as error:
            raise UsageError(str(error)) from error


def _parse(line: str, names: dict[str, Any]) -> Any:
    """The options of %agent; words such as `field=value` may stand on either side of them."""
    parser = agent_parser(names)
    options, rest = parser.parse_known_args(split(line))
    many = next((name for name in ("fields", "answer") if hasattr(options, name)), None)
    if rest and (many is None or any(word.startswith("--") for word in rest)):
        parser.error(f"it does not know {' '.join(rest)}")
    if many is not None:
        setattr(options, many, [*getattr(options, many), *rest])
    return options
