"""
What a graph says of its context, `Graph(context=Class)`, as a check of what a run is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from nbagent.engine.model.callables import takes
from nbagent.errors import GraphError, StateError, nearest
from nbagent.graph.schema.adapters import is_typed_dict, origin_of


def reader_of_context(graph: str, kind: Any) -> Callable[[Any], Any] | None:
    """What makes a run's context of what it was given; None where the graph says nothing.

    `StateError` for what is no context of the class, and for none where the class needs some.
    """
    if kind is None:
        return None
    origin = origin_of(kind)
    if not isinstance(origin, type):
        raise GraphError(
            f"Graph(context={kind!r}): give a class, such as a dataclass or a TypedDict"
        )
    name = origin.__name__

    def read(given: Any) -> Any:
        if is_typed_dict(origin):
            return _read_dict(graph, origin, {} if given is None else given)
        if given is None:
            if not takes(origin, 0):
                raise StateError(
                    f"graph {graph!r} needs a context: give one with start(…, "
                    f"context={name}(…)), and at each resume"
                )
            return origin()
        if isinstance(given, origin):
            return given
        if not isinstance(given, Mapping):
            raise StateError(
                f"the context of graph {graph!r} is a {type(given).__name__}: give a {name}, or "
                "a dict of what it takes"
            )
        try:
            return origin(**given)
        except (TypeError, ValueError) as error:
            raise StateError(
                f"the context of graph {graph!r} cannot be made a {name}: {error}"
            ) from error

    return read


def _read_dict(graph: str, kind: Any, given: Any) -> Any:
    if not isinstance(given, Mapping):
        raise StateError(
            f"the context of graph {graph!r} is a {type(given).__name__}: give a dict, as "
            f"{kind.__name__} says"
        )
    known = get_type_hints(kind)
    for key in given:
        if key not in known:
            raise StateError(
                f"the context of graph {graph!r} has {key!r}, which {kind.__name__} does not"
                f"{nearest(str(key), known)}"
            )
    missing = [key for key in sorted(kind.__required_keys__) if key not in given]
    if missing:
        raise StateError(
            f"graph {graph!r} needs a context with {', '.join(map(repr, missing))}: give it with "
            "start(…, context={…}), and at each resume"
        )
    return given
