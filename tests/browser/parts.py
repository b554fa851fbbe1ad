"""
Every part of the view with fixed data, as pages that need no kernel: what the screenshots show.

The page's own JavaScript runs in them as it ships; only the kernel's end of the line is a table of
answers. Times are fixed, and so is the clock of the page.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from nbagent.graph.layout import Box, Drawing, Wire
from nbagent.notebook.shown.changes import changes_between
from nbagent.notebook.shown.inbox import inbox
from nbagent.notebook.shown.preview import preview
from nbagent.notebook.widgets.bundle import module, style

NOW = 1_900_000_000.0
LIGHT = """--jp-layout-color0:#fff;--jp-layout-color1:#fff;--jp-ui-font-color0:#000;
--jp-brand-color1:#1976d2;--jp-success-color1:#388e3c;--jp-warn-color1:#f57c00;
--jp-error-color1:#d32f2f"""
DARK = """--jp-layout-color0:#111;--jp-layout-color1:#212121;--jp-ui-font-color0:#fff;
--jp-brand-color1:#2196f3;--jp-success-color1:#4caf50;--jp-warn-color1:#ff9800;
--jp-error-color1:#f44336"""
FONTS = '--jp-ui-font-family:"DejaVu Sans";--jp-code-font-family:"DejaVu Sans Mono"'


@dataclass(frozen=True, slots=True)
class Part:
    """A widget with what its model holds, what the kernel answers, and what a person does then."""

    values: dict[str, Any]
    answers: dict[str, Any] = field(default_factory=dict)
    steps: tuple[str, ...] = ()
    widget: str = "view/run_view"


def page(part: Part, theme: str) -> str:
    """The part as one page that stands alone."""
    colours = {"light": LIGHT, "dark": DARK}[theme]
    body = json.dumps("true" if theme == "light" else "false")
    data = json.dumps({"values": part.values, "answers": part.answers}).replace("<", "\\u003c")
    script = module(part.widget).replace("</script", "<\\/script")
    return f"""<!doctype html><meta charset="utf-8"><title>part</title><html lang="en">
<style>html{{color-scheme:{theme}}}body{{margin:12px;{colours};{FONTS};
background:var(--jp-layout-color0)}}
* {{ animation: none !important; transition: none !important; caret-color: transparent !important; }}
{style(part.widget)}</style>
<body data-jp-theme-light={body}><main><div id="root"></div></main>
<script>
Date.now = () => {NOW * 1000};
const given = {data};
window.listeners = {{}};
window.sent = [];
window.model = {{
  get: (name) => given.values[name],
  on: (event, act) => (listeners[event] ??= []).push(act),
  off: () => {{}},
  send(content) {{
    sent.push(content);
    if (content.type !== "ask") return;
    const data = given.answers[content.what] ?? null;
    const reply = {{ type: "reply", id: content.id, view: content.view, data }};
    queueMicrotask(() => tell(reply));
  }},
}};
window.tell = (content) => (listeners["msg:custom"] ?? []).forEach((act) => act(content));
</script>
<script type="module">
{script.replace("export default", "const widget =")}
window.end = widget.render({{ model, el: document.querySelector("#root") }});
window.ready = true;
</script></body>"""


# --------------------------------------------------------------------------------------- the graph


def _wire(a: Box, b: Box, kind: str = "edge", label: str = "") -> Wire:
    x, y, u, v = a.x, a.y + a.h / 2, b.x, b.y - b.h / 2 - 6
    middle = (y + v) / 2
    path = f"M{x},{y} C{x},{middle} {u},{middle} {u},{v}"
    arrow = f"M{u - 4},{v} L{u},{v + 6} L{u + 4},{v} Z"
    return Wire(a.name, b.name, kind, path, arrow, label, (x + u) / 2 - 14, middle)


def _back(a: Box, b: Box, label: str, right: float) -> Wire:
    x, y, u, v = a.x + a.w / 2, a.y, b.x + b.w / 2 + 6, b.y
    path = f"M{x},{y} H{right - 10} Q{right},{y} {right},{y - 10} V{v + 10} Q{right},{v} {right - 10},{v} H{u}"
    arrow = f"M{u},{v - 4} L{u - 6},{v} L{u},{v + 4} Z"
    return Wire(a.name, b.name, "branch", path, arrow, label, right - 22, (y + v) / 2 - 30)


