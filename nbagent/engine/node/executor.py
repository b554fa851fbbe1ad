"""
Where a node's function runs: `async def` on the event loop, `def` on a thread.

A blocking `def` node therefore never stops its siblings, the heartbeat or the pause button.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

THREADS = 64  # `def` nodes that run at once; they mostly wait for a network


class NodeExecutor(Protocol):
    """Calls a node's function somewhere and returns, or raises, what it did."""

    def call(self, function: Callable[[Any], Any], is_async: bool, argument: Any) -> Awaitable[Any]:
        """The function's return value for `argument`. The current contextvars hold inside it."""
        ...


class AsyncioExecutor:
    """The executor inside the kernel."""

    def __init__(self, threads: int = THREADS) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._threads = threads

    def call(self, function: Callable[[Any], Any], is_async: bool, argument: Any) -> Awaitable[Any]:
        """The return value; an awaitable that a `def` function returns is awaited."""
        if is_async:
            awaited: Awaitable[Any] = function(argument)
            return awaited
        return self._in_a_thread(function, argument)

    async def _in_a_thread(self, function: Callable[[Any], Any], argument: Any) -> Any:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="nbagent-node")
        context = contextvars.copy_context()
        returned = await asyncio.get_running_loop().run_in_executor(
            self._pool, context.run, function, argument
        )
        return await returned if inspect.isawaitable(returned) else returned
