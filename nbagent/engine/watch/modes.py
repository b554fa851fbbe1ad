"""
What of a run's events each mode of a stream shows.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, Literal

from nbagent.engine.model.several import Several
from nbagent.engine.model.values import thaw
from nbagent.engine.watch.events import (
    Checkpointed,
    Event,
    Missed,
    NodeEmitted,
    NodeFinished,
    RunEnded,
    SubgraphEvent,
)
from nbagent.engine.watch.messages import message_of, text_of
from nbagent.errors import NbagentError, nearest

Mode = Literal["events", "updates", "values", "emitted", "messages"]
MODES: tuple[Mode, ...] = ("events", "updates", "values", "emitted", "messages")
Path = tuple[str, ...]
Place = tuple[Path, str]
"""Where an item is told: the nodes that lead to its graph from the outer one, and its mode."""


def check_modes(mode: Mode | Sequence[Mode]) -> tuple[Mode, ...]:
    """The modes, in order; `NbagentError` for one that a stream does not have."""
    modes = (mode,) if isinstance(mode, str) else tuple(mode)
    for one in modes:
        if one not in MODES:
            raise NbagentError(
                f"stream(mode={one!r}): it is one of {', '.join(MODES)}, or a list of them"
                f"{nearest(one, MODES)}"
            )
    if not modes:
        raise NbagentError(f"stream(mode=[]): give at least one of {', '.join(MODES)}")
    return tuple(dict.fromkeys(modes))


def unwrapped(event: Event) -> tuple[Path, Event]:
    """What has happened, and the nodes that lead to the graph in which it has."""
    if type(event) is not SubgraphEvent:
        return (), event
    path: list[str] = []
    while isinstance(event, SubgraphEvent):
        path.append(event.node)
        event = event.event
    return tuple(path), event


def modes_of(event: Event, wanted: Sequence[Mode] = MODES) -> list[Mode]:
    """Which of the modes wanted show an event of a graph itself."""
    found = [mode for mode in wanted if type(event) in _KINDS[mode]]
    if "messages" in found and text_of(event.value) is None:  # type: ignore[attr-defined]
        found.remove("messages")
    return found


class Selection:
    """The places of a stream's items: those of its modes, and of subgraphs where it shows them.

    What nodes emit is shown whichever graph they are of.
    """

    def __init__(self, modes: Sequence[Mode], subgraphs: bool) -> None:
        self.modes = tuple(modes)
        self.subgraphs = subgraphs
        self._emitted = not {"emitted", "messages"}.isdisjoint(modes)

    def places(self, event: Event) -> list[tuple[Place, Event]]:
        """Where the event is shown, and as which: a wrapped one is taken out where its path is
        told."""
        modes = self.modes
        if type(event) is not SubgraphEvent:
            return [(((), mode), event) for mode in modes_of(event, modes)]
        if not self.subgraphs and not self._emitted:
            return [(((), "events"), event)] if "events" in modes else []
        path, inner = unwrapped(event)
        found: list[tuple[Place, Event]] = []
        if self.subgraphs:
            return [((path, mode), inner) for mode in modes_of(inner, modes)]
        if "events" in modes:
            found.append((((), "events"), event))
        if type(inner) is NodeEmitted:
            own = modes_of(inner, modes)
            found += [(((), mode), inner) for mode in own if mode != "events"]
        return found

    def missed(self, gone: Missed) -> list[tuple[Place, int]]:
        """How many of its items are among what is gone, by place."""
        counts: dict[Place, int] = {}
        for (path, mode), count in gone.places.items():
            if mode not in self.modes:
                continue
            shown = self.subgraphs or not path or mode in ("events", "emitted", "messages")
            if shown:
                at = (path if self.subgraphs else (), mode)
                counts[at] = counts.get(at, 0) + count
        if not gone.places and "events" in self.modes:
            counts[(), "events"] = gone.count
        return list(counts.items())


def item_of(mode: str, event: Event) -> Any:
    """What a mode shows of an event."""
    if mode == "events" or isinstance(event, Missed):
        return event
    if isinstance(event, NodeFinished):
        return {event.node: {name: _shown(value) for name, value in event.update.items()}}
    if isinstance(event, Checkpointed):
        return thaw(event.checkpoint.values)
    if isinstance(event, NodeEmitted):
        return message_of(event) if mode == "messages" else (event.node, event.value)
    raise AssertionError(f"{mode} shows no {type(event).__name__}")


def _shown(value: Any) -> Any:
    """What was written to a field; of several writes that are not one, a list of them."""
    return list(map(thaw, value.values)) if type(value) is Several else thaw(value)


def ends(event: Event) -> bool:
    """True for the run's own end."""
    return isinstance(event, RunEnded)


class _Any:
    """All kinds of events."""

    def __contains__(self, kind: object) -> bool:
        return True


_KINDS: dict[Mode, Container[type[Event]]] = {
    "events": _Any(),
    "updates": (NodeFinished,),
    "values": (Checkpointed,),
    "emitted": (NodeEmitted,),
    "messages": (NodeEmitted,),
}
