"""
How runs, graphs and threads show themselves as the last line of a cell. (C3, W10)
"""

from __future__ import annotations

import functools
import html
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbagent.engine.model.secrets import strike_out_of
from nbagent.engine.node.context import running
from nbagent.engine.ports import run_began
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.engine.thread.run import Run
from nbagent.engine.thread.thread import Thread
from nbagent.errors import NbagentError
from nbagent.graph import draw
from nbagent.graph.batch import Runs
from nbagent.graph.builder import Graph
from nbagent.graph.layout import layout
from nbagent.notebook.host import has_widgets
from nbagent.notebook.magic.failures import install

if TYPE_CHECKING:
    from nbagent.notebook.view.threads_panel import ThreadsPanel


def register_formatters(shell: Any) -> None:
    """Teach an IPython shell to show runs, graphs, threads and errors."""
    from nbagent.notebook.view.panel import follow, reconnect, refresh

    install()
    _keep_secrets(shell)
    formatters = shell.display_formatter.formatters
    if has_widgets(shell):
        shown = shell.display_formatter.ipython_display_formatter
        shown.for_type(Run, show_run)
        shown.for_type(Thread, show_thread)
        shown.for_type(Runs, show_runs)
        shown.for_type_by_name("nbagent.notebook.view.threads_panel", "ThreadList", show_threads)
        shown.for_type_by_name("nbagent.notebook.view.inbox", "Inbox", show_inbox)
        shell.kernel.comm_manager.register_target("nbagent", reconnect)
        run_began.also(follow)
        if not any(c is refresh for c in shell.events.callbacks["post_execute"]):
            shell.events.register("post_execute", refresh)
    if not has_widgets(shell):
        formatters["text/plain"].for_type(Thread, lambda thread, p, c: p.text(thread_text(thread)))
    formatters["text/plain"].for_type(Graph, lambda graph, p, cycle: p.text(graph_text(graph)))
    formatters["text/html"].for_type(Graph, graph_html)
    formatters["text/html"].for_type(Thread, thread_html)


def _keep_secrets(shell: Any) -> None:
    """What a node displays is without secrets, as what it prints is; rich prints by displaying."""
    formatter, publisher = shell.display_formatter, shell.display_pub
    format, publish = formatter.format, publisher.publish
    if getattr(format, "keeps_secrets", False) and getattr(publish, "keeps_secrets", False):
        return

    @functools.wraps(format)
    def formatted(*args: Any, **options: Any) -> Any:
        found = format(*args, **options)
        return found if running() is None else strike_out_of(found)

    @functools.wraps(publish)
    def published(*args: Any, **options: Any) -> Any:
        if running() is not None:
            args, options = strike_out_of(args), strike_out_of(options)
        return publish(*args, **options)

    for owner, name, one in ((formatter, "format", formatted), (publisher, "publish", published)):
        one.keeps_secrets = True  # type: ignore[attr-defined]
        setattr(owner, name, one)


def show_run(run: Run) -> None:
    """Display a run: the live view, with a form below it when it asks."""
    from nbagent.notebook.view.panel import view

    view(run)


def show_thread(thread: Thread) -> None:
    """Display a thread: live where it runs in this kernel, else as its store has it."""
    from nbagent.notebook.view.panel import view

    view(thread)


def show_runs(runs: Runs) -> None:
    """Display a batch: a table with its progress; a click opens a thread."""
    runs_panel(runs).display()


def runs_panel(runs: Runs) -> ThreadsPanel:
    """The table of a batch."""
    from nbagent.notebook.view.threads_panel import ThreadsPanel, batch_rows

    by_id = {thread.id: thread for thread in runs.threads}
    title = f"{runs.name}: {len(runs)} threads"
    return ThreadsPanel(
        lambda: batch_rows(runs), lambda id: by_id[id],
        moving=lambda rows: not runs.is_done, title=title, order="thread",
    )  # fmt: skip


def show_threads(frame: Any) -> None:
    """Display the threads of a store as a table that moves."""
    _show_stored(
        frame.store,
        "Threads in",
        lambda rows: rows,
        moving=lambda rows: any(row["status"] == "running" for row in rows),
    )


def show_inbox(frame: Any) -> None:
    """Display what all threads of a store ask as a table that moves."""
    _show_stored(
        frame.store,
        "Inbox of",
        lambda rows: [row for row in rows if row["status"] == "waiting"],
        moving=lambda rows: True,  # others ask, too, also in other kernels
    )


def _show_stored(
    store: CheckpointStore,
    title: str,
    chosen: Callable[[list[Any]], list[Any]],
    moving: Callable[[list[Any]], bool],
) -> None:
    from nbagent.notebook.registry import names_here, thread_named
    from nbagent.notebook.view.threads_panel import ThreadsPanel, thread_rows

    names, name = names_here(), store.url.partition("?")[0].rsplit("/", 1)[-1] or store.url
    panel = ThreadsPanel(
        lambda: chosen(thread_rows(store)),
        lambda id: thread_named(id, names, store),
        moving=moving,
        title=f"{title} {name}",
    )
    panel.display()


def graph_text(graph: Graph) -> str:
    """A graph for a terminal."""
    return draw.to_text(graph.compile())


def graph_html(graph: Graph) -> str:
    """A graph as inline SVG."""
    return draw.to_svg(layout(graph.compile()))


def thread_html(thread: Thread) -> str:
    """A thread as it stands: graph with statuses, last state."""
    return _pictured(thread)["text/html"]


def thread_text(thread: Thread) -> str:
    """A thread for a terminal: status, question, state."""
    return _pictured(thread)["text/plain"]


def _pictured(thread: Thread) -> dict[str, str]:
    try:
        loaded = thread.latest()
    except NbagentError as error:
        return {"text/html": f"<pre>{html.escape(str(error))}</pre>", "text/plain": str(error)}
    from nbagent.notebook.shown.run_model import RunModel
    from nbagent.notebook.view.picture import static_html, static_text

    drawing = layout(thread.program)
    model = RunModel.of_thread(thread, loaded, drawing)
    return {"text/html": static_html(model, drawing), "text/plain": static_text(model)}
