"""
Stores by URL: which scheme opens what, one open store a URL and process, and the default one.
"""

from __future__ import annotations

import atexit
import os

from nbagent.engine import ports
from nbagent.engine.store.protocol import CheckpointStore


def open_store(url: str) -> CheckpointStore:
    """Open the store that `url` names, e.g. `sqlite:///agents.db` or `memory://`."""
    found: CheckpointStore = ports.open_url(url)
    return found


_shared: dict[str, CheckpointStore] = {}
_default: list[str | CheckpointStore] = ["sqlite:///nbagent.db"]


def use_store(store: str | CheckpointStore) -> CheckpointStore:
    """Make `store` (a URL or an open store) the one that graphs use unless they name another."""
    found = resolve_store(store)
    _default[0] = found
    return found


def resolve_store(store: str | CheckpointStore | None) -> CheckpointStore:
    """An open store for a URL (opened once a process), for itself, or for None the default."""
    if store is None:
        store = _default[0]
    if not isinstance(store, str):
        return store
    # A relative path means the folder that is current now, not the one at a later call.
    key = f"{os.getpid()} {os.getcwd()} {store}"
    if key not in _shared:
        _shared[key] = open_store(store)
        atexit.register(_shared[key].close)
    return _shared[key]
