"""
The form in which a person answers a question and corrects the state. (R31, R34, C4, W12)

It knows a JSON Schema, JSON values and questions; what a submission does is its owner's affair.
The controls are composed by hand: the JSON-Schema form libraries that could serve weigh more than
twice what a widget may, and bring a look of their own into the notebook.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import traitlets

from nbagent.notebook.shown.preview import cut
from nbagent.notebook.widgets.base import PageWidget
from nbagent.notebook.widgets.bundle import style


class StateForm(PageWidget):
    """A form over a JSON Schema. `on_submit(payload)` returns `{"ok", "message", "errors"}`.

    The payload has `answers` (question id -> value), `edits` (only the changed fields), `note`,
    `checkpoint` (the one that the form showed) and `resume`. An error's `path` begins with a
    field's name, or with "answer", and then `question` is the question's id. It may be called on
    any thread. `unmerged` has lines to stand beside fields: field -> sentences. `of` is the thread
    that it is about: what was typed for one is not carried to another.
    """

    NAME = "form/state_form"
    _css = style("form/state_form")
    form = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        schema: Mapping[str, Any],
        values: Mapping[str, Any],
        *,
        questions: Sequence[Mapping[str, Any]] = (),
        unmerged: Mapping[str, Sequence[str]] | None = None,
        checkpoint: int = 0,
        on_submit: Callable[[dict[str, Any]], dict[str, Any]],
        of: str = "",
        editing: bool = False,
        expanded: bool = False,
    ) -> None:
        self._on_submit = on_submit
        super().__init__(
            form={
                "of": of,
                "schema": dict(schema),
                "values": dict(values),
                "questions": [dict(question) for question in questions],
                "unmerged": {name: list(lines) for name, lines in (unmerged or {}).items()},
                "checkpoint": checkpoint,
                "editing": editing,
                "expanded": expanded,
                "finished": "",
                "open": bool(questions) or editing,
            }
        )
        self.on_msg(self._receive)

    def __repr__(self) -> str:
        asked = len(self.form["questions"])
        return f"<StateForm at checkpoint {self.form['checkpoint']}, {asked} questions>"

    def emptied(self) -> dict[str, Any]:
        return {**super().emptied(), "form": {}}

    def update(self, **changes: Any) -> None:
        """Show other values, questions, checkpoint or schema; what was typed is replaced."""
        form = {**self.form, **changes, "finished": ""}
        form["open"] = bool(form["questions"]) or form["editing"]
        self.form = form

    def finish(self, message: str) -> None:
        """Close with one calm line, such as "Answered: accept"."""
        self.form = {**self.form, "questions": [], "finished": message, "open": True}

    def _receive(self, _: Any, content: Any, __: Any) -> None:
        if not isinstance(content, dict) or content.get("type") != "submit":
            return
        try:
            answer = self._on_submit(content)
        except Exception as error:
            said = cut(f"{type(error).__name__}: {error}", 4_000)
            answer = {"ok": False, "message": said, "errors": []}
        self.send({"type": "answer", "view": content.get("view"), **answer})
