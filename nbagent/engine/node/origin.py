"""
Whether the thread that runs this was started by a node's code, where Python does not say so.

A thread that a node starts by itself begins without the node's context, so what it calls cannot
belong to the task. On Linux a thread inherits the name that the system knows its maker by: the
engine's threads have one of their own, and whoever has it and is not one of them was started there.
Elsewhere, and where the name cannot be read, it is not known.
"""

from __future__ import annotations

import threading

_NAME = "nbagent-node"  # the system keeps 15 bytes
_own = threading.local()


def mark() -> None:
    """Say that this is a thread of the engine, on which nodes' code runs."""
    _own.is_marked = True
    try:
        with open("/proc/thread-self/comm", "w") as name:
            name.write(_NAME)
    except OSError:  # not Linux
        pass


def is_a_nodes() -> bool:
    """True when this thread was started by one that nodes' code runs on."""
    if getattr(_own, "is_marked", False):
        return False
    try:
        with open("/proc/thread-self/comm") as name:
            return name.read().rstrip("\n") == _NAME
    except OSError:
        return False
