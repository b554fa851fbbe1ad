"""
A graph that a node's own code calls: `inner.run(…)`, `await inner.arun(…)`.

Rule 1: the called graph's thread belongs to the task that calls it. It is nested in the task's
        thread, so it is kept, resumed, copied and thrown away with it.
Rule 2: its question ends the node and is asked by the task's thread; when the node runs again, the
        same call goes on in the same thread. So does a call whose graph has failed.
Rule 3: where a node of the called graph hands over (`Command(graph=PARENT)`), the node that calls
        it ends, as if it had returned that command.
Rule 4: what one call waits for does not break off another that is under way: the node ends when
        all of them have ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from nbagent.engine.model.digest import digest
from nbagent.engine.model.ids import KEPT, read_called
from nbagent.engine.model.outcome import Outcome
from nbagent.engine.model.program import Program
from nbagent.engine.model.values import thaw
from nbagent.engine.node import executor
from nbagent.engine.node.context import Calls, TaskContext, current, running
from nbagent.engine.node.origin import is_a_nodes
from nbagent.engine.node.subgraph import HandedOver, Kept, Suspended, commands_of
from nbagent.errors import NbagentError


def is_inside(name: str) -> bool:
    """True in the code of a node of a running graph, which calls the graph `name`.

    `NbagentError` on a thread that the node started by itself: nobody could say whose call it is.
    """
    if running() is not None:
        return True
    if is_a_nodes():
        raise NbagentError(
            f"graph {name!r} is called on a thread that a node has started without its context, so "
            f"the call cannot belong to its task: `await {name}.arun(…)`, "
            f"`asyncio.to_thread({name}.run, …)`, or "
            f"`contextvars.copy_context().run({name}.run, …)` on that thread. "
            f"{name}.run(…, thread=id) is a thread of its own. Nothing was started"
        )
    return False


def call(program: Program, given: Mapping[str, Any], keep: bool = False) -> Outcome:
    """Run the graph inside the task whose node calls it, and wait; its last state.

    `NbagentError`, before anything starts, on a thread that runs an event loop.
    """
    inside = current("run")
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        waiting = asyncio.run_coroutine_threadsafe(
            _on_the_loop(inside, program, given, keep), inside.services.loop
        )
        with executor.waiting():
            return waiting.result()
    raise NbagentError(
        f"node {inside.place.node!r} calls graph {program.name!r} with run() on a thread whose "
        f"event loop would stand still: `await {program.name}.arun(…)`, or make the node a "
        "`def` node. Nothing was started"
    )


async def acall(program: Program, given: Mapping[str, Any], keep: bool = False) -> Outcome:
    """The same for a coroutine, on whichever event loop it is."""
    inside = current("arun")
    if asyncio.get_running_loop() is inside.services.loop:
        return await _on_the_loop(inside, program, given, keep)
    made = _on_the_loop(inside, program, given, keep)
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(made, inside.services.loop))


async def _on_the_loop(
    inside: TaskContext, program: Program, given: Mapping[str, Any], keep: bool
) -> Outcome:
    calls, place = inside.take_call(program.name, KEPT if keep else digest(given)[:12])
    if keep:
        _check_alone(calls, program.name, place)
        given = Kept(given)
    made = calls.under_way.get(place)
    if made is None or made.done():  # else an attempt that was given up has begun it
        made = asyncio.ensure_future(inside.services.nest(inside, place, program, given))
        calls.under_way[place] = made
    seat = inside.seat
    if seat is not None:
        seat.leave()
    try:
        ended = await asyncio.shield(made)
    except asyncio.CancelledError:
        if not made.done() and not has_suspended(calls.under_way.values()):
            made.cancel()
            await asyncio.wait([made])
        raise
    finally:
        if seat is not None:
            await seat.back()
    if ended.handed:
        raise HandedOver(commands_of(ended.handed))
    return Outcome(thaw(program.given_out(ended.last)), thread=ended.thread)


def _check_alone(calls: Calls, graph: str, place: str) -> None:
    """`NbagentError` for a kept graph that is called while another call of it is under way."""
    for other, made in calls.under_way.items():
        if other != place and (read_called(other) or ())[1:] == (KEPT, graph) and not made.done():
            raise NbagentError(
                f"graph {graph!r} is called with keep=True while another such call of it is under "
                "way: it goes on from where that ends, so await that one first"
            )


def has_suspended(calls: Iterable[asyncio.Future[Any]]) -> bool:
    """True when one of the calls waits for a person, or is paused: the node is to end."""
    return any(
        one.done() and not one.cancelled() and isinstance(one.exception(), Suspended)
        for one in calls
    )


async def end_calls(inside: TaskContext) -> Suspended | None:
    """The node has ended: what its calls wait for, once none of them is under way any more.

    Those that nobody waits for are stopped, unless the node has ended because another one asks.
    """
    if inside.calls is None:
        return None
    made = list(inside.calls.under_way.values())
    if not has_suspended(made) and not inside.asked:
        for one in made:
            one.cancel()
    if left := [one for one in made if not one.done()]:
        await asyncio.wait(left)
    ends = [one.exception() for one in made if not one.cancelled()]
    suspended = [end for end in ends if isinstance(end, Suspended)]
    if not suspended:
        return None
    return Suspended([question for one in suspended for question in one.questions])
