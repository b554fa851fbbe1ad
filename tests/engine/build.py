"""
Programs made by hand, so that the engine is tested without the construction API. (R46)

The schema checks nothing: what the engine does about a refused value is tested with `Strict`.
"""

from dataclasses import fields, replace

from nbagent.engine.model.channels import LastValue, Reduced
from nbagent.engine.model.policy import Policy, make_policy
from nbagent.engine.model.program import END, START, Branch, Each, Edge, Join, Node, Program
from nbagent.engine.model.values import frozen_dict, isolate
from nbagent.engine.thread.thread import Thread
from nbagent.errors import StateError
from nbagent.stores.memory import MemoryStore

__all__ = ["END", "START", "Branch", "Each", "Edge", "Join", "Node", "program", "thread"]


class AnySchema:
    """A schema that takes everything."""

    fingerprint = ""

    def adopt(self, values):
        return values, ""

    def check_input(self, values):
        return values

    def check_write(self, field, value, node, before=None):
        pass

    def check_edit(self, values):
        return values

    def check_reduced(self, field, value, *, parts_fit=False):
        pass

    def view(self, values):
        return frozen_dict({name: isolate(value) for name, value in values.items()})

    def json_schema(self):
        return {}

    def answer_schema(self, schema):
        return schema

    def call_schema(self, tool):
        return tool, None

    def check_answer(self, schema, answer):
        return answer

    def read_answer(self, schema, answer):
        return answer


class Strict(AnySchema):
    """A schema that refuses the value "bad"."""

    def check_write(self, field, value, node, before=None):
        if value == "bad":
            raise StateError(f"{field} is bad", field=field, node=node)

    def check_edit(self, values):
        for name, value in values.items():
            self.check_write(name, value, None)
        return values


def program(*nodes, fields=("x",), reduced=None, wires=(), schema=None, name="test"):
    """A Program of `Node`s, last-value `fields`, `reduced` fields and a mixed list of wires."""
    kinds = {
        kind: tuple(w for w in wires if type(w) is kind) for kind in (Edge, Join, Branch, Each)
    }
    return Program(
        name=name,
        nodes={node.name: node for node in nodes},
        fields={name: LastValue(name) for name in fields}
        | {name: Reduced(name, reducer) for name, reducer in (reduced or {}).items()},
        edges=kinds[Edge],
        joins=kinds[Join],
        branches=kinds[Branch],
        eaches=kinds[Each],
        schema=schema or AnySchema(),
    )


def thread(made, id="t", store=None, **more):
    """A thread of the program in a store of its own."""
    return Thread(id, program=made, store=store or MemoryStore(), **more)


def sync(name, function, **more):
    """A `def` node."""
    return Node(name=name, function=function, **_split(more))


def task(name, function, **more):
    """An `async def` node."""
    return Node(name=name, function=function, is_async=True, **_split(more))


def guarded(node, **policies):
    """The node with these policies, said as `node()` takes them."""
    return replace(node, policy=make_policy(**policies))


def _split(more):
    names = {field.name for field in fields(Policy)} & more.keys()
    policies = {name: more.pop(name) for name in names}
    return {**more, "policy": make_policy(**policies)}