def drawing() -> Drawing:
    """The research graph of the pictures."""
    at = {
        "plan": (140, 62), "web": (66, 128), "papers": (214, 128), "draft": (66, 194),
        "glossary": (214, 194), "critique": (140, 260), "publish": (140, 326),
    }  # fmt: skip
    start, end = Box("START", "start", 140, 16, 52, 20), Box("END", "end", 140, 380, 52, 20)
    boxes = {name: Box(name, "node", x, y, 116, 28) for name, (x, y) in at.items()}
    pairs = [("plan", "papers"), ("web", "draft"), ("web", "glossary"), ("papers", "draft"),
             ("papers", "glossary"), ("draft", "critique"), ("glossary", "critique")]  # fmt: skip
    wires = [
        _wire(start, boxes["plan"]), _wire(boxes["plan"], boxes["web"], "each", "each"),
        *(_wire(boxes[a], boxes[b]) for a, b in pairs),
        _wire(boxes["critique"], boxes["publish"], "branch", "accept"),
        _back(boxes["critique"], boxes["plan"], "revise", 316.0),
        _wire(boxes["publish"], end),
    ]  # fmt: skip
    return Drawing(330.0, 392.0, (start, *boxes.values(), end), tuple(wires))


def stations() -> Drawing:
    """Sixty siblings as one stack, one of them apart, and a subgraph that is open in place."""
    members = tuple(f"fetch_station_{place:02}" for place in range(60) if place != 17)
    start, end = Box("START", "start", 240, 16, 52, 20), Box("END", "end", 240, 520, 52, 20)
    plan = Box("plan", "node", 240, 62, 104, 28)
    stack = Box("fetch_station_*", "stack", 160, 168, 288, 114, members)
    one = Box("fetch_station_17", "node", 440, 168, 190, 28)
    area = Box("review", "area", 240, 330, 340, 150)
    judge = Box("review/judge", "node", 150, 310, 104, 28)
    mend = Box("review/mend", "node", 330, 310, 110, 28)
    report = Box("report", "node", 240, 460, 104, 28)
    wires = (
        _wire(start, plan), _wire(plan, stack), _wire(plan, one), _wire(stack, area),
        _wire(one, area), _wire(area, report), _wire(report, end),
        Wire("review/judge", "review/mend", "edge", "M202,304 H268", "M268,300 L275,304 L268,308 Z"),
        Wire("review/mend", "review/judge", "edge", "M275,316 H209", "M209,312 L202,316 L209,320 Z"),
        _back(report, plan, "again", 560.0),
    )  # fmt: skip
    return Drawing(580.0, 532.0, (start, plan, stack, one, area, judge, mend, report, end), wires)


# ---------------------------------------------------------------------------------------- the state


def node(status: str = "idle", **facts: Any) -> dict[str, Any]:
    """A node's state as the model has it."""
    made: dict[str, Any] = {
        "status": status, "total": 1, "finished": int(status == "done"), "runs": int(status == "done"),
        "step": 0, "attempt": 1, "since": 0.0, "retry_at": 0.0, "duration": None, "writes": [],
        "effects": [], "emitted": [], "printed": "", "failure": None, "warning": "", "cached": False,
        "inner_threads": [],
    }  # fmt: skip
    return {**made, **facts}


def wrote(**fields: Any) -> list[list[Any]]:
    """What a node wrote."""
    return [[name, preview(value)] for name, value in fields.items()]


def stream(name: str, text: str, seconds: float, pieces: int) -> dict[str, Any]:
    """What a node says at this moment."""
    return {
        "node": name, "name": name, "since": NOW - seconds, "ended": 0, "step": 3, "status": "running",
        "pieces": pieces, "prose": True, "at": 0, "text": text,
    }  # fmt: skip


