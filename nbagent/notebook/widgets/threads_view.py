"""
Many threads as a live table: a widget that shows rows and says which one was opened. (R26)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import traitlets

from nbagent.notebook.widgets.base import PageWidget
from nbagent.notebook.widgets.bundle import style

log = logging.getLogger("nbagent")


class ThreadsView(PageWidget):
    """Rows of threads on the page.

    A row has thread, graph, status, step, created, updated (Unix seconds) and error.

    on_open     gets the thread that a person clicked; what it raises is shown in the table
    on_refresh  is called when a page wants to know how it stands
    """

    NAME = "view/threads_view"
    _css = style("view/threads_view")
    rows: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)
    order = traitlets.Unicode().tag(sync=True)
    uid = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        rows: Sequence[dict[str, Any]],
        *,
        title: str,
        order: str = "",
        uid: str,
        on_open: Callable[[str], None],
        on_refresh: Callable[[], None],
    ) -> None:
        self._on_open, self._on_refresh = on_open, on_refresh
        self.is_seen = False  # by a page
        super().__init__(rows=list(rows), title=title, order=order, uid=uid)
        self.on_msg(self._receive)

    def __repr__(self) -> str:
        return f"<ThreadsView {self.title!r}>"

    def emptied(self) -> dict[str, Any]:
        return {**super().emptied(), "rows": []}

    def show(self, rows: Sequence[dict[str, Any]]) -> None:
        """Show these rows from now on."""
        self.send({"type": "rows", "rows": list(rows)})

    def _receive(self, _: Any, content: Any, __: Any) -> None:
        kind = content.get("type") if isinstance(content, dict) else None
        try:
            if kind == "refresh":
                self.is_seen = True
                self._on_refresh()
            elif kind == "open":
                self._on_open(str(content.get("thread")))
        except Exception as error:
            self.send({"type": "error", "text": str(error), "view": content.get("view")})
