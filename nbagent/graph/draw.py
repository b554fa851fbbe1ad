"""
A graph as a picture: geometry for the browser, SVG for the saved notebook, text for a terminal.

Graphviz's `dot` lays it out where it is installed; without it a layout by ranks serves. Either is
computed once for each topology.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from nbagent.engine.model.program import END, START, Program
from nbagent.graph.layout import Box, Drawing, lines
from nbagent.graph.look import COLOURS, look

# ------------------------------------------------------------------------------------- pictures


def to_svg(
    drawing: Drawing,
    statuses: Mapping[str, str] | None = None,
    taken: Any = (),
    counts: Mapping[str, str] | None = None,
) -> str:
    """The graph as inline SVG on a light card of its own; status by colour and by icon."""
    lit = {tuple(edge) for edge in taken}
    width, height = drawing.width + 24, drawing.height + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="graph" '
        f'width="{width:.0f}" height="{height:.0f}" viewBox="-12 -12 {width:.0f} {height:.0f}" '
        'style="max-width:100%;height:auto;font-family:system-ui,-apple-system,sans-serif">'
        f'<rect x="-11.5" y="-11.5" width="{width - 1:.0f}" height="{height - 1:.0f}" rx="6" '
        f'fill="{COLOURS["card"]}" stroke="{COLOURS["line"]}"/>'
    ]
    for wire in drawing.wires:
        on = (wire.source, wire.target) in lit
        colour = COLOURS["blue" if on else "wire"]
        dash = ' stroke-dasharray="4 3"' if wire.kind == "branch" and not on else ""
        weight = 1.8 if on else 1.2
        parts.append(
            f'<path d="{wire.path}" fill="none" stroke="{colour}" stroke-width="{weight}"{dash}/>'
            f'<path d="{wire.arrow}" fill="{colour}"/>'
        )
        if wire.label:
            parts.append(
                f'<text x="{wire.x:.1f}" y="{wire.y + 3.5:.1f}" text-anchor="middle" '
                f'font-size="10" fill="{COLOURS["soft"]}">{html.escape(wire.label)}</text>'
            )
    for box in drawing.boxes:
        parts.append(
            _box(box, (statuses or {}).get(box.name, "idle"), (counts or {}).get(box.name))
        )
    parts.append("</svg>")
    return "".join(parts)


def _box(box: Box, status: str, count: str | None) -> str:
    x, y = box.x - box.w / 2, box.y - box.h / 2
    if box.kind != "node":
        word = "START" if box.kind == "start" else "END"
        return (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{box.w:.1f}" height="{box.h:.1f}" '
            f'rx="{box.h / 2:.1f}" fill="{COLOURS["terminal"]}" stroke="{COLOURS["edge"]}"/>'
            f'<text x="{box.x:.1f}" y="{box.y + 3.5:.1f}" text-anchor="middle" font-size="9.5" '
            f'fill="{COLOURS["soft"]}" letter-spacing=".5">{word}</text>'
        )
    shown = look(status)
    label = f"{shown.icon} {box.name}" if shown.icon else box.name
    label += f" {count}" if count else ""
    return (
        f"<g><title>{html.escape(box.name)}: {html.escape(status)}</title>"
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{box.w:.1f}" height="{box.h:.1f}" rx="5" '
        f'fill="{shown.fill}" stroke="{shown.stroke}" stroke-width="1.3"/>'
        f'<text x="{box.x:.1f}" y="{box.y + 4:.1f}" text-anchor="middle" font-size="12" '
        f'fill="{shown.ink}">{html.escape(label)}</text></g>'
    )


def to_mermaid(program: Program) -> str:
    """The graph in Mermaid's language, subgraphs with what is in them."""
    return "\n".join(["flowchart TD", *_mermaid(program, "n", "  ")])


def _mermaid(program: Program, prefix: str, indent: str) -> list[str]:
    ids = {name: f"{prefix}{at}" for at, name in enumerate((START, *program.nodes, END))}
    wires = lines(program)
    used = {name for wire in wires for name in wire[:2]}
    text = []
    for name, id in ids.items():
        if name in (START, END):
            word = "START" if name == START else "END"
            text += [f'{indent}{id}(["{word}"])'] if name in used else []
            continue
        inner = program.nodes[name].program
        if inner is None:
            text.append(f'{indent}{id}["{_quoted(name)}"]')
            continue
        text.append(f'{indent}subgraph {id}["{_quoted(name)}"]')
        text += [*_mermaid(inner, f"{id}_", indent + "  "), f"{indent}end"]
    for source, target, _, label in wires:
        arrow = f'-- "{_quoted(label)}" -->' if label else "-->"
        text.append(f"{indent}{ids[source]} {arrow} {ids[target]}")
    return text


def _quoted(text: str) -> str:
    """Text between Mermaid's quotation marks; what has a meaning there is written as its number."""
    return "".join(f"#{ord(sign)};" if sign in '"#<>&\\`\n' else sign for sign in text)


def to_text(program: Program) -> str:
    """The graph as lines of text, a line an arrow."""
    shown = {START: "START", END: "END"}
    text = [f"graph {program.name}"]
    for source, target, kind, label in lines(program):
        note = f"  ({label})" if label else "  (join)" if kind == "join" else ""
        text.append(f"  {shown.get(source, source)} → {shown.get(target, target)}{note}")
    return "\n".join(text)
