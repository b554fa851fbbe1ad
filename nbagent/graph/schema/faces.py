"""
What of a state goes in and comes out: `Graph(input=Class, output=Class)`. The other fields are the
nodes' own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from nbagent.errors import FieldProblem, GraphError, nearest
from nbagent.graph.schema.fields import Field, fields_of


@dataclasses.dataclass(frozen=True, slots=True)
class Faces:
    """The fields that an input may give, and those that come out, each by its class; None for all
    of the state.

    shown  the fields that concern a person: all but the nodes' own; None for all
    """

    takes: Mapping[str, Field] | None = None
    gives: Mapping[str, Field] | None = None

    @property
    def shown(self) -> frozenset[str] | None:
        if self.takes is None or self.gives is None:
            return None
        return frozenset((*self.takes, *self.gives))

    def problem(self, name: str) -> FieldProblem | None:
        """What is wrong with an input that gives this field of the state; None for nothing."""
        if self.takes is None or name in self.takes:
            return None
        known = ", ".join(self.takes) or "nothing"
        return FieldProblem((name,), f"is the nodes' own: an input gives {known}")


def faces_of(state: Mapping[str, Field], takes: Any, gives: Any) -> Faces:
    """`GraphError` for a class with a field that the state lacks."""
    found: list[Mapping[str, Field] | None] = []
    for option, kind in (("input", takes), ("output", gives)):
        if kind is None:
            found.append(None)
            continue
        fields = fields_of(kind)
        for name in fields:
            if name not in state:
                raise GraphError(
                    f"{option}={kind.__name__} has {name!r}, which is not a field of the state"
                    f"{nearest(name, state)}: declare it there too"
                )
        found.append(fields)
    return Faces(*found)
