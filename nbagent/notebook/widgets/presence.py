"""
Whether what was shown still stands on a page.

Rule 1: each view on a page has an id; it says when it is there and when it is gone. When the last
        one is gone, so is what it showed, and `gone` is called.
Rule 2: a page that was closed or reloaded says no more. So who is gone says so twice, and between
        the two all others are asked: whoever has not answered by then is not there either. It all
        goes through one channel in one order, so a busy kernel only hears of it later.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Presence:
    """The views of these widgets that stand on pages; `gone()` when there are none any more."""

    def __init__(self, *widgets: Any, gone: Callable[[], None]) -> None:
        self._widgets, self._gone = widgets, gone
        self._there: set[str] = set()
        self._heard: set[str] | None = None  # since all were asked
        self._lock = threading.Lock()
        for widget in widgets:
            widget.on_msg(self._receive)

    def __repr__(self) -> str:
        return f"<Presence of {len(self._there)} views>"

    def end(self) -> None:
        """Hear no more of it."""
        self._gone = lambda: None

    def _receive(self, widget: Any, content: Any, buffers: Any) -> None:
        if not isinstance(content, dict) or content.get("type") != "presence":
            return
        view = str(content.get("view"))
        asks = is_gone = False
        with self._lock:
            if content.get("said") == "here":
                self._there.add(view)
                if self._heard is not None:
                    self._heard.add(view)
            else:
                self._there.discard(view)
                asks = bool(self._there) and self._heard is None
                if self._heard is not None and content.get("said") == "gone for good":
                    self._there &= self._heard
                    self._heard = None
                if asks:
                    self._heard = set()
                is_gone = not self._there
        if asks:
            for one in self._widgets:
                one.send({"type": "who"})
        elif is_gone:
            self._gone()


def close_all(*widgets: Any, is_gone: bool = False) -> None:
    """Close widgets with what belongs to each, its layout: a closed one would leave that behind.

    is_gone   no page shows them, so that they may be emptied
    """
    for widget in widgets:
        if widget is None or widget.comm is None:
            continue
        if is_gone and hasattr(widget, "empty"):
            widget.empty()
        widget.layout.close()
        widget.close()
