"""What the views show, without a browser: the model, the picture, the form's messages."""

from __future__ import annotations

import contextlib
import json
import operator
import threading
import time
from typing import Annotated, Any, TypedDict

import pandas
import pytest

from nbagent import END, START, Graph, interrupt, node
from nbagent.errors import NodeError
from nbagent.graph import layout
from nbagent.notebook.shown.preview import preview, short
from nbagent.notebook.shown.run_model import RunModel
from nbagent.notebook.view.picture import static_html, static_text
from nbagent.notebook.widgets.run_view import RunView
from nbagent.notebook.widgets.state_form import StateForm
from nbagent.stores.memory import MemoryStore

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)> javascript:alert(1) \x1b[31m"


class State(TypedDict):
    x: Any
    notes: Annotated[list[str], operator.add]


def graph(first, second=lambda state: None):
    """Two nodes in a line."""
    with Graph("g", State, store=MemoryStore()) as made:
        one, two = node(first, name="one"), node(second, name="two")
        START >> one >> two >> END
    return made


def view_of(made, on_command=print):
    """A view of its thread "t", on no page."""
    drawing = layout.layout(made.compile())
    model = RunModel("t", "g", drawing)
    return RunView(drawing, model=model, on_command=on_command, on_ask=lambda what, args: what)


def model_of(made, given, thread="t"):
    """The model after a run."""
    drawing = layout.layout(made.compile())
    model = RunModel(thread, "g", drawing)
    run = made.start(given, thread)
    with contextlib.suppress(NodeError):
        run.result()
    run.watch(model.apply)
    return model, drawing


def test_the_model_follows_a_run_to_its_question():
    """Statuses, what the last super-step changed, what it waits for. (C3)"""
    made = graph(lambda s: {"x": 2, "notes": ["n"]}, lambda s: {"x": interrupt("ok?")})
    model, _ = model_of(made, {"x": 1})
    state = model.state

    assert ("waiting", 1) == (state["status"], state["changed_in"])
    assert ("done", "waiting") == (state["nodes"]["one"]["status"], state["nodes"]["two"]["status"])
    assert [("x", "changed"), ("notes", "grown")] == [
        (change["field"], change["kind"]) for change in state["changes"]
    ]
    assert "ok?" == state["questions"][0]["text"]
    assert [["one", "two"]] == state["taken"]

    made.thread("t").resume("yes").watch(model.apply)
    run = made.thread("t").run
    if run is not None:
        run.result()
    assert model.state["status"] in ("running", "done")


def test_a_patch_holds_only_what_changed_and_is_json():
    """Two calls in a row: the second has nothing to say."""
    made = graph(lambda s: {"x": pandas.DataFrame({"a": [1, 2]})})
    model, _ = model_of(made, {"x": 1 + 2j})

    patch = model.take_patch()
    assert "done" == json.loads(json.dumps(patch))["status"]
    assert model.take_patch() is None
    assert {"a"} == set(model.state["values"]["x"]["columns"])


def test_a_failure_shows_the_users_own_frames():
    """Type, message and traceback are on the node; the run says which node."""

    def breaks(state):
        raise ValueError("no luck")

    model, drawing = model_of(graph(breaks), {"x": 1})
    failure = model.state["nodes"]["one"]["failure"]

    assert ("failed", "ValueError", "no luck") == (
        model.state["status"],
        failure["type"],
        failure["message"],
    )
    assert "in breaks" in failure["traceback"]
    assert "nbagent/engine" not in failure["traceback"]
    assert "no luck" in static_html(model, drawing)


def test_the_text_of_an_error_is_bounded():
    """A page of 10 MB in a message costs the view its beginning and its end."""

    def breaks(state):
        raise ValueError("begin" + "x" * 10**7 + "end")

    model, _ = model_of(graph(breaks), {"x": 1})
    failure = model.state["nodes"]["one"]["failure"]

    assert failure["message"].startswith("begin")
    assert failure["message"].endswith("end")
    assert len(json.dumps(model.snapshot())) < 60_000


def test_hostile_values_are_inert_in_the_picture():
    """Scripts, handlers and links are text; nothing of them is markup. (R34)"""
    made = graph(lambda s: {"x": {HOSTILE: [HOSTILE]}, "notes": [HOSTILE]})
    model, drawing = model_of(made, {"x": HOSTILE})
    html = static_html(model, drawing, HOSTILE)

    assert "<script" not in html
    assert "<img" not in html
    assert "\x1b" not in html
    assert "\x1b" not in static_text(model)


@pytest.mark.parametrize(
    "value", ["x" * 10**6, list(range(10**5)), {str(n): n for n in range(10**4)}]
)
def test_a_preview_is_bounded(value):
    """Whatever the size of the value."""
    assert 40_000 > len(json.dumps(preview(value)))


def test_a_nested_preview_is_bounded_as_a_whole():
    """Not only each of its parts."""
    value = [["x" * 3000 for _ in range(30)] for _ in range(30)]

    assert 120_000 > len(json.dumps(preview(value)))


def test_the_end_of_a_run_is_the_last_patch(monkeypatch):
    """A flusher that holds an older patch cannot overtake it."""
    made = graph(lambda s: {"x": 1})
    view = view_of(made)
    sent = []

    def slow(content):
        time.sleep(0.01 if content["patch"].get("status") != "done" else 0)
        sent.append(content["patch"].get("status"))

    monkeypatch.setattr(view, "send", slow)
    monkeypatch.setattr(RunView, "comm", object())
    run = made.start({"x": 0}, "t")
    run.watch(view)
    run.result(5)
    time.sleep(0.2)
    statuses = [status for status in sent if status]

    assert "done" == statuses[-1]


def test_a_value_whose_repr_fails_does_not_reach_the_run():
    """It is shown as what it is."""

    class Rude:
        def __repr__(self):
            raise RuntimeError("no")

    for value in (Rude(), [Rude()], {Rude()}, {"a": (Rude(),)}, {Rude(): 1}):
        assert "whose repr failed" in json.dumps(preview(value))
        assert short(value)


def test_the_form_answers_with_what_its_owner_says(monkeypatch):
    """Errors come back to the page; what the owner raises is a message, not a dead form. (W12)"""
    sent = []
    replies = [{"ok": False, "message": "m", "errors": [{"path": ["x"], "message": "bad"}]}]

    def submit(payload):
        assert {"x": 2} == payload["edits"]
        if not replies:
            raise RuntimeError("gone")
        return replies.pop()

    form = StateForm({"properties": {}}, {"x": 1}, on_submit=submit, editing=True)
    monkeypatch.setattr(form, "send", sent.append)
    for _ in range(2):
        form._receive(form, {"type": "submit", "edits": {"x": 2}}, [])

    assert [["x"], False] == [sent[0]["errors"][0]["path"], sent[0]["ok"]]
    assert "RuntimeError: gone" == sent[1]["message"]
    form.finish("Answered: yes")
    assert form.form["open"] and "Answered: yes" == form.form["finished"]
    form.update(questions=[], editing=False)
    assert not form.form["open"]


def test_a_command_that_fails_is_shown_in_the_view(monkeypatch):
    """A button never fails silently."""

    def refuse(name, payload):
        raise RuntimeError(f"cannot {name}")

    made = graph(lambda s: None)
    view = view_of(made, refuse)
    sent = []
    monkeypatch.setattr(view, "send", sent.append)
    view._receive(view, {"type": "command", "name": "pause"}, [])
    view._receive(view, {"type": "command", "name": "rm -rf"}, [])

    assert [{"type": "error", "text": "cannot pause"}] == sent


def test_an_answer_to_a_page_cannot_arrive_behind_the_end(monkeypatch):
    """A page that asks how it stands, while the run ends, is told the end last."""
    made = graph(lambda s: time.sleep(0.2) or {"x": 1})
    view = view_of(made)
    sent = []

    def slow(content):
        if threading.current_thread() is threading.main_thread():
            time.sleep(0.4)  # the answer is on its way while the run ends
        sent.append(content["patch"].get("status"))

    monkeypatch.setattr(view, "send", slow)
    monkeypatch.setattr(RunView, "comm", object())
    run = made.start({"x": 0}, "t")
    run.watch(view)
    view._receive(view, {"type": "hello"}, [])
    run.result(5)
    time.sleep(0.2)

    assert "done" == [status for status in sent if status][-1]