def state(**facts: Any) -> dict[str, Any]:
    """A thread's state as the model has it."""
    nodes = {
        "plan": node("done", step=1, duration=4.2, writes=wrote(queries=["a", "b", "c", "d"])),
        "web": node("done", step=2, duration=6.8, total=4, finished=4, writes=wrote(notes=["n"] * 9)),
        "papers": node("done", step=2, duration=4.2, writes=wrote(sources=["s"] * 5)),
        "draft": node(), "glossary": node(), "critique": node(), "publish": node(),
    }  # fmt: skip
    rail = [[1, "input", "input"], [2, "step", "plan"], [3, "step", "web ×4, papers"]]
    made: dict[str, Any] = {
        "thread": "tidal-1", "title": "Tidal energy overview", "parent": "", "graph": "research",
        "store": "sqlite:///nbagent.db", "status": "running", "step": 3, "count": 3, "turn": 1,
        "started": NOW - 17.4, "ended": 0.0, "nodes": nodes, "values": {}, "changes": [],
        "changed_in": 2, "taken": [["web", "draft"], ["web", "glossary"], ["papers", "draft"],
        ["papers", "glossary"]], "questions": [], "next": [], "error": "", "notice": "",
        "code": 'run = research.start({"topic": "tidal energy"}, thread="tidal-1")', "rail": rail,
        "marks": [], "working": 11.0, "waited": 0.0, "busy_since": NOW - 6.4, "streams": {},
        "loops": {"critique\nplan": 2},
    }  # fmt: skip
    made.update(facts)
    made["nodes"] = {**nodes, **facts.get("nodes", {})}
    return made


SUMS = {
    "working": 17.4, "waited": 0, "backing": 0, "tokens": 10_700, "cost": 0.041, "by_node": [],
}  # fmt: skip
TEXT = """between 1.1 and 2.4 metres per second at the narrows. The device rating therefore follows \
the spring tide, and the neap tide sets the storage.

### Siting
Three conditions decide where a turbine pays: a channel that concentrates the flow, a bed that holds \
a foundation, and a landing point within ten kilometres. Of the eleven channels in the survey, four \
meet all three; they are"""
TERMS = """neap tide — the smaller range, at half moon
spring tide — the larger range, at new and full moon
capacity factor — mean output over rated output
slack water — the minutes in which the stream turns
cut-in speed —"""


def run(made: dict[str, Any], drawn: Drawing | None = None) -> dict[str, Any]:
    """What a view's model holds."""
    return {"snapshot": made, "drawing": (drawn or drawing()).to_json(), "uid": "u", "form": None}


def running() -> Part:
    """Two nodes stream."""
    nodes = {
        "draft": node("running", step=3, since=NOW - 6.4),
        "glossary": node("running", step=3, since=NOW - 2.1),
    }
    streams = {
        "3/draft": stream("draft", TEXT, 6.4, 412), "3/glossary": stream("glossary", TERMS, 2.1, 88),
    }  # fmt: skip
    return Part(run(state(nodes=nodes, streams=streams)), {"sums": SUMS})


FAILURE = {
    "type": "KeyError", "message": "'depth_m'",
    "traceback": 'Traceback (most recent call last):\n  File "Cell In[3]", line 7, in depths\n'
    '    return {"depths": [row["depth_m"] for row in state["rows"]]}\nKeyError: \'depth_m\'\n',
}  # fmt: skip
TOLD = {
    "where": {
        "cell": "In[3]", "file": "", "line": 7, "name": "depths",
        "source": [
            [5, "@node(retry=Retry(attempts=3))"], [6, "def depths(state):"],
            [7, '    return {"depths": [row["depth_m"] for row in state["rows"]]}'], [8, ""],
        ],
    },
    "read": [["rows", 'list of 240 dicts; the first: {"station": "N1", "depth": 31.5}']],
    "nearest": "the key depth is in all 240 rows",
    "kept": "load and tides are kept; only depths runs again",
    "attempts": [0.2, 2.1, 4.3], "frames": 4,
}  # fmt: skip


def failed() -> Part:
    """One node has failed, after three attempts."""
    nodes = {"draft": node("failed", step=3, attempt=3, duration=4.3, failure=FAILURE)}
    made = state(
        status="failed", nodes=nodes, error="node 'draft' failed: KeyError: 'depth_m'", working=14.3,
        busy_since=0.0, ended=NOW,
    )  # fmt: skip
    return Part(run(made), {"sums": {**SUMS, "cost": 0.011, "tokens": 0}, "failure": TOLD})


