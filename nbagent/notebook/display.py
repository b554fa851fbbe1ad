"""
How runs, graphs and threads show themselves in a notebook. (C3, W10)

Rule 1: the live view is a widget; a static picture stands behind it as a second output, for the
        saved notebook, and is hidden while the widget lives.
Rule 2: when a thread is done, or is shown live further down, there is nothing left to press: the
        live view gives way to the picture, and the saved file carries no widget.
Rule 3: the picture is refreshed when a run ends and again after each cell, because a notebook
        that runs headless listens only to the cell that is running.
"""

from __future__ import annotations

import html
import threading
from typing import Any

from pydantic_core import to_jsonable_python

from nbagent.engine.checkpoint import Question
from nbagent.engine.events import Event, RunEnded
from nbagent.engine.run import Run
from nbagent.engine.snapshot import thaw
from nbagent.engine.thread import Thread
from nbagent.errors import NbagentError, StateError
from nbagent.graph import draw
from nbagent.graph.builder import Graph
from nbagent.notebook.failures import install

_lock = threading.Lock()
_stale: dict[int, LiveRun] = {}
_shown: dict[tuple[str, str], LiveRun] = {}


def register_formatters(shell: Any) -> None:
    """Teach an IPython shell to show runs, graphs, threads and errors."""
    install()
    formatters = shell.display_formatter.formatters
    if has_widgets(shell):
        shell.display_formatter.ipython_display_formatter.for_type(Run, show_run)
        if not any(c is refresh for c in shell.events.callbacks["post_execute"]):
            shell.events.register("post_execute", refresh)
    formatters["text/plain"].for_type(Graph, lambda graph, p, cycle: p.text(graph_text(graph)))
    formatters["text/html"].for_type(Graph, graph_html)
    formatters["text/html"].for_type(Thread, thread_html)


def has_widgets(shell: Any) -> bool:
    """True in a notebook's kernel, False in a terminal."""
    return getattr(shell, "kernel", None) is not None


class LiveRun:
    """One run on the page: its view, its form, and the picture that stays."""

    def __init__(self, run: Run) -> None:
        from IPython.display import display
        from ipywidgets import VBox

        from nbagent.notebook.widgets.run_view import RunView
        from nbagent.notebook.widgets.state_form import StateForm

        self.thread = run.thread
        self.run = run
        program = run.thread.program
        self.drawing = draw.layout(program)
        self.view = RunView(
            self.drawing, thread=run.thread.id, graph=program.name, on_command=self.command
        )
        history = run.thread.store.history(run.thread.id)
        self.view.model.remember(task for info in history for task in info.ran)
        self.form = StateForm(
            program.schema.json_schema(), {}, questions=[], checkpoint=0, on_submit=self.submit
        )
        self.live: Any = display(VBox([self.view, self.form]), display_id=True)  # type: ignore[no-untyped-call]
        self.picture: Any = display(self._static(), display_id=True, raw=True)  # type: ignore[no-untyped-call]
        self.done = False
        key = (run.thread.store.url, run.thread.id)
        with _lock:
            earlier = _shown.get(key)
            _shown[key] = self
        if earlier is not None and not earlier.done:
            # A thread has one live view: the form of an older one would answer what is answered.
            earlier.done = True
            earlier.refresh()
        self.watch(run)

    def watch(self, run: Run) -> None:
        """Show this run from now on."""
        self.run = run
        run.echo.is_shown = True
        run.watch(self.see)

    def see(self, event: Event) -> None:
        """An event of the run; called on the engine's thread."""
        self.view(event)
        if isinstance(event, RunEnded):
            self.ended(event)

    def ended(self, event: RunEnded) -> None:
        """The run let the thread go: offer the form, and refresh the picture."""
        if event.status == "waiting":
            self.form.update(
                values=self._json_values(),
                questions=[question_dict(self.thread, question) for question in event.questions],
                checkpoint=self.run.checkpoint.id,
                editing=False,
            )
        elif event.status in ("paused", "failed", "stopped"):
            self.form.update(
                values=self._json_values(),
                questions=[],
                checkpoint=self.run.checkpoint.id,
                editing=True,
            )
        self.done = self.done or event.status == "done"
        with _lock:
            _stale[id(self)] = self
        refresh(keep=True)

    def _json_values(self) -> dict[str, Any]:
        return json_values(self.thread, self.run.checkpoint.values)

    # ------------------------------------------------------------------------------- commands

    def command(self, name: str, payload: dict[str, Any]) -> None:
        """A button; comes on any thread. What it raises is shown in the view."""
        if name == "pause":
            self.run.pause()
        elif name == "stop":
            self.run.stop()
        elif name == "step" and self.run.status == "running":
            self.run.pause()
        elif name == "step":
            self.watch(self.thread.resume(steps=1))
        elif name == "resume":
            self.watch(self.thread.resume())
        self.form.update(questions=[], editing=False)

    def submit(self, payload: dict[str, Any]) -> dict[str, Any]:
        """The form's button; comes on any thread. Nothing is written unless all of it fits."""
        edits = payload.get("edits") or {}
        answers = payload.get("answers") or {}
        try:
            open_questions = {question.id: question for question in self.thread.questions}
            for id, answer in answers.items():
                if id in open_questions:
                    self.thread.program.schema.check_answer(open_questions[id].schema, answer)
            if edits:
                self.thread.edit(
                    edits, note=payload.get("note") or "", expect=payload.get("checkpoint")
                )
            if payload.get("resume") or answers:
                run = self.thread.resume(answers=answers or None)
                self.watch(run)
                told = ", ".join(str(answer) for answer in answers.values())
                message = f"Answered: {told}" if answers else "Resumed"
                self.form.finish(message)
                return {"ok": True, "message": message}
        except StateError as error:
            problems = [
                {"path": list(problem.path), "message": problem.message} for problem in error.errors
            ]
            return {"ok": False, "message": str(error), "errors": problems}
        except NbagentError as error:
            return {"ok": False, "message": str(error), "errors": []}
        loaded = self.thread.latest().checkpoint
        self.form.update(values=json_values(self.thread, loaded.values), checkpoint=loaded.id)
        return {"ok": True, "message": f"Saved as checkpoint {loaded.id}"}

    # -------------------------------------------------------------------------------- picture

    def _static(self) -> dict[str, str]:
        from nbagent.notebook.widgets.static_view import static_html, static_text

        model = self.view.model
        return {
            "text/html": static_html(model, self.drawing, self.view.uid),
            "text/plain": static_text(model),
        }

    def refresh(self) -> None:
        """Bring the picture up to date; when the thread is done, it takes the view's place."""
        self.picture.update(self._static(), raw=True)
        if self.done:
            self.live.update({"text/plain": ""}, raw=True)
            self.view.close()
            self.form.close()


