"""
The writes of a run to its store: at once where that takes no time to speak of, else in the store's
line; and again until the store takes them. (W1, W15)

Rule 1: what has been paid for is not thrown away because the store is busy. It is held and tried
        again for as long as the process lives, and whoever watches is told what is waited for.
Rule 2: a run's writes keep their order, whatever way they go.
Rule 3: a write that has begun is waited for, also by a run that is being stopped: it counts.

A store may bring a way of its own, `commit_soon(lease, checkpoint, records) -> Future | None`:
None where it has committed. It is looked for on the store's type, so that what wraps a store is
asked for what it has itself.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from nbagent.engine.model.checkpoint import (
    Checkpoint,
    JournalEntry,
    Lease,
    Status,
    TaskRecord,
)
from nbagent.engine.store.group import Group, join
from nbagent.engine.store.group import leave as leave_group
from nbagent.engine.store.line import FIRST, LONGEST, Held, in_line, leave, put_each
from nbagent.engine.store.patience import NotAtOnce, Patience, at_once, must_be_at_once
from nbagent.engine.store.protocol import CheckpointStore, together
from nbagent.errors import NbagentError, StoreUnavailable

R = TypeVar("R")
PATIENCE = 5.0  # seconds that the event loop is held for what cannot be done without
BRIEF = 0.2  # seconds that one try of that waits


class Writer:
    """The writes under one lease.

    told    called with what is waited for, when a write has to wait for longer; "" when it is over
    is_cut  somebody was stopped while he waited for a write that has come through
    """

    def __init__(self, store: CheckpointStore, lease: Lease, told: Callable[[str], object]) -> None:
        self.store = store
        self.lease = lease
        self.is_cut = False
        self._told = told
        self._held: deque[Callable[[], Any]] = deque()
        self._lock = threading.RLock()
        self._group: Group | None = None
        self._has_looked = False
        self._soon: Any = getattr(type(store), "commit_soon", None)

    async def commit(self, checkpoint: Checkpoint, records: Sequence[TaskRecord] = ()) -> None:
        """`CheckpointStore.commit`."""
        store, lease = self.store, self.lease
        if self._soon is not None:
            return await self._commit_soon(checkpoint, records)
        await self._write_with_others(lambda: store.commit(lease, checkpoint, records))

    async def _write_with_others(self, call: Callable[[], None]) -> None:
        if not self._held:
            if not self._has_looked:
                self._has_looked, self._group = True, join(self.store, self)
            group = self._group
            try:
                if group is not None and not group.is_one:
                    return await group.write(call, self._cut)
                with at_once:
                    return call()
            except StoreUnavailable:
                pass
        await self._in_turn(call)

    async def _commit_soon(self, checkpoint: Checkpoint, records: Sequence[TaskRecord]) -> None:
        store, lease = self.store, self.lease
        if self._held:
            await self.flush()

        def begin() -> Future[None] | None:
            found: Future[None] | None = self._soon(store, lease, checkpoint, records)
            return found

        try:
            with at_once:
                future = begin()
            if future is not None:
                await self._landed(future)
        except StoreUnavailable:

            def through() -> None:
                if (future := begin()) is not None:
                    future.result()

            await self._in_turn(through)

    async def finish(
        self,
        checkpoint: Checkpoint,
        records: Sequence[TaskRecord],
        spans: Callable[[], object],
    ) -> None:
        """Commit the last checkpoint, write the spans and give the thread back as done: all at
        once, or nothing of it."""
        store, lease = self.store, self.lease

        def all_of_it() -> None:
            with together(store, lease.thread):
                store.commit(lease, checkpoint, records)
                spans()
                store.release(lease, "done")

        await self._write_with_others(all_of_it)
        self._leave_group()

    def _leave_group(self) -> None:
        if self._group is not None:
            leave_group(self._group, self)
            self._group = None

    async def put_tasks(self, records: Sequence[TaskRecord]) -> None:
        """`CheckpointStore.put_tasks`; where the run is stopped meanwhile they are left."""
        try:
            await self.write(lambda: self.store.put_tasks(self.lease, records))
        except asyncio.CancelledError:
            self.leave(records)
            raise

    async def put_journal(self, entries: Sequence[JournalEntry]) -> None:
        """`CheckpointStore.put_journal`."""
        await self.write(lambda: self.store.put_journal(self.lease, entries))

    async def write(self, call: Callable[[], R]) -> R:
        """What the call of the store gives, when it can be made; it may be made several times."""
        if not self._held:
            try:
                with at_once:
                    return call()
            except StoreUnavailable:
                pass
        return await self._in_turn(call)

    async def flush(self) -> None:
        """Write what is held: see `soon`."""
        if self._held:
            await self._in_turn(lambda: None)

    async def _in_turn(self, call: Callable[[], R]) -> R:
        """What is held, then the call, off the loop; again and again."""

        def all_of_it() -> R:
            self._write_held()
            return call()

        return await insist(self.store, all_of_it, self._told, self._cut)

    async def _landed(self, future: Future[R]) -> R:
        return await _landed(future, self._cut)

    def _cut(self) -> None:
        self.is_cut = True

    def _write_held(self) -> None:
        with self._lock:
            while self._held:
                self._held[0]()
                self._held.popleft()

    # ------------------------------------------------------------------ where nothing is awaited

    def soon(self, call: Callable[[], Any]) -> None:
        """Write what came of something, now or else before whatever is written next: also where
        nothing can be waited for."""
        if must_be_at_once():
            self._directly(call)
            return
        if not self._lock.acquire(timeout=BRIEF):  # the line is writing what is held
            self._held.append(call)
            return
        try:
            with Patience(BRIEF):
                self._write_held()
                call()
        except StoreUnavailable:
            self._held.append(call)
        finally:
            self._lock.release()

    def _directly(self, call: Callable[[], R]) -> R:
        if self._held:
            raise NotAtOnce("earlier writes wait for the store")
        return call()

    def now(self, call: Callable[[], R], goes_on: Callable[[], object]) -> R:
        """Write it before this returns, on whatever thread: on one of a node's own for as long as
        it takes, and as long as `goes_on` raises nothing; on the event loop not for long."""
        if must_be_at_once():
            return self._directly(call)
        is_loop = _is_on_a_loop()
        until, wait, has_told = time.monotonic() + PATIENCE, FIRST, False
        try:
            while True:
                goes_on()
                try:
                    with Patience(BRIEF):
                        self._write_held()
                        return call()
                except StoreUnavailable as error:
                    if is_loop and time.monotonic() > until:
                        raise
                    if not has_told and not isinstance(error, NotAtOnce):
                        has_told = True
                        self._told(str(error))
                time.sleep(wait)
                wait = min(2 * wait, LONGEST)
        finally:
            if has_told:
                self._told("")

    def leave(self, records: Sequence[TaskRecord]) -> bool:
        """Nobody waits for them any more: store them now (then True), or when the store can."""
        kept = list(records)

        def put() -> None:
            put_each(lambda some: self.store.put_tasks(self.lease, some), kept)

        with self._lock:
            if not self._held:
                try:
                    with at_once:
                        put()
                    return True
                except StoreUnavailable:
                    pass
            self._held.append(put)
            return False

    def release(
        self,
        status: Status,
        error: str,
        spans: Callable[[], object],
        then: Callable[[NbagentError | None], object],
    ) -> None:
        """Give the thread back, behind all that is held; `then` is called when that is done, or
        will take its time: see `Held`."""
        self._leave_group()
        with self._lock:
            held = [*self._held, spans]
            self._held.clear()

        def let_go() -> None:
            self.store.release(self.lease, status, error=error)

        last = Held(self.lease, status, [*held, let_go], then)
        try:
            with at_once:
                last.write()
        except StoreUnavailable:
            leave(self.store, last)


async def insist(
    store: Any,
    call: Callable[[], R],
    told: Callable[[str], object],
    cut: Callable[[], object] = lambda: None,
) -> R:
    """What the call gives, made in the store's line, again and again while it is not to be had.

    told  called with what is waited for, and with "" when that is over
    cut   called when the waiting is stopped while a call is under way, which is waited for
    """
    wait, has_told = FIRST, False
    try:
        while True:
            try:
                return await _landed(in_line(store, call), cut)
            except StoreUnavailable as error:
                if _is_cancelled():
                    raise asyncio.CancelledError from error
                if not has_told:
                    has_told = True
                    told(str(error))
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST)
    finally:
        if has_told:
            told("")


async def _landed(future: Future[R], cut: Callable[[], object]) -> R:
    over = asyncio.wrap_future(future)
    while not over.done():
        try:
            await asyncio.wait([over])
        except asyncio.CancelledError:
            cut()
    return over.result()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _is_on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
