"""
Threads as things to keep: copied between stores, exported to a file, thinned out, thrown away.

Rule 1: what belongs to a thread (its subgraphs' threads, and those it was escalated to) goes where
        it goes.
Rule 2: a copy is an ordinary thread: it can be looked at, resumed and forked where it is.
Rule 3: nothing of a thread that runs is thrown away; `ThreadBusy` says by whom it is run.
Rule 4: what was encrypted is written in the clear only where somebody says so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from nbagent.engine import ports
from nbagent.engine.model import ids
from nbagent.engine.model.checkpoint import Lease, SizeInfo, ThreadInfo
from nbagent.engine.ports import Url, make_table
from nbagent.engine.store import parts
from nbagent.engine.store.opening import resolve_store
from nbagent.engine.store.ownership import LEASE, found_as, give_back, take
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.errors import StoreError, ThreadBusy, ThreadError, UnknownThread


def family(store: CheckpointStore, id: str) -> list[ThreadInfo]:
    """The thread and those nested in it, parents first. `UnknownThread` if there is none."""
    return [store.thread(id), *store.under(id)]


def copy(
    source: CheckpointStore,
    id: str,
    target: CheckpointStore,
    to: str | None = None,
    *,
    plain: bool = False,
) -> None:
    """Copy a thread with all that belongs to it; `ThreadError` when `to` is there already.

    plain  write in the clear what the source has encrypted

    It is there as a whole, or, after a kill too, not at all. One that runs is copied as a kill at
    this moment would leave it.
    """
    _check_hidden(source, target, plain)
    info, copied = source.thread(id), to or id
    if _has(target, copied):
        raise ThreadError(
            f"{target!r} has a thread {copied!r} already: copy to another id", thread=copied
        )
    lease = _acquire(
        target, copied, graph=info.graph, create=True, parent=info.parent, place=ids.PART
    )
    made = {id: copied}  # thread -> its copy
    try:
        beat = _Beat(target, lease)
        _fill(source, info, target, lease, beat)
        for one in source.under(id):  # now: one that its parent knows of is there
            parent = made[one.parent or ""]
            inner = ids.nested_thread(parent, one.place)
            while _has(target, inner):  # it is somebody else's
                inner += "~"
            made[one.id] = inner
            below = _acquire(
                target, inner, graph=one.graph, create=True, parent=parent, place=one.place
            )
            _fill(source, one, target, below, beat)
            target.release(below, found_as(one), error=one.error, at=one.updated)
        if source.thread(id).salt != info.salt:
            raise UnknownThread(f"thread {id!r} was thrown away while it was copied", thread=id)
        target.release(lease, found_as(info), error=info.error, at=info.updated)
    except BaseException:
        for inner in reversed([*made.values()][1:]):
            with suppress(UnknownThread):
                target.delete(_acquire(target, inner, take_over=True))
        target.delete(lease)
        raise


class _Beat:
    """Says that a copy is being written, as often as its lease asks for."""

    def __init__(self, store: CheckpointStore, lease: Lease) -> None:
        self._store = store
        self._lease = lease
        self._last = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._last > LEASE / 6:
            self._last = time.monotonic()
            self._store.renew(self._lease)


def _fill(
    source: CheckpointStore,
    info: ThreadInfo,
    target: CheckpointStore,
    lease: Lease,
    beat: _Beat,
) -> None:
    """Write the thread's checkpoints, tasks, journal and spans into the one that is held."""
    anchors: set[int] = set()
    for line in source.history(info.id):
        beat()
        loaded = source.load(info.id, line.id)
        target.commit(lease, loaded.checkpoint, at=line.at)
        if loaded.checkpoint.anchor not in anchors:
            anchors.add(loaded.checkpoint.anchor)
            target.put_tasks(lease, loaded.tasks)
            target.put_journal(lease, loaded.journal)
    beat()
    target.put_spans([replace(span, thread=lease.thread) for span in source.spans(info.id)])


def _has(store: CheckpointStore, id: str) -> bool:
    try:
        store.thread(id)
    except UnknownThread:
        return False
    return True


def _check_hidden(source: Any, target: Any, plain: bool) -> None:
    """`StoreError` where what was encrypted would be in the clear on a disk."""
    hides = getattr(target, "is_encrypted", False) or not getattr(target, "is_on_disk", True)
    if getattr(source, "is_encrypted", False) and not hides and not plain:
        raise StoreError(
            f"{source!r} is encrypted and {target!r} is not: give that one a key, or say "
            "plain=True to write the thread in the clear"
        )


def export(
    source: CheckpointStore, id: str, path: str | os.PathLike[str], *, plain: bool = False
) -> None:
    """Write a thread to a file of its own, which any nbagent opens as a store; into a file that is
    there it is copied.

    plain  write in the clear what the source has encrypted; else the file has the source's key
    """
    place, like = Path(path).absolute(), None if plain else source
    if place.exists():
        with closing(_opened(place, source, False)) as target:
            copy(source, id, target, plain=plain)
        return
    parts.sweep(place)
    part = parts.part_of(place)
    try:
        with closing(ports.open_file(part, like, False)) as target:
            copy(source, id, target, plain=plain)
        os.replace(part, place)  # it is whole, and its log is in it
    except OSError as error:
        raise StoreError(f"{place} cannot be written: {error}") from error
    finally:
        parts.remove(part)


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
    key_env: str | None = None,
    plain: bool = False,
) -> list[str]:
    """Copy the threads of an exported file into a store; their ids. The file is only read.

    threads  which ones; by default all
    store    where to, a URL, a path or an open store; by default the one that graphs use
    key_env  the environment variable with the file's key, where it is not the store's
    plain    write in the clear what the file has encrypted

    `ThreadError` when one of them is there already; those before it have been copied.
    """
    target = resolve_store(store)
    key: Any = target
    if key_env is not None:
        key = os.environ.get(key_env)
        if not key:
            raise StoreError(f"the environment variable {key_env} is not set: it is to hold a key")
    with closing(_opened(Path(path), key, True)) as source:
        found = [info.id for info in source.threads() if not info.is_nested]
        wanted = list(threads) or found
        for id in wanted:
            copy(source, id, target, plain=plain)
    return wanted


def _opened(path: Path, key: Any, to_read: bool) -> CheckpointStore:
    """A file that is there as the store that it is: plain, or with the key (of a store)."""
    try:
        found: CheckpointStore = ports.open_file(path, None, to_read)
    except StoreError as error:
        if "encrypted" not in str(error):
            raise
        if not isinstance(key, str) and getattr(key, "key", None) is None:
            raise StoreError(f"{path} is encrypted: name its key with key_env=VARIABLE") from error
        found = ports.open_file(path, key, to_read)
    return found


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
        gone, deleted = 0, False
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
    return take(store, id, **more)
