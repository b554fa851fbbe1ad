"""What threads share and remember: once, at once, and as their own line had it. (R43)"""

import asyncio
import dataclasses
import sqlite3
import time
from typing import TypedDict

import pytest

import nbagent
from nbagent import (
    END,
    START,
    Cache,
    Graph,
    Memory,
    NbagentError,
    NodeError,
    Retry,
    branch,
    interrupt,
    memory,
    node,
)
from nbagent.engine.node.memory import Item
from nbagent.engine.store import opening
from nbagent.engine.store.remembered import Note, Remembering, Written
from nbagent.errors import CodecError, CorruptError, StoreError
from nbagent.stores.encryption import new_key
from nbagent.stores.memory import MemoryStore
from nbagent.stores.sqlite import SqliteStore
from nbagent.testing.clock import FakeClock

ADA = ("users", "ada")


class State(TypedDict, total=False):
    x: int
    said: list[str]


@dataclasses.dataclass
class Fact:
    text: str
    weight: int = 1


nbagent.register_type(Fact)


KINDS = ["memory", "sqlite", "encrypted", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=KINDS)
def store(request, tmp_path):
    """A store of each kind."""
    if request.param == "memory":
        made = MemoryStore()
    elif request.param == "postgres":
        made = nbagent.open_store(request.getfixturevalue("postgres").url(tmp_path.name[-40:]))
    else:
        key = new_key() if request.param == "encrypted" else None
        made = SqliteStore(tmp_path / "a.db", key=key)
    yield made
    made.close()


def chain(store, *functions, name="g"):
    """A graph of these nodes, one behind the other."""
    with Graph(name, State, store=store) as graph:
        made = [node(one, name=one.__name__) for one in functions]
        START >> made[0]
        for one, then in zip(made, [*made[1:], END], strict=True):
            one >> then
    return graph


# ------------------------------------------------------------------------ outside of nodes


def test_what_is_put_is_there(store):
    """For its key, until it is replaced or deleted; a private copy of it."""
    own = Memory(store)
    own.put(ADA, "likes", {"tea": ["green"]})
    own.get(ADA, "likes")["tea"].append("changed")

    assert {"tea": ["green"]} == own.get(ADA, "likes")
    own.put(ADA, "likes", Fact("tea"))
    assert Fact("tea") == own.get(ADA, "likes")
    own.delete(ADA, "likes")
    assert (None, "none") == (own.get(ADA, "likes"), own.get(ADA, "likes", "none"))
    own.delete(ADA, "never")
    own.put("users", "all", None)
    assert None is own.get(("users",), "all", "none")


def test_namespaces_are_looked_through_from_above(store):
    """Whole parts only; in order."""
    own = Memory(store)
    for namespace in (ADA, ("users", "adam"), ("users",), ("docs", 'a"b', "ü,")):
        own.put(namespace, "k", {"at": list(namespace)})

    assert [("docs", 'a"b', "ü,"), ("users",), ADA, ("users", "adam")] == own.namespaces()
    assert [ADA] == own.namespaces(ADA)
    assert {("users",), ADA, ("users", "adam")} == {i.namespace for i in own.search("users")}
    assert [ADA] == [item.namespace for item in own.search(ADA)]
    assert [] == own.search(("nobody",))
    assert 4 == len(own.search())


def test_a_search_by_words_gives_the_best_first(store):
    """Without case and accents; a word that begins like it; in whatever is inside the value."""
    own = Memory(store)
    own.put(ADA, "1", {"text": "Bees make honey", "tags": ["Insects"]})
    own.put(ADA, "2", Fact("a café for bees"))
    own.put(ADA, "3", "wasps")
    own.put(ADA, "4", {"count": 3})

    assert [("1", 1.0), ("2", 0.5)] == [(i.key, i.score) for i in own.search(ADA, "honey BEES")]
    assert ["2"] == [item.key for item in own.search(ADA, "cafe")]
    assert ["1"] == [item.key for item in own.search(ADA, "insect")]
    assert [] == own.search(ADA, "beetle")
    assert [] == own.search(ADA, 'or "(*')
    assert ["2"] == [item.key for item in own.search(ADA, "bees", limit=1)]
    own.put(ADA, "1", "no more")
    assert ["2"] == [item.key for item in own.search(ADA, "bees")]
    own.delete(ADA, "2")
    assert [] == own.search(ADA, "bees")


