"""A changed cell is noticed when its thread goes on. (W11)"""

from __future__ import annotations

import logging
import os
import pathlib
import subprocess
import sys
import types
from typing import ClassVar, TypedDict

import httpx
import pytest

from nbagent import END, START, Graph, interrupt, node
from nbagent.engine.watch.events import RunStarted
from nbagent.errors import GraphChanged
from nbagent.graph.fingerprint import fingerprint
from nbagent.stores.memory import MemoryStore


class State(TypedDict):
    x: int
    y: int


def made(store, first, second=lambda s: {"y": interrupt("ok?")}):
    """Two siblings."""
    with Graph("g", State, store=store) as graph:
        START >> [node(first, name="one"), node(second, name="two")] >> END
    return graph


def test_a_finished_node_that_changed_is_a_choice():
    """Ask, go on, or run it again; an unchanged graph asks nothing."""
    store = MemoryStore()
    made(store, lambda s: {"x": 1}).run({}, thread="t")
    same = made(store, lambda s: {"x": 1}).thread("t")
    same.resume().result(5)
    assert "waiting" == same.status

    other = made(store, lambda s: {"x": 2}).thread("t")
    with pytest.raises(GraphChanged, match="node 'one' finished") as caught:
        other.resume(1)
    assert ("one",) == caught.value.nodes
    assert "waiting" == other.status
    assert {"x": 2, "y": 1} == other.resume(1, on_change="rerun").result(5)


def test_going_on_keeps_what_was_written_and_says_so():
    """The notice is with the run's first event."""
    store = MemoryStore()
    made(store, lambda s: {"x": 1}).run({}, thread="t")
    run = made(store, lambda s: {"x": 2}).thread("t").resume(1, on_change="go-on")
    seen = []
    run.watch(seen.append)

    assert {"x": 1, "y": 1} == run.result(5)
    assert isinstance(seen[0], RunStarted)
    assert "Changed since the last super-step: one" in seen[0].notice


def test_a_renamed_pending_node_never_ends_a_run_quietly():
    """The thread is to run a node that is gone: the error says which."""
    store = MemoryStore()
    made(store, lambda s: {"x": 1}).run({}, thread="t")
    with Graph("g", State, store=store) as renamed:
        START >> [node(lambda s: None, name="one"), node(lambda s: None, name="twoo")] >> END
    run = renamed.thread("t").resume(on_change="go-on")

    with pytest.raises(GraphChanged, match="did you mean 'twoo'"):
        run.result(5)
    assert "failed" == renamed.thread("t").status


def test_a_fingerprint_is_the_same_in_every_process():
    """Sets in the code have no order; comments do not matter; globals and helpers do."""
    program = (
        "from nbagent.graph.fingerprint import fingerprint\n"
        "LIMIT = 3\n"
        "def helper(x): return x in {'a', 'b', 'c', 'd'}\n"
        "def f(s): return helper(s) or s in {'e', 'f', 'g'} or LIMIT\n"
        "print(fingerprint(f))\n"
    )

    def print_of(text, seed):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        ran = subprocess.run(
            [sys.executable, "-c", text], capture_output=True, text=True, env=environment
        )
        return ran.stdout.strip()

    first = print_of(program, "1")
    assert 16 == len(first)
    assert first == print_of(program, "2") == print_of("# new\n" + program, "3")
    assert first != print_of(program.replace("LIMIT = 3", "LIMIT = 4"), "1")
    assert first != print_of(program.replace("'d'", "'x'"), "1")
    assert fingerprint(len) == fingerprint(len)


# --------------------------------------------------------------------------- what the code uses


