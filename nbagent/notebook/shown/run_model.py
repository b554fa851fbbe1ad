"""
What a view of a run shows, as plain JSON made from events. It knows no widget and no browser.

Rule 1: `apply` takes the events in order; a later run of the same thread goes on in the model.
Rule 2: everything in it is bounded: previews, not values.
Rule 3: previews are made when somebody looks (`state`, `take_patch`), not for every event: of
        what happened between two looks only the last is shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from nbagent.engine.model.approval import is_request, worded
from nbagent.engine.model.checkpoint import CheckpointInfo, Failure, Loaded, Question
from nbagent.engine.model.ids import node_of
from nbagent.engine.model.work import work_of
from nbagent.engine.step.plan import plan
from nbagent.engine.thread.replay import changed
from nbagent.engine.watch import events as ev
from nbagent.errors import NbagentError
from nbagent.graph.layout import Drawing
from nbagent.notebook.shown.changes import change
from nbagent.notebook.shown.ground import back_edges, names_in, walked
from nbagent.notebook.shown.preview import CONTROLS, cut, preview, short
from nbagent.notebook.shown.rail import Clock, Rail
from nbagent.notebook.shown.streams import Streams

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")  # colours and the like, for terminals
PRINTED = 4_000  # the last characters of what a node printed
EMITTED = 20  # the last emitted values kept for a node
ERROR = 5_000  # characters of the beginning of an error's text that are shown, and of its end
INNER = 50  # threads under a node that its card lists
WROTE_NOTHING = (
    "It returned nothing, so nothing was written. Where that is not meant: return {field: value}."
)
_OVER = ("running", "retrying", "queued", "waiting", "failed", "cancelled", "skipped")


class RunModel:
    """The model of one view. `state` is what the page gets."""

    def __init__(
        self, thread: str, graph: str, drawing: Drawing, shown: frozenset[str] | None = None
    ) -> None:
        self.thread = thread
        self.printed = ""  # by all nodes of the run, for the picture that stays
        self._state: dict[str, Any] = {
            "thread": thread,
            "title": "",
            "parent": "",
            "store": "",
            "graph": graph,
            "status": "new",
            "step": 0,
            "count": 0,
            "turn": 1,
            "started": 0.0,
            "ended": 0.0,
            "nodes": {name: _idle() for name in names_in(drawing)},
            "values": {},
            "changes": [],
            "changed_in": 0,
            "taken": [],
            "questions": [],
            "next": [],
            "error": "",
            "notice": "",
            "code": "",
            "budget": {},  # of the thread: name -> [spent, allowed]
            "rail": [],
            "marks": [],
            "working": 0.0,
            "waited": 0.0,
            "busy_since": 0.0,
            "streams": {},
            "loops": {},
        }
        self._streams = Streams()
        self._back = back_edges(drawing)
        self._rail = Rail()
        self._clock = Clock()
        self._settled = -1
        self._is_new = True  # nobody has seen any of it
        self._changed: set[str] = set()
        self._nodes: set[str] = set()
        self._fields: set[str] = set()
        self._values: Mapping[str, Any] = {}  # what the previews are to show
        self._previewed: Mapping[str, Any] = {}  # what they show
        self._changes: Mapping[str, tuple[Any, Any]] | None = None
        self._writes: dict[str, Mapping[str, Any]] = {}
        self._writers: dict[str, list[str]] = {}  # field -> the nodes that wrote it in this step
        self._emits: dict[str, list[Any]] = {}
        self.shown = shown  # the fields that concern a person, if not all

    @property
    def state(self) -> dict[str, Any]:
        """What the page shows, up to date."""
        self._settle()
        self._state["streams"] = self._streams.whole()
        return self._state

    @property
    def is_changed(self) -> bool:
        """True when `take_patch` has something to say."""
        return bool(self._is_new or self._changed or self._nodes or self._fields or self._streams)

    @property
    def step(self) -> int:
        """The super-step that the state is of, where it was made from what is stored."""
        return self._settled

    @property
    def status(self) -> str:
        """As `state["status"]`, without making the rest."""
        return str(self._state["status"])

    def remember(self, line: Sequence[CheckpointInfo]) -> None:
        """Mark the nodes that ran before this view began, and the checkpoints that there are."""
        if not any(node["runs"] for node in self._state["nodes"].values()):
            for info in line:
                for task in info.ran:
                    node = self._node(node_of(task))
                    node["status"] = "done"
                    node["runs"] += 1
                    node["step"] = info.step
            self._loop(walked(line, self._back))
        self._rail.begin(line)
        self.set(count=len(line), **self._rail.told())

    def spent(self, *, working: float, waited: float) -> None:
        """How long the runs before this view worked, and waited for a person."""
        self._clock.working, self._clock.waited = working, waited
        self.set(**self._clock.told())

    def set(self, **values: Any) -> None:
        """Set facts of the view: `title`, `parent`, `code`."""
        self._state.update(values)
        self._changed.update(values)

    def hold(self, node: str, threads: Iterable[str]) -> None:
        """Say which threads of its own a node runs."""
        self._node(node)["inner_threads"] = list(threads)[-INNER:]

    @classmethod
    def of_thread(cls, thread: Any, loaded: Loaded, drawing: Drawing) -> RunModel:
        """The model of a thread that nothing runs."""
        model = cls(thread.id, thread.program.name, drawing, thread.program.shown)
        info = thread.info
        state = model._state
        state["status"], state["error"] = info.status, _bounded(info.error)
        state["step"] = state["changed_in"] = loaded.checkpoint.step
        state["started"], state["ended"] = info.created, info.updated
        state["notice"] = loaded.notice
        model._values = loaded.checkpoint.values
        last = loaded.checkpoint
        if last.parent is not None:
            model._changes = changed(thread.load(last.parent).checkpoint, last, last.updated)
        line = thread.line()
        state["turn"] = turn(line)
        model.remember(line)
        for name, node in state["nodes"].items():
            model._skip(name, node)
        model._settled = last.step
        model._under_way(thread, loaded)
        for question in model._asked(thread):
            model._node(node_of(question.task))["status"] = "waiting"
            state["questions"].append(_question(question))
        return model

    def _asked(self, thread: Any) -> Iterable[Question]:
        try:
            return () if self.status == "running" else tuple(thread.questions)
        except NbagentError:  # the graph has changed
            return ()

    def _under_way(self, thread: Any, loaded: Loaded) -> None:
        """The tasks of the super-step that has begun."""
        done = work_of(loaded).done
        try:
            tasks = plan(thread.program, loaded.checkpoint)
        except NbagentError:  # the graph has changed, and a resume will say what to do
            tasks = ()
        for task in tasks:
            node = self._node(task.node)
            node["total"] += 1
            if task.id in done:
                node["finished"] += 1
            elif self._state["status"] == "running":
                node["status"] = "running"
        for record in loaded.tasks:
            node = self._node(record.node)
            if node["status"] != "running":
                node["status"] = record.status
            node["failure"] = _failure(record.failure) if record.failure else None

    def take_patch(self) -> dict[str, Any] | None:
        """What changed since the last call; None when nothing did. All of it, with `whole`, at
        first; then `nodes` and `values` hold only those that changed, None for one that is gone."""
        self._settle()
        if self._is_new:
            self._is_new = False
            self._forget()
            whole = {**self._state, "streams": self._streams.whole(), "whole": True}
            self._streams.forget()
            return whole
        patch = {name: self._state[name] for name in self._changed}
        if self._nodes:
            patch["nodes"] = {name: self._state["nodes"][name] for name in self._nodes}
        if self._fields:
            patch["values"] = {name: self._state["values"].get(name) for name in self._fields}
        if self._streams:
            patch["streams"] = self._streams.patch()
        self._forget()
        return patch or None

    def _forget(self) -> None:
        self._changed, self._nodes, self._fields = set(), set(), set()

    def snapshot(self) -> dict[str, Any]:
        """All of it, as a copy that later events do not touch."""
        return json.loads(json.dumps(self.state))  # type: ignore[no-any-return]

    def apply(self, event: ev.Event) -> None:
        """Take in one event."""
        if self._clock.take(event):
            self.set(**self._clock.told())
        handle = _HANDLERS.get(type(event))
        if handle is not None:
            handle(self, event)

    # --------------------------------------------------------------------------------- of a run

    def _run_started(self, event: ev.RunStarted) -> None:
        state = self._state
        self.set(
            status="running", step=event.step, error="", questions=[], next=[], ended=0.0,
            started=state["started"] or event.at, notice=event.notice.translate(CONTROLS),
        )  # fmt: skip
        if not state["count"]:
            self._rail.add(event.checkpoint.id, "input", ())
            self.set(count=1, **self._rail.told())
        for name, node in state["nodes"].items():
            if node["status"] in _OVER:
                self._reset(name)
        self._values = event.checkpoint.values

    def _planned(self, event: ev.StepPlanned) -> None:
        self.set(step=event.step)
        self._writers = {}
        for name in set(event.tasks.values()):
            self._reset(name, status="queued")
        for task, name in event.tasks.items():
            node = self._node(name)
            node["total"] += 1
            if task in event.finished:
                node["finished"] += 1
                node["status"] = "done"

    def _reconciled(self, event: ev.StepReconciled) -> None:
        self._changes = event.changes
        self.set(changed_in=event.step)

    def _checkpointed(self, event: ev.Checkpointed) -> None:
        self._values = event.checkpoint.values
        self._rail.add(event.checkpoint.id, "step", event.checkpoint.ran)
        self._loop(edge for edge in event.took if edge in self._back)
        self.set(
            taken=[list(edge) for edge in event.took], count=self._state["count"] + 1,
            **self._rail.told(),
        )  # fmt: skip

    def _loop(self, edges: Iterable[tuple[str, str]]) -> None:
        """These edges led back."""
        counts = dict(self._state["loops"])
        for source, target in edges:
            counts[f"{source}\n{target}"] = counts.get(f"{source}\n{target}", 0) + 1
        if counts != self._state["loops"]:
            self.set(loops=counts)

    def _run_ended(self, event: ev.RunEnded) -> None:
        self.set(
            status=event.status, step=event.step, error=_bounded(event.error),
            next=list(event.next),
            questions=[_question(question) for question in event.questions], ended=event.at,
        )  # fmt: skip
        for name, node in self._state["nodes"].items():
            if node["status"] == "queued":
                node["status"] = "idle"
                self._nodes.add(name)
            self._skip(name, node)

    def _skip(self, name: str, node: dict[str, Any]) -> None:
        """A node that the thread ended without."""
        if self._state["status"] == "done" and node["status"] == "idle" and not node["runs"]:
            node["status"] = "skipped"
            self._nodes.add(name)

    # -------------------------------------------------------------------------------- of a node

    def _started(self, event: ev.NodeStarted) -> None:
        node = self._node(event.node)
        node["status"] = "running"
        node["attempt"] = max(node["attempt"], event.attempt)
        node["since"] = event.at
        node["step"] = event.step
        self._streams.begin(event.task, event.node, event.node, event.at, event.step)

    def _emitted(self, event: ev.NodeEmitted) -> None:
        self._streams.add(event.task, event.value)
        waiting = self._emits.setdefault(event.node, [])
        waiting.append(event.value)
        if len(waiting) > 2 * EMITTED:
            del waiting[:-EMITTED]

    def _printed(self, event: ev.NodePrinted) -> None:
        node = self._node(event.node)
        text = _ESCAPES.sub("", event.text).translate(CONTROLS)
        node["printed"] = (node["printed"] + text)[-PRINTED:]
        lines = "".join(f"{event.node}: {line}\n" for line in text.splitlines())
        self.printed = (self.printed + lines)[-2 * PRINTED :]

    def _effect(self, event: ev.NodeEffect) -> None:
        node = self._node(event.node)
        known = [pair for pair in node["effects"] if pair[0] != cut(event.effect, 200)]
        node["effects"] = [*known, [cut(event.effect, 200), event.status]][-EMITTED:]

    def _step(self, event: ev.NodeStep) -> None:
        node = self._node(event.node)
        made = [cut(event.name, 200), event.status, round(event.duration, 3)]
        node["steps"] = [*node["steps"], made][-EMITTED:]

    def _progress(self, event: ev.NodeProgress) -> None:
        node = self._node(event.node)
        node["progress"] = {**node["progress"], cut(event.name, 200): [event.done, event.total]}

    def _spent(self, event: ev.BudgetSpent) -> None:
        figures = {name: list(pair) for name, pair in event.figures.items()}
        if event.node:
            self._node(event.node)["budget"] = figures
        else:
            self.set(budget=figures)

    def _stalled(self, event: ev.NodeStalled) -> None:
        self._node(event.node)["warning"] = (
            f"Silent for {event.seconds:.1f} s, which is longer than it was given or usually "
            f"takes ({event.usual:.1f} s). It goes on."
        )

    def _delayed(self, event: ev.NodeDelayed) -> None:
        self._node(event.node).update(
            status="retrying", retry_at=event.at + event.wait,
            warning="It waits for a rate limit that it shares with others.",
        )  # fmt: skip

    def _store_awaited(self, event: ev.StoreAwaited) -> None:
        why = event.reason.translate(CONTROLS)
        waits = f"It waits for the store: {why}. It tries again, and no node is called twice."
        self.set(notice=waits if why else "")

    def _blocking(self, event: ev.NodeBlocking) -> None:
        self._node(event.node)["warning"] = (
            f"It blocks the event loop, and its siblings stand still.\n{event.where}\n"
            "Make it a `def` node, or use an awaitable client or `await asyncio.to_thread(…)`."
        )

    def _finished(self, event: ev.NodeFinished) -> None:
        node = self._node(event.node)
        node["finished"] += 1
        node["runs"] += 1
        if node["warning"] != WROTE_NOTHING:  # which is about how it finished
            node["warning"] = ""
        node["cached"] = event.is_cached
        node["duration"] = round(event.duration, 6)
        self._writes[event.node] = event.update
        self._streams.end(event.task, "done", event.at)
        for name in event.update:
            writers = self._writers.setdefault(name, [])
            if event.node not in writers:
                writers.append(event.node)
        if node["finished"] >= node["total"] and node["status"] in ("idle", "queued", *_OVER[:2]):
            node["status"], node["failure"] = "done", None

    def _wrote_nothing(self, event: ev.NodeWroteNothing) -> None:
        self._node(event.node)["warning"] = WROTE_NOTHING

    def _retried(self, event: ev.NodeRetried) -> None:
        self._streams.end(event.task, "retrying", event.at)
        self._node(event.node).update(
            status="retrying", attempt=event.attempt + 1, retry_at=event.at + event.wait,
            failure=_failure(event.failure),
        )  # fmt: skip

    def _failed(self, event: ev.NodeFailed) -> None:
        self._streams.end(event.task, "failed", event.at)
        self._node(event.node).update(
            status="failed", duration=round(event.duration, 6), failure=_failure(event.failure)
        )

    def _waiting(self, event: ev.NodeWaiting) -> None:
        self._streams.end(event.task, "waiting", event.at)
        self._node(event.node)["status"] = "waiting"

    def _cancelled(self, event: ev.NodeCancelled) -> None:
        self._streams.end(event.task, "stopped", event.at)
        node = self._node(event.node)
        if node["status"] in ("running", "retrying"):
            node["status"] = "cancelled"

    def _inside(self, event: ev.SubgraphEvent) -> None:
        known = self._state["nodes"].setdefault(event.node, _idle())["inner_threads"]
        if event.event.thread not in known:
            self._node(event.node)["inner_threads"] = [*known, event.event.thread][-INNER:]
        self._stream_inside(event.node, event.task, event)

    def _stream_inside(self, outer: str, key: str, event: ev.SubgraphEvent) -> None:
        """What a node of a graph that runs inside says stands beside what the others say."""
        inner = event.event
        if isinstance(inner, ev.SubgraphEvent):
            self._stream_inside(f"{outer} / {inner.node}", f"{key}/{inner.task}", inner)
            return
        if not isinstance(inner, ev.NodeEvent):
            return
        key = f"{key}/{inner.task}"
        self._open_inside(f"{event.node}/{inner.node}", inner)
        if isinstance(inner, ev.NodeStarted):
            name = f"{outer} / {inner.node}"
            self._streams.begin(key, event.node, name, inner.at, event.step)
        elif isinstance(inner, ev.NodeEmitted):
            self._streams.add(key, inner.value)
        elif type(inner) in _ENDS:
            self._streams.end(key, _ENDS[type(inner)], inner.at)

    # ----------------------------------------------------------------------------------- inside

    def _node(self, name: str) -> dict[str, Any]:
        """A node that is about to change."""
        self._nodes.add(name)
        found = self._state["nodes"].get(name)
        if found is None:
            found = self._state["nodes"][name] = _idle()
        return found  # type: ignore[no-any-return]

    def _reset(self, name: str, status: str = "idle") -> None:
        node = self._node(name)
        self._writes.pop(name, None)
        self._emits.pop(name, None)
        kept = {fact: node[fact] for fact in ("runs", "step", "inner_threads")}
        node.update(_idle(), status=status, **kept)

    def _settle(self) -> None:
        """Make the previews that are due."""
        if self._values is not self._previewed:
            shown = self._state["values"]
            for name in [name for name in shown if name not in self._values]:
                del shown[name]
                self._fields.add(name)
            for name, value in self._values.items():
                if self.shown is not None and name not in self.shown:
                    continue
                if name not in shown or value is not self._previewed.get(name):
                    shown[name] = preview(value)
                    self._fields.add(name)
            self._previewed = self._values
        if self._changes is not None:
            made = [
                {**change(name, *both), "by": self._writers.get(name, [])[:8]}
                for name, both in self._changes.items()
                if self.shown is None or name in self.shown
            ]
            self.set(changes=made)
            self._changes = None
        for name, update in self._writes.items():
            rows = [[field, preview(value)] for field, value in update.items()]
            self._node(name)["writes"] = rows
        self._writes = {}
        for name, values in self._emits.items():
            node = self._node(name)
            node["emitted"] = [*node["emitted"], *map(short, values)][-EMITTED:]
        self._emits = {}

    def _open_inside(self, name: str, inner: ev.NodeEvent) -> None:
        """How a node stands of a graph that is open in place."""
        if name not in self._state["nodes"]:
            return
        node = self._node(name)
        if isinstance(inner, ev.NodeStarted):
            node.update(status="running", since=inner.at, attempt=inner.attempt, failure=None)
        elif isinstance(inner, ev.NodeFinished):
            node["runs"] += 1
            node.update(status="done", duration=round(inner.duration, 6))
        elif isinstance(inner, ev.NodeFailed):
            node.update(status="failed", failure=_failure(inner.failure))
        elif type(inner) in _ENDS:
            node["status"] = _ENDS[type(inner)]


_ENDS: dict[type, str] = {
    ev.NodeFinished: "done", ev.NodeFailed: "failed", ev.NodeRetried: "retrying",
    ev.NodeWaiting: "waiting", ev.NodeCancelled: "stopped",
}  # fmt: skip
_HANDLERS: dict[type, Callable[[RunModel, Any], None]] = {
    ev.RunStarted: RunModel._run_started,
    ev.StepPlanned: RunModel._planned,
    ev.StepReconciled: RunModel._reconciled,
    ev.Checkpointed: RunModel._checkpointed,
    ev.RunEnded: RunModel._run_ended,
    ev.NodeStarted: RunModel._started,
    ev.NodeEmitted: RunModel._emitted,
    ev.NodePrinted: RunModel._printed,
    ev.NodeEffect: RunModel._effect,
    ev.BudgetSpent: RunModel._spent,
    ev.NodeStep: RunModel._step,
    ev.NodeProgress: RunModel._progress,
    ev.NodeStalled: RunModel._stalled,
    ev.NodeDelayed: RunModel._delayed,
    ev.NodeBlocking: RunModel._blocking,
    ev.StoreAwaited: RunModel._store_awaited,
    ev.NodeFinished: RunModel._finished,
    ev.NodeWroteNothing: RunModel._wrote_nothing,
    ev.NodeRetried: RunModel._retried,
    ev.NodeFailed: RunModel._failed,
    ev.NodeWaiting: RunModel._waiting,
    ev.NodeCancelled: RunModel._cancelled,
    ev.SubgraphEvent: RunModel._inside,
}


def turn(line: Iterable[CheckpointInfo]) -> int:
    """How many inputs a thread has been given on the way to where it stands."""
    return max(1, sum(info.kind == "input" for info in line))


def _idle() -> dict[str, Any]:
    return {
        "status": "idle",
        "total": 0,
        "finished": 0,
        "runs": 0,
        "step": 0,
        "attempt": 0,
        "since": 0.0,
        "retry_at": 0.0,
        "duration": None,
        "writes": [],
        "effects": [],
        "emitted": [],
        "budget": {},  # its own: name -> [spent, allowed]
        "steps": [],  # of a durable function: [name, "done" or "kept", seconds]
        "progress": {},  # its loops: name -> [items done, of how many or None]
        "printed": "",
        "failure": None,
        "warning": "",
        "cached": False,
        "inner_threads": [],
    }


def _question(question: Question) -> dict[str, Any]:
    asked = question.question
    text = short(worded(asked) if is_request(asked) else asked, 500)
    return {"id": question.id, "node": question.node, "text": text}


def _failure(failure: Failure) -> dict[str, str]:
    facts = {"type": failure.type, "message": failure.message, "traceback": failure.traceback}
    return {name: _bounded(text) for name, text in facts.items()}


def _bounded(text: str) -> str:
    """Beginning and end of a text that may hold a whole page, or a table."""
    left = len(text) - 2 * ERROR
    if left > 0:
        text = f"{text[:ERROR]}\n… ({left:,} characters) …\n{text[-ERROR:]}"
    return text.translate(CONTROLS)