def test_a_search_by_fields_compares(store):
    """Of dicts and objects; what does not have the field, or does not compare, is left out."""
    own = Memory(store)
    own.put(ADA, "1", {"kind": "fact", "age": 3})
    own.put(ADA, "2", {"kind": "fact", "age": 30})
    own.put(ADA, "3", Fact("x", weight=30))
    own.put(ADA, "4", {"age": "old"})

    def keys(**where):
        return sorted(item.key for item in own.search(ADA, where=where))

    assert ["1", "2"] == keys(kind="fact")
    assert ["2"] == keys(kind="fact", age={"$gt": 3})
    assert ["1", "2"] == keys(age={"$gte": 3, "$lt": 31})
    assert ["3"] == keys(weight={"$in": [30]})
    assert ["1", "2"] == keys(kind={"$ne": "guess"})
    assert [] == keys(kind="guess")
    with pytest.raises(NbagentError, match=r"there is no \$like"):
        keys(kind={"$like": "f"})


def test_the_newest_come_first_and_say_when(store):
    """Where nothing else puts them in order."""
    own = Memory(store)
    before = time.time()
    for key in ("a", "b", "c"):
        own.put(ADA, key, 1)
        time.sleep(0.002)
    items = own.search(ADA)

    assert ["c", "b", "a"] == [item.key for item in items]
    assert before <= items[0].updated <= time.time()
    assert Item(ADA, "c", 1, items[0].updated) == items[0]
    assert 10 == len([own.put(ADA, str(n), n) for n in range(20)] and own.search(ADA))


@pytest.mark.parametrize("how", ["one", "several", "numpy"])
def test_a_search_by_meaning_uses_the_users_function(store, how):
    """Of one text or of a list of them; the nearest first, however the words are."""
    import numpy

    def vector(text):
        return [float("tea" in text or "drink" in text), float("bee" in text), 0.1]

    def one(text):
        return vector(text)

    def several(texts):
        assert isinstance(texts, list)
        return [vector(text) for text in texts]

    embed = {"one": one, "several": several, "numpy": lambda t: numpy.array(vector(t))}[how]
    own = Memory(store, embed=embed)
    own.put(ADA, "1", {"text": "green tea"})
    own.put(ADA, "2", {"text": "a bee"})
    own.put(ADA, "3", {"count": 3})
    found = own.search(ADA, "something to drink")

    assert ["1", "2"] == [item.key for item in found]
    assert 0.99 < found[0].score <= 1.0001 and found[1].score < 0.1


def test_what_has_a_time_to_live_is_gone_then(store, monkeypatch):
    """For every look; to put it again is to begin anew."""
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    own = Memory(store)
    own.put(ADA, "k", "tea", ttl=10)
    now[0] += 9.9
    assert "tea" == own.get(ADA, "k")
    now[0] += 0.2
    assert (None, [], []) == (own.get(ADA, "k"), own.search(ADA, "tea"), own.namespaces())
    own.put(ADA, "k", "tea")
    now[0] += 10_000
    assert "tea" == own.get(ADA, "k")


def test_what_cannot_be_kept_is_refused(store):
    """With a sentence; nothing is written."""
    own = Memory(store)
    with pytest.raises((CodecError, NbagentError)):
        own.put(ADA, "k", object())
    for namespace in ((), ("a", ""), ("a", 3), ""):
        with pytest.raises(NbagentError, match="namespace"):
            own.put(namespace, "k", 1)
    for key in ("", 3, None):
        with pytest.raises(NbagentError, match="a key is a text"):
            own.put(ADA, key, 1)
    for ttl in (0, -1, "soon"):
        with pytest.raises(NbagentError, match="ttl"):
            own.put(ADA, "k", 1, ttl=ttl)

    assert [] == own.namespaces()


