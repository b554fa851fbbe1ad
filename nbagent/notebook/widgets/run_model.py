"""
What a view of a run shows, as plain JSON made from events. It knows no widget and no browser.

Rule 1: `apply` takes the events in order; a later run of the same thread goes on in the model.
Rule 2: everything in it is bounded: previews, not values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from nbagent.engine import events as ev
from nbagent.engine.checkpoint import Failure, Loaded, Question
from nbagent.engine.edits import node_of
from nbagent.engine.interrupts import to_question
from nbagent.engine.snapshot import MISSING, FrozenList
from nbagent.engine.task import is_open_question
from nbagent.graph.draw import Drawing
from nbagent.notebook.widgets.preview import preview, short

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")  # colours and the like, for terminals
PRINTED = 4_000  # the last characters of what a node printed
EMITTED = 20  # the last emitted values kept for a node


class RunModel:
    """The model of one view. `state` is what the page gets."""

    def __init__(self, thread: str, graph: str, drawing: Drawing) -> None:
        self._names = [box.name for box in drawing.boxes if box.kind == "node"]
        self.printed = ""  # by all nodes of the run, for the picture that stays
        self.state: dict[str, Any] = {
            "thread": thread,
            "graph": graph,
            "status": "new",
            "step": 0,
            "started": 0.0,
            "ended": 0.0,
            "nodes": {name: _idle() for name in self._names},
            "values": {},
            "changes": [],
            "changed_in": 0,
            "taken": [],
            "questions": [],
            "next": [],
            "error": "",
            "notice": "",
        }
        self._tasks: dict[str, str] = {}
        self._changed: set[str] = set(self.state)

    def remember(self, ran: Iterable[str]) -> None:
        """Mark the nodes of tasks that ran before this view began."""
        for task in ran:
            node = self._node(node_of(task))
            node["status"] = "done"
            node["runs"] += 1

    @classmethod
    def of_thread(cls, thread: Any, loaded: Loaded, drawing: Drawing) -> RunModel:
        """The model of a thread that nothing runs."""
        model = cls(thread.id, thread.program.name, drawing)
        info = thread.info
        model.state["status"], model.state["error"] = info.status, info.error
        model.state["step"] = loaded.checkpoint.step
        model.state["started"], model.state["ended"] = info.created, info.updated
        model.state["notice"] = loaded.notice
        model._show_values(loaded.checkpoint.values)
        model.remember(task for info in thread.store.history(thread.id) for task in info.ran)
        for record in loaded.tasks:
            model._node(record.node)["status"] = record.status
        open_entries = [entry for entry in loaded.journal if is_open_question(entry)]
        for question in map(to_question, open_entries):
            model._node(question.node)["status"] = "waiting"
            model.state["questions"].append(_question(question))
        return model

    def take_patch(self) -> dict[str, Any] | None:
        """What changed since the last call; None when nothing did."""
        if not self._changed:
            return None
        patch = {name: self.state[name] for name in self._changed}
        self._changed = set()
        return json.loads(json.dumps(patch))  # type: ignore[no-any-return]

    def snapshot(self) -> dict[str, Any]:
        """All of it, as a copy that later events do not touch."""
        return json.loads(json.dumps(self.state))  # type: ignore[no-any-return]

    def apply(self, event: ev.Event) -> None:
        """Take in one event."""
        if isinstance(event, ev.RunStarted):
            self._set(
                status="running", step=event.step, error="", questions=[], next=[],
                started=self.state["started"] or event.at, ended=0.0, notice=event.notice,
            )  # fmt: skip
            for node in self.state["nodes"].values():
                if node["status"] in (
                    "running",
                    "retrying",
                    "queued",
                    "waiting",
                    "failed",
                    "cancelled",
                ):
                    node.update(_idle())
            self._show_values(event.checkpoint.values)
        elif isinstance(event, ev.StepPlanned):
            self._plan(event)
        elif isinstance(event, ev.StepReconciled):
            self._set(
                changes=[_change(name, *both) for name, both in event.changes.items()],
                changed_in=event.step,
            )
        elif isinstance(event, ev.Checkpointed):
            self._show_values(event.checkpoint.values)
            self._set(taken=[list(edge) for edge in event.took])
        elif isinstance(event, ev.RunEnded):
            self._set(
                status=event.status, step=event.step, error=event.error, next=list(event.next),
                questions=[_question(question) for question in event.questions], ended=event.at,
            )  # fmt: skip
            for node in self.state["nodes"].values():
                if node["status"] == "queued":
                    node["status"] = "idle"
        elif hasattr(event, "node"):
            self._of_node(event)

    def _plan(self, event: ev.StepPlanned) -> None:
        self._set(step=event.step)
        self._tasks = {}
        fresh = set(event.tasks.values())
        for name in fresh:
            node = self._node(name)
            node.update(_idle(), status="queued", runs=node["runs"])
        for task, name in event.tasks.items():
            self._node(name)["total"] += 1
            if task in event.finished:
                self._node(name)["finished"] += 1
                self._node(name)["status"] = "done"

    def _of_node(self, event: Any) -> None:
        node = self._node(event.node)
        if isinstance(event, ev.NodeStarted):
            node["status"] = "running"
            node["attempt"] = max(node["attempt"], event.attempt)
            node["since"] = event.at
        elif isinstance(event, ev.NodeEmitted):
            node["emitted"] = [*node["emitted"], short(event.value)][-EMITTED:]
        elif isinstance(event, ev.NodePrinted):
            text = _ESCAPES.sub("", event.text)
            node["printed"] = (node["printed"] + text)[-PRINTED:]
            lines = "".join(f"{event.node}: {line}\n" for line in text.splitlines())
            self.printed = (self.printed + lines)[-2 * PRINTED :]
        elif isinstance(event, ev.NodeStalled):
            node["warning"] = (
                f"Silent for {event.seconds:.1f} s, which is longer than it was given or usually "
                f"takes ({event.usual:.1f} s). It goes on."
            )
        elif isinstance(event, ev.NodeDelayed):
            node["status"], node["retry_at"] = "retrying", event.at + event.wait
            node["warning"] = "It waits for a rate limit that it shares with others."
        elif isinstance(event, ev.NodeBlocking):
            node["warning"] = (
                f"It blocks the event loop, and its siblings stand still.\n{event.where}\n"
                "Make it a `def` node, or use an awaitable client or `await asyncio.to_thread(…)`."
            )
        elif isinstance(event, ev.NodeFinished):
            node["finished"] += 1
            node["runs"] += 1
            node["warning"] = ""
            node["cached"] = event.is_cached
            node["duration"] = round(event.duration, 3)
            node["writes"] = [[name, preview(value)] for name, value in event.update.items()]
            if node["finished"] >= node["total"] and node["status"] in ("running", "retrying"):
                node["status"], node["failure"] = "done", None
        elif isinstance(event, ev.NodeRetried):
            node["status"] = "retrying"
            node["attempt"] = event.attempt + 1
            node["retry_at"] = event.at + event.wait
            node["failure"] = _failure(event.failure)
        elif isinstance(event, ev.NodeFailed):
            node["status"] = "failed"
            node["duration"] = round(event.duration, 3)
            node["failure"] = _failure(event.failure)
        elif isinstance(event, ev.NodeWaiting):
            node["status"] = "waiting"
        elif isinstance(event, ev.NodeCancelled) and node["status"] in ("running", "retrying"):
            node["status"] = "cancelled"
        self._changed.add("nodes")

    def _node(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.state["nodes"].setdefault(name, _idle())
        return found

    def _show_values(self, values: Mapping[str, Any]) -> None:
        self._set(values={name: preview(value) for name, value in values.items()})

    def _set(self, **values: Any) -> None:
        self.state.update(values)
        self._changed.update(values)
        self._changed.add("nodes")


def _idle() -> dict[str, Any]:
    return {
        "status": "idle",
        "total": 0,
        "finished": 0,
        "runs": 0,
        "attempt": 0,
        "since": 0.0,
        "retry_at": 0.0,
        "duration": None,
        "writes": [],
        "emitted": [],
        "printed": "",
        "failure": None,
        "warning": "",
        "cached": False,
    }


def _question(question: Question) -> dict[str, Any]:
    return {"id": question.id, "node": question.node, "text": short(question.question, 500)}


def _failure(failure: Failure) -> dict[str, str]:
    return {"type": failure.type, "message": failure.message, "traceback": failure.traceback}


def _change(name: str, before: Any, after: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"field": name, "kind": "changed", "added": [], "after": preview(after)}
    if before is MISSING:
        made["kind"] = "added"
        return made
    if after is MISSING:
        made["kind"] = "removed"
    if isinstance(before, FrozenList) and isinstance(after, FrozenList):
        grown = len(after) > len(before) and list(after[: len(before)]) == list(before)
        if grown:
            made["kind"] = "grown"
            made["added"] = [short(item) for item in after[len(before) :][:EMITTED]]
            made["count"] = len(after) - len(before)
            return made
    made["before"] = preview(before)
    return made