BEFORE = {
    "sources": [
        *({"title": f"Source {n}", "year": 2030 + n, "kind": "report", "note": "-"} for n in range(4)),
        {"title": "Currents in narrow channels", "year": 2027, "kind": "survey", "note": "first edition"},
        {"title": "Notes on a tidal mill", "year": 1998, "kind": "essay", "note": "no measurements"},
    ],
    "draft": "Tidal power is quite predictable: the stream turns four times a day. The device rating "
    "follows the spring tide. Three conditions decide where a turbine pays: a channel that concentrates "
    "the flow, a bed that holds a foundation, and a landing point within twenty kilometres.",
    "verdict": "accept",
}  # fmt: skip
AFTER = {
    "sources": [
        *BEFORE["sources"][:4],  # type: ignore[index]
        {"title": "Currents in narrow channels", "year": 2029, "kind": "survey",
         "note": "second edition, with the 2028 stations"},
        {"title": "Foundations on gravel beds", "year": 2030, "kind": "report", "note": ""},
        {"title": "Landing points, a register", "year": 2031, "kind": "table", "note": "eleven channels"},
    ],
    "draft": "Tidal power is predictable: the stream turns four times a day. The device rating follows "
    "the spring tide, and the neap tide sets the storage. Three conditions decide where a turbine pays: a "
    "channel that concentrates the flow, a bed that holds a foundation, and a landing point within ten "
    "kilometres.",
    "verdict": "revise",
}  # fmt: skip


def done(**facts: Any) -> dict[str, Any]:
    """A thread that is done, with what it wrote last."""
    nodes = {
        name: node("done", step=step, duration=seconds)
        for name, step, seconds in (("draft", 3, 7.4), ("glossary", 3, 3.4), ("critique", 4, 2.3),
                                    ("publish", 6, 17.1))
    }  # fmt: skip
    rail = [[1, "input", "input"], [2, "step", "plan"], [3, "step", "web ×4, papers"],
            [4, "step", "draft, glossary"], [5, "edit", "edit"], [6, "step", "critique"],
            [7, "step", "publish"]]  # fmt: skip
    values = {name: preview(value) for name, value in AFTER.items()}
    made = {
        "status": "done", "step": 6, "count": 7, "rail": rail, "nodes": nodes, "values": values,
        "changes": changes_between(BEFORE, AFTER), "changed_in": 4, "working": 58.0, "waited": 240.0,
        "busy_since": 0.0, "ended": NOW, "taken": [], "code": 'research.thread("tidal-1").diff(5, 6)',
    }  # fmt: skip
    return state(**{**made, **facts})


COST = {**SUMS, "cost": 0.094, "tokens": 18_200}


def changes() -> Part:
    """Rows are matched by what they are."""
    return Part(run(done()), {"sums": COST}, ("2",))


def bar(step: int, name: str, start: float, duration: float, **facts: Any) -> dict[str, Any]:
    """A row of the trace; seconds from the beginning."""
    kind = facts.pop("kind", "node")
    made = {
        "thread": "tidal-1", "step": step, "node": facts.pop("node", name), "task": f"{step}/{name}",
        "attempt": 1, "kind": kind, "name": name, "start": NOW - 400 + start, "duration": duration,
        "status": "ok", "id": f"{step}/{name}/{kind}", "parent": None, "error": "", "tokens": None,
        "cost": None,
    }  # fmt: skip
    return {**made, **facts}