def test_the_default_memory_is_that_of_the_default_store(tmp_path, monkeypatch):
    """As `use_store` says."""
    monkeypatch.setattr(opening, "_default", [])
    nbagent.use_store(f"sqlite:///{tmp_path}/a.db")
    memory.put(ADA, "k", 1)

    assert 1 == memory.get(ADA, "k") == Memory(f"sqlite:///{tmp_path}/a.db").get(ADA, "k")


# ------------------------------------------------------------------------------- in nodes


def test_threads_share_what_nodes_write(store):
    """Across threads and graphs of a store; the node itself reads it at once."""
    seen = []

    def writes(state):
        memory.put(ADA, "likes", "tea")
        seen.append((memory.get(ADA, "likes"), [i.key for i in memory.search(ADA, "tea")]))

    def reads(state):
        return {"said": [memory.get(ADA, "likes")]}

    chain(store, writes).run({})
    assert ["tea"] == chain(store, reads, name="other").run({})["said"]
    assert [("tea", ["likes"])] == seen
    assert "tea" == Memory(store).get(ADA, "likes")


def test_siblings_see_it_when_their_super_step_is_over(store):
    """As the state's writes; of two writers the last in the graph's order counts."""
    seen = []
    with Graph("g", State, store=store) as graph:

        @node
        async def first(state):
            memory.put(ADA, "k", "first")
            await asyncio.sleep(0.02)

        @node
        async def second(state):
            await asyncio.sleep(0.01)
            seen.append(memory.get(ADA, "k"))
            memory.put(ADA, "k", "second")

        @node
        def after(state):
            seen.append(memory.get(ADA, "k"))

        START >> [first, second] >> after >> END
    graph.run({})

    assert [None, "second"] == seen


def test_a_failed_attempt_has_written_nothing(store):
    """The one that succeeds has, once; a node that fails for good has not."""
    tries = []

    @node(retry=Retry(attempts=3, wait=0, on=ValueError))
    def writes(state):
        tries.append(memory.get(ADA, "k"))
        memory.put(ADA, f"try-{len(tries)}", 1)
        memory.put(ADA, "k", len(tries))
        if len(tries) < 3:
            raise ValueError

    def fails(state):
        memory.put(ADA, "never", 1)
        raise ValueError

    with Graph("g", State, store=store) as graph:
        START >> writes >> END
    graph.run({})
    with pytest.raises(NodeError):
        chain(store, fails).run({})

    assert [None, None, None] == tries
    assert {"try-3", "k"} == {item.key for item in Memory(store).search(ADA)}


def test_a_node_that_asks_writes_when_it_has_its_answer(store):
    """Not before, and not twice."""

    def asks(state):
        memory.put(ADA, "asked", "yes")
        return {"said": [interrupt("Well?")]}

    graph = chain(store, asks)
    graph.run({}, thread="t")
    assert None is Memory(store).get(ADA, "asked")
    graph.thread("t").resume("so").result()
    assert "yes" == Memory(store).get(ADA, "asked")


def test_what_a_finished_node_wrote_waits_for_its_siblings(tmp_path):
    """It is stored with its result, also over a restart, and applied when all have finished."""

    def make(store):
        with Graph("g", State, store=store) as graph:

            @node
            def writes(state):
                memory.put(ADA, "k", "written")
                memory.put(ADA, "gone", 1)
                memory.delete(ADA, "gone")

            @node
            def asks(state):
                return {"said": [interrupt("Well?")]}

            START >> [writes, asks] >> node(lambda s: {}, name="join") >> END
        return graph

    store = SqliteStore(tmp_path / "a.db")
    make(store).run({}, thread="t")
    assert None is Memory(store).get(ADA, "k")
    store.close()
    store = SqliteStore(tmp_path / "a.db")
    make(store).thread("t").resume("so").result()

    assert ("written", None) == (Memory(store).get(ADA, "k"), Memory(store).get(ADA, "gone"))
    with sqlite3.connect(tmp_path / "a.db") as db:
        assert [("k", 1), ("gone", 1), ("gone", 1)] == db.execute(
            "SELECT key, count(*) FROM memory GROUP BY id ORDER BY id"
        ).fetchall()
    db.close()
    store.close()


