"""
What code inside a node can reach without being handed it: the task that is running.

Rule 1: the context travels in a contextvar, so it is right in parallel siblings, in `def` nodes
        on threads, and in whatever a node awaits.
Rule 2: calls that must not happen twice find their journal entries by what they are: see `journal`.
Rule 3: each attempt has a context of its own, closed when the attempt ends. A call that was given
        up and still goes on in its thread can begin nothing more with a closed one.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from nbagent.engine.model import ids
from nbagent.engine.model.checkpoint import JournalEntry
from nbagent.engine.model.fact import fact, keyword_fact
from nbagent.engine.model.program import Program, Schema
from nbagent.engine.model.span import Bridge, Span
from nbagent.engine.node.journal import Finder
from nbagent.engine.node.slots import Seat, Slots
from nbagent.engine.store.patience import at_once
from nbagent.engine.store.remembered import Hidden, Note
from nbagent.engine.watch.spans import Recorder, recorded
from nbagent.errors import NbagentError, StoreUnavailable

LANDING = 10.0  # seconds that a node's end waits for effects that its coroutines have begun
Values = Mapping[str, Any]
R = TypeVar("R")


class Nested(NamedTuple):
    """What has come of a thread that a task runs.

    first, last   its values when it began, and when it ended
    writes        what its nodes wrote since, field by field, in the order of reconciliation; of a
                  field that a person has set in it, nothing is known
    thread   its `Thread`
    handed   what it hands over to the graph that runs it: (update, where that is to go on) …
    """

    first: Values
    last: Values
    writes: Mapping[str, Sequence[Any] | None]
    handed: Sequence[Any] = ()
    thread: Any = None


Nest = Callable[["TaskContext", str, Program, Values], Awaitable[Nested]]
"""(inside, place, program, input) -> what has come of the thread at that place."""


@fact
class Place:
    """Where in a thread a task is: in the super-step that its `anchor` has planned."""

    thread: str
    step: int
    node: str
    task: str
    anchor: int

    def facts(self, attempt: int) -> dict[str, Any]:
        """The place as spans say it."""
        return {
            "thread": self.thread,
            "step": self.step,
            "node": self.node,
            "task": self.task,
            "attempt": attempt,
        }


@keyword_fact
class RunFacts:
    """What a run tells the code of its nodes of itself: see `TaskInfo`.

    left     super-steps that it may make after the one under way
    store    where its threads live
    hidden   which writes to the memory its thread, a fork, does not see; None: it sees all
    context  what it was given; `ThreadError` where the thread had one that was not given again
    """

    graph: str
    store: Any
    hidden: Callable[[], Hidden | None]
    left: Callable[[], int]
    context: Callable[[], Any]
    metadata: Callable[[], Mapping[str, Any]]


@keyword_fact
class Services:
    """What a run gives to the code of all its nodes.

    nest    runs another graph inside a task
    loop    the event loop that the run is on
    origin  what tells this thread from every other, one of the same id included
    echo    writes what a node prints where it would have been: see `output.Echo`
    carried finds the effect of an earlier life of the thread that a call is, by its node, its key
            and its arguments: what names it, and its entry
    meters  count what its spans spend, where it has a budget: see `budget.Meters`
    slots   places for nodes at work, where the run has so many and no more
    """

    schema: Schema
    clock: Callable[[], float]
    nest: Nest
    loop: asyncio.AbstractEventLoop
    recorder: Recorder
    origin: Callable[[], str]
    echo: Any
    facts: RunFacts
    carried: Callable[[str, str, str], tuple[str, JournalEntry] | None]
    slots: Slots | None = None
    meters: Any = None


class Outlet(Protocol):
    """Where goes what a node's code says and does while it runs."""

    def emit(self, value: Any) -> None:
        """Tell of a partial result."""
        ...

    def keep(self, entry: JournalEntry) -> None:
        """Store a journal entry; it is durable when this returns. `StoreUnavailable` when it
        cannot be."""
        ...

    def when_ready(self, write: Callable[[], None], goes_on: Callable[[], object]) -> None:
        """Write, as often as it takes, and as long as `goes_on` raises nothing."""
        ...

    def soon(self, write: Callable[[], None]) -> None:
        """Write now, or else before anything that is written later."""
        ...

    def tell_step(self, name: str, status: str, duration: float) -> None:
        """Tell of a step of a durable function."""
        ...

    def tell_progress(self, name: str, done: int, total: int | None) -> None:
        """Tell how far a loop is."""
        ...

    def drop(self, positions: range) -> None:
        """Throw journal entries away that nobody will look for, where the store can."""
        ...

    def hear(self) -> None:
        """Take note of a sign of life: of a graph that it runs, of whatever it does."""
        ...

    def keep_all(self, entries: Sequence[JournalEntry]) -> None:
        """Store several journal entries at once."""
        ...

    def write(self, stream: str, text: str | bytes) -> None:
        """Take what the node prints, text or UTF-8."""
        ...


