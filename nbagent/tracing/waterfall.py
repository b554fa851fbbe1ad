"""
A thread's trace as a picture: a bar for each task, failed attempt and span, by time. (R36)
"""

from __future__ import annotations

from typing import Any

from nbagent.errors import NbagentError

# Status by colour and by hatch, so that it can be told without colours.
_LOOKS: dict[str, dict[str, Any]] = {
    "node": {"color": "#3b7dd8"},
    "attempt": {"color": "#cf3a2b", "hatch": "//"},
    "span": {"color": "#9bb8de"},
    "error": {"color": "#cf3a2b"},
}
_LONGEST = 200  # bars; of a longer trace the longest are drawn


def waterfall(trace: Any, ax: Any = None) -> Any:
    """Draw the table that `thread.trace()` gives; the matplotlib Axes. Seconds from the first."""
    try:
        from matplotlib import pyplot
        from matplotlib.patches import Patch
    except ImportError as missing:
        raise NbagentError(
            "thread.plot() needs matplotlib, which is not installed: pip install matplotlib"
        ) from missing

    rows = trace[trace.kind != "run"]
    dropped = max(0, len(rows) - _LONGEST)
    if dropped:
        rows = rows.nlargest(_LONGEST, "duration").sort_values("start")
    if ax is None:
        height = 1.2 + 0.28 * max(len(rows), 1)
        _, ax = pyplot.subplots(figsize=(9, height), layout="constrained")
    first = rows.start.min() if len(rows) else None
    labels = []
    for place, row in enumerate(rows.itertuples()):
        failed = row.kind == "node" and row.status == "error"
        look = _LOOKS["error" if failed else row.kind]
        begins = (row.start - first).total_seconds()
        ax.barh(place, row.duration, left=begins, height=0.7, **look)
        # A bar too short to see still has its mark.
        ax.plot([begins], [place], marker="|", color=look["color"], markersize=8)
        indent = "" if row.kind == "node" else "    "
        again = f" (attempt {row.attempt})" if row.attempt > 1 or row.kind == "attempt" else ""
        if row.kind == "node" and row.attempt > 1:
            again = f" ({row.attempt} attempts)"
        labels.append(f"{indent}{row.name}{again}  ·  step {row.step}")
    ax.set_yticks(range(len(labels)), labels, fontsize=8)
    ax.invert_yaxis()
    ax.set_xlabel("seconds")
    ax.set_title(f"the {_LONGEST} longest of {len(rows) + dropped}" if dropped else "", fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    kinds = dict.fromkeys(rows.kind)
    if len(kinds) > 1:
        ax.legend(
            handles=[Patch(label=_NAMES[kind], **_LOOKS[kind]) for kind in kinds],
            fontsize=8, frameon=False, loc="best",
        )  # fmt: skip
    if not labels:
        ax.text(0.5, 0.5, "nothing has run yet", ha="center", va="center", transform=ax.transAxes)
    return ax


_NAMES = {"node": "node", "attempt": "failed attempt", "span": "span"}
