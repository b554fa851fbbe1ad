"""
The commits of several runs of one event loop as one transaction: they wait for the disk once. (R23)

Rule 1: what becomes ready in a few turns of the loop is written together. A run that is alone
        waits for nobody.
Rule 2: each is a part of its own: one that is refused fails alone. Where the whole cannot be
        stored, nothing of it is, and each hears why.
Rule 3: nobody hears of it before it is stored.

For a store that says `groups_commits`, because each commit waits for its disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from nbagent.engine.store.line import in_line
from nbagent.engine.store.patience import Heavy, NotAtOnce, at_once
from nbagent.engine.store.protocol import CheckpointStore, together
from nbagent.errors import StoreUnavailable

AT_ONCE = 100  # commits that the loop makes before it turns to others
_groups: dict[tuple[int, int], Group] = {}


class _Part:
    """One of the writes of a transaction."""

    __slots__ = ("call", "error", "future", "is_over")

    def __init__(self, call: Callable[[], Any], future: asyncio.Future[None]) -> None:
        self.call = call
        self.future = future
        self.is_over = False
        self.error: BaseException | None = None

    def write(self) -> None:
        self.error = None
        try:
            self.call()
        except Exception as error:
            self.error = error


class Group:
    """The runs of one event loop that write to one store. Used on that loop alone."""

    def __init__(self, store: CheckpointStore, loop: asyncio.AbstractEventLoop) -> None:
        self._store = store
        self._loop = loop
        self._members: set[int] = set()
        self._waiting: list[_Part] = []
        self._seen = 0  # how many waited at the last look
        self._is_in_line = False

    @property
    def is_one(self) -> bool:
        """True when there is nobody to write with."""
        return len(self._members) == 1

    async def write(self, call: Callable[[], Any], cut: Callable[[], object]) -> None:
        """Make this call of the store, whose writes are stored when this returns.

        cut   called when the waiting was stopped meanwhile: it counts all the same
        """
        part = _Part(call, self._loop.create_future())
        self._waiting.append(part)
        if len(self._waiting) == 1 and not self._is_in_line:
            self._seen = 0
            self._loop.call_soon(self._gather)
        while not part.is_over:
            try:
                await part.future
            except asyncio.CancelledError:
                cut()
                part.future = self._loop.create_future()
        if part.error is not None:
            raise part.error

    def _gather(self) -> None:
        """Wait for those that come in the same few turns of the loop: a turn costs a tenth of what
        the disk does."""
        if self._seen < len(self._waiting) < len(self._members):
            self._seen = len(self._waiting)
            self._loop.call_soon(self._gather)
        else:
            self._flush()

    def _flush(self) -> None:
        """Write what waits, here; what the store would have to be waited for, in its line."""
        batch, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
        with at_once:
            self._write(batch)
        late = [part for part in batch if type(part.error) is NotAtOnce]
        _end(part for part in batch if part not in late)
        if late:
            self._is_in_line = True
            over = in_line(self._store, lambda: self._write(late))
            over.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._landed, late))
        elif self._waiting:
            self._loop.call_soon(self._flush)

    def _landed(self, batch: list[_Part]) -> None:
        self._is_in_line = False
        _end(batch)
        if self._waiting:
            self._flush()

    def _write(self, batch: list[_Part]) -> None:
        broken: BaseException | None = None
        try:
            with together(self._store, None):
                gone: BaseException | None = None
                for part in batch:
                    if gone is not None:  # nobody waits for the same lock once more
                        part.error = gone
                        continue
                    part.write()
                    is_away = isinstance(part.error, StoreUnavailable)
                    gone = part.error if is_away and type(part.error) is not Heavy else None
        except Exception as error:
            broken = error
        except BaseException:
            broken = StoreUnavailable("the write was broken off")
            raise
        finally:
            for part in batch:
                part.error = broken or part.error


def _end(batch: Iterable[_Part]) -> None:
    for part in batch:
        part.is_over = True
        if not part.future.done():
            part.future.set_result(None)


def join(store: CheckpointStore, member: object) -> Group | None:
    """The group of the runs of this loop that write to the store; None for a store without."""
    if not getattr(store, "groups_commits", False):
        return None
    loop = asyncio.get_running_loop()
    group = _groups.get((id(loop), id(store)))
    if group is None or group._loop is not loop:
        group = _groups[id(loop), id(store)] = Group(store, loop)
    group._members.add(id(member))
    return group


def leave(group: Group, member: object) -> None:
    """The member writes no more."""
    group._members.discard(id(member))
    if not group._members:
        _groups.pop((id(group._loop), id(group._store)), None)