class Calls:
    """The threads in which the code of one task calls graphs, over all its attempts.

    A call is found again by its graph and its input; where the input is another one now, as a
    model words it anew, it is the next of the graph's calls that no other has taken.

    under_way   place -> what comes of the call that this process makes there
    """

    def __init__(self, task: str, places: Iterable[str]) -> None:
        self._task = task
        self._places = sorted(places, key=lambda place: (ids.read_called(place) or (0,))[0])
        self._taken: set[str] = set()
        self.under_way: dict[str, asyncio.Future[Any]] = {}

    def begin_attempt(self) -> None:
        """The node's code begins again: its calls are to be found anew."""
        self._taken = set()

    def take(self, graph: str, digest: str) -> str:
        """The place of a call that is being made."""
        left = [place for place in self._places if place not in self._taken]
        own = [place for place in left if (ids.read_called(place) or ("",))[-1] == graph]
        equal = [place for place in own if (ids.read_called(place) or ("", ""))[1] == digest]
        if digest == ids.KEPT:
            own = []
        else:
            own = [place for place in own if (ids.read_called(place) or ("", ""))[1] != ids.KEPT]
        for place in (*equal, *own):
            self._taken.add(place)
            return place
        place = ids.called(self._task, len(self._places), digest, graph)
        self._places.append(place)
        self._taken.add(place)
        return place


