"""
Many threads in one cell: what a store has, or a batch of `graph.map`, as a table that moves.

Rule 1: the table is read from the store, at most twice a second while anything in it is under
        way and not at all when nothing is; a store that takes long is read less often, so that a
        run beside it does not slow down.
Rule 2: where nobody looks (a notebook that runs headless) there is only the picture.
Rule 3: a click opens a thread below the table, in the same view as everywhere.
"""

from __future__ import annotations

import html
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pandas

from nbagent.engine.model.checkpoint import ThreadInfo
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.engine.thread.thread import Thread
from nbagent.errors import ThreadError
from nbagent.graph.batch import Runs
from nbagent.graph.builder import new_id
from nbagent.notebook.host import is_headless
from nbagent.notebook.shown.inbox import details, inbox
from nbagent.notebook.shown.preview import cut
from nbagent.notebook.widgets.presence import Presence, close_all

log = logging.getLogger("nbagent")
INTERVAL = 0.5  # seconds between two looks at the store
SHARE = 0.05  # of the time, at most, that looks at the store may take
ROWS = 60  # rows that a page may ask details of at a time
PICTURE = 50  # rows of the picture that stays
Row = dict[str, Any]


class ThreadList(pandas.DataFrame):  # type: ignore[misc]  # pandas ships no types
    """The threads of a store as a DataFrame that shows itself as a live table."""

    _metadata = ["store"]  # noqa: RUF012  (pandas reads it from the class)


def thread_rows(store: CheckpointStore) -> list[Row]:
    """The threads of a store, without those of subgraphs, newest first."""
    return [_row(info) for info in store.threads() if not info.is_nested]


def batch_rows(runs: Runs) -> list[Row]:
    """The threads of a batch, in its order; those that have not begun are queued."""
    store = runs.threads[0].store if runs.threads else None
    known = {info.id: info for info in store.threads()} if store is not None else {}
    rows = []
    for thread in runs.threads:
        info = known.get(thread.id)
        status = runs.status(info, thread.id)
        is_own = info is not None and status not in ("queued", "refused")
        row = _row(info) if info is not None and is_own else {**_queued(thread), "status": status}
        row["error"] = row["error"] or runs.errors.get(thread.id, "")
        rows.append(row)
    return rows


def _row(info: ThreadInfo) -> Row:
    return {
        "thread": info.id,
        "graph": info.graph,
        "status": info.status if info.checkpoint else "queued",
        "step": info.step,
        "created": info.created,
        "updated": info.updated,
        "error": cut(info.error, 500),
    }


def _queued(thread: Thread) -> Row:
    nothing = {"step": 0, "created": 0.0, "updated": 0.0, "error": ""}
    return {"thread": thread.id, "graph": thread.program.name, "status": "queued", **nothing}


