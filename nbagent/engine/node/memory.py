"""
Memory: what threads share and remember, by namespace and key. (R43)

Rule 1: in a node it is the graph's store; what the node writes, it reads at once, and others when
        its super-step is committed: see `store.remembered`. An attempt that fails has written
        nothing.
Rule 2: elsewhere a write is there when it returns.
Rule 3: nothing here knows a model: vectors are made by a function of the user's.
"""

from __future__ import annotations

import array
import numbers
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbagent.engine import ports
from nbagent.engine.model.limits import is_seconds
from nbagent.engine.model.values import freeze, thaw
from nbagent.engine.node.context import TaskContext, running
from nbagent.engine.ports import Url
from nbagent.engine.store.opening import name_store, resolve_store
from nbagent.engine.store.protocol import CheckpointStore
from nbagent.engine.store.remembered import (
    Namespace,
    Note,
    Remembering,
    is_below,
    share_of,
    text_of,
    words_of,
)
from nbagent.errors import NbagentError, StoreError

Embed = Callable[[Any], Any]
_COLUMNS = ("namespace", "key", "value", "updated", "expires", "thread")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda a, b: bool(a == b),
    "$ne": lambda a, b: bool(a != b),
    "$gt": lambda a, b: bool(a > b),
    "$gte": lambda a, b: bool(a >= b),
    "$lt": lambda a, b: bool(a < b),
    "$lte": lambda a, b: bool(a <= b),
    "$in": lambda a, b: bool(a in b),
}


@dataclass(frozen=True, slots=True)
class Item:
    """An entry of the memory that a search has found.

    updated  Unix seconds
    score    how well it fits the text, from 0 to 1 (of vectors their cosine); None without a text
    """

    namespace: Namespace
    key: str
    value: Any
    updated: float
    score: float | None = None


class Memory:
    """What threads share and remember: `memory.put(("users", "ada"), "likes", {"tea": "green"})`.

    store   where: a URL, a path, an open store or any other `Remembering`. By default the store of
            the graph whose node runs, and elsewhere that of `use_store`
    embed   makes a vector of a text, so that `search(text=…)` finds what means the same:
            a function of a text, or of a list of texts as most models have it
    """

    def __init__(
        self,
        store: Url | CheckpointStore | Remembering | None = None,
        *,
        embed: Embed | None = None,
    ) -> None:
        self._store = name_store(store)
        self.embed = embed

    def __repr__(self) -> str:
        return f"<Memory in {'the store of who asks' if self._store is None else self._store}>"

    def put(self, namespace: Any, key: str, value: Any, *, ttl: float | None = None) -> None:
        """Write an entry, in place of one that is there. In a node it is stored with the node's
        result, once.

        value  anything that a state may hold
        ttl    seconds after which it is not there any more
        """
        if ttl is not None and not (is_seconds(ttl) and ttl > 0):
            raise NbagentError(f"memory.put(ttl={ttl!r}): give seconds, more than 0")
        place, frozen = _place(namespace, key), freeze(value)
        ports.digest(frozen)  # what cannot be stored is refused here, and not with the task
        vector = self._vector(text_of(frozen))
        self._write(*place, value=frozen, ttl=ttl, vector=vector)

    def delete(self, namespace: Any, key: str) -> None:
        """Take an entry away; nothing where there is none."""
        self._write(*_place(namespace, key), is_gone=True)

    def get(self, namespace: Any, key: str, default: Any = None) -> Any:
        """An entry's value, a private copy; `default` where there is none."""
        prefix, key = _place(namespace, key)
        found = self._notes(prefix, key=key)
        return thaw(found[0].value) if found else default

    def search(
        self,
        namespace: Any = (),
        text: str | None = None,
        where: Mapping[str, Any] | None = None,
        limit: int = 10,
    ) -> list[Item]:
        """The entries at or below a namespace, the newest first; with a text, the best first.

        text   words, of which an entry has at least one (or one that begins like it); with
               `embed=`, what it means
        where  {field: value} of entries that are dicts or objects; a value may say how to compare:
               {"age": {"$gt": 30}}, with $eq $ne $gt $gte $lt $lte $in
        limit  items at the most
        """
        prefix = _read(namespace)
        _check_where(where)
        query = [] if text is None else words_of(text)
        meant = self._vector(text) if text else b""
        notes = self._notes(prefix, words=() if meant else query)
        fitting = [note for note in notes if _fits(note.value, where)]
        scores: list[float | None] = [None] * len(fitting)
        if text is not None:
            scores = list(_scores(fitting, query, meant))
        found = [
            (note, score)
            for note, score in zip(fitting, scores, strict=True)
            if score is None or score > 0
        ]
        found.sort(key=lambda one: (-(one[1] or 0.0), -one[0].updated, one[0].place))
        return [
            Item(note.namespace, note.key, thaw(note.value), note.updated, score)
            for note, score in found[: max(0, limit)]
        ]

    def namespaces(self, prefix: Any = ()) -> list[Namespace]:
        """The namespaces that hold something, at or below a prefix, in order."""
        return sorted({note.namespace for note in self._notes(_read(prefix))})

    def table(self, namespace: Any = ()) -> Any:
        """All that is there at or below a namespace, as a table: a row an entry."""
        rows = [
            {
                "namespace": "/".join(note.namespace),
                "key": note.key,
                "value": thaw(note.value),
                "updated": note.updated,
                "expires": note.expires,
                "thread": thread,
            }
            for note, thread in self._written(_read(namespace))
        ]
        return ports.make_table(sorted(rows, key=lambda row: -row["updated"]), _COLUMNS)

    def _repr_html_(self) -> str | None:
        """In a notebook it shows itself, as a table that stays."""
        shown = getattr(self.table(), "_repr_html_", None)
        return None if shown is None else shown()

    # ---------------------------------------------------------------------------------- inside

    def _vector(self, text: str) -> bytes:
        if self.embed is None or not text:
            return b""
        return array.array("f", map(float, _embedded(self.embed, text))).tobytes()

    def _inside(self) -> TaskContext | None:
        """The task that this is part of: its writes go with it."""
        inside = running()
        if inside is None or self._store is None:
            return inside
        own = inside.services.facts.store
        given = self._store
        named = resolve_store(given) if not isinstance(given, Remembering) else given
        return inside if named is own else None

    def _backend(self, inside: TaskContext | None) -> Remembering:
        if inside is not None:
            return backend_of(inside.services.facts.store)
        given = self._store
        if given is not None and isinstance(given, Remembering):
            return given
        return backend_of(resolve_store(given))

    def _write(
        self,
        namespace: Namespace,
        key: str,
        *,
        value: Any = None,
        is_gone: bool = False,
        ttl: float | None = None,
        vector: bytes = b"",
    ) -> None:
        inside = self._inside()
        now = time.time() if inside is None else inside.services.clock()
        expires = None if ttl is None else now + ttl
        note = Note(namespace, key, value, is_gone, now, expires, vector)
        if inside is None:
            self._backend(None).write([note])
            return
        backend_of(inside.services.facts.store)
        inside.remember(note)

    def _notes(self, prefix: Namespace, **how: Any) -> list[Note]:
        return [note for note, _ in self._written(prefix, **how)]

    def _written(
        self, prefix: Namespace, *, key: str | None = None, words: Sequence[str] = ()
    ) -> Iterable[tuple[Note, str]]:
        """What is there and who wrote it: what this very attempt has written comes first."""
        inside = self._inside()
        now = time.time() if inside is None else inside.services.clock()
        hidden = None if inside is None else inside.services.facts.hidden()
        if inside is not None:
            inside.has_acted = True  # what it finds is not in the node's inputs
        found = {
            one.note.place: (one.note, one.thread)
            for one in self._backend(inside).read(prefix, key=key, words=words, hidden=hidden)
        }
        for note in () if inside is None else inside.remembered:
            if (key is None and is_below(note.namespace, prefix)) or note.place == (prefix, key):
                found[note.place] = (note, inside.place.thread if inside else "")
        return [one for one in found.values() if one[0].is_there(now)]


