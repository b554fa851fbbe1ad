"""
The threads of a store as an inbox: what waits for a person first, and of each group only so many.

Rule 1: what the page gets does not grow with the store: groups are counted, and cut.
Rule 2: what costs a look into a thread (`details`) is asked for the rows that are in sight alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nbagent.engine.model.checkpoint import Question
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.engine.store.reports import trace_rows
from nbagent.engine.thread import nested
from nbagent.errors import NbagentError
from nbagent.notebook.shown.causes import where
from nbagent.notebook.shown.preview import CONTROLS, cut, short
from nbagent.notebook.shown.rail import spent

Row = dict[str, Any]
GROUPS = ("waiting", "failed", "running", "paused", "queued", "done")
_GROUP_OF = {"refused": "failed", "stopped": "paused", "retrying": "running", "new": "queued"}
FIRST = {"done": 2}  # rows of a group at first; of the others:
MOST = 60
LONG = 300  # super-steps of a thread whose time and cost are summed for its row


def group_of(status: str) -> str:
    """The group in which a thread of this status stands."""
    group = _GROUP_OF.get(status, status)
    return group if group in GROUPS else "queued"


def inbox(
    rows: Sequence[Row], *, text: str = "", only: str = "", more: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """`rows` in groups, the oldest question first, and how many of each there are.

    text   only threads whose name, graph, status or error holds it
    only   a group; "" is all
    more   group -> so many more of its rows than at first
    """
    word = text.strip().casefold()
    groups: dict[str, list[Row]] = {name: [] for name in GROUPS}
    counts = dict.fromkeys(GROUPS, 0)
    for row in rows:
        group = group_of(row["status"])
        counts[group] += 1
        if (not only or group == only) and (not word or _holds(row, word)):
            groups[group].append(row)
    groups["waiting"].sort(key=lambda row: row["updated"])
    groups["failed"].sort(key=lambda row: (row["error"], -row["updated"]))
    shown: list[Row] = []
    told: list[dict[str, Any]] = []
    for name, found in groups.items():
        if not found:
            continue
        first = MOST if only or word else FIRST.get(name, MOST)
        limit = first + (more or {}).get(name, 0)
        told.append({
            "name": name, "count": len(found), "shown": min(limit, len(found)),
            "causes": len({row["error"] for row in found}) if name == "failed" else 0,
            "oldest": found[0]["updated"] if name == "waiting" else 0,
        })  # fmt: skip
        shown += found[:limit]
    return {"rows": shown, "groups": told, "counts": counts, "all": len(rows)}


def _holds(row: Row, word: str) -> bool:
    parts = (row["thread"], row["graph"], row["status"], row["error"])
    return any(word in str(part).casefold() for part in parts)


def details(store: CheckpointStore, row: Row) -> dict[str, Any]:
    """What a row says beside its status: title, question or cause, working time and cost."""
    found: dict[str, Any] = {"title": "", "why": "", "more": "", "working": 0.0, "cost": 0.0}
    id = row["thread"]
    spans = store.spans(id)
    titles = [span for span in spans if span.kind == "title"]
    if titles:
        found["title"] = cut(str(titles[-1].attributes["text"]), 200).translate(CONTROLS)
    if row["step"] <= LONG:
        rows = trace_rows(store, id)
        found["working"] = spent(rows)["working"]
        costs = [span.attributes.get("cost") for span in spans]
        found["cost"] = float(sum(cost for cost in costs if isinstance(cost, (int, float))))
    with contextlib.suppress(NbagentError):  # its values are of a type that is not known here
        found.update(_why(store, row))
    return found


def _why(store: CheckpointStore, row: Row) -> dict[str, str]:
    if row["status"] not in ("waiting", "failed", "running"):
        return {"why": "", "more": ""}
    loaded = store.latest(row["thread"])
    if loaded is None:
        return {}
    if row["status"] == "waiting":
        asked = nested.questions(store, store.under(row["thread"]), row["thread"], loaded)
        return _asked(asked)
    failed = [record for record in loaded.tasks if record.failure is not None]
    if row["status"] == "failed" and failed:
        return _failed(failed)
    names = list(dict.fromkeys(record.node for record in loaded.tasks))
    return {"why": ", ".join(names[:4]), "more": f"{len(names)} tasks over" if names else ""}


def _asked(asked: Iterable[Question]) -> dict[str, str]:
    found = list(asked)
    if not found:
        return {}
    first = found[0]
    rest = len(found) - 1
    more = f" · and {rest} more {'question' if rest == 1 else 'questions'}" if rest else ""
    return {"why": short(first.question, 300), "more": f"asked by {first.node}{more}"}


def _failed(failed: Sequence[Any]) -> dict[str, str]:
    first = failed[0]
    place = where(first.failure.traceback)
    at = ""
    if place is not None:
        name = f"Cell {place['cell']}" if place["cell"] else place["file"]
        at = f", {name}, line {place['line']}"
    tries = f" · after {first.attempt} attempts" if first.attempt > 1 else ""
    cause = f"{first.failure.type}: {first.failure.message}"
    return {"why": short(cause, 300), "more": f"{first.node}{at}{tries}"}