SOURCE = """
import abc, collections, dataclasses, decimal, enum, functools, operator, threading, types
import attr, msgspec, numpy as np, pandas as pd, pydantic
lib = types.ModuleType("lib")
exec("LIMIT = {v}\\ndef f(x): return g(x)\\ndef g(x): return x + {v}", lib.__dict__)
class Base:
    def render(self): return {v}
class Tool(Base):
    pass
class Lazy:
    @functools.cached_property
    def text(self): return {v}
    @property
    def prop(self): return {v}
    @staticmethod
    def static(): return {v}
class Model:
    def __init__(self, m): self.m = m
    def ask(self, x): return (self.m, x)
@dataclasses.dataclass(frozen=True)
class Settings:
    model: str = "{v}"
class Pair(collections.namedtuple("Pair", "a b")):
    pass
class Colour(enum.Enum):
    RED = {v}
class Meta(type):
    def limit(cls): return {v}
class Made(metaclass=Meta): pass
class Bound(pydantic.BaseModel):
    n: int = pydantic.Field(ge={v})
class Kind(pydantic.BaseModel):
    n: {{1: int, 2: float}}[{v}]
class Struct(msgspec.Struct):
    n: int = {v}
@attr.s(auto_attribs=True)
class Attrs:
    n: int = {v}
class Ways:
    def way(self, n): return n
    partial = functools.partialmethod(way, {v})
    @functools.singledispatchmethod
    def by_type(self, n): return {v}
@functools.singledispatch
def chosen(x): return 0
@chosen.register
def _(x: int): return {v}
getter, proxy = operator.itemgetter({v}), types.MappingProxyType(dict(a={v}))
class Slots:
    __slots__ = ("m",)
    def __init__(self, m): self.m = m
def scale(by):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(x): return function(x) * by
        return wrapper
    return decorate
def make(n):
    def inner(x): return x * n
    return inner
def deep(n):
    function = lambda x: n
    for _ in range(20):
        function = (lambda below: lambda x: below(x))(function)
    return function
@scale({v})
def scaled(x): return x
@functools.lru_cache
def remembered(x): return {v}
zero, other, below = make(0), make({v}), deep({v})
model, slots, settings, pair = Model({v}), Slots({v}), Settings("{v}"), Pair({v}, 0)
table, array, rate = pd.DataFrame(dict(a=[{v}])), np.array([{v}]), decimal.Decimal({v})
config, space, items = dict(a=[{v}]), types.SimpleNamespace(a={v}), collections.deque([{v}])
client = types.SimpleNamespace(lock=threading.Lock(), model={v})
total = {v}
class Box:
    total = 7
box = Box()
def n(state):
    return {use}
"""
CODE = [
    "lib.f(1)", "lib.LIMIT", "Tool().render()", "Lazy().text", "Lazy().prop", "Lazy.static()",
    "Settings()", "Colour.RED", "settings.model", "pair", "rate", "scaled(1)", "zero(1) + other(1)",
    "below(1)", "remembered(1)", "Made.limit()", "Bound(n=3)", "Kind(n=1)", "Struct()", "Attrs()",
    "Ways().partial()", "Ways().by_type(1)", "chosen(1)", "getter", "proxy",
    "total", "[total for _ in state]", "(lambda: lib.f(1))()",
]  # fmt: skip
DATA = [
    "model.ask(1)", "slots.m", "table", "array", "config", "space.a", "items", "client.model",
]  # fmt: skip
NEITHER = ["box.total", "state.total", "print(state)", "len(lib.__name__)"]


def prints(use, *values, strict=False):
    """The fingerprints of a function that uses something, with each of the values in it."""
    found = []
    for value in values:
        names = {"__name__": "__main__"}
        exec(SOURCE.format(use=use, v=value), names)
        found.append(fingerprint(names["n"], strict=strict))
    return found


@pytest.mark.parametrize("use", CODE)
def test_code_that_a_node_uses_is_its_code(use):
    """Another helper, class, constant, closure, decorator's argument: noticed, in both forms."""
    for strict in (False, True):
        first, same, other = prints(use, 1, 1, 2, strict=strict)
        assert first == same != other


@pytest.mark.parametrize("use", DATA)
def test_data_that_a_node_works_on_counts_for_its_cache_only(use):
    """A table, a client, settings that change: another result, yet no changed code."""
    first, same, other = prints(use, 1, 1, 2, strict=True)
    assert first == same != other
    assert 1 == len(set(prints(use, 1, 2)))