@pytest.mark.parametrize("in_place", [True, False])
def test_a_fork_sees_what_its_own_line_had_written(store, in_place):
    """At that point; of other threads what is there now. What it writes itself it sees."""
    seen = []
    with Graph("g", State, store=store) as graph:

        @node
        def turn(state):
            seen.append((memory.get(ADA, "x"), memory.get(ADA, "other")))
            memory.put(ADA, "x", state["x"])
            memory.put(ADA, f"key-{state['x']}", "tea")
            return {"x": state["x"] + 1}

        START >> turn
        turn >> branch(lambda s: "on" if s["x"] < 3 else "end", on=turn, end=END)
    graph.run({"x": 0}, thread="t")
    assert [(None, None), (0, None), (1, None)] == seen
    Memory(store).put(ADA, "other", "now")
    seen.clear()
    made = graph.thread("t").fork(step=1, in_place=in_place)
    made.resume().result()

    assert [(0, "now"), (1, "now")] == seen
    assert 2 == Memory(store).get(ADA, "x")


def test_a_fork_does_not_see_what_graphs_inside_wrote_behind_it(store):
    """A subgraph's threads are of the line, too."""
    with Graph("inner", State, store=store) as inner:

        @node
        def writes(state):
            memory.put(ADA, f"inner-{state['x']}", 1)
            return {"x": state["x"] + 1}

        START >> writes >> END
    seen = []
    with Graph("g", State, store=store) as graph:

        @node
        def look(state):
            seen.append(sorted(item.key for item in memory.search(ADA)))

        START >> inner >> look
        look >> branch(lambda s: "on" if s["x"] < 2 else "end", on=inner, end=END)
    graph.run({"x": 0}, thread="t")
    seen.clear()
    graph.thread("t").fork(step=1, id="f").resume().result()

    assert [["inner-0"], ["inner-0", "inner-1"]] == seen


def test_a_cached_node_that_remembers_is_called_each_time(store):
    """What it read and wrote is not in its inputs."""
    called = []
    with Graph("g", State, store=store) as graph:

        @node(cache=Cache())
        def counts(state):
            called.append(memory.get(ADA, "n", 0))
            memory.put(ADA, "n", called[-1] + 1)

        START >> counts >> END
    graph.run({"x": 1})
    graph.run({"x": 1})

    assert [0, 1] == called


async def test_async_nodes_threads_and_called_graphs_remember(store):
    """Wherever the node's code goes; a called graph's when its own super-step is over."""

    def deep(state):
        memory.put(ADA, "deep", 1)

    inner = chain(store, deep, name="inner")

    async def outer(state):
        await asyncio.to_thread(memory.put, ADA, "thread", 1)
        await inner.arun({})
        return {"said": sorted(item.key for item in memory.search(ADA))}

    assert ["deep", "thread"] == (await chain(store, outer).arun({}))["said"]


def test_another_store_is_written_at_once(store):
    """It is not the graph's, so there is no result to store it with."""
    elsewhere = Memory(MemoryStore())

    def writes(state):
        elsewhere.put(ADA, "k", 1)
        raise ValueError

    with pytest.raises(NodeError):
        chain(store, writes).run({})
    assert 1 == elsewhere.get(ADA, "k")


def test_the_clock_of_the_thread_tells_when(store):
    """Also for what expires."""
    clock = FakeClock()

    def writes(state):
        memory.put(ADA, "k", 1, ttl=5)
        return {"said": [str(memory.search(ADA)[0].updated)]}

    thread = chain(store, writes).thread("t")
    thread.clock = clock
    assert str(clock()) == thread.start({}).result()["said"][0]


