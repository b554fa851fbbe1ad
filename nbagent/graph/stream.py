"""What happens in a run, as an async iterator. (R36, R38)"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from nbagent.engine.events import Checkpointed, Event, NodeEmitted, NodeFinished, RunEnded
from nbagent.engine.run import Run
from nbagent.engine.snapshot import thaw
from nbagent.errors import NbagentError

MODES = ("events", "updates", "values", "emitted")


async def stream(start: Callable[[], Run], mode: str) -> AsyncIterator[Any]:
    """Start a run and give its events, updates, values or emitted items until it ends.

    Raises what `await run` would when the run failed. Closing the iterator early asks the run to
    pause.
    """
    if mode not in MODES:
        raise NbagentError(f"stream(mode={mode!r}): it is one of {', '.join(MODES)}")
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[Event] = asyncio.Queue()
    run = start()

    def queue(event: Event) -> None:
        loop.call_soon_threadsafe(events.put_nowait, event)

    unwatch = run.watch(queue)
    try:
        while True:
            event = await events.get()
            if mode == "events":
                yield event
            elif mode == "updates" and isinstance(event, NodeFinished):
                yield {event.node: thaw(event.update)}
            elif mode == "values" and isinstance(event, Checkpointed):
                yield thaw(event.checkpoint.values)
            elif mode == "emitted" and isinstance(event, NodeEmitted):
                yield event.node, event.value
            if isinstance(event, RunEnded):
                break
        await run
    finally:
        unwatch()
        if run.status == "running":
            run.pause()
