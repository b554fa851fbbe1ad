"""
Threads as things to keep: copied between stores, exported to a file, thinned out, thrown away.

Rule 1: what belongs to a thread (its subgraphs' threads, and those it was escalated to) goes where
        it goes.
Rule 2: a copy is an ordinary thread: it can be looked at, resumed and forked where it is.
Rule 3: a thread that runs is left alone; `ThreadBusy` says by whom.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from nbagent.engine.model import ids
from nbagent.engine.model.checkpoint import Lease, SizeInfo, Status, ThreadInfo
from nbagent.engine.ports import Url, make_table
from nbagent.engine.store.opening import open_store, resolve_store
from nbagent.engine.store.ownership import fresh_owner, give_back
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.errors import ThreadBusy, ThreadError, UnknownThread


def family(store: CheckpointStore, id: str) -> list[ThreadInfo]:
    """The thread and those nested in it, parents first. `UnknownThread` if there is none."""
    return [store.thread(id), *store.under(id)]


def copy(source: CheckpointStore, id: str, target: CheckpointStore, to: str | None = None) -> None:
    """Copy a thread with its whole history; `ThreadError` when `to` is there already."""
    made = {id: to or id}  # thread -> its copy
    for info in family(source, id):
        if info.id != id:
            made[info.id] = ids.nested_thread(made[info.parent or ""], info.place)
        parent = made[info.parent or ""] if info.id != id else None
        _copy_one(source, info, target, made[info.id], parent)


def _copy_one(
    source: CheckpointStore, info: ThreadInfo, target: CheckpointStore, to: str, parent: str | None
) -> None:
    with suppress(UnknownThread):
        target.thread(to)
        raise ThreadError(f"{target!r} has a thread {to!r} already: copy to another id", thread=to)
    place = info.place if parent is not None else ""
    lease = _acquire(target, to, graph=info.graph, create=True, parent=parent, place=place)
    try:
        anchors: set[int] = set()
        for line in source.history(info.id):
            loaded = source.load(info.id, line.id)
            target.commit(lease, loaded.checkpoint, at=line.at)
            if loaded.checkpoint.anchor not in anchors:
                anchors.add(loaded.checkpoint.anchor)
                target.put_tasks(lease, loaded.tasks)
                target.put_journal(lease, loaded.journal)
        status: Status = "stopped" if info.status == "running" else info.status
        target.release(lease, status, error=info.error)
    except BaseException:
        target.delete(lease)  # a copy is whole or not there
        raise


def export(source: CheckpointStore, id: str, path: str | os.PathLike[str]) -> None:
    """Write a thread to a file of its own, which any nbagent opens as a store."""
    target = open_store(Path(path))
    try:
        copy(source, id, target)
    finally:
        target.close()


def delete(store: CheckpointStore, id: str) -> None:
    """Throw a thread away, and those under it first, so that a kill leaves no orphans."""
    _delete(store, _acquire(store, id))


def _delete(store: CheckpointStore, lease: Lease) -> None:
    """The same, of a thread that is held; held again as it was if one under it is busy."""
    try:
        for one in reversed(store.under(lease.thread)):
            store.delete(_acquire(store, one.id))
    except BaseException:
        give_back(store, lease)
        raise
    store.delete(lease)


def import_threads(
    path: str | os.PathLike[str],
    store: Url | CheckpointStore | None = None,
    *,
    threads: Sequence[str] = (),
) -> list[str]:
    """Copy the threads of an exported file into a store; their ids.

    threads  which ones; by default all
    store    where to, a URL or an open store; by default the one that graphs use

    `ThreadError` when one of them is there already; those before it have been copied.
    """
    source = open_store(Path(path))
    try:
        found = [info.id for info in source.threads() if not info.is_nested]
        wanted = list(threads) or found
        for id in wanted:
            copy(source, id, resolve_store(store))
    finally:
        source.close()
    return wanted


@dataclass(frozen=True, slots=True)
class Pruned:
    """What became of one thread: checkpoints thrown away, and whether it went with them."""

    thread: str
    status: str
    checkpoints: int
    deleted: bool


def prune(
    store: Url | CheckpointStore | None = None,
    *,
    keep: int | None = None,
    older_than: float | None = None,
    status: str | Iterable[str] | None = None,
    threads: Sequence[str] = (),
    dry_run: bool = False,
) -> Any:
    """Thin out a store; a table of what was thrown away.

    keep        of each thread, so many of its latest checkpoints; None throws whole threads away
    older_than  only threads that nothing has happened to for so many seconds
    status      only threads of this status, or of one of these
    threads     only these
    dry_run     say what would be thrown away, and do nothing

    Without `keep`, say which threads with one of the other three. Threads that run are left
    alone. The space goes back to the disk with `vacuum`.
    """
    if keep is None and older_than is None and status is None and not threads:
        raise ValueError(
            "prune() without keep= throws whole threads away: say which, with older_than=, "
            "status= or threads="
        )
    if keep is not None and keep < 1:
        raise ValueError("prune(keep=) is at least 1: the latest checkpoint is the thread")
    found = resolve_store(store)
    statuses = {status} if isinstance(status, str) else set(status or ())
    asked, before = set(threads), None if older_than is None else time.time() - older_than

    def is_meant(info: ThreadInfo) -> bool:
        return not (
            info.is_nested
            or info.status == "running"
            or (asked and info.id not in asked)
            or (statuses and info.status not in statuses)
            or (before is not None and info.updated > before)
        )

    done: list[Pruned] = []
    for info in filter(is_meant, found.threads()):
        if dry_run:
            gone, deleted = _to_go(found, info.id, keep)[0], keep is None
        else:
            with suppress(ThreadBusy, UnknownThread):  # somebody took it, or threw it away
                lease = _acquire(found, info.id)
                if lease.before is None or not is_meant(lease.before):  # it has moved meanwhile
                    give_back(found, lease)
                    continue
                info = lease.before
                gone, deleted = _prune_one(found, lease, keep)
        if gone or deleted:
            done.append(Pruned(info.id, info.status, gone, deleted))
    return _table(done, Pruned)


def _to_go(store: CheckpointStore, id: str, keep: int | None) -> tuple[int, list[int]]:
    """How many checkpoints are thrown away, and the ids of those that stay."""
    history = store.history(id)
    kept = [line.id for line in history[-keep:]] if keep is not None else []
    return len(history) - len(kept), kept


def _prune_one(store: CheckpointStore, lease: Lease, keep: int | None) -> tuple[int, bool]:
    """Thin out a thread that is held, or throw it away; how many checkpoints went, and whether
    the thread did."""
    gone, kept = _to_go(store, lease.thread, keep)
    if keep is None:
        _delete(store, lease)
        return gone, True
    if not gone:
        give_back(store, lease)
        return 0, False
    nested = [one for one in store.under(lease.thread) if one.parent == lease.thread]
    try:
        store.prune(lease, kept)
        anchors = {store.load(lease.thread, id).checkpoint.anchor for id in kept if nested}
    finally:
        give_back(store, lease)
    for one in nested:
        if ids.anchor_of(one.place) not in anchors:
            delete(store, one.id)
    return gone, False


def sizes(store: Url | CheckpointStore | None = None) -> Any:
    """What each field of each thread takes in the store: versions and bytes, as a table."""
    return _table(resolve_store(store).sizes(), SizeInfo)


def vacuum(store: Url | CheckpointStore | None = None) -> None:
    """Give the space of pruned threads back to the disk. Others wait while it lasts."""
    resolve_store(store).vacuum()


def _table(found: Sequence[Any], kind: type) -> Any:
    return make_table([asdict(one) for one in found], [each.name for each in fields(kind)])


def _acquire(store: CheckpointStore, id: str, **more: Any) -> Lease:
    return store.acquire(id, fresh_owner(), **more)