def test_a_store_without_a_memory_says_so():
    """A stranger's store goes on working where nobody remembers."""

    class Stranger(MemoryStore):
        def __init__(self):
            super().__init__()
            self.memory = None

    def writes(state):
        memory.put(ADA, "k", 1)

    with pytest.raises(NodeError, match="keeps no memory"):
        chain(Stranger(), writes).run({})
    with pytest.raises(StoreError, match="keeps no memory"):
        Memory(Stranger()).get(ADA, "k")


def test_a_memory_of_ones_own_is_a_protocol():
    """Two methods."""

    class Own:
        def __init__(self):
            self.notes = {}

        def write(self, notes, *, thread="", checkpoint=0):
            self.notes.update({note.place: Written(note=note) for note in notes})

        def read(self, prefix, *, key=None, words=(), hidden=None):
            return [
                one
                for (namespace, name), one in self.notes.items()
                if namespace[: len(prefix)] == prefix and key in (None, name)
            ]

    own = Own()
    assert isinstance(own, Remembering)
    shared = Memory(own)
    shared.put(ADA, "k", {"a": 1})
    assert {"a": 1} == shared.get(ADA, "k")
    assert ["k"] == [item.key for item in shared.search("users", where={"a": 1})]
    assert isinstance(own.notes[ADA, "k"].note, Note)


def test_a_table_shows_all_that_is_there(store):
    """For a person; who wrote it is said."""

    def writes(state):
        memory.put(ADA, "k", {"a": 1})

    chain(store, writes).run({}, thread="t")
    Memory(store).put(("docs",), "d", 2, ttl=60)
    table = Memory(store).table()

    assert [("docs", "d", ""), ("users/ada", "k", "t")] == sorted(
        zip(table["namespace"], table["key"], table["thread"], strict=True)
    )
    assert ["k"] == list(Memory(store).table(ADA)["key"])


def test_a_damaged_entry_is_noticed(tmp_path):
    """It names itself, and the way out."""
    store = SqliteStore(tmp_path / "a.db")
    Memory(store).put(ADA, "k", "tea")
    with sqlite3.connect(tmp_path / "a.db") as db:
        db.execute("UPDATE memory SET value = x'00'")
    db.close()
    with pytest.raises(CorruptError, match="'k' of the memory"):
        Memory(store).get(ADA, "k")
    Memory(store).delete(ADA, "k")
    assert None is Memory(store).get(ADA, "k")
    store.close()


def test_nothing_is_made_where_nobody_remembers(tmp_path):
    """A file has the tables from the first write on; reading makes none."""
    store = SqliteStore(tmp_path / "a.db")
    assert None is Memory(store).get(ADA, "k")
    with sqlite3.connect(tmp_path / "a.db") as db:
        found = db.execute("SELECT name FROM sqlite_master WHERE name LIKE 'memory%'").fetchall()
    db.close()
    store.close()

    assert [] == found


def test_old_writes_of_a_key_make_room(tmp_path):
    """So many are kept for forks; the last one is there."""
    store = SqliteStore(tmp_path / "a.db")
    for n in range(130):
        Memory(store).put(ADA, "k", n)
    with sqlite3.connect(tmp_path / "a.db") as db:
        rows = db.execute("SELECT count(*), sum(is_last) FROM memory").fetchone()
    db.close()

    assert ((100, 1), 129) == (rows, Memory(store).get(ADA, "k"))
    store.close()


def test_an_encrypted_file_does_not_tell_what_is_remembered(tmp_path):
    """Neither the value nor its words."""
    store = SqliteStore(tmp_path / "a.db", key=new_key())
    Memory(store, embed=lambda text: [1.0, 2.0]).put(ADA, "k", "very-secret")
    store.close()

    assert b"very-secret" not in (tmp_path / "a.db").read_bytes()
    assert b"secret" not in (tmp_path / "a.db").read_bytes()