class TaskContext:
    """One attempt of one task.

    edited     the checkpoint of a person's edit since the task was planned; 0 without one
    sent       the task was sent an input in place of the state
    called     the places of the threads that it has called graphs in, in another process
    asked      the questions that it has ended with
    under_way  the effects that its coroutines have begun; each is done when it is over
    scope      the first position of its calls
    seat       its place among the nodes at work, where its run has so many and no more
    remembered  what it has written to the memory, to be stored with its result
    has_acted  a graph that it has run has asked a person, or had an effect
    """

    __slots__ = (
        "_calls", "_finder", "_is_closed", "_lock", "asked", "attempt", "called", "edited",
        "has_acted", "journal", "outlet", "place", "remembered", "scope", "seat", "sent",
        "services", "under_way",
    )  # fmt: skip

    def __init__(
        self,
        place: Place,
        services: Services,
        outlet: Outlet,
        journal: Mapping[int, JournalEntry],
        attempt: int = 1,
        *,
        edited: int = 0,
        sent: bool = False,
        called: Sequence[str] = (),
    ) -> None:
        self.place = place
        self.services = services
        self.outlet = outlet
        self.journal = dict(journal)
        self.attempt = attempt
        self.edited = edited
        self.sent = sent
        self.called = called
        self._calls: Calls | None = None  # made by the first call: most nodes make none
        self.asked: list[JournalEntry] = []
        self.under_way: set[asyncio.Future[None]] = set()
        self.scope = 0
        self.has_acted = False
        self.seat: Seat | None = None
        self.remembered: Sequence[Note] = ()
        self._finder: Finder | None = None  # made by the first look
        self._is_closed = False
        self._lock = threading.Lock()  # of the journal too, so all attempts share it

    def again(self, attempt: int, scope: int) -> TaskContext:
        """A later attempt's; `scope` is the first position of its calls."""
        self.close()
        later = TaskContext(
            self.place,
            self.services,
            self.outlet,
            {},
            attempt,
            edited=self.edited,
            sent=self.sent,
            called=self.called,
        )
        if self._calls is not None:
            self._calls.begin_attempt()
            later._calls = self._calls
        later.journal, later._lock, later.scope = self.journal, self._lock, scope
        return later

    def close(self) -> None:
        """The attempt has ended: it returned, failed, took too long, or was cancelled."""
        with self._lock:
            self._is_closed = True

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def check_open(self) -> None:
        """An error for a call that was given up and still goes on."""
        if self._is_closed:
            raise NbagentError(
                f"node {self.place.node!r}: attempt {self.attempt} has ended (it took too long, "
                "or was stopped), and this call still came from it: nothing was begun"
            )

    def remember(self, note: Note) -> None:
        """Write to the memory, when the task's result is stored."""
        with self._lock:
            self.check_open()
            self.has_acted = True
            self.remembered = (*self.remembered, note)

    @property
    def calls(self) -> Calls | None:
        """The graphs that its code has called; None where it has called none."""
        return self._calls

    def take_call(self, graph: str, digest: str) -> tuple[Calls, str]:
        """The place of a call of a graph that is being made now."""
        with self._lock:
            self.check_open()
            if self._calls is None:
                self._calls = Calls(self.place.task, self.called)
            return self._calls, self._calls.take(graph, digest)

    async def landed(self) -> None:
        """When the effects that its coroutines have begun are over, or have taken too long: the
        node has ended by a question or an error, and its siblings in a `gather` have not."""
        loop = asyncio.get_running_loop()
        own = [future for future in self.under_way if future.get_loop() is loop]
        if own:
            await asyncio.wait(own, timeout=LANDING)

    @contextlib.contextmanager
    def finding(self, *, is_late: bool = False) -> Iterator[Finder]:
        """Find a call's entry; nobody else finds one meanwhile."""
        with self._lock:
            if not is_late:
                self.check_open()
            if self._finder is None:
                self._finder = Finder(self.place.node, self.journal, self.scope)
            yield self._finder

    def record(self, entry: JournalEntry) -> None:
        """Write to the journal; it is durable when this returns."""

        def write() -> None:
            with self._lock:
                self.check_open()
                self.outlet.keep(entry)
                self.journal[entry.position] = entry

        self.outlet.when_ready(write, self.check_open)

    def record_all(self, entries: Sequence[JournalEntry]) -> None:
        """Write several, at once."""

        def write() -> None:
            with self._lock:
                self.check_open()
                self.outlet.keep_all(entries)
                self.journal.update({entry.position: entry for entry in entries})

        self.outlet.when_ready(write, self.check_open)

    def drop(self, positions: range) -> None:
        """Forget calls that nobody will look for any more, and throw away what is stored of them,
        where the store can."""
        self.outlet.soon(lambda: self.outlet.drop(positions))
        for position in positions:
            self.journal.pop(position, None)

    def conclude(self, before: JournalEntry, entry: JournalEntry) -> None:
        """Write what came of the call `before`, also when its attempt was given up meanwhile.

        Not when another attempt has taken the call up since: then that one's word counts. Where
        the store cannot be written it is held, and written before anything else is.
        """
        with self._lock:
            if self._is_closed and self.journal.get(before.position) is not before:
                self.check_open()
            self.outlet.soon(lambda: self.outlet.keep(entry))
            self.journal[entry.position] = entry

    def note(self, entry: JournalEntry) -> None:
        """Write down what need not be there before the node goes on: see `conclude`."""
        with self._lock:
            self.check_open()
            self.outlet.soon(lambda: self.outlet.keep(entry))
            self.journal[entry.position] = entry


_current: contextvars.ContextVar[TaskContext | None] = contextvars.ContextVar("nbagent_task")


