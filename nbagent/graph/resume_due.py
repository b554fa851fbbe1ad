"""
What a kernel that died, or a person who did not answer, left behind to be gone on with. (W13, W14)
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from nbagent.engine.thread.run import Run
from nbagent.errors import NbagentError
from nbagent.graph.builder import Graph, defined

log = logging.getLogger("nbagent")


def resume_due(graphs: Sequence[Graph] | None = None) -> list[Run]:
    """Resume every thread whose time has come, and return the runs.

    Those are threads that a kernel left behind in a wait for a server that is over now, and
    threads whose question has passed its deadline and says with `on_expiry` what then. What
    somebody paused or stopped is left alone. A thread that cannot be resumed is logged, and the
    others go on.

    graphs  whose threads; by default those of all graphs that are defined in this process
    """
    runs: list[Run] = []
    for graph in list(defined.values()) if graphs is None else graphs:
        for info in graph.store.threads():
            # A thread that somebody stopped has no owner; one whose kernel died still has.
            left = info.status == "waiting" or (info.status == "stopped" and info.owner is not None)
            if info.is_nested or info.graph != graph.name or not left:
                continue
            try:
                thread = graph.thread(info.id)
                at = thread.resume_at if info.checkpoint else None
                if at is not None and at <= thread.clock():
                    runs.append(thread.resume())
            except NbagentError as error:
                log.warning("thread %r is due and cannot be resumed: %s", info.id, error)
    return runs
