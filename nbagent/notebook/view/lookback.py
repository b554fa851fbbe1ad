"""
What a page asks about a thread's past, answered from its store as plain JSON. (R24, R36)

Rule 1: it only reads (a person's note or title is all that it writes), and takes no lease.
Rule 2: every answer is bounded, however long the thread and large the state.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nbagent.engine.model.checkpoint import Checkpoint, CheckpointInfo
from nbagent.engine.model.ids import node_of
from nbagent.engine.model.readable import parts_of, safe_repr
from nbagent.engine.step.plan import plan
from nbagent.engine.step.routes import followed
from nbagent.engine.store.reports import trace_rows
from nbagent.engine.thread.look import StoredThread
from nbagent.engine.thread.replay import replay
from nbagent.errors import NbagentError, ThreadError
from nbagent.graph.layout import live_layout
from nbagent.notebook.shown.causes import told
from nbagent.notebook.shown.changes import changes_between
from nbagent.notebook.shown.preview import cut, preview, short
from nbagent.notebook.shown.rail import spent, union, waits
from nbagent.notebook.shown.run_model import RunModel
from nbagent.notebook.view.chat import chat

CHECKPOINTS = 5_000  # lines of a history at the most
BARS = 2_000  # rows of a timeline
HITS = 100  # places that a search finds
PATIENCE = 2.0  # seconds that a search may take
TEXT = 200_000  # characters of one value that is asked for
ITEMS = 200  # entries of one list or dict that is asked for


def answer(thread: StoredThread, what: str, args: Mapping[str, Any]) -> Any:
    """The answer to a question of the page; `ThreadError` for one that nobody knows."""
    if what not in _ANSWERS:
        raise ThreadError(f"a page asked for {what!r}, which nobody answers", thread=thread.id)
    return _ANSWERS[what](thread, args)


def history(thread: StoredThread, args: Mapping[str, Any]) -> dict[str, Any]:
    """The checkpoints, newest first, with the threads that were forked from them.

    Of those between the checkpoints `since` and `before`, both not among them, the newest.
    """
    infos = thread.store.history(thread.id)
    limit = max(1, min(int(args.get("limit") or 200), CHECKPOINTS))
    latest = infos[-1].id if infos else 0
    since, before = int(args.get("since") or 0), args.get("before")
    infos = [
        info for info in infos if info.id > since and (before is None or info.id < int(before))
    ]
    rows = [
        {
            "id": info.id,
            "parent": info.parent,
            "step": info.step,
            "kind": info.kind,
            "ran": _counted(map(node_of, info.ran)),
            "updated": list(info.updated),
            "at": info.at,
            "note": cut(info.note, 500),
            "actor": info.actor,
        }
        for info in reversed(infos[-limit:])
    ]
    own = thread.info
    forks = [
        {"thread": other.id, "status": other.status, "from": thread.sibling(other.id).origin}
        for other in thread.store.threads()
        if other.parent == thread.id and not other.is_nested
    ]
    return {
        "rows": rows,
        "more": max(0, len(infos) - limit),
        "latest": latest,
        "forks": forks,
        "parent": own.parent if own.parent and not own.is_nested else "",
        "notes": {str(id): cut(text, 500) for id, text in thread.notes.items()},
    }


def _counted(names: Any) -> list[str]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return [name if count == 1 else f"{name} ×{count}" for name, count in counts.items()]


def at(thread: StoredThread, args: Mapping[str, Any]) -> dict[str, Any]:
    """One checkpoint as the view shows now: nodes, state, what changed.

    Which one: `index` (0 is the first of the line to the latest), `step` or `checkpoint`.
    """
    line = thread.line(thread.checkpoint_id)
    id, step, index = args.get("checkpoint"), args.get("step"), args.get("index")
    if id is not None and all(info.id != id for info in line):
        line = thread.line(int(id))  # of an older branch
    if not line:
        raise ThreadError(f"checkpoint {id} of thread {thread.id!r} is gone", thread=thread.id)
    if index is None:
        fits = [place for place, info in enumerate(line) if info.id == id or info.step == step]
        index = fits[0] if fits else len(line) - 1
    index = max(0, min(int(index), len(line) - 1))
    info, before = line[index], line[index - 1] if index else None
    drawing = live_layout(thread.program)
    model = RunModel(thread.id, thread.program.name, drawing, thread.program.shown)
    for event in replay(thread, since=before.id if before else info.id, until=info.id):
        model.apply(event)
    nodes = model.state["nodes"]
    ran = {node_of(task) for task in info.ran}
    for name in ran:
        if name in nodes:
            nodes[name]["now"] = True
    for name in (node_of(task) for earlier in line[:index] for task in earlier.ran):
        if name in nodes:
            nodes[name]["runs"] += 1
            nodes[name]["status"] = "done"
    checkpoint = thread.load(info.id).checkpoint
    for name in _following(thread, checkpoint) - ran:
        if name in nodes:
            nodes[name]["status"] = "queued"
    changes = model.state["changes"]
    if info.kind != "step":
        earlier_values = thread.load(before.id).checkpoint.values if before else {}
        by = ["you" if info.kind == "edit" else info.kind]
        changes = [
            {**change, "by": by} for change in changes_between(earlier_values, checkpoint.values)
        ]
    return {
        "checkpoint": info.id,
        "index": index,
        "total": len(line),
        "is_latest": info.id == thread.checkpoint_id,
        "step": info.step,
        "kind": info.kind,
        "note": thread.notes.get(info.id, info.note),
        "nodes": nodes,
        "values": model.state["values"],
        "changes": changes,
        "changed_in": info.step if info.kind == "step" else 0,
        "taken": _taken(thread, before.id, info) if before and info.kind == "step" else [],
    }


def _following(thread: StoredThread, checkpoint: Checkpoint) -> set[str]:
    """The nodes that run next; none where the graph has changed since."""
    try:
        return {task.node for task in plan(thread.program, checkpoint)}
    except NbagentError:
        return set()


def _taken(thread: StoredThread, before: int, info: CheckpointInfo) -> list[list[str]]:
    """The edges that led on from a super-step, from what its tasks and its checkpoint say."""
    records = {record.task: record for record in thread.load(before).tasks}
    ran = [records[task] for task in info.ran if task in records]
    control = thread.load(info.id).checkpoint.control
    return [list(edge) for edge in followed(thread.program, ran, control)]


def compare(thread: StoredThread, args: Mapping[str, Any]) -> dict[str, Any]:
    """What differs between two checkpoints, from `a` to `b`: fields, ways, times, cost, code."""
    a, b = (thread.load(int(args[side])).checkpoint for side in "ab")
    changes = changes_between(a.values, b.values)
    changed_names = {change["field"] for change in changes}
    lines = thread.line(a.id), thread.line(b.id)
    common = 0
    for one, other in zip(*lines, strict=False):
        if one.id != other.id:
            break
        common += 1
    ways = [" → ".join(_called(info) for info in line[common:]) for line in lines]
    spent_on = [_spent_on(thread, line) for line in lines]
    known = a.nodes.keys() & b.nodes.keys()
    return {
        "changes": changes,
        "same": [name for name in b.values if name not in changed_names][:50],
        "path": {
            "after": lines[0][common - 1].step if common else 0,
            "a": cut(ways[0], 500), "b": cut(ways[1], 500),
        },
        "working": [working for working, _ in spent_on],
        "cost": [cost for _, cost in spent_on],
        "code": sorted(name for name in known if a.nodes[name] != b.nodes[name])[:20],
    }  # fmt: skip


def _called(info: CheckpointInfo) -> str:
    return info.kind if info.kind != "step" else ", ".join(_counted(map(node_of, info.ran)))


def _spent_on(thread: StoredThread, line: Sequence[CheckpointInfo]) -> tuple[float, float]:
    """Seconds of work, and cost, of the tasks that led along a line of checkpoints."""
    led = {(info.parent, task) for info in line for task in info.ran}
    times = {
        (record.anchor, record.task): (record.started, record.ended)
        for record in thread.store.outcomes(thread.id)
        if (record.anchor, record.task) in led
    }
    stretches = union(times.values())
    by_task: dict[str, list[tuple[float, float]]] = {}
    for (_, task), stretch in times.items():
        by_task.setdefault(task, []).append(stretch)
    cost = 0.0
    for span in thread.store.spans(thread.id):
        one = span.attributes.get("cost")
        at = by_task.get(span.task, ())
        if isinstance(one, (int, float)) and any(s <= span.started <= e for s, e in at):
            cost += one
    return sum(end - start for start, end in stretches), cost


def timeline(thread: StoredThread, args: Mapping[str, Any]) -> dict[str, Any]:
    """The trace, as rows; the last of them where there are very many."""
    every = trace_rows(thread.store, thread.id)
    rows = [row for row in every if row["kind"] != "run"]
    runs = [
        (row["start"], row["start"] + row["duration"], row["thread"], row["status"])
        for row in every if row["kind"] == "run"
    ]  # fmt: skip
    return {
        "rows": rows[-BARS:], "more": max(0, len(rows) - BARS), "sums": summed(every),
        "waits": [[*wait, 0] for wait in waits(runs)][-100:],
    }  # fmt: skip


def value(thread: StoredThread, args: Mapping[str, Any]) -> dict[str, Any]:
    """What lies at a `path` of the state, from entry `offset` on."""
    found: Any = _values(thread, args)
    for key in args["path"]:
        parts = parts_of(found)
        known = {_key(name): part for name, part in parts or ()}
        if _key(key) not in known:
            raise ThreadError(f"the state has no {args['path']} any more", thread=thread.id)
        found = known[_key(key)]
    if isinstance(found, str):
        return {"kind": "text", "type": "str", "text": cut(found, TEXT)}
    parts = parts_of(found)
    if parts is None:
        return preview(found)
    offset = int(args.get("offset") or 0)
    shown = parts[offset : offset + ITEMS]
    return {
        **preview(found, depth=99),
        "items": [[_key(name), preview(part, 2)] for name, part in shown],
        "offset": offset,
        "more": max(0, len(parts) - offset - len(shown)),
    }


def _key(name: Any) -> str:
    return name if isinstance(name, str) else cut(safe_repr(name), 200)


def reads(thread: StoredThread, args: Mapping[str, Any]) -> dict[str, Any]:
    """What a node read when it ran last, on the way to `checkpoint` or to now; by field.

    Which fields it reads is seen in its source: `state["x"]`, `state.get("x")`, `state.x`. None for
    a function that hands its state on, or whose source is not known.
    """
    found = _read(thread, args)
    return {"reads": [[field, preview(value)] for field, value in (found or {}).items()]}


def _read(thread: StoredThread, args: Mapping[str, Any]) -> dict[str, Any] | None:
    """Field -> value of what a node read; None where the fields are not known."""
    name = str(args["node"])
    node = thread.program.nodes.get(name)
    fields = None if node is None else fields_read(node.function, thread.program.fields)
    if fields is None:
        return None
    values = _values(thread, args)
    if args.get("has_ended", True):
        line = thread.line(args.get("checkpoint") or thread.checkpoint_id)
        ran = [info for info in line if any(node_of(task) == name for task in info.ran)]
        if ran and ran[-1].parent is not None:
            values = thread.load(ran[-1].parent).checkpoint.values
    return {field: values[field] for field in fields if field in values}


def failure(thread: StoredThread, args: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the failure of a `node`: see `causes.told`."""
    read = _read(thread, {"node": args["node"], "has_ended": False})
    return told(thread, str(args["node"]), read)


