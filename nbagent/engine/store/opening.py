"""
Stores by URL: which scheme opens what, and the default one.

Rule 1: a relative path means the folder that was current when it was named; the default store's,
        the one that the process was in when nbagent was imported: in a notebook, beside it. What
        a process does later (`os.chdir`, `%cd`) moves no store.
Rule 2: one open store a file and process, however it is spelled. A file that was put in the place
        of another one is another store.
"""

from __future__ import annotations

import atexit
import os
import threading
from typing import TypeVar

from nbagent.engine import ports
from nbagent.engine.ports import Url
from nbagent.engine.store.protocol import CheckpointStore

S = TypeVar("S")
_DEFAULT = "sqlite:///nbagent.db"


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""


def open_store(url: Url) -> CheckpointStore:
    """Open the store that `url` names, e.g. `sqlite:///agents.db` or `memory://`. A `pathlib.Path`
    is a SQLite file, whatever signs are in it."""
    found: CheckpointStore = ports.open_url(url)
    return found


_began_in = _folder()
_default: list[CheckpointStore] = []
_shared: dict[tuple[int, str], CheckpointStore] = {}
_lock = threading.RLock()


def _unlock() -> None:
    """In a forked child, where no other thread is left to do it."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


def use_store(store: Url | CheckpointStore) -> CheckpointStore:
    """Make `store` (a URL, a path or an open store) the one that graphs use unless they name
    another."""
    found = resolve_store(store)
    _default[:] = [found]
    return found


def name_store(store: Url | S) -> Url | S:
    """The store as it is named now: a relative path does not move with the process."""
    if isinstance(store, (str, os.PathLike)):
        return ports.locate(store, _folder())
    return store


def resolve_store(store: Url | CheckpointStore | None) -> CheckpointStore:
    """An open store for a URL or path (opened once a process), for itself, or for None the
    default."""
    if store is None:
        if _default:
            return _default[0]
        store = ports.locate(_DEFAULT, _began_in)
    if not isinstance(store, (str, os.PathLike)):
        return store
    store = name_store(store)
    with _lock:
        found = _shared.get((os.getpid(), ports.identify(store)))
        if found is None:
            found = open_store(store)
            atexit.register(found.close)
            _shared[os.getpid(), ports.identify(store)] = found  # now that its file is there
        return found