def timeline() -> Part:
    """Attempts, a subgraph's tasks under its parent, a person's time, tokens and cost."""
    inner = {"thread": "inner", "parent": "2/web#2/node"}
    rows = [
        bar(1, "plan", 0, 4.2, tokens=None),
        bar(1, "chat", 0.4, 3.6, kind="span", task="1/plan", tokens=1100, cost=0.004, parent="1/plan/node"),
        bar(2, "web", 4.2, 6.8, task="2/web#1", id="2/web#1/node"),
        bar(2, "web", 4.2, 6.8, task="2/web#2", id="2/web#2/node"),
        bar(1, "search", 4.3, 1.3, **inner),
        bar(1, "read", 5.7, 0.9, kind="attempt", status="error", error="429", **inner),
        bar(1, "read", 8.4, 2.4, attempt=2, tokens=2400, cost=0.008, **inner),
        bar(2, "papers", 4.2, 4.2, tokens=900, cost=0.003),
        bar(3, "draft", 11.0, 7.4, tokens=4000, cost=0.021),
        bar(3, "glossary", 11.0, 3.4, tokens=1200, cost=0.006),
        bar(4, "critique", 18.4, 2.3, tokens=800, cost=0.003),
        bar(5, "publish", 272.7, 17.1, tokens=2000, cost=0.029),
    ]  # fmt: skip
    sums = {
        "working": 39.9, "waited": 252.0, "backing": 1.8, "tokens": 18_200, "cost": 0.094,
        "by_node": [["publish", 0.029], ["web", 0.028], ["draft", 0.021]],
    }  # fmt: skip
    answer = {"rows": rows, "more": 0, "sums": sums, "waits": [[NOW - 379.3, NOW - 127.3, 2]]}
    return Part(run(done()), {"sums": sums, "timeline": answer}, ("4",))


def checkpoint(
    id: int, parent: int | None, step: int, ran: str, updated: str = "", **facts: Any
) -> dict[str, Any]:
    """A row of the history."""
    made = {
        "id": id, "parent": parent, "step": step, "kind": "step", "ran": ran.split(", "),
        "updated": updated.split(", ") if updated else [], "at": NOW - 600 + 20 * id, "note": "", "actor": "",
    }  # fmt: skip
    return {**made, **facts}


def history() -> Part:
    """Two branches, a fork, an edit with its reason, and two checkpoints that are compared."""
    rows = [
        checkpoint(9, 8, 6, "publish", "report"),
        checkpoint(8, 7, 5, "critique", "verdict"),
        checkpoint(7, 4, 4, "", "draft", kind="edit", note="units were missing", actor="ada"),
        checkpoint(6, 5, 5, "critique", "verdict"),
        checkpoint(5, 3, 4, "draft, glossary", "draft, terms"),
        checkpoint(4, 3, 4, "draft, glossary", "draft, terms"),
        checkpoint(3, 2, 3, "web ×4, papers", "notes, sources"),
        checkpoint(2, 1, 2, "plan", "queries"),
        checkpoint(1, None, 0, "", "topic", kind="input"),
    ]  # fmt: skip
    forks = [{"thread": "tidal-2", "status": "done", "from": 3}]
    answer = {"rows": rows, "more": 0, "latest": 9, "forks": forks, "parent": "", "notes": {}}
    both = {
        "changes": changes_between({"draft": BEFORE["draft"]}, {"draft": AFTER["draft"], "verdict": "accept"}),
        "same": ["topic", "queries", "notes"], "working": [38.0, 58.0], "cost": [0.071, 0.094],
        "path": {"after": 3, "a": "draft, glossary", "b": "draft, glossary → edit → critique → publish"},
        "code": ["critique"],
    }  # fmt: skip
    press = """document.querySelector("[data-key=compare]").click();
    document.querySelector("[data-key='look 5']").click()"""
    return Part(run(done()), {"sums": COST, "history": answer, "compare": both}, ("5", press))


def wide() -> Part:
    """A graph that is larger than its pane."""
    names = [f"fetch_station_{place:02}" for place in range(60)]
    status = ["done"] * 47 + ["running"] * 6 + ["retrying"] * 2 + ["queued"] * 5
    nodes = {
        name: node(one, step=21, since=NOW - 4, duration=12.1 if one == "done" else None)
        for name, one in zip(names, status, strict=True)
    }
    nodes["fetch_station_17"] = node("failed", step=21, attempt=3, duration=30.0, failure=FAILURE)
    nodes |= {
        "plan": node("done", step=20, runs=5), "review/judge": node("running", since=NOW - 0.4),
        "review/mend": node("done", runs=12), "report": node(),
    }  # fmt: skip
    made = state(
        thread="st-31", title="All stations, March", graph="stations", step=21, rail=[], count=90,
        marks=[[30, "edit"], [60, "input"]], taken=[], loops={"report\nplan": 4},
        streams={"j": {**stream("review / judge", "Station 12 agrees with its neighbours within", 0.4, 18)}},
    )  # fmt: skip
    made["nodes"] = nodes
    return Part(run(made, stations()), {"sums": {**SUMS, "cost": 0, "tokens": 0}})


