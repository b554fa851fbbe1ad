"""
The picture that stays in a saved notebook: inline styles, no script, every text escaped.
"""

from __future__ import annotations

import html
import time
from typing import Any

from nbagent.graph.draw import to_svg
from nbagent.graph.layout import Drawing
from nbagent.graph.look import COLOURS, look
from nbagent.notebook.shown.preview import CONTROLS, cut
from nbagent.notebook.shown.run_model import RunModel

_WORDS = {
    "=": ("", ""),
    "…": ("<i>", "</i>"),
    "-": (f'<del style="background:{COLOURS["red"]}2e">', "</del>"),
    "+": (f'<ins style="background:{COLOURS["green"]}38;text-decoration:none">', "</ins>"),
}
_HIDE_THE_DEAD = (
    "<style>.jp-OutputArea-child:has(~ .jp-OutputArea-child [data-nbagent-static])"
    ':has([data-mime-type="application/vnd.jupyter.widget-view+json"]:not(:has(*)))'
    "{display:none}</style>"
)
_NOTHING_ELSE = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "style-src 'unsafe-inline'; img-src data:\">"
)
DOCUMENT = 50_000  # characters of a document that a saved notebook is to carry
PARTS = 12  # differences of one field that the picture lists
_CELL = "padding:3px 12px 3px 0;vertical-align:top;text-align:left;border:0;white-space:pre-wrap"
_NAME = f"{_CELL};font-weight:600;white-space:nowrap"


def static_html(model: RunModel, drawing: Drawing, uid: str = "") -> str:
    """The run as HTML. The live view hides elements that carry its `uid`."""
    state = model.state
    nodes = state["nodes"]
    statuses = {name: node["status"] for name, node in nodes.items()}
    counts = {n: f"{v['finished']}/{v['total']}" for n, v in nodes.items() if v["total"] > 1}
    parts = [
        hide_the_dead() if uid else "",
        f'<div data-nbagent-static="{html.escape(uid)}" style="font-family:system-ui,-apple-system,'
        'sans-serif;font-size:13px;line-height:1.45;margin:6px 0">',
        _headline(state),
        to_svg(drawing, statuses, state["taken"], counts),
    ]
    if state["questions"]:
        asked = "; ".join(question["text"] for question in state["questions"])
        resume = f"%agent resume {state['thread']} …"
        parts.append(
            f'<div style="margin:8px 0"><b>It asks:</b> {html.escape(asked)} '
            f"<code>{html.escape(resume)}</code></div>"
        )
    if state["error"]:
        parts.append(
            '<div style="margin:8px 0;padding:6px 10px;border-left:3px solid '
            f'{COLOURS["red"]}">{html.escape(cut(state["error"]))}</div>'
        )
    if state["changes"]:
        rows = "".join(_change_row(change) for change in state["changes"])
        parts.append(_table(f"Changed in super-step {state['changed_in']}", rows))
    rows = "".join(
        f'<tr style="background:none"><td style="{_NAME}">{html.escape(name)}</td>'
        f'<td style="{_CELL}">{_value(value)}</td></tr>'
        for name, value in state["values"].items()
    )
    parts.append(_table("State", rows) if rows else "")
    if model.printed:
        parts.append(
            '<details style="margin-top:8px"><summary style="font-weight:600">Printed</summary>'
            '<pre style="white-space:pre-wrap;overflow-wrap:anywhere;margin:4px 0">'
            f"{html.escape(model.printed)}</pre></details>"
        )
    # Names that a user chose are in it, too: nothing may reach a terminal as an escape.
    return "".join([*parts, "</div>"]).translate(CONTROLS)


def hide_the_dead() -> str:
    """A widget whose kernel is gone is one line of text in JupyterLab; the picture says more."""
    return _HIDE_THE_DEAD


def _status(state: dict[str, Any]) -> str:
    """In words that stay true: a picture does not hear how a run that it was made of went on."""
    return "begun" if state["status"] == "running" else str(state["status"])


def _headline(state: dict[str, Any]) -> str:
    status = _status(state)
    shown = look(state["status"])
    took = f" · {state['ended'] - state['started']:.1f} s" if state["ended"] else ""
    return (
        '<div style="margin-bottom:6px"><b>'
        f"{html.escape(state['graph'])}</b> · {html.escape(state['thread'])} "
        f'<span style="background:{shown.fill};color:{shown.ink};border:1px solid {shown.stroke};'
        f'border-radius:9px;padding:0 8px;margin:0 4px">{shown.icon} {html.escape(status)}</span> '
        f"{_turn(state)}super-step {state['step']}{took}</div>"
    )