def sums(thread: StoredThread, args: Mapping[str, Any]) -> dict[str, Any]:
    """The three kinds of time, tokens and cost of a thread and of those under it."""
    return summed(trace_rows(thread.store, thread.id))


def summed(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`working`, `waited` and `backing` seconds, `tokens`, `cost`, and the cost by node."""
    by_node: dict[str, float] = {}
    tokens = 0
    for row in rows:
        cost = row.get("cost")
        if isinstance(cost, (int, float)) and cost == cost:
            by_node[row["node"]] = by_node.get(row["node"], 0.0) + cost
        tokens += row.get("tokens") or 0
    dearest = sorted(by_node.items(), key=lambda pair: -pair[1])
    return {
        **spent(rows), "tokens": tokens, "cost": sum(by_node.values()),
        "by_node": [[cut(name, 100), cost] for name, cost in dearest[:20]],
    }  # fmt: skip


def fields_read(function: Any, fields: Any) -> list[str] | None:
    """The fields of its first argument that a function names; None where that cannot be said."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None
    made = next((n for n in ast.walk(tree) if isinstance(n, _FUNCTIONS)), None)
    if made is None or not made.args.args:
        return None
    state = made.args.args[-1 if made.args.args[0].arg == "self" else 0].arg
    found: dict[str, None] = {}
    known: set[int] = set()
    for one in ast.walk(made):
        inner, key = getattr(one, "value", None), None
        if isinstance(one, ast.Subscript) and isinstance(one.slice, ast.Constant):
            key = one.slice.value
        elif isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute):
            inner = one.func.value
            if one.func.attr == "get" and one.args and isinstance(one.args[0], ast.Constant):
                key = one.args[0].value
        elif isinstance(one, ast.Attribute):
            key = one.attr if one.attr in fields else None
        if key in fields and isinstance(inner, ast.Name) and inner.id == state:
            found[str(key)] = None
            known.add(id(inner))
    names = [n for n in ast.walk(made) if isinstance(n, ast.Name) and n.id == state]
    return list(found) if all(id(n) in known for n in names) else None


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def search(thread: StoredThread, args: Mapping[str, Any]) -> dict[str, Any]:
    """The places of the state whose name or text holds `text`, whatever the case."""
    word = re.compile(re.escape(str(args["text"])), re.IGNORECASE)
    hits: list[dict[str, str]] = []
    until = time.monotonic() + PATIENCE
    # A stack of (path, value): a state may be nested deeper than Python calls may be.
    todo: list[tuple[str, Any]] = [(n, v) for n, v in _values(thread, args).items()]
    todo.reverse()
    while todo and len(hits) < HITS and time.monotonic() < until:
        path, found = todo.pop()
        parts = parts_of(found)
        text = found if isinstance(found, str) else "" if parts is not None else safe_repr(found)
        match = word.search(text)
        if match is not None:
            start = max(0, match.start() - 40)
            lead = "…" if start else ""
            hits.append({"path": path, "text": lead + short(text[start : start + 200], 200)})
        elif word.search(path.rsplit(".", 1)[-1]):
            hits.append({"path": path, "text": short(found)})
        for name, part in reversed(parts or ()):
            inner = f"{path}.{name}" if isinstance(name, str) else f"{path}[{_key(name)}]"
            todo.append((inner, part))
    return {"hits": hits, "more": bool(todo)}


def annotate(thread: StoredThread, args: Mapping[str, Any]) -> dict[str, Any]:
    """Keep a person's note beside a checkpoint."""
    thread.annotate(str(args["text"])[:2_000], checkpoint=int(args["checkpoint"]))
    return {}


def rename(thread: StoredThread, args: Mapping[str, Any]) -> dict[str, Any]:
    """Give the thread a title."""
    thread.rename(str(args["title"])[:200])
    return {}


def _values(thread: StoredThread, args: Mapping[str, Any]) -> Mapping[str, Any]:
    checkpoint = args.get("checkpoint")
    loaded = thread.latest() if checkpoint is None else thread.load(int(checkpoint))
    values, shown = loaded.checkpoint.values, thread.program.shown
    if shown is None:
        return values
    return {name: value for name, value in values.items() if name in shown}


_ANSWERS: dict[str, Callable[[StoredThread, Mapping[str, Any]], Any]] = {
    "chat": chat,
    "history": history,
    "at": at,
    "compare": compare,
    "timeline": timeline,
    "value": value,
    "search": search,
    "annotate": annotate,
    "reads": reads,
    "failure": failure,
    "sums": sums,
    "rename": rename,
}
