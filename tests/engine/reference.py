"""
What a graph means, as one plain loop: the yardstick for the engine. It shares no code with it.

A graph is data: `nodes` (names in order; a name's kind is in `kinds`), `edges`, `joins`,
`branches` (source -> list of targets, chosen by the length of the log that the source left, or,
where a fan-out runs it, of the whole log), `eaches` (source, target,
count) and `subscribers` (node -> field). Each node appends to `log`; kind "set" also sets `x`.
Kind "sub" is a graph of its own, whose nodes come one after another and share `log` and `x`; kind
"call" calls one from its code. Their nodes' kinds are in `inner`.
"""

from dataclasses import dataclass, field

LONG = 14  # a log longer than this makes every branch leave


class Stuck(Exception):
    """Nothing is left to run, no path came to the end, and a join still waits."""


@dataclass
class Spec:
    """A graph as data."""

    nodes: list[str]
    kinds: dict[str, str]
    edges: list[tuple[str, str]] = field(default_factory=list)
    joins: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    branches: dict[str, list[str]] = field(default_factory=dict)
    eaches: list[tuple[str, str, int]] = field(default_factory=list)
    subscribers: dict[str, str] = field(default_factory=dict)
    inner: dict[str, list[str]] = field(default_factory=dict)


def chosen(spec, source, log):
    """Where the branch after `source` leads."""
    targets = spec.branches[source]
    return "END" if len(log) > LONG else targets[len(log) % len(targets)]


def part(name, place):
    """The name of a node inside of another."""
    return f"{name}.{place}"


def written(spec, kind, name, log, x, item=None):
    """What one run of a node appends, and the value that it sets or None.

    A run with a private input sees no state, and sets nothing.
    """
    if item is not None:
        log, x = [], 0
    if kind == "sub":
        entries, last = inside(spec, name, log, x)
        return entries, last if last != x else None
    if kind == "call":
        return [(name, len(log), x, item, *inside(spec, name, [], x))], None
    if item is not None:
        return [(name, None, None, item)], None
    return [(name, len(log), x, None)], (len(log) * 10 + len(name) if kind == "set" else None)


def inside(spec, name, log, x):
    """What the nodes of an inner graph append in all, and the value of `x` behind them."""
    entries = []
    for place, kind in enumerate(spec.inner[name]):
        more, value = written(spec, kind, part(name, place), [*log, *entries], x)
        entries += more
        x = x if value is None else value
    return entries, x


def interpret(spec, limit=200):
    """The log, the value of x, and the number of super-steps."""
    log, x, steps, ended = [], 0, 0, False
    due, sent, waiting = set(), {}, {join: set() for join in spec.joins}

    def leave(source, seen):
        """`seen` is the log that the source's branch reads: its own entry on top of what was."""
        nonlocal ended
        for a, b in spec.edges:
            if a == source:
                ended = ended or b == "END"
                due.add(b)
        for join in spec.joins:
            if source in join[0]:
                waiting[join].add(source)
        if source in spec.branches:
            target = chosen(spec, source, seen)
            ended = ended or target == "END"
            due.add(target)
        for a, b, count in spec.eaches:
            if a == source:
                if count == 0:
                    leave(b, log)
                else:
                    sent.setdefault(b, []).extend(range(count))

    gathered = {b for _, b, _ in spec.eaches}
    leave("START", log)
    changed_x = True  # the input sets it
    while True:
        due.discard("END")
        due.update(node for node, _ in spec.subscribers.items() if changed_x)
        for join in spec.joins:
            if waiting[join] == set(join[0]):
                due.add(join[1])
        now = [name for name in spec.nodes if name in due or name in sent]
        if not now:
            if not ended and any(waiting.values()):
                raise Stuck
            return log, x, steps
        steps += 1
        if steps > limit:
            raise RecursionError
        before, seen_x, runs = list(log), x, []
        for name in now:
            items = ([None] if name in due else []) + sent.get(name, [])
            for item in items:
                runs.append((name, written(spec, spec.kinds[name], name, before, seen_x, item)))
            for join in spec.joins:
                if join[1] == name and waiting[join] == set(join[0]):
                    waiting[join] = set()
        due, sent = set(), {}
        log.extend(entry for _, (entries, _) in runs for entry in entries)
        values = [value for _, (_, value) in runs if value is not None]
        if len(values) > 1:
            raise ValueError("conflict")
        changed_x = bool(values) and values[0] != x
        x = values[0] if values else x
        for name in now:
            own = [entry for one, (entries, _) in runs if one == name for entry in entries]
            leave(name, log if name in gathered else [*before, *own])
