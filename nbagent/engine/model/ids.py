"""
Ids: the one place that makes them and takes them apart.

    thread     the user's own text, whatever is in it. It says nothing about other threads: what is
               nested in what is a column (`ThreadInfo.parent`, `ThreadInfo.place`)
    task       ANCHOR:NODE, and ANCHOR:NODE#N for the N-th input that was sent to the node: the
               checkpoint that planned it and its node, so it is the same after a restart
    place      where in its parent a thread is nested: the TASK whose node is a graph;
               TASK@N:DIGEST:GRAPH for the N-th thread of a graph that the task's code calls;
               QUESTION>GRAPH, or ANCHOR>GRAPH, for the graph that helps; PART for a copy that is
               being written: no place in a parent, and nobody's thread yet
    question   TASK:POSITION in its thread; TASK/ID or TASK@N/ID for one of a thread that the task
               runs, as many levels deep as there are
    gate       ANCHOR:before@NODE, ANCHOR:after@NODE: a breakpoint, in the journal
    channel    to:NODE, send:NODE, join:A+B>NODE and end: are what a checkpoint's `control` holds;
               start: while the routes behind START are still to be followed; timeout:NODE where
               what was sent has a time of its own; parent: what a subgraph hands over at its end;
               pause: where this run and its resumes are still to pause; budget: what they may
               spend; memory: what the super-step's nodes remember

A node's name holds letters, digits, `_`, `-` and spaces only (`graph.validate`), so a task's id can
be taken apart.
"""

from __future__ import annotations

from collections.abc import Iterable

# --------------------------------------------------------------------------------------- tasks


def task_id(anchor: int, node: str, sent: int | None = None) -> str:
    """The id of the task that runs `node`; `sent` is the place of its input, if it was sent one."""
    return f"{anchor}:{node}" if sent is None else f"{anchor}:{node}#{sent}"


def node_of(task: str) -> str:
    """The node that a task id, or the place of a thread that the task runs, belongs to."""
    return task.partition("@")[0].partition(":")[2].partition("#")[0]


def sent_of(task: str) -> int:
    """The place of the input that a task was sent; -1 for one that reads the state."""
    return int(task.partition("#")[2] or -1)


def is_sent(task: str) -> bool:
    """True for a task that was sent its input, and does not read the state."""
    return "#" in task


def anchor_of(place: str) -> int | None:
    """The checkpoint that planned a task, or that an escalation helps; None where none is named."""
    digits = place[: len(place) - len(place.lstrip("0123456789"))]
    return int(digits) if digits else None


# ------------------------------------------------------------------------------------- threads


def nested_thread(parent: str, place: str) -> str:
    """The id of the thread at a place of its parent: to be read by people, not taken apart."""
    return f"{parent}/{place}"


KEPT = "keep"  # in place of the digest, of a call that goes on from the one before


def called(task: str, number: int, digest: str, graph: str) -> str:
    """The place of the N-th thread (from 0) of a graph that a task's code calls, with the digest
    of the input that it was first called with."""
    return f"{task}@{number}:{digest}:{graph}"


def read_called(place: str) -> tuple[int, str, str] | None:
    """A called thread's number, digest and graph; None for a place of another kind."""
    _, at, rest = place.partition("@")
    if not at:
        return None
    number, digest, graph = rest.split(":", 2)
    return int(number), digest, graph


def task_of(place: str) -> str | None:
    """The task that runs the thread at a place; None where that is a graph that helps."""
    task, at, _ = place.partition("@")
    return None if not at and ">" in place else task


def call_of(place: str) -> str:
    """A place as questions name it: TASK, or TASK@N."""
    task, at, rest = place.partition("@")
    return f"{task}{at}{rest.partition(':')[0]}"


def escalation(asked: str | None, anchor: int, checkpoint: int, graph: str) -> str:
    """The place of the thread that helps another one: at its question, or where it stands.

    A thread that asks nothing and was edited since stands elsewhere: it is helped again.
    """
    stands = f"{anchor}" if anchor == checkpoint else f"{anchor}.{checkpoint}"
    return f"{asked or stands}>{graph}"


PART = "part"


def fork(thread: str, number: int) -> str:
    """The id of a thread's N-th fork, where nobody says another."""
    return f"{thread}-fork-{number}"


def batch_name(graph: str, digest: str) -> str:
    """The name of a batch that nobody has named: of the graph and all its inputs."""
    return f"{graph}-map-{digest}"


def batch_member(batch: str, index: int) -> str:
    """The id of the thread of a batch's N-th input."""
    return f"{batch}-{index}"


# ----------------------------------------------------------------------------------- questions


def call_id(task: str, position: int) -> str:
    """The id of a journalled call; of a question, its id in its thread."""
    return f"{task}:{position}"


def inner_question(call: str, id: str) -> str:
    """A question of a thread that a task runs (see `call_of`), as the task's own thread asks it."""
    return f"{call}/{id}"


def split_question(id: str) -> tuple[str | None, str]:
    """Whose thread asks (see `call_of`), and the question's id there; (None, id) for an own one."""
    call, slash, rest = id.partition("/")
    return (call, rest) if slash else (None, id)


def gate_id(anchor: int, place: str, node: str) -> str:
    """The id, as a task's, of a breakpoint "before" or "after" a node."""
    return f"{anchor}:{place}@{node}"


# ------------------------------------------------------------------------------------ channels

END_CHANNEL = "end:"
START_CHANNEL = "start:"
PARENT_CHANNEL = "parent:"
PAUSE_CHANNEL = "pause:"
BUDGET_CHANNEL = "budget:"
MEMORY_CHANNEL = "memory:"


def to_channel(node: str) -> str:
    """An edge, a branch or a command led to the node."""
    return f"to:{node}"


def send_channel(node: str) -> str:
    """The node was sent inputs."""
    return f"send:{node}"


def timeout_channel(node: str) -> str:
    """The place of an input that the node was sent -> the seconds that it may take."""
    return f"timeout:{node}"


def join_channel(sources: Iterable[str], target: str) -> str:
    """Who of the sources has arrived at the target's join, in whatever order they are written;
    no target is the routes that wait for all of them."""
    return f"join:{'+'.join(sorted(set(sources)))}>{target}"


def same_join(channel: str) -> str:
    """A join's channel as it is called now: earlier files have the sources as they were written."""
    sources, _, target = channel.removeprefix("join:").rpartition(">")
    return join_channel(sources.split("+"), target)


def read_channel(channel: str) -> tuple[str, str]:
    """Its kind ("to", "send", "join", "end" …) and its node; of a join it is unknown: ""."""
    kind, _, name = channel.partition(":")
    return kind, "" if kind == "join" else name


def join_target(channel: str) -> str:
    """For a sentence about a join that the graph does not have: the node that it leads to."""
    return channel.rpartition(">")[2]
