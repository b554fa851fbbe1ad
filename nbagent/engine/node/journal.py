"""
The calls of one attempt, and the journal entries that they are found by.

Rule 1: a call is found by what it is, in any order: an effect by its key, a cached call by its key
        and its arguments, a question by its text or `key=`; the n-th of equal ones is the n-th.
Rule 2: an entry's position is only where it is stored. It is given once, at the first use, and the
        next free one; an effect takes two, the second for the question what came of it.
Rule 3: a turn of a loop is a place of its own: its calls are counted anew, and found among those
        that it has made. When it is over they are gone, so that a loop costs what one turn does.
Rule 4: what is not found is not made to fit. Where a call may be an earlier one under another name,
        that is an error or a new question, and never somebody else's answer.
"""

from __future__ import annotations

import concurrent.futures
import difflib
import functools
import re
import sys
import threading
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nbagent.engine.model.checkpoint import JournalEntry
from nbagent.engine.model.digest import Digest, can_change, code_parts, is_a
from nbagent.engine.model.fact import fact
from nbagent.engine.model.secrets import mark_of, marked, said_of
from nbagent.engine.model.work import EFFECT
from nbagent.engine.model.work import KIND as QUESTION
from nbagent.errors import StateError

CACHED, HANDLER = "cached", "handler"
STEP, LOOP = "step", "loop"
GONE = "gone"  # a call of a turn that is over: its place is taken, and nobody finds it
TAKEN = "carried"  # in an effect's payload: which one it is of those that its graph had before
# Where the calls begin that are not the node's own, but its fallback's or a `recover` function's.
OF_FALLBACK, OF_RECOVERY = 1_000_000, 2_000_000
_SCOPES = (0, OF_FALLBACK, OF_RECOVERY, sys.maxsize)
_ALIKE = 0.6  # of 1: texts that may be one question in other words


@fact
class Given:
    """What a call is given, as digests.

    arguments  of the arguments
    captured   of what the function has captured besides, as far as that cannot change
    code       of its code; for telling two functions apart in one attempt
    is_whole   there are arguments, or nothing that it has captured can change: a second call would
               be the same call
    """

    arguments: str
    captured: str
    code: str
    is_whole: bool