class Attempts:
    """The attempts of one task, one after another; `now` is the context of the last one.

    To be used with `with`: inside, `now` is the current context; behind it, it is closed.
    """

    def __init__(self, first: TaskContext) -> None:
        self.now = first
        self.began = first.services.clock()
        self._bridged: contextlib.ExitStack | None = None

    def __enter__(self) -> Attempts:
        self._before = _current.set(self.now)
        if (bridge := self.now.services.recorder.bridge) is not None:
            self._bridge(bridge)
        return self

    def __exit__(self, *error: Any) -> None:
        self.now.close()
        if self._bridged is not None:
            self._end(*error)
        _current.reset(self._before)

    def fail(self, error: BaseException) -> None:
        """The attempt ends with an error; another may follow."""
        self.now.close()
        self._end(type(error), error, error.__traceback__)

    def begin_again(self, first: int = 0, counts: bool = True) -> None:
        """Close the attempt's context and go on in a fresh one, whose calls begin at `first`."""
        self._end(None, None, None)
        self.now = self.now.again(self.now.attempt + counts, first)
        self.began = self.now.services.clock()
        _current.set(self.now)
        if (bridge := self.now.services.recorder.bridge) is not None:
            self._bridge(bridge)

    def _end(self, *error: Any) -> None:
        bridged, self._bridged = self._bridged, None
        if bridged is not None:
            bridged.__exit__(*error)

    def _bridge(self, bridge: Bridge) -> None:
        """Tell of the attempt to somebody else's tracer, in the context that the node runs in."""
        at = self.now.place
        self._bridged = contextlib.ExitStack()
        self._bridged.enter_context(
            bridge.attempt(at.thread, at.step, at.node, at.task, self.now.attempt)
        )


def forget() -> None:
    """From here on no task runs: a subgraph's own steps are not part of its parent's node."""
    _current.set(None)


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """Inside, no task runs: who watches a node is not part of it, whatever he prints or logs."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def running() -> TaskContext | None:
    """The running task, if any."""
    return _current.get(None)


def current(caller: str) -> TaskContext:
    """The running task; an error that names `caller` when no node is running."""
    context = _current.get(None)
    if context is None:
        raise NbagentError(
            f"{caller}() works only inside a node of a running graph; in a thread that a node "
            "starts, call it by `contextvars.copy_context().run`, or start it by asyncio.to_thread"
        )
    return context


async def off_the_loop(write: Callable[[], R]) -> R:
    """What a write to the journal gives, here where that takes no time, else on a thread; one that
    has begun is waited for, also where its task is being stopped."""
    try:
        with at_once:
            return write()
    except StoreUnavailable:
        pass
    under_way = asyncio.ensure_future(asyncio.to_thread(write))
    stopped: asyncio.CancelledError | None = None
    while not under_way.done():
        try:
            await asyncio.wait([under_way])
        except asyncio.CancelledError as error:
            stopped = error
    if stopped is not None:
        under_way.exception()
        raise stopped
    return under_way.result()


def emit(value: Any) -> None:
    """Stream a partial result (a token, a progress figure) to whoever watches the run.

    Outside a run it does nothing, so that a node can be called and tested alone.
    """
    context = _current.get(None)
    if context is not None and not context.is_closed:
        context.outlet.emit(value)


def span(name: str, **attributes: Any) -> contextlib.AbstractContextManager[Span]:
    """Measure a part of a node: `with span("search", query=q) as one: …; one.set(hits=3)`.

    Spans nest, and are kept with the thread: see `thread.trace()`. For calls of models,
    OpenTelemetry's names are understood: `gen_ai.usage.input_tokens` and the like; `cost` is in
    whatever currency you count. Outside a run nothing is kept.
    """
    context = _current.get(None)
    if context is None:
        return recorded(None, {"thread": ""}, name, attributes)
    facts = context.place.facts(context.attempt)
    if context.services.meters is not None:
        context.services.meters.check(context)
    return recorded(context.services.recorder, facts, name, attributes)
