"""
Threads that begin by the clock: `schedule("0 7 * * 1", graph, {"topic": "the week"})`.

Rule 1: a time makes one thread, however many workers there are: the time is in the thread's id.
Rule 2: a worker that was not there for a while makes one thread for all the times that it missed.
Rule 3: times from before a schedule was first seen make none.

cronsim reads the line: it is small, kept, and right about the hours that a change of clocks skips
or repeats.
"""

from __future__ import annotations

import datetime
import hashlib
import logging
import time
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nbagent.engine.node.memory import Memory
from nbagent.engine.ports import Url
from nbagent.engine.store.opening import resolve_store
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.engine.thread.run import Run
from nbagent.engine.thread.thread import Thread
from nbagent.errors import GraphError, NbagentError, ThreadBusy, ThreadError
from nbagent.graph.builder import Graph

log = logging.getLogger("nbagent.worker")
_SPACE = ("nbagent", "schedules")
_all: list[Schedule] = []


@dataclass(eq=False)
class Schedule:
    """When which graph is started, and with what."""

    cron: str
    graph: Graph
    input: Mapping[str, Any]
    timezone: str
    store: Url | CheckpointStore | None
    clock: Callable[[], float] = field(default=time.time, repr=False)

    @property
    def key(self) -> str:
        """The same in every process that says this schedule."""
        said = f"{self.graph.name}\n{self.cron}\n{self.timezone}\n{sorted(self.input.items())!r}"
        return hashlib.blake2b(said.encode("utf-8", "replace"), digest_size=8).hexdigest()

    def last(self, now: float) -> float | None:
        """The latest time up to `now`, in Unix seconds; None where there is none in ten years."""
        from cronsim import CronSim

        zone = zoneinfo.ZoneInfo(self.timezone)
        at = datetime.datetime.fromtimestamp(now, zone) + datetime.timedelta(seconds=1)
        for found in CronSim(self.cron, at, reverse=True):
            return float(found.timestamp())
        return None

    def start_due(self) -> Run | None:
        """Start the thread of the latest time, if it is to be and nobody has."""
        store = self.graph.store if self.store is None else resolve_store(self.store)
        memory, now = Memory(store), self.clock()
        done = memory.get(_SPACE, self.key)
        if done is None:
            memory.put(_SPACE, self.key, now)
            return None
        at = self.last(now)
        if at is None or at <= done:
            return None
        moment = datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%MZ")
        id = f"{self.graph.name} {moment} {self.key[:6]}"
        thread = Thread(id, program=self.graph.compile(), store=store)
        run = None
        try:
            if thread.stored() is None:
                run = thread.start(self.input)
                log.info("thread %r was started by its schedule %r", id, self.cron)
        except (ThreadBusy, ThreadError):
            pass  # another worker was faster
        memory.put(_SPACE, self.key, at)
        return run


def schedule(
    cron: str,
    graph: Graph,
    input: Mapping[str, Any],
    *,
    timezone: str = "UTC",
    store: Url | CheckpointStore | None = None,
) -> Schedule:
    """Start a thread of a graph again and again, wherever a worker runs: `nbagent worker FILE`,
    with the file that says so.

    cron      minute, hour, day of the month, month, day of the week: "0 7 * * 1" is Monday at 7
    input     what the thread begins with
    timezone  of the cron line, as in "Europe/Berlin"
    store     where the threads live; by default the graph's store

    A time makes one thread, however many workers there are; times that all of them missed make
    one together. `GraphError` for a line or a time zone that cannot be read.
    """
    try:
        from cronsim import CronSim, CronSimError
    except ImportError:
        raise NbagentError(
            'a schedule is read with cronsim: pip install "nbagent-jupyter[service]"'
        ) from None
    try:
        CronSim(cron, datetime.datetime(2026, 1, 1))
    except CronSimError as error:
        raise GraphError(
            f"schedule({cron!r}): {error}. It is minute, hour, day of the month, month, day of the "
            'week, as in "0 7 * * 1"'
        ) from error
    try:
        zoneinfo.ZoneInfo(timezone)
    except (ValueError, OSError, KeyError) as error:
        raise GraphError(f"schedule(timezone={timezone!r}): {error}") from error
    graph.compile().schema.check_input(dict(input))
    made = Schedule(cron, graph, dict(input), timezone, store)
    _all[:] = [one for one in _all if one.key != made.key]
    _all.append(made)
    return made


class Schedules:
    """The schedules of some graphs, for a worker."""

    def __init__(self, graphs: Mapping[str, Graph]) -> None:
        self._graphs = {id(graph) for graph in graphs.values()}

    def start_due(self) -> None:
        """Start what is due; what cannot be started is logged, and tried at the next look."""
        for one in list(_all):
            if id(one.graph) not in self._graphs:
                continue
            try:
                one.start_due()
            except Exception:
                log.exception("the schedule %r of graph %r failed", one.cron, one.graph.name)
