"""
`%agent edit`: an edit that its cell has made already is not made again. (W12)

Run All, or a second Shift-Enter, would else set back what the thread has written since.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from nbagent.engine import ports
from nbagent.engine.model.digest import digest
from nbagent.engine.model.span import Span
from nbagent.engine.thread.thread import Thread


def edit_once(thread: Thread, values: Mapping[str, Any], *, note: str, expect: int | None) -> None:
    """Make the edit, unless the cell has made the same one before, in this kernel or another, since
    the thread began. In one execution it is made as often as the cell says."""
    cell = ports.find_cell()
    if cell is None:
        thread.edit(values, note=note, expect=expect)
        return
    where, execution = cell
    same = hashlib.blake2b(f"{where} {digest(dict(values))} {note}".encode(), digest_size=16)
    for made in _made(thread, same.hexdigest()):
        if made.attributes["text"] != execution:
            print(
                f"This cell has made that edit of thread {thread.id!r} already (checkpoint "
                f"{made.name}), and it is not made again: run it in another cell to set the "
                "fields once more"
            )
            return
    checkpoint = thread.edit(values, note=note, expect=expect)
    now = thread.clock()
    said = {"text": execution, "cell": same.hexdigest()}
    span = Span(thread.id, "edit", str(checkpoint), started=now, ended=now, attributes=said)
    thread.store.put_spans([span])


def _made(thread: Thread, same: str) -> list[Span]:
    """The edits of that cell, since the thread began: it may have begun afresh."""
    found = [
        span
        for span in thread.store.spans(thread.id)
        if span.kind == "edit" and span.attributes.get("cell") == same
    ]
    if not found:
        return []
    began = thread.line()[0].id
    return [span for span in found if int(span.name) >= began]
