"""
Who runs a thread: one process, for as long as it lives and says so; and what the second one is
told. (W4)

Rule 1: an owner is one process of one namespace of one boot of one machine (`machine`), never a
        name. One that is known to be dead here holds nothing; one elsewhere counts as alive.
Rule 2: an owner that is silent for as long as its lease has lost it. On its own machine that is
        told by the monotonic clock, so a clock that is set, forward or back, takes no thread.
        Elsewhere the wall clocks are compared: those of machines that share a store have to agree
        to within the lease.
Rule 3: whatever is thought of an owner, the epoch decides: one that was taken for dead and is not
        writes nothing more.
"""

from __future__ import annotations

import functools
import os
import socket
import time
import uuid
from dataclasses import replace
from typing import Any, cast, get_args

from nbagent.engine.model.checkpoint import Lease, Owner, Status, ThreadInfo
from nbagent.engine.store import machine
from nbagent.engine.store.line import Held, leave, settle
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.errors import StoreUnavailable, ThreadBusy, ThreadError, UnknownThread

LEASE = 30.0  # seconds that an owner may be silent before others may take its threads


@functools.lru_cache(maxsize=1)
def _self(pid: int) -> Owner:
    return Owner(
        token=uuid.uuid4().hex,
        host=socket.gethostname(),
        pid=pid,
        started=process_started(pid),
        label=f"process {pid} on {socket.gethostname()}",
        boot=machine.boot(),
        namespace=machine.namespace(),
    )


def current_owner() -> Owner:
    """This process. The token is new for each process, also after a fork."""
    return _self(os.getpid())


def fresh_owner() -> Owner:
    """This process, for one hold of a thread: it may hold many, and none of them twice."""
    owner = current_owner()
    return replace(owner, token=f"{owner.token}/{uuid.uuid4().hex[:12]}")


def process_started(pid: int) -> str:
    """When the process started, as text that is equal for one process only; "" if unknown."""
    return machine.started(pid)


_disowned: set[str] = set()


def disown(owner: Owner) -> None:
    """This process could not give a thread back: its hold of it is over all the same."""
    _disowned.add(owner.token)


def is_alive(owner: Owner) -> bool:
    """False when the owner is known to be dead; a process at another place counts as alive."""
    if owner.token in _disowned:
        return False
    here = current_owner()
    if owner.boot:
        is_here = (owner.boot, owner.namespace) == (here.boot, here.namespace)
    else:  # written by an earlier version, which knew no more than the name
        is_here = owner.host == here.host
    return not is_here or machine.lives(owner.pid, owner.started)


def dated(owner: Owner, now: float) -> Owner:
    """The owner as it says at `now`, by its store's clock, that it lives: with what its machine's
    monotonic clock is counted from.

    A clock that tells another time than the machine's is a test's, and all that is known then.
    """
    is_real = owner.boot == machine.boot() and abs(now - time.time()) < 1.0
    return replace(owner, zero=now - time.monotonic() if is_real else 0.0)


def _time_since(owner: Owner, now: float) -> float:
    """The time as if the wall clock had not been set since the owner last said that it lives;
    `now`, by the wall clock, where the owner's machine is another one."""
    if owner.zero and (owner.boot, _clock(owner)) == (machine.boot(), _clock(current_owner())):
        return owner.zero + time.monotonic()
    return now


def _clock(owner: Owner) -> str:
    """Of the namespaces that an owner is in, that of its monotonic clock."""
    return owner.namespace.rpartition(" ")[2]


def lives(owner: Owner | None, until: float, now: float) -> bool:
    """True while nobody else may take what this owner holds: it is alive and has said so lately."""
    return owner is not None and until > _time_since(owner, now) and is_alive(owner)


def status_now(status: str, owner: Owner | None, until: float, now: float) -> Status:
    """The status of a thread as people see it: one that runs nowhere has been stopped."""
    if status not in _STATUSES or (status == "running" and not lives(owner, until, now)):
        return "stopped"
    return cast(Status, status)


_STATUSES = get_args(Status)


def check_free(
    thread: str,
    owner: Owner,
    *,
    holder: Owner | None,
    since: float,
    until: float,
    now: float,
    take_over: bool,
) -> None:
    """`ThreadBusy` unless `owner` may take the thread from its holder now."""
    if take_over or holder is None or holder.token == owner.token:
        return
    if lives(holder, until, now):
        raise busy(thread, holder, since)


def busy(thread: str, owner: Owner, since: float) -> ThreadBusy:
    """The error for whoever comes second."""
    when = time.strftime("%H:%M:%S", time.localtime(since))
    if owner.token.startswith(current_owner().token):
        return ThreadBusy(
            f"thread {thread!r} runs in this process already, since {when}: its `.run` is that "
            "run, to be awaited, paused or stopped",
            thread=thread,
            owner=owner.label,
            since=since,
        )
    return ThreadBusy(
        f"thread {thread!r} has been run by {owner.label} since {when}: wait for it or pause it "
        "there, or take it over with resume(take_over=True)",
        thread=thread,
        owner=owner.label,
        since=since,
    )


def lost(thread: str, holder: Owner | None, since: float) -> ThreadBusy:
    """The error for whoever writes under a lease that is over; `holder` has the thread now."""
    if holder is not None:
        return busy(thread, holder, since)
    return ThreadBusy(
        f"thread {thread!r} was taken over and let go again since this run began: resume it",
        thread=thread,
        owner="",
        since=since,
    )


def unknown(thread: str) -> UnknownThread:
    """The error for an id that a store does not have."""
    return UnknownThread(
        f"there is no thread {thread!r} in this store: `nbagent.threads()` lists those there are",
        thread=thread,
    )


def take(store: CheckpointStore, thread: str, **how: Any) -> Lease:
    """Hold a thread, see `CheckpointStore.acquire`, behind what a run of this process has left to
    be written there."""
    settle(store, thread)
    owner = fresh_owner()
    try:
        return store.acquire(thread, owner, **how)
    except StoreUnavailable:
        disown(owner)  # it may have been taken, and no word of that come back
        raise


def give_back(store: CheckpointStore, lease: Lease) -> None:
    """End a hold that nothing came of: the thread is as it was found, and gone if it was made.

    Where the store cannot be written now, that is so as soon as it can.
    """
    before = lease.before

    def back() -> None:
        if before is None:
            store.delete(lease)
        else:
            store.release(lease, found_as(before), error=before.error, at=before.updated)

    try:
        back()
    except StoreUnavailable:
        leave(store, Held(lease, "stopped" if before is None else found_as(before), [back]))


def found_as(before: ThreadInfo) -> Status:
    """The status that a thread has when nobody runs it, which somebody may have done before."""
    return "stopped" if before.status == "running" else before.status


def check_place(thread: str, found: tuple[str | None, str], wanted: tuple[str | None, str]) -> None:
    """`ThreadError` when the thread under an id is another one than that which is to be made.

    found, wanted   the thread that it is nested in and where, as in `ThreadInfo`
    """
    if found[1] and found != wanted:
        raise ThreadError(
            f"thread {thread!r} belongs to thread {found[0]!r}, as the one at its {found[1]!r}: "
            "start under another id",
            thread=thread,
        )
    if wanted[1] and found != wanted:
        raise ThreadError(
            f"thread {thread!r} exists already, and does not belong to {wanted[0]!r}: choose "
            "another id",
            thread=thread,
        )