def given(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Given:
    """What a call of `function(*args, **kwargs)` is given."""
    parts = Digest()
    arguments = parts.encode((tuple(args), dict(kwargs)))
    code, captured, is_whole = b"", [], True
    for part in _captured(function):
        if is_a(part, types.CodeType):
            code = parts.hash("code", [code, *code_parts(part)])
        elif can_change(part):
            is_whole = False
            captured.append(parts.named(type(part)))
        else:
            captured.append(parts.encode(part))
    held = parts.hash("captured", captured) if captured else b""
    return Given(
        _text(parts.hash("arguments", [arguments])),
        _text(held),
        _text(code),
        is_whole or bool(args or kwargs),
    )


def _captured(function: Any) -> Iterator[Any]:
    """The code of a function, and what it has captured: in its closure, as defaults, as the
    arguments of a partial, as the object of a method."""
    while is_a(function, functools.partial):
        yield from (*function.args, *sorted(function.keywords.items()))
        function = function.func
    if is_a(function, (types.MethodType, types.BuiltinMethodType)):
        if not is_a(function.__self__, types.ModuleType):
            yield function.__self__
        function = getattr(function, "__func__", function)
    if not is_a(function, types.FunctionType):
        yield function
        return
    yield function.__code__
    yield from function.__defaults__ or ()
    yield from sorted((function.__kwdefaults__ or {}).items())
    for cell in function.__closure__ or ():
        try:
            held = cell.cell_contents
        except ValueError:  # it is not filled yet
            continue
        if is_a(held, types.FunctionType) and held is not function:
            yield held.__code__
        else:
            yield held


def _text(made: bytes) -> str:
    return made.decode().lstrip("#")


class Found(NamedTuple):
    """Where a call's entry is, or will be.

    number   it is the n-th of its key in this attempt, from 0
    differs  it was begun with other arguments
    """

    position: int
    entry: JournalEntry | None
    number: int = 0
    differs: bool = False


@dataclass(slots=True)
class _Made:
    """The calls of one identity that the attempt has made, and the entries that were there."""

    earlier: Sequence[JournalEntry]
    arguments: str = ""
    taken: list[int] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Turn:
    """The calls of the code outside of all loops, or of one turn of a loop.

    first    the first position of its calls
    earlier  its entries, by position
    """

    first: int
    earlier: Sequence[JournalEntry]
    is_outer: bool = False
    made: dict[tuple[str, ...], _Made] = field(default_factory=dict)
    _index: dict[tuple[str, str], list[JournalEntry]] | None = None
    _has_marks: bool = False

    def of(self, kind: str, name: str) -> Sequence[JournalEntry]:
        """The entries of one kind and name."""
        if self._index is None:
            self._index = {}
            for entry in self.earlier:
                self._index.setdefault((entry.kind, _name_of(entry)), []).append(entry)
                if mark := marked(entry.key):
                    self._has_marks = True
                    self._index.setdefault((entry.kind, mark), []).append(entry)
        found = self._index.get((kind, name), [])
        if self._has_marks:
            found = [*found, *self._index.get((kind, mark_of(name)), ())]
            found.sort(key=lambda entry: entry.position)
        return found


def _name_of(entry: JournalEntry) -> str:
    return f"{entry.key}\n{_kept(entry, 'arguments')}" if entry.kind == STEP else entry.key


class Finder:
    """Finds the entries of one attempt's calls, of the node's own or of what stands in for it.

    under_way  position -> done when the cached call there is over

    Not thread-safe: the context's lock is held around every call.
    """

    def __init__(self, node: str, journal: Mapping[int, JournalEntry], first: int) -> None:
        self._node = node
        self._journal = journal
        self._range = range(first, next(end for end in _SCOPES if end > first))
        self._entries = sorted(self._own(journal.values()), key=lambda entry: entry.position)
        widths = (e.position + (2 if e.kind == EFFECT else 1) for e in self._entries)
        loops = (e.payload["first"] for e in self._entries if e.kind == LOOP)
        self._free = max([first, *widths, *loops])
        self._turns = [Turn(first, self._within(first), is_outer=True)]
        self._claimed: set[int] = set()
        self.under_way: dict[int, concurrent.futures.Future[None]] = {}

    def _own(self, entries: Iterable[JournalEntry]) -> Iterator[JournalEntry]:
        return (entry for entry in entries if entry.position in self._range)

    def _within(self, first: int) -> Sequence[JournalEntry]:
        """The entries from `first` on that are not of a turn of a loop in there."""
        entries = self._entries
        ends = [e.payload["first"] for e in entries if e.kind == LOOP and e.status == "open"]
        end = min((one for one in ends if one > first), default=None)
        return [
            entry
            for entry in entries
            if entry.position >= first
            and entry.kind != GONE
            and (end is None or entry.position < end)
        ]

    @property
    def _earlier(self) -> Sequence[JournalEntry]:
        return self._turns[-1].earlier

    # ----------------------------------------------------------------------- turns of loops

    def begin_turn(self, first: int | None = None) -> Turn:
        """A turn of a loop begins, or, from position `first`, goes on."""
        if first is None:
            self._turns.append(Turn(self._free, ()))
        else:
            self._turns.append(Turn(first, self._within(first)))
        return self._turns[-1]

    def end_turn(self, turn: Turn) -> range | None:
        """Leave the turn, and those that were broken off in it; the positions of its calls. None
        where it is not under way: another loop has gone on meanwhile."""
        if turn not in self._turns:
            return None
        del self._turns[self._turns.index(turn) :]
        return range(turn.first, self._free)

    # ------------------------------------------------------------------------------ finding

    def step(self, key: str, arguments: str) -> Found:
        """The n-th call with equal arguments is the n-th step."""
        made = self._of((STEP, f"{key}\n{arguments}"), lambda entry: entry.status == "done")
        number = len(made.taken)
        return self._take(made, made.earlier[number : number + 1], 1, number, None)

    def loop(self, name: str) -> Found:
        """The n-th loop of a name."""
        made = self._of((LOOP, name), lambda entry: True)
        number = len(made.taken)
        return self._take(made, made.earlier[number : number + 1], 1, number, None)

    def effect(self, key: str, what: Given) -> Found:
        """The n-th call of one key with equal arguments is the n-th effect."""
        made = self._of((EFFECT, key), lambda entry: True)
        if made.taken and made.arguments != what.arguments:
            raise StateError(
                f"node {self._node!r} calls effect {key!r} a second time, with other arguments: "
                "give each effect a key of its own, as in effect(f'mail {name}', …), so that it "
                "is found again when the node runs again",
                node=self._node,
            )
        made.arguments = what.arguments
        # In a turn another one, for the key of an effect is the same in each turn.
        turn = self._turns[-1]
        number = len(made.taken) + (0 if turn.is_outer else turn.first + 1)
        fitting = [e for e in made.earlier if fits(e, what.arguments)]
        if not fitting and len(made.earlier) > 1:
            raise StateError(
                f"node {self._node!r} has made effect {key!r} {len(made.earlier)} times, and now "
                "calls it with arguments that none of them had, so it cannot be told which one "
                "this is: give each effect a key of its own, and the same arguments when the node "
                "runs again",
                node=self._node,
            )
        left = [e for e in fitting or made.earlier if e.position not in made.taken]
        same = [e for e in left if _kept(e, "captured") == what.captured]
        return self._take(made, same or left, 2, number, what)

    def cached(self, key: str, what: Given) -> Found:
        """An entry is its key and what it was given; a function that works on what can change is
        asked once for each call."""
        identity = (CACHED, key, what.arguments, what.captured)

        def is_it(entry: JournalEntry) -> bool:
            mine = entry.status != "void"
            if mine and entry.payload is None:  # of a file from before arguments were kept
                return entry.position not in self._claimed
            return mine and identity[2:] == (_kept(entry, "arguments"), _kept(entry, "captured"))

        made = self._of(identity, is_it)
        if what.is_whole and what.code in made.codes:
            position = made.taken[made.codes.index(what.code)]
            return Found(position, self._journal.get(position))
        made.codes.append(what.code)
        left = [e for e in made.earlier if e.position not in made.taken]
        return self._take(made, left, 1, len(made.taken), what)

    def question(self, name: str, is_text: bool) -> Found:
        """By its text, or by its `key=`."""
        made = self._of((QUESTION, name), self._asks)
        number = len(made.taken)
        left = [e for e in made.earlier if e.position not in self._claimed]
        if not left and number == 0:
            left = self._reworded(name, is_text)
        return self._take(made, left, 1, number, None)

    def _reworded(self, name: str, is_text: bool) -> list[JournalEntry]:
        """The answered question of an earlier attempt that this one is in other words: the author
        was told to give it a key."""
        answered = [] if is_text else self.not_come_up()
        return answered[-1:] if any(entry.payload.get("again") for entry in answered) else []

    def not_come_up(self) -> list[JournalEntry]:
        """Answered questions that had no key in an earlier attempt, and were not asked in this."""
        return [
            entry
            for entry in self._earlier
            if self._asks(entry) and entry.status == "done"
            and entry.position not in self._claimed
            and said_of(entry.key) == text_of(entry.payload["question"])
        ]  # fmt: skip

    # ------------------------------------------------------------------------------- inside

    def _of(self, identity: tuple[str, ...], fits: Any) -> _Made:
        turn = self._turns[-1]
        made = turn.made.get(identity)
        if made is None:
            found = turn.of(identity[0], identity[1])
            made = turn.made[identity] = _Made([e for e in found if fits(e)])
        return made

    def _take(
        self,
        made: _Made,
        left: Sequence[JournalEntry],
        width: int,
        number: int,
        what: Given | None,
    ) -> Found:
        if left:
            position = left[0].position
            entry = self._journal[position]  # as it is now
            differs = what is not None and not fits(entry, what.arguments)
        else:
            position, entry, differs = self._free, None, False
            self._free += width
        made.taken.append(position)
        self._claimed.add(position)
        return Found(position, entry, number, differs)

    def _asks(self, entry: JournalEntry) -> bool:
        """True for a question of the node's own, and not for what came of an effect."""
        before = self._journal.get(entry.position - 1)
        is_effects = before is not None and before.kind == EFFECT
        return entry.kind == QUESTION and entry.status != "void" and not is_effects


def text_of(question: Any) -> str:
    """A question as text, by which it is found."""
    return question if isinstance(question, str) else repr(question)


def differ_in_figures(one: str, other: str) -> bool:
    """True for texts that differ in nothing but figures: a time, a count, an id."""
    return _without_figures(one) == _without_figures(other)


def _without_figures(text: str) -> str:
    return re.sub(r"\b[0-9a-f-]{8,}\b|\d+", "#", text)


def alike(one: str, other: str) -> bool:
    """True for texts that may be one question in other words."""
    return difflib.SequenceMatcher(None, one[:1000], other[:1000]).ratio() >= _ALIKE


def _kept(entry: JournalEntry, name: str) -> Any:
    return entry.payload.get(name) if isinstance(entry.payload, Mapping) else None


def fits(entry: JournalEntry, arguments: str) -> bool:
    """Whether it was called with these; of a file from before they were kept, that is unknown."""
    known = _kept(entry, "arguments")
    return known is None or arguments == known or arguments in known


def is_nodes_own_flow() -> bool:
    """True in what the node itself does one after another, false in a task or a thread of its
    making, whose calls come in an order of their own."""
    if threading.current_thread().name.startswith("nbagent-node"):
        return True
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith("nbagent.engine.step."):
            return True
        frame = frame.f_back
    return False
