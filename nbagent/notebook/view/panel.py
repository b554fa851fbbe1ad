"""
A thread on the page: its view, its form, and the picture that stays in the saved notebook. (C3)

Rule 1: the live view is a widget; a static picture stands behind it as a second output and is
        hidden while the widget lives.
Rule 2: a thread has one live view: an older one gives way to its picture. Where nobody looks (a
        notebook that runs headless), a view gives way when its thread is done, and the saved file
        carries no widget.
Rule 3: the picture is refreshed when a run ends and again after each cell, because a notebook
        that runs headless listens only to the cell that is running. A view that gives way leaves
        the picture of its own last run's end: not of the run that takes over, nor of one under way.
Rule 4: whatever is done by mouse leaves the line of Python that does the same.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from nbagent.engine.model.checkpoint import CheckpointInfo, ThreadInfo
from nbagent.engine.model.ids import node_of
from nbagent.engine.thread.run import Run
from nbagent.engine.thread.thread import Thread
from nbagent.engine.watch.events import Event, RunEnded, RunStarted, SubgraphEvent
from nbagent.errors import NbagentError
from nbagent.graph.builder import new_id
from nbagent.graph.layout import Drawing, layout, live_layout
from nbagent.notebook.host import is_headless
from nbagent.notebook.registry import as_defined_now, variable_of
from nbagent.notebook.shown.run_model import RunModel, turn
from nbagent.notebook.view import lookback as explorer
from nbagent.notebook.view.forms import (
    fill,
    json_values,
    key_of,
    question_dict,
    refusal,
    unmerged_lines,
    write,
    wrong_answers,
)
from nbagent.notebook.widgets.presence import Presence, close_all

log = logging.getLogger("nbagent")
_later = ThreadPoolExecutor(1, thread_name_prefix="nbagent-panels")
_lock = threading.Lock()
_stale: dict[int, Panel] = {}
_shown: dict[tuple[str, str], Panel] = {}
LONGEST = 1_000  # characters of an input in a line for copying
APART = 6  # siblings that failed and stand beside their stack
_EDITABLE = ("paused", "failed", "stopped")


class Panel:
    """One thread on the page. `code` has a line of Python for each thing done by mouse."""

    def __init__(self, thread: Thread, run: Run | None = None, *, uid: str = "") -> None:
        self.thread = thread
        self.run: Run | None = None
        self.looked_at: Thread = thread  # itself, or a thread under it
        self.code: list[str] = []
        self.closed = True
        self._is_own = True  # the run that it shows: it was made for it, or has begun it
        self._ended_as: dict[str, str] | None = None  # the picture of its own last run's end
        self.live: Any = None
        self.picture: Any = None
        self._line: list[CheckpointInfo] = []
        self._given: Mapping[str, Any] | None = None  # the last input, where this kernel gave it
        self._unwatch: Callable[[], None] = lambda: None
        self._gate = threading.Lock()
        self._waiting: list[Event] | None = None  # while a model is being made
        self._make(run, uid or new_id("view"))

    def _make(self, run: Run | None, uid: str) -> None:
        """The widgets, and what they show."""
        from nbagent.notebook.widgets.run_view import RunView
        from nbagent.notebook.widgets.state_form import StateForm

        thread = self.looked_at
        self._lay_out(thread)
        shown = thread.program.shown
        self.view = RunView(
            self.live_drawing,
            model=RunModel(thread.id, thread.program.name, self.live_drawing, shown),
            on_command=self.command,
            on_ask=self.ask,
            uid=uid,
        )
        self.form = StateForm(
            self.thread.program.schema.form_schema(), {}, questions=[], checkpoint=0,
            on_submit=self.submit, of=key_of(self.thread),
        )  # fmt: skip
        self.view.form = self.form
        self._box: Any = None
        self._presence = Presence(self.view, self.form, gone=self.let_go)
        self.closed = False
        self._attach(_current(self.thread, run))

    def __repr__(self) -> str:
        return f"<Panel of {self.thread.id!r}>"

    def _lay_out(self, thread: Thread) -> None:
        """The graph's geometry: for the view, which folds and unfolds, and for the picture."""
        self._apart: list[str] = []
        self.drawing: Drawing = layout(thread.program)
        self.live_drawing: Drawing = live_layout(thread.program)

    def _set_apart(self, node: str) -> None:
        """Show a sibling that failed beside the stack of the others."""
        stacked = any(node in box.members for box in self.live_drawing.boxes if box.kind == "stack")
        if not stacked or len(self._apart) >= APART:
            return
        self._apart.append(node)
        self.live_drawing = live_layout(self.looked_at.program, self._apart)
        self.view.drawing = self.live_drawing.to_json()

    def _model(self, is_stored: bool) -> RunModel:
        """The model to begin with: of what is stored, or empty, for the events to fill."""
        thread = self.looked_at
        info = thread.stored()
        if is_stored and info is not None and info.checkpoint:
            model = RunModel.of_thread(thread, thread.latest(), self.live_drawing)
            times = explorer.sums(thread, {})
            model.spent(working=times["working"], waited=times["waited"])
        else:
            shown = thread.program.shown
            model = RunModel(thread.id, thread.program.name, self.live_drawing, shown)
        model.set(
            parent=self.thread.id if thread is not self.thread else "",
            title=thread.title if info else "",
            code=self._last(),
            store=thread.store.url,
        )
        for node, inner in self._nested(thread).items():
            model.hold(node, inner)
        return model

    def _nested(self, thread: Thread) -> dict[str, list[str]]:
        """The threads that a thread's nodes run: node -> their ids."""
        if not thread.program.has_subgraphs:
            return {}
        found: dict[str, list[str]] = {}
        for info in thread.store.under(thread.id):
            node = node_of(info.place)
            if info.parent == thread.id and node in thread.program.nodes:
                found.setdefault(node, []).append(info.id)
        return found

    # ------------------------------------------------------------------------------- following

    def _attach(self, run: Run | None) -> None:
        """Show the thread that is looked at: as its run tells it from the beginning, or, where
        that is not to be had, as it is stored, and from then on as the run tells it."""
        if run is not None and self.looked_at is self.thread and not run.feed.backlog.missed:
            self.view.show(self.live_drawing, self._model(is_stored=False))
            self._listen(run, past=True)
            return
        with self._gate:
            self._waiting = []  # what happens while the store is read
        self._listen(run, past=False)
        model = self._model(is_stored=True)
        self.view.show(self.live_drawing, model)
        with self._gate:
            events, self._waiting = self._waiting or [], None
            for event in events:
                self._take(event, settled=model.step)
        info = self.thread.stored()
        if info is not None and info.checkpoint and self.thread.run is None:
            self._offer(info.status)

    def _listen(self, run: Run | None, past: bool) -> None:
        self._unwatch()
        self._unwatch, self.run = (lambda: None), run
        if run is not None:
            self._given = run.given if run.given is not None else self._given
            self._line = run.thread.line()
            run.echo.is_shown = True
            self._unwatch = run.watch(self.see, past=past)

    def watch(self, run: Run, *, is_own: bool = False) -> None:
        """Show this run, too, from now on; what the view shows goes on with it.

        is_own   it was begun in this view
        """
        if run is not self.run:
            with self._gate:  # what comes of the end of the run before may be under way
                if self._is_own and not is_own and self.picture is not None:
                    self._ended_as = self.static()
                self._is_own = is_own
            self._listen(run, past=True)
        elif is_own:  # and its beginning was heard of already
            self._is_own = True
            if run.status != "running":
                self._ended_as = self.static()

    def see(self, event: Event) -> None:
        """An event of the run; called on the engine's thread."""
        with self._gate:
            if self._waiting is not None:
                self._waiting.append(event)
            else:
                self._take(event)

    def _take(self, event: Event, settled: int = -1) -> None:
        """Pass on what is of the thread that is looked at, and is not of a settled super-step."""
        inner, own = event, self.looked_at.id
        while inner.thread != own and isinstance(inner, SubgraphEvent):
            inner = inner.event
        if inner.thread == own and (inner.step > settled or type(inner) is RunEnded):
            if type(inner) is RunStarted and inner is event:
                self._remember(inner)
            self.view(inner)
        if type(event) is RunEnded:
            _later.submit(self._ended, self.run, event.status)

    def _ended(self, run: Run | None, status: str) -> None:
        """The run let the thread go. Not on the engine's thread: a state may be large."""
        if self.closed and self.picture is None:
            return
        try:
            self.view.flush()
            if status == "failed":
                with self.view.model() as model:
                    nodes = model.state["nodes"].items()
                    failed = [name for name, node in nodes if node["status"] == "failed"]
                for name in failed:
                    self._set_apart(name)
            if run is self.run and self.thread.run is None:
                self._offer(status, run)
            with self._gate:
                if self._is_own and run is self.run:
                    self._ended_as = self.static()
            if self.closed:
                self._unwatch()
            with _lock:
                _stale[id(self)] = self
            refresh(keep=True)
        except Exception:
            log.exception("the view of thread %r was not brought up to date", self.thread.id)

    def _remember(self, event: RunStarted) -> None:
        """What ran before the run that begins here."""
        before = [info for info in self._line if info.id <= event.checkpoint.id]
        with self.view.model() as model:
            model.remember(before)
            model.set(turn=turn(before))

    def _offer(self, status: str, run: Run | None = None) -> None:
        """Offer the form for what a person can do now."""
        if status != "waiting" and status not in _EDITABLE:
            if self.form.form["open"] and not self.form.form["finished"]:  # answered elsewhere
                self.form.update(questions=[], editing=False)
            return
        questions = run.questions if run is not None else self.thread.questions
        asked = [question_dict(self.thread, question) for question in questions]
        checkpoint = run.checkpoint if run is not None else self.thread.latest().checkpoint
        self.form.update(
            values=json_values(self.thread, checkpoint.values),
            unmerged=unmerged_lines(self.thread),
            questions=asked if status == "waiting" else [],
            checkpoint=checkpoint.id,
            editing=status != "waiting",
        )

    # -------------------------------------------------------------------------------- commands

    def renew(self) -> None:
        """Go on with the graph as its cell has it now, unless the thread runs."""
        now = as_defined_now(self.thread)
        if now is self.thread or self.thread.run is not None:
            return
        is_own, self.thread = self.looked_at is self.thread, now
        self.form.update(schema=now.program.schema.form_schema())
        if is_own:
            self.looked_at = now
            self._lay_out(now)
            self._attach(_current(now, None))

    def command(self, name: str, payload: dict[str, Any]) -> None:
        """A button; comes on any thread. What it raises is shown in the view."""
        self.renew()
        if name == "open":
            self.open(self._named(str(payload.get("thread"))))
            return
        checkpoint = int(payload.get("checkpoint") or 0)
        if name == "branch" and self.looked_at is not self.thread:
            raise NbagentError(
                f"thread {self.looked_at.id!r} is run by {self.thread.id!r}: go on from a "
                "checkpoint of that one, or fork this one"
            )
        shown = self.form.form
        if name == "fork":
            checkpoint = checkpoint or self.looked_at.checkpoint_id
            made = self.looked_at.fork(checkpoint=checkpoint)
            self._did(f"fork(checkpoint={checkpoint})")
            self.open(made)
            return
        if name == "pause" or (name == "step" and self.thread.run is not None):
            self._running().pause()
            self._did("run.pause()")
        elif name == "stop":
            self._running().stop()
            self._did("run.stop()")
        elif name == "step":
            self._go_on("resume(steps=1)", steps=1)
        elif name == "resume":
            self._go_on("resume()")
        elif name in ("afresh", "again"):
            self._begin(fresh=name == "afresh")
        elif name == "branch":
            self.thread.fork(checkpoint=checkpoint, in_place=True)
            self._go_on(f"fork(checkpoint={checkpoint}, in_place=True).resume()")
        if self.form.form is shown:  # and the run has not asked anew already
            self.form.update(questions=[], editing=False)

    def _running(self) -> Run:
        run = self.thread.run
        if run is None:
            raise NbagentError(f"thread {self.thread.id!r} does not run in this kernel")
        return run

    def _go_on(self, code: str, **how: Any) -> None:
        self.watch(self.thread.resume(**how), is_own=True)
        self._did(code)

    def _begin(self, *, fresh: bool) -> None:
        """The last input again, in the same thread: on top of what it holds, or of nothing."""
        given = self._given
        how = ", fresh=True" if fresh else ""
        if given is None:
            thread = f"{variable_of(self.thread.program.name)}.thread({_quoted(self.thread.id)})"
            raise NbagentError(
                "what the thread was given is not known here: run its cell again"
                f"{' with --fresh' if fresh else ''}, or {thread}.start({{…}}{how})"
            )
        self.watch(self.thread.start(given, fresh=fresh), is_own=True)
        text = repr(given)
        self._did(f"start({text if len(text) <= LONGEST else '…'}{how})")

    def ask(self, what: str, args: dict[str, Any]) -> Any:
        """What the page asks about the past of the thread that it looks at."""
        answer = explorer.answer(self.looked_at, what, args)
        if what == "annotate":
            self._did(f"annotate({args['text']!r}, checkpoint={args['checkpoint']})")
        elif what == "rename":
            self._did(f"rename({args['title']!r})")
            with self.view.model() as model:
                model.set(title=self.looked_at.title)
        return answer

    def _did(self, call: str) -> None:
        """Note the Python for what was done by mouse."""
        graph = variable_of(self.thread.program.name)
        self.code.append(f"{graph}.thread({_quoted(self.thread.id)}).{call}")
        with self.view.model() as model:
            model.set(code=self._last())

    def _last(self) -> str:
        return self.code[-1] if self.code else ""

    def submit(self, payload: dict[str, Any]) -> dict[str, Any]:
        """The form's button; comes on any thread. Nothing is written unless all of it fits."""
        edits, answers = payload.get("edits") or {}, payload.get("answers") or {}
        goes_on = payload.get("resume") or answers
        try:
            self.renew()
            shown = self.form.form
            wrong = wrong_answers(self.thread, self.thread.questions, answers)
            if wrong is not None:
                return wrong
            if edits:
                made = write(self.thread, payload)
                self._did(_edited(edits, payload.get("note")))
            if goes_on:
                self._go_on(_resumed(answers), answers=answers or None)
        except NbagentError as error:
            return refusal(error, self.thread)
        if goes_on:
            told = ", ".join(str(answer) for answer in answers.values())
            message = f"Answered: {told}" if answers else "Resumed"
            if self.form.form is shown:  # and the run has not asked anew already
                self.form.finish(message)
            return {"ok": True, "message": message}
        fill(self.form, self.thread)
        return {"ok": True, "message": f"Saved as checkpoint {made}"}

    # --------------------------------------------------------------------------------- opening

    def open(self, thread: Thread) -> None:
        """Look at another thread: one under this one, the one above, a fork."""
        is_under = any(info.id == thread.id for info in self.thread.store.under(self.thread.id))
        self._lay_out(thread)
        if is_under:
            self.looked_at = thread
        elif thread.id == self.thread.id:
            self.looked_at = self.thread
        else:
            self._unwatch()
            self.thread = self.looked_at = thread
            self.form.update(
                of=key_of(thread),
                schema=thread.program.schema.form_schema(),
                values={},
                unmerged={},
                questions=[],
                editing=False,
            )
            if self.live is not None:
                self._claim()
        self._attach(self.thread.run if is_under else _current(self.thread, None))

    def _named(self, id: str) -> Thread:
        """A thread that belongs to this one."""
        if id == self.thread.id:
            return self.thread
        info: ThreadInfo = self.thread.store.thread(id)
        if info.is_nested:
            above = self._named(info.parent or "")
            node = above.program.nodes.get(node_of(info.place))
            if node is not None and node.program is not None:
                return above.nested(info.place, node.program)
        if info.graph == self.thread.program.name:
            return self.thread.sibling(id)
        from IPython.core.getipython import get_ipython

        from nbagent.notebook.registry import thread_named

        shell = get_ipython()
        return thread_named(id, shell.user_ns if shell is not None else {})

    # --------------------------------------------------------------------------------- showing

    def display(self) -> None:
        """Put it below the cell that runs, with the picture that stays behind it."""
        from IPython.display import display

        if self.closed:
            self._make(self.run, new_id("view"))
        box = self.widget()._repr_mimebundle_()
        # Whoever cannot show a widget shows the picture, and no line of text instead of this.
        self.live = display({**box, "text/plain": ""}, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        shown = self.static()
        if self.run is None or self.run.status != "running":
            self._ended_as = shown
        self.picture = display(shown, display_id=self.view.uid, raw=True)  # type: ignore[no-untyped-call]
        self._claim()

    def take_place(self) -> str:
        """Go on where a kernel that is gone had the view; the id of the widget to show there.

        The picture behind it stays as the old kernel left it: no other one may change it.
        """
        self._claim()
        return str(self.widget().model_id)

    def widget(self) -> Any:
        """The view, with the form inside it, as one widget to be put where one likes."""
        from ipywidgets import VBox

        if self._box is None:
            self._box = VBox([self.view])
        return self._box

    def _claim(self) -> None:
        """From now on this is the live view of the thread."""
        key = (self.thread.store.url, self.thread.id)
        with _lock:
            for old in [old for old, panel in _shown.items() if panel is self]:
                del _shown[old]
            earlier = _shown.get(key)
            _shown[key] = self
        if earlier is not None and earlier is not self and not earlier.closed:
            earlier.close()

    def static(self) -> dict[str, str]:
        """The picture: HTML and text."""
        from nbagent.notebook.view.picture import static_html, static_text

        with self.view.model() as model:
            html = static_html(model, self.drawing, self.view.uid)
            return {"text/html": html, "text/plain": static_text(model)}

    def refresh(self, *, after_cell: bool = True) -> None:
        """Bring the picture up to date; where nobody looks, it takes the place of what is done.

        after_cell   in the cell's own turn: a program that runs cells hears of nothing else
        """
        if self.picture is None:
            return
        if self.closed:
            self.picture.update(self._ended_as or self.static(), raw=True)
            return
        self.picture.update(self.static(), raw=True)
        with self.view.model() as model:
            done = model.status == "done"
        if after_cell and done and not self.view.is_seen and is_headless():
            self.close()

    def close(self) -> None:
        """Let the picture take the view's place."""
        with self.view.model() as model:
            is_to_come = self._is_own and model.status == "running"
        if not is_to_come:
            self._unwatch()
        if self.picture is not None:
            shown = None if self._is_own else self._ended_as
            self.picture.update(shown or self.static(), raw=True)
        if self.live is not None:
            self.live.update({"text/plain": ""}, raw=True)
        self._forget()

    def let_go(self) -> None:
        """It is gone from every page: nothing of it stays, and the run goes on."""
        self._unwatch()
        self.live = self.picture = None
        self._forget(is_gone=True)

    def _forget(self, is_gone: bool = False) -> None:
        self.closed = True
        self._presence.end()
        with _lock:
            _stale.pop(id(self), None)
            for key in [key for key, panel in _shown.items() if panel is self]:
                del _shown[key]
        close_all(self._box, self.view, self.form, is_gone=is_gone)


def _current(thread: Thread, run: Run | None) -> Run | None:
    """The run that tells how the thread stands: one that drives it, or its last one."""
    live = thread.run
    if live is not None or run is None:
        return live
    info = thread.stored()
    told = None if info is None else (info.checkpoint, info.status)
    return run if told == (run.checkpoint.id, run.status) else None


def follow(run: Run) -> None:
    """A run begins in this kernel: the view of its thread goes on with it."""
    with _lock:
        panel = _shown.get((run.thread.store.url, run.thread.id))
    if panel is not None and not panel.closed:
        panel.watch(run)


def _edited(edits: dict[str, Any], note: str | None) -> str:
    return f"edit({edits!r}, note={note!r})" if note else f"edit({edits!r})"


def _quoted(text: str) -> str:
    """A text as Python, in double quotes where that needs no more signs."""
    made = repr(text)
    return f'"{made[1:-1]}"' if made.startswith("'") and '"' not in made else made


def _resumed(answers: dict[str, Any]) -> str:
    """The line names the question: copied, it can answer no other one."""
    return f"resume(answers={answers!r})" if answers else "resume()"


def reconnect(comm: Any, message: Any) -> None:
    """A page whose kernel was restarted asks for its thread; the answer goes through `comm`."""
    from IPython.core.getipython import get_ipython

    from nbagent.notebook.registry import thread_named

    asked = message["content"]["data"]
    shell = get_ipython()
    try:
        thread = thread_named(str(asked["thread"]), shell.user_ns if shell is not None else {})
        panel = Panel(thread, thread.run, uid=str(asked["uid"]))
        comm.send({"model_id": panel.take_place()})
    except Exception as error:
        comm.send({"error": str(error)})


def refresh(keep: bool = False) -> None:
    """Refresh the pictures of runs that ended. `keep`: and again after the next cell."""
    with _lock:
        stale, shown = list(_stale.values()), list(_shown.values())
        if not keep:
            _stale.clear()
    for panel in [] if keep else shown:
        try:
            panel.renew()
        except NbagentError:  # the graph's cell is being worked on: a command will say so
            continue
    for panel in stale:
        panel.refresh(after_cell=not keep)


def view(shown: Thread | Run) -> Panel:
    """See `nbagent.view`."""
    thread = shown.thread if isinstance(shown, Run) else shown
    panel = Panel(thread, shown if isinstance(shown, Run) else thread.run)
    panel.display()
    return panel
