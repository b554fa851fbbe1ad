"""
How runs, graphs and threads show themselves as the last line of a cell. (C3, W10)
"""

from __future__ import annotations

import html
from typing import Any

from nbagent.engine.run import Run
from nbagent.engine.thread import Thread
from nbagent.errors import NbagentError
from nbagent.graph import draw
from nbagent.graph.builder import Graph
from nbagent.notebook.failures import install


def register_formatters(shell: Any) -> None:
    """Teach an IPython shell to show runs, graphs, threads and errors."""
    from nbagent.notebook.panel import refresh

    install()
    formatters = shell.display_formatter.formatters
    if has_widgets(shell):
        shell.display_formatter.ipython_display_formatter.for_type(Run, show_run)
        shell.display_formatter.ipython_display_formatter.for_type(Thread, show_thread)
        if not any(c is refresh for c in shell.events.callbacks["post_execute"]):
            shell.events.register("post_execute", refresh)
    formatters["text/plain"].for_type(Graph, lambda graph, p, cycle: p.text(graph_text(graph)))
    formatters["text/html"].for_type(Graph, graph_html)
    formatters["text/html"].for_type(Thread, thread_html)


def has_widgets(shell: Any) -> bool:
    """True in a notebook's kernel, False in a terminal."""
    return getattr(shell, "kernel", None) is not None


def show_run(run: Run) -> None:
    """Display a run: the live view, with a form below it when it asks."""
    from nbagent.notebook.panel import Panel

    Panel(run.thread, run).display()


def show_thread(thread: Thread) -> None:
    """Display a thread: live where it runs in this kernel, else as its store has it."""
    from nbagent.notebook.panel import Panel

    Panel(thread, thread.run).display()


def graph_text(graph: Graph) -> str:
    """A graph for a terminal."""
    return draw.to_text(graph.compile())


def graph_html(graph: Graph) -> str:
    """A graph as inline SVG."""
    return draw.to_svg(draw.layout(graph.compile()))


def thread_html(thread: Thread) -> str:
    """A thread as it stands: graph with statuses, last state."""
    try:
        loaded = thread.latest()
    except NbagentError as error:
        return f"<pre>{html.escape(str(error))}</pre>"
    from nbagent.notebook.widgets.run_model import RunModel
    from nbagent.notebook.widgets.static_view import static_html

    drawing = draw.layout(thread.program)
    model = RunModel.of_thread(thread, loaded, drawing)
    return static_html(model, drawing)
