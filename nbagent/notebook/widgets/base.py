"""
What all widgets have in common: how their code comes to a page, and what a page keeps of them.

Rule 1: the code is a part of the widget's state, so that a saved notebook has it; a page loads it
        once for all widgets of a kind.
Rule 2: a page may hold a widget that was closed for as long as it lives. So it is emptied first.
"""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar

import anywidget
import traitlets

from nbagent.notebook.widgets.bundle import module


class PageWidget(anywidget.AnyWidget):
    """A widget whose code is `page/NAME.js`."""

    NAME: ClassVar[str]
    _esm = module("load")
    code = traitlets.Unicode().tag(sync=True)
    key = traitlets.Unicode().tag(sync=True)

    def __init__(self, **state: Any) -> None:
        code = module(self.NAME)
        key = hashlib.sha256(code.encode()).hexdigest()
        super().__init__(code=code, key=key, **state)

    def empty(self) -> None:
        """Take out what is large in its state, where no page shows it any more."""
        with self.hold_sync():
            for name, value in self.emptied().items():
                setattr(self, name, value)
        self.key = ""  # a page also keeps how it was before the last change

    def emptied(self) -> dict[str, Any]:
        """What takes the place of what is large."""
        return {"code": ""}
