"""
Durable agents in a notebook: a graph that runs in super-steps, watched live, kept in SQLite.

A graph
    Graph(name, state)            with Graph("letter", State) as letter: …, or: %%graph letter
    node(fn, retry=, timeout=)    @node makes a function a node: it reads the state, returns a dict
    branch(field, **targets)      ask >> branch("verdict", revise=write, send=END)
    each(field, node)             plan >> each("topics", search): one task an item
    START = where a graph begins: START >> write >> [web, papers] >> join
    END = where it ends
Run it
    letter.run({"name": "Ada"}, thread="letter-1")     to the end, or to a question: an Outcome, the
                                  state as a dict with .status .thread .questions
    letter.start(…), await letter.arun(…), letter.map([…])
    letter.stream({…}, mode=)     what happens in it: events, updates, values, what nodes emit, a
                                  Message for each piece of text; Missed(count) where some are gone
    letter.thread("letter-1")     .state .status .questions .resume(…) .edit({…}) .fork(…)
    view(thread)                  its live view; in a notebook a thread and a run show themselves
Inside a node
    interrupt(question, show=, schema=)    asks a person; the thread waits, and nothing stays alive
    approve(tool, args)           puts a tool call to a person: an Approval, whose .kind is accept,
                                  edit, answer or refuse, with .args .answer .reason
    emit(value)                   a partial result, for the view and for streams
    effect(key, fn, *args)        a side effect that is done once; await aeffect(…)
    idempotency_key()             the key of the effect under way, for a provider that takes one
    cached(key, fn, *args)        a call that is not repeated after a question; await acached(…)
    span(name, **attributes)      a part of it in the trace, with tokens and cost
    Command(update, goto)         writes, and says what is next; in a subgraph with graph=PARENT,
                                  in the parent. A node may return a list of updates and Commands
    Send(node, input, timeout)    a task with an input of its own, from a route or a node
    Overwrite(value)              a write that replaces a field with a reducer
    thaw(value)                   a private copy that may be changed
    task()                        TaskInfo, also as a parameter `task`: thread, step, attempt,
                                  remaining_steps, context (what start(context=) was given)
Without a graph
    @durable                      a plain function is a thread: job.run(…, thread=), job.thread(id)
    step(fn)(…)                   done once; each_once(rows, "rows"): a loop that goes on
What threads share
    memory.put(namespace, key, value, ttl=)    in the graph's store; .get .delete .namespaces, and
                                  .search(namespace, text, where=, limit=); in a node it is stored
                                  with its result, once. Memory(store, embed=) is another one
What guards a node
    Retry(attempts, on)           RateLimit(calls, per)    Breaker(failures)    Cache(ttl)
    Budget(cost, tokens, calls)   what a thread, a run or a node may spend before a person is asked
    PERSON = recover=PERSON asks a person what an error means
Fields
    Topic(field)                  Ephemeral(field): cleared at each super-step
    Untracked                     Annotated[Client, Untracked]: for the run only, never stored
    Secret(name)                  a key that is in no file and no output; redact(pattern)
    register_type(cls)            a class of yours that the state may hold
Threads
    threads(where=, state=)       all of a store, as a table, or those that are asked for
    inbox()                       what they all ask, answered in place
    search("wasps")               where words stand: in states, questions, printed output
    database(), export_tables()   a store as a database to look into; as files for others
    use_store(url)                another store than nbagent.db; open_store(url)
    schedule("0 7 * * 1", graph, input)    start one by the clock, where `nbagent worker` runs
    resume_due()                  go on with what waited for a server or a deadline
    prune(keep=)                  less in the store; vacuum(), sizes(); import_threads(path)
Errors
    NbagentError                  GraphError, StateError, ConflictError, NodeError, CodecError,
                                  StoreError, StepLimit, ThreadBusy, StaleEdit, CircuitOpen;
                                  errors has them all, and says when which is raised

help(nbagent.Graph) tells more, and so for each name; `%%graph --help` and `%agent --help` tell of
the magics.
"""

# Public names only. Heavy libraries (pandas, ipywidgets, pydantic …) load at first use.

from __future__ import annotations

import sys
from types import FrameType
from typing import TYPE_CHECKING, Any

from nbagent import errors
from nbagent.engine.model.approval import Approval
from nbagent.engine.model.budget import Budget
from nbagent.engine.model.channels import Ephemeral, Topic, Untracked
from nbagent.engine.model.limits import Breaker, RateLimit
from nbagent.engine.model.outcome import Outcome
from nbagent.engine.model.policy import PERSON, Cache, Retry
from nbagent.engine.model.program import PARENT, Command, Send
from nbagent.engine.model.secrets import Secret, redact
from nbagent.engine.model.several import Overwrite
from nbagent.engine.model.taskinfo import TaskInfo
from nbagent.engine.model.values import thaw
from nbagent.engine.node.approve import approve
from nbagent.engine.node.cached import acached, cached
from nbagent.engine.node.context import emit, span
from nbagent.engine.node.effects import aeffect, effect, idempotency_key
from nbagent.engine.node.info import task
from nbagent.engine.node.interrupts import interrupt
from nbagent.engine.node.memory import Memory, memory
from nbagent.engine.node.steps import each_once, step
from nbagent.engine.store.opening import open_store, use_store
from nbagent.engine.store.reports import threads
from nbagent.engine.store.upkeep import import_threads, prune, sizes, vacuum
from nbagent.engine.watch.events import Missed
from nbagent.engine.watch.messages import Message
from nbagent.errors import (
    CircuitOpen,
    CodecError,
    ConflictError,
    GraphError,
    NbagentError,
    NodeError,
    StaleEdit,
    StateError,
    StepLimit,
    StoreError,
    ThreadBusy,
)
from nbagent.wiring import wire as _wire

