"""
An annotated state class -> channels, defaults, checks and JSON Schema. (R34, R47)

    state      the schema that the engine asks: what goes in, what is written, what is edited
    fields     what a state class declares
    adapters   a type -> pydantic's adapter, in every Python
    checks     does a value fit a type, and what does not
    instances  models and dataclasses inside values: checked, and mended where their class changed
    views      the state as a node reads it
    forms      JSON Schema, JSON values and answers

Rule 1: pydantic decides what fits a type, for a TypedDict, a dataclass or a pydantic model alike.
Rule 2: what a node writes is checked and never converted: what is read equals what was written.
        An input, an edit or an answer that came through JSON is converted to the field's type.
Rule 3: a field with a reducer begins empty where its type has an empty value.
"""

from nbagent.graph.schema.fields import Field
from nbagent.graph.schema.forms import takes_text
from nbagent.graph.schema.state import Migrate, StateSchema

__all__ = ["Field", "Migrate", "StateSchema", "takes_text"]