class ThreadsPanel:
    """A table on the page, and the thread below it that a person opened."""

    def __init__(
        self,
        rows: Callable[[], list[Row]],
        thread: Callable[[str], Thread],
        *,
        moving: Callable[[list[Row]], bool],
        title: str,
        order: str = "",
    ) -> None:
        self._rows, self._thread, self._moving = rows, thread, moving
        self._shown = rows()
        self._asked: dict[str, Any] = {}  # what the page looks for: text, group, more
        self._details: dict[str, tuple[Any, dict[str, Any]]] = {}
        self._wait = INTERVAL
        self.view: Any
        self.place: Any
        self._opened: Any = None
        self.below: Any = None  # a panel that stands there already, where `place` cannot
        self._poller: threading.Thread | None = None
        self._lock = threading.Lock()
        self.uid = new_id("threads")
        self.picture: Any = None
        self._is_gone = False
        if is_headless():
            self.view, self.place = None, None
        else:
            self._build(title, order)
        self._watch()

    def _build(self, title: str, order: str) -> None:
        from ipywidgets import VBox

        from nbagent.notebook.widgets.threads_view import ThreadsView

        self.view = ThreadsView(
            inbox(self._shown), title=title, order=order, uid=self.uid,
            on_open=self.open, on_refresh=self.refresh, on_look=self.look,
            on_details=self.details, on_command=self.command,
        )  # fmt: skip
        self.place = VBox([])
        self._box = VBox([self.view, self.place])
        Presence(self.view, gone=self.let_go)

    def let_go(self) -> None:
        """It is gone from every page: nothing of it stays."""
        self._is_gone, self.picture = True, None
        if self._opened is not None:
            self._opened.let_go()
        close_all(self._box, self.place, self.view, is_gone=True)

    def open(self, id: str) -> None:
        """Show a thread below the table."""
        from nbagent.notebook.view.panel import Panel

        thread = self._thread(id)
        if self.below is not None:
            self.below.open(thread)
            return
        before, self._opened = self._opened, Panel(thread, thread.run)
        self.place.children = (self._opened.widget(),)
        if before is not None:
            before.close()

    def look(self, asked: dict[str, Any]) -> None:
        """The page looks for something else: `text`, a group `only`, or `more` of a group."""
        more = asked.get("more")
        self._asked = {
            "text": str(asked.get("text") or "")[:200], "only": str(asked.get("only") or ""),
            "more": {str(k): int(v) for k, v in more.items()} if isinstance(more, dict) else {},
        }  # fmt: skip
        self._tell()

    def _tell(self) -> None:
        if self.view is not None:
            self.view.show(inbox(self._shown, **self._asked))

    def details(self, ids: list[str]) -> dict[str, dict[str, Any]]:
        """What the rows of these threads say beside their status."""
        rows = {row["thread"]: row for row in self._shown}
        found = {}
        for id in ids[:ROWS]:
            row = rows.get(id)
            if row is None or row["status"] in ("queued", "refused"):
                continue
            key = (row["status"], row["step"], row["updated"])
            known = self._details.get(id)
            if known is None or known[0] != key:
                known = self._details[id] = (key, details(self._thread(id).store, row))
            found[id] = known[1]
        return found

    def command(self, name: str, ids: list[str]) -> None:
        """A row's button: `retry` or `pause`."""
        for id in ids:
            thread = self._thread(id)
            if name == "retry":
                thread.resume()
            elif name == "pause":
                run = thread.run
                if run is None:
                    raise ThreadError(f"thread {id!r} does not run in this kernel", thread=id)
                run.pause()
        self.refresh()

    def refresh(self) -> None:
        """Read the store again, and go on doing so while something is under way."""
        self._read(always=True)
        self._watch()

    def _read(self, always: bool = False) -> None:
        with self._lock:
            began = time.thread_time()  # of its own: a busy cell beside it makes it wait
            rows = self._rows()
            if always or rows != self._shown:
                self._shown = rows
                self._tell()
            self._wait = max(INTERVAL, (time.thread_time() - began) / SHARE)

    def _watch(self) -> None:
        with self._lock:
            if self._poller is None and self._moving(self._shown):
                self._poller = threading.Thread(
                    target=self._poll, name="nbagent-threads", daemon=True
                )
                self._poller.start()

    def _poll(self) -> None:
        try:
            while True:
                time.sleep(self._wait)
                self._read()
                with self._lock:
                    if self._is_gone or not self._moving(self._shown):
                        self._poller = None  # from here on, a refresh starts another
                        break
            self._read()  # what ended since it was read
            if self.picture is not None:
                self.picture.update(self.static(), raw=True)
        except Exception:  # the store was closed, the kernel is ending
            self._poller = None
            log.debug("a table of threads is no longer kept up to date", exc_info=True)

    def display(self) -> None:
        """Put it below the cell that runs, with a picture behind it for the saved notebook."""
        from IPython.display import display

        if self.view is not None:
            box = self._box._repr_mimebundle_()
            display({**box, "text/plain": ""}, raw=True)  # type: ignore[no-untyped-call]
        self.picture = display(self.static(), display_id=self.uid, raw=True)  # type: ignore[no-untyped-call]

    def static(self) -> dict[str, str]:
        """The table as HTML and text."""
        from nbagent.notebook.view.picture import hide_the_dead

        names = ("thread", "graph", "status", "step", "error")
        head = "".join(f"<th style='text-align:left'>{name}</th>" for name in names)
        lines = [
            "<tr>" + "".join(_cell(str(row[name])) for name in names) + "</tr>"
            for row in self._shown[:PICTURE]
        ]
        left = len(self._shown) - len(lines)
        more = f"<div>… and {left:,} more</div>" if left > 0 else ""
        table = f"<table><tr>{head}</tr>{''.join(lines)}</table>{more}"
        uid = html.escape(self.uid)
        text = "\n".join("  ".join(str(row[name]) for name in names) for row in self._shown)
        return {
            "text/html": f'{hide_the_dead()}<div data-nbagent-static="{uid}">{table}</div>',
            "text/plain": text,
        }


def _cell(text: str) -> str:
    return f"<td style='text-align:left'>{html.escape(text[:300])}</td>"