if TYPE_CHECKING:
    from nbagent.graph.builder import END, START, Graph, branch, each, node
    from nbagent.graph.durable import durable
    from nbagent.graph.resume_due import resume_due
    from nbagent.notebook.view.inbox import inbox
    from nbagent.service.schedule import schedule
    from nbagent.stores.codec.values import register_type
    from nbagent.stores.lookup.database import database, export_tables
    from nbagent.stores.lookup.index import search

__version__ = "0.1.0"
__all__ = [
    "END",
    "PARENT",
    "PERSON",
    "START",
    "Approval",
    "Breaker",
    "Budget",
    "Cache",
    "CircuitOpen",
    "CodecError",
    "Command",
    "ConflictError",
    "Ephemeral",
    "Graph",
    "GraphError",
    "Memory",
    "Message",
    "Missed",
    "NbagentError",
    "NodeError",
    "Outcome",
    "Overwrite",
    "RateLimit",
    "Retry",
    "Secret",
    "Send",
    "StaleEdit",
    "StateError",
    "StepLimit",
    "StoreError",
    "TaskInfo",
    "ThreadBusy",
    "Topic",
    "Untracked",
    "acached",
    "aeffect",
    "approve",
    "branch",
    "cached",
    "database",
    "durable",
    "each",
    "each_once",
    "effect",
    "emit",
    "errors",
    "export_tables",
    "idempotency_key",
    "import_threads",
    "inbox",
    "interrupt",
    "memory",
    "node",
    "open_store",
    "prune",
    "redact",
    "register_type",
    "resume_due",
    "schedule",
    "search",
    "sizes",
    "span",
    "step",
    "task",
    "thaw",
    "threads",
    "use_store",
    "vacuum",
    "view",
]

_LOOKUP = {"database": "database", "export_tables": "database", "search": "index"}
_BUILDER = frozenset(("END", "START", "Graph", "branch", "each", "node"))


def __getattr__(name: str) -> Any:
    # The construction API needs pydantic, which takes longer to import than all the rest.
    if name in _BUILDER:
        from nbagent.graph import builder

        for each_name in _BUILDER:
            globals()[each_name] = getattr(builder, each_name)
        _show_in_notebooks()
        return globals()[name]
    if name == "durable":
        from nbagent.graph.durable import durable

        _show_in_notebooks()
        return durable
    if name == "resume_due":
        from nbagent.graph.resume_due import resume_due

        return resume_due
    if name in _LOOKUP:
        from importlib import import_module

        return getattr(import_module(f"nbagent.stores.lookup.{_LOOKUP[name]}"), name)
    if name == "inbox":
        from nbagent.notebook.view.inbox import inbox

        return inbox
    if name == "schedule":
        from nbagent.service.schedule import schedule

        return schedule
    if name == "register_type":
        from nbagent.stores.codec.values import register_type

        return register_type
    raise AttributeError(f"module 'nbagent' has no attribute {name!r}")


def __dir__() -> list[str]:
    # `help(nbagent)` would print each class in full, some 1,500 lines; what it is to show stands
    # above. It finds the names by `dir`, as completion does, which is to have them all.
    caller: FrameType | None = sys._getframe(1)
    for _ in range(4):
        if caller is not None and caller.f_globals.get("__name__") == "pydoc":
            return []
        caller = caller.f_back if caller is not None else None
    return [*__all__, "__doc__", "__version__"]


def view(shown: Any) -> Any:
    """The live view of a thread or a run, displayed below the cell that runs.

    What it returns has `code`, a line of Python for each thing done in it by mouse, and `widget()`,
    to put the view where one likes.
    """
    from nbagent.notebook.host import in_marimo

    if in_marimo():
        from nbagent.notebook.marimo import panel_of as show
    else:
        from nbagent.notebook.view.panel import view as show
    return show(shown)


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext nbagent`: the magics %%graph and %agent, and live views of runs."""
    from nbagent.notebook.extension import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext nbagent`: the magics go; what runs goes on."""
    from nbagent.notebook.extension import unload

    unload(shell)


def _show_in_notebooks() -> None:
    """Runs, graphs and threads show themselves in a notebook, also without `%load_ext`."""
    if "marimo" in sys.modules:
        from nbagent.notebook.marimo import install

        install()
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None and getattr(shell, "display_formatter", None) is not None:
        from nbagent.notebook.display import register_formatters

        register_formatters(shell)


_wire()
