"""What is known of the user's own code: the line that is being run, what a function looks like."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from nbagent.engine.model.callables import takes
from nbagent.errors import GraphError, Location, nearest
from nbagent.graph.schema import StateSchema


def here() -> Location | None:
    """The nearest line that is not nbagent's own."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("nbagent."):
        frame = frame.f_back  # type: ignore[assignment]
    return Location(frame.f_code.co_filename, frame.f_lineno) if frame is not None else None


def label_of(thing: Any) -> str:
    """What an edge that `thing` chooses is called in a picture."""
    name = thing if isinstance(thing, str) else getattr(thing, "__name__", "…")
    return "…" if name == "<lambda>" else name


def reader_of(
    thing: str | Callable[[Any], Any], schema: StateSchema, location: Location | None
) -> Callable[[Any], Any]:
    """A function of the state: `thing` itself, or one that reads the field of that name."""
    if not isinstance(thing, str):
        if not callable(thing):
            raise GraphError(f"{thing!r} is neither a field nor a function", location=location)
        if not takes(thing, 1):
            raise GraphError(
                f"{label_of(thing)} cannot be called with the state alone, as what a branch or "
                "each asks is",
                location=location,
            )
        return thing
    if thing not in schema.fields:
        raise GraphError(
            f"{thing!r} is not a field of the state{nearest(thing, schema.fields)}",
            location=location,
        )

    def read(state: Any) -> Any:
        return state[thing] if isinstance(state, Mapping) else getattr(state, thing)

    return read