def paused() -> Part:
    """It stands still, and says what would run next."""
    made = state(status="paused", next=["draft", "glossary"], busy_since=0.0, ended=NOW, taken=[])
    return Part(run(made), {"sums": SUMS})


def result() -> Part:
    """Done: the fields that the last step wrote."""
    return Part(run(done()), {"sums": COST})


def past() -> Part:
    """A checkpoint of the past: the rail is tinted, and has the way back."""
    made = done()
    at = {
        "checkpoint": 4, "index": 3, "total": 7, "is_latest": False, "step": 4, "kind": "step", "note": "",
        "nodes": made["nodes"], "values": made["values"], "changes": made["changes"], "changed_in": 4,
        "taken": [["draft", "critique"], ["glossary", "critique"]],
    }  # fmt: skip
    return Part(run(made), {"sums": COST, "at": at}, ("2", "ArrowLeft"))


def gone() -> Part:
    """The kernel has ended."""
    steps = ("listeners.comm_live_update.forEach((act) => act())",)
    made = state(status="waiting", busy_since=0.0, ended=NOW - 60, taken=[])
    made["nodes"]["critique"] = node("waiting", step=3)
    return Part(run(made), {"sums": SUMS}, steps)


def threads() -> Part:
    """Questions first, then failures by their cause, what runs, what is done."""
    given = [
        ("tidal-1", "research", "waiting", 4, 240, ""),
        ("chat-9", "assistant", "waiting", 11, 3700, ""),
        ("survey-12", "survey", "failed", 2, 720, "node 'depths' failed: KeyError: 'depth_m'"),
        ("survey-13", "survey", "failed", 2, 660, "node 'depths' failed: KeyError: 'depth_m'"),
        ("st-31", "stations", "running", 21, 1, ""),
        ("fares-4", "research", "done", 9, 90_000, ""),
        ("fares-3", "research", "done", 5, 90_500, ""),
        *((f"old-{n}", "research", "done", 5, 200_000 + n, "") for n in range(48)),
    ]
    rows = [
        {
            "thread": id, "graph": graph, "status": status, "step": step, "created": NOW - 9e5,
            "updated": NOW - ago, "error": error,
        }
        for id, graph, status, step, ago, error in given
    ]  # fmt: skip
    asked = {"title": "Tidal energy overview", "why": "Send the report to the editors?",
             "more": "asked by critique · and 1 more question", "working": 21.1, "cost": 0.065}  # fmt: skip
    cause = {"title": "North channel", "why": "KeyError: 'depth_m'",
             "more": "depths, Cell In[3], line 7 · after 3 attempts", "working": 14.3, "cost": 0.011}  # fmt: skip
    known = {"tidal-1": asked, "survey-12": cause, "survey-13": {**cause, "title": "South channel"}}
    tell = json.dumps({"type": "details", "details": known})
    values = {"inbox": inbox(rows), "title": "Threads in nbagent.db", "order": "", "uid": "u"}
    return Part(values, {}, (f"tell({tell})",), "view/threads_view")


def empty() -> Part:
    """A graph that has never run."""
    made = state(
        thread="letter-1", title="", status="new", step=0, count=0, rail=[], taken=[], code="",
        loops={}, working=0.0, busy_since=0.0,
    )  # fmt: skip
    made["nodes"] = {name: node() for name in made["nodes"]}
    return Part(run(made))


PARTS = {
    "running": running, "failed": failed, "changes": changes, "timeline": timeline, "history": history,
    "wide": wide, "paused": paused, "result": result, "past": past, "gone": gone,
    "threads": threads, "empty": empty,
}  # fmt: skip