def _turn(state: dict[str, Any]) -> str:
    return f"turn {state['turn']} · " if state["turn"] > 1 else ""


def _table(title: str, rows: str) -> str:
    return (
        f'<div style="margin-top:8px;font-weight:600">{html.escape(title)}</div>'
        f'<table style="border-collapse:collapse;margin:2px 0">{rows}</table>'
    )


def _change_row(change: dict[str, Any]) -> str:
    sign = {"added": "+", "grown": "+", "removed": "−"}.get(change["kind"], "~")
    shown = "<br>".join(_part(part, change["kind"]) for part in change["parts"][:PARTS])
    more = change["more"] + max(0, len(change["parts"]) - PARTS)
    shown += f"<br>… and {more} more" if more else ""
    return (
        f'<tr style="background:none"><td style="{_NAME}">{sign} {html.escape(change["field"])}'
        f'</td><td style="{_CELL}">{shown}</td></tr>'
    )


def _part(part: dict[str, Any], kind: str) -> str:
    """One difference inside a field, as one line."""
    path = f"{html.escape(cut(part['path'], 80))}: " if part["path"] and kind == "changed" else ""
    if "words" in part:
        return path + "".join(
            f"{_WORDS[op][0]}{_safe(t)}{_WORDS[op][1]}" for op, t in part["words"]
        )
    if "records" in part:
        told = part["records"]
        return f"{told['plus']} added, {told['minus']} removed, {told['mod']} changed"
    if "table" in part:
        return path + html.escape(part["table"]["text"])
    sides = [_value(part[side], 200) for side in ("before", "after") if side in part]
    removed = "before" in part and "after" not in part
    return path + (f"<del>{sides[0]}</del>" if removed else " → ".join(sides))


def _safe(text: str) -> str:
    return html.escape(cut(text, 400))


def _value(value: dict[str, Any], limit: int = 600) -> str:
    if value["kind"] == "table" and value.get("rows"):
        head = "".join(f'<th style="{_CELL}">{html.escape(c)}</th>' for c in value["columns"])
        body = "".join(
            "<tr>" + "".join(f'<td style="{_CELL}">{html.escape(c)}</td>' for c in row) + "</tr>"
            for row in value["rows"][:3]
        )
        return (
            f"{html.escape(value['type'])} {html.escape(value['text'])}"
            f'<div style="overflow-x:auto"><table style="border-collapse:collapse;font-size:11px">'
            f"<tr>{head}</tr>{body}</table></div>"
        )
    if value["kind"] == "image":
        alt = html.escape(f"{value['type']}, {value['text']}")
        return f'<img src="{html.escape(value["src"])}" alt="{alt}" style="max-height:180px">'
    if value["kind"] == "html" and len(value["html"]) <= DOCUMENT and limit > 200:
        return _document(value)
    return html.escape(cut(line(value), limit))


def _document(value: dict[str, Any]) -> str:
    """What a value shows of itself, where nothing in it can run or load."""
    told = html.escape(f"{value['type']} as it shows itself", quote=True)
    inside = html.escape(_NOTHING_ELSE + value["html"], quote=True)
    return (
        f"{html.escape(cut(line(value), 200))}"
        f'<iframe sandbox="" title="{told}" srcdoc="{inside}" style="display:block;width:100%;'
        'height:180px;border:0;background:white"></iframe>'
    )


def line(value: dict[str, Any]) -> str:
    """A preview as one text, as much of it as it holds."""
    if value.get("items") is None:
        return str(value["text"])
    inner = [
        line(item) if value["kind"] == "list" else f"{key}: {line(item)}"
        for key, item in value["items"]
    ]
    inner += [f"… {value['more']} more"] if value["more"] else []
    opened, closed = ("[", "]") if value["kind"] == "list" else ("{", "}")
    return f"{opened}{', '.join(inner)}{closed}"


def static_text(model: RunModel) -> str:
    """The run for a terminal or a plain-text reader."""
    state = model.state
    took = time.strftime("%H:%M:%S", time.localtime(state["ended"])) if state["ended"] else "now"
    text = [
        f"{state['graph']} · {state['thread']}: {_status(state)} at {_turn(state)}super-step "
        f"{state['step']} ({took})"
    ]
    text += [f"  asks: {question['text']}" for question in state["questions"]]
    text += [f"  {state['error']}"] if state["error"] else []
    text += [f"  {name} = {cut(line(value), 100)}" for name, value in state["values"].items()]
    return "\n".join(text).translate(CONTROLS)