@pytest.mark.parametrize("use", NEITHER)
def test_what_only_shares_a_name_does_not_count(use):
    """An attribute of the name of a global, and what is not used at all."""
    for strict in (False, True):
        assert 1 == len(set(prints(use, 1, 2, strict=strict)))


class Watched:
    """Tells of every way in which its own code could be run."""

    ran: ClassVar[list] = []

    def told(self, *words, **more):
        Watched.ran.append(words)
        raise AssertionError("the fingerprint runs what is not ours")

    __repr__ = __eq__ = __str__ = __len__ = __iter__ = __bool__ = __reduce__ = told
    __reduce_ex__ = __getstate__ = __getattr__ = __copy__ = __deepcopy__ = told
    __hash__ = object.__hash__
    __class__ = property(told)
    asked = property(told)


def test_nothing_of_the_users_is_run():
    """Neither methods nor properties of what is captured, nor a module's __getattr__."""
    watched = Watched()
    module = types.ModuleType("watched")
    module.__getattr__ = watched.told
    kept = [watched, {"a": watched}]

    def run(state):
        return watched.asked, module.missing, kept, Watched

    assert fingerprint(run, strict=True) == fingerprint(run, strict=True)
    assert [] == Watched.ran


def test_a_module_that_the_function_imports_itself_counts(tmp_path, monkeypatch):
    """It need not be loaded: the same before and after the first call, and another when edited."""
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "helper_of_a_node.py"
    file.write_text("def help(): return 1")

    def whole(state):
        import helper_of_a_node

        return helper_of_a_node.help()

    def part(state):
        from helper_of_a_node import help

        return help()

    for function in (whole, part):
        file.write_text("def help(): return 1")
        os.utime(file, ns=(1, 1))
        before = fingerprint(function)
        assert 1 == function({})
        assert before == fingerprint(function)
        file.write_text("# a comment\ndef help(): return 1")
        os.utime(file, ns=(2, 2))
        assert before == fingerprint(function)
        file.write_text("def help(): return 2")
        os.utime(file, ns=(3, 3))
        assert before != fingerprint(function)
        sys.modules.pop("helper_of_a_node")


def test_what_is_too_much_to_look_at_is_like_no_other():
    """Its cached result is not reused; whether the code has changed is still known."""
    many = list(range(1_200_000))

    def run(state):
        return many

    assert fingerprint(run, strict=True) != fingerprint(run, strict=True)
    assert fingerprint(run) == fingerprint(run)


def test_objects_that_lead_back_to_themselves_have_a_fingerprint():
    """A tree with parents, a function in its own closure, classes that name each other."""
    root = types.SimpleNamespace(children=[])
    root.children.append(types.SimpleNamespace(parent=root))

    def walk(state, left=3):
        return root.children if not left else walk(state, left - 1)

    assert fingerprint(walk, strict=True) == fingerprint(walk, strict=True)


def test_a_client_with_its_connections_is_the_same_after_a_call():
    """A cached node that asks a model by a global client is found again. (R6)"""
    client = types.SimpleNamespace(http=httpx.Client(), log=logging.getLogger("a node"))

    def run(state):
        return client.http

    before = fingerprint(run, strict=True)
    client.log.isEnabledFor(logging.DEBUG)
    client.http.cookies.set("a", "b")
    assert before == fingerprint(run, strict=True)


def test_every_text_is_the_same_in_every_process():
    """Hash seeds, addresses and the order of a set do not come into it."""
    text = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from tests.graph.test_changed import CODE, DATA, prints\n"
        "print([prints(use, 1, strict=True) for use in CODE + DATA])\n"
    )

    def say(seed):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        root = str(pathlib.Path(__file__).parents[2])
        words = [sys.executable, "-c", text, root]
        return subprocess.run(words, capture_output=True, text=True, env=environment).stdout

    assert len(say("1")) > 100
    assert say("1") == say("2")
