"""
What a tool takes, as a JSON Schema: of a function, a LangChain tool, or an OpenAI tool's dict.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import pydantic

from nbagent.errors import StateError


def call_schema(tool: Any) -> tuple[str, Mapping[str, Any] | None]:
    """A tool's name, and the JSON Schema of what it takes, where it says so."""
    if isinstance(tool, str):
        return tool, None
    if isinstance(tool, Mapping):
        inner = tool.get("function", tool)
        schema = inner.get("parameters", inner.get("input_schema"))
        return _named(inner.get("name"), tool), schema
    if isinstance(tool, type) and issubclass(tool, pydantic.BaseModel):
        return tool.__name__, tool.model_json_schema()
    arguments = getattr(tool, "args_schema", None)
    if arguments is not None:  # a LangChain tool
        is_model = isinstance(arguments, type) and issubclass(arguments, pydantic.BaseModel)
        schema = arguments.model_json_schema() if is_model else arguments
        return _named(getattr(tool, "name", None), tool), schema
    if not callable(tool):
        raise _no_tool(tool)
    return _named(getattr(tool, "__name__", None) or type(tool).__name__, tool), _of_function(tool)


def _of_function(function: Any) -> Mapping[str, Any] | None:
    """What a function's signature says; None where that cannot be said in a schema, as of one that
    takes whatever it is given."""
    try:
        kinds = {one.kind for one in inspect.signature(function).parameters.values()}
        if kinds - {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}:
            return None
        schema = dict(pydantic.TypeAdapter(function).json_schema())
    except (TypeError, ValueError, NameError, pydantic.errors.PydanticUserError):
        return None
    return schema if schema.get("type") == "object" else None


def _named(name: Any, tool: Any) -> str:
    if not isinstance(name, str) or not name:
        raise _no_tool(tool)
    return name


def _no_tool(tool: Any) -> StateError:
    return StateError(
        f"approve() got {tool!r} for a tool: give its name, the function, a LangChain tool, or a "
        'dict with "name" and "parameters"'
    )
