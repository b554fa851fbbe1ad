"""
Records that are made at every super-step and never changed.

Rule: they are frozen to the type checker, which reads every line here, and not at run time: a
frozen dataclass goes through `object.__setattr__` for each field, which makes it three times as
slow to make, and a super-step makes a dozen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

C = TypeVar("C", bound=type)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def fact(cls: C) -> C:
    """A dataclass with slots, frozen to the type checker."""
    made: C = dataclass(slots=True, unsafe_hash=True)(cls)  # type: ignore[assignment]
    return made


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def keyword_fact(cls: C) -> C:
    """The same, made with keyword arguments only."""
    made: C = dataclass(slots=True, unsafe_hash=True, kw_only=True)(cls)  # type: ignore[assignment]
    return made
