"""
The integrity of a store, said in words: everything in it is read once.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import quote_from_bytes

from nbagent.engine.store.protocol import CheckpointStore
from nbagent.errors import NbagentError
from nbagent.stores.codec.values import to_look


def problems(store: CheckpointStore) -> Iterator[str]:
    """A sentence for each thing that is damaged: of the file, of a thread, of a checkpoint."""
    path = getattr(store, "path", None)
    if path is not None:
        yield from _of_file(os.fspath(path))
    for info in store.threads():
        if "is damaged" in info.error:
            yield f"thread {info.id!r}: {info.error}"
        yield from _of_thread(store, info.id)


def _of_file(path: str) -> Iterator[str]:
    place = quote_from_bytes(os.fsencode(path))
    with closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True)) as db:
        try:
            for (said,) in db.execute("PRAGMA integrity_check(20)"):
                if said != "ok":
                    yield f"the file: {said}"
        except sqlite3.DatabaseError as error:
            yield f"the file: {error}"


def _of_thread(store: CheckpointStore, thread: str) -> Iterator[str]:
    try:
        lines = store.history(thread)
    except NbagentError as error:
        yield f"thread {thread!r}: {error}"
        return
    ids = {line.id for line in lines}
    for line in lines:
        if line.parent is not None and line.parent not in ids:
            yield f"thread {thread!r}: checkpoint {line.id} comes from {line.parent}, which is gone"
        try:
            with to_look():
                store.load(thread, line.id)
        except NbagentError as error:
            yield f"thread {thread!r}, checkpoint {line.id}: {error}"
    try:
        with to_look():
            loaded = store.latest(thread)
        store.outcomes(thread)
        store.spans(thread)
    except NbagentError as error:
        yield f"thread {thread!r}: {error}"
    else:
        if loaded is not None and loaded.notice:
            yield loaded.notice
