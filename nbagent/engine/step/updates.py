"""
What a node gives back: its return value as writes and as control, its exception as a failure.
"""

from __future__ import annotations

import dataclasses
import traceback as tracebacks
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from nbagent.engine.model.channels import Channel
from nbagent.engine.model.checkpoint import Failure
from nbagent.engine.model.order import in_order
from nbagent.engine.model.program import END, START, Command, Node, Program, Send
from nbagent.engine.model.secrets import strike_out
from nbagent.engine.model.several import Overwrite, each_write
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
    program: Program,
    node: Node,
    returned: Any,
    read: Any = None,
    values: Mapping[str, Any] = frozen_dict({}),
) -> tuple[Mapping[str, Any], tuple[Any, ...]]:
    """What a node's return value writes, checked and frozen, and where it sends control.

    `read` is what the node was given, which it has not changed in place; `values` are the state.
    """
    check_untouched(read, node.name)
    if returned is None:
        return frozen_dict({}), ()
    goto: list[Any] = []
    if type(returned) is list or type(returned) is tuple:
        updates = [
            update
            for part in returned
            if (update := _read_part(program, node, part, read, goto, values, returned)) is not None
        ]
        return _as_one(program, updates), tuple(goto)
    update = _read_part(program, node, returned, read, goto, values)
    return frozen_dict({}) if update is None else update, tuple(goto)


def _read_part(
    program: Program,
    node: Node,
    returned: Any,
    read: Any,
    goto: list[Any],
    values: Mapping[str, Any],
    listed: Sequence[Any] | None = None,
) -> FrozenDict | None:
    """One thing that a node returned (one of what it `listed`): what it writes, and, in `goto`,
    where it leads."""
    if isinstance(returned, Send):
        goto += read_goto(program, node.name, returned)
        return None
    if isinstance(returned, Command):
        if returned.graph is not None:
            goto.append(_handed_over(node, returned))
            return None
        goto += read_goto(program, node.name, returned.goto)
        returned = returned.update
    if returned is None:
        return None
    kind = type(returned if listed is None else listed).__name__
    what = "" if listed is None else f", and not of {_a(type(returned).__name__)}"
    if type(returned) is not dict and not isinstance(returned, Mapping):
        returned = fields_of(returned, read)
    if returned is None:
        raise StateError(
            f"node {node.name!r} returned {_a(kind)}: return a dict of the "
            f"fields that it writes, a Command, None, or a list of these{what}",
            node=node.name,
        )
    check_update(program, returned, node.name, values)
    return _frozen(program, returned, node.name)


def _as_one(program: Program, updates: Sequence[Mapping[str, Any]]) -> FrozenDict:
    """Several updates of one node, in their order, as its record has them."""
    if len(updates) == 1:
        return frozen_dict(updates[0])
    writes: dict[str, list[Any]] = {}
    for update in updates:
        for name, value in update.items():
            writes.setdefault(name, []).extend(each_write(value))
    return seal({name: program.fields[name].together(values) for name, values in writes.items()})


def _handed_over(node: Node, command: Command) -> tuple[Any, ...]:
    """What a node of a subgraph hands to the parent, which checks it: ("parent", update, goto)."""
    update = {} if command.update is None else command.update
    if not isinstance(update, Mapping):
        raise StateError(
            f"node {node.name!r} returned Command(graph=PARENT) with an update that is "
            f"{_a(type(update).__name__)}: give a dict of fields of the parent's state",
            node=node.name,
        )
    return "parent", freeze(dict(update)), tuple(map(_as_content, _targets(command.goto)))


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


def check_update(
    program: Program,
    update: Mapping[str, Any],
    node: str | None,
    values: Mapping[str, Any] = frozen_dict({}),
) -> None:
    """`StateError` for the first write that the state, `values`, cannot take; `node` writes it."""
    for name, value in update.items():
        check_field(program, name, node)
        for one in each_write(value):
            program.schema.check_write(name, one, node, values.get(name, MISSING))


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
    read: list[Any] = []
    for target in _targets(goto):
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
        read.append(_as_content(target))
    return tuple(read)


def _targets(goto: Any) -> Iterable[Any]:
    if goto is None:
        return ()
    if isinstance(goto, (str, Send)) or not isinstance(goto, Iterable):
        return (goto,)
    return in_order(goto)


def _as_content(target: Any) -> tuple[Any, ...]:
    """A target as control channels have it."""
    if not isinstance(target, Send):
        return "to", _node_name(target)
    name, given = _node_name(target.node), freeze(target.input)
    timeout = () if target.timeout is None else (target.timeout,)
    return ("send", name, given, *timeout)


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


def _frozen(program: Program, written: Mapping[str, Any], node: str) -> FrozenDict:
    """What a node wrote, frozen; a refusal names the field and the node."""
    frozen: dict[str, Any] = {}
    for name, value in written.items():
        who = f"field {name!r} (written by node {node!r})"
        try:
            if name in program.untracked:  # a client is no data, and cannot be copied
                frozen[name] = value
                continue
            frozen[name] = made = freeze(value)
            if type(made) is Overwrite and not program.fields[name].folds:
                frozen[name] = made.value  # where nothing is merged, a write replaces
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
