"""
How far a run goes, and what it is given beside the state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

OnChange = Literal["ask", "go-on", "rerun"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How far a run goes. `steps` super-steps at the most, then it pauses; None is no bound.

    opens     it goes on because somebody resumes it: breakpoints that it has stopped at are open
    notice    what a person should know as it begins
    on_change, take_over   as `Thread.resume` was told, for subgraphs
    context   what its nodes are given beside the state, by `TaskInfo`; it is never stored
    is_asked  the thread may have had a context, and this run was given none
    held      the values of fields that no store has, where it begins
    metadata  what is known of the run, for its nodes; None: what the thread was started with
    max_concurrency   how many nodes may be at work at once, those of subgraphs included
    """

    step_limit: int = 1000
    steps: int | None = None
    opens: bool = False
    notice: str = ""
    on_change: OnChange = "ask"
    take_over: bool = False
    context: Any = None
    is_asked: bool = False
    held: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] | None = None
    max_concurrency: int | None = None