def backend_of(store: Any) -> Remembering:
    """The memory of a checkpoint store; `StoreError` for one that has none."""
    found = getattr(store, "memory", None)
    if not isinstance(found, Remembering):
        raise StoreError(
            f"{store!r} keeps no memory: give its .memory the methods of `Remembering`, or use "
            "Memory(another store)"
        )
    return found


def _place(namespace: Any, key: Any) -> tuple[Namespace, str]:
    read = _read(namespace)
    if not read:
        raise NbagentError("memory: an entry is in a namespace: give one, such as ('users', 'ada')")
    if not isinstance(key, str) or not key:
        raise NbagentError(f"memory: a key is a text that is not empty, and not {key!r}")
    return read, key


def _read(namespace: Any) -> Namespace:
    """A namespace: a tuple of texts; a text alone is one of one part."""
    parts = (namespace,) if isinstance(namespace, str) else tuple(namespace)
    for part in parts:
        if not isinstance(part, str) or not part:
            raise NbagentError(
                f"memory: a namespace is a tuple of texts that are not empty, and {part!r} is none"
            )
    return parts


def _embedded(embed: Embed, text: str) -> Any:
    """The vector of a text, from a function of one text or of several."""
    try:
        made = embed(text)
        first = made[0]
    except Exception:  # it may take a list, and only that
        return embed([text])[0]
    return made if isinstance(first, numbers.Real) else embed([text])[0]


def _scores(notes: Sequence[Note], query: Sequence[str], meant: bytes) -> Iterable[float]:
    if not meant:
        return [share_of(query, words_of(text_of(note.value))) for note in notes]
    known = [note for note in notes if len(note.vector) == len(meant)]
    near = ports.cosines(meant, [note.vector for note in known])
    found = dict(zip(map(id, known), near, strict=True))
    return [found.get(id(note), 0.0) for note in notes]


def _check_where(where: Mapping[str, Any] | None) -> None:
    for wanted in (where or {}).values():
        for name in wanted if isinstance(wanted, Mapping) else ():
            if str(name).startswith("$") and name not in _OPERATORS:
                raise NbagentError(
                    f"memory.search(where=): there is no {name}: it is one of "
                    f"{', '.join(_OPERATORS)}"
                )


def _fits(value: Any, where: Mapping[str, Any] | None) -> bool:
    return all(_compares(_part(value, name), wanted) for name, wanted in (where or {}).items())


_ABSENT = object()


def _part(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(name, _ABSENT)
    return getattr(value, name, _ABSENT)


def _compares(found: Any, wanted: Any) -> bool:
    if found is _ABSENT:
        return False
    is_said = isinstance(wanted, Mapping) and wanted and all(n in _OPERATORS for n in wanted)
    asked = wanted.items() if is_said else [("$eq", wanted)]
    try:
        return all(_OPERATORS[name](found, than) for name, than in asked)
    except (TypeError, ValueError):  # of kinds that do not compare
        return False


memory = Memory()
"""The memory of the graph whose node runs; elsewhere that of the default store."""
