"""
What a node gives back: its return value as writes and as control, its exception as a failure.
"""

from __future__ import annotations

import dataclasses
import traceback as tracebacks
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from nbagent.engine.model.channels import Channel
from nbagent.engine.model.checkpoint import Failure
from nbagent.engine.model.order import in_order
from nbagent.engine.model.program import END, START, Command, Node, Program, Send
from nbagent.engine.model.secrets import strike_out
from nbagent.engine.model.several import each_write
from nbagent.engine.model.untouched import check_untouched
from nbagent.engine.model.values import (
    MISSING,
    FrozenDict,
    equal,
    freeze,
    frozen_dict,
    seal,
)
from nbagent.errors import CodecError, StateError, nearest, said, storable


def read_return(
    program: Program, node: Node, returned: Any, read: Any = None
) -> tuple[Mapping[str, Any], tuple[Any, ...]]:
    """What a node's return value writes, checked and frozen, and where it sends control.

    `read` is what the node was given, which it has not changed in place.
    """
    check_untouched(read, node.name)
    goto: tuple[Any, ...] = ()
    if isinstance(returned, Command):
        goto = read_goto(program, node.name, returned.goto)
        returned = returned.update
    if returned is None:
        return frozen_dict({}), goto
    kind = type(returned).__name__
    if type(returned) is not dict and not isinstance(returned, Mapping):
        returned = fields_of(returned, read)
    if returned is None:
        raise StateError(
            f"node {node.name!r} returned {_a(kind)}: return a dict of the "
            "fields that it writes, a Command, or None",
            node=node.name,
        )
    check_update(program, returned, node.name)
    return _frozen(returned, node.name), goto


def fields_of(returned: Any, read: Any) -> Mapping[str, Any] | None:
    """What a dataclass or model writes: the fields that were set in it and are not as they were
    read; None for what is neither."""
    if isinstance(returned, type):
        return None
    if dataclasses.is_dataclass(returned):
        names: Iterable[str] = [field.name for field in dataclasses.fields(returned)]
        names = [name for name in names if hasattr(returned, name)]
    elif hasattr(returned, "model_fields_set"):
        chosen = returned.model_fields_set
        names = [name for name in type(returned).model_fields if name in chosen]
    else:
        return None
    written = {name: getattr(returned, name) for name in names}
    return {
        name: value
        for name, value in written.items()
        if not equal(freeze(value), freeze(_read(read, name)))
    }


def _read(read: Any, name: str) -> Any:
    if isinstance(read, Mapping):
        return read.get(name, MISSING)
    return getattr(read, name, MISSING)


def _a(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def check_update(program: Program, update: Mapping[str, Any], node: str | None) -> None:
    """`StateError` for the first write that the state cannot take; `node` is who writes."""
    for name, value in update.items():
        check_field(program, name, node)
        for one in each_write(value):
            program.schema.check_write(name, one, node)


def read_names(program: Program, values: Mapping[str, Any], node: str | None) -> Mapping[str, Any]:
    """The values by their fields' own names, where some are by an alias; `StateError`."""
    aliases = getattr(program.schema, "aliases", {})
    read = {aliases.get(name, name): value for name, value in values.items()}
    for name in read:
        check_field(program, name, node)
    return read


def check_field(program: Program, name: Any, node: str | None) -> Channel:
    """The field's channel; `StateError` with the nearest name when the state has no such field."""
    if name not in program.fields:
        who = f"node {node!r} wrote" if node else "the edit sets"
        who = "the input gives" if node == START else who
        raise StateError(
            f"{who} {name!r}, which is not a field of the state"
            f"{nearest(name, program.fields)}: declare it in the state class or write another",
            field=str(name),
            node=node,
        )
    return program.fields[name]


def read_goto(program: Program, source: str, goto: Any) -> tuple[Any, ...]:
    """Where a branch or command leads: ("to", node) and ("send", node, input) in order."""
    if goto is None:
        return ()
    if isinstance(goto, (str, Send)) or not isinstance(goto, Iterable):
        goto = (goto,)
    read: list[Any] = []
    for target in in_order(goto):
        send = target if isinstance(target, Send) else None
        name = _node_name(send.node if send else target)
        if name == END and send is None:
            read.append(("to", END))
            continue
        if name not in program.nodes:
            raise StateError(
                f"after node {source!r} the graph should go to {name!r}, which it does not have"
                f"{nearest(name, program.nodes)}",
                node=source,
            )
        read.append(("send", name, freeze(send.input)) if send else ("to", name))
    return tuple(read)


def _node_name(target: Any) -> str:
    if isinstance(target, str):
        return target
    name = getattr(target, "name", None)
    return name if isinstance(name, str) else repr(target)


def to_failure(error: BaseException) -> Failure:
    """What is kept of an exception: the user's own frames, without the engine's."""
    frames: TracebackType | None = error.__traceback__
    while frames is not None and _is_ours(frames):
        frames = frames.tb_next
    name, message = storable(type(error).__name__), strike_out(said(error))
    try:
        text = "".join(tracebacks.format_exception(type(error), error, frames))
    except BaseException:  # what it says of itself is its own code
        text = f"{name}: {message}\n"
    return Failure(name, message, strike_out(storable(text)))


def _is_ours(frame: TracebackType) -> bool:
    module = frame.tb_frame.f_globals.get("__name__", "")
    return str(module).startswith(("nbagent.engine", "asyncio", "concurrent.futures"))


def _frozen(written: Mapping[str, Any], node: str) -> FrozenDict:
    """What a node wrote, frozen; a refusal names the field and the node."""
    frozen: dict[str, Any] = {}
    for name, value in written.items():
        who = f"field {name!r} (written by node {node!r})"
        try:
            frozen[name] = freeze(value)
        except StateError as error:
            raise StateError(f"{who}: {error}", field=name, node=node) from error
        except RecursionError:
            raise CodecError(
                f"{who}: the value is nested too deep, or it is part of itself: keep what is in "
                "it by name, as a dict of parts does",
                field=name,
                node=node,
            ) from None
    return seal(frozen)
