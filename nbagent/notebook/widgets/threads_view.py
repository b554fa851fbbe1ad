"""
Many threads as a live table: a widget that shows rows and says which one was opened. (R26)
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import traitlets

from nbagent.notebook.widgets.base import PageWidget
from nbagent.notebook.widgets.bundle import style

log = logging.getLogger("nbagent")


class ThreadsView(PageWidget):
    """Threads on the page, in groups, as `shown.inbox.inbox` makes them.

    on_open     gets the thread that a person clicked; what it raises is shown in the table
    on_refresh  is called when a page wants to know how it stands
    on_look     gets what the page looks for: a text, a group, more of a group
    on_details  gives what rows say beside their status, by their ids
    on_command  gets "retry" or "pause", and the threads
    """

    NAME = "view/threads_view"
    _css = style("view/threads_view")
    inbox: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)
    order = traitlets.Unicode().tag(sync=True)
    uid = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        inbox: dict[str, Any],
        *,
        title: str,
        order: str = "",
        uid: str,
        on_open: Callable[[str], None],
        on_refresh: Callable[[], None],
        on_look: Callable[[dict[str, Any]], None],
        on_details: Callable[[list[str]], dict[str, Any]],
        on_command: Callable[[str, list[str]], None],
    ) -> None:
        self._on_open, self._on_refresh, self._on_look = on_open, on_refresh, on_look
        self._on_details, self._on_command = on_details, on_command
        self.is_seen = False  # by a page
        super().__init__(inbox=inbox, title=title, order=order, uid=uid)
        self.on_msg(self._receive)

    def __repr__(self) -> str:
        return f"<ThreadsView {self.title!r}>"

    def emptied(self) -> dict[str, Any]:
        return {**super().emptied(), "inbox": {}}

    def show(self, inbox: dict[str, Any]) -> None:
        """Show these threads from now on."""
        self.send({"type": "rows", "inbox": inbox})

    def _receive(self, _: Any, content: Any, __: Any) -> None:
        kind = content.get("type") if isinstance(content, dict) else None
        try:
            if kind == "refresh":
                self.is_seen = True
                self._on_refresh()
            elif kind == "open":
                self._on_open(str(content.get("thread")))
            elif kind == "look":
                self._on_look(content)
            elif kind == "details":
                ids = [str(id) for id in content.get("threads") or ()]
                self.send({"type": "details", "details": self._on_details(ids)})
            elif kind == "command":
                ids = [str(id) for id in content.get("threads") or ()]
                self._on_command(str(content.get("name")), ids)
        except Exception as error:
            self.send({"type": "error", "text": str(error), "view": content.get("view")})