def refresh(keep: bool = False) -> None:
    """Refresh the pictures of runs that ended. `keep`: and again after the next cell."""
    with _lock:
        stale = list(_stale.values())
        if not keep:
            _stale.clear()
    for live in stale:
        live.refresh()


def show_run(run: Run) -> None:
    """Display a run: the live view, with a form below it when it asks."""
    LiveRun(run)


def edit_form(thread: Thread) -> Any:
    """A form for a thread that does not run; saving makes an edit checkpoint."""
    from nbagent.notebook.widgets.state_form import StateForm

    checkpoint = thread.latest().checkpoint

    def submit(payload: dict[str, Any]) -> dict[str, Any]:
        try:
            made = thread.edit(
                payload.get("edits") or {},
                note=payload.get("note") or "",
                expect=payload.get("checkpoint"),
            )
        except StateError as error:
            problems = [{"path": list(p.path), "message": p.message} for p in error.errors]
            return {"ok": False, "message": str(error), "errors": problems}
        except NbagentError as error:
            return {"ok": False, "message": str(error), "errors": []}
        form.update(checkpoint=made, values=json_values(thread, thread.latest().checkpoint.values))
        return {"ok": True, "message": f"Saved as checkpoint {made}"}

    form = StateForm(
        thread.program.schema.json_schema(),
        json_values(thread, checkpoint.values),
        questions=[],
        checkpoint=checkpoint.id,
        on_submit=submit,
        editing=True,
        expanded=True,
    )
    return form


def json_values(thread: Thread, values: Any) -> dict[str, Any]:
    """State values as JSON for a form."""
    found: dict[str, Any] = thread.program.schema.to_json(values)
    return found


def question_dict(thread: Thread, question: Question) -> dict[str, Any]:
    """A question as JSON for a form; a subgraph's fields are shown beside it and not edited."""
    show, beside = list(question.show), {}
    if question.thread and show:
        values = thread.store.latest(question.thread)
        known = values.checkpoint.values if values is not None else {}
        beside = to_jsonable_python({n: thaw(known[n]) for n in show if n in known}, fallback=repr)
        show = []
    return {
        "id": question.id,
        "node": question.node,
        "question": str(question.question),
        "show": show,
        "beside": beside,
        "schema": question.schema,
    }


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
